//! ConsentService: what the person has agreed to, and opposed.

use api::common::v1::Role;
use api::consent::v1 as pb;
use api::consent::v1::consent_service_server::ConsentService;
use api::consent::v1::{Capacity, ConsentMode, Operation, OppositionKind, Purpose};
use api::identity::DmpId;
use futures::stream::BoxStream;
use journal::LogKey;
use serve::{Actor, Call, Failure, Violations};
use store::Engine;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::render::{Resource, resource};
use super::{Rpc, actor_of, dmp_id, fact_named, page, request_key};
use crate::act::Act;
use crate::decision::Concern;
use crate::error::{Error, Result};
use crate::fact::{Consent, Evidence, Fact, Kind, Secrets, What};
use crate::facts::{self, Listing};
use crate::receipt::Receipt;

const RECORD_CONSENT: &str = "dmp.consent.v1.ConsentService/RecordConsent";
const WITHDRAW_CONSENT: &str = "dmp.consent.v1.ConsentService/WithdrawConsent";
const RECORD_OPPOSITION: &str = "dmp.consent.v1.ConsentService/RecordOpposition";
const WITHDRAW_OPPOSITION: &str = "dmp.consent.v1.ConsentService/WithdrawOpposition";

/// Length of an evidence's kind, in characters.
const EVIDENCE_KIND: std::ops::RangeInclusive<usize> = 1..=64;

#[tonic::async_trait]
impl<DB: Engine> ConsentService for Rpc<DB> {
    type WatchConsentStream = BoxStream<'static, Result<pb::WatchConsentResponse, Status>>;

