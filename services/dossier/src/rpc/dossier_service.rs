//! DossierService.

use api::common::v1::Receipt;
use api::consent::v1::{AuthorizationState, Operation};
use api::dossier::v1 as pb;
use api::dossier::v1::dossier_service_server::DossierService;
use api::dossier::v1::{AccessAction, ClosureReason, DossierState};
use api::identity::DmpId;
use serve::config::Invalid;
use serve::{Call, Context, Violations};
use store::time::{Clock, to_proto};
use store::{Db, Effect, Engine, RequestKey};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::dmp_id;
use crate::authorization::{AccessContext, Asked, Gate, Granted};
use crate::chain::Named;
use crate::config::Config;
use crate::content::HostKey;
use crate::dossier::{Closure, Dossier};
use crate::dossiers;
use crate::error::{Error, Result};
use crate::identifiers::Identifiers;

const OPEN_DOSSIER: &str = "dmp.dossier.v1.DossierService/OpenDossier";
const CLOSE_DOSSIER: &str = "dmp.dossier.v1.DossierService/CloseDossier";

/// Answers the calls of DossierService.
pub(crate) struct Dossiers<DB: Engine> {
    db: Db<DB>,
    clock: Clock,
    gate: Gate<DB>,
    identifiers: Identifiers,
    key: HostKey,
    host_id: String,
    retention_years: u32,
}

#[tonic::async_trait]
impl<DB: Engine> DossierService for Dossiers<DB> {
    async fn open_dossier(&self, request: Request<pb::OpenDossierRequest>) -> Result<Response<pb::Dossier>, Status> {
        Ok(Response::new(self.open(Call::of(&request)?, request.get_ref()).await?))
    }

    async fn get_dossier_status(
        &self,
        request: Request<pb::GetDossierStatusRequest>,
    ) -> Result<Response<pb::DossierStatus>, Status> {
        Ok(Response::new(
            self.status(Call::of(&request)?, request.get_ref()).await?,
        ))
    }

    async fn close_dossier(&self, request: Request<pb::CloseDossierRequest>) -> Result<Response<pb::Dossier>, Status> {
        Ok(Response::new(self.close(Call::of(&request)?, request.get_ref()).await?))
    }
}

impl<DB: Engine> Dossiers<DB> {
    pub(crate) fn new(
        context: &Context<DB>,
        config: &Config,
        gate: Gate<DB>,
        identifiers: Identifiers,
        key: HostKey,
    ) -> Result<Self, Invalid> {
        let host = config.host();
        let host = host.map_err(|error| Invalid::new(format!("dossier.{}", error.key), error.expected))?;
        Ok(Self {
            db: context.db.clone(),
            clock: context.clock.clone(),
            gate,
            identifiers,
            key,
            // As the register writes it: a UUID has more than one spelling.
            host_id: host.to_string(),
            retention_years: config.retention_years,
        })
    }

    async fn open(&self, call: &Call, request: &pb::OpenDossierRequest) -> Result<pb::Dossier> {
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let (request_id, dmp_id) = violations.gather((request_id, dmp_id))?;
        let granted = self
            .enter(call, dmp_id, Operation::OpenDossier, AccessAction::OpenDossier)
            .await?;
        let key = RequestKey::new(call.actor.caller_key(), OPEN_DOSSIER, request_id, request);
        match self.opened(call, &granted, key).await {
            Ok(dossier) => Ok(dossier),
            Err(error) => Err(self.gate.turn_away(&granted, error).await),
        }
    }

    /// Placement comes first and is idempotent: whatever fails in between, asking again finds the dossier placed here
    /// and goes on. A dossier that is there already is not placed again, so that a repeated request is answered even
    /// when the accreditation has ended since.
    async fn opened(&self, call: &Call, granted: &Granted, key: RequestKey) -> Result<pb::Dossier> {
        let dmp_id = granted.dmp_id();
        if dossiers::get::<DB>(&mut *self.db.read().await?, dmp_id)
            .await?
            .is_none()
        {
            self.identifiers.place(call, dmp_id, &self.host_id).await?;
        }
        let now = self.clock.now();
        let wrapped = self.key.wrapped_key_for(dmp_id);
        let dossier = Dossier {
            dmp_id: dmp_id.clone(),
            opened_at: now,
            closure: None,
            revision: 1,
            key: wrapped,
        };
        let (gate, staging, host_id) = (self.gate.clone(), granted.clone(), self.host_id.clone());
        let answered = store::once(&self.db, key, now, move |connection| {
            Box::pin(async move {
                if !dossiers::insert::<DB>(connection, &dossier).await? {
                    return Err(already(dossiers::get::<DB>(connection, &dossier.dmp_id).await?));
                }
                let (entry_id, rows) = gate.stage(&staging, Named::default())?;
                let response = pb::Dossier {
                    receipt: staged(entry_id),
                    ..dossier.to_proto(&host_id)
                };
                Ok::<_, Error>(Effect { response, rows })
            })
        });
        self.settled(granted, answered.await?.response).await
    }

