//! Domain → contract.

use api::consent::v1 as pb;
use api::consent::v1::AuthorizationKind;
use api::consent::v1::list_who_can_access_response::PartyKind;
use api::consent::v1::watch_consent_response::Event as Told;
use prost::Message;
use store::time::{Timestamp, to_proto};

use crate::decision::{Alternative, Basis, Decision, Grant, Outcome, Permission, Spoken};
use crate::fact::{Consent, Fact, Representation, What};
use crate::party::Party;
use crate::rules::{Effect, Rule};

/// A fact as the contract's resource for its kind.
pub(crate) enum Resource {
    Consent(pb::Consent),
    Opposition(pb::Opposition),
    Representation(pb::Representation),
    Authorization(pb::Authorization),
    /// Without name, contact and evidence: they are sealed.
    TrustedPerson(pb::TrustedPerson),
}

/// The fact's resource.
pub(crate) fn resource(fact: &Fact) -> Resource {
    match &fact.what {
        What::Consent(given) => Resource::Consent(consent(fact, given)),
        What::Opposition(kind) => Resource::Opposition(opposition(fact, *kind)),
        What::Representation(held) => Resource::Representation(representation(fact, held)),
        What::Authorization(given) => Resource::Authorization(pb::Authorization {
            profession: given.profession.clone().unwrap_or_default(),
            ..authorization(fact, AuthorizationKind::Authorized, given.grantee.as_str())
        }),
        What::Block(professional) => {
            Resource::Authorization(authorization(fact, AuthorizationKind::Blocked, professional.as_str()))
        }
        What::CareTeam(member) => {
            Resource::Authorization(authorization(fact, AuthorizationKind::CareTeam, member.as_str()))
        }
        What::EqualRights(professional) => Resource::Authorization(authorization(
            fact,
            AuthorizationKind::EqualRights,
            professional.as_str(),
        )),
        What::TreatingPhysician(professional) => Resource::Authorization(authorization(
            fact,
            AuthorizationKind::TreatingPhysician,
            professional.as_str(),
        )),
        What::TrustedPerson(_) => Resource::TrustedPerson(trusted_person(fact)),
    }
}

/// The event of a fact recorded or ended: its resource, which says which of the two by its times.
pub(crate) fn event(fact: &Fact) -> prost_types::Any {
    let (name, value) = match resource(fact) {
        Resource::Consent(message) => ("Consent", message.encode_to_vec()),
        Resource::Opposition(message) => ("Opposition", message.encode_to_vec()),
        Resource::Representation(message) => ("Representation", message.encode_to_vec()),
        Resource::Authorization(message) => ("Authorization", message.encode_to_vec()),
        Resource::TrustedPerson(message) => ("TrustedPerson", message.encode_to_vec()),
    };
    prost_types::Any {
        type_url: format!("type.googleapis.com/dmp.consent.v1.{name}"),
        value,
    }
}

/// What a watcher is told of an event: nothing of a trusted person. `None` for an event that this version did not write.
pub(crate) fn told(payload: &[u8]) -> Option<Option<Told>> {
    let event = prost_types::Any::decode(payload).ok()?;
    let value = event.value.as_slice();
    Some(Some(match event.type_url.rsplit('.').next()? {
        "Consent" => Told::Consent(pb::Consent::decode(value).ok()?),
        "Opposition" => Told::Opposition(pb::Opposition::decode(value).ok()?),
        "Representation" => Told::Representation(pb::Representation::decode(value).ok()?),
        "Authorization" => Told::Authorization(pb::Authorization::decode(value).ok()?),
        "TrustedPerson" => return Some(None),
        _ => return None,
    }))
}

fn consent(fact: &Fact, given: &Consent) -> pb::Consent {
    pb::Consent {
        consent_id: fact.id.to_string(),
        dmp_id: fact.dmp_id.to_string(),
        purpose: given.purpose.into(),
        giver: Some(pb::Giver {
            capacity: given.capacity.into(),
            representation_id: given.representation.map(|id| id.to_string()).unwrap_or_default(),
        }),
        mode: given.mode.into(),
        evidence: Some(pb::Evidence {
            kind: given.evidence.kind.clone(),
            sha256: given.evidence.sha256.map(Vec::from).unwrap_or_default(),
        }),
        collector: fact.recorded_by.collector().unwrap_or_default().to_owned(),
        recorded_at: Some(to_proto(fact.recorded_at)),
        withdrawn_at: ended_at(fact),
        revision: fact.last_revision(),
        receipt: String::new(),
    }
}

fn opposition(fact: &Fact, kind: pb::OppositionKind) -> pb::Opposition {
    pb::Opposition {
        opposition_id: fact.id.to_string(),
        dmp_id: fact.dmp_id.to_string(),
        kind: kind.into(),
        recorded_at: Some(to_proto(fact.recorded_at)),
        withdrawn_at: ended_at(fact),
        revision: fact.last_revision(),
    }
}

fn representation(fact: &Fact, held: &Representation) -> pb::Representation {
    pb::Representation {
        representation_id: fact.id.to_string(),
        dmp_id: fact.dmp_id.to_string(),
        representative: held.representative.as_str().to_owned(),
        capacity: held.capacity.into(),
        recorded_at: Some(to_proto(fact.recorded_at)),
        valid_until: fact.valid_until.map(to_proto),
        ended_at: ended_at(fact),
        revision: fact.last_revision(),
    }
}

