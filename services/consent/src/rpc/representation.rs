//! RepresentationService: who may speak for a person, and who is asked what the person would want.

use api::common::v1::Role;
use api::consent::v1 as pb;
use api::consent::v1::representation_service_server::RepresentationService;
use api::consent::v1::{Capacity, ConsentMode, Operation};
use api::identity::{Check, DmpId};
use prost::Message;
use serve::{Call, Failure, Violations};
use store::Engine;
use store::time::Timestamp;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::consent::evidence;
use super::render::{Resource, resource};
use super::{Rpc, actor_of, dmp_id, fact_named, page, request_key};
use crate::act::Act;
use crate::decision::Concern;
use crate::error::{Error, Result};
use crate::fact::{Fact, Kind, Representation, Representative, Secrets, TrustedPerson, What};
use crate::facts::{self, Listing};
use crate::term;
use crate::vault::Place;

const REGISTER: &str = "dmp.consent.v1.RepresentationService/RegisterRepresentative";
const END: &str = "dmp.consent.v1.RepresentationService/EndRepresentation";
const DESIGNATE: &str = "dmp.consent.v1.RepresentationService/DesignateTrustedPerson";
const REVOKE: &str = "dmp.consent.v1.RepresentationService/RevokeTrustedPerson";

/// Length of `issuer|subject`, in characters.
const REPRESENTATIVE: std::ops::RangeInclusive<usize> = 3..=300;

/// Length of a trusted person's name, and of what reaches it, in characters.
const PERSON: std::ops::RangeInclusive<usize> = 1..=200;

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
            secrets: Secrets::of(&actor),
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
        request: Request<pb::DesignateTrustedPersonRequest>,
    ) -> Result<Response<pb::TrustedPerson>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Holder])?;
        let actor = call.actor.clone();
        let message = request.into_inner();
        let (request_id, dmp_id, person) = designated(&message)?;
        let key = request_key(&actor, DESIGNATE, request_id, &message);
        let (means, vault) = (self.means.clone(), self.keys.vault.clone());
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let sealed = vault.seal(Place::TrustedPerson(&dmp_id), &person.encode_to_vec())?;
                    let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    act.demand(Operation::ManageProfessionals, Concern::SomebodyElse)?;
                    let fact = act.replace(What::TrustedPerson(TrustedPerson(sealed)), None).await?;
                    unnamed(&fact)
                })
            })
            .await?;
        Ok(Response::new(self.named(answered).await?))
    }

    async fn revoke_trusted_person(
        &self,
        request: Request<pb::RevokeTrustedPersonRequest>,
    ) -> Result<Response<pb::TrustedPerson>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Holder])?;
        let actor = call.actor.clone();
        let message = request.into_inner();
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &message.request_id);
        let dossier = dmp_id(&mut violations, &message.dmp_id);
        let (request_id, dmp_id) = violations.gather((request_id, dossier))?;
        let key = request_key(&actor, REVOKE, request_id, &message);
        let means = self.means.clone();
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    act.demand(Operation::ManageProfessionals, Concern::SomebodyElse)?;
                    let fact = act.trusted_person().await?.ok_or(Error::NotFound("trusted person"))?;
                    let ended = act.end(&fact).await?;
                    unnamed(&ended)
                })
            })
            .await?;
        Ok(Response::new(self.named(answered).await?))
    }

    async fn get_trusted_person(
        &self,
        request: Request<pb::GetTrustedPersonRequest>,
    ) -> Result<Response<pb::TrustedPerson>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Holder, Role::Professional])?;
        let mut violations = Violations::default();
        let dossier = dmp_id(&mut violations, &request.get_ref().dmp_id);
        let (dossier,) = violations.gather((dossier,))?;
        // Whoever may name the trusted person may also see who it is.
        let operation = match call.actor.role {
            Role::Holder => Operation::ManageProfessionals,
            _ => Operation::ReadDocuments,
        };
        let mut connection = self.db.read().await.map_err(Error::from)?;
        self.admit(&mut connection, &call.actor, &dossier, operation).await?;
        let live = facts::live_of::<DB>(&mut connection, &dossier, Kind::TrustedPerson, 1).await;
        let live = live.map_err(Error::from)?;
        let fact = live.first().ok_or(Error::NotFound("trusted person"))?;
        Ok(Response::new(self.with_name(unnamed(fact)?, fact)?))
    }
}

impl<DB: Engine> Rpc<DB> {
    /// The whole answer, from what is remembered of it: name and contact are kept in one place only, sealed.
    async fn named(&self, answered: pb::TrustedPerson) -> Result<pb::TrustedPerson> {
        let dossier = DmpId::parse(&answered.dmp_id, Check::Lenient).map_err(|_| REMEMBERED)?;
        let id = Uuid::parse_str(&answered.designation_id).map_err(|_| REMEMBERED)?;
        let mut connection = self.db.read().await?;
        let fact = facts::find::<DB>(&mut connection, &dossier, id).await?;
        self.with_name(answered, &fact.ok_or(REMEMBERED)?)
    }

    fn with_name(&self, unnamed: pb::TrustedPerson, fact: &Fact) -> Result<pb::TrustedPerson> {
        let What::TrustedPerson(TrustedPerson(sealed)) = &fact.what else {
            return Err(Error::NotFound("trusted person"));
        };
        let clear = self.keys.vault.open(Place::TrustedPerson(&fact.dmp_id), sealed)?;
        let person = pb::TrustedPerson::decode(clear.as_slice()).map_err(|_| store::Error::Corrupt("facts"))?;
        Ok(pb::TrustedPerson {
            name: person.name,
            contact: person.contact,
            evidence: person.evidence,
            ..unnamed
        })
    }
}

const REMEMBERED: store::Error = store::Error::Corrupt("requests.response");

/// Who is designated, with what is sealed of it and nothing else.
fn designated(message: &pb::DesignateTrustedPersonRequest) -> Result<(Uuid, DmpId, pb::TrustedPerson), Failure> {
    let mut violations = Violations::default();
    let request_id = violations.uuid("request_id", &message.request_id);
    let dossier = dmp_id(&mut violations, &message.dmp_id);
    // Blanks name nobody.
    let name = violations.text("name", message.name.trim(), PERSON);
    let contact = violations.text("contact", message.contact.trim(), PERSON);
    // Signed, so in writing: its digest is mandatory.
    let evidence = evidence(&mut violations, Some(ConsentMode::Written), message.evidence.as_ref());
    let (request_id, dossier, name, contact, evidence) =
        violations.gather((request_id, dossier, name, contact, evidence))?;
    let person = pb::TrustedPerson {
        name,
        contact,
        evidence: Some(pb::Evidence {
            kind: evidence.kind,
            sha256: evidence.sha256.map(Vec::from).unwrap_or_default(),
        }),
        ..pb::TrustedPerson::default()
    };
    Ok((request_id, dossier, person))
}

fn unnamed(fact: &Fact) -> Result<pb::TrustedPerson> {
    match resource(fact) {
        Resource::TrustedPerson(person) => Ok(person),
        _ => Err(Error::NotFound("trusted person")),
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
