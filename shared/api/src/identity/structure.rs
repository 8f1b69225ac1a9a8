//! Structures: FINESS, SIREN and SIRET numbers, and `Struct_idNat` which tells them apart by a leading digit.

use std::fmt;

use super::check_digits::{digits, luhn_holds};
use super::professional::{check_adeli, check_rpps, rpps_key_holds};
use super::{Check, IdentityError, demand_digits, text_identifier};

const FINESS_LENGTH: usize = 9;
const SIREN_LENGTH: usize = 9;
const SIRET_LENGTH: usize = 14;
const ADELI_LENGTH: usize = 9;
const RPPS_LENGTH: usize = 11;
/// An office is its holder's number and a rank of two or three digits.
const RANK_LENGTHS: std::ops::RangeInclusive<usize> = 2..=3;
/// The one company whose establishments follow another rule than Luhn's.
const LA_POSTE: &str = "356000000";

text_identifier! {
    /// A FINESS number: 9 digits by Luhn. A Corsican one starts with 2A or 2B; A then counts as 1 and B as 2.
    Finess
}

impl Finess {
    fn check_format(text: &str) -> Result<(), IdentityError> {
        match corsican_digits(text) {
            Some(digits) => demand_digits(&digits, FINESS_LENGTH),
            None => demand_digits(text, FINESS_LENGTH),
        }
    }

    fn key_holds(text: &str) -> bool {
        match corsican_digits(text) {
            Some(plain) => luhn_holds(digits(&plain)),
            None => luhn_holds(digits(text)),
        }
    }
}

/// A Corsican number with its letter replaced by its rank in the alphabet.
fn corsican_digits(text: &str) -> Option<String> {
    let rest_a = text.strip_prefix("2A").map(|rest| format!("21{rest}"));
    rest_a.or_else(|| text.strip_prefix("2B").map(|rest| format!("22{rest}")))
}

text_identifier! {
    /// A SIREN number: 9 digits by Luhn. Names a company, which may be a single practitioner.
    Siren
}

impl Siren {
    fn check_format(text: &str) -> Result<(), IdentityError> {
        demand_digits(text, SIREN_LENGTH)
    }

    fn key_holds(text: &str) -> bool {
        luhn_holds(digits(text))
    }
}

text_identifier! {
    /// A SIRET number: 14 digits by Luhn, of which the first 9 are the company's SIREN. The establishments of La Poste
    /// satisfy another rule instead: the sum of their digits is a multiple of 5.
    Siret
}

impl Siret {
    fn check_format(text: &str) -> Result<(), IdentityError> {
        demand_digits(text, SIRET_LENGTH)
    }

    fn key_holds(text: &str) -> bool {
        let post_office = text.starts_with(LA_POSTE) && digits(text).sum::<u64>().is_multiple_of(5);
        post_office || luhn_holds(digits(text))
    }
}

/// What a [`StructureId`] is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StructureKind {
    /// `0` and an ADELI number and rank: an office.
    AdeliOffice,
    /// `1` and a FINESS number.
    Finess,
    /// `2` and a SIREN number.
    Siren,
    /// `3` and a SIRET number.
    Siret,
    /// `4` and an RPPS number and rank: an office.
    RppsOffice,
}

impl StructureKind {
    fn of(leading: char) -> Option<Self> {
        match leading {
            '0' => Some(Self::AdeliOffice),
            '1' => Some(Self::Finess),
            '2' => Some(Self::Siren),
            '3' => Some(Self::Siret),
            '4' => Some(Self::RppsOffice),
            _ => None,
        }
    }
}

/// `Struct_idNat`, OID 1.2.250.1.71.4.2.2: a digit telling the kind ([`StructureKind`]), then the number.
///
/// A technical number without leading digit, which the interoperability frame also allows, is refused: nothing would
/// tell it from the others. An office names its holder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StructureId {
    text: String,
    kind: StructureKind,
}

impl StructureId {
    /// Reads the identifier. A wrong key is an error under [`Check::Strict`] only.
    pub fn parse(text: &str, check: Check) -> Result<Self, IdentityError> {
        let leading = text.chars().next().ok_or(IdentityError::Length)?;
        let kind = StructureKind::of(leading).ok_or(IdentityError::LeadingDigit)?;
        let id = Self {
            text: text.to_owned(),
            kind,
        };
        id.check_format()?;
        check.demand(id.key_is_valid())?;
        Ok(id)
    }

    /// The identifier as it was read.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which register the number comes from.
    pub fn kind(&self) -> StructureKind {
        self.kind
    }

    /// The number without its leading digit.
    pub fn number(&self) -> &str {
        self.text.get(1..).unwrap_or_default()
    }

    /// The FINESS number, if that is what this is.
    pub fn finess(&self) -> Option<Finess> {
        match self.kind {
            StructureKind::Finess => Finess::parse(self.number(), Check::Lenient).ok(),
            _ => None,
        }
    }

    /// Whether the check digits match the rest; an ADELI office has none.
    pub fn key_is_valid(&self) -> bool {
        let number = self.number();
        match self.kind {
            StructureKind::AdeliOffice => true,
            StructureKind::Finess => Finess::key_holds(number),
            StructureKind::Siren => Siren::key_holds(number),
            StructureKind::Siret => Siret::key_holds(number),
            StructureKind::RppsOffice => number.get(..RPPS_LENGTH).is_some_and(rpps_key_holds),
        }
    }

