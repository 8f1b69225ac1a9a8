//! What a call costs as the suite grows: each kind of call beside a bare echo (E), in the same run, among few dossiers and
//! among many, and in dossiers of few documents and of many.
//!
//! The databases are filled by SQL with strangers, of whom nothing is ever asked; the calls are about 64 dossiers that are
//! opened by the suite itself. Each size has a suite of its own. Ratios to E make up for a machine that is not always as
//! quick; the growth of a call is its ratio among the fewest over its least ratio among more.
//!
//! `cargo run --release -p load --example growth -- --engine sqlite,postgres --sizes 1000,100000,1000000`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement prints, and fails by panicking"
)]

#[path = "../tests/stage/strangers.rs"]
mod strangers;
#[path = "../tests/stage/target.rs"]
mod target;

use clap::{Parser, ValueEnum};
use futures::future::join_all;
use journeys::Stage;
use load::{Measure, Operation, Row, measure};
use std::time::{Duration, Instant};
use testkit::{Bench, Engine};

use target::target;

/// What a call may cost among many, as a multiple of what it costs among few.
const GROWTH_MAX: f64 = 1.3;

/// Every kind of call, those that only read first: what the others leave behind does not slow them. A consent is given and
/// withdrawn in turn.
const CALLS: [Operation; 9] = [
    Operation::Resolve,
    Operation::Authorize,
    Operation::List,
    Operation::Read,
    Operation::Watch,
    Operation::Retrieve,
    Operation::Send,
    Operation::Consent,
    Operation::Submit,
];

/// Calls whose cost could depend on how many documents there are in a dossier.
const CALLS_OF_A_DOSSIER: [Operation; 3] = [Operation::List, Operation::Read, Operation::Submit];

/// Documents of each dossier that the suite is given by calls.
const DEPOSITED: usize = 10;

/// Documents that a page of a listing holds: the answer is longer up to them, and no longer beyond.
const PAGE: &str = "50";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
}

/// Measures what calls cost as the suite grows.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which engines
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite")]
    engine: Vec<Database>,
    /// Dossiers, from few to many
    #[arg(long, value_delimiter = ',', default_value = "1000,100000,1000000")]
    sizes: Vec<i64>,
    /// Documents in a dossier, from few to many, in tens; a page of a listing holds 50
    #[arg(long, value_delimiter = ',', default_value = "10,50,2000")]
    documents: Vec<usize>,
    /// Calls under way at once
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Rounds, of which the median is told
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds that each contender has in each round
    #[arg(long, default_value_t = 700)]
    slot_ms: u64,
}

impl Arguments {
    /// What was measured of these calls, with the conditions.
    async fn measured(&self, stage: &Stage, calls: &[Operation]) -> (String, Vec<Row>) {
        let asked = Measure {
            callers: self.callers,
            rounds: self.rounds,
            slot: Duration::from_millis(self.slot_ms),
            documents: DEPOSITED,
            calls: Some(calls.to_vec()),
            ..Measure::default()
        };
        let ratios = measure(&target(stage), &asked).await.unwrap();
        (ratios.conditions, ratios.rows)
    }
}

/// What was measured at several sizes.
struct Table {
    title: &'static str,
    conditions: String,
    columns: Vec<(String, Vec<Row>)>,
}

impl Table {
    fn new(title: &'static str) -> Self {
        Self {
            title,
            conditions: String::new(),
            columns: Vec::new(),
        }
    }

    fn add(&mut self, size: impl ToString, (conditions, rows): (String, Vec<Row>)) {
        self.conditions = conditions;
        self.columns.push((size.to_string(), rows));
    }

    fn print(&self, engine: Engine) {
        println!("\n{} on {engine:?}; {}", self.title, self.conditions);
        println!("ratio to E (p50/p99 in ms); growth is to be at most {GROWTH_MAX}\n");
        let sizes: String = self.columns.iter().map(|(size, _)| format!("{size:>24}")).collect();
        println!("{:<10}{sizes}{:>10}", "", "growth");
        let kinds = self.columns.first().map_or(0, |(_, rows)| rows.len());
        for kind in 0..kinds {
            let rows: Vec<&Row> = self.columns.iter().filter_map(|(_, rows)| rows.get(kind)).collect();
            let cells: String = rows.iter().map(|row| format!("{:>24}", cell(row))).collect();
            let growth = growth(&rows);
            let too_much = if growth > GROWTH_MAX { " too much" } else { "" };
            let name = rows.first().map_or("", |row| row.name.as_str());
            println!("{name:<10}{cells}{growth:>10.2}{too_much}");
        }
    }

