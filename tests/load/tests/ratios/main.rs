//! The guard against becoming slow: ratios to the floors, never seconds, with bounds that only a mistake breaks.
//!
//! A test binary of its own, so that no other test disturbs it; it runs in debug builds, whose ratios are several times
//! below those of a release. It takes about a minute for both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "../stage/target.rs"]
mod target;

use journeys::Stage;
use load::{Measure, measure};
use std::time::Duration;
use testkit::{Bench, Engine, cluster};
use tokio::sync::Mutex;

use target::target;

testkit::on_both_engines! {
    no_call_falls_far_below_its_floors,
}

/// One engine after the other.
static TURN: Mutex<()> = Mutex::const_new(());

/// By kind of call, the least ratio to E and to S: about a fifth of what a debug build on a busy machine with two
/// processors shows.
const BOUNDS: [(&str, f64, f64); 7] = [
    ("resolve", 0.06, 0.0),
    ("authorize", 0.04, 0.0),
    ("list", 0.01, 0.04),
    ("submit", 0.005, 0.03),
    ("send", 0.01, 0.05),
    ("read", 0.01, 0.0),
    ("journal append", 0.0, 0.08),
];

async fn no_call_falls_far_below_its_floors(bench: Bench) {
    let _turn = TURN.lock().await;
    let floor_database = match bench.engine {
        Engine::Sqlite => None,
        Engine::Postgres => Some(cluster().unwrap().new_database().await),
    };
    let stage = Stage::on(bench).await;
    let target = target(&stage);
    let asked = Measure {
        callers: 16,
        rounds: 3,
        slot: Duration::from_millis(150),
        documents: 2,
        floor_database,
        ..Measure::default()
    };
    let ratios = measure(&target, &asked).await.unwrap();
    println!("{}", ratios.text());
    for (name, of_echo, of_statements) in BOUNDS {
        let row = ratios.rows.iter().find(|row| row.name == name).unwrap();
        assert!(
            row.of_echo >= of_echo,
            "{name} at {:.3} of E\n{}",
            row.of_echo,
            ratios.text()
        );
        let ratio = row.of_statements.unwrap_or(f64::INFINITY);
        assert!(ratio >= of_statements, "{name} at {ratio:.3} of S\n{}", ratios.text());
    }
    stage.suite.stop().await;
}
