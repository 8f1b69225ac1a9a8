//! How near the suite is to its floors: each kind of call beside what it is compared to, in the same run, in short rounds
//! taken in turn, so that a noisy machine disturbs all alike.
//!
//! First all callers call as fast as they are answered: that gives calls a second, and the ratios. Then calls arrive at half
//! of that rate, whatever is answered: that gives latencies that say something, for none of them is a queue's length.

mod arena;
mod page;
mod row;
mod slot;
mod subjects;
mod text;

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

pub use row::{AtHalf, Row};
pub use subjects::Peer;

use crate::LoadError;
use crate::operation::Operation;
use crate::target::Target;
use arena::Arena;
use subjects::{PEER_SOURCE, SUBJECTS, Subject, peers};

/// How ratios are measured.
#[derive(Debug, Clone)]
pub struct Measure {
    /// Calls under way at once.
    pub callers: usize,
    /// Connections to each service, and to the echo.
    pub connections: usize,
    /// Rounds of either kind, of which the median is told; one more before them warms up.
    pub rounds: usize,
    /// How long each contender has in each round.
    pub slot: Duration,
    /// Documents in each dossier.
    pub documents: usize,
    /// Only these kinds of calls, and beside E alone, as fast as they are answered; `None` for those that have aims, beside E
    /// and S. Consents and withdrawals are one kind: who has consented withdraws.
    pub calls: Option<Vec<Operation>>,
    /// Whether E is called in the clear also where the suite is called over TLS.
    pub clear_echo: bool,
    /// Whether E is served in a process of its own, by this program's `load echo`, as a suite is that is not in this process.
    pub echo_apart: bool,
    /// A PostgreSQL database for the statements alone, when the suite is on PostgreSQL; its schemas `load_…` are made anew.
    pub floor_database: Option<String>,
    /// Repeats the same population.
    pub seed: u64,
}

impl Default for Measure {
    fn default() -> Self {
        Self {
            callers: 64,
            connections: 4,
            rounds: 5,
            slot: Duration::from_millis(700),
            documents: 50,
            calls: None,
            clear_echo: false,
            echo_apart: false,
            floor_database: None,
            seed: 1,
        }
    }
}

/// The ratios of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    /// What figures mean nothing without.
    pub conditions: String,
    /// Whether the client was compiled with optimisation.
    pub optimised: bool,
    /// By kind of call.
    pub rows: Vec<Row>,
    /// Where a peer's figures come from, and what they are.
    pub peer_source: String,
    /// Its calls that are like ours.
    pub peers: Vec<Peer>,
}

/// Measures every kind of call beside its floors.
///
/// # Errors
/// [`LoadError`] when something cannot be measured: a contender that fails is no contender.
pub async fn measure(target: &Target, asked: &Measure) -> Result<Ratios, LoadError> {
    let arena = Arc::new(Arena::open(target, asked).await?);
    let mut rows = Vec::new();
    match &asked.calls {
        None => {
            for subject in &SUBJECTS {
                rows.push(arena.compare(subject, asked).await?);
            }
        }
        Some(calls) => {
            for operation in calls {
                rows.push(arena.compare(&Subject::alone(*operation), asked).await?);
            }
        }
    }
    Ok(Ratios {
        conditions: conditions(target, asked),
        optimised: !cfg!(debug_assertions),
        rows,
        peer_source: PEER_SOURCE.to_owned(),
        peers: peers(),
    })
}

fn conditions(target: &Target, asked: &Measure) -> String {
    let build = if cfg!(debug_assertions) {
        "DEBUG BUILD: these ratios say little about a release"
    } else {
        "release build"
    };
    let tls = match (&target.tls, asked.clear_echo) {
        (Some(_), false) => "TLS of the same kind for the suite and for E",
        (Some(_), true) => "TLS for the suite, none for E",
        (None, _) => "no TLS",
    };
    let echo = if asked.echo_apart {
        "E in a process of its own"
    } else {
        "E in the client's process"
    };
    let statements = match (&asked.calls, &asked.floor_database) {
        (Some(_), _) => "",
        (None, Some(_)) => "; S, on PostgreSQL, called from the client's",
        (None, None) => "; S, on SQLite, in the client's",
    };
    format!(
        "{}; {build}; {} callers on {} connections; medians of {} rounds of {} ms each, in turn; {} documents in a dossier \
         at first; {echo}{statements}; {tls}",
        target.clock.now(),
        asked.callers,
        asked.connections,
        asked.rounds,
        asked.slot.as_millis(),
        asked.documents,
    )
}

impl Ratios {
    /// The peer's calls, each with ours.
    fn beside(&self) -> impl Iterator<Item = (&Peer, &Row)> {
        let ours = |peer: &Peer| self.rows.iter().find(|row| row.name == peer.beside);
        self.peers.iter().filter_map(move |peer| Some((peer, ours(peer)?)))
    }
}
