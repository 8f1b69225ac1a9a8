//! How soon a watch tells of a message: from the moment it is sent until its recipient knows.

use api::messaging::v1 as messaging;
use messaging::watch_mailbox_response::Event;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::operation::Ending;
use crate::person::physician;
use crate::population::Mailbox;
use crate::tally::Tally;
use crate::target::Clients;

/// Messages whose other half is waited for. Beyond, halves are forgotten: the other one never comes.
const HALVES_MAX: usize = 50_000;

/// Messages of which one half is known: that they were sent, or that they arrived.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Mutex<HashMap<String, Half>>);

#[derive(Debug, Clone, Copy)]
enum Half {
    Sent(Instant),
    Told(Instant),
}

impl Deliveries {
    /// A message to somebody who watches was sent at this moment, and acknowledged since. The watch may have been quicker
    /// than the acknowledgement.
    pub(crate) fn sent(&self, message_id: Option<&str>, at: Instant, tally: &Tally) {
        let Some(message_id) = message_id else { return };
        let mut halves = self.halves();
        match halves.remove(message_id) {
            Some(Half::Told(told)) => tally.delivered(told.saturating_duration_since(at)),
            _ => keep(&mut halves, message_id, Half::Sent(at)),
        }
    }

    fn told(&self, message_id: &str, tally: &Tally) {
        let mut halves = self.halves();
        match halves.remove(message_id) {
            Some(Half::Sent(sent)) => tally.delivered(sent.elapsed()),
            // Told again after a watch was resumed, or not yet acknowledged.
            _ => keep(&mut halves, message_id, Half::Told(Instant::now())),
        }
    }

    /// Watches a mailbox until the watch ends; goes on from the token, and moves it.
    pub(crate) async fn follow(
        &self,
        clients: &Clients,
        mailbox: &Mailbox,
        resume_token: &mut String,
        tally: &Tally,
    ) -> Ending {
        match self.listen(clients, mailbox, resume_token, tally).await {
            Ok(()) => Ending::Torn,
            Err(ending) => ending,
        }
    }

    async fn listen(
        &self,
        clients: &Clients,
        mailbox: &Mailbox,
        resume_token: &mut String,
        tally: &Tally,
    ) -> Result<(), Ending> {
        let request = messaging::WatchMailboxRequest {
            mailbox_id: mailbox.mailbox_id.clone(),
            resume_token: resume_token.clone(),
        };
        let request = clients.ask_at_leisure(&physician(&mailbox.professional_id), request)?;
        let mut told = clients.messages().watch_mailbox(request).await?.into_inner();
        while let Some(answer) = told.message().await? {
            *resume_token = answer.resume_token;
            if let Some(Event::Arrived(header)) = answer.event {
                self.told(&header.message_id, tally);
            }
        }
        Ok(())
    }

    fn halves(&self) -> MutexGuard<'_, HashMap<String, Half>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(halves: &mut HashMap<String, Half>, message_id: &str, half: Half) {
    if halves.len() < HALVES_MAX {
        halves.insert(message_id.to_owned(), half);
    }
}