fn authorization(fact: &Fact, kind: AuthorizationKind, grantee: &str) -> pb::Authorization {
    pb::Authorization {
        authorization_id: fact.id.to_string(),
        dmp_id: fact.dmp_id.to_string(),
        grantee: grantee.to_owned(),
        kind: kind.into(),
        recorded_at: Some(to_proto(fact.recorded_at)),
        valid_until: fact.valid_until.map(to_proto),
        ended_at: ended_at(fact),
        recorded_by: fact.recorded_by.as_str().to_owned(),
        revision: fact.last_revision(),
        profession: String::new(),
        secret: fact.secret,
    }
}

fn trusted_person(fact: &Fact) -> pb::TrustedPerson {
    pb::TrustedPerson {
        designation_id: fact.id.to_string(),
        dmp_id: fact.dmp_id.to_string(),
        name: String::new(),
        contact: String::new(),
        evidence: None,
        recorded_at: Some(to_proto(fact.recorded_at)),
        ended_at: ended_at(fact),
        revision: fact.last_revision(),
    }
}

fn ended_at(fact: &Fact) -> Option<prost_types::Timestamp> {
    fact.end.as_ref().map(|end| to_proto(end.at))
}

/// A decision.
pub(crate) fn decision(decision: &Decision) -> pb::Decision {
    pb::Decision {
        outcome: Some(match &decision.outcome {
            Outcome::Granted(granted) => pb::decision::Outcome::Grant(grant(granted)),
            Outcome::Refused(alternatives) => pb::decision::Outcome::Refusal(pb::Refusal {
                alternatives: alternatives.iter().map(alternative).collect(),
            }),
        }),
        bases: decision.bases.iter().map(basis).collect(),
        revision: decision.revision,
        matrix_version: decision.matrix_version.clone(),
        decided_at: Some(to_proto(decision.decided_at)),
        mode: decision.mode.into(),
        authorization_state: decision.authorization_state.into(),
        treating_physician: decision.treating_physician,
        creation_consented: decision.creation_consented,
        secret_connection: decision.secret_connection,
    }
}

fn grant(grant: &Grant) -> pb::Grant {
    pb::Grant {
        permissions: grant.permissions.iter().map(permission).collect(),
        sees_masked: grant.sees.masked,
        sees_hidden_from_holder: grant.sees.hidden_from_holder,
        sees_hidden_from_representatives: grant.sees.hidden_from_representatives,
        obligations: numbers(&grant.obligations),
        valid_until: grant.valid_until.map(to_proto),
    }
}

fn permission(permission: &Permission) -> pb::Permission {
    pb::Permission {
        operation: permission.operation.into(),
        document_types: Some(permission.types.to_proto()),
    }
}

fn alternative(alternative: &Alternative) -> pb::refusal::Alternative {
    pb::refusal::Alternative {
        mode: alternative.mode.into(),
        opens: alternative.outcome.is_ok(),
        obligations: alternative.outcome.as_deref().map(numbers).unwrap_or_default(),
        refused_by: alternative.outcome.as_ref().err().map(basis),
    }
}

fn numbers(obligations: &[pb::Obligation]) -> Vec<i32> {
    obligations.iter().map(|obligation| i32::from(*obligation)).collect()
}

fn basis(basis: &Basis) -> pb::Basis {
    pb::Basis {
        rule: basis.rule.to_owned(),
        article: basis.article.to_owned(),
        summary: basis.summary.to_owned(),
    }
}

/// A rule that held, with the facts it looked at.
pub(crate) fn spoken(spoken: &Spoken, moment: Timestamp) -> pb::SpokenRule {
    pb::SpokenRule {
        basis: Some(basis(&spoken.rule.basis())),
        effect: effect(spoken.rule).to_owned(),
        decides: spoken.decides,
        facts: spoken.facts.iter().map(|fact| reference(fact, moment)).collect(),
    }
}

fn reference(fact: &Fact, moment: Timestamp) -> pb::FactReference {
    pb::FactReference {
        fact_id: fact.id.to_string(),
        kind: fact.what.kind().name().to_owned(),
        recorded_at: Some(to_proto(fact.recorded_at)),
        revision: fact.revision,
        valid_until: fact.valid_until.map(to_proto),
        holds: fact.holds(moment),
    }
}

/// Somebody who may read.
pub(crate) fn party(party: &Party, bases: &[Basis], end: Option<Timestamp>) -> pb::list_who_can_access_response::Party {
    let kind = match party {
        Party::Professional(_) => PartyKind::Professional,
        Party::Structure(_) => PartyKind::Structure,
        Party::Representative(_) => PartyKind::Representative,
    };
    pb::list_who_can_access_response::Party {
        kind: kind.into(),
        name: party.name().to_owned(),
        bases: bases.iter().map(basis).collect(),
        valid_until: end.map(to_proto),
    }
}

fn effect(rule: &Rule) -> &'static str {
    match rule.effect {
        Effect::Forbid => "forbid",
        Effect::Permit(_) => "permit",
    }
}

/// A rule, as it is printed.
pub(crate) fn rule(rule: &Rule) -> pb::list_rules_response::Rule {
    printed(rule.basis(), effect(rule))
}

/// A rule, or what refuses where none permits, as it is printed.
pub(crate) fn printed(basis: Basis, effect: &str) -> pb::list_rules_response::Rule {
    pb::list_rules_response::Rule {
        rule: basis.rule.to_owned(),
        article: basis.article.to_owned(),
        effect: effect.to_owned(),
        summary: basis.summary.to_owned(),
    }
}
