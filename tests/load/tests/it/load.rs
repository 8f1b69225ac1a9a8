//! What a load promises.

use api::identifier::v1::ResolveIdentifierRequest;
use journal::{LogKey, VerifierKey};
use journeys::Stage;
use load::{DocumentSize, Mix, Phase, Play, Report, Scenario, Sizes, Target, check, export, run};
use prost::Message;
use std::collections::BTreeSet;
use testkit::Bench;

use crate::target::target;

testkit::on_both_engines! {
    counts_add_up,
    other_tools_get_requests_that_can_be_sent,
    a_ledger_finds_everything_and_misses_what_is_missing,
}

fn scenario() -> Scenario {
    Scenario {
        population: Sizes {
            beneficiaries: 12,
            dossiers: 4,
            documents: 1,
            physicians: 2,
            zipf: 1.0,
        },
        documents: vec![DocumentSize {
            bytes: 20_000,
            weight: 1,
        }],
        mix: Mix {
            consent: 8,
            withdraw: 8,
            enrol: 8,
            ..Mix::default()
        },
        watchers: 2,
        verify: true,
        // A debug build on a busy machine is slow; nothing here is about speed.
        deadline_ms: 60_000,
        phases: vec![Phase {
            seconds: 1.5,
            rate: 60.0,
            to: None,
        }],
        ..Scenario::default()
    }
}

async fn play(target: &Target, play: Play) -> Report {
    run(target, scenario(), play, std::future::pending()).await.unwrap()
}

/// Every call that was due is found again under exactly one heading, by kind and by second; all succeed; and the second
/// load finds the population of the first.
async fn counts_add_up(bench: Bench) {
    let stage = Stage::on(bench).await;
    let target = target(&stage);
    let first = play(&target, Play::default()).await;
    let total = first.total();
    assert!(total.intended > 40, "{}", total.intended);
    assert_eq!(total.intended, total.done() + total.failures() + total.not_sent);
    assert_eq!(
        (total.failures(), total.not_sent, first.unclear()),
        (0, 0, 0),
        "{}",
        first.text()
    );
    assert_eq!(total.endings.values().sum::<u64>(), total.done());
    let by_second: u64 = first.seconds.iter().map(|second| second.done).sum();
    assert_eq!(by_second, total.done());
    let kinds: BTreeSet<&str> = first.operations.keys().map(String::as_str).collect();
    assert!(kinds.is_superset(&BTreeSet::from([
        "resolve",
        "authorize",
        "submit",
        "list",
        "read",
        "send"
    ])));
    assert!(first.operations["read"].bytes >= 18_000 * first.operations["read"].done());

    assert_eq!(
        first.page().matches("<svg").count(),
        4,
        "a page with its plots, but for processes that nobody named"
    );

    let settled = stage.bench.folder().join("load-population.json");
    let remembered = std::fs::read(&settled).unwrap();
    let second = play(&target, Play::default()).await;
    assert_eq!(second.total().failures(), 0, "{}", second.text());
    assert_eq!(std::fs::read(&settled).unwrap(), remembered);
    std::fs::remove_file(&settled).unwrap();
    let third = play(&target, Play::default()).await;
    assert_eq!(
        third.total().failures(),
        0,
        "settled again, it is the same: {}",
        third.text()
    );
    stage.suite.stop().await;
}

fn log_key(stage: &Stage) -> VerifierKey {
    let text = std::fs::read_to_string(stage.home.journal_verifier("dossier")).unwrap();
    VerifierKey::parse(text.trim_end()).unwrap()
}

