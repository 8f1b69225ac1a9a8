//! RepresentationService: who may speak for a person.

use api::common::v1::Role;
use api::consent::v1 as pb;
use api::consent::v1::representation_service_server::RepresentationService;
use api::consent::v1::{Capacity, Operation};
use api::identity::DmpId;
use serve::{Call, Failure, Violations};
use store::Engine;
use store::time::Timestamp;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::render::{Resource, resource};
use super::{Rpc, actor_of, dmp_id, fact_named, page, request_key};
use crate::act::Act;
use crate::error::{Error, Result};
use crate::fact::{Fact, Kind, Representation, Representative, What};
use crate::facts::{self, Listing};
use crate::term;

const REGISTER: &str = "dmp.consent.v1.RepresentationService/RegisterRepresentative";
const END: &str = "dmp.consent.v1.RepresentationService/EndRepresentation";

/// Length of `issuer|subject`, in characters.
const REPRESENTATIVE: std::ops::RangeInclusive<usize> = 3..=300;

#[tonic::async_trait]
impl<DB: Engine> RepresentationService for Rpc<DB> {
    async fn register_representative(
        &self,
        request: Request<pb::RegisterRepresentativeRequest>,
    ) -> Result<Response<pb::Representation>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Administrator])?;
        let actor = call.actor.clone();
        let message = request.into_inner();
        let (request_id, dmp_id, representation, until) = registered(&message)?;
        let key = request_key(&actor, REGISTER, request_id, &message);
        let means = self.means.clone();
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    let until = in_the_future(until, act.moment())?;
                    let what = What::Representation(representation);
                    let fact = act.record("representation", what, Some(until)).await?;
                    rendered(&fact)
                })
            })
            .await?;
        Ok(Response::new(answered))
    }

    async fn end_representation(
        &self,
        request: Request<pb::EndRepresentationRequest>,
    ) -> Result<Response<pb::Representation>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Administrator, Role::Representative])?;
        let actor = call.actor.clone();
        let message = request.into_inner();
        let id = &message.representation_id;
        let (request_id, dmp_id, id) = fact_named(&message.request_id, &message.dmp_id, "representation_id", id)?;
        let key = request_key(&actor, END, request_id, &message);
        let means = self.means.clone();
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    // A representative finds its own alone.
                    act.representation(id).await?;
                    let fact = act.find(id).await?.ok_or(Error::NotFound("representation"))?;
                    let ended = act.end(&fact).await?;
                    rendered(&ended)
                })
            })
            .await?;
        Ok(Response::new(answered))
    }

    async fn list_representatives(
        &self,
        request: Request<pb::ListRepresentativesRequest>,
    ) -> Result<Response<pb::ListRepresentativesResponse>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Administrator, Role::Holder, Role::Representative])?;
        let actor = actor_of(call)?;
        let message = request.into_inner();
        let mut violations = Violations::default();
        let dossier = dmp_id(&mut violations, &message.dmp_id);
        violations.page_size(message.page_size);
        let (dossier,) = violations.gather((dossier,))?;
        let query = pb::ListRepresentativesRequest {
            dmp_id: message.dmp_id.clone(),
            ..Default::default()
        };
        let page = page(message.page_size, &message.page_token, &query)?;
        let mut connection = self.db.read().await.map_err(Error::from)?;
        // The desk that registers representatives sees them, though it never reads the journal.
        if actor.role != Role::Administrator {
            self.admit(&mut connection, &actor, &dossier, Operation::ReadJournal)
                .await?;
        }
        let moment = self.means.clock.now();
        let listing = Listing {
            dmp_id: &dossier,
            kinds: &[Kind::Representation],
            ended: true,
            moment,
        };
        let (facts, next_page_token) = facts::list::<DB>(&mut connection, &listing, &page)
            .await
            .map_err(Error::from)?;
        let representations = facts.iter().map(rendered).collect::<Result<_>>()?;
        Ok(Response::new(pb::ListRepresentativesResponse {
            representations,
            next_page_token,
        }))
    }

    async fn designate_trusted_person(
        &self,
        _request: Request<pb::DesignateTrustedPersonRequest>,
    ) -> Result<Response<pb::TrustedPerson>, Status> {
        Err(Status::unimplemented("not there yet"))
    }

    async fn revoke_trusted_person(
        &self,
        _request: Request<pb::RevokeTrustedPersonRequest>,
    ) -> Result<Response<pb::TrustedPerson>, Status> {
        Err(Status::unimplemented("not there yet"))
    }

    async fn get_trusted_person(
        &self,
        _request: Request<pb::GetTrustedPersonRequest>,
    ) -> Result<Response<pb::TrustedPerson>, Status> {
        Err(Status::unimplemented("not there yet"))
    }
}

fn registered(
    message: &pb::RegisterRepresentativeRequest,
) -> Result<(Uuid, DmpId, Representation, Timestamp), Failure> {
    let mut violations = Violations::default();
    let request_id = violations.uuid("request_id", &message.request_id);
    let dossier = dmp_id(&mut violations, &message.dmp_id);
    let representative = representative(&mut violations, &message.representative);
    let capacity = capacity(&mut violations, message.capacity);
    let until = violations.time("valid_until", message.valid_until.as_ref());
    let (request_id, dossier, representative, capacity, until) =
        violations.gather((request_id, dossier, representative, capacity, until))?;
    Ok((
        request_id,
        dossier,
        Representation {
            representative,
            capacity,
        },
        until,
    ))
}

fn representative(violations: &mut Violations, text: &str) -> Option<Representative> {
    let text = violations.text("representative", text, REPRESENTATIVE)?;
    let read = Representative::parse(&text).ok_or(("NOT_ISSUER_AND_SUBJECT", "must be `issuer|subject`"));
    violations.check("representative", read)
}

fn capacity(violations: &mut Violations, number: i32) -> Option<Capacity> {
    let capacity = violations.choice::<Capacity>("capacity", number)?;
    let represents = matches!(capacity, Capacity::Parent | Capacity::Guardian);
    let checked = if represents {
        Ok(capacity)
    } else {
        Err(("NOT_A_REPRESENTATIVES", "must be PARENT or GUARDIAN"))
    };
    violations.check("capacity", checked)
}

/// Looked at in the act and not before: a request repeated after its term is answered as it was.
fn in_the_future(until: Timestamp, now: Timestamp) -> Result<Timestamp, Failure> {
    let mut violations = Violations::default();
    let until = violations.check("valid_until", term::future(until, now));
    violations.gather((until,)).map(|(until,)| until)
}

fn rendered(fact: &Fact) -> Result<pb::Representation> {
    match resource(fact) {
        Resource::Representation(representation) => Ok(representation),
        _ => Err(Error::NotFound("representation")),
    }
}
