//! AuthorizationService: who, among professionals and structures, may come in.

use api::codes::PROFESSIONS;
use api::common::v1::Role;
use api::consent::v1 as pb;
use api::consent::v1::authorization_service_server::AuthorizationService;
use api::consent::v1::{AuthorizationKind, Operation};
use api::identity::{Check, DmpId, ProfessionalId, StructureId};
use serve::{Actor, Call, Failure, Violations};
use std::collections::BTreeSet;
use store::time::Timestamp;
use store::{Engine, RequestKey};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::render::{Resource, resource};
use super::{Rpc, actor_of, dmp_id, fact_named, page, request_key};
use crate::act::Act;
use crate::decision::Concern;
use crate::error::{Error, Result};
use crate::fact::{Authorization, Fact, Grantee, Kind, Secrets, What};
use crate::facts::{self, Listing};
use crate::term;

const AUTHORIZE: &str = "dmp.consent.v1.AuthorizationService/AuthorizeProfessional";
const REVOKE: &str = "dmp.consent.v1.AuthorizationService/RevokeAuthorization";
const BLOCK: &str = "dmp.consent.v1.AuthorizationService/BlockProfessional";
const UNBLOCK: &str = "dmp.consent.v1.AuthorizationService/UnblockProfessional";
const DESIGNATE: &str = "dmp.consent.v1.AuthorizationService/DesignateTreatingPhysician";
const END_TREATING: &str = "dmp.consent.v1.AuthorizationService/EndTreatingPhysician";

const JOIN_TEAM: &str = "dmp.consent.v1.AuthorizationService/JoinCareTeam";
const LEAVE_TEAM: &str = "dmp.consent.v1.AuthorizationService/LeaveCareTeam";
const GRANT_RIGHTS: &str = "dmp.consent.v1.AuthorizationService/GrantEqualRights";
const END_RIGHTS: &str = "dmp.consent.v1.AuthorizationService/EndEqualRights";

/// Professionals that one request names as a care team.
const TEAM_MAX: usize = 20;