    async fn watch_consent(
        &self,
        request: Request<pb::WatchConsentRequest>,
    ) -> Result<Response<Self::WatchConsentStream>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.watch(&call, request.get_ref()).await?))
    }

    async fn record_consent(
        &self,
        request: Request<pb::RecordConsentRequest>,
    ) -> Result<Response<pb::Consent>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let (request_id, dmp_id, consent) = recorded(&actor, &message)?;
        let key = request_key(&actor, RECORD_CONSENT, request_id, &message);
        let (means, receipts) = (self.means.clone(), self.keys.receipts.clone());
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    act.demand(Operation::ManageConsents, Concern::Anything)?;
                    check_giver(&mut act, &consent).await?;
                    let fact = act.record("consent", What::Consent(consent), None).await?;
                    receipted(&fact, &receipts)
                })
            })
            .await?;
        Ok(Response::new(answered))
    }

    async fn withdraw_consent(
        &self,
        request: Request<pb::WithdrawConsentRequest>,
    ) -> Result<Response<pb::Consent>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let (request_id, dmp_id, id) =
            fact_named(&message.request_id, &message.dmp_id, "consent_id", &message.consent_id)?;
        let key = request_key(&actor, WITHDRAW_CONSENT, request_id, &message);
        let (means, receipts) = (self.means.clone(), self.keys.receipts.clone());
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    act.demand(Operation::WithdrawConsents, Concern::Anything)?;
                    let fact = act.find(id).await?.ok_or(Error::NotFound("consent"))?;
                    let purpose = purpose(&fact)?;
                    let ended = act.end(&fact).await?;
                    // What rested on the dossier's existence ends with it: a later consent must revive nothing.
                    if purpose == Purpose::Creation {
                        act.end_grants(None).await?;
                    }
                    receipted(&ended, &receipts)
                })
            })
            .await?;
        Ok(Response::new(answered))
    }

    async fn get_consent(&self, request: Request<pb::GetConsentRequest>) -> Result<Response<pb::Consent>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.get_ref();
        let mut violations = Violations::default();
        let dossier = dmp_id(&mut violations, &message.dmp_id);
        let id = violations.uuid("consent_id", &message.consent_id);
        let (dossier, id) = violations.gather((dossier, id))?;
        let mut connection = self.db.read().await.map_err(Error::from)?;
        self.admit(&mut connection, &actor, &dossier, Operation::ReadJournal)
            .await?;
        let fact = facts::find::<DB>(&mut connection, &dossier, id)
            .await
            .map_err(Error::from)?;
        let fact = fact.ok_or(Error::NotFound("consent"))?;
        Ok(Response::new(receipted(&fact, &self.keys.receipts)?))
    }

    async fn list_consents(
        &self,
        request: Request<pb::ListConsentsRequest>,
    ) -> Result<Response<pb::ListConsentsResponse>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let mut violations = Violations::default();
        let dossier = dmp_id(&mut violations, &message.dmp_id);
        violations.page_size(message.page_size);
        let (dossier,) = violations.gather((dossier,))?;
        let query = pb::ListConsentsRequest {
            page_size: 0,
            page_token: String::new(),
            ..message.clone()
        };
        let page = page(message.page_size, &message.page_token, &query)?;
        let mut connection = self.db.read().await.map_err(Error::from)?;
        self.admit(&mut connection, &actor, &dossier, Operation::ReadJournal)
            .await?;
        let moment = self.means.clock.now();
        let listing = Listing {
            dmp_id: &dossier,
            kinds: &[Kind::Consent],
            ended: message.show_withdrawn,
            moment,
            secrets: Secrets::of(&actor),
        };
        let (facts, next_page_token) = facts::list::<DB>(&mut connection, &listing, &page)
            .await
            .map_err(Error::from)?;
        let consents = facts.iter().map(rendered).collect::<Result<_>>()?;
        Ok(Response::new(pb::ListConsentsResponse {
            consents,
            next_page_token,
        }))
    }

    async fn record_opposition(
        &self,
        request: Request<pb::RecordOppositionRequest>,
    ) -> Result<Response<pb::Opposition>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &message.request_id);
        let dossier = dmp_id(&mut violations, &message.dmp_id);
        let kind = violations.choice::<OppositionKind>("kind", message.kind);
        let (request_id, dmp_id, kind) = violations.gather((request_id, dossier, kind))?;
        let key = request_key(&actor, RECORD_OPPOSITION, request_id, &message);
        let means = self.means.clone();
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    act.demand(Operation::ManageConsents, concern(kind))?;
                    let fact = act.record("opposition", What::Opposition(kind), None).await?;
                    rendered_opposition(&fact)
                })
            })
            .await?;
        Ok(Response::new(answered))
    }

    async fn withdraw_opposition(
        &self,
        request: Request<pb::WithdrawOppositionRequest>,
    ) -> Result<Response<pb::Opposition>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let (request_id, dmp_id, id) = fact_named(
            &message.request_id,
            &message.dmp_id,
            "opposition_id",
            &message.opposition_id,
        )?;
        let key = request_key(&actor, WITHDRAW_OPPOSITION, request_id, &message);
        let means = self.means.clone();
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    act.demand(Operation::WithdrawConsents, Concern::Anything)?;
                    let fact = act.find(id).await?.ok_or(Error::NotFound("opposition"))?;
                    let opposition = rendered_opposition(&fact)?;
                    act.demand(Operation::WithdrawConsents, concern(opposition.kind()))?;
                    let ended = act.end(&fact).await?;
                    rendered_opposition(&ended)
                })
            })
            .await?;
        Ok(Response::new(answered))
    }
}

/// What is to be recorded, with every field checked against the others and against who asks.
fn recorded(actor: &Actor, message: &pb::RecordConsentRequest) -> Result<(Uuid, DmpId, Consent), Failure> {
    let mut violations = Violations::default();
    let request_id = violations.uuid("request_id", &message.request_id);
    let dossier = dmp_id(&mut violations, &message.dmp_id);
    let purpose = violations.choice::<Purpose>("purpose", message.purpose);
    let mode = mode(&mut violations, actor.role, message.mode);
    let giver = giver(&mut violations, actor.role, message.giver.as_ref());
    let evidence = evidence(&mut violations, mode, message.evidence.as_ref());
    let (request_id, dossier, purpose, mode, (capacity, representation), evidence) =
        violations.gather((request_id, dossier, purpose, mode, giver, evidence))?;
    Ok((
        request_id,
        dossier,
        Consent {
            purpose,
            capacity,
            representation,
            mode,
            evidence,
        },
    ))
}

fn speaks_for_itself(role: Role) -> bool {
    matches!(role, Role::Holder | Role::Representative)
}

