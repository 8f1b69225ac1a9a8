//! Who acts: what a verified token says of its bearer, with typed identifiers.
//!
//! Nothing here comes from a request's body. An [`Actor`]'s `Debug` shows its role only: the rest names a person.

use api::common::v1 as pb;
use api::common::v1::{AuthenticationLevel, Role};
use api::identity::{Check, DmpId, ProfessionalId, StructureId};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

use crate::failure::role_name;

/// A caller, known by its token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Actor {
    /// What the caller is.
    pub role: Role,
    /// The token's `sub`: stable at its issuer, without meaning.
    pub subject: String,
    /// The token's issuer.
    pub issuer: String,
    /// Ps_idNat of a professional; always there for that role.
    pub professional: Option<ProfessionalId>,
    /// Profession code (TRE_G15); always there for a professional.
    pub profession: Option<String>,
    /// Specialty code (TRE_R38).
    pub specialty: Option<String>,
    /// Struct_idNat of the structure in which the caller acts.
    pub structure: Option<StructureId>,
    /// How surely the caller is known.
    pub authentication_level: AuthenticationLevel,
    /// The holder's own dossier; always there for that role.
    pub dmp_id: Option<DmpId>,
    /// The service through which the call came.
    pub via_service: Option<String>,
}

/// What an actor of some role must carry and does not, or carries in a form that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the actor's {0} is missing or malformed")]
pub struct InvalidActor(pub &'static str);

/// The texts of an actor, before they are typed: from a token's claims or from a message.
pub(crate) struct Texts<'a> {
    pub(crate) role: Role,
    pub(crate) subject: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) professional: &'a str,
    pub(crate) profession: &'a str,
    pub(crate) specialty: &'a str,
    pub(crate) structure: &'a str,
    pub(crate) authentication_level: AuthenticationLevel,
    pub(crate) dmp_id: &'a str,
    pub(crate) via_service: &'a str,
}

/// Longest subject, issuer and code taken.
const TEXT_BYTES_MAX: usize = 256;

impl Texts<'_> {
    /// Identifiers are read leniently: real professional numbers fail their Luhn digit now and then.
    pub(crate) fn actor(&self) -> Result<Actor, InvalidActor> {
        let actor = Actor {
            role: self.role,
            subject: present(self.subject, "subject")?.ok_or(InvalidActor("subject"))?,
            issuer: present(self.issuer, "issuer")?.ok_or(InvalidActor("issuer"))?,
            professional: typed(self.professional, "professional_id", ProfessionalId::parse)?,
            profession: present(self.profession, "profession")?,
            specialty: present(self.specialty, "specialty")?,
            structure: typed(self.structure, "structure_id", StructureId::parse)?,
            authentication_level: self.authentication_level,
            dmp_id: typed(self.dmp_id, "dmp_id", DmpId::parse)?,
            via_service: present(self.via_service, "via_service")?,
        };
        match actor.role {
            Role::Unspecified => Err(InvalidActor("role")),
            Role::Holder if actor.dmp_id.is_none() => Err(InvalidActor("dmp_id")),
            Role::Professional if actor.professional.is_none() => Err(InvalidActor("professional_id")),
            Role::Professional if actor.profession.is_none() => Err(InvalidActor("profession")),
            _ => Ok(actor),
        }
    }
}

fn present(text: &str, field: &'static str) -> Result<Option<String>, InvalidActor> {
    let sound = text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    match text {
        _ if !sound => Err(InvalidActor(field)),
        "" => Ok(None),
        text => Ok(Some(text.to_owned())),
    }
}

fn typed<T, E>(
    text: &str,
    field: &'static str,
    parse: impl FnOnce(&str, Check) -> Result<T, E>,
) -> Result<Option<T>, InvalidActor> {
    match text {
        "" => Ok(None),
        text => parse(text, Check::Lenient).map(Some).map_err(|_| InvalidActor(field)),
    }
}

impl Actor {
    /// As the contracts carry it.
    pub fn to_proto(&self) -> pb::Actor {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        pb::Actor {
            role: self.role.into(),
            subject: self.subject.clone(),
            professional_id: self
                .professional
                .as_ref()
                .map(|id| id.as_str().to_owned())
                .unwrap_or_default(),
            profession: text(&self.profession),
            specialty: text(&self.specialty),
            structure_id: self
                .structure
                .as_ref()
                .map(|id| id.as_str().to_owned())
                .unwrap_or_default(),
            authentication_level: self.authentication_level.into(),
            dmp_id: self
                .dmp_id
                .as_ref()
                .map(|id| id.as_str().to_owned())
                .unwrap_or_default(),
            issuer: self.issuer.clone(),
            via_service: text(&self.via_service),
        }
    }

    /// From the contracts: an actor as a service recorded it.
    ///
    /// # Errors
    /// [`InvalidActor`] names the field under which it cannot be an actor.
    pub fn from_proto(actor: &pb::Actor) -> Result<Self, InvalidActor> {
        let level = AuthenticationLevel::try_from(actor.authentication_level);
        Texts {
            role: Role::try_from(actor.role).map_err(|_| InvalidActor("role"))?,
            subject: &actor.subject,
            issuer: &actor.issuer,
            professional: &actor.professional_id,
            profession: &actor.profession,
            specialty: &actor.specialty,
            structure: &actor.structure_id,
            authentication_level: level.map_err(|_| InvalidActor("authentication_level"))?,
            dmp_id: &actor.dmp_id,
            via_service: &actor.via_service,
        }
        .actor()
    }

    /// A pseudonym, stable for one subject of one issuer: what a `request_id` is remembered under. Not reversible,
    /// and the same whichever service the call came through.
    pub fn caller_key(&self) -> String {
        let issuer_bytes = (self.issuer.len() as u64).to_be_bytes();
        let identity = [&issuer_bytes, self.issuer.as_bytes(), self.subject.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &identity))
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Actor({}, …)", role_name(self.role))
    }
}
