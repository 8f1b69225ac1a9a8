//! `dmp load`: what a suite bears, measured so that anybody can repeat it.
//!
//! - Arrivals are open-loop: computed ahead, and no answer delays the next call. A latency is counted from the moment when
//!   its call was due, so that a stall shows in the latency of everything that had to wait for it.
//! - The population is invented, the same for the same seed, and settled in the suite by its own calls.
//! - Nothing is left out: what could not be sent, what failed and how, what came too late, each has its count.
//! - A load can keep a [ledger](Play::ledger) of what was acknowledged, to be read back after faults.

mod arrivals;
mod call;
mod command;
mod deliveries;
mod dice;
mod dispatch;
mod document;
mod export;
mod floor;
mod history;
mod ledger;
mod operation;
mod page;
mod patience;
mod peak;
mod person;
mod plot;
mod population;
mod ratios;
mod report;
mod run;
mod scenario;
mod sink;
mod tally;
mod target;
mod usage;

pub use command::{Check, Compare, Echo, Export, Folder, Load, Reach, Run, Sink};
pub use export::export;
pub use ledger::{Found, check};
pub use operation::Operation;
pub use ratios::{AtHalf, Measure, Peer, Ratios, Row, measure};
pub use report::{Conditions, Report};
pub use run::{Play, run};
pub use scenario::{DocumentSize, Mix, Phase, Process, Scenario, Sizes};
pub use tally::{Counts, Latencies, Second};
pub use target::{Endpoints, Target};
pub use usage::{Usage, Watched};

use std::io;
use std::path::{Path, PathBuf};

use operation::Ending;

/// The SQL statements, each once, that a call is compared to by `dmp load ratios`; `None` for one that has no such floor.
pub fn floor_statements(operation: Operation) -> Option<std::collections::BTreeSet<&'static str>> {
    floor::supply::texts(operation)
}

/// Why a load cannot be played or checked.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A scenario is none.
    #[error("the scenario cannot be played: {0}")]
    Scenario(String),
    /// An address is none.
    #[error("the address of the {service} service is no http://host:port; https:// needs --trust and --trust-domain")]
    Address {
        /// Which service.
        service: &'static str,
    },
    /// A service that there is not.
    #[error("there is no service called {0}")]
    Service(String),
    /// The authorities for TLS cannot be used.
    #[error("`--trust` {0}")]
    Trust(String),
    /// A token cannot be minted.
    #[error("a token cannot be minted: {}", .0.message)]
    Token(serve::Failure),
    /// The population cannot be settled.
    #[error("the population cannot be settled: {0}: {1}")]
    Settling(&'static str, String),
    /// An invented identity is not well-formed, which never happens.
    #[error("an identity could not be invented")]
    Invention,
    /// A line of a ledger is none.
    #[error("the ledger has a line that is none: {0}")]
    Ledger(String),
    /// The public key of a journal is none.
    #[error("{}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A floor's database cannot be opened.
    #[error("a floor's database cannot be opened")]
    Base(#[source] store::Error),
    /// A floor's statement fails.
    #[error("a floor's database does not do what the services' do")]
    Floor(#[source] sqlx::Error),
    /// A measurement cannot be taken.
    #[error("a measurement cannot be taken: {0}")]
    Measurement(String),
    /// A report cannot be written.
    #[error("the report cannot be written: {0}")]
    Report(String),
    /// A part of the load itself broke.
    #[error("the load broke off: a defect of this program")]
    Panicked,
}

impl LoadError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn settling(what: &'static str, ending: &Ending) -> Self {
        Self::Settling(what, ending.to_string())
    }
}
