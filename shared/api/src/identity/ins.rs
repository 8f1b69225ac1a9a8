//! The national health identity's matricule: a NIR or a NIA and the OID of the authority that assigned it
//! (CSP R1111-8-1; the OIDs are those of the INS reference frame).

use std::fmt;

use super::check_digits::{digits, remainder_97};
use super::{Check, IdentityError, demand_digits};
use crate::oid;

const LENGTH: usize = 15;
/// The matricule proper, its key left out.
pub(super) const MATRICULE_LENGTH: usize = 13;

/// The authority that assigned a matricule: two for real people, two for fictive ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InsOid {
    /// NIR: the number in the national register of persons.
    Nir,
    /// NIA: the waiting number of a person not yet in the register. Built like a NIR, and becomes one.
    Nia,
    /// Test identities.
    Test,
    /// Demonstration identities.
    Demo,
}

impl InsOid {
    /// Every authority.
    pub const ALL: [Self; 4] = [Self::Nir, Self::Nia, Self::Test, Self::Demo];

    /// Reads a dotted OID. `1.2.250.1.213.1.4.13` (the NIR as social security number) is refused: it may be the
    /// number of the insured person rather than of the patient, so it is no INS.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        Self::ALL
            .into_iter()
            .find(|oid| oid.as_str() == text)
            .ok_or(IdentityError::Oid)
    }

    /// The dotted OID.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nir => oid::INS_NIR,
            Self::Nia => oid::INS_NIA,
            Self::Test => oid::INS_TEST,
            Self::Demo => oid::INS_DEMO,
        }
    }

    /// Whether matricules under this OID belong to real people.
    pub const fn is_production(self) -> bool {
        matches!(self, Self::Nir | Self::Nia)
    }
}

/// A matricule of 13 characters, its two-digit key, and the authority it comes from.
///
/// Format: sex (1, 2), year (2), month (01–12; 20–42 and 50–99 for incomplete birth acts), department (01–99, 2A, 2B),
/// commune (3), order (3), key (2). Letters stand nowhere but in 2A and 2B. A temporary number (leading 7 or 8, never
/// under the NIR's OID) holds no birth data after its first digit: only its digits and key are checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ins {
    matricule_and_key: String,
    oid: InsOid,
}

impl Ins {
    /// Reads the 15 characters of matricule and key. A wrong key is an error under [`Check::Strict`] only.
    pub fn parse(text: &str, oid: InsOid, check: Check) -> Result<Self, IdentityError> {
        if text.chars().count() != LENGTH {
            return Err(IdentityError::Length);
        }
        if !text.is_ascii() {
            return Err(IdentityError::Characters);
        }
        let (matricule, key) = text
            .split_at_checked(MATRICULE_LENGTH)
            .ok_or(IdentityError::Characters)?;
        check_matricule(matricule, oid)?;
        demand_digits(key, 2)?;
        let ins = Self {
            matricule_and_key: text.to_owned(),
            oid,
        };
        check.demand(ins.key_is_valid())?;
        Ok(ins)
    }

    /// Completes a matricule of 13 characters with its key.
    pub fn from_matricule(matricule: &str, oid: InsOid) -> Result<Self, IdentityError> {
        check_matricule(matricule, oid)?;
        let key = key_of(matricule);
        Ok(Self {
            matricule_and_key: format!("{matricule}{key:02}"),
            oid,
        })
    }

    /// The 15 characters: matricule and key.
    pub fn as_str(&self) -> &str {
        &self.matricule_and_key
    }

    /// The 13 characters before the key.
    pub fn matricule(&self) -> &str {
        self.split().0
    }

    /// The two digits of the key, as received.
    pub fn key(&self) -> &str {
        self.split().1
    }

    /// The authority that assigned the matricule.
    pub fn oid(&self) -> InsOid {
        self.oid
    }

    /// Whether the key is 97 minus the remainder by 97 of the matricule.
    pub fn key_is_valid(&self) -> bool {
        self.key().parse() == Ok(key_of(self.matricule()))
    }

    fn split(&self) -> (&str, &str) {
        self.matricule_and_key
            .split_at_checked(MATRICULE_LENGTH)
            .unwrap_or_default()
    }
}

impl fmt::Debug for Ins {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Ins(…, {:?})", self.oid)
    }
}

