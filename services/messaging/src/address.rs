//! Addresses and domains of the trust space: what RFC 5321 calls Mailbox, without quoted local parts and without
//! addresses in brackets, in lower case. An address names a person: `Debug` shows none.

use serve::Breach;
use std::fmt;

/// Longest address (RFC 5321 §4.5.3.1.3: a path of 256 with its angle brackets).
const ADDRESS_BYTES_MAX: usize = 254;

/// Longest local part (RFC 5321 §4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;

/// Longest label of a domain (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Why a text is no address or no domain. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("must be given")]
    Missing,
    #[error("must have at most 254 characters, 64 before the @")]
    Length,
    #[error("must have one @ between a local part and a domain")]
    At,
    #[error("must hold before the @ letters, digits and !#$%&'*+-/=?^_`{{|}}~ with single dots between them")]
    LocalPart,
    #[error("must name a domain of two or more labels of letters, digits and inner hyphens")]
    Domain,
}

impl Breach for AddressError {
    fn reason(&self) -> &str {
        match self {
            Self::Missing => "REQUIRED",
            Self::Length => "LENGTH",
            Self::At => "NOT_AN_ADDRESS",
            Self::LocalPart => "LOCAL_PART",
            Self::Domain => "DOMAIN",
        }
    }

    fn description(&self) -> String {
        self.to_string()
    }
}

/// An address, in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address(String);

impl Address {
    /// Reads an address and lowers its case: in the trust space `A@b` and `a@B` are one mailbox.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Missing);
        }
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::Length);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::At)?;
        if local.len() > LOCAL_BYTES_MAX {
            return Err(AddressError::Length);
        }
        let atoms_hold = local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.bytes().all(stands_in_atom));
        if !atoms_hold {
            return Err(AddressError::LocalPart);
        }
        let domain = DomainName::parse(domain)?;
        Ok(Self(format!("{}@{}", local.to_ascii_lowercase(), domain.as_str())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the address is one of `domain`.
    pub(crate) fn is_in(&self, domain: &DomainName) -> bool {
        self.domain() == domain.as_str()
    }

    pub(crate) fn domain(&self) -> &str {
        self.0.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Address(…)")
    }
}

/// `atext` of RFC 5322 §3.2.3.
fn stands_in_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// A domain of two or more labels, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DomainName(String);

impl DomainName {
    /// Reads a domain and lowers its case.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Missing);
        }
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::Length);
        }
        let labels = text.split('.');
        if labels.clone().count() < 2 || !labels.into_iter().all(is_label) {
            return Err(AddressError::Domain);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label(label: &str) -> bool {
    let hyphens_inside = !label.starts_with('-') && !label.ends_with('-');
    let alphabet = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (1..=LABEL_BYTES_MAX).contains(&label.len()) && alphabet && hyphens_inside
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_kept_in_lower_case() {
        let address = Address::parse("Jeanne.D'Arc+cabinet@Medecin.MSSante.fr").unwrap();
        assert_eq!(address.as_str(), "jeanne.d'arc+cabinet@medecin.mssante.fr");
        assert_eq!(address.domain(), "medecin.mssante.fr");
    }

    #[test]
    fn what_is_no_address_says_why() {
        let long_local = format!("{}@mssante.fr", "a".repeat(65));
        let long = format!(
            "a@{}.fr",
            [
                "b".repeat(60),
                "c".repeat(60),
                "d".repeat(60),
                "e".repeat(60),
                "f".repeat(10)
            ]
            .join(".")
        );
        let long_label = format!("a@{}.fr", "b".repeat(64));
        let cases = [
            ("", AddressError::Missing),
            ("mssante.fr", AddressError::At),
            ("@mssante.fr", AddressError::LocalPart),
            ("a..b@mssante.fr", AddressError::LocalPart),
            (".a@mssante.fr", AddressError::LocalPart),
            ("a b@mssante.fr", AddressError::LocalPart),
            ("\"a\"@mssante.fr", AddressError::LocalPart),
            ("a@b@mssante.fr", AddressError::LocalPart),
            ("é@mssante.fr", AddressError::LocalPart),
            ("a\r\n@mssante.fr", AddressError::LocalPart),
            ("a@", AddressError::Missing),
            ("a@localhost", AddressError::Domain),
            ("a@-mssante.fr", AddressError::Domain),
            ("a@mssante..fr", AddressError::Domain),
            ("a@[127.0.0.1]", AddressError::Domain),
            ("a@mssanté.fr", AddressError::Domain),
            (&long_local, AddressError::Length),
            (&long, AddressError::Length),
            (&long_label, AddressError::Domain),
        ];
        for (text, error) in cases {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn an_address_says_nothing_of_itself() {
        assert_eq!(format!("{:?}", Address::parse("a@mssante.fr").unwrap()), "Address(…)");
    }

    proptest! {
        #[test]
        fn reading_twice_changes_nothing_and_never_panics(text in "[a-zA-Z0-9.@é'-]{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(address.as_str()), Ok(address.clone()));
                prop_assert!(address.as_str().eq_ignore_ascii_case(&text));
            }
        }
    }
}
