//! Questions about decisions of now and of the past: explained, made again, and who may read.

use api::common::v1 as common;
use api::common::v1::{AccessMode, Role};
use api::consent::v1 as pb;
use api::consent::v1::Operation;
use api::identity::DmpId;
use serve::{Actor, Breach, Failure, InvalidActor, Violations};
use store::Engine;
use store::time::Timestamp;

use super::{Rpc, dmp_id, page, render};
use crate::decision::{Case, Concern, decide, explain, lasting};
use crate::error::Result;
use crate::fact::Secrets;
use crate::facts;
use crate::standing::grounds;

impl<DB: Engine> Rpc<DB> {
    pub(super) async fn explain(
        &self,
        caller: &Actor,
        request: &pb::ExplainAccessRequest,
    ) -> Result<pb::ExplainAccessResponse> {
        let asked = Explanation::parse(caller, request)?;
        let mut connection = self.db.read().await?;
        self.admit_explanation(&mut connection, caller, &asked.dmp_id, &asked.actor)
            .await?;
        let secrets = Secrets::of(caller);
        let (revision, moment) = self.then(&mut connection, &asked.dmp_id, asked.then, secrets).await?;
        let facts = facts::of_actor_at::<DB>(&mut connection, &asked.dmp_id, &asked.actor, revision, secrets).await?;
        let matrix = self.means.matrices.at::<DB>(&mut connection, moment).await?;
        drop(connection);
        let book = self.means.book(&matrix);
        let case = Case::new(&asked.actor, &asked.dmp_id, &facts, asked.operation, moment, book);
        let case = case.in_mode(asked.mode).in_secret(asked.secret);
        let grounds: Vec<_> = grounds(&asked.actor, &asked.dmp_id, &facts.live, book.circles).collect();
        let spoken = explain(&case, &grounds);
        Ok(pb::ExplainAccessResponse {
            decision: Some(render::decision(&decide(&case))),
            rules: spoken.iter().map(|spoken| render::spoken(spoken, moment)).collect(),
        })
    }

    pub(super) async fn replay(&self, caller: &Actor, request: &pb::ReplayDecisionRequest) -> Result<pb::Decision> {
        let asked = Replay::parse(request)?;
        let mut connection = self.db.read().await?;
        self.admit_explanation(&mut connection, caller, &asked.dmp_id, &asked.actor)
            .await?;
        let then = Then {
            revision: Some(asked.revision),
            moment: Some(asked.moment),
        };
        let secrets = Secrets::of(caller);
        let (revision, moment) = self.then(&mut connection, &asked.dmp_id, then, secrets).await?;
        let unknown = || Failure::invalid_field("matrix_version", "UNKNOWN_VALUE", "must be a version of the matrix");
        let version = &asked.matrix_version;
        let matrix = self.means.matrices.version::<DB>(&mut connection, version).await?;
        let matrix = matrix.ok_or_else(unknown)?;
        let facts = facts::of_actor_at::<DB>(&mut connection, &asked.dmp_id, &asked.actor, revision, secrets).await?;
        let book = self.means.book(&matrix);
        let case = Case::new(&asked.actor, &asked.dmp_id, &facts, asked.operation, moment, book);
        Ok(render::decision(&decide(
            &case.in_mode(asked.mode).in_secret(asked.secret),
        )))
    }

    pub(super) async fn who_can_access(
        &self,
        caller: &Actor,
        request: &pb::ListWhoCanAccessRequest,
    ) -> Result<pb::ListWhoCanAccessResponse> {
        let mut violations = Violations::default();
        let dossier = dmp_id(&mut violations, &request.dmp_id);
        let moment = optional_time(&mut violations, "moment", request.moment.as_ref());
        violations.page_size(request.page_size);
        let (dossier, moment) = violations.gather((dossier, moment))?;
        let query = pb::ListWhoCanAccessRequest {
            page_size: 0,
            page_token: String::new(),
            ..request.clone()
        };
        let page = page(request.page_size, &request.page_token, &query)?;
        let mut connection = self.db.read().await?;
        // Who may know who came in may know who can: the same callers, by the same rules.
        self.admit(&mut connection, caller, &dossier, Operation::ReadJournal)
            .await?;
        let then = Then { revision: None, moment };
        let secrets = Secrets::of(caller);
        let (revision, moment) = self.then(&mut connection, &dossier, then, secrets).await?;
        let (named, next_page_token) =
            facts::parties::<DB>(&mut connection, &dossier, revision, moment, secrets, &page).await?;
        let matrix = self.means.matrices.at::<DB>(&mut connection, moment).await?;
        let book = self.means.book(&matrix);
        let mut parties = Vec::with_capacity(named.len());
        for party in &named {
            let actor = party.actor();
            let facts = facts::of_actor_at::<DB>(&mut connection, &dossier, &actor, revision, secrets).await?;
            // Whoever is let in secretly comes in by a secret connection, and is listed for whom secrets are told to.
            let secret = secrets.told() && actor.role == Role::Professional;
            let case = Case::new(&actor, &dossier, &facts, Operation::ReadDocuments, moment, book).in_secret(secret);
            let entry = lasting(&case)
                .ok()
                .map(|(bases, end)| render::party(party, &bases, end));
            parties.extend(entry);
        }
        Ok(pb::ListWhoCanAccessResponse {
            parties,
            next_page_token,
            revision,
        })
    }

