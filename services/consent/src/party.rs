//! Those whom facts can let in, as one names them before they come: what their tokens will say besides is not known.

use api::common::v1::{AuthenticationLevel, Role};
use api::identity::{Check, ProfessionalId, StructureId};
use serve::Actor;

use crate::circle::PHYSICIAN;
use crate::fact::Representative;

/// Somebody whom facts name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Party {
    /// A professional.
    Professional(ProfessionalId),
    /// Everybody acting in a structure.
    Structure(StructureId),
    /// A representative.
    Representative(Representative),
}

impl Party {
    /// The party of a kind's place in listings and a name; `None` when the name cannot be one of that kind.
    pub(crate) fn of(place: i64, name: &str) -> Option<Self> {
        match place {
            0 => ProfessionalId::parse(name, Check::Lenient).ok().map(Self::Professional),
            1 => StructureId::parse(name, Check::Lenient).ok().map(Self::Structure),
            2 => Representative::parse(name).map(Self::Representative),
            _ => None,
        }
    }

    /// Where listings put its kind.
    pub(crate) fn place(&self) -> i64 {
        match self {
            Self::Professional(_) => 0,
            Self::Structure(_) => 1,
            Self::Representative(_) => 2,
        }
    }

    /// How facts name it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Professional(id) => id.as_str(),
            Self::Structure(id) => id.as_str(),
            Self::Representative(representative) => representative.as_str(),
        }
    }

    /// The party as it would come. Of a professional nothing is known but the name, so it is taken for a physician
    /// without specialty: the profession that the matrix and the rules narrow least.
    pub(crate) fn actor(&self) -> Actor {
        let (issuer, subject) = match self {
            Self::Representative(representative) => representative.parts(),
            Self::Professional(_) | Self::Structure(_) => ("", ""),
        };
        let professional = !matches!(self, Self::Representative(_));
        Actor {
            role: if professional {
                Role::Professional
            } else {
                Role::Representative
            },
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            professional: match self {
                Self::Professional(id) => Some(id.clone()),
                _ => None,
            },
            profession: professional.then(|| PHYSICIAN.to_owned()),
            specialty: None,
            structure: match self {
                Self::Structure(id) => Some(id.clone()),
                _ => None,
            },
            authentication_level: AuthenticationLevel::Unspecified,
            dmp_id: None,
            via_service: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_party_is_read_back_from_its_place_and_name() {
        for (place, name) in [(0, "810000000017"), (1, "1750000010"), (2, "issuer|subject")] {
            let party = Party::of(place, name).unwrap();
            assert_eq!((party.place(), party.name()), (place, name));
        }
        assert_eq!(Party::of(2, "subject"), None);
        assert_eq!(Party::of(3, "810000000017"), None);
    }

    /// A representative is let in by the facts that its own token would find.
    #[test]
    fn a_representative_comes_under_the_name_that_facts_give_it() {
        let party = Party::of(2, "https://issuer|sub|ject").unwrap();
        assert_eq!(Representative::of(&party.actor()).unwrap().as_str(), party.name());
    }
}
