//! A fact: what the person or the law says about who may come in, from one revision of the dossier until another.
//!
//! A fact is never changed. It holds while it is live (nobody ended it) and its own term, when it has one, is not over.

use api::consent::v1::{Capacity, ConsentMode, OppositionKind, Purpose};
use api::identity::{DmpId, ProfessionalId, StructureId};
use serve::{Actor, role_name};
use std::fmt;
use store::time::Timestamp;
use uuid::Uuid;

use api::common::v1::Role;

/// What a fact says, and about whom or what.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// An express consent (L1111-14).
    Consent(Consent),
    /// An opposition to one of the two exceptional modes (L1111-17 I), or to the recording of secret acts (R1111-50).
    Opposition(OppositionKind),
    /// Somebody speaks for the person.
    Representation(Representation),
    /// A professional, or everybody acting in a structure, may consult (L1111-19).
    Authorization(Authorization),
    /// A professional may not come in (L1111-19).
    Block(ProfessionalId),
    /// A professional is the person's treating physician (R1111-38).
    TreatingPhysician(ProfessionalId),
    /// A professional, or everybody acting in a structure, takes care of the person (L1110-12).
    CareTeam(Grantee),
    /// A professional has the rights of the treating physician, beside an authorisation (R1111-43 of 2016).
    EqualRights(ProfessionalId),
    /// Somebody is asked what the person would want, and comes in by nothing (L1111-6).
    TrustedPerson(TrustedPerson),
}

/// An express consent.
#[derive(Debug, Clone, PartialEq)]
pub struct Consent {
    /// What for.
    pub purpose: Purpose,
    /// In which capacity somebody gave it.
    pub capacity: Capacity,
    /// The representation on which a representative's consent rests.
    pub representation: Option<Uuid>,
    /// How it was expressed.
    pub mode: ConsentMode,
    /// What proves it.
    pub evidence: Evidence,
}

/// What proves a consent.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// What it is.
    pub kind: String,
    /// Its digest; none for an oral consent that its collector attests.
    pub sha256: Option<[u8; 32]>,
}

/// Somebody speaks for the person.
#[derive(Debug, Clone, PartialEq)]
pub struct Representation {
    /// Who.
    pub representative: Representative,
    /// As a parent or a guardian.
    pub capacity: Capacity,
}

/// A representative as its tokens name it: `issuer|subject`.
#[derive(Clone, PartialEq, Eq)]
pub struct Representative(String);

/// Between issuer and subject. An issuer is a URL, which cannot hold it, so the first one separates.
const SEPARATOR: char = '|';

impl Representative {
    /// Reads `issuer|subject`; `None` when either is missing.
    pub fn parse(text: &str) -> Option<Self> {
        let (issuer, subject) = text.split_once(SEPARATOR)?;
        (!issuer.is_empty() && !subject.is_empty()).then(|| Self(text.to_owned()))
    }

    /// What the actor would be as a representative; `None` for an issuer that could be taken for another.
    pub fn of(actor: &Actor) -> Option<Self> {
        let unmistakable = actor.role == Role::Representative && !actor.issuer.contains(SEPARATOR);
        unmistakable.then(|| Self(format!("{}{SEPARATOR}{}", actor.issuer, actor.subject)))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the actor is this representative: as [`Representative::of`] would say, without writing it down.
    pub(crate) fn is(&self, actor: &Actor) -> bool {
        actor.role == Role::Representative && self.parts() == (actor.issuer.as_str(), actor.subject.as_str())
    }

    /// Issuer and subject.
    pub(crate) fn parts(&self) -> (&str, &str) {
        self.0.split_once(SEPARATOR).unwrap_or_default()
    }
}

impl fmt::Debug for Representative {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Representative(…)")
    }
}

/// The trusted person: name, contact and evidence, sealed for the dossier.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedPerson(pub(crate) Vec<u8>);

impl TrustedPerson {
    /// A dossier has one, whoever it is.
    const SUBJECT: &str = "trusted-person";
}

impl fmt::Debug for TrustedPerson {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TrustedPerson(…)")
    }
}

/// An authorisation to consult.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Whom it lets in.
    pub grantee: Grantee,
    /// A professional's profession (TRE_G15), as known when it was recorded. It opens nothing: it is for counting.
    pub profession: Option<String>,
}

