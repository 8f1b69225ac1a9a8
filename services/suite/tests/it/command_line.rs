//! What the command line says when it is used wrongly.

use crate::process::dmp;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

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

/// What a lawyer asks for first.
#[test]
fn the_rules_are_printed_with_their_articles() {
    let output = run(&["rules"]);
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("FORBID  excluded-party  (L1111-18)"), "{printed}");
    assert!(printed.contains("PERMIT  holder-reads-own  (L1111-19)"), "{printed}");
}

/// R1111-46: the matrix is never widened silently.
#[test]
fn two_versions_of_the_matrix_are_compared_without_a_suite() {
    let folder = tempfile::tempdir().unwrap();
    let version = |name: &str, lines: &str| {
        let path = folder.path().join(name);
        let head = format!("version\t{name}\nvalid_from\t2026-01-01T00:00:00Z\n");
        std::fs::write(&path, head + lines).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let narrow = version("narrow", "10\ttype:11502-2\tread\n");
    let wide = version("wide", "10\ttype:11502-2\tread\n21\ttype:11502-2,type:11488-4\tread\n");
    let output = run(&["matrix", "diff", &narrow, &wide]);
    assert!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("From narrow to wide:"), "{printed}");
    assert!(printed.contains("(21) reads, gains: 11488-4"), "{printed}");
    assert_eq!(printed.lines().count(), 2, "{printed}");
}

#[test]
fn a_matrix_that_is_none_is_told_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.tsv");
    std::fs::write(&file, "version\tx\nvalid_from\tyesterday\n10\ttype:nothing\tread\n").unwrap();
    let file = file.to_str().unwrap();
    let output = run(&["matrix", "diff", file, file]);
    assert!(!output.status.success());
    assert!(
        said(&output).contains("line 2") && said(&output).contains("line 3"),
        "{}",
        said(&output)
    );
}

/// Keys are made once; what verifies their signatures is written for services that are told of it by files.
#[test]
fn keys_are_made_once_and_their_public_halves_written() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let made = run(&["keys", keys.to_str().unwrap()]);
    assert!(made.status.success(), "{}", said(&made));
    let first = String::from_utf8(made.stdout).unwrap();
    assert!(
        first
            .lines()
            .any(|line| line.starts_with("made ") && line.ends_with("/host.key")),
        "{first}"
    );
    let host_key = std::fs::read(keys.join("host.key")).unwrap();
    let set = |name: &str| -> Vec<serde_json::Value> {
        let text = std::fs::read(keys.join(name)).unwrap();
        let mut set: serde_json::Value = serde_json::from_slice(&text).unwrap();
        set["keys"].as_array_mut().unwrap().drain(..).collect()
    };
    let (people, services) = (set("people.jwks.json"), set("services.jwks.json"));
    assert_eq!((people.len(), services.len()), (1, 4));
    let private = |key: &serde_json::Value| key.get("d").is_some();
    assert!(!people.iter().chain(&services).any(private));

    let again = run(&["keys", keys.to_str().unwrap()]);
    let second = String::from_utf8(again.stdout).unwrap();
    assert!(!second.contains("made "), "{second}");
    assert_eq!(std::fs::read(keys.join("host.key")).unwrap(), host_key);
    assert_eq!(set("services.jwks.json"), services);
}

/// A suite over TLS is called with the authority that its folder names, or not at all.
#[test]
fn a_trust_file_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let address = "https://127.0.0.1:1";
    let endpoints = format!(
        "identifier = \"{address}\"\nconsent = \"{address}\"\ndossier = \"{address}\"\nmessaging = \"{address}\"\n"
    );
    let tour = |trust: &str| {
        std::fs::write(folder.path().join("endpoints.toml"), format!("{endpoints}{trust}")).unwrap();
        let output = run(&["--data", folder.path().to_str().unwrap(), "tour", "--running"]);
        assert!(!output.status.success());
        said(&output)
    };
    let told = tour("");
    assert!(told.contains("`trust` and `trust_domain`"), "{told}");
    let told = tour("trust = \"authority.pem\"\ntrust_domain = \"dmp.localhost\"\n");
    let path = folder.path().canonicalize().unwrap().join("authority.pem");
    assert!(told.contains(&format!("{}: No such file", path.display())), "{told}");
}

/// `dmp load ratios` starts E so: it says in a line where it is and who vouches for it, and ends with its input.
#[test]
fn e_says_where_it_is_and_ends_with_its_input() {
    let folder = tempfile::tempdir().unwrap();
    for (options, scheme, vouched) in [(&[][..], "http://", false), (&["--tls"][..], "https://", true)] {
        let mut echo = dmp();
        echo.arg("--data").arg(folder.path());
        echo.args(["load", "echo"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut echo = echo.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(echo.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert!(said["address"].as_str().unwrap().starts_with(scheme), "{said}");
        assert_eq!(said["trust"].is_string(), vouched, "{said}");
        drop(echo.stdin.take());
        assert!(echo.wait().unwrap().success());
    }
}
