//! The service's own settings.

use api::identity::{Check, StructureId};
use serde::{Deserialize, Serialize};
use serve::config::{Invalid, Validate};
use serve::watch::WatchSettings;

/// Emergency call centres that can be listed; there are about a hundred.
const CENTRES_MAX: usize = 1000;

/// The service's own settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Struct_idNat of the emergency call centres: physicians who act in one of them can come in by a call (L1111-17 I).
    /// While none is listed, physicians of emergency medicine can.
    pub centre_15_structures: Vec<String>,
    /// How changes are watched.
    pub watch: WatchSettings,
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
}
