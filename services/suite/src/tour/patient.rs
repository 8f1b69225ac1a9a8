//! A beneficiary of the tour, and who speaks for it.

use api::identifier::v1::{Ins, StrictTraits};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serve::Claims;

use super::cast;

/// Age of majority (Code civil 414).
const MAJORITY_YEARS: i32 = 18;

/// A beneficiary.
pub(super) struct Patient {
    pub(super) ins: Ins,
    pub(super) traits: StrictTraits,
    /// The identifier, once there is one.
    pub(super) dmp_id: Option<String>,
    /// Whether the dossier is open.
    pub(super) open: bool,
    /// Why nothing of this person can be filed, when nothing can.
    pub(super) barred: Option<String>,
    /// The documents about this person, by their place in the story.
    pub(super) documents: Vec<usize>,
}

impl Patient {
    pub(super) fn new(ins: Ins, traits: StrictTraits) -> Self {
        Self {
            ins,
            traits,
            dmp_id: None,
            open: false,
            barred: None,
            documents: Vec::new(),
        }
    }

    /// The name as civil status has it.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.traits.birth_given_names, self.traits.birth_family_name)
    }

    /// When this person comes of age, if that is yet to come. Lunar and incomplete dates count from the year's end.
    pub(super) fn minor_until(&self, now: Timestamp) -> Option<Timestamp> {
        let number = |range: std::ops::Range<usize>| self.traits.birth_date.get(range)?.parse::<i8>().ok();
        let year: i16 = self.traits.birth_date.get(0..4)?.parse().ok()?;
        let birth = Date::new(year, number(4..6)?, number(6..8)?)
            .or_else(|_| Date::new(year, 12, 31))
            .ok()?;
        let majority = birth
            .checked_add(MAJORITY_YEARS.years())
            .ok()?
            .to_zoned(TimeZone::UTC)
            .ok()?
            .timestamp();
        (majority > now).then_some(majority)
    }

    /// Who speaks for this person: the person, or a parent for a minor.
    pub(super) fn voice(&self, now: Timestamp) -> Option<Claims> {
        let dmp_id = self.dmp_id.as_ref()?;
        Some(if self.minor_until(now).is_some() {
            cast::parent(dmp_id)
        } else {
            cast::holder(dmp_id)
        })
    }
}

/// Four digits at a time, as people read them.
pub(super) fn spaced(digits: &str) -> String {
    let letters: Vec<char> = digits.chars().collect();
    letters
        .chunks(4)
        .map(|group| group.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn born(date: &str) -> Patient {
        let traits = StrictTraits {
            birth_date: date.to_owned(),
            ..StrictTraits::default()
        };
        let mut patient = Patient::new(Ins::default(), traits);
        patient.dmp_id = Some("1".to_owned());
        patient
    }

    /// L1111-14, third sentence: the person, or the legal representative.
    #[test]
    fn a_minor_is_spoken_for() {
        let now: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
        let until = born("20080303").minor_until(now).unwrap();
        assert_eq!(until.to_string(), "2026-03-03T00:00:00Z");
        assert_eq!(born("20080302").minor_until(now), None);
        assert_eq!(born("19790328").voice(now).unwrap().dmp_role, "HOLDER");
        assert_eq!(born("20210425").voice(now).unwrap().dmp_role, "REPRESENTATIVE");
        assert!(born("20084500").minor_until(now).is_some(), "a lunar date");
        assert_eq!(born("").minor_until(now), None);
    }

    #[test]
    fn identifiers_are_read_in_fours() {
        assert_eq!(spaced("12345678901234567890"), "1234 5678 9012 3456 7890");
    }
}
