//! One act on a dossier's facts: what a mutation does inside its write transaction.
//!
//! It takes the dossier's revision first, then reads, decides and writes, so that no withdrawal comes between the
//! decision and its effect. Whatever it records or ends carries the one revision of the act, and leaves as an event in
//! the same transaction. Dropping an act with an error undoes all of it, the revision too.

use api::consent::v1::Operation;
use api::identity::{DmpId, ProfessionalId};
use prost::Message;
use serve::Actor;
use std::sync::Arc;
use store::Engine;
use store::random::Random;
use store::time::{Clock, Timestamp};
use uuid::Uuid;

use crate::circle::Circles;
use crate::circumstances::Memory;
use crate::decision::{Book, Case, Concern, Facts, verdict};
use crate::error::{Error, Result};
use crate::fact::{End, Fact, Kind, Recorder, Representation, Representative, Secrets, What};
use crate::facts;
use crate::matrices::Shelf;
use crate::matrix::Matrix;
use crate::rpc::render;

/// The feed in which changes of facts leave, keyed by dossier.
pub(crate) const FEED: &str = "consent";

/// What acts and decisions need besides a connection.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) matrices: Arc<Shelf>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) circles: Arc<Circles>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
}

impl Means {
    /// The data on which decisions by this version of the matrix stand.
    pub(crate) fn book<'a>(&'a self, matrix: &'a Matrix) -> Book<'a> {
        Book {
            matrix,
            circles: &self.circles,
        }
    }
}

/// An act in progress.
pub(crate) struct Act<'c, DB: Engine> {
    connection: &'c mut DB::Connection,
    means: Means,
    actor: Arc<Actor>,
    dmp_id: DmpId,
    facts: Facts,
    /// Read under the lock, so that within a dossier times rise with revisions.
    moment: Timestamp,
    matrix: Arc<Matrix>,
    /// Whether representatives are told nothing of what it records.
    secret: bool,
}

impl<'c, DB: Engine> Act<'c, DB> {
    /// Begins an act of `actor` on a dossier.
    pub(crate) async fn begin(
        connection: &'c mut DB::Connection,
        means: Means,
        actor: Arc<Actor>,
        dmp_id: DmpId,
    ) -> Result<Self> {
        facts::advance::<DB>(connection, &dmp_id).await?;
        let facts = facts::of_actor::<DB>(connection, &dmp_id, &actor).await?;
        let moment = means.clock.now();
        let matrix = means.matrices.at::<DB>(connection, moment).await?;
        Ok(Self {
            connection,
            means,
            actor,
            dmp_id,
            facts,
            moment,
            matrix,
            secret: false,
        })
    }

    /// The same act, with what it records kept from representatives or not.
    pub(crate) fn kept_secret(self, secret: bool) -> Self {
        Self { secret, ..self }
    }

    /// The moment of the act.
    pub(crate) fn moment(&self) -> Timestamp {
        self.moment
    }

