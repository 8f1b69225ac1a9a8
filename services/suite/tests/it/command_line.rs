//! What the command line says when it is used wrongly.

use crate::process::dmp;
use std::process::Output;

fn run(arguments: &[&str]) -> Output {
    dmp().args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_holder_without_an_identifier_gets_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["--data", folder.path().to_str().unwrap(), "token", "--as", "holder"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("--dmp-id"));
}

#[test]
fn a_token_is_printed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&[
        "--data",
        folder.path().to_str().unwrap(),
        "token",
        "--as",
        "administrator",
    ]);
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim_end().split('.').count(),
        3
    );
}

/// Rule 4 of operating: a wrong configuration fails before a port opens, and names the key.
#[test]
fn a_wrong_configuration_names_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("consent.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\nno_such_key = 1\n").unwrap();
    let output = run(&["serve", "consent", "--config", file.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(said(&output).contains("no_such_key"), "{}", said(&output));
}

#[test]
fn two_suites_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _first = crate::process::Process::start(folder.path(), &Default::default());
    let second = run(&["--data", folder.path().to_str().unwrap(), "up", "--base-port", "0"]);
    assert!(!second.status.success());
    assert!(said(&second).contains("in use"), "{}", said(&second));
}

#[test]
fn a_missing_document_stops_the_tour_before_it_begins() {
    let output = run(&["tour", "no-such-file.xml"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("no-such-file.xml"));
}
