//! MatrixService: the habilitation matrix as versioned data.

use api::common::v1::{Reason, Role};
use api::consent::v1 as pb;
use api::consent::v1::matrix_service_server::MatrixService;
use serve::{Actor, Call, Failure, Violations};
use std::sync::Arc;
use store::Engine;
use store::time::{Clock, Timestamp, to_proto};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Rpc, request_key};
use crate::error::{Error, Result};
use crate::fact::Recorder;
use crate::matrices::{self, NOTICE, Published};
use crate::matrix::{self, Change, Matrix, MatrixError};
use crate::population::{Effect, Trial};
use crate::type_set::TypeSet;

const PUBLISH: &str = "dmp.consent.v1.MatrixService/PublishMatrix";

/// Largest version taken.
const TEXT_BYTES_MAX: usize = 256 << 10;

#[tonic::async_trait]
impl<DB: Engine> MatrixService for Rpc<DB> {
    async fn publish_matrix(&self, request: Request<pb::PublishMatrixRequest>) -> Result<Response<pb::Matrix>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Administrator])?;
        let actor = call.actor.clone();
        let message = request.into_inner();
        let (request_id, matrix) = candidate(&message)?;
        let key = request_key(&actor, PUBLISH, request_id, &message);
        let clock = self.means.clock.clone();
        let answered = store::once(&self.db, key, self.means.clock.now(), move |connection| {
            Box::pin(async move { publish::<DB>(connection, &actor, &message, &matrix, &clock).await })
        })
        .await?;
        Ok(Response::new(answered.response))
    }

    async fn get_matrix(&self, request: Request<pb::GetMatrixRequest>) -> Result<Response<pb::Matrix>, Status> {
        Call::of(&request)?;
        let message = request.get_ref();
        let mut violations = Violations::default();
        let moment = match &message.moment {
            None => Some(self.means.clock.now()),
            given => violations.time("moment", given.as_ref()),
        };
        let (moment,) = violations.gather((moment,))?;
        let mut connection = self.db.read().await.map_err(Error::from)?;
        let found = named_or_in_force::<DB>(&mut connection, &message.version, moment).await?;
        Ok(Response::new(rendered(&found.ok_or(Error::NotFound("matrix"))?)))
    }

    async fn diff_matrix(
        &self,
        request: Request<pb::DiffMatrixRequest>,
    ) -> Result<Response<pb::DiffMatrixResponse>, Status> {
        Call::of(&request)?;
        let message = request.get_ref();
        if !message.to_text.is_empty() && !message.to_version.is_empty() {
            let told = "must be empty when a version is named";
            return Err(Failure::invalid_field("to_text", "NOT_EXPECTED", told).into());
        }
        let given = match message.to_text.as_str() {
            "" => None,
            text => Some(parsed("to_text", text)?),
        };
        let from = self.standing(&message.from_version).await?;
        let to = match given {
            Some(matrix) => Arc::new(matrix),
            None => self.standing(&message.to_version).await?,
        };
        Ok(Response::new(pb::DiffMatrixResponse {
            changes: from.changes(&to).iter().map(change).collect(),
            from_version: from.version.clone(),
            to_version: to.version.clone(),
        }))
    }

    async fn what_if(&self, request: Request<pb::WhatIfRequest>) -> Result<Response<pb::WhatIfResponse>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Administrator, Role::Auditor])?;
        let message = request.get_ref();
        let candidate = parsed("text", &message.text)?;
        let against = self.standing(&message.against).await?;
        let trial = Trial {
            before: &against,
            after: &candidate,
            circles: &self.means.circles,
            moment: self.means.clock.now(),
        };
        let count = trial.count(&self.db).await.map_err(Error::from)?;
        Ok(Response::new(pb::WhatIfResponse {
            effects: count.effects.iter().map(effect).collect(),
            pairs: count.pairs,
            unknown_profession: count.unknown_profession,
            against: against.version.clone(),
        }))
    }
}

impl<DB: Engine> Rpc<DB> {
    /// The version of this name, or the one in force now when it is empty.
    async fn standing(&self, version: &str) -> Result<Arc<Matrix>> {
        let mut connection = self.db.read().await?;
        let shelf = &self.means.matrices;
        if version.is_empty() {
            return Ok(shelf.at::<DB>(&mut connection, self.means.clock.now()).await?);
        }
        let found = shelf.version::<DB>(&mut connection, version).await?;
        found.ok_or(Error::NotFound("matrix"))
    }
}

