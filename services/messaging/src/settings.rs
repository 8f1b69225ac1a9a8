//! What an operator may set, and within which bounds.

use api::identity::Check;
use serde::{Deserialize, Serialize};
use serve::config::{Invalid, Validate};
use serve::watch::WatchSettings;
use std::path::PathBuf;

use crate::address::DomainName;

/// Most recipients that the contract lets a message have.
const RECIPIENTS_MAX: usize = 50;

/// Largest body of the contract, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// With that many addresses for each of a page's 100 parties, a page of the directory stays below the largest message.
const MAILBOXES_PER_OWNER_MAX: usize = 100;

/// The service's own section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// File of 32 bytes: the key that wraps the keys of messages.
    pub key_file: PathBuf,
    /// File with the journal's signing key, as `PRIVATE+KEY+<origin>+…`. All instances on one database have the same.
    pub log_key_file: PathBuf,
    /// The domain of patients' addresses, `<INS>@…`: none of it may be opened or written to.
    pub patient_domain: String,
    /// How strictly identifiers are read.
    pub checks: Checks,
    /// What a request may ask for.
    pub limits: Limits,
    /// How mailboxes are watched.
    pub watch: WatchSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key_file: PathBuf::new(),
            log_key_file: PathBuf::new(),
            patient_domain: "patient.mssante.fr".to_owned(),
            checks: Checks::default(),
            limits: Limits::default(),
            watch: WatchSettings::default(),
        }
    }
}

/// How strictly identifiers are read. Lenient by default: published numbers fail their check digit now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// Ps_idNat.
    pub professional_id: Check,
    /// Struct_idNat.
    pub structure_id: Check,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            professional_id: Check::Lenient,
            structure_id: Check::Lenient,
        }
    }
}

/// What a request may ask for. The contract's limits are the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest body of a message, in bytes.
    pub body_bytes: usize,
    /// Most recipients of a message.
    pub recipients: usize,
    /// Most open mailboxes of one professional or structure.
    pub mailboxes_per_owner: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: BODY_BYTES_MAX,
            recipients: RECIPIENTS_MAX,
            mailboxes_per_owner: MAILBOXES_PER_OWNER_MAX,
        }
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), Invalid> {
        for (key, path) in [("key_file", &self.key_file), ("log_key_file", &self.log_key_file)] {
            if path.as_os_str().is_empty() {
                return Err(Invalid::new(key, "must name a file"));
            }
        }
        if DomainName::parse(&self.patient_domain).is_err() {
            return Err(Invalid::new(
                "patient_domain",
                "must be a domain, as patient.mssante.fr",
            ));
        }
        let bounded = [
            (
                "limits.body_bytes",
                self.limits.body_bytes as u64,
                BODY_BYTES_MAX as u64,
            ),
            (
                "limits.recipients",
                self.limits.recipients as u64,
                RECIPIENTS_MAX as u64,
            ),
            (
                "limits.mailboxes_per_owner",
                self.limits.mailboxes_per_owner as u64,
                MAILBOXES_PER_OWNER_MAX as u64,
            ),
        ];
        let out_of_bounds = bounded.iter().find(|(_, value, max)| !(1..=*max).contains(value));
        match out_of_bounds {
            Some((key, _, max)) => Err(Invalid::new(*key, format!("must be 1 to {max}"))),
            None => self.watch.validate(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn complete() -> Config {
        Config {
            key_file: "service.key".into(),
            log_key_file: "log.key".into(),
            ..Config::default()
        }
    }

    /// The contract promises what it promises whatever an operator sets: limits may be lowered, never raised.
    #[test]
    fn limits_stay_within_the_contract() {
        complete().validate().unwrap();
        let refused = |change: fn(&mut Config)| {
            let mut config = complete();
            change(&mut config);
            config.validate().unwrap_err().key
        };
        assert_eq!(
            refused(|config| config.limits.body_bytes = (1 << 20) + 1),
            "limits.body_bytes"
        );
        assert_eq!(refused(|config| config.limits.recipients = 51), "limits.recipients");
        assert_eq!(refused(|config| config.limits.recipients = 0), "limits.recipients");
        assert_eq!(
            refused(|config| config.limits.mailboxes_per_owner = 101),
            "limits.mailboxes_per_owner"
        );
        assert_eq!(refused(|config| config.watch.buffer = 0), "watch.buffer");
        assert_eq!(refused(|config| config.key_file = PathBuf::new()), "key_file");
        assert_eq!(
            refused(|config| config.patient_domain = "nowhere".to_owned()),
            "patient_domain"
        );
    }
}
