//! No call scans a table or sorts what an index could give in order: every statement that the services run while all kinds
//! of calls are made is taken from the database's driver and explained.
//!
//! A test binary of its own: what it captures is the telemetry of its whole process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod fault;
mod postgres;
#[path = "../stage/seen.rs"]
mod seen;
mod sqlite;
#[path = "../stage/strangers.rs"]
mod strangers;
#[path = "../stage/target.rs"]
mod target;

use api::messaging::v1::WatchNoticesRequest;
use journeys::Stage;
use load::{DocumentSize, Mix, Phase, Play, Process, Scenario, Sizes, run};
use sqlx::SqliteConnection;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use testkit::{Bench, Engine, actor};
use tokio::sync::Mutex;

use seen::Seen;
use target::target;

testkit::on_both_engines! {
    no_call_scans_or_sorts_a_table,
    what_scans_or_sorts_is_told,
}

/// One test after the other: all of them are heard by the same ears.
static TURN: Mutex<()> = Mutex::const_new(());
static SEEN: LazyLock<Seen> = LazyLock::new(Seen::listen);

/// Enough that PostgreSQL's planner sees a difference between reading some of them and all.
const STRANGERS: i64 = 20_000;

/// By service, rows that it has only for a moment or never, so that no statement is planned for an empty table: a queue of
/// a log that nobody writes, and events.
const FILLED_BESIDE: [(&str, &str); 4] = [
    ("dossier", STAGED),
    ("messaging", STAGED),
    ("identifier", EVENTS),
    ("dossier", EVENTS),
];
const STAGED: &str = "WITH RECURSIVE numbers (n) AS
         (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
     INSERT INTO journal_staged (log_id, entry_id, subject, payload, staged_at)
     SELECT 1000, uuid(substr(CAST(1000000 + n AS TEXT) || '0000000000000000000000000', 1, 32)), 'stranger', {zeros}, n
     FROM numbers";
const EVENTS: &str = "WITH RECURSIVE numbers (n) AS
         (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
     INSERT INTO outbox (feed, key, payload, created_at, position)
     SELECT 'strangers', CAST(n AS TEXT), {zeros}, 0, (SELECT head FROM feed_head) + n FROM numbers";

/// Sorts that are meant, by a part of their statement, with what keeps them small.
const SORTED: [(&str, &str); 4] = [
    (
        "FROM mailboxes WHERE ((owner_kind = 'PROFESSIONAL'",
        "an owner may open so many mailboxes and no more",
    ),
    (
        "FROM facts WHERE dmp_id = $1 AND kind = $2 AND revision_to IS NULL ORDER BY revision_from",
        "PostgreSQL: the live facts of one kind about one person, when it expects few",
    ),
    (
        "FROM accreditations WHERE host_id IN",
        "PostgreSQL: the accreditations of a host, when it expects few",
    ),
    (
        "SELECT DISTINCT feed, key FROM outbox",
        "PostgreSQL: what has happened since the last look, when it expects little",
    ),
];

/// What is meant on young tables only, in the same way.
const YOUNG: [(&str, &str); 1] = [(
    "LEFT JOIN facts f",
    "PostgreSQL: the whole index of live facts, when it expects one or two in all and is asked for two dossiers; the \
     first analysis ends it",
)];

/// A service's database.
enum Base {
    Sqlite(SqliteConnection),
    Postgres(postgres::Base),
}

impl Base {
    async fn open(engine: Engine, url: &str) -> Self {
        match engine {
            Engine::Sqlite => Self::Sqlite(sqlite::open(url).await),
            Engine::Postgres => Self::Postgres(postgres::open(url).await),
        }
    }

    /// What is wrong with a statement's plan; `None` when the statement is not of this database.
    async fn faults(&mut self, statement: &str) -> Option<Vec<String>> {
        match self {
            Self::Sqlite(connection) => sqlite::faults(connection, statement).await,
            Self::Postgres(base) => postgres::faults(base, statement).await,
        }
    }
}

/// The databases of the services, by service.
type Databases = [(&'static str, String); 4];

/// Stops the suite of a stage, and answers its databases.
async fn closed(stage: Stage) -> (Bench, Databases) {
    let databases = stage.databases();
    stage.suite.stop().await;
    (stage.bench, databases)
}

/// Opens databases as they are.
async fn opened(engine: Engine, databases: &Databases) -> Vec<Base> {
    let mut bases = Vec::new();
    for (_, url) in databases {
        bases.push(Base::open(engine, url).await);
    }
    bases
}

/// Fills those of PostgreSQL, and analyses them; on SQLite plans do not depend on what there is.
async fn fill(engine: Engine, databases: &Databases) {
    if engine == Engine::Sqlite {
        return;
    }
    for (service, url) in databases {
        strangers::fill(service, url, STRANGERS).await;
        let beside = FILLED_BESIDE.iter().filter(|(of, _)| of == service);
        let beside: Vec<String> = beside.map(|(_, statement)| (*statement).to_owned()).collect();
        strangers::run(url, &beside, STRANGERS).await;
    }
}

/// What is wrong with a statement's plan, in every database that has its tables.
async fn faults(bases: &mut [Base], statement: &str) -> Vec<String> {
    let (mut known, mut faults) = (false, Vec::new());
    for base in bases {
        if let Some(told) = base.faults(statement).await {
            known = true;
            faults.extend(told);
        }
    }
    assert!(known, "no service has the tables of {statement}");
    faults
}

/// Every kind of call, some times.
fn everything() -> Scenario {
    Scenario {
        population: Sizes {
            beneficiaries: 20,
            dossiers: 4,
            documents: 2,
            physicians: 4,
            zipf: 0.0,
        },
        arrivals: Process::Constant,
        mix: Mix {
            resolve: 1,
            authorize: 1,
            submit: 1,
            list: 1,
            read: 1,
            send: 1,
            retrieve: 1,
            watch: 1,
            consent: 1,
            withdraw: 1,
            enrol: 1,
        },
        watchers: 1,
        deadline_ms: 60_000,
        documents: vec![DocumentSize {
            bytes: 20_000,
            weight: 1,
        }],
        phases: vec![Phase {
            seconds: 5.0,
            rate: 20.0,
            to: None,
        }],
        ..Scenario::default()
    }
}

/// What no scenario plays: break-glass, until the holder is told, and looks who came in.
async fn break_glass(stage: &Stage) {
    let (dmp_id, _) = stage.open_dossier().await;
    stage.designate(&dmp_id, actor::OTHER_PHYSICIAN).await;
    let holder = actor::holder(&dmp_id);
    let request = stage.request(&holder, WatchNoticesRequest::default());
    let mut told = stage
        .notice_service()
        .watch_notices(request)
        .await
        .unwrap()
        .into_inner();
    let physician = actor::physician(actor::PHYSICIAN);
    stage.break_glass(&physician, &dmp_id, "unconscious").await.unwrap();
    while told.message().await.unwrap().unwrap().notice.is_none() {}
    stage.notices(&holder, "").await;
    stage.accesses(&dmp_id).await;
}

async fn no_call_scans_or_sorts_a_table(bench: Bench) {
    let _turn = TURN.lock().await;
    SEEN.take();
    let stage = Stage::on(bench).await;
    SEEN.take();
    let report = run(&target(&stage), everything(), Play::default(), std::future::pending())
        .await
        .unwrap();
    break_glass(&stage).await;
    let seen = SEEN.take();
    for (operation, counts) in &report.operations {
        assert!(counts.done() > 0, "{operation} was never done");
    }
    assert!(report.operations.len() >= 10, "{:?}", report.operations.keys());
    let (bench, databases) = closed(stage).await;
    for filled in [false, true] {
        if filled {
            fill(bench.engine, &databases).await;
        }
        let mut bases = opened(bench.engine, &databases).await;
        let mut told = BTreeMap::new();
        let young: &[_] = if filled { &[] } else { &YOUNG };
        for statement in seen.keys().filter(|statement| is_planned(statement)) {
            let meant = SORTED.iter().chain(young).any(|(part, _)| statement.contains(part));
            for statement in widened(statement) {
                let faults = faults(&mut bases, &statement).await;
                if !faults.is_empty() && !meant {
                    told.insert(statement, faults);
                }
            }
        }
        assert!(told.is_empty(), "filled: {filled}; {told:#?}");
    }
}

/// A statement, and where it joins a list of values also with a short and a long list: how long it was when it was heard
/// depends on how many calls met, and a planner may think otherwise of the one than of the other.
fn widened(statement: &str) -> Vec<String> {
    let mut widened = vec![statement.to_owned()];
    if let Some((before, rows)) = statement.split_once("FROM (VALUES (")
        && let (Some((row, _)), Some((_, after))) = (rows.split_once(')'), rows.split_once(") AS "))
    {
        let list = |length| vec![format!("({row})"); length].join(", ");
        widened.extend([1, 2, 16].map(|length| format!("{before}FROM (VALUES {}) AS {after}", list(length))));
    }
    widened
}

/// Whether there is something to plan: not for transactions, settings and the like, nor for rows that are given.
fn is_planned(statement: &str) -> bool {
    let first = statement.split_whitespace().next().unwrap_or_default();
    let given = first == "INSERT" && statement.contains("SELECT * FROM (VALUES");
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first) && !given
}

/// The test above can fail.
async fn what_scans_or_sorts_is_told(bench: Bench) {
    let _turn = TURN.lock().await;
    let (bench, databases) = closed(Stage::on(bench).await).await;
    fill(bench.engine, &databases).await;
    let mut bases = opened(bench.engine, &databases).await;
    for statement in [
        "SELECT * FROM documents",
        "SELECT d.* FROM documents AS d WHERE d.type_code = $1",
        "SELECT * FROM documents WHERE unique_id = $1 ORDER BY dmp_id, unique_id",
        "SELECT * FROM documents WHERE dmp_id = $1 ORDER BY size LIMIT 5",
        "SELECT * FROM journal_entries WHERE log_id = $1 AND recorded_at > $2",
        "SELECT r.dmp_id FROM dossier_revisions r JOIN facts f ON f.dmp_id = r.dmp_id WHERE f.subject = $1",
        "UPDATE messages SET header = $2 WHERE deposit_id = $1",
        "DELETE FROM requests WHERE method = $1",
    ] {
        assert!(!faults(&mut bases, statement).await.is_empty(), "{statement}");
    }
    for statement in [
        "SELECT * FROM documents WHERE dmp_id = $1 AND unique_id = $2",
        "SELECT leaf_index FROM journal_entries WHERE log_id = $1 ORDER BY leaf_index DESC LIMIT 1",
        "UPDATE feed_head SET head = $1",
    ] {
        let faults = faults(&mut bases, statement).await;
        assert!(faults.is_empty(), "{statement}: {faults:?}");
    }
}