/// Whom an authorisation lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grantee {
    /// One professional.
    Professional(ProfessionalId),
    /// Everybody acting in a structure.
    Structure(StructureId),
}

impl Grantee {
    /// Ps_idNat or Struct_idNat.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Professional(id) => id.as_str(),
            Self::Structure(id) => id.as_str(),
        }
    }
}

/// The kinds of facts, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Consent,
    Opposition,
    Representation,
    ProfessionalAuthorization,
    StructureAuthorization,
    Block,
    TreatingPhysician,
    CareTeam,
    StructureCareTeam,
    EqualRights,
    TrustedPerson,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Consent,
        Self::Opposition,
        Self::Representation,
        Self::ProfessionalAuthorization,
        Self::StructureAuthorization,
        Self::Block,
        Self::TreatingPhysician,
        Self::CareTeam,
        Self::StructureCareTeam,
        Self::EqualRights,
        Self::TrustedPerson,
    ];

    /// As stored: never renamed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Opposition => "opposition",
            Self::Representation => "representation",
            Self::ProfessionalAuthorization => "authorization",
            Self::StructureAuthorization => "structure-authorization",
            Self::Block => "block",
            Self::TreatingPhysician => "treating-physician",
            Self::CareTeam => "care-team",
            Self::StructureCareTeam => "structure-care-team",
            Self::EqualRights => "equal-rights",
            Self::TrustedPerson => "trusted-person",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl What {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Consent(_) => Kind::Consent,
            Self::Opposition(_) => Kind::Opposition,
            Self::Representation(_) => Kind::Representation,
            Self::Authorization(authorization) => match authorization.grantee {
                Grantee::Professional(_) => Kind::ProfessionalAuthorization,
                Grantee::Structure(_) => Kind::StructureAuthorization,
            },
            Self::Block(_) => Kind::Block,
            Self::TreatingPhysician(_) => Kind::TreatingPhysician,
            Self::CareTeam(Grantee::Professional(_)) => Kind::CareTeam,
            Self::CareTeam(Grantee::Structure(_)) => Kind::StructureCareTeam,
            Self::EqualRights(_) => Kind::EqualRights,
            Self::TrustedPerson(_) => Kind::TrustedPerson,
        }
    }

    /// Whether it is secret by what it says, whoever says it.
    pub(crate) fn is_always_secret(&self) -> bool {
        matches!(self, Self::Opposition(OppositionKind::SecretActs))
    }

    /// What the fact is about: by it, facts are found, and of each kind at most one live fact has it openly,
    /// and one secretly.
    pub(crate) fn subject(&self) -> &str {
        match self {
            Self::Consent(consent) => consent.purpose.as_str_name(),
            Self::Opposition(kind) => kind.as_str_name(),
            Self::Representation(representation) => representation.representative.as_str(),
            Self::Authorization(authorization) => authorization.grantee.as_str(),
            Self::CareTeam(member) => member.as_str(),
            Self::Block(professional) | Self::TreatingPhysician(professional) | Self::EqualRights(professional) => {
                professional.as_str()
            }
            Self::TrustedPerson(_) => TrustedPerson::SUBJECT,
        }
    }
}

/// Whether somebody is told what a minor keeps secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// It is there for them as everything else.
    Told,
    /// For them it has not been said.
    Kept,
}

impl Secrets {
    /// Representatives are told nothing (L1111-5, R1111-33).
    pub(crate) fn of(reader: &Actor) -> Self {
        match reader.role {
            Role::Representative => Self::Kept,
            _ => Self::Told,
        }
    }

    /// Whether they are told.
    pub(crate) fn told(self) -> bool {
        self == Self::Told
    }
}

/// Who recorded or ended a fact: `holder`, `representative`, or `role:identifier` of whoever collected it.
#[derive(Clone, PartialEq, Eq)]
pub struct Recorder(String);

impl Recorder {
    /// The actor as a recorder.
    pub fn of(actor: &Actor) -> Self {
        let role = role_name(actor.role).to_lowercase();
        let identifier = match actor.role {
            Role::Holder | Role::Representative => return Self(role),
            Role::Professional => actor.professional.as_ref().map(ProfessionalId::as_str),
            Role::EstablishmentSystem => actor.structure.as_ref().map(StructureId::as_str),
            _ => None,
        };
        Self(format!("{role}:{}", identifier.unwrap_or(&actor.subject)))
    }