#[tonic::async_trait]
impl<DB: Engine> AuthorizationService for Rpc<DB> {
    async fn authorize_professional(
        &self,
        request: Request<pb::AuthorizeProfessionalRequest>,
    ) -> Result<Response<pb::Authorization>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let (request_id, dmp_id, mut authorization, until, secret) = authorized(&actor, &message)?;
        let key = request_key(&actor, AUTHORIZE, request_id, &message);
        let means = self.means.clone();
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let concern = match &authorization.grantee {
                        Grantee::Professional(professional) if is_own(&actor, professional) => Concern::OwnEntry,
                        Grantee::Professional(_) => Concern::Colleague,
                        Grantee::Structure(_) => Concern::SomebodyElse,
                    };
                    if concern == Concern::OwnEntry {
                        authorization.profession = actor.profession.clone();
                    }
                    let act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    let mut act = act.kept_secret(secret);
                    act.demand(Operation::ManageProfessionals, concern)?;
                    let until = end(until, act.moment())?;
                    // A new term, longer or shorter, takes the place of the old one.
                    let fact = act.replace(What::Authorization(authorization), Some(until)).await?;
                    rendered(&fact)
                })
            })
            .await?;
        Ok(Response::new(answered))
    }

    async fn revoke_authorization(
        &self,
        request: Request<pb::RevokeAuthorizationRequest>,
    ) -> Result<Response<pb::Authorization>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let named = named(&message.request_id, &message.dmp_id, &message.authorization_id)?;
        let key = request_key(&actor, REVOKE, named.request_id, &message);
        self.end_entry(actor, key, named, AuthorizationKind::Authorized).await
    }

    async fn block_professional(
        &self,
        request: Request<pb::BlockProfessionalRequest>,
    ) -> Result<Response<pb::Authorization>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let (request_id, dmp_id, professional) =
            professional_named(&message.request_id, &message.dmp_id, &message.professional_id)?;
        let key = request_key(&actor, BLOCK, request_id, &message);
        let means = self.means.clone();
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    act.demand(Operation::ManageProfessionals, Concern::SomebodyElse)?;
                    act.end_grants(Some(&professional)).await?;
                    let fact = act.record("block", What::Block(professional), None).await?;
                    rendered(&fact)
                })
            })
            .await?;
        Ok(Response::new(answered))
    }

    async fn unblock_professional(
        &self,
        request: Request<pb::UnblockProfessionalRequest>,
    ) -> Result<Response<pb::Authorization>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let named = named(&message.request_id, &message.dmp_id, &message.authorization_id)?;
        let key = request_key(&actor, UNBLOCK, named.request_id, &message);
        self.end_entry(actor, key, named, AuthorizationKind::Blocked).await
    }

    async fn designate_treating_physician(
        &self,
        request: Request<pb::DesignateTreatingPhysicianRequest>,
    ) -> Result<Response<pb::Authorization>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let (request_id, dmp_id, professional) =
            professional_named(&message.request_id, &message.dmp_id, &message.professional_id)?;
        let key = request_key(&actor, DESIGNATE, request_id, &message);
        let means = self.means.clone();
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let concern = own(&actor, &professional, Concern::OwnDesignation);
                    let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                    act.demand(Operation::ManageProfessionals, concern)?;
                    let fact = act
                        .record("treating physician", What::TreatingPhysician(professional), None)
                        .await?;
                    rendered(&fact)
                })
            })
            .await?;
        Ok(Response::new(answered))
    }

    async fn end_treating_physician(
        &self,
        request: Request<pb::EndTreatingPhysicianRequest>,
    ) -> Result<Response<pb::Authorization>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let named = named(&message.request_id, &message.dmp_id, &message.authorization_id)?;
        let key = request_key(&actor, END_TREATING, named.request_id, &message);
        self.end_entry(actor, key, named, AuthorizationKind::TreatingPhysician)
            .await
    }

    async fn join_care_team(
        &self,
        request: Request<pb::JoinCareTeamRequest>,
    ) -> Result<Response<pb::JoinCareTeamResponse>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let (request_id, dmp_id, team, until) = joined(&message)?;
        let key = request_key(&actor, JOIN_TEAM, request_id, &message);
        let means = self.means.clone();
        let answered = self.once(key, move |connection| {
            Box::pin(async move {
                let concern = concern_of_team(&actor, &team);
                let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                act.demand(Operation::ManageProfessionals, concern)?;
                let until = end(Some(until), act.moment())?;
                let mut members = Vec::with_capacity(team.len());
                for member in team {
                    let fact = act.replace(What::CareTeam(member), Some(until)).await?;
                    members.push(rendered(&fact)?);
                }
                Ok(pb::JoinCareTeamResponse { members })
            })
        });
        Ok(Response::new(answered.await?))
    }

    async fn leave_care_team(
        &self,
        request: Request<pb::LeaveCareTeamRequest>,
    ) -> Result<Response<pb::Authorization>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let named = named(&message.request_id, &message.dmp_id, &message.authorization_id)?;
        let key = request_key(&actor, LEAVE_TEAM, named.request_id, &message);
        self.end_entry(actor, key, named, AuthorizationKind::CareTeam).await
    }

    async fn grant_equal_rights(
        &self,
        request: Request<pb::GrantEqualRightsRequest>,
    ) -> Result<Response<pb::Authorization>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let (request_id, dmp_id, professional) =
            professional_named(&message.request_id, &message.dmp_id, &message.professional_id)?;
        let key = request_key(&actor, GRANT_RIGHTS, request_id, &message);
        let means = self.means.clone();
        let answered = self.once(key, move |connection| {
            Box::pin(async move {
                let mut act = Act::<DB>::begin(connection, means, actor, dmp_id).await?;
                // Never one's own to take.
                act.demand(Operation::ManageProfessionals, Concern::SomebodyElse)?;
                let fact = act
                    .record("equal rights", What::EqualRights(professional), None)
                    .await?;
                rendered(&fact)
            })
        });
        Ok(Response::new(answered.await?))
    }

    async fn end_equal_rights(
        &self,
        request: Request<pb::EndEqualRightsRequest>,
    ) -> Result<Response<pb::Authorization>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let named = named(&message.request_id, &message.dmp_id, &message.authorization_id)?;
        let key = request_key(&actor, END_RIGHTS, named.request_id, &message);
        self.end_entry(actor, key, named, AuthorizationKind::EqualRights).await
    }

    async fn list_professionals(
        &self,
        request: Request<pb::ListProfessionalsRequest>,
    ) -> Result<Response<pb::ListProfessionalsResponse>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let message = request.into_inner();
        let mut violations = Violations::default();
        let dossier = dmp_id(&mut violations, &message.dmp_id);
        violations.page_size(message.page_size);
        let kind = AuthorizationKind::try_from(message.kind);
        let kind = violations.check("kind", kind.map_err(|_| ("UNKNOWN_VALUE", "must be one of the kinds")));
        let (dossier, kind) = violations.gather((dossier, kind))?;
        let query = pb::ListProfessionalsRequest {
            page_size: 0,
            page_token: String::new(),
            ..message.clone()
        };
        let page = page(message.page_size, &message.page_token, &query)?;
        let mut connection = self.db.read().await.map_err(Error::from)?;
        // Who may know who came in may know who can: the same callers, by the same rules.
        self.admit(&mut connection, &actor, &dossier, Operation::ReadJournal)
            .await?;
        let moment = self.means.clock.now();
        let listing = Listing {
            dmp_id: &dossier,
            kinds: kinds(kind),
            ended: message.show_ended,
            moment,
            secrets: Secrets::of(&actor),
        };
        let (facts, next_page_token) = facts::list::<DB>(&mut connection, &listing, &page)
            .await
            .map_err(Error::from)?;
        let authorizations = facts.iter().map(rendered).collect::<Result<_>>()?;
        Ok(Response::new(pb::ListProfessionalsResponse {
            authorizations,
            next_page_token,
        }))
    }
}