    async fn status(&self, call: &Call, request: &pb::GetDossierStatusRequest) -> Result<pb::DossierStatus> {
        let mut violations = Violations::default();
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let (dmp_id,) = violations.gather((dmp_id,))?;
        let granted = self
            .enter(call, dmp_id, Operation::SeeStatus, AccessAction::SeeStatus)
            .await?;
        let dossier = dossiers::get::<DB>(&mut *self.db.read().await?, granted.dmp_id()).await?;
        let entered = self.gate.record(&granted, Named::default()).await?;
        Ok(pb::DossierStatus {
            receipt: Some(entered.receipt()),
            ..status(&granted, dossier)
        })
    }

    async fn close(&self, call: &Call, request: &pb::CloseDossierRequest) -> Result<pb::Dossier> {
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let reason = match request.reason {
            0 => Some(ClosureReason::HolderRequest),
            number => violations.choice("reason", number),
        };
        let (request_id, dmp_id, reason) = violations.gather((request_id, dmp_id, reason))?;
        let granted = self
            .enter(call, dmp_id, Operation::CloseDossier, AccessAction::CloseDossier)
            .await?;
        let key = RequestKey::new(call.actor.caller_key(), CLOSE_DOSSIER, request_id, request);
        match self.closed(&granted, reason, key).await {
            Ok(dossier) => Ok(dossier),
            Err(error) => Err(self.gate.turn_away(&granted, error).await),
        }
    }

    async fn closed(&self, granted: &Granted, reason: ClosureReason, key: RequestKey) -> Result<pb::Dossier> {
        let now = self.clock.now();
        let closure = Closure::new(now, reason, self.retention_years);
        let (gate, staging, host_id) = (self.gate.clone(), granted.clone(), self.host_id.clone());
        let answered = store::once(&self.db, key, now, move |connection| {
            Box::pin(async move {
                let dossier = dossiers::hold::<DB>(connection, staging.dmp_id()).await?;
                let dossier = dossier.ok_or(Error::NotOpen(DossierState::Absent))?.closed(closure)?;
                dossiers::set_closure::<DB>(connection, &dossier).await?;
                let (entry_id, rows) = gate.stage(&staging, Named::default())?;
                let response = pb::Dossier {
                    receipt: staged(entry_id),
                    ..dossier.to_proto(&host_id)
                };
                Ok::<_, Error>(Effect { response, rows })
            })
        });
        self.settled(granted, answered.await?.response).await
    }

    async fn enter(&self, call: &Call, dmp_id: DmpId, operation: Operation, action: AccessAction) -> Result<Granted> {
        let asked = Asked::new(call, dmp_id, action, AccessContext::normal());
        self.gate.enter(call, operation, asked).await
    }

    async fn settled(&self, granted: &Granted, answer: pb::Dossier) -> Result<pb::Dossier> {
        let receipt = self.gate.settle_answer(granted, answer.receipt.clone()).await?;
        Ok(pb::Dossier { receipt, ..answer })
    }
}

/// What an answer remembers of its receipt: the rest is read from the log when it is given.
pub(super) fn staged(entry_id: Uuid) -> Option<Receipt> {
    Some(Receipt {
        entry_id: entry_id.to_string(),
        ..Receipt::default()
    })
}

/// Why a dossier that is there is not opened: reopening a closed one is another thing, with fresh consent.
fn already(standing: Option<Dossier>) -> Error {
    match standing.map(|dossier| dossier.state()) {
        Some(DossierState::Closed) => Error::NotOpen(DossierState::Closed),
        _ => Error::Exists("dossier"),
    }
}

fn status(granted: &Granted, dossier: Option<Dossier>) -> pb::DossierStatus {
    let standing = granted.standing();
    let closure = dossier.as_ref().and_then(|dossier| dossier.closure.as_ref());
    let state = AuthorizationState::try_from(standing.authorization_state).unwrap_or_default();
    pb::DossierStatus {
        dmp_id: granted.dmp_id().as_str().to_owned(),
        state: dossier.as_ref().map_or(DossierState::Absent, Dossier::state).into(),
        closed_at: closure.map(|closure| to_proto(closure.at)),
        closure_reason: closure
            .map_or(ClosureReason::Unspecified, |closure| closure.reason)
            .into(),
        authorization_state: state.into(),
        treating_physician: standing.treating_physician,
        receipt: None,
    }
}
