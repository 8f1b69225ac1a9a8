//! Professionals: RPPS and ADELI numbers, and `Ps_idNat` which tells them apart by a leading digit.

use std::fmt;

use super::check_digits::{digits, luhn_holds};
use super::structure::{StructureId, StructureKind};
use super::{Check, IdentityError, demand_digits, text_identifier};

const RPPS_LENGTH: usize = 11;
const ADELI_LENGTH: usize = 9;
/// The longest number a structure may give its staff: identifiers are columns of an index.
const LOCAL_PART_MAX_LENGTH: usize = 64;

text_identifier! {
    /// A number of the shared directory of health professionals: 11 digits by Luhn.
    Rpps
}

impl Rpps {
    fn check_format(text: &str) -> Result<(), IdentityError> {
        check_rpps(text)
    }

    fn key_holds(text: &str) -> bool {
        rpps_key_holds(text)
    }
}

/// Demands the format of an RPPS number.
pub(super) fn check_rpps(text: &str) -> Result<(), IdentityError> {
    demand_digits(text, RPPS_LENGTH)
}

/// Whether an RPPS number satisfies Luhn's formula.
pub(super) fn rpps_key_holds(text: &str) -> bool {
    luhn_holds(digits(text))
}

text_identifier! {
    /// An ADELI number, of the professions not yet in the RPPS: 9 digits, the second possibly a capital letter (2A, 2B,
    /// 9A and so on for departments overseas). Its key rule is not published, so any key is valid.
    Adeli
}

impl Adeli {
    fn check_format(text: &str) -> Result<(), IdentityError> {
        check_adeli(text)
    }

    fn key_holds(_text: &str) -> bool {
        true
    }
}

/// Demands the format of an ADELI number.
pub(super) fn check_adeli(text: &str) -> Result<(), IdentityError> {
    if text.chars().count() != ADELI_LENGTH {
        return Err(IdentityError::Length);
    }
    let well_formed = text
        .bytes()
        .enumerate()
        .all(|(place, byte)| stands_in_adeli(place, byte));
    if well_formed {
        Ok(())
    } else {
        Err(IdentityError::Characters)
    }
}

fn stands_in_adeli(place: usize, byte: u8) -> bool {
    byte.is_ascii_digit() || (place == 1 && byte.is_ascii_uppercase())
}

/// Where a [`ProfessionalId`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfessionalKind {
    /// `0` and an ADELI number.
    Adeli,
    /// `1`, an ADELI office, `/` and a number given there.
    AdeliOfficeStaff,
    /// `3`, a FINESS number, `/` and a number given there.
    FinessStaff,
    /// `4`, a SIREN number, `/` and a number given there.
    SirenStaff,
    /// `5`, a SIRET number, `/` and a number given there.
    SiretStaff,
    /// `6`, an RPPS office, `/` and a number given there.
    RppsOfficeStaff,
    /// `8` and an RPPS number.
    Rpps,
}

/// `Ps_idNat`, OID 1.2.250.1.71.4.2.1: a digit telling the kind ([`ProfessionalKind`]), then the number.
///
/// Only RPPS and ADELI numbers follow a professional through life; the others last as long as the employment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfessionalId {
    text: String,
    holder: Holder,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Holder {
    Rpps(Rpps),
    Adeli(Adeli),
    Staff(StructureId),
}

impl ProfessionalId {
    /// Reads the identifier. A wrong key, of the professional or of the structure, is an error under
    /// [`Check::Strict`] only.
    pub fn parse(text: &str, check: Check) -> Result<Self, IdentityError> {
        let mut characters = text.chars();
        let leading = characters.next().ok_or(IdentityError::Length)?;
        let number = characters.as_str();
        let holder = match leading {
            '8' => Holder::Rpps(Rpps::parse(number, check)?),
            '0' => Holder::Adeli(Adeli::parse(number, check)?),
            _ => Holder::Staff(parse_staff(leading, number, check)?),
        };
        Ok(Self {
            text: text.to_owned(),
            holder,
        })
    }