    /// How much a listing grows from a full page on.
    fn print_pages(&self) {
        let full = self.columns.iter().skip_while(|(size, _)| size != PAGE);
        let rows: Vec<&Row> = full
            .filter_map(|(_, rows)| rows.iter().find(|row| row.name == "list"))
            .collect();
        println!(
            "list, from {PAGE} documents on, which fill a page: {:.2}",
            growth(&rows)
        );
    }
}

fn cell(row: &Row) -> String {
    let (p50, p99) = row.ours_ms;
    format!("{:.4} ({p50:.1}/{p99:.1})", row.of_echo)
}

/// The ratio at the first size over the least of the others; 1 when there are none.
fn growth(rows: &[&Row]) -> f64 {
    let of_echo = |row: &&Row| row.of_echo;
    let others = rows.iter().skip(1).map(of_echo).min_by(f64::total_cmp);
    rows.first()
        .zip(others)
        .map_or(1.0, |(first, least)| first.of_echo / least)
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    for engine in &arguments.engine {
        let engine = match engine {
            Database::Sqlite => Engine::Sqlite,
            Database::Postgres => Engine::Postgres,
        };
        by_dossiers(engine, &arguments).await;
        by_documents(engine, &arguments).await;
    }
}

async fn stage(engine: Engine) -> Stage {
    Stage::on(Bench::new(engine).expect("this machine has no such engine")).await
}

/// Few dossiers and many.
async fn by_dossiers(engine: Engine, arguments: &Arguments) {
    let mut table = Table::new("Among so many dossiers");
    for size in &arguments.sizes {
        let stage = stage(engine).await;
        let databases = stage.databases();
        let stage = stage.restart_after(populate(&databases, *size)).await;
        table.add(size, arguments.measured(&stage, &CALLS).await);
        stage.suite.stop().await;
    }
    table.print(engine);
}

async fn populate(databases: &[(&str, String)], size: i64) {
    let begun = Instant::now();
    join_all(
        databases
            .iter()
            .map(|(service, url)| strangers::fill(service, url, size)),
    )
    .await;
    eprintln!("{size} strangers in {:.0} s", begun.elapsed().as_secs_f64());
}

/// Few documents in each dossier and many.
async fn by_documents(engine: Engine, arguments: &Arguments) {
    let mut table = Table::new("In dossiers of so many documents");
    let mut stage = stage(engine).await;
    let mut copies = 1;
    for documents in &arguments.documents {
        let wanted = documents / DEPOSITED;
        let databases = stage.databases();
        stage = stage.restart_after(copy(&databases, copies, wanted)).await;
        copies = copies.max(wanted);
        table.add(documents, arguments.measured(&stage, &CALLS_OF_A_DOSSIER).await);
    }
    stage.suite.stop().await;
    table.print(engine);
    table.print_pages();
}

/// Puts copies of what was deposited beside it, older, until there are `wanted` of each instead of `there`.
async fn copy(databases: &[(&str, String)], there: usize, wanted: usize) {
    let numbers = format!(
        "WITH RECURSIVE numbers (n) AS
             (SELECT CAST({there} AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $1) "
    );
    let copies = [
        "INSERT INTO documents (dmp_id, unique_id, logical_id, entry_uuid, status, type_code, class_code, masked,
         hidden_from_holder, hidden_from_representatives, announce_by, service_start, media_type, size, sha256,
         submitted_by, submitted_at, description)
         SELECT d.dmp_id, d.unique_id || '-COPY-' || n, d.logical_id, d.entry_uuid, d.status, d.type_code, d.class_code,
         d.masked, d.hidden_from_holder, d.hidden_from_representatives, d.announce_by, d.service_start - n, d.media_type,
         d.size, d.sha256, d.submitted_by, d.submitted_at - n, d.description
         FROM documents d CROSS JOIN numbers WHERE d.unique_id LIKE '%^CHARGE-%' AND d.unique_id NOT LIKE '%-COPY-%'",
        "INSERT INTO document_authors (dmp_id, author_id, unique_id)
         SELECT a.dmp_id, a.author_id, a.unique_id || '-COPY-' || n FROM document_authors a CROSS JOIN numbers
         WHERE a.unique_id LIKE '%^CHARGE-%' AND a.unique_id NOT LIKE '%-COPY-%'",
    ];
    let copies = copies.map(|copy| format!("{numbers}{copy}"));
    if wanted > there {
        let (_, dossier) = databases.iter().find(|(service, _)| *service == "dossier").unwrap();
        strangers::run(dossier, &copies, i64::try_from(wanted).unwrap()).await;
    }
}