/// Online is what the person does itself; a collector has it in writing, or attests what was said.
fn mode(violations: &mut Violations, role: Role, number: i32) -> Option<ConsentMode> {
    let mode = violations.choice::<ConsentMode>("mode", number)?;
    if speaks_for_itself(role) == (mode == ConsentMode::Online) {
        return Some(mode);
    }
    violations.add(
        "mode",
        "NOT_THE_CALLERS",
        "ONLINE for who speaks for the person, and only then",
    );
    None
}

fn giver(violations: &mut Violations, role: Role, giver: Option<&pb::Giver>) -> Option<(Capacity, Option<Uuid>)> {
    let giver = violations.required("giver", giver)?;
    let capacity = violations.choice::<Capacity>("giver.capacity", giver.capacity)?;
    let represents = matches!(capacity, Capacity::Parent | Capacity::Guardian);
    if speaks_for_itself(role) && represents != (role == Role::Representative) {
        violations.add(
            "giver.capacity",
            "NOT_THE_CALLERS",
            "must be the capacity in which the caller speaks",
        );
    }
    if !represents && !giver.representation_id.is_empty() {
        violations.add(
            "giver.representation_id",
            "NOT_EXPECTED",
            "must be empty when the person speaks itself",
        );
    }
    if !represents {
        return Some((capacity, None));
    }
    let representation = violations.uuid("giver.representation_id", &giver.representation_id)?;
    Some((capacity, Some(representation)))
}

pub(super) fn evidence(
    violations: &mut Violations,
    mode: Option<ConsentMode>,
    evidence: Option<&pb::Evidence>,
) -> Option<Evidence> {
    let evidence = violations.required("evidence", evidence)?;
    let kind = violations.text("evidence.kind", &evidence.kind, EVIDENCE_KIND);
    let digest = match evidence.sha256.as_slice() {
        [] if mode.is_none_or(|mode| mode == ConsentMode::OralCollected) => Ok(None),
        [] => Err(("REQUIRED", "must be given; what was said to a collector goes without")),
        digest => <[u8; 32]>::try_from(digest)
            .map(Some)
            .map_err(|_| ("LENGTH", "must have 32 bytes")),
    };
    let digest = violations.check("evidence.sha256", digest);
    Some(Evidence {
        kind: kind?,
        sha256: digest?,
    })
}

/// A representative's consent rests on a representation that holds, in that capacity; for a representative who calls,
/// on its own.
async fn check_giver<DB: Engine>(act: &mut Act<'_, DB>, consent: &Consent) -> Result<()> {
    let Some(id) = consent.representation else {
        return Ok(());
    };
    let representation = act.representation(id).await?;
    if representation.capacity != consent.capacity {
        return Err(Failure::invalid_field("giver.capacity", "NOT_THE_REPRESENTATIONS", "is another one there").into());
    }
    Ok(())
}

fn purpose(fact: &Fact) -> Result<Purpose> {
    match &fact.what {
        What::Consent(consent) => Ok(consent.purpose),
        _ => Err(Error::NotFound("consent")),
    }
}

fn rendered(fact: &Fact) -> Result<pb::Consent> {
    match resource(fact) {
        Resource::Consent(consent) => Ok(consent),
        _ => Err(Error::NotFound("consent")),
    }
}

/// With its receipt.
fn receipted(fact: &Fact, key: &LogKey) -> Result<pb::Consent> {
    let receipt = Receipt::of(fact).ok_or(Error::NotFound("consent"))?.sign(key);
    let receipt = receipt.map_err(|_| Failure::internal("a receipt cannot be signed"))?;
    Ok(pb::Consent {
        receipt,
        ..rendered(fact)?
    })
}

fn concern(kind: OppositionKind) -> Concern {
    match kind {
        OppositionKind::SecretActs => Concern::SecretActs,
        OppositionKind::BreakGlass | OppositionKind::Centre15 | OppositionKind::Unspecified => Concern::Anything,
    }
}

fn rendered_opposition(fact: &Fact) -> Result<pb::Opposition> {
    match resource(fact) {
        Resource::Opposition(opposition) => Ok(opposition),
        _ => Err(Error::NotFound("opposition")),
    }
}
