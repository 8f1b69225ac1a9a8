//! The service's own settings.

use api::identity::{Check, StructureId};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serve::config::{Invalid, Validate};
use serve::watch::WatchSettings;
use std::path::PathBuf;

/// Emergency call centres that can be listed; there are about a hundred.
const CENTRES_MAX: usize = 1000;

/// Thirty days: a second look that comes later than that is none.
const DEADLINE_HOURS_MAX: u32 = 720;

/// The service's own settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// File of 32 bytes: the key that wraps the keys of what is kept sealed here. All instances on one database have
    /// the same.
    pub key_file: PathBuf,
    /// File with the key that signs receipts of consents, as `PRIVATE+KEY+<name>+…`.
    pub receipt_key_file: PathBuf,
    /// Struct_idNat of the emergency call centres: physicians who act in one of them can come in by a call (L1111-17 I).
    /// While none is listed, physicians of emergency medicine can.
    pub centre_15_structures: Vec<String>,
    /// How exceptional accesses are looked at again.
    pub review: Review,
    /// How changes are watched.
    pub watch: WatchSettings,
}

/// How exceptional accesses are looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Review {
    /// How long after a use's first access its second look is due; 1 to 720. A change is for uses that begin after it.
    pub deadline_hours: u32,
}

impl Default for Review {
    fn default() -> Self {
        Self { deadline_hours: 72 }
    }
}

impl Review {
    pub(crate) fn deadline(self) -> SignedDuration {
        SignedDuration::from_hours(i64::from(self.deadline_hours))
    }
}

impl Config {
    /// The centres, as identifiers.
    ///
    /// # Errors
    /// The entry that is none.
    pub(crate) fn centres_15(&self) -> Result<Vec<StructureId>, Invalid> {
        let parse = |(place, text): (usize, &String)| {
            let key = format!("centre_15_structures[{place}]");
            StructureId::parse(text, Check::Strict).map_err(|_| Invalid::new(key, "a Struct_idNat, as 1750000010"))
        };
        self.centre_15_structures.iter().enumerate().map(parse).collect()
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), Invalid> {
        let files = [
            ("key_file", &self.key_file),
            ("receipt_key_file", &self.receipt_key_file),
        ];
        for (key, path) in files {
            if path.as_os_str().is_empty() {
                return Err(Invalid::new(key, "must name a file"));
            }
        }
        if self.centre_15_structures.len() > CENTRES_MAX {
            return Err(Invalid::new(
                "centre_15_structures",
                format!("at most {CENTRES_MAX} structures"),
            ));
        }
        if !(1..=DEADLINE_HOURS_MAX).contains(&self.review.deadline_hours) {
            let told = format!("must be 1 to {DEADLINE_HOURS_MAX}");
            return Err(Invalid::new("review.deadline_hours", told));
        }
        self.watch.validate()?;
        self.centres_15().map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn complete() -> Config {
        Config {
            key_file: "consent.key".into(),
            receipt_key_file: "receipt.key".into(),
            ..Config::default()
        }
    }

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = complete();
        change(&mut config);
        config.validate().unwrap_err().key
    }

    #[test]
    fn a_centre_that_is_no_structure_is_refused_by_its_key() {
        let config = |centre: &str| Config {
            centre_15_structures: vec!["1750000010".into(), centre.into()],
            ..complete()
        };
        assert_eq!(config("1750000010").validate(), Ok(()));
        assert_eq!(
            config("175000001").validate().map_err(|error| error.key),
            Err("centre_15_structures[1]".into())
        );
    }

    #[test]
    fn keys_are_mandatory_and_a_deadline_has_limits() {
        for hours in [1, 720] {
            let mut config = complete();
            config.review.deadline_hours = hours;
            assert_eq!(config.validate(), Ok(()));
        }
        for hours in [0, 721] {
            let key = refused(|config| config.review.deadline_hours = hours);
            assert_eq!(key, "review.deadline_hours");
        }
        assert_eq!(refused(|config| config.key_file = PathBuf::new()), "key_file");
        assert_eq!(
            refused(|config| config.receipt_key_file = PathBuf::new()),
            "receipt_key_file"
        );
        assert_eq!(refused(|config| config.watch.buffer = 0), "watch.buffer");
    }
}
