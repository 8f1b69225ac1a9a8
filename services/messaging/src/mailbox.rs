//! A mailbox: its kind, its owner, and who may act for it.

use api::common::v1::Role;
use api::identity::{ProfessionalId, StructureId};
use api::messaging::v1 as pb;
use serve::Actor;
use std::fmt;
use store::time::{Timestamp, to_proto};
use uuid::Uuid;

use crate::address::Address;
use crate::party::PartyId;
use crate::settings::Checks;

/// Longest description, in characters.
pub(crate) const DESCRIPTION_MAX: usize = 200;

/// Kinds of mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a person.
    Per,
    /// Of a practice, on a professional.
    Cab,
    /// Of a service or team, on a structure.
    Org,
    /// Of a machine, on a structure.
    App,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Per, Self::Cab, Self::Org, Self::App];

    /// The official code, as stored.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Per => "PER",
            Self::Cab => "CAB",
            Self::Org => "ORG",
            Self::App => "APP",
        }
    }

    pub(crate) fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// `None` for the contract's zero.
    pub(crate) fn from_proto(kind: pb::MailboxType) -> Option<Self> {
        match kind {
            pb::MailboxType::Unspecified => None,
            pb::MailboxType::Person => Some(Self::Per),
            pb::MailboxType::Practice => Some(Self::Cab),
            pb::MailboxType::Organization => Some(Self::Org),
            pb::MailboxType::Application => Some(Self::App),
        }
    }

    fn to_proto(self) -> pb::MailboxType {
        match self {
            Self::Per => pb::MailboxType::Person,
            Self::Cab => pb::MailboxType::Practice,
            Self::Org => pb::MailboxType::Organization,
            Self::App => pb::MailboxType::Application,
        }
    }

    /// Reads an owner's identifier: Ps_idNat for PER and CAB, Struct_idNat for ORG and APP.
    pub(crate) fn parse_owner(self, text: &str, checks: Checks) -> Result<PartyId, api::identity::IdentityError> {
        match self {
            Self::Per | Self::Cab => ProfessionalId::parse(text, checks.professional_id).map(PartyId::Professional),
            Self::Org | Self::App => StructureId::parse(text, checks.structure_id).map(PartyId::Structure),
        }
    }
}

/// A mailbox.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) id: Uuid,
    pub(crate) address: Address,
    pub(crate) kind: Kind,
    pub(crate) owner: PartyId,
    pub(crate) unlisted: bool,
    pub(crate) description: String,
    pub(crate) opened_at: Timestamp,
    pub(crate) closed_at: Option<Timestamp>,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Mailbox({}, {:?}, …)", self.id, self.kind)
    }
}

impl Mailbox {
    /// Whether `actor` may act for it: its professional; anybody who acts in its structure.
    pub(crate) fn is_owned_by(&self, actor: &Actor) -> bool {
        Owned::by(actor).is_some_and(|owned| owned.covers(&self.owner))
    }

    pub(crate) fn to_proto(&self) -> pb::Mailbox {
        let state = match self.closed_at {
            None => pb::MailboxState::Open,
            Some(_) => pb::MailboxState::Closed,
        };
        pb::Mailbox {
            mailbox_id: self.id.to_string(),
            address: self.address.as_str().to_owned(),
            r#type: self.kind.to_proto().into(),
            owner_id: self.owner.as_str().to_owned(),
            unlisted: self.unlisted,
            description: self.description.clone(),
            state: state.into(),
            opened_at: Some(to_proto(self.opened_at)),
            closed_at: self.closed_at.map(to_proto),
        }
    }
}

/// Whose mailboxes an actor acts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) professional: Option<ProfessionalId>,
    pub(crate) structure: Option<StructureId>,
}

impl Owned {
    /// `None` for roles that own no mailbox, whatever their token says of a structure.
    pub(crate) fn by(actor: &Actor) -> Option<Self> {
        let structure = actor.structure.clone();
        match actor.role {
            Role::Professional => Some(Self {
                professional: actor.professional.clone(),
                structure,
            }),
            Role::EstablishmentSystem => Some(Self {
                professional: None,
                structure,
            }),
            _ => None,
        }
    }

    fn covers(&self, owner: &PartyId) -> bool {
        match owner {
            PartyId::Professional(id) => self.professional.as_ref() == Some(id),
            PartyId::Structure(id) => self.structure.as_ref() == Some(id),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use api::common::v1 as common;
    use testkit::actor::{HOSPITAL, OTHER_PHYSICIAN, PHYSICIAN};

    fn mailbox(kind: Kind, owner: &str) -> Mailbox {
        Mailbox {
            id: Uuid::nil(),
            address: Address::parse("a@mssante.fr").unwrap(),
            kind,
            owner: kind.parse_owner(owner, Checks::default()).unwrap(),
            unlisted: false,
            description: String::new(),
            opened_at: Timestamp::UNIX_EPOCH,
            closed_at: None,
        }
    }

    fn actor(role: Role, professional: &str, structure: &str) -> Actor {
        let actor = common::Actor {
            role: role.into(),
            subject: "subject".to_owned(),
            issuer: "issuer".to_owned(),
            professional_id: professional.to_owned(),
            profession: "10".to_owned(),
            structure_id: structure.to_owned(),
            dmp_id: if role == Role::Holder {
                "12345678901234567890".to_owned()
            } else {
                String::new()
            },
            ..common::Actor::default()
        };
        Actor::from_proto(&actor).unwrap()
    }

    /// A person's mailbox is that person's only; a structure's is that of everybody who acts there.
    #[test]
    fn a_mailbox_is_its_owners_and_nobody_elses() {
        let person = mailbox(Kind::Per, PHYSICIAN);
        let team = mailbox(Kind::Org, HOSPITAL);
        let physician = actor(Role::Professional, PHYSICIAN, HOSPITAL);
        assert!(person.is_owned_by(&physician) && team.is_owned_by(&physician));
        let colleague = actor(Role::Professional, OTHER_PHYSICIAN, HOSPITAL);
        assert!(!person.is_owned_by(&colleague) && team.is_owned_by(&colleague));
        let elsewhere = actor(Role::Professional, OTHER_PHYSICIAN, "");
        assert!(!person.is_owned_by(&elsewhere) && !team.is_owned_by(&elsewhere));
        let system = actor(Role::EstablishmentSystem, PHYSICIAN, HOSPITAL);
        assert!(!person.is_owned_by(&system) && team.is_owned_by(&system));
    }

    /// The administrator administers and never reads content, even with a token that names a structure.
    #[test]
    fn other_roles_own_no_mailbox() {
        let roles = [
            Role::Administrator,
            Role::Auditor,
            Role::Service,
            Role::ExcludedParty,
            Role::Representative,
        ];
        for role in roles {
            let actor = actor(role, PHYSICIAN, HOSPITAL);
            assert!(!mailbox(Kind::Per, PHYSICIAN).is_owned_by(&actor), "{role:?}");
            assert!(!mailbox(Kind::App, HOSPITAL).is_owned_by(&actor), "{role:?}");
        }
    }

    #[test]
    fn a_kind_is_stored_by_its_code() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), Some(kind));
            assert_eq!(Kind::from_proto(kind.to_proto()), Some(kind));
        }
        assert_eq!(Kind::from_code("per"), None);
    }
}