    /// As read from where it was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// As stored and shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The collector, when there was one: whoever speaks for the person needs none.
    pub fn collector(&self) -> Option<&str> {
        self.0.contains(':').then_some(self.as_str())
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, _identifier) = self.0.split_once(':').unwrap_or((&self.0, ""));
        write!(formatter, "Recorder({role}, …)")
    }
}

/// When and under which revision a fact was ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// The revision that ended it: from it on, the fact is no longer live.
    pub revision: i64,
}

/// A fact of one dossier.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Its identifier.
    pub id: Uuid,
    /// The dossier.
    pub dmp_id: DmpId,
    /// What it says.
    pub what: What,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Who recorded it.
    pub recorded_by: Recorder,
    /// The revision that brought it.
    pub revision: i64,
    /// Until when it holds (exclusive), when it has a term.
    pub valid_until: Option<Timestamp>,
    /// Its end, when somebody ended it.
    pub end: Option<End>,
    /// Whether representatives are told nothing of it (L1111-5).
    pub secret: bool,
}

impl Fact {
    /// Whether it says anything at this moment: live, and within its term.
    pub fn holds(&self, moment: Timestamp) -> bool {
        self.end.is_none() && self.valid_until.is_none_or(|end| moment < end)
    }

    /// The last revision that touched it: the one that brought it, or that ended it.
    pub fn last_revision(&self) -> i64 {
        self.end.as_ref().map_or(self.revision, |end| end.revision)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use super::*;
    use crate::cases;

    #[test]
    fn every_kind_is_read_back_under_the_name_it_is_stored_by() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
        assert_eq!(Kind::parse("anything"), None);
    }

    /// Two issuers must never make one representative.
    #[test]
    fn a_representative_is_known_by_issuer_and_subject_together() {
        let mut actor = cases::representative();
        (actor.issuer, actor.subject) = ("https://a".into(), "b|c".into());
        let known = Representative::of(&actor).unwrap();
        assert_eq!(known.as_str(), "https://a|b|c");
        (actor.issuer, actor.subject) = ("https://a|b".into(), "c".into());
        assert_eq!(Representative::of(&actor), None);
        assert_eq!(Representative::of(&cases::professional("10", "")), None);
    }

    /// The two ways to know a representative never differ.
    #[test]
    fn an_actor_is_the_representative_that_it_would_be_written_as() {
        for (issuer, subject) in [
            ("https://a", "b"),
            ("https://a", "b|c"),
            ("https://a|b", "c"),
            ("", "b"),
            ("a", ""),
        ] {
            for role in [Role::Representative, Role::Holder] {
                let mut actor = cases::actor(role);
                (actor.issuer, actor.subject) = (issuer.into(), subject.into());
                for text in ["https://a|b", "https://a|b|c", "a|b"] {
                    let held = Representative::parse(text).unwrap();
                    let written = Representative::of(&actor).as_ref() == Some(&held);
                    assert_eq!(held.is(&actor), written, "{issuer} {subject} {role:?} {text}");
                }
            }
        }
    }

    /// L1111-5: representatives alone are told nothing.
    #[test]
    fn secrets_are_kept_from_representatives() {
        assert!(!Secrets::of(&cases::representative()).told());
        for reader in [
            cases::holder(),
            cases::professional("10", ""),
            cases::actor(Role::Auditor),
        ] {
            assert!(Secrets::of(&reader).told());
        }
    }

    #[test]
    fn a_representative_without_issuer_or_subject_is_none() {
        assert!(Representative::parse("issuer|subject").is_some());
        for text in ["", "|", "issuer|", "|subject", "issuer"] {
            assert_eq!(Representative::parse(text), None, "{text}");
        }
    }

    /// Consents name their collector; what the person says needs none.
    #[test]
    fn a_collector_is_named_by_role_and_identifier() {
        assert_eq!(
            Recorder::of(&cases::professional("10", "")).collector(),
            Some("professional:810000000017")
        );
        assert_eq!(
            Recorder::of(&cases::actor(Role::Administrator)).collector(),
            Some("administrator:somebody")
        );
        assert_eq!(Recorder::of(&cases::holder()).collector(), None);
        assert_eq!(Recorder::of(&cases::representative()).as_str(), "representative");
        assert!(!format!("{:?}", Recorder::of(&cases::professional("10", ""))).contains("81000"));
    }
}