async fn named_or_in_force<DB: Engine>(
    connection: &mut DB::Connection,
    version: &str,
    moment: Timestamp,
) -> Result<Option<Published>> {
    let named = match version {
        "" => matrices::in_force::<DB>(connection, moment).await?,
        version => Some(version.to_owned()),
    };
    match named {
        None => Ok(None),
        Some(version) => Ok(matrices::find::<DB>(connection, &version).await?),
    }
}

async fn publish<DB: Engine>(
    connection: &mut DB::Connection,
    actor: &Actor,
    message: &pb::PublishMatrixRequest,
    matrix: &Matrix,
    clock: &Clock,
) -> Result<pb::Matrix> {
    let terms = matrices::terms_locked::<DB>(connection).await?;
    // After the wait for other publications, which is no part of the notice.
    let now = clock.now();
    let term = matrix.term();
    if terms.iter().any(|other| other.version == term.version) {
        return Err(Failure::already_exists("matrix").into());
    }
    if term.from < now + NOTICE {
        return Err(Failure::invalid_field("text", "TOO_SOON", "must take over in a minute or later").into());
    }
    let conflict = |state: &str, version: &str, message: &str| {
        let failure = Failure::precondition(Reason::StateConflict, message);
        failure.with("state", state).with("version", version)
    };
    let superseded = matrix::takes_over(&terms, &term)
        .map_err(|other| conflict("OVERLAPS", &other.version, "two versions would be in force at once"))?;
    let superseded = superseded.map_or("", |term| term.version.as_str());
    if superseded != message.supersedes {
        return Err(conflict("SUPERSEDES", superseded, "it takes over from another version").into());
    }
    let published = Published {
        term,
        text: message.text.clone(),
        by: Recorder::of(actor).as_str().to_owned(),
        at: now,
    };
    matrices::insert::<DB>(connection, &published).await?;
    Ok(rendered(&published))
}

fn candidate(message: &pb::PublishMatrixRequest) -> Result<(Uuid, Matrix), Failure> {
    let mut violations = Violations::default();
    let request_id = violations.uuid("request_id", &message.request_id);
    let matrix = checked(&mut violations, "text", &message.text);
    violations.gather((request_id, matrix))
}

fn parsed(field: &'static str, text: &str) -> Result<Matrix, Failure> {
    let mut violations = Violations::default();
    let matrix = checked(&mut violations, field, text);
    violations.gather((matrix,)).map(|(matrix,)| matrix)
}

/// The version, or a violation for each of its wrong lines.
fn checked(violations: &mut Violations, field: &'static str, text: &str) -> Option<Matrix> {
    if text.len() > TEXT_BYTES_MAX {
        violations.add(field, "LENGTH", format!("must have at most {TEXT_BYTES_MAX} bytes"));
        return None;
    }
    let errors = match Matrix::parse(text) {
        Ok(matrix) => return Some(matrix),
        Err(errors) => errors,
    };
    for MatrixError { line, problem } in errors {
        let place = if line == 0 {
            field.to_owned()
        } else {
            format!("{field}[{line}]")
        };
        violations.add(place, "NOT_A_MATRIX", problem);
    }
    None
}

fn rendered(published: &Published) -> pb::Matrix {
    pb::Matrix {
        version: published.term.version.clone(),
        valid_from: Some(to_proto(published.term.from)),
        valid_until: published.term.until.map(to_proto),
        text: published.text.clone(),
        published_by: published.by.clone(),
        published_at: Some(to_proto(published.at)),
    }
}

fn change(change: &Change) -> pb::MatrixChange {
    pb::MatrixChange {
        party: change.party.clone(),
        operation: change.operation.into(),
        gained: codes(change.gained),
        lost: codes(change.lost),
    }
}

fn effect((effect, pairs): (&Effect, &i64)) -> pb::what_if_response::Effect {
    pb::what_if_response::Effect {
        profession: effect.profession.clone(),
        operation: effect.operation.into(),
        gained: codes(effect.gained),
        lost: codes(effect.lost),
        pairs: *pairs,
    }
}

fn codes(types: TypeSet) -> Vec<String> {
    types.codes().map(str::to_owned).collect()
}
