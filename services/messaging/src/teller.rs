//! Tells the holder and the treating physicians of each exceptional use (R1111-48), as the consent service tells of it.
//!
//! The place in consent's feed, the notices, the proof of each and the news of them are one transaction, and a notice's
//! key is the use and its recipient: whatever fails, nobody is left untold and nobody is told twice.

use api::consent::v1 as consent;
use api::consent::v1::review_service_client::ReviewServiceClient;
use journal::Journal;
use serve::follow::{Followed, WatchRequest};
use serve::{Context, Failure, Peer};
use store::random::Random;
use store::time::Clock;
use store::{Engine, Feed, publish};
use tonic::{Status, Streaming};

use crate::error::Error;
use crate::event;
use crate::messages::Proved;
use crate::notice::{ExceptionalUse, Notice, Recipient};
use crate::notices;
use crate::proof::NoticeFact;
use crate::vault::{Part, Vault};

/// Follows consent's exceptional uses; cheap to clone.
pub(crate) struct Teller<DB: Engine> {
    consent: Peer,
    clock: Clock,
    random: Random,
    journal: Journal<DB>,
    feed: Feed<DB>,
    vault: Vault,
}

impl<DB: Engine> Clone for Teller<DB> {
    fn clone(&self) -> Self {
        Self {
            consent: self.consent.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            journal: self.journal.clone(),
            feed: self.feed.clone(),
            vault: self.vault.clone(),
        }
    }
}

impl<DB: Engine> Teller<DB> {
    pub(crate) fn new(
        context: &Context<DB>,
        consent: Peer,
        journal: Journal<DB>,
        feed: Feed<DB>,
        vault: Vault,
    ) -> Self {
        Self {
            consent,
            clock: context.clock.clone(),
            random: context.random.clone(),
            journal,
            feed,
            vault,
        }
    }

    /// Tells one recipient of a use, unless it was told before.
    async fn tell(
        &self,
        connection: &mut DB::Connection,
        used: &ExceptionalUse,
        recipient: Recipient,
    ) -> Result<(), Error> {
        let id = self.random.uuid();
        let notice = Notice {
            id,
            exceptional_access_id: used.id,
            recipient,
            secret: used.secret,
            telling: Proved {
                at: self.clock.now(),
                entry_id: self.random.uuid(),
            },
            acknowledgement: None,
            content: self.vault.seal(Part::Notice, id, &used.content())?,
        };
        if !notices::insert::<DB>(connection, &notice).await? {
            return Ok(());
        }
        let telling = NoticeFact {
            notice: &notice,
            this: notice.telling,
            acknowledged_by: None,
        };
        self.journal.stage(connection, &telling.entry()).await?;
        let (key, payload) = (notice.recipient.as_str(), event::encode_notice(id));
        publish::<DB>(connection, event::NOTICES, key, payload, notice.telling.at).await?;
        Ok(())
    }
}

impl<DB: Engine> Followed<DB> for Teller<DB> {
    type Response = consent::WatchExceptionalAccessesResponse;
    type Event = consent::ExceptionalAccess;

    const CONSUMER: &'static str = "exceptional-accesses";

    fn peer(&self) -> &Peer {
        &self.consent
    }

    async fn open(&self, request: WatchRequest) -> Result<Streaming<Self::Response>, Status> {
        let message = consent::WatchExceptionalAccessesRequest {
            resume_token: request.resume_token.clone(),
        };
        let mut client = ReviewServiceClient::new(self.consent.channel());
        let watch = client.watch_exceptional_accesses(request.of(message)?).await?;
        Ok(watch.into_inner())
    }

    fn taken(response: Self::Response) -> (String, Option<Self::Event>) {
        (response.resume_token, response.exceptional_access)
    }

    /// A finding tells nobody anything. A use that cannot be read stops the feed, and the operator is told: skipped, it
    /// would leave somebody untold for ever.
    async fn apply(&self, connection: &mut DB::Connection, event: Self::Event) -> Result<(), Failure> {
        if event.reviewed_at.is_some() {
            return Ok(());
        }
        let used = ExceptionalUse::parse(&event);
        let used = used.ok_or_else(|| Failure::internal("consent tells of a use that cannot be read"))?;
        for recipient in used.recipients() {
            self.tell(connection, &used, recipient).await?;
        }
        Ok(())
    }

    fn applied(&self) {
        self.feed.nudge();
    }
}
