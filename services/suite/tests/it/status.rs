//! `dmp status`, as an operator types it.

use dmp::home::Home;
use std::path::Path;
use std::process::Output;
use store::random::Random;

use crate::process::{Process, dmp};

fn status(folder: &Path) -> Output {
    dmp().arg("--data").arg(folder).arg("status").output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// design.md §12: the whole suite at a glance, and an exit code for programs.
#[test]
fn a_suite_that_runs_is_shown_and_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let _suite = Process::start(folder.path(), &Default::default());
    let output = status(folder.path());
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    for name in dmp::suite::SERVICES {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains("serving") && line.contains("SQLite"), "{line}");
    }
    for writer in ["dossier", "messaging"] {
        let journal = format!("{writer} writes dmp.localhost/{writer}: ");
        assert!(text.contains(&journal), "{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_suite_that_was_killed_is_away() {
    let folder = tempfile::tempdir().unwrap();
    Process::start(folder.path(), &Default::default()).kill();
    let output = status(folder.path());
    let text = printed(&output);
    assert!(!output.status.success(), "{text}");
    for name in dmp::suite::SERVICES {
        assert!(text.contains(&format!("{name} does not answer: ")), "{text}");
    }
}

/// One that is away hides none of the others.
#[test]
fn one_service_that_is_away_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let _suite = Process::start(folder.path(), &Default::default());
    let home = Home::open(folder.path(), &Random::system()).unwrap();
    let mut endpoints = home.read_endpoints().unwrap();
    // A port that was free a moment ago, and that nobody serves.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    endpoints.messaging = format!("http://{free}");
    home.write_endpoints(&endpoints).unwrap();
    let output = status(folder.path());
    let text = printed(&output);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("messaging does not answer: "), "{text}");
    assert_eq!(text.matches("serving").count(), 3, "{text}");
}

#[test]
fn a_folder_without_a_suite_is_said_to_have_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = status(folder.path());
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("endpoints.toml"), "{said}");
}
