//! The identifiers of the field, each a type that cannot hold an ill-formed value.
//!
//! Guarantees: a value of one of these types has the right length and alphabet, whatever [`Check`] it was read with;
//! its text is kept exactly as received (one spelling per value: no spaces, no lower case); `Debug` never shows the
//! text, and no [`IdentityError`] carries it. Nothing here does I/O, reads a clock or draws randomness.
//!
//! A check digit (or key) is another matter: real documents carry identifiers whose key is wrong, so whether that is
//! an error is the caller's choice, and `key_is_valid()` tells afterwards.

mod birth_date;
mod check_digits;
mod dmp_id;
mod ins;
mod ins_c;
mod ins_status;
mod letters;
mod professional;
mod structure;

use serde::{Deserialize, Serialize};

pub use birth_date::{BirthDate, BirthDateKind};
pub use dmp_id::DmpId;
pub use ins::{Ins, InsOid};
pub use ins_c::InsC;
pub use ins_status::InsStatus;
pub use letters::fold_letters;
pub use professional::{Adeli, ProfessionalId, ProfessionalKind, Rpps};
pub use structure::{Finess, Siren, Siret, StructureId, StructureKind};

/// How much is demanded of an identifier's check digits. Length and alphabet are demanded either way.
///
/// As a setting it is written `strict` or `lenient`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A wrong key is an error: for whatever a person types or a system creates.
    #[default]
    Strict,
    /// A wrong key is accepted and reported by `key_is_valid()`: for documents written elsewhere.
    Lenient,
}

impl Check {
    /// Turns a wrong key into an error where keys are demanded.
    fn demand(self, key_is_valid: bool) -> Result<(), IdentityError> {
        if self == Self::Strict && !key_is_valid {
            return Err(IdentityError::Key);
        }
        Ok(())
    }
}

/// What is wrong with an identifier. Never holds the value, nor any part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IdentityError {
    /// Too short or too long.
    #[error("the identifier has the wrong length")]
    Length,
    /// A character outside the identifier's alphabet, or at a place where it may not stand.
    #[error("the identifier holds a character that may not stand there")]
    Characters,
    /// The first digit is none of those this identifier may start with.
    #[error("the identifier starts with the wrong digit")]
    LeadingDigit,
    /// The birth month of a NIR is none that is ever attributed.
    #[error("the birth month of the matricule is not plausible")]
    Month,
    /// The birth department of a NIR is none that is ever attributed.
    #[error("the birth department of the matricule is not plausible")]
    Department,
    /// The check digits do not match the rest.
    #[error("the check digits do not match")]
    Key,
    /// The OID is not the one of an INS assigning authority.
    #[error("the OID does not assign INS matricules")]
    Oid,
    /// Not a date, not even a lunar or incomplete one.
    #[error("the date is not plausible")]
    Date,
    /// An identifier local to a structure has no local part, or an ill-formed one.
    #[error("the part local to the structure is missing or ill-formed")]
    LocalPart,
    /// A name without a single letter.
    #[error("the name holds no letter")]
    NoLetter,
}

impl IdentityError {
    /// The stable name of the error, for `ErrorInfo.metadata` and field violations: never renamed, never reused.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Length => "WRONG_LENGTH",
            Self::Characters => "WRONG_CHARACTERS",
            Self::LeadingDigit => "WRONG_LEADING_DIGIT",
            Self::Month => "IMPLAUSIBLE_MONTH",
            Self::Department => "IMPLAUSIBLE_DEPARTMENT",
            Self::Key => "WRONG_KEY",
            Self::Oid => "UNKNOWN_OID",
            Self::Date => "IMPLAUSIBLE_DATE",
            Self::LocalPart => "WRONG_LOCAL_PART",
            Self::NoLetter => "NO_LETTER",
        }
    }
}

/// Demands exactly `length` characters, all ASCII digits.
fn demand_digits(text: &str, length: usize) -> Result<(), IdentityError> {
    if text.chars().count() != length {
        return Err(IdentityError::Length);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(IdentityError::Characters);
    }
    Ok(())
}

/// Stamps an identifier that is nothing but its text. The type adds two private functions, `check_format` and
/// `key_holds`, and gets the same reading, the same accessors and the same silence in `Debug` as all the others.
macro_rules! text_identifier {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Reads the identifier. See the type for the format; a wrong key is an error under [`Check::Strict`] only.
            ///
            /// [`Check::Strict`]: crate::identity::Check::Strict
            pub fn parse(
                text: &str,
                check: crate::identity::Check,
            ) -> Result<Self, crate::identity::IdentityError> {
                Self::check_format(text)?;
                check.demand(Self::key_holds(text))?;
                Ok(Self(text.to_owned()))
            }

            /// The identifier as it was read.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether the check digits match the rest.
            pub fn key_is_valid(&self) -> bool {
                Self::key_holds(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}
use text_identifier;

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]

    use super::*;

    /// No log line may name a person: the text of an identifier must not come out of `{:?}`.
    #[test]
    fn debug_shows_no_identifier() {
        let shown = [
            format!("{:?}", DmpId::generate([7; 16])),
            format!(
                "{:?}",
                Ins::parse("279035121518989", InsOid::Test, Check::Strict).unwrap()
            ),
            format!("{:?}", InsC::compute("Dominique", "790328", "2790351215189").unwrap()),
            format!("{:?}", ProfessionalId::parse("810002422979", Check::Lenient).unwrap()),
            format!("{:?}", StructureId::parse("410002422979001", Check::Lenient).unwrap()),
            format!(
                "{:?}",
                ProfessionalId::parse("3750100125/1453", Check::Lenient).unwrap()
            ),
            format!("{:?}", BirthDate::parse("19790328").unwrap()),
        ];
        for text in shown {
            assert!(!text.bytes().any(|byte| byte.is_ascii_digit()), "{text}");
            assert!(text.contains('…'), "{text}");
        }
    }

    #[test]
    fn an_error_never_repeats_the_value() {
        let error = Ins::parse("279035121518988", InsOid::Test, Check::Strict).unwrap_err();
        assert_eq!(error.to_string(), "the check digits do not match");
        assert_eq!(error.reason(), "WRONG_KEY");
        assert_eq!(format!("{error:?}"), "Key");
    }
}
