//! IdentifierService.

use api::common::v1::Role;
use api::identifier::v1 as pb;
use api::identifier::v1::identifier_service_server::IdentifierService;
use api::identity::Ins;
use futures::StreamExt;
use futures::stream::BoxStream;
use serve::{Call, Context, Violations};
use std::sync::Arc;
use store::random::Random;
use store::time::Clock;
use store::{Db, Engine, Gather, RequestKey};
use tonic::{Request, Response, Status, Streaming};

use super::{enrolment_stream, parse, render, require, require_own};
use crate::beneficiary::{Known, Outcome};
use crate::config::Checks;
use crate::error::{Error, Result};
use crate::{beneficiaries, enrolments};

const ENROL_BENEFICIARY: &str = "dmp.identifier.v1.IdentifierService/EnrolBeneficiary";

/// The register of beneficiaries, and what giving identifiers takes.
pub(super) struct Register<DB: Engine> {
    pub(super) db: Db<DB>,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) checks: Checks,
    /// Who has a matricule, read for all who ask at the same time.
    known: Gather<Ins, Option<Known>>,
}

/// Answers the calls of IdentifierService.
pub(crate) struct Identifiers<DB: Engine>(Arc<Register<DB>>);

impl<DB: Engine> Identifiers<DB> {
    pub(crate) fn new(context: &Context<DB>, checks: Checks) -> Self {
        let (db, clock, random) = (context.db.clone(), context.clock.clone(), context.random.clone());
        let known = Gather::start(db.clone(), |connection, asked: Vec<Ins>| {
            Box::pin(async move {
                let known = beneficiaries::by_matricules::<DB>(connection, &asked.iter().collect::<Vec<_>>()).await?;
                Ok(asked.iter().map(|ins| known.get(ins).cloned()).collect())
            })
        });
        Self(Arc::new(Register {
            db,
            clock,
            random,
            checks,
            known,
        }))
    }
}

#[tonic::async_trait]
impl<DB: Engine> IdentifierService for Identifiers<DB> {
    type EnrolBeneficiariesStream = BoxStream<'static, Result<pb::EnrolBeneficiariesResponse, Status>>;

    async fn enrol_beneficiary(
        &self,
        request: Request<pb::EnrolBeneficiaryRequest>,
    ) -> Result<Response<pb::Beneficiary>, Status> {
        let call = Call::of(&request)?.clone();
        require(&call, &[Role::Administrator])?;
        Ok(Response::new(self.0.enrol(&call, request.into_inner()).await?))
    }

    async fn enrol_beneficiaries(
        &self,
        request: Request<Streaming<pb::EnrolBeneficiariesRequest>>,
    ) -> Result<Response<Self::EnrolBeneficiariesStream>, Status> {
        require(Call::of(&request)?, &[Role::Administrator])?;
        Ok(Response::new(
            enrolment_stream::answers(self.0.clone(), request.into_inner()).boxed(),
        ))
    }

    async fn get_beneficiary(
        &self,
        request: Request<pb::GetBeneficiaryRequest>,
    ) -> Result<Response<pb::Beneficiary>, Status> {
        let call = Call::of(&request)?;
        require(call, &[Role::Administrator, Role::Service, Role::Holder])?;
        Ok(Response::new(self.0.get(call, request.get_ref()).await?))
    }

    async fn resolve_identifier(
        &self,
        request: Request<pb::ResolveIdentifierRequest>,
    ) -> Result<Response<pb::ResolveIdentifierResponse>, Status> {
        let roles = [
            Role::Professional,
            Role::EstablishmentSystem,
            Role::Administrator,
            Role::Service,
        ];
        require(Call::of(&request)?, &roles)?;
        Ok(Response::new(self.0.resolve(request.get_ref()).await?))
    }
}

impl<DB: Engine> Register<DB> {
    async fn enrol(&self, call: &Call, request: pb::EnrolBeneficiaryRequest) -> serve::Result<pb::Beneficiary> {
        let now = self.clock.now();
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let parts = (request.ins.as_ref(), request.traits.as_ref(), request.identity_status);
        let enrolment = parse::enrolment(&mut violations, parts, self.checks, now);
        let (request_id, enrolment) = violations.gather((request_id, enrolment))?;
        let key = RequestKey::new(call.actor.caller_key(), ENROL_BENEFICIARY, request_id, &request);
        let answered = enrolments::drawing_again(|| {
            let (batch, random) = ([enrolment.clone()], self.random.clone());
            Box::pin(store::once(&self.db, key.clone(), now, move |connection| {
                Box::pin(async move { only(enrolments::enrol::<DB>(connection, &batch, &random, now).await?) })
            }))
        })
        .await?;
        Ok(answered.response)
    }

    async fn get(&self, call: &Call, request: &pb::GetBeneficiaryRequest) -> serve::Result<pb::Beneficiary> {
        let mut violations = Violations::default();
        let dmp_id = parse::dmp_id(&mut violations, &request.dmp_id);
        let (dmp_id,) = violations.gather((dmp_id,))?;
        require_own(call, &dmp_id, "beneficiary")?;
        let mut connection = self.db.read().await?;
        let beneficiary = beneficiaries::get::<DB>(&mut connection, &dmp_id).await?;
        Ok(render::beneficiary(&beneficiary.ok_or(Error::NotFound("beneficiary"))?))
    }

    async fn resolve(&self, request: &pb::ResolveIdentifierRequest) -> serve::Result<pb::ResolveIdentifierResponse> {
        let mut violations = Violations::default();
        let ins = parse::ins(&mut violations, request.ins.as_ref(), self.checks);
        let given = parse::given_traits(&mut violations, request.traits.as_ref());
        let (ins,) = violations.gather((ins,))?;
        let known = self.known.get(ins).await?.ok_or(Error::NotFound("beneficiary"))?;
        let differing = given.differing_from(&known.beneficiary.traits);
        Ok(pb::ResolveIdentifierResponse {
            dmp_id: known.beneficiary.dmp_id.as_str().to_owned(),
            identity_status: render::status(known.beneficiary.status).into(),
            retired_matricule: known.retired_matricule,
            differing_traits: differing.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// What the one enrolment of a call comes to: outside of a stream, a matricule that has an identifier is a refusal.
fn only(outcomes: Vec<Outcome>) -> Result<pb::Beneficiary> {
    match outcomes.into_iter().next() {
        Some(Outcome::Enrolled(beneficiary)) => Ok(render::beneficiary(&beneficiary)),
        Some(Outcome::AlreadyEnrolled(dmp_id) | Outcome::Conflict(dmp_id)) => Err(Error::BeneficiaryExists(dmp_id)),
        None => Err(Error::Defect("an enrolment without an outcome")),
    }
}