/// Demands a matricule of 13 characters such as may be assigned under `oid`.
fn check_matricule(matricule: &str, oid: InsOid) -> Result<(), IdentityError> {
    match matricule.bytes().next() {
        Some(b'7' | b'8') if oid != InsOid::Nir => demand_digits(matricule, MATRICULE_LENGTH),
        _ => check_nir(matricule),
    }
}

/// Demands a well-formed NIR of 13 characters.
pub(super) fn check_nir(matricule: &str) -> Result<(), IdentityError> {
    if matricule.chars().count() != MATRICULE_LENGTH {
        return Err(IdentityError::Length);
    }
    let department = matricule.get(5..7).ok_or(IdentityError::Characters)?;
    if !has_nir_alphabet(matricule, department) {
        return Err(IdentityError::Characters);
    }
    if !matricule.starts_with(['1', '2']) {
        return Err(IdentityError::LeadingDigit);
    }
    if !matches!(
        matricule.get(3..5).and_then(|month| month.parse().ok()),
        Some(1..=12 | 20..=42 | 50..=99)
    ) {
        return Err(IdentityError::Month);
    }
    if department == "00" {
        return Err(IdentityError::Department);
    }
    Ok(())
}

/// Thirteen digits, but for a Corsican department.
fn has_nir_alphabet(matricule: &str, department: &str) -> bool {
    let digits = matricule.bytes().filter(u8::is_ascii_digit).count();
    let corsican = matches!(department, "2A" | "2B");
    digits == MATRICULE_LENGTH - usize::from(corsican)
}