/// An entry of the list of professionals, as a request names it.
struct Named {
    request_id: Uuid,
    dmp_id: DmpId,
    id: Uuid,
}

fn named(request_id: &str, dossier: &str, id: &str) -> Result<Named, Failure> {
    let (request_id, dmp_id, id) = fact_named(request_id, dossier, "authorization_id", id)?;
    Ok(Named { request_id, dmp_id, id })
}

impl<DB: Engine> Rpc<DB> {
    /// Ends an entry of this kind.
    async fn end_entry(
        &self,
        actor: std::sync::Arc<Actor>,
        key: RequestKey,
        named: Named,
        kind: AuthorizationKind,
    ) -> Result<Response<pb::Authorization>, Status> {
        let means = self.means.clone();
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let mut act = Act::<DB>::begin(connection, means, actor.clone(), named.dmp_id).await?;
                    let fact = act.find(named.id).await?;
                    let fact = fact.filter(|fact| rendered(fact).is_ok_and(|entry| entry.kind() == kind));
                    // Whose it is decides before whether it is there: a stranger learns neither.
                    act.demand(Operation::ManageProfessionals, concern(&actor, fact.as_ref()))?;
                    let fact = fact.ok_or(Error::NotFound("authorization"))?;
                    let ended = act.end(&fact).await?;
                    // An authorisation recorded during a block must not wake up by the end of the block.
                    if let What::Block(professional) = &ended.what {
                        act.end_grants(Some(professional)).await?;
                    }
                    rendered(&ended)
                })
            })
            .await?;
        Ok(Response::new(answered))
    }
}

