//! Who is there: people and physicians, the same for the same seed. All of them are invented.

use api::common::v1::Role;
use api::identifier::v1 as pb;
use api::identity::{Check, Ins, InsOid, ProfessionalId};
use serve::Claims;

/// Different matricules that can be invented: orders, communes, months and years.
const MATRICULES: u64 = 990 * 900 * 12 * 100;
/// Spreads neighbouring seeds over the matricules; prime to their number.
const STRIDE: u64 = 7_368_787;
/// Numbers that can be invented for physicians: 99, where none is given, and eight digits.
const PHYSICIANS: u64 = 100_000_000;

/// A beneficiary, by its number in the population.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) matricule: String,
    pub(crate) birth_date: String,
    pub(crate) commune: String,
}

impl Person {
    pub(crate) const FAMILY: &str = "SPECIMEN-CHARGE";
    pub(crate) const GIVEN: &str = "ALIX";

    /// The `number`-th of a seed's population; `None` never, as long as the tests hold.
    pub(crate) fn invent(seed: u64, number: usize) -> Option<Self> {
        let place = (seed % MATRICULES * STRIDE + number as u64) % MATRICULES;
        let (order, rest) = (place % 990 + 1, place / 990);
        let (commune, rest) = (rest % 900 + 1, rest / 900);
        let (month, year) = (rest % 12 + 1, rest / 12);
        let matricule = format!("2{year:02}{month:02}69{commune:03}{order:03}");
        let ins = Ins::from_matricule(&matricule, InsOid::Test).ok()?;
        Some(Self {
            matricule: ins.as_str().to_owned(),
            birth_date: format!("19{year:02}{month:02}15"),
            commune: format!("69{commune:03}"),
        })
    }

    pub(crate) fn ins(&self) -> pb::Ins {
        pb::Ins {
            matricule: self.matricule.clone(),
            oid: InsOid::Test.as_str().to_owned(),
        }
    }

    pub(crate) fn traits(&self) -> pb::StrictTraits {
        pb::StrictTraits {
            birth_family_name: Self::FAMILY.to_owned(),
            birth_given_names: Self::GIVEN.to_owned(),
            birth_date: self.birth_date.clone(),
            sex: pb::Sex::Female.into(),
            birth_place_code: self.commune.clone(),
        }
    }
}

/// The Ps_idNat of the `number`-th physician of a seed, with its Luhn digit.
pub(crate) fn physician_id(seed: u64, number: usize) -> Option<String> {
    let body = format!("899{:08}", (seed % PHYSICIANS * 10_007 + number as u64) % PHYSICIANS);
    let mut candidates = (0..10).map(|digit| format!("{body}{digit}"));
    candidates.find(|text| ProfessionalId::parse(text, Check::Strict).is_ok())
}

/// A general practitioner with a personal card.
pub(crate) fn physician(professional_id: &str) -> Claims {
    Claims {
        professional: professional_id.to_owned(),
        profession: "10".into(),
        specialty: "SM26".to_owned(),
        acr: "eidas1".to_owned(),
        amr: "CARD".into(),
        ..Claims::new(format!("load-professional-{professional_id}"), Role::Professional)
    }
}

/// The beneficiary of `dmp_id`.
pub(crate) fn holder(dmp_id: &str) -> Claims {
    Claims {
        dmp_id: dmp_id.to_owned(),
        acr: "eidas2".to_owned(),
        ..Claims::new(format!("load-holder-{dmp_id}"), Role::Holder)
    }
}

/// The Caisse nationale.
pub(crate) fn administrator() -> Claims {
    Claims::new("load-administrator", Role::Administrator)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use std::collections::BTreeSet;

    /// Whoever is invented is well-formed, nobody twice, and the same for the same seed.
    #[test]
    fn people_are_sound_different_and_repeatable() {
        let numbers = (0..3_000).chain([999_999, 9_999_999]);
        let people: Vec<Person> = numbers.map(|number| Person::invent(4, number).unwrap()).collect();
        let matricules: BTreeSet<&str> = people.iter().map(|person| person.matricule.as_str()).collect();
        assert_eq!(matricules.len(), people.len());
        assert!(
            matricules
                .iter()
                .all(|text| Ins::parse(text, InsOid::Test, Check::Strict).is_ok())
        );
        assert_eq!(Person::invent(4, 7), Person::invent(4, 7));
        assert_ne!(Person::invent(4, 7), Person::invent(5, 7));
        let physicians: BTreeSet<String> = (0..1_000).map(|number| physician_id(4, number).unwrap()).collect();
        assert_eq!(physicians.len(), 1_000);
    }
}