    /// Demands that a rule permits the operation.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub(crate) fn demand(&self, operation: Operation, concern: Concern) -> Result<()> {
        let book = self.means.book(&self.matrix);
        let case = Case::new(&self.actor, &self.dmp_id, &self.facts, operation, self.moment, book).about(concern);
        verdict(&case).map(drop).map_err(Error::Refused)
    }

    /// The fact of this id, live or ended; to whom secrets are not told, a secret one is not there.
    pub(crate) async fn find(&mut self, id: Uuid) -> Result<Option<Fact>> {
        let secrets = Secrets::of(&self.actor);
        let fact = facts::find::<DB>(self.connection, &self.dmp_id, id).await?;
        Ok(fact.filter(|fact| secrets.told() || !fact.secret))
    }

    /// The designation of the trusted person, if there is one.
    pub(crate) async fn trusted_person(&mut self) -> Result<Option<Fact>> {
        let named = facts::live_of::<DB>(self.connection, &self.dmp_id, Kind::TrustedPerson, 1).await?;
        Ok(named.into_iter().next())
    }

    /// The representation of this id, if it holds.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotLive`].
    pub(crate) async fn representation(&mut self, id: Uuid) -> Result<Representation> {
        let fact = self.find(id).await?.ok_or(Error::NotFound("representation"))?;
        let holds = self.check_holds(&fact);
        let What::Representation(representation) = fact.what else {
            return Err(Error::NotFound("representation"));
        };
        // Who is no party to it must not learn from the error how it ended.
        if Representative::of(&self.actor).is_some_and(|own| own != representation.representative) {
            return Err(Error::NotFound("representation"));
        }
        holds.map(|()| representation)
    }

    /// Records a fact. One that says the same kind of thing about the same subject and whose term is over makes room.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when one holds; its id goes to who speaks for the person only.
    pub(crate) async fn record(
        &mut self,
        resource: &'static str,
        what: What,
        valid_until: Option<Timestamp>,
    ) -> Result<Fact> {
        if let Some(standing) = self.live(&what).await? {
            if standing.holds(self.moment) {
                let id = Recorder::of(&self.actor).collector().is_none().then_some(standing.id);
                return Err(Error::AlreadyExists { resource, id });
            }
            self.end_live(&standing).await?;
        }
        self.insert(what, valid_until).await
    }

    /// Records a fact in the place of the one that says the same kind of thing about the same subject, if there is one.
    pub(crate) async fn replace(&mut self, what: What, valid_until: Option<Timestamp>) -> Result<Fact> {
        if let Some(standing) = self.live(&what).await? {
            self.end_live(&standing).await?;
        }
        self.insert(what, valid_until).await
    }

    /// Ends a fact that holds.
    ///
    /// # Errors
    /// [`Error::NotLive`].
    pub(crate) async fn end(&mut self, fact: &Fact) -> Result<Fact> {
        self.check_holds(fact)?;
        self.end_live(fact).await
    }

    /// Ends what lets professionals in: one of them, or all and the structures too.
    pub(crate) async fn end_grants(&mut self, of: Option<&ProfessionalId>) -> Result<()> {
        let (end, by) = (self.ending(), Recorder::of(&self.actor));
        let ended = facts::end_grants::<DB>(self.connection, &self.dmp_id, of, &end, &by).await?;
        for fact in &ended {
            self.publish(fact).await?;
        }
        Ok(())
    }

    fn check_holds(&self, fact: &Fact) -> Result<()> {
        match &fact.end {
            Some(_) => Err(Error::NotLive("ENDED")),
            None if fact.holds(self.moment) => Ok(()),
            None => Err(Error::NotLive("EXPIRED")),
        }
    }

    async fn live(&mut self, what: &What) -> Result<Option<Fact>> {
        let secret = self.is_secret(what);
        Ok(facts::live::<DB>(self.connection, &self.dmp_id, what, secret).await?)
    }

    fn is_secret(&self, what: &What) -> bool {
        self.secret || what.is_always_secret()
    }

    async fn insert(&mut self, what: What, valid_until: Option<Timestamp>) -> Result<Fact> {
        let fact = Fact {
            id: self.means.random.uuid(),
            dmp_id: self.dmp_id.clone(),
            secret: self.is_secret(&what),
            what,
            recorded_at: self.moment,
            recorded_by: Recorder::of(&self.actor),
            revision: self.facts.revision,
            valid_until,
            end: None,
        };
        facts::insert::<DB>(self.connection, &fact).await?;
        self.publish(&fact).await?;
        Ok(fact)
    }

    async fn end_live(&mut self, fact: &Fact) -> Result<Fact> {
        let (end, by) = (self.ending(), Recorder::of(&self.actor));
        let ended = facts::end::<DB>(self.connection, &self.dmp_id, fact.id, &end, &by).await?;
        let ended = ended.ok_or(Error::NotLive("ENDED"))?;
        self.publish(&ended).await?;
        Ok(ended)
    }

    fn ending(&self) -> End {
        End {
            at: self.moment,
            revision: self.facts.revision,
        }
    }

    async fn publish(&mut self, fact: &Fact) -> Result<()> {
        let event = render::event(fact).encode_to_vec();
        store::publish::<DB>(self.connection, FEED, self.dmp_id.as_str(), event, self.moment).await?;
        Ok(())
    }
}