/// What was acknowledged is read back after a restart, and every journal proves itself complete; a write that never happened
/// is called lost, and one that the journal knows nothing of is found out.
async fn a_ledger_finds_everything_and_misses_what_is_missing(bench: Bench) {
    let stage = Stage::on(bench).await;
    let ledger = stage.bench.folder().join("ledger");
    let play_with_ledger = Play {
        ledger: Some(ledger.clone()),
        ..Play::default()
    };
    let report = play(&target(&stage), play_with_ledger).await;
    let done = |kind: &str| usize::try_from(report.operations[kind].done()).unwrap();
    let stage = stage.restart().await;
    let key = log_key(&stage);
    let found = check(&ledger, &target(&stage), &key).await.unwrap();
    let faults = [found.lost, found.unanswered, found.unproved].concat();
    assert_eq!(faults, Vec::<String>::new());
    assert!((1..=4).contains(&found.proved), "{}", found.proved);
    assert_eq!(found.entries["document"], done("submit"));
    assert_eq!(found.entries["message"], done("send"));
    assert_eq!(found.entries["consent"], done("consent"));
    assert_eq!(found.entries["beneficiary"], done("enrol"));

    let text = std::fs::read_to_string(&ledger).unwrap();
    let document = text.lines().find(|line| line.starts_with("document")).unwrap();
    let message = text.lines().find(|line| line.starts_with("message")).unwrap();
    let consent = text.lines().find(|line| line.starts_with("consent")).unwrap();
    let beneficiary = text.lines().find(|line| line.starts_with("beneficiary")).unwrap();
    let (rest, entry_id) = document.rsplit_once(' ').unwrap();
    let (rest, _digest) = rest.rsplit_once(' ').unwrap();
    let (sender, digest) = message.rsplit_once(' ').unwrap();
    let (sender, _message_id) = sender.rsplit_once(' ').unwrap();
    let (holder, _consent_id) = consent.rsplit_once(' ').unwrap();
    let nobodys = "5b0ee7c1-4f25-4c4c-9d0d-0123456789ab";
    let forged = [
        format!("{rest} {} {entry_id}", "00".repeat(32)),
        document.replace('^', "^absent-"),
        format!("{sender} {nobodys} {digest}"),
        format!("{holder} {nobodys}"),
        format!("{beneficiary}0"),
        document.replace(entry_id, nobodys),
    ];
    let forged: String = forged.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&ledger, format!("{forged}{text}document half a li")).unwrap();
    let found = check(&ledger, &target(&stage), &key).await.unwrap();
    assert_eq!(found.lost.len(), 5, "{:?}", found.lost);
    assert_eq!(found.unproved.len(), 1, "{:?}", found.unproved);
    assert!(found.unproved[0].contains(nobodys), "{:?}", found.unproved);

    // Another log's key proves nothing.
    std::fs::write(&ledger, text).unwrap();
    let stranger = LogKey::from_seed("dmp.localhost/dossier", [7; 32]).unwrap();
    let found = check(&ledger, &target(&stage), stranger.verifier()).await.unwrap();
    assert_eq!((found.lost.len(), found.proved), (0, 0), "{:?}", found.unproved);
    stage.suite.stop().await;
}

/// Each method has its requests as JSON, the token beside them, and the framed one is a message of the contract.
async fn other_tools_get_requests_that_can_be_sent(bench: Bench) {
    let stage = Stage::on(bench).await;
    let folder = stage.bench.folder().join("requests");
    export(&target(&stage), &scenario(), &folder).await.unwrap();
    let list = |name: &str| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap()
    };
    for name in ["resolve", "authorize", "list", "read", "send"] {
        assert_eq!(list(name).len(), 100, "{name}");
    }
    assert_eq!(list("submit").len(), 2, "a header and a chunk: one deposit");
    let metadata = std::fs::read_to_string(folder.join("metadata.json")).unwrap();
    assert!(metadata.contains("Bearer "));
    let framed = std::fs::read(folder.join("request.bin")).unwrap();
    let (frame, message) = framed.split_at(5);
    assert_eq!(
        frame,
        [&[0], u32::try_from(message.len()).unwrap().to_be_bytes().as_slice()].concat()
    );
    let request = ResolveIdentifierRequest::decode(message).unwrap();
    assert_eq!(list("resolve")[0]["ins"]["matricule"], request.ins.unwrap().matricule);
    stage.suite.stop().await;
}
