//! The settings of this service.

use api::identity::Check;
use serde::{Deserialize, Serialize};
use serve::config::{Invalid, Validate};

/// Settings under `[identifier]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How identifiers from outside are checked.
    pub checks: Checks,
}

/// How identifiers from outside are checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// Keys of INS matricules.
    pub ins: Check,
    /// Check digits of FINESS, SIREN and SIRET numbers of hosts.
    pub structures: Check,
    /// Whether matricules of test and demonstration identities (OIDs 1.2.250.1.213.1.4.10 and .11) may be enrolled.
    /// Never in production: nothing tells a fictive person's dossier from a real one's afterwards.
    pub accept_test_identities: bool,
}

impl Validate for Config {
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}
