//! What can go wrong with the log.

use crate::checkpoint::{CheckpointError, Fork};

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of the log. Their texts carry nothing of an entry: they may be logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many entries wait already; this one was not taken (RESOURCE_EXHAUSTED).
    #[error("{limit} entries are waiting to be journaled")]
    Full {
        /// Length of the queue.
        limit: usize,
    },
    /// The log did not confirm that the entry is durable (UNAVAILABLE). It may be: writing the same entry again under the
    /// same id tells.
    #[error("the journal does not answer")]
    Unavailable,
    /// The entry breaks a limit of the log: an error of the service.
    #[error("the entry's {0} is out of bounds")]
    OutOfBounds(&'static str),
    /// Another entry was written under this id: an error of the service.
    #[error("another entry has this entry_id")]
    EntryIdReused,
    /// Nothing was staged or written under this id.
    #[error("nothing was staged under this entry_id")]
    NotStaged,
    /// There is no such leaf or no tree of such a size (yet).
    #[error("no such leaf or tree size")]
    NoSuchTree,
    /// The log's stored state contradicts what it has signed: it must not be continued.
    #[error("the journal is refused: {0}")]
    Refused(#[from] Refusal),
    /// The storage failed under a reading or staging.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Why a stored log is not continued. Each means that the database was changed by something other than this log, or brought
/// back from a backup: an operator must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The log was begun with another key. A new key is a new log, under a new origin.
    #[error("it was begun with another key")]
    Key,
    /// It has no checkpoint at all.
    #[error("its last checkpoint is missing")]
    NoCheckpoint,
    /// Its last checkpoint is not one it signed.
    #[error("its last checkpoint is false: {0}")]
    Checkpoint(CheckpointError),
    /// It has fewer or more entries than its last checkpoint says.
    #[error("it has {stored} entries, its last checkpoint {signed}")]
    Size {
        /// Entries in the tables.
        stored: u64,
        /// Entries in the last checkpoint.
        signed: u64,
    },
    /// Hashes of its tree are missing.
    #[error("hashes of its tree are missing")]
    Tree,
    /// Its tree gives another root than the one it signed.
    #[error("its tree gives another root than its last checkpoint")]
    Root,
    /// A checkpoint kept outside of the database is not one this log signed.
    #[error("a witnessed checkpoint is false: {0}")]
    Witnessed(CheckpointError),
    /// A checkpoint kept outside of the database is ahead: the database was brought back from before it.
    #[error("it has {stored} entries, a witnessed checkpoint {witnessed}")]
    Behind {
        /// Entries in the tables.
        stored: u64,
        /// Entries in the witnessed checkpoint.
        witnessed: u64,
    },
    /// A checkpoint kept outside of the database is of another history.
    #[error("{0}")]
    Forked(Fork),
}
