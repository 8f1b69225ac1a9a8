//! The identifier of the record itself, created for every beneficiary (CSP L1111-14, second sentence).

use std::fmt;

use super::check_digits::{digits, remainder_97};
use super::{IdentityError, demand_digits, text_identifier};

const LENGTH: usize = 20;
const BODY_LENGTH: usize = 18;
/// The smallest body: 18 digits, the first not zero.
const FIRST_BODY: u128 = 100_000_000_000_000_000;
/// How many bodies there are.
const BODIES: u128 = 900_000_000_000_000_000;

text_identifier! {
    /// 20 digits: 18 random ones, the first not zero, then two check digits by ISO 7064 MOD 97-10.
    ///
    /// Means nothing and says nothing about its bearer, nor whether a record exists. The check digits detect every
    /// single wrong digit and every transposition of two neighbours. Pseudonymous all the same: redacted in `Debug`,
    /// written in full by `Display` for whoever asks on purpose.
    DmpId
}

impl DmpId {
    /// Makes an identifier from 16 bytes of entropy; the same bytes give the same identifier.
    ///
    /// 2¹²⁸ is no multiple of the 9·10¹⁷ bodies, so the first few are likelier than the others by one part in
    /// 2¹²⁸ / 9·10¹⁷ ≈ 3.8·10²⁰: nobody will ever see it, and no draw has to be rejected. About 59.6 bits remain
    /// unguessable; uniqueness is the register's business.
    pub fn generate(random_bytes: [u8; 16]) -> Self {
        let body = FIRST_BODY + u128::from_be_bytes(random_bytes) % BODIES;
        let body = body.to_string();
        let key = key_of(&body);
        Self(format!("{body}{key:02}"))
    }

    fn check_format(text: &str) -> Result<(), IdentityError> {
        demand_digits(text, LENGTH)?;
        if text.starts_with('0') {
            return Err(IdentityError::LeadingDigit);
        }
        Ok(())
    }

    /// Compares with the one canonical key (02 to 98) rather than testing for remainder 1: `00`, `01` and `99` would
    /// otherwise be second spellings of `97`, `98` and `02`.
    fn key_holds(text: &str) -> bool {
        let (body, key) = text.split_at_checked(BODY_LENGTH).unwrap_or_default();
        key.parse() == Ok(key_of(body))
    }
}

impl fmt::Display for DmpId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// ISO 7064 MOD 97-10: the two digits that bring the whole number to remainder 1.
fn key_of(body: &str) -> u64 {
    98 - remainder_97(digits(body).chain([0, 0]))
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
    use crate::identity::Check;

    /// ISO 7064 gives 44 as the check digits of 794: 79444 leaves remainder 1.
    #[test]
    fn the_key_is_that_of_the_standard() {
        assert_eq!(key_of("794"), 44);
    }

    #[test]
    fn generation_is_deterministic_and_spans_the_whole_range() {
        assert_eq!(DmpId::generate([0; 16]).as_str(), "10000000000000000081");
        assert_eq!(DmpId::generate([9; 16]), DmpId::generate([9; 16]));
        let last = FIRST_BODY + BODIES - 1;
        assert_eq!(last, 999_999_999_999_999_999);
        assert!(
            DmpId::generate((BODIES - 1).to_be_bytes())
                .as_str()
                .starts_with("999999999999999999")
        );
    }

    #[test]
    fn a_malformed_identifier_is_refused_even_leniently() {
        let refusals = [
            ("", IdentityError::Length),
            ("1000000000000000001", IdentityError::Length),
            ("100000000000000000810", IdentityError::Length),
            ("00000000000000000098", IdentityError::LeadingDigit),
            ("1000000000000000008x", IdentityError::Characters),
            ("1000000000000000008\u{663}", IdentityError::Characters),
            ("+0000000000000000081", IdentityError::Characters),
        ];
        for (text, error) in refusals {
            assert_eq!(DmpId::parse(text, Check::Lenient), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_generated_identifier_is_read_back(bytes: [u8; 16]) {
            let id = DmpId::generate(bytes);
            prop_assert_eq!(DmpId::parse(id.as_str(), Check::Strict), Ok(id.clone()));
            prop_assert!(id.key_is_valid());
            prop_assert_eq!(id.to_string().len(), LENGTH);
        }

        /// A single mistyped digit never leads to somebody else's record.
        #[test]
        fn every_single_wrong_digit_is_refused(bytes: [u8; 16], place in 0..LENGTH, shift in 1..10u8) {
            let mut typed = DmpId::generate(bytes).as_str().to_owned().into_bytes();
            typed[place] = b'0' + (typed[place] - b'0' + shift) % 10;
            let typed = String::from_utf8(typed).unwrap();
            prop_assert!(DmpId::parse(&typed, Check::Strict).is_err());
        }

        /// Nor do two neighbouring digits typed in the wrong order.
        #[test]
        fn every_transposition_of_neighbours_is_refused(bytes: [u8; 16], place in 0..LENGTH - 1) {
            let mut typed = DmpId::generate(bytes).as_str().to_owned().into_bytes();
            prop_assume!(typed[place] != typed[place + 1]);
            typed.swap(place, place + 1);
            let typed = String::from_utf8(typed).unwrap();
            prop_assert!(DmpId::parse(&typed, Check::Strict).is_err());
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,24}") {
            let _ = DmpId::parse(&text, Check::Lenient);
        }
    }
}
