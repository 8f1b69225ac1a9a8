//! What a watcher of a mailbox is told.

use api::messaging::v1 as pb;
use pb::watch_mailbox_response::Event as Told;
use serve::watch::Watched;
use serve::{Actor, Failure};
use std::sync::Arc;
use store::{Engine, feed};
use uuid::Uuid;

use super::Rpc;
use crate::error::Error;
use crate::event::Event;
use crate::letter;
use crate::messages;

/// One watcher of one mailbox.
pub(super) struct MailboxWatch<DB: Engine> {
    pub(super) rpc: Rpc<DB>,
    pub(super) actor: Arc<Actor>,
    pub(super) mailbox_id: Uuid,
}

impl<DB: Engine> Watched for MailboxWatch<DB> {
    type Told = Told;
    type Response = pb::WatchMailboxResponse;

    async fn admit(&self) -> Result<(), Failure> {
        let mut connection = self.rpc.db.read().await?;
        self.rpc
            .own_mailbox(&mut connection, &self.actor, self.mailbox_id)
            .await?;
        Ok(())
    }

    /// An event with what it says of a message; `None` for one whose message is no longer there.
    async fn tell(&self, event: &feed::Event) -> Result<Option<Told>, Failure> {
        let event = Event::decode(&event.payload).ok_or(store::Error::Corrupt("outbox.payload"))?;
        match event {
            Event::Retrieved(message_id) => Ok(Some(Told::Retrieved(message_id.to_string()))),
            Event::Read(message_id) => Ok(Some(Told::Read(message_id.to_string()))),
            Event::Arrived(message_id) => Ok(self.arrival(message_id).await?),
        }
    }

    fn response(&self, resume_token: String, event: Option<Told>) -> pb::WatchMailboxResponse {
        pb::WatchMailboxResponse { resume_token, event }
    }
}

impl<DB: Engine> MailboxWatch<DB> {
    async fn arrival(&self, message_id: Uuid) -> Result<Option<Told>, Error> {
        let held = {
            let mut connection = self.rpc.db.read().await?;
            messages::find::<DB>(&mut connection, self.mailbox_id, message_id).await?
        };
        let header = held
            .map(|held| letter::open_header(&self.rpc.vault, &held))
            .transpose()?;
        Ok(header.map(Told::Arrived))
    }
}
