//! WatchExceptionalAccesses: what each access by break-glass or by the emergency call centre was, told to services.

use api::common::v1::Role;
use api::dossier::v1 as pb;
use futures::stream::BoxStream;
use prost::Message;
use serve::watch::{Scope, Watched, watch};
use serve::{Call, Violations};
use store::feed::Event;
use store::{Engine, Error as Stored};
use tonic::Status;

use super::Accesses;
use crate::authorization::EXCEPTIONAL_ACCESSES;
use crate::error::Result;

impl<DB: Engine> Accesses<DB> {
    pub(super) async fn watch(
        &self,
        call: &Call,
        request: &pb::WatchExceptionalAccessesRequest,
    ) -> Result<BoxStream<'static, Result<pb::WatchExceptionalAccessesResponse, Status>>> {
        call.require_role(&[Role::Service])?;
        let scope = Scope::all(EXCEPTIONAL_ACCESSES);
        let mut violations = Violations::default();
        let position = violations.optional("resume_token", &request.resume_token, |token| scope.position(token));
        let (position,) = violations.gather((position,))?;
        // From the beginning when no place is named: no access of last resort is passed over.
        let position = position.unwrap_or_default();
        Ok(watch(self.feed.clone(), self.watch, scope, position, Telling).await?)
    }
}

/// What a service is told.
struct Telling;

impl Watched for Telling {
    type Told = pb::Access;
    type Response = pb::WatchExceptionalAccessesResponse;

    /// Services watch on their own behalf.
    async fn admit(&self) -> serve::Result<()> {
        Ok(())
    }

    async fn tell(&self, event: &Event) -> serve::Result<Option<pb::Access>> {
        let access = pb::Access::decode(event.payload.as_slice());
        Ok(Some(access.map_err(|_| Stored::Corrupt("outbox.payload"))?))
    }

    fn response(&self, resume_token: String, access: Option<pb::Access>) -> Self::Response {
        pb::WatchExceptionalAccessesResponse { resume_token, access }
    }
}
