//! The floors run what the services run: their statements are compared with those that the database's driver tells.
//!
//! A test binary of its own: what it captures is the telemetry of its whole process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "../stage/seen.rs"]
mod seen;
#[path = "../stage/target.rs"]
mod target;

use journeys::Stage;
use load::{DocumentSize, Mix, Operation, Phase, Play, Process, Scenario, Sizes, floor_statements, run};
use std::collections::{BTreeMap, BTreeSet};
use testkit::{Bench, Engine};

use seen::Seen;
use target::target;

/// What the services run and the floors leave out: what stands around the jobs of a batch; the staging, which lets a change and its entry commit together before
/// the entry has its place in the log; and what goes on beside the calls.
const LEFT_OUT: [&str; 11] = [
    "BEGIN IMMEDIATE",
    " job",
    "COMMIT",
    "INSERT INTO journal_staged",
    "DELETE FROM journal_staged",
    "JOIN journal_staged",
    "SELECT 1",
    "FROM feed_head",
    "UPDATE feed_head",
    "FROM outbox",
    "UPDATE outbox",
];

/// Without what does not matter: breaks, names of parameters, and how many rows an insertion has.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '$' {
            while characters.next_if(char::is_ascii_digit).is_some() {}
            plain.push('?');
        } else {
            plain.push(character);
        }
    }
    let words: Vec<&str> = plain.split_whitespace().collect();
    let mut plain = words.join(" ").replace("( ", "(").replace(" )", ")");
    for width in [1, 2, 4, 6, 10, 11] {
        let row = format!("({})", vec!["?"; width].join(", "));
        while plain.contains(&format!("{row}, {row}")) {
            plain = plain.replace(&format!("{row}, {row}"), &row);
        }
    }
    plain
}

/// The same statements, each [`plain`].
fn plainly(seen: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut plainly = BTreeMap::new();
    for (text, times) in seen {
        *plainly.entry(plain(&text)).or_default() += times;
    }
    plainly
}

fn only(operation: Operation) -> Mix {
    let weight = |of| u32::from(of == operation);
    Mix {
        resolve: weight(Operation::Resolve),
        authorize: weight(Operation::Authorize),
        submit: weight(Operation::Submit),
        list: weight(Operation::List),
        read: 0,
        send: weight(Operation::Send),
        retrieve: 0,
        watch: 0,
        consent: 0,
        withdraw: 0,
        enrol: 0,
    }
}

fn scenario(operation: Operation) -> Scenario {
    Scenario {
        population: Sizes {
            beneficiaries: 4,
            dossiers: 2,
            documents: 1,
            physicians: 2,
            zipf: 0.0,
        },
        arrivals: Process::Constant,
        mix: only(operation),
        watchers: 0,
        deadline_ms: 60_000,
        documents: vec![DocumentSize {
            bytes: 20_000,
            weight: 1,
        }],
        phases: vec![Phase {
            seconds: 1.01,
            rate: 10.0,
            to: None,
        }],
        ..Scenario::default()
    }
}

/// Whatever a service runs once for every call is in the call's floor, and nothing is in it that the service does not run.
/// On SQLite; that both engines get the same text is the rule of the house.
#[tokio::test(flavor = "multi_thread")]
async fn the_floors_run_the_statements_of_the_services() {
    let seen = Seen::listen();
    let stage = Stage::on(Bench::new(Engine::Sqlite).unwrap()).await;
    let target = target(&stage);
    let play = async |operation| {
        seen.take();
        let report = run(&target, scenario(operation), Play::default(), std::future::pending());
        let done = report.await.unwrap().total().done();
        (done, plainly(seen.take()))
    };
    // Settles the population; afterwards only a sample of it is looked for, with less than a call's number of statements.
    play(Operation::Resolve).await;
    for operation in [
        Operation::Resolve,
        Operation::Authorize,
        Operation::List,
        Operation::Submit,
        Operation::Send,
    ] {
        let (done, seen) = play(operation).await;
        assert_eq!(done, 10, "{operation:?}");
        let floor: BTreeSet<String> = floor_statements(operation).unwrap().into_iter().map(plain).collect();
        let strange: Vec<&String> = floor.iter().filter(|text| !seen.contains_key(*text)).collect();
        assert!(strange.is_empty(), "{operation:?}: no service runs {strange:#?}");
        let of_each_call = seen.iter().filter(|(_, times)| **times >= done).map(|(text, _)| text);
        let missing: Vec<&String> = of_each_call
            .filter(|text| !floor.contains(*text) && !LEFT_OUT.iter().any(|left| text.contains(left)))
            .collect();
        assert!(missing.is_empty(), "{operation:?}: the floor leaves out {missing:#?}");
    }
    stage.suite.stop().await;
}
