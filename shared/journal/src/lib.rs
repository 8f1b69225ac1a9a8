//! How nobody can rewrite history.
//!
//! Everything done to a dossier is written here before its answer leaves, and can be proved afterwards to whoever kept as
//! much as one [`Receipt`]: to the holder, to an auditor, to a court, without a server and without trust in the operator.
//!
//! - [`Journal`] is the log in a database. One task writes it ([`Journal::append`] for reads, [`Journal::stage`] and
//!   [`Journal::settle`] for changes), many entries under one commit and one signed checkpoint; a receipt is given only for
//!   what is durable. Several instances of a service share one log and its key: batch by batch, whoever has the log's row
//!   writes, so that a dossier's chain is one. Others may keep a log of their own in the same database.
//! - [`entry`] is the specification of what is written, `dmp-journal/v1`, which never changes.
//! - [`tree`] and [`proof`] are the Merkle tree of RFC 9162, [`note`] and [`checkpoint`] the signed notes and checkpoints of
//!   C2SP, which outside witnesses can cosign.
//! - [`history`] checks what the log gives out, offline, and says exactly what that proves and what it does not.
//!
//! A log which no longer is what it last signed is not continued ([`Refusal`]).

pub mod audit;
mod batch;
pub mod checkpoint;
mod contract;
mod entries;
pub mod entry;
mod error;
pub mod hash;
pub mod history;
mod log;
mod nodes;
pub mod note;
mod observe;
pub mod proof;
mod reader;
pub mod receipt;
mod state;
pub mod tree;
mod writer;

pub use checkpoint::Checkpoint;
pub use contract::{Malformed, bytes_of, hashes_of};
pub use entry::{Entry, Link, Recorded};
pub use error::{Error, Refusal, Result};
pub use hash::Hash;
pub use history::{History, Verified, VerifyError};
pub use log::{Journal, JournalState, Limits};
pub use note::{LogKey, VerifierKey};
pub use receipt::Receipt;

/// The tables of this crate. A service's database needs them before [`Journal::open`].
pub fn own_migrations() -> &'static [store::Migration] {
    store::migrations![(100, "0100_journal")]
}