    fn check_format(&self) -> Result<(), IdentityError> {
        let number = self.number();
        match self.kind {
            StructureKind::AdeliOffice => check_office(number, ADELI_LENGTH, check_adeli),
            StructureKind::Finess => Finess::check_format(number),
            StructureKind::Siren => Siren::check_format(number),
            StructureKind::Siret => Siret::check_format(number),
            StructureKind::RppsOffice => check_office(number, RPPS_LENGTH, check_rpps),
        }
    }
}

impl fmt::Debug for StructureId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StructureId(…)")
    }
}

/// Demands a holder's number of `holder_length` characters and a rank.
fn check_office(
    number: &str,
    holder_length: usize,
    check_holder: fn(&str) -> Result<(), IdentityError>,
) -> Result<(), IdentityError> {
    let (holder, rank) = number.split_at_checked(holder_length).ok_or(IdentityError::Length)?;
    check_holder(holder)?;
    let rank_length = rank.chars().count();
    if !RANK_LENGTHS.contains(&rank_length) {
        return Err(IdentityError::Length);
    }
    demand_digits(rank, rank_length)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]

    use proptest::prelude::*;

    use super::*;

    /// Numbers of public hospitals.
    #[test]
    fn finess_numbers_follow_luhn() {
        for text in ["750100125", "750803447", "750803454", "2A0000014", "2B0000020"] {
            assert!(Finess::parse(text, Check::Strict).is_ok(), "{text}");
        }
        for text in ["750100126", "2A0000020", "2B0000014"] {
            assert_eq!(Finess::parse(text, Check::Strict), Err(IdentityError::Key), "{text}");
            assert!(Finess::parse(text, Check::Lenient).is_ok_and(|read| !read.key_is_valid()));
        }
    }

    #[test]
    fn company_and_establishment_numbers_follow_luhn() {
        assert!(Siren::parse("732829320", Check::Strict).is_ok());
        assert_eq!(Siren::parse("732829321", Check::Strict), Err(IdentityError::Key));
        assert!(Siret::parse("73282932000074", Check::Strict).is_ok());
        assert_eq!(Siret::parse("73282932000075", Check::Strict), Err(IdentityError::Key));
    }

    /// La Poste outgrew the numbers Luhn's formula left it.
    #[test]
    fn post_offices_have_their_own_rule() {
        assert!(Siret::parse("35600000000048", Check::Strict).is_ok());
        assert!(Siret::parse("35600000049837", Check::Strict).is_ok());
        assert_eq!(Siret::parse("35600000049838", Check::Strict), Err(IdentityError::Key));
    }

    #[test]
    fn the_leading_digit_tells_the_register() {
        let structures = [
            ("1750803447", StructureKind::Finess, "750803447"),
            ("12A0000014", StructureKind::Finess, "2A0000014"),
            ("2732829320", StructureKind::Siren, "732829320"),
            ("373282932000074", StructureKind::Siret, "73282932000074"),
            ("410002422979001", StructureKind::RppsOffice, "10002422979001"),
            ("41000242297901", StructureKind::RppsOffice, "1000242297901"),
            ("00B105729400", StructureKind::AdeliOffice, "0B105729400"),
        ];
        for (text, kind, number) in structures {
            let id = StructureId::parse(text, Check::Strict).unwrap();
            assert_eq!((id.kind(), id.number()), (kind, number));
            assert_eq!(id.finess().is_some(), kind == StructureKind::Finess);
        }
    }

    #[test]
    fn a_malformed_structure_is_refused_even_leniently() {
        let refusals = [
            ("", IdentityError::Length),
            ("1", IdentityError::Length),
            ("101235555", IdentityError::Length),
            ("1801234567897", IdentityError::Length),
            ("2801984755893", IdentityError::Length),
            ("4123", IdentityError::Length),
            ("410002422979", IdentityError::Length),
            ("4100024229790010", IdentityError::Length),
            ("11A0000014", IdentityError::Characters),
            ("12a0000014", IdentityError::Characters),
            ("41000242297900A", IdentityError::Characters),
            ("5732829320", IdentityError::LeadingDigit),
            ("é732829320", IdentityError::LeadingDigit),
        ];
        for (text, error) in refusals {
            assert_eq!(StructureId::parse(text, Check::Lenient), Err(error), "{text}");
        }
    }

    #[test]
    fn a_wrong_key_is_a_remark_leniently() {
        for text in ["1120456789", "2801234567", "410002422978001"] {
            assert_eq!(
                StructureId::parse(text, Check::Strict),
                Err(IdentityError::Key),
                "{text}"
            );
            assert!(!StructureId::parse(text, Check::Lenient).unwrap().key_is_valid());
        }
    }

    proptest! {
        /// Luhn's formula leaves exactly one last digit, and detects every single wrong digit.
        #[test]
        fn one_last_digit_fits_and_any_wrong_digit_shows(body in "[0-9]{8}", place in 0..9usize, shift in 1..10u8) {
            let right: Vec<String> = (0..10)
                .map(|last| format!("{body}{last}"))
                .filter(|text| Finess::parse(text, Check::Strict).is_ok())
                .collect();
            prop_assert_eq!(right.len(), 1);
            let mut typed = right[0].clone().into_bytes();
            typed[place] = b'0' + (typed[place] - b'0' + shift) % 10;
            let typed = String::from_utf8(typed).unwrap();
            prop_assert_eq!(Finess::parse(&typed, Check::Strict), Err(IdentityError::Key));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9ABé\\PC]{0,18}") {
            let _ = StructureId::parse(&text, Check::Lenient);
        }
    }
}
