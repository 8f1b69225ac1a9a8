//! The dossier service tells of each access in an exceptional mode; here it becomes a use to be looked at again
//! (R1111-48), once, whatever fails.

use api::dossier::v1 as dossier;
use api::dossier::v1::journal_service_client::JournalServiceClient;
use api::identity::ProfessionalId;
use jiff::SignedDuration;
use serve::follow::{Followed, WatchRequest};
use serve::{Failure, Peer};
use store::random::Random;
use store::time::Clock;
use store::{Engine, Feed};
use tonic::{Status, Streaming};

use crate::error::Result;
use crate::exceptional::{Access, Use};
use crate::exceptionals;
use crate::fact::{Kind, What};
use crate::facts;
use crate::vault::{Place, Vault};

/// Treating physicians whom one event names, those designated first. A person has a handful; an event must stay far
/// below the largest message whatever somebody designates.
const TREATING_PHYSICIANS_MAX: i64 = 500;

/// Takes the accesses.
pub(crate) struct ExceptionalFeed<DB: Engine> {
    /// The dossier service.
    pub(crate) peer: Peer,
    /// Where uses are told.
    pub(crate) feed: Feed<DB>,
    pub(crate) vault: Vault,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// How long after its first access a use is due.
    pub(crate) deadline: SignedDuration,
}

impl<DB: Engine> Clone for ExceptionalFeed<DB> {
    fn clone(&self) -> Self {
        Self {
            peer: self.peer.clone(),
            feed: self.feed.clone(),
            vault: self.vault.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            deadline: self.deadline,
        }
    }
}

impl<DB: Engine> Followed<DB> for ExceptionalFeed<DB> {
    type Response = dossier::WatchExceptionalAccessesResponse;
    type Event = dossier::Access;

    const CONSUMER: &'static str = "exceptional-accesses";

    fn peer(&self) -> &Peer {
        &self.peer
    }

    async fn open(&self, request: WatchRequest) -> Result<Streaming<Self::Response>, Status> {
        let watching = request.of(dossier::WatchExceptionalAccessesRequest {
            resume_token: request.resume_token.clone(),
        })?;
        let mut journal = JournalServiceClient::new(self.peer.channel());
        Ok(journal.watch_exceptional_accesses(watching).await?.into_inner())
    }

    fn taken(response: Self::Response) -> (String, Option<Self::Event>) {
        (response.resume_token, response.access)
    }

    async fn apply(&self, connection: &mut DB::Connection, event: Self::Event) -> Result<(), Failure> {
        let access = Access::told(event);
        let access = access.ok_or_else(|| Failure::internal("the journal told of what is no exceptional access"))?;
        Ok(self.take(connection, &access).await?)
    }

    fn applied(&self) {
        self.feed.nudge();
    }
}

impl<DB: Engine> ExceptionalFeed<DB> {
    async fn take(&self, connection: &mut DB::Connection, access: &Access) -> Result<()> {
        let last = exceptionals::last_use::<DB>(connection, &access.circumstances).await?;
        if exceptionals::is_taken::<DB>(connection, access.entry_id).await? {
            return Ok(());
        }
        let gathering = last.filter(|last| last.gathers(access));
        let gathered = match &gathering {
            Some(last) => exceptionals::add::<DB>(connection, last, access).await?,
            None => false,
        };
        if !gathered {
            self.begin(connection, access).await?;
        }
        Ok(())
    }

    async fn begin(&self, connection: &mut DB::Connection, access: &Access) -> Result<()> {
        let id = self.random.uuid();
        let sealed_reason = self.vault.seal(Place::Reason(id), access.reason.as_bytes())?;
        let physicians = self.treating_physicians(connection, access).await?;
        let begun = Use::begun(id, access, sealed_reason, physicians, self.deadline);
        exceptionals::insert::<DB>(connection, &begun).await?;
        exceptionals::tell::<DB>(connection, &begun, self.clock.now()).await?;
        Ok(())
    }

    /// Who is to be told besides the holder: not whoever has come in.
    async fn treating_physicians(
        &self,
        connection: &mut DB::Connection,
        access: &Access,
    ) -> Result<Vec<ProfessionalId>> {
        let of = &access.circumstances;
        let kind = Kind::TreatingPhysician;
        let live = facts::live_of::<DB>(connection, &of.dmp_id, kind, TREATING_PHYSICIANS_MAX).await?;
        let named = live.into_iter().filter_map(|fact| match fact.what {
            What::TreatingPhysician(physician) => Some(physician),
            _ => None,
        });
        Ok(named.filter(|physician| *physician != of.professional).collect())
    }
}
