//! Circles of professionals that a rule names and a token does not: occupational medicine, regulating physicians.
//!
//! Who belongs is data: specialties in `matrix/specialties.tsv`, emergency call centres in the settings.

use api::codes::AUTHOR_SPECIALTIES;
use api::common::v1::Role;
use api::identity::StructureId;
use serve::Actor;
use std::collections::BTreeSet;

const SPECIALTIES: &str = include_str!("../matrix/specialties.tsv");

/// Physicians, in TRE_G15.
pub(crate) const PHYSICIAN: &str = "10";

/// Who belongs to which circle.
#[derive(Debug, Clone, Default)]
pub struct Circles {
    occupational_medicine: BTreeSet<String>,
    emergency_medicine: BTreeSet<String>,
    centres_15: BTreeSet<StructureId>,
}

impl Circles {
    /// Reads the circles that this program carries; `centres_15` are the emergency call centres.
    ///
    /// # Errors
    /// The line that names an unknown circle or specialty.
    pub fn embedded(centres_15: impl IntoIterator<Item = StructureId>) -> Result<Self, String> {
        let mut circles = Self {
            centres_15: centres_15.into_iter().collect(),
            ..Self::default()
        };
        for (line, row) in (1..).zip(SPECIALTIES.lines()) {
            if !row.is_empty() && !row.starts_with('#') {
                circles
                    .take(row)
                    .map_err(|problem| format!("matrix/specialties.tsv, line {line}: {problem}"))?;
            }
        }
        Ok(circles)
    }

    fn take(&mut self, row: &str) -> Result<(), String> {
        let (circle, specialty) = row.split_once('\t').ok_or("two columns are needed")?;
        if AUTHOR_SPECIALTIES
            .find(&format!("G15_{PHYSICIAN}/{specialty}"))
            .is_none()
        {
            return Err(format!("unknown specialty `{specialty}`"));
        }
        let specialties = match circle {
            "occupational-medicine" => &mut self.occupational_medicine,
            "emergency-medicine" => &mut self.emergency_medicine,
            _ => return Err(format!("unknown circle `{circle}`")),
        };
        specialties.insert(specialty.to_owned());
        Ok(())
    }

    /// Whether the professional practises occupational medicine.
    pub(crate) fn is_of_occupational_medicine(&self, actor: &Actor) -> bool {
        specialty_in(actor, &self.occupational_medicine)
    }

    /// Whether the professional can be the regulating physician of an emergency call centre: a physician who acts in
    /// one or, as long as the settings name none, a physician of emergency medicine.
    pub(crate) fn regulates_calls(&self, actor: &Actor) -> bool {
        if self.centres_15.is_empty() {
            return is_physician(actor) && specialty_in(actor, &self.emergency_medicine);
        }
        is_physician(actor)
            && actor
                .structure
                .as_ref()
                .is_some_and(|structure| self.centres_15.contains(structure))
    }
}

/// Whether the actor is a physician.
pub(crate) fn is_physician(actor: &Actor) -> bool {
    actor.role == Role::Professional && actor.profession.as_deref() == Some(PHYSICIAN)
}

fn specialty_in(actor: &Actor, specialties: &BTreeSet<String>) -> bool {
    let specialty = actor.specialty.as_deref().map(bare_code);
    actor.role == Role::Professional && specialty.is_some_and(|code| specialties.contains(code))
}

/// `SM25` of `SM25`, of `G15_10/SM25` (value set J01) and of `SM25^1.2.250…` (Pro Santé Connect): a circle that shuts
/// somebody out must not depend on how an issuer spells.
fn bare_code(specialty: &str) -> &str {
    let code = specialty.split_once('^').map_or(specialty, |(code, _system)| code);
    code.rsplit_once('/').map_or(code, |(_profession, code)| code)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::cases::professional;
    use api::identity::Check;

    /// L1111-18: whoever practises occupational medicine is known by the specialty, however it is spelled.
    #[test]
    fn occupational_medicine_is_known_by_its_specialties() {
        let circles = Circles::embedded([]).unwrap();
        for specialty in ["SM25", "C41", "CAPA11", "G15_10/SM25", "SM25^1.2.250.1.71.1.2.8"] {
            assert!(
                circles.is_of_occupational_medicine(&professional("10", specialty)),
                "{specialty}"
            );
        }
        assert!(!circles.is_of_occupational_medicine(&professional("10", "SM26")));
        assert!(!circles.is_of_occupational_medicine(&professional("10", "")));
    }

    /// L1111-17 I: the regulating physician, so no nurse of the centre and no physician from elsewhere.
    #[test]
    fn a_regulating_physician_is_a_physician_of_a_call_centre() {
        let centre = StructureId::parse("1750000010", Check::Strict).unwrap();
        let elsewhere = StructureId::parse("1750000028", Check::Lenient).unwrap();
        let listed = Circles::embedded([centre]).unwrap();
        assert!(listed.regulates_calls(&professional("10", "SM26")));
        assert!(!listed.regulates_calls(&professional("60", "SI05")));
        let other = Circles::embedded([elsewhere]).unwrap();
        assert!(!other.regulates_calls(&professional("10", "SM59")));
        let unlisted = Circles::embedded([]).unwrap();
        assert!(unlisted.regulates_calls(&professional("10", "SM59")));
        assert!(!unlisted.regulates_calls(&professional("10", "SM26")));
        assert!(!unlisted.regulates_calls(&professional("60", "SM59")));
    }

    #[test]
    fn a_circle_or_specialty_that_does_not_exist_refuses_to_start() {
        let mut circles = Circles::default();
        assert!(circles.take("occupational-medicine\tSM99").is_err());
        assert!(circles.take("tennis\tSM25").is_err());
        assert!(circles.take("occupational-medicine SM25").is_err());
    }
}