    /// Explanations name rules and facts, so they are for those whom they concern.
    async fn admit_explanation(
        &self,
        connection: &mut DB::Connection,
        caller: &Actor,
        dmp_id: &DmpId,
        about: &Actor,
    ) -> Result<()> {
        let concern = if is_itself(caller, about) {
            Concern::OwnEntry
        } else {
            Concern::SomebodyElse
        };
        self.admit_about(connection, caller, dmp_id, Operation::ExplainAccess, concern)
            .await
    }

    /// The revision and the moment meant: those of now, of a moment, or of a revision. Whoever is told no secrets does not
    /// learn when one was said; the counter of revisions still moves with it, for all to see.
    async fn then(
        &self,
        connection: &mut DB::Connection,
        dmp_id: &DmpId,
        then: Then,
        secrets: Secrets,
    ) -> Result<(i64, Timestamp)> {
        let last = facts::revision::<DB>(connection, dmp_id).await?;
        let now = self.means.clock.now();
        if then.moment.is_some_and(|moment| moment > now) {
            return Err(Failure::invalid_field("moment", "LATER_THAN_NOW", "must not be later than now").into());
        }
        let revision = match (then.revision, then.moment) {
            (None, None) => last,
            (None, Some(moment)) => facts::revision_at::<DB>(connection, dmp_id, moment, secrets).await?,
            (Some(revision), _) if (0..=last).contains(&revision) => revision,
            (Some(_), _) => {
                return Err(Failure::invalid_field("revision", "NOT_MADE", "must be a revision that was made").into());
            }
        };
        let moment = match (then.revision, then.moment) {
            (_, Some(moment)) => moment,
            (None, None) => now,
            (Some(revision), None) => facts::moment_of::<DB>(connection, dmp_id, revision, secrets)
                .await?
                .unwrap_or(now),
        };
        Ok((revision, moment))
    }
}

/// Which state of a dossier is meant.
#[derive(Debug, Clone, Copy)]
struct Then {
    revision: Option<i64>,
    moment: Option<Timestamp>,
}

struct Explanation {
    dmp_id: DmpId,
    actor: Actor,
    operation: Operation,
    mode: AccessMode,
    secret: bool,
    then: Then,
}

impl Explanation {
    fn parse(caller: &Actor, request: &pb::ExplainAccessRequest) -> Result<Self, Failure> {
        let mut violations = Violations::default();
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let actor = match &request.actor {
            None => Some(caller.clone()),
            Some(given) => actor(&mut violations, given),
        };
        let operation = violations.choice("operation", request.operation);
        let mode = mode(&mut violations, request.mode);
        let moment = optional_time(&mut violations, "moment", request.moment.as_ref());
        let (dmp_id, actor, operation, mode, moment) = violations.gather((dmp_id, actor, operation, mode, moment))?;
        let revision = (request.revision != 0).then_some(request.revision);
        Ok(Self {
            dmp_id,
            actor,
            operation,
            mode,
            secret: request.secret_connection,
            then: Then { revision, moment },
        })
    }
}

struct Replay {
    dmp_id: DmpId,
    actor: Actor,
    operation: Operation,
    mode: AccessMode,
    secret: bool,
    revision: i64,
    matrix_version: String,
    moment: Timestamp,
}

/// Length of a matrix version's name, in characters.
const VERSION: std::ops::RangeInclusive<usize> = 1..=64;

impl Replay {
    fn parse(request: &pb::ReplayDecisionRequest) -> Result<Self, Failure> {
        let mut violations = Violations::default();
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let given = violations.required("actor", request.actor.as_ref());
        let actor = given.and_then(|given| actor(&mut violations, given));
        let operation = violations.choice("operation", request.operation);
        let mode = mode(&mut violations, request.mode);
        let matrix_version = violations.text("matrix_version", &request.matrix_version, VERSION);
        let moment = violations.time("decided_at", request.decided_at.as_ref());
        let (dmp_id, actor, operation, mode, matrix_version, moment) =
            violations.gather((dmp_id, actor, operation, mode, matrix_version, moment))?;
        Ok(Self {
            dmp_id,
            actor,
            operation,
            mode,
            secret: request.secret_connection,
            revision: request.revision,
            matrix_version,
            moment,
        })
    }
}

fn mode(violations: &mut Violations, number: i32) -> Option<AccessMode> {
    let known = AccessMode::try_from(number);
    violations.check("mode", known.map_err(|_| ("UNKNOWN_VALUE", "must be one of the modes")))
}

fn optional_time(
    violations: &mut Violations,
    field: &'static str,
    given: Option<&prost_types::Timestamp>,
) -> Option<Option<Timestamp>> {
    match given {
        None => Some(None),
        given => violations.time(field, given).map(Some),
    }
}

/// Which part of an actor cannot be.
struct ActorBreach(InvalidActor);

impl Breach for ActorBreach {
    fn reason(&self) -> &str {
        "NOT_AN_ACTOR"
    }

    fn description(&self) -> String {
        self.0.to_string()
    }
}

fn actor(violations: &mut Violations, given: &common::Actor) -> Option<Actor> {
    violations.check("actor", Actor::from_proto(given).map_err(ActorBreach))
}

/// The same professional, in the same profession and structure: what a professional is told about itself must not
/// answer questions about other structures.
fn is_itself(caller: &Actor, about: &Actor) -> bool {
    caller.role == Role::Professional
        && Actor {
            authentication_level: caller.authentication_level,
            via_service: caller.via_service.clone(),
            ..about.clone()
        } == *caller
}