/// Whom an entry is about, for who ends it. A block is never one's own to end.
fn concern(actor: &Actor, entry: Option<&Fact>) -> Concern {
    match entry.map(|fact| &fact.what) {
        Some(What::Authorization(Authorization {
            grantee: Grantee::Professional(professional),
            ..
        }))
        | Some(
            What::TreatingPhysician(professional)
            | What::EqualRights(professional)
            | What::CareTeam(Grantee::Professional(professional)),
        ) => own(actor, professional, Concern::OwnEntry),
        Some(What::CareTeam(Grantee::Structure(structure))) => own_team(actor, structure),
        _ => Concern::SomebodyElse,
    }
}

fn own(actor: &Actor, professional: &ProfessionalId, concern: Concern) -> Concern {
    if is_own(actor, professional) {
        concern
    } else {
        Concern::SomebodyElse
    }
}

fn is_own(actor: &Actor, professional: &ProfessionalId) -> bool {
    actor.role == Role::Professional && actor.professional.as_ref() == Some(professional)
}

fn own_team(actor: &Actor, structure: &StructureId) -> Concern {
    if actor.role == Role::Professional && actor.structure.as_ref() == Some(structure) {
        Concern::OwnTeam
    } else {
        Concern::SomebodyElse
    }
}

/// Whom a team is about: professionals by name are for the person to choose, but for the one who enters itself alone.
fn concern_of_team(actor: &Actor, team: &[Grantee]) -> Concern {
    match team {
        [Grantee::Professional(professional)] => own(actor, professional, Concern::OwnEntry),
        [Grantee::Structure(structure)] => own_team(actor, structure),
        _ => Concern::SomebodyElse,
    }
}

type Joined = (Uuid, DmpId, Vec<Grantee>, Timestamp);

fn joined(message: &pb::JoinCareTeamRequest) -> Result<Joined, Failure> {
    let mut violations = Violations::default();
    let request_id = violations.uuid("request_id", &message.request_id);
    let dossier = dmp_id(&mut violations, &message.dmp_id);
    let team = team(&mut violations, message);
    let until = violations.time("valid_until", message.valid_until.as_ref());
    violations.gather((request_id, dossier, team, until))
}

/// A structure, or professionals by name.
fn team(violations: &mut Violations, message: &pb::JoinCareTeamRequest) -> Option<Vec<Grantee>> {
    let ids = &message.professional_ids;
    if !message.structure_id.is_empty() {
        if !ids.is_empty() {
            violations.add(
                "professional_ids",
                "NOT_EXPECTED",
                "must be empty when a structure is given",
            );
            return None;
        }
        let id = StructureId::parse(&message.structure_id, Check::Lenient);
        return violations
            .check("structure_id", id)
            .map(|id| vec![Grantee::Structure(id)]);
    }
    if ids.is_empty() || ids.len() > TEAM_MAX {
        let told = format!("must have 1 to {TEAM_MAX} professionals, unless a structure is given");
        violations.add("professional_ids", "LENGTH", told);
        return None;
    }
    let mut seen = BTreeSet::new();
    let members: Vec<_> = (0..)
        .zip(ids)
        .map(|(place, id): (usize, &String)| {
            let field = format!("professional_ids[{place}]");
            if !seen.insert(id) {
                violations.add(field, "REPEATED", "must be named once");
                return None;
            }
            let id = violations.check(field, ProfessionalId::parse(id, Check::Lenient))?;
            Some(Grantee::Professional(id))
        })
        .collect();
    members.into_iter().collect()
}

type Authorized = (Uuid, DmpId, Authorization, Option<Timestamp>, bool);

