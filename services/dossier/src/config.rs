//! The settings of this service.

use api::identity::Check;
use serde::{Deserialize, Serialize};
use serve::config::{Invalid, Validate};
use serve::watch::WatchSettings;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use uuid::Uuid;

/// Settings under `[dossier]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The host that this service runs for: its UUID in the register of hosts.
    pub host_id: String,
    /// A file with that UUID, as `dmp host` writes it, instead of `host_id`. Read at the start.
    pub host_id_file: Option<PathBuf>,
    /// File of 32 bytes: the host's key, which wraps the key of each dossier. Losing it is losing every document.
    pub key_file: PathBuf,
    /// File with the journal's signing key, as `PRIVATE+KEY+<origin>+…`. All instances on one database have the same.
    pub log_key_file: PathBuf,
    /// How identifiers in documents and requests are checked.
    pub checks: Checks,
    /// After how many months a document hidden from the holder becomes visible by itself (R1111-53).
    pub announcement_months: u32,
    /// How many years a dossier is kept after its closure (L1111-18).
    pub retention_years: u32,
    /// How many years a listing goes back when it names neither a date nor a type: the rule for first, automatic
    /// searches of practice software asks for 2. 0 is no limit, as the contract reads.
    pub first_search_years: u32,
    /// What the service takes at the most.
    pub limits: Limits,
    /// How exceptional accesses are watched.
    pub watch: WatchSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host_id: String::new(),
            host_id_file: None,
            key_file: PathBuf::new(),
            log_key_file: PathBuf::new(),
            checks: Checks::default(),
            announcement_months: 1,
            retention_years: 10,
            first_search_years: 0,
            limits: Limits::default(),
            watch: WatchSettings::default(),
        }
    }
}

/// How identifiers from outside are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// Keys of the patient's matricule in a document.
    pub ins: Check,
    /// Identifiers of professionals and structures. Lenient by default: most published examples fail their check digit.
    pub professional_id: Check,
    /// Whether documents of test and demonstration identities (OIDs 1.2.250.1.213.1.4.10 and .11) are taken. Never in
    /// production.
    pub accept_test_identities: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            ins: Check::Strict,
            professional_id: Check::Lenient,
            accept_test_identities: false,
        }
    }
}

/// What the service takes at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a document.
    pub document_bytes: usize,
    /// Bytes of a chunk of an upload; the contract's own limit is 1 MiB.
    pub chunk_bytes: usize,
    /// Bytes that all uploads together may hold; an upload that would go beyond is refused, not queued.
    pub upload_bytes: usize,
    /// Journal entries that may wait.
    pub journal_queue: usize,
}

const MIB: usize = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 16 * MIB,
            chunk_bytes: MIB,
            upload_bytes: 256 * MIB,
            journal_queue: 1024,
        }
    }
}

/// A UUID in its longest spelling, and white space.
const HOST_FILE_BYTES_MAX: u64 = 64;

impl Config {
    /// The host that this service runs for.
    ///
    /// # Errors
    /// [`Invalid`] when the file cannot be read, or holds no UUID.
    pub(crate) fn host(&self) -> Result<Uuid, Invalid> {
        let Some(path) = &self.host_id_file else {
            return parse_host("host_id", &self.host_id);
        };
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(HOST_FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| Invalid::new("host_id_file", format!("{}: {error}", path.display())))?;
        parse_host("host_id_file", text.trim())
    }

    fn check_host(&self) -> Result<(), Invalid> {
        match (&self.host_id_file, self.host_id.is_empty()) {
            (None, _) => parse_host("host_id", &self.host_id).map(drop),
            (Some(_), true) => Ok(()),
            (Some(_), false) => Err(Invalid::new(
                "host_id_file",
                "must not be given together with `host_id`",
            )),
        }
    }
}

fn parse_host(key: &str, text: &str) -> Result<Uuid, Invalid> {
    let expected = match key {
        "host_id" => "must be the host's UUID in the register of hosts, or `host_id_file` must name a file with it",
        _ => "must name a file with the host's UUID in the register of hosts, as `dmp host` writes it",
    };
    Uuid::parse_str(text).map_err(|_| Invalid::new(key, expected))
}

impl Validate for Config {
    fn validate(&self) -> Result<(), Invalid> {
        self.check_host()?;
        for (key, path) in [("key_file", &self.key_file), ("log_key_file", &self.log_key_file)] {
            if path.as_os_str().is_empty() {
                return Err(Invalid::new(key, "must name a file"));
            }
        }
        self.watch.validate()?;
        let limits = &self.limits;
        let bounded = [
            ("announcement_months", self.announcement_months as usize, 1, 120),
            ("retention_years", self.retention_years as usize, 10, 1000),
            ("first_search_years", self.first_search_years as usize, 0, 1000),
            ("limits.document_bytes", limits.document_bytes, 1, 256 * MIB),
            ("limits.chunk_bytes", limits.chunk_bytes, 1, MIB),
            (
                "limits.upload_bytes",
                limits.upload_bytes,
                limits.document_bytes,
                1 << 40,
            ),
            ("limits.journal_queue", limits.journal_queue, 1, 1 << 20),
        ];
        match bounded
            .iter()
            .find(|(_, value, min, max)| !(*min..=*max).contains(value))
        {
            Some((key, _, min, max)) => Err(Invalid::new(*key, format!("must be {min} to {max}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn complete() -> Config {
        Config {
            host_id: Uuid::from_u128(1).to_string(),
            key_file: "host.key".into(),
            log_key_file: "log.key".into(),
            ..Config::default()
        }
    }

    /// L1111-18: ten years are the law's; an operator may keep longer, never shorter.
    #[test]
    fn settings_stay_within_the_law_and_the_contract() {
        complete().validate().unwrap();
        let refused = |change: fn(&mut Config)| {
            let mut config = complete();
            change(&mut config);
            config.validate().unwrap_err().key
        };
        assert_eq!(refused(|config| config.retention_years = 9), "retention_years");
        assert_eq!(refused(|config| config.announcement_months = 0), "announcement_months");
        assert_eq!(refused(|config| config.host_id = "here".to_owned()), "host_id");
        assert_eq!(
            refused(|config| config.host_id_file = Some("host_id".into())),
            "host_id_file"
        );
        assert_eq!(refused(|config| config.key_file = PathBuf::new()), "key_file");
        assert_eq!(
            refused(|config| config.limits.chunk_bytes = MIB + 1),
            "limits.chunk_bytes"
        );
        assert_eq!(
            refused(|config| config.limits.upload_bytes = MIB),
            "limits.upload_bytes"
        );
        assert_eq!(refused(|config| config.watch.buffer = 0), "watch.buffer");
        assert_eq!(
            refused(|config| config.limits.journal_queue = 0),
            "limits.journal_queue"
        );
    }

    #[test]
    fn the_host_comes_from_its_file_when_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host_id");
        let config = Config {
            host_id: String::new(),
            host_id_file: Some(path.clone()),
            ..complete()
        };
        config.validate().unwrap();
        let refused = config.host().unwrap_err();
        assert_eq!(refused.key, "host_id_file");
        assert!(refused.expected.contains("No such file"), "{refused}");
        std::fs::write(&path, format!("{}\n", Uuid::from_u128(7))).unwrap();
        assert_eq!(config.host().unwrap(), Uuid::from_u128(7));
        std::fs::write(&path, "here\n").unwrap();
        assert_eq!(config.host().unwrap_err().key, "host_id_file");
    }
}
