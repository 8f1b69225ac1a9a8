//! What a process is told: whose word counts, and how a mistake is reported.

use serve::StartError;
use serve::config::{ConfigError, Limits, Settings};
use std::collections::BTreeMap;
use std::path::PathBuf;
use store::random::Random;
use tempfile::TempDir;
use toml::Value;

use crate::probe::{Probe, ProbeConfig};
use crate::suite::Suite;

const GOOD: &str = r#"
    listen = "127.0.0.1:7009"
    [database]
    url = "postgres://dmp:hunter2@db.internal:5432/consent"
    [limits]
    calls = 10
    waiting = 20
    [probe]
    share = 7
"#;

fn file(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("probe.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Names and texts of variables.
type Environment<'a> = &'a [(&'a str, &'a str)];

fn load(
    text: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, Value)],
) -> Result<Settings<ProbeConfig>, ConfigError> {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, text);
    let environment = environment
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    Settings::load("probe", Some(&path), environment, flags)
}

/// design.md §12: defaults in code < TOML < environment < flags.
#[test]
fn the_nearer_word_counts() {
    let environment = [
        ("DMP_LIMITS__CALLS", "11"),
        ("DMP_LIMITS__WATCHES", "12"),
        ("HOME", "/home/somebody"),
        ("DMP_REFLECTION", "true"),
    ];
    let flags = [
        ("limits.watches", Value::Integer(13)),
        ("probe.share", Value::Integer(8)),
    ];
    let settings = load(GOOD, &environment, &flags).unwrap();
    assert_eq!(settings.common.listen.port(), 7009);
    assert_eq!(settings.common.limits.waiting, 20, "file over default");
    assert_eq!(settings.common.limits.calls, 11, "environment over file");
    assert_eq!(settings.common.limits.watches, 13, "flag over environment");
    assert_eq!(
        settings.common.limits.connections,
        Limits::default().connections,
        "default"
    );
    assert!(settings.common.reflection);
    assert_eq!(settings.service.share, 8);
}

/// design.md §12: an error names the key and says what would be right.
#[test]
fn a_mistake_is_named() {
    let table: [(&str, Environment<'_>, &[&str]); 10] = [
        ("[limits]\ncals = 1", &[], &["cals", "calls", "probe.toml"]),
        ("[limits]\ncalls = \"many\"", &[], &["limits", "calls", "probe.toml"]),
        ("[probe]\nshares = 1", &[], &["shares", "share", "probe"]),
        (
            "[probe]\nshare = 101",
            &[("DMP_DATABASE__URL", "sqlite:///x.db")],
            &["probe.share", "0 to 100"],
        ),
        (
            "[limits]\ncalls = 0",
            &[("DMP_DATABASE__URL", "sqlite:///x.db")],
            &["limits.calls", "1 to"],
        ),
        ("[database]\nurl = \"mysql://x\"", &[], &["database.url", "sqlite:///"]),
        ("", &[], &["database.url"]),
        ("", &[("DMP_LIMITS__CALLS", "many")], &["calls", "environment"]),
        ("listen", &[], &["line 1"]),
        (
            "[[issuers]]\nissuer = \"i\"\naudience = \"a\"\nroles = [\"KING\"]\n[database]\nurl = \"sqlite:///x\"",
            &[],
            &["issuers[0]", "roles"],
        ),
    ];
    for (text, environment, wanted) in table {
        let error = load(text, environment, &[]).expect_err(text).to_string();
        for part in wanted {
            assert!(error.contains(part), "{error:?} must name {part:?}");
        }
    }
}

/// Nothing secret is rendered, and nothing secret is repeated by an error.
#[test]
fn a_password_is_never_shown() {
    let settings = load(GOOD, &[], &[]).unwrap();
    let shown = settings.render("probe").unwrap();
    assert!(shown.contains("postgres://dmp@db.internal:5432/consent"), "{shown}");
    assert!(
        shown.contains("share = 7") && shown.contains("deadline_default_ms = 30000"),
        "with every default"
    );
    assert!(!format!("{shown}{settings:?}").contains("hunter2"));
    assert_eq!(
        settings.common.database.url.reveal(),
        "postgres://dmp:hunter2@db.internal:5432/consent"
    );

    let misplaced = load("limits = \"postgres://dmp:hunter2@db/x\"", &[], &[]).unwrap_err();
    let broken = load("database = { url = \"postgres://dmp:hunter2@db/x\"", &[], &[]).unwrap_err();
    assert!(!format!("{misplaced} {misplaced:?} {broken} {broken:?}").contains("hunter2"));
}

/// What is rendered can be loaded again.
#[test]
fn rendered_settings_are_settings() {
    let suite = Suite::new();
    let (settings, _gate) = suite.settings(Limits::default(), BTreeMap::new());
    let rendered = settings.render("probe").unwrap();
    let again = load(&rendered, &[], &[]).unwrap();
    assert_eq!(again.render("probe").unwrap(), rendered);
}

/// Parsed and validated before a port opens.
#[tokio::test]
async fn a_process_with_a_wrong_setting_does_not_start() {
    let suite = Suite::new();
    let (good, _gate) = suite.settings(Limits::default(), BTreeMap::new());
    let start = |settings| serve::start::<Probe>(settings, suite.clock.clone(), Random::seeded(1));
    let mut settings = good.clone();
    settings.common.limits.drain_ms = 0;
    let error = start(settings).await.unwrap_err();
    assert!(
        matches!(&error, StartError::Setting(invalid) if invalid.key == "limits.drain_ms"),
        "{error}"
    );

    let mut settings = good.clone();
    settings
        .common
        .peers
        .insert("consent".to_owned(), "consent:7002".to_owned());
    let error = start(settings).await.unwrap_err().to_string();
    assert!(error.contains("peers.consent") && error.contains("http://"), "{error}");

    let mut settings = good.clone();
    std::fs::write(suite.folder.path().join("other.pem"), "not a key").unwrap();
    settings.common.identity.as_mut().unwrap().key = suite.folder.path().join("other.pem");
    let error = start(settings).await.unwrap_err().to_string();
    assert!(error.contains("identity.key") && error.contains("Ed25519"), "{error}");

    let mut settings = good;
    settings.common.issuers[0].jwks = None;
    let error = start(settings).await.unwrap_err().to_string();
    assert!(error.contains("issuers[0]") && error.contains("jwks_file"), "{error}");
}