    /// The `Ps_idNat` of a holder of an RPPS number.
    pub fn from_rpps(rpps: Rpps) -> Self {
        Self {
            text: format!("8{}", rpps.as_str()),
            holder: Holder::Rpps(rpps),
        }
    }

    /// The identifier as it was read.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which register the number comes from.
    pub fn kind(&self) -> ProfessionalKind {
        match &self.holder {
            Holder::Rpps(_) => ProfessionalKind::Rpps,
            Holder::Adeli(_) => ProfessionalKind::Adeli,
            Holder::Staff(structure) => match structure.kind() {
                StructureKind::AdeliOffice => ProfessionalKind::AdeliOfficeStaff,
                StructureKind::Finess => ProfessionalKind::FinessStaff,
                StructureKind::Siren => ProfessionalKind::SirenStaff,
                StructureKind::Siret => ProfessionalKind::SiretStaff,
                StructureKind::RppsOffice => ProfessionalKind::RppsOfficeStaff,
            },
        }
    }

    /// The RPPS number, if that is what this is.
    pub fn rpps(&self) -> Option<&Rpps> {
        match &self.holder {
            Holder::Rpps(rpps) => Some(rpps),
            _ => None,
        }
    }

    /// The structure that numbered its staff member, if that is what this is.
    pub fn structure(&self) -> Option<&StructureId> {
        match &self.holder {
            Holder::Staff(structure) => Some(structure),
            _ => None,
        }
    }

    /// The number given by the structure, if there is one.
    pub fn local_part(&self) -> Option<&str> {
        self.structure().and(self.text.split_once('/')).map(|(_, local)| local)
    }

    /// Whether the check digits match, those of the structure for a staff member.
    pub fn key_is_valid(&self) -> bool {
        match &self.holder {
            Holder::Rpps(rpps) => rpps.key_is_valid(),
            Holder::Adeli(adeli) => adeli.key_is_valid(),
            Holder::Staff(structure) => structure.key_is_valid(),
        }
    }
}

impl fmt::Debug for ProfessionalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ProfessionalId(…)")
    }
}

/// Reads `structure/local`. The leading digit is not the one that the same structure has in `Struct_idNat`.
fn parse_staff(leading: char, number: &str, check: Check) -> Result<StructureId, IdentityError> {
    let structure_digit = match leading {
        '1' => '0',
        '3' => '1',
        '4' => '2',
        '5' => '3',
        '6' => '4',
        _ => return Err(IdentityError::LeadingDigit),
    };
    let (structure, local) = number.split_once('/').ok_or(IdentityError::LocalPart)?;
    if local.is_empty() || local.len() > LOCAL_PART_MAX_LENGTH || !local.bytes().all(stands_in_local_part) {
        return Err(IdentityError::LocalPart);
    }
    StructureId::parse(&format!("{structure_digit}{structure}"), check)
}

