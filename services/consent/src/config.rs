//! The service's own settings.

use api::identity::{Check, StructureId};
use serde::{Deserialize, Serialize};
use serve::config::{Invalid, Validate};
use std::time::Duration;

/// Emergency call centres that can be listed; there are about a hundred.
const CENTRES_MAX: usize = 1000;

const WAIT_MS_MAX: u64 = 600_000;
const BUFFER_MAX: u64 = 4096;

/// The service's own settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Struct_idNat of the emergency call centres: physicians who act in one of them can come in by a call (L1111-17 I).
    /// While none is listed, physicians of emergency medicine can.
    pub centre_15_structures: Vec<String>,
    /// How changes are watched.
    pub watch: Watch,
}

/// How changes of facts are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// After how long without an event a watcher is told that the stream lives; 1 to 600,000.
    pub heartbeat_ms: u64,
    /// Events that may wait for their reader; 1 to 4096.
    pub buffer: usize,
    /// How long a full buffer waits for its reader before the watch ends; 1 to 600,000.
    pub patience_ms: u64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            heartbeat_ms: 15_000,
            buffer: 64,
            patience_ms: 10_000,
        }
    }
}

impl Watch {
    pub(crate) fn heartbeat(self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    pub(crate) fn patience(self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }

    fn validate(self) -> Result<(), Invalid> {
        let bounded = [
            ("watch.heartbeat_ms", self.heartbeat_ms, WAIT_MS_MAX),
            ("watch.buffer", self.buffer as u64, BUFFER_MAX),
            ("watch.patience_ms", self.patience_ms, WAIT_MS_MAX),
        ];
        match bounded.iter().find(|(_, value, max)| !(1..=*max).contains(value)) {
            Some((key, _, max)) => Err(Invalid::new(*key, format!("must be 1 to {max}"))),
            None => Ok(()),
        }
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
        if self.centre_15_structures.len() > CENTRES_MAX {
            return Err(Invalid::new(
                "centre_15_structures",
                format!("at most {CENTRES_MAX} structures"),
            ));
        }
        self.watch.validate()?;
        self.centres_15().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_centre_that_is_no_structure_is_refused_by_its_key() {
        let config = |centre: &str| Config {
            centre_15_structures: vec!["1750000010".into(), centre.into()],
            ..Config::default()
        };
        assert_eq!(config("1750000010").validate(), Ok(()));
        assert_eq!(
            config("175000001").validate().map_err(|error| error.key),
            Err("centre_15_structures[1]".into())
        );
    }

    #[test]
    fn a_watch_has_limits() {
        let with = |heartbeat_ms, buffer, patience_ms| Config {
            watch: Watch {
                heartbeat_ms,
                buffer,
                patience_ms,
            },
            ..Config::default()
        };
        assert_eq!(with(1, 4096, 600_000).validate(), Ok(()));
        for (config, key) in [
            (with(0, 1, 1), "watch.heartbeat_ms"),
            (with(1, 4097, 1), "watch.buffer"),
            (with(1, 1, 600_001), "watch.patience_ms"),
        ] {
            assert_eq!(config.validate().map_err(|error| error.key), Err(key.into()));
        }
    }
}
