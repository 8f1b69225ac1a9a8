//! WatchConsent: every change after a place in the feed, in order, each once.

use api::common::v1::Role;
use api::consent::v1 as pb;
use api::consent::v1::watch_consent_response::Event as Told;
use api::consent::v1::{Operation, OppositionKind};
use api::identity::{Check, DmpId};
use futures::stream::BoxStream;
use serve::watch::{Scope, Watched, watch};
use serve::{Actor, Call, Failure, Violations};
use std::sync::Arc;
use store::Engine;
use store::feed::Event;
use tonic::Status;

use super::{Rpc, render};
use crate::act::FEED;
use crate::error::Result;

impl<DB: Engine> Rpc<DB> {
    pub(super) async fn watch(
        &self,
        call: &Call,
        request: &pb::WatchConsentRequest,
    ) -> Result<BoxStream<'static, Result<pb::WatchConsentResponse, Status>>> {
        let roles: &[Role] = match request.dmp_id.as_str() {
            "" => &[Role::Service],
            _ => &[Role::Service, Role::Holder, Role::Representative],
        };
        call.require_role(roles)?;
        let mut violations = Violations::default();
        let parse = |text| DmpId::parse(text, Check::Strict);
        let dmp_id = violations.optional("dmp_id", &request.dmp_id, parse);
        let scope = dmp_id.as_ref().map(|dmp_id| match dmp_id {
            Some(dmp_id) => Scope::of(FEED, dmp_id.as_str()),
            None => Scope::all(FEED),
        });
        let position = scope.as_ref().and_then(|scope| {
            violations.optional("resume_token", &request.resume_token, |token| scope.position(token))
        });
        let (dmp_id, scope, position) = violations.gather((dmp_id, scope, position))?;
        let position = position.unwrap_or_else(|| self.feed.head());
        let watcher = Watcher {
            rpc: self.clone(),
            actor: call.actor.clone(),
            dmp_id,
        };
        Ok(watch(self.feed.clone(), self.watch, scope, position, watcher).await?)
    }
}

/// One watcher, of one dossier or of all.
struct Watcher<DB: Engine> {
    rpc: Rpc<DB>,
    actor: Arc<Actor>,
    dmp_id: Option<DmpId>,
}

impl<DB: Engine> Watched for Watcher<DB> {
    type Told = Told;
    type Response = pb::WatchConsentResponse;

    /// Services watch on their own behalf; everybody else as who may read the journal.
    async fn admit(&self) -> Result<(), Failure> {
        let Some(dmp_id) = self.dmp_id.as_ref().filter(|_| self.actor.role != Role::Service) else {
            return Ok(());
        };
        let mut connection = self.rpc.db.read().await?;
        let admitted = self
            .rpc
            .admit(&mut connection, &self.actor, dmp_id, Operation::ReadJournal);
        Ok(admitted.await?)
    }

    async fn tell(&self, event: &Event) -> Result<Option<Told>, Failure> {
        let told = render::told(&event.payload).ok_or(store::Error::Corrupt("outbox.payload"))?;
        let kept = |told: &Told| self.actor.role == Role::Representative && is_secret(told);
        Ok(told.filter(|told| !kept(told)))
    }

    fn response(&self, resume_token: String, event: Option<Told>) -> Self::Response {
        pb::WatchConsentResponse { resume_token, event }
    }
}

/// Whether it is what a minor keeps from representatives (L1111-5).
fn is_secret(told: &Told) -> bool {
    match told {
        Told::Authorization(authorization) => authorization.secret,
        Told::Opposition(opposition) => opposition.kind() == OppositionKind::SecretActs,
        Told::Consent(_) | Told::Representation(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L1111-5, R1111-50.
    #[test]
    fn what_a_minor_says_in_secret_is_known_by_its_event() {
        let authorization = |secret| {
            Told::Authorization(pb::Authorization {
                secret,
                ..pb::Authorization::default()
            })
        };
        let opposition = |kind: OppositionKind| {
            Told::Opposition(pb::Opposition {
                kind: kind.into(),
                ..pb::Opposition::default()
            })
        };
        assert!(is_secret(&authorization(true)) && is_secret(&opposition(OppositionKind::SecretActs)));
        assert!(!is_secret(&authorization(false)) && !is_secret(&opposition(OppositionKind::BreakGlass)));
        assert!(!is_secret(&Told::Consent(pb::Consent::default())));
    }
}
