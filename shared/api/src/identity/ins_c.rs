//! INS-C, the computed identifier used before the INS: retired, kept as a historical alias of old documents.

use aws_lc_rs::digest;

use super::check_digits::{digits, remainder_97};
use super::ins::check_nir;
use super::{IdentityError, demand_digits, fold_letters, text_identifier};

const LENGTH: usize = 22;
const BODY_LENGTH: usize = 20;
const FIRST_NAME_LETTERS: usize = 10;
const BIRTH_DATE_LENGTH: usize = 6;

text_identifier! {
    /// 22 digits: the first 8 bytes of a SHA-256 written as 20 digits, then a key, 97 minus the remainder by 97.
    InsC
}

impl InsC {
    /// Computes the INS-C of a person.
    ///
    /// `first_name`: only its first ten letters count, folded by [`fold_letters`]; unknown, it is ten spaces, as the
    /// published vectors have it. `birth_date`: six digits YYMMDD as
    /// the insurer writes it, any value (lunar and incomplete dates exist). `nir`: 13 characters, without key, in
    /// the format of [`Ins`](super::Ins).
    pub fn compute(first_name: &str, birth_date: &str, nir: &str) -> Result<Self, IdentityError> {
        let mut letters = match fold_letters(first_name) {
            Err(IdentityError::NoLetter) => String::new(),
            letters => letters?,
        };
        letters.truncate(FIRST_NAME_LETTERS);
        demand_digits(birth_date, BIRTH_DATE_LENGTH)?;
        check_nir(nir)?;
        let seed = format!("{letters:<FIRST_NAME_LETTERS$}{birth_date}{nir}");
        let hash = digest::digest(&digest::SHA256, seed.as_bytes());
        let body = hash
            .as_ref()
            .iter()
            .take(8)
            .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        let body = format!("{body:0BODY_LENGTH$}");
        let key = key_of(&body);
        Ok(Self(format!("{body}{key:02}")))
    }

    fn check_format(text: &str) -> Result<(), IdentityError> {
        demand_digits(text, LENGTH)
    }

    fn key_holds(text: &str) -> bool {
        let (body, key) = text.split_at_checked(BODY_LENGTH).unwrap_or_default();
        key.parse() == Ok(key_of(body))
    }
}

fn key_of(body: &str) -> u64 {
    97 - remainder_97(digits(body))
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

    use std::path::PathBuf;

    use super::*;
    use crate::identity::{Check, Ins, InsOid};

    /// Fictive people; the expected values were computed apart from this code.
    #[test]
    fn the_algorithm_gives_the_same_number_as_an_independent_one() {
        let people = [
            ("Éloïse", "990229", "2990229019042", "1564222385549889565260"),
            ("Jean-François", "500131", "1500113055001", "0434200441649701445740"),
            ("Œdipe", "000000", "1992099352007", "1342710837697624459227"),
            ("Li", "851300", "285072B502024", "0072116777033380034485"),
            ("-", "790328", "2790351215189", "0015198879925651928686"),
            ("Anne Charlotte", "271100", "127112B110647", "0085217337924052742553"),
        ];
        for (first_name, birth_date, nir, expected) in people {
            let computed = InsC::compute(first_name, birth_date, nir).unwrap();
            assert_eq!(computed.as_str(), expected, "{first_name}");
            assert_eq!(InsC::parse(expected, Check::Strict), Ok(computed));
        }
    }

    /// Every published vector, when the folder of published data is there: NIR key, INS-C and its key.
    #[test]
    fn every_published_vector_gives_its_ins_c() {
        let Some(vectors) = published_vectors() else { return };
        let mut count = 0;
        for line in vectors.lines().skip(1).filter(|line| !line.is_empty()) {
            let fields: Vec<&str> = line.split(';').collect();
            let [first_name, birth_date, nir, nir_key, body, key] = fields[..] else {
                panic!("vector {count}")
            };
            let ins = Ins::parse(&format!("{nir}{nir_key}"), InsOid::Nir, Check::Strict);
            assert_eq!(ins, Ins::from_matricule(nir, InsOid::Nir), "vector {count}");
            let computed = InsC::compute(first_name, birth_date, nir).expect("a vector is well-formed");
            assert!(computed.as_str() == format!("{body}{key}"), "vector {count}");
            count += 1;
        }
        assert!(count > 7_000, "{count} vectors");
    }

    fn published_vectors() -> Option<String> {
        let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
        let folder = std::env::var_os("DMP_TEST_DATA").map_or_else(beside, PathBuf::from);
        std::fs::read_to_string(folder.join("ins/nir-insc-vectors.csv")).ok()
    }

    #[test]
    fn an_ill_formed_input_is_refused() {
        let compute = InsC::compute;
        assert_eq!(
            compute("Анна", "790328", "2790351215189"),
            Err(IdentityError::Characters)
        );
        assert_eq!(compute("Anna", "19790328", "2790351215189"), Err(IdentityError::Length));
        assert_eq!(
            compute("Anna", "79O328", "2790351215189"),
            Err(IdentityError::Characters)
        );
        assert_eq!(compute("Anna", "790328", "279035121518989"), Err(IdentityError::Length));
        assert_eq!(InsC::parse("1", Check::Lenient), Err(IdentityError::Length));
    }

    #[test]
    fn a_wrong_key_is_an_error_strictly_and_a_remark_leniently() {
        let right = InsC::compute("Anna", "790328", "2790351215189").unwrap();
        let body = &right.as_str()[..BODY_LENGTH];
        let wrong = format!("{body}{}", if right.as_str().ends_with("01") { "02" } else { "01" });
        assert_eq!(InsC::parse(&wrong, Check::Strict), Err(IdentityError::Key));
        assert!(!InsC::parse(&wrong, Check::Lenient).unwrap().key_is_valid());
    }
}