/// Graphic ASCII, but for the delimiters of HL7 v2 that would cut the identifier in two inside an XCN field.
fn stands_in_local_part(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'^' | b'&' | b'~' | b'|' | b'\\')
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

    #[test]
    fn the_leading_digit_tells_the_register() {
        let ids = [
            ("810002422979", ProfessionalKind::Rpps),
            ("00B1057294", ProfessionalKind::Adeli),
            ("10B105729400/12", ProfessionalKind::AdeliOfficeStaff),
            ("3750100125/1453", ProfessionalKind::FinessStaff),
            ("4732829320/a-b.c", ProfessionalKind::SirenStaff),
            ("573282932000074/1.2.250.1.176.1", ProfessionalKind::SiretStaff),
            ("610002422979001/x", ProfessionalKind::RppsOfficeStaff),
        ];
        for (text, kind) in ids {
            let id = ProfessionalId::parse(text, Check::Strict).unwrap();
            assert_eq!(id.kind(), kind, "{text}");
            assert_eq!(id.as_str(), text);
            assert_eq!(id.rpps().is_some(), kind == ProfessionalKind::Rpps);
            assert_eq!(id.local_part(), text.split_once('/').map(|(_, local)| local));
        }
    }

    #[test]
    fn a_staff_number_names_its_structure() {
        let id = ProfessionalId::parse("3750100125/1453", Check::Strict).unwrap();
        assert_eq!(id.structure().map(StructureId::as_str), Some("1750100125"));
        assert_eq!(id.local_part(), Some("1453"));
    }

    /// Most samples of the published documents fail Luhn's formula: refused from a person, read from a document.
    #[test]
    fn a_wrong_key_is_an_error_strictly_and_a_remark_leniently() {
        for text in ["801234567892", "801234534765", "807505123456"] {
            assert_eq!(
                ProfessionalId::parse(text, Check::Strict),
                Err(IdentityError::Key),
                "{text}"
            );
            assert!(!ProfessionalId::parse(text, Check::Lenient).unwrap().key_is_valid());
        }
        assert_eq!(
            ProfessionalId::parse("3750100126/1", Check::Strict),
            Err(IdentityError::Key)
        );
    }

    #[test]
    fn a_malformed_identifier_is_refused_even_leniently() {
        let refusals = [
            ("", IdentityError::Length),
            ("8", IdentityError::Length),
            ("81000242297", IdentityError::Length),
            ("8100024229791", IdentityError::Length),
            ("81000242297x", IdentityError::Characters),
            ("00b1057294", IdentityError::Characters),
            ("0BB1057294", IdentityError::Characters),
            ("00B105729", IdentityError::Length),
            ("210002422979", IdentityError::LeadingDigit),
            ("910002422979", IdentityError::LeadingDigit),
            ("124789224582101", IdentityError::LocalPart),
            ("3750100125/", IdentityError::LocalPart),
            ("3750100125/a b", IdentityError::LocalPart),
            ("3750100125/a^b", IdentityError::LocalPart),
            ("3750100125/é", IdentityError::LocalPart),
            ("375010012/1453", IdentityError::Length),
        ];
        for (text, error) in refusals {
            assert_eq!(ProfessionalId::parse(text, Check::Lenient), Err(error), "{text}");
        }
        let endless = format!("3750100125/{}", "1".repeat(LOCAL_PART_MAX_LENGTH + 1));
        assert_eq!(
            ProfessionalId::parse(&endless, Check::Lenient),
            Err(IdentityError::LocalPart)
        );
        assert!(ProfessionalId::parse(&endless[..endless.len() - 1], Check::Lenient).is_ok());
    }

    #[test]
    fn an_rpps_number_gives_its_identifier() {
        let rpps = Rpps::parse("10002422979", Check::Strict).unwrap();
        let id = ProfessionalId::from_rpps(rpps.clone());
        assert_eq!(ProfessionalId::parse("810002422979", Check::Strict), Ok(id.clone()));
        assert_eq!(id.rpps(), Some(&rpps));
    }

    proptest! {
        #[test]
        fn every_single_wrong_digit_of_an_rpps_shows(body in "[0-9]{10}", place in 0..11usize, shift in 1..10u8) {
            let right = (0..10).map(|last| format!("{body}{last}")).find(|text| rpps_key_holds(text)).unwrap();
            prop_assert!(Rpps::parse(&right, Check::Strict).is_ok());
            let mut typed = right.into_bytes();
            typed[place] = b'0' + (typed[place] - b'0' + shift) % 10;
            let typed = String::from_utf8(typed).unwrap();
            prop_assert_eq!(Rpps::parse(&typed, Check::Strict), Err(IdentityError::Key));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9ABé/\\PC]{0,20}") {
            let _ = ProfessionalId::parse(&text, Check::Lenient);
        }
    }
}
