//! The gRPC services: parse, decide and store, render.

mod access;
mod authorization;
mod consent;
mod matrix;
mod past;
pub(crate) mod render;
mod representation;
mod review;
mod watch;

use api::common::v1::Role;
use api::consent::v1::Operation;
use api::identity::{Check, DmpId};
use futures::future::BoxFuture;
use journal::LogKey;
use prost::Message;
use serve::watch::WatchSettings;
use serve::{Actor, Call, Failure, Violations};
use std::sync::Arc;
use store::page::{Page, PageLimits};
use store::{Db, Engine, Feed, Gather, RequestKey};
use uuid::Uuid;

use crate::act::Means;
use crate::circumstances::{self, Asker, Circumstances};
use crate::decision::{Case, Concern, verdict};
use crate::error::{Error, Result};
use crate::facts;
use crate::vault::Vault;

/// All gRPC services: they share everything.
pub(crate) struct Rpc<DB: Engine> {
    db: Db<DB>,
    feed: Feed<DB>,
    watch: WatchSettings,
    keys: Keys,
    means: Means,
    circumstances: Gather<Asker, Circumstances>,
}

/// What seals and what signs.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// Seals what is said about health and third persons.
    pub(crate) vault: Vault,
    /// Signs receipts of consents.
    pub(crate) receipts: Arc<LogKey>,
}

impl<DB: Engine> Clone for Rpc<DB> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            feed: self.feed.clone(),
            watch: self.watch,
            keys: self.keys.clone(),
            means: self.means.clone(),
            circumstances: self.circumstances.clone(),
        }
    }
}

impl<DB: Engine> Rpc<DB> {
    pub(crate) fn new(db: Db<DB>, feed: Feed<DB>, watch: WatchSettings, keys: Keys, means: Means) -> Self {
        Self {
            circumstances: circumstances::gather(&db, means.clone()),
            db,
            feed,
            watch,
            keys,
            means,
        }
    }

    /// Runs a mutation of facts once, and has its events told soon.
    async fn once<R, F>(&self, key: RequestKey, work: F) -> Result<R>
    where
        R: Message + Default + 'static,
        F: for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, Result<R>> + Send + 'static,
    {
        let answered = store::once(&self.db, key, self.means.clock.now(), work).await?;
        self.feed.nudge();
        Ok(answered.response)
    }

    /// Demands that a rule permits `actor` this operation, on the facts of this moment.
    async fn admit(
        &self,
        connection: &mut DB::Connection,
        actor: &Actor,
        dmp_id: &DmpId,
        operation: Operation,
    ) -> Result<()> {
        self.admit_about(connection, actor, dmp_id, operation, Concern::Anything)
            .await
    }

    /// The same, about somebody.
    async fn admit_about(
        &self,
        connection: &mut DB::Connection,
        actor: &Actor,
        dmp_id: &DmpId,
        operation: Operation,
        concern: Concern,
    ) -> Result<()> {
        let facts = facts::of_actor::<DB>(connection, dmp_id, actor).await?;
        let moment = self.means.clock.now();
        let matrix = self.means.matrices.at::<DB>(connection, moment).await?;
        let case = Case::new(actor, dmp_id, &facts, operation, moment, self.means.book(&matrix));
        verdict(&case.about(concern)).map(drop).map_err(Error::Refused)
    }
}

/// Who acts. A service acts for somebody or not at all.
fn actor_of(call: &Call) -> Result<Arc<Actor>, Failure> {
    if call.actor.role == Role::Service {
        return Err(Failure::role_forbidden(Role::Service, call.method()));
    }
    Ok(call.actor.clone())
}

fn dmp_id(violations: &mut Violations, text: &str) -> Option<DmpId> {
    violations.check("dmp_id", DmpId::parse(text, Check::Strict))
}

/// The fields of a mutation that names a dossier and one of its facts by `field`.
fn fact_named(request_id: &str, dossier: &str, field: &'static str, id: &str) -> Result<(Uuid, DmpId, Uuid), Failure> {
    let mut violations = Violations::default();
    let request_id = violations.uuid("request_id", request_id);
    let dossier = dmp_id(&mut violations, dossier);
    let id = violations.uuid(field, id);
    violations.gather((request_id, dossier, id))
}

fn request_key(actor: &Actor, method: &'static str, request_id: Uuid, request: &impl Message) -> RequestKey {
    RequestKey::new(actor.caller_key(), method, request_id, request)
}

/// The page of a listing. `query` is the request without page size and token.
fn page(size: i32, token: &str, query: &impl Message) -> Result<Page> {
    Ok(Page::parse(size, token, PageLimits::default(), query)?)
}