/// The key of a matricule: 97 − (13 digits mod 97), where 2A counts as 19 and 2B as 18.
fn key_of(matricule: &str) -> u64 {
    let department = match matricule.get(5..7).unwrap_or_default() {
        "2A" => "19",
        "2B" => "18",
        digits => digits,
    };
    let before = matricule.get(..5).unwrap_or_default();
    let after = matricule.get(7..).unwrap_or_default();
    97 - remainder_97(digits(before).chain(digits(department)).chain(digits(after)))
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

    /// The published test identities whose key is right.
    #[test]
    fn published_test_identities_are_read_strictly() {
        for text in ["279035121518989", "277076322082910", "274075176079430"] {
            let ins = Ins::parse(text, InsOid::Test, Check::Strict).unwrap();
            assert_eq!(ins.as_str(), text);
            assert_eq!(format!("{}{}", ins.matricule(), ins.key()), text);
            assert_eq!(Ins::from_matricule(ins.matricule(), InsOid::Test), Ok(ins));
        }
    }

    /// Published samples carry wrong keys: an error for whoever types them, a remark on a document read.
    #[test]
    fn a_wrong_key_is_an_error_strictly_and_a_remark_leniently() {
        let wrong = [
            "221042545611404",
            "223042545611404",
            "222127505611201",
            "224027511583555",
            "276059205062865",
            "276037510669380",
        ];
        for text in wrong {
            assert_eq!(Ins::parse(text, InsOid::Test, Check::Strict), Err(IdentityError::Key));
            let read = Ins::parse(text, InsOid::Test, Check::Lenient).unwrap();
            assert!(!read.key_is_valid());
            assert_eq!(read.as_str(), text);
        }
    }

    /// 2A counts as 19 and 2B as 18 (keys computed apart from this code).
    #[test]
    fn corsican_matricules_have_their_own_key() {
        for text in ["285072B50202465", "127112B11064793", "199032A00400142"] {
            assert!(Ins::parse(text, InsOid::Nir, Check::Strict).is_ok(), "{text}");
        }
        let corsican_a = Ins::from_matricule("285072A502024", InsOid::Nir).unwrap();
        assert_ne!(corsican_a.key(), "65");
    }

    #[test]
    fn a_malformed_matricule_is_refused_even_leniently() {
        let refusals = [
            ("", IdentityError::Length),
            ("2790351215189", IdentityError::Length),
            ("2790351215189 89", IdentityError::Length),
            ("27903512151898x", IdentityError::Characters),
            ("2790351215189é9", IdentityError::Characters),
            ("279035é21518989", IdentityError::Characters),
            ("27903512151é989", IdentityError::Characters),
            ("279032a21518989", IdentityError::Characters),
            ("279032C21518989", IdentityError::Characters),
            ("27903A221518989", IdentityError::Characters),
            ("2A9035121518989", IdentityError::Characters),
            ("379035121518989", IdentityError::LeadingDigit),
            ("079035121518989", IdentityError::LeadingDigit),
            ("279005121518989", IdentityError::Month),
            ("279135121518989", IdentityError::Month),
            ("279455121518989", IdentityError::Month),
            ("279030021518989", IdentityError::Department),
        ];
        for (text, error) in refusals {
            assert_eq!(Ins::parse(text, InsOid::Nir, Check::Lenient), Err(error), "{text}");
        }
    }

    /// An incomplete birth act shifts the month beyond December.
    #[test]
    fn months_of_incomplete_birth_acts_are_accepted() {
        for month in ["20", "30", "31", "42", "50", "62", "99"] {
            assert!(
                Ins::from_matricule(&format!("279{month}51215189"), InsOid::Nir).is_ok(),
                "{month}"
            );
        }
    }

    /// Temporary numbers hold no birth data, and the register of persons never assigns them.
    #[test]
    fn a_temporary_number_is_no_nir() {
        for matricule in ["7112312345678", "8200012345678"] {
            assert!(Ins::from_matricule(matricule, InsOid::Nia).is_ok());
            assert_eq!(
                Ins::from_matricule(matricule, InsOid::Nir),
                Err(IdentityError::LeadingDigit)
            );
        }
        assert!(Ins::from_matricule("2790351215189", InsOid::Nia).is_ok());
        assert_eq!(
            Ins::from_matricule("8200012A45678", InsOid::Nia),
            Err(IdentityError::Characters)
        );
    }

    #[test]
    fn only_two_authorities_name_real_people() {
        for oid in InsOid::ALL {
            assert_eq!(InsOid::parse(oid.as_str()), Ok(oid));
        }
        assert!(InsOid::Nir.is_production() && InsOid::Nia.is_production());
        assert!(!InsOid::Test.is_production() && !InsOid::Demo.is_production());
        for other in [
            "1.2.250.1.213.1.4.13",
            "1.2.250.1.213.1.4.2",
            "",
            "1.2.250.1.213.1.4.8 ",
        ] {
            assert_eq!(InsOid::parse(other), Err(IdentityError::Oid));
        }
    }

    /// The same number under another authority is another identity.
    #[test]
    fn the_authority_is_part_of_the_identity() {
        let test = Ins::parse("279035121518989", InsOid::Test, Check::Strict).unwrap();
        let real = Ins::parse("279035121518989", InsOid::Nir, Check::Strict).unwrap();
        assert_ne!(test, real);
    }

    fn matricules() -> impl Strategy<Value = String> {
        let department = prop_oneof!["0[1-9]", "[1-9][0-9]", "2[AB]"];
        (
            "[12][0-9]{2}",
            "0[1-9]|1[0-2]|2[0-9]|3[0-9]|4[0-2]|[5-9][0-9]",
            department,
            "[0-9]{6}",
        )
            .prop_map(|(head, month, department, tail)| format!("{head}{month}{department}{tail}"))
    }

    proptest! {
        #[test]
        fn every_matricule_with_its_key_is_read_back(matricule in matricules()) {
            let ins = Ins::from_matricule(&matricule, InsOid::Nir).unwrap();
            prop_assert_eq!(Ins::parse(ins.as_str(), InsOid::Nir, Check::Strict), Ok(ins.clone()));
            prop_assert_eq!(ins.matricule(), matricule.as_str());
        }

        /// 97 is prime and larger than any digit: no single wrong digit keeps the key.
        #[test]
        fn every_single_wrong_digit_breaks_the_key(matricule in matricules(), place in 7..13usize, shift in 1..10u8) {
            let mut typed = Ins::from_matricule(&matricule, InsOid::Nir).unwrap().as_str().to_owned().into_bytes();
            typed[place] = b'0' + (typed[place] - b'0' + shift) % 10;
            let typed = String::from_utf8(typed).unwrap();
            prop_assert_eq!(Ins::parse(&typed, InsOid::Nir, Check::Strict), Err(IdentityError::Key));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9A-Bé\\PC]{0,17}") {
            let _ = Ins::parse(&text, InsOid::Nia, Check::Lenient);
        }
    }
}