fn authorized(actor: &Actor, message: &pb::AuthorizeProfessionalRequest) -> Result<Authorized, Failure> {
    let mut violations = Violations::default();
    let request_id = violations.uuid("request_id", &message.request_id);
    let dossier = dmp_id(&mut violations, &message.dmp_id);
    let grantee = grantee(&mut violations, message);
    let until = match &message.valid_until {
        None => Some(None),
        given => violations.time("valid_until", given.as_ref()).map(Some),
    };
    let profession = profession(&mut violations, message);
    let secret = secret(&mut violations, actor, message.secret);
    let (request_id, dossier, grantee, until, profession, secret) =
        violations.gather((request_id, dossier, grantee, until, profession, secret))?;
    let authorization = Authorization { grantee, profession };
    Ok((request_id, dossier, authorization, until, secret))
}

/// L1111-5: the secret is the minor's, so nobody keeps one who would not be told it.
fn secret(violations: &mut Violations, actor: &Actor, wanted: bool) -> Option<bool> {
    let theirs = Secrets::of(actor).told() || !wanted;
    violations.check(
        "secret",
        theirs
            .then_some(wanted)
            .ok_or(("NOT_YOURS", "is the minor's to ask for")),
    )
}

/// A profession that the nomenclature knows, or none; a structure has none.
fn profession(violations: &mut Violations, message: &pb::AuthorizeProfessionalRequest) -> Option<Option<String>> {
    let known = |code: &str| PROFESSIONS.find(code).is_some() && message.structure_id.is_empty();
    violations.optional("profession", &message.profession, |code| {
        let found = known(code).then(|| code.to_owned());
        found.ok_or(("UNKNOWN_VALUE", "must be a profession (TRE_G15), for a professional"))
    })
}

/// Exactly one of the two. Real identifiers fail their check digit now and then, so it is not demanded.
fn grantee(violations: &mut Violations, message: &pb::AuthorizeProfessionalRequest) -> Option<Grantee> {
    match (message.professional_id.as_str(), message.structure_id.as_str()) {
        (professional, "") => {
            let id = violations.check("professional_id", ProfessionalId::parse(professional, Check::Lenient));
            id.map(Grantee::Professional)
        }
        ("", structure) => {
            let id = violations.check("structure_id", StructureId::parse(structure, Check::Lenient));
            id.map(Grantee::Structure)
        }
        _ => {
            violations.add(
                "structure_id",
                "NOT_EXPECTED",
                "must be empty when a professional is given",
            );
            None
        }
    }
}

fn professional_named(
    request_id: &str,
    dossier: &str,
    professional: &str,
) -> Result<(Uuid, DmpId, ProfessionalId), Failure> {
    let mut violations = Violations::default();
    let request_id = violations.uuid("request_id", request_id);
    let dossier = dmp_id(&mut violations, dossier);
    let professional = violations.check("professional_id", ProfessionalId::parse(professional, Check::Lenient));
    violations.gather((request_id, dossier, professional))
}

/// Looked at in the act and not before: a request repeated after its term is answered as it was.
fn end(asked: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Failure> {
    let mut violations = Violations::default();
    let end = violations.check("valid_until", term::authorization_end(asked, now));
    violations.gather((end,)).map(|(end,)| end)
}

fn kinds(kind: AuthorizationKind) -> &'static [Kind] {
    match kind {
        AuthorizationKind::Authorized => &[Kind::ProfessionalAuthorization, Kind::StructureAuthorization],
        AuthorizationKind::Blocked => &[Kind::Block],
        AuthorizationKind::TreatingPhysician => &[Kind::TreatingPhysician],
        AuthorizationKind::CareTeam => &[Kind::CareTeam, Kind::StructureCareTeam],
        AuthorizationKind::EqualRights => &[Kind::EqualRights],
        AuthorizationKind::Unspecified => &[
            Kind::ProfessionalAuthorization,
            Kind::StructureAuthorization,
            Kind::Block,
            Kind::TreatingPhysician,
            Kind::CareTeam,
            Kind::StructureCareTeam,
            Kind::EqualRights,
        ],
    }
}

fn rendered(fact: &Fact) -> Result<pb::Authorization> {
    match resource(fact) {
        Resource::Authorization(authorization) => Ok(authorization),
        _ => Err(Error::NotFound("authorization")),
    }
}
