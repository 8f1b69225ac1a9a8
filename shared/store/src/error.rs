//! What can go wrong between a statement and its durable effect.

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of storage. Their texts carry no values of rows: they may be logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many writes wait already; nothing was done.
    #[error("{limit} writes are waiting already")]
    Busy {
        /// The length of the queue.
        limit: usize,
    },
    /// The database did not answer; a read shows nothing, a write was not begun.
    #[error("the database does not answer")]
    Unavailable(#[source] Option<sqlx::Error>),
    /// The connection broke at the commit: the write may or may not have taken effect. Repeating it with its
    /// `request_id` tells.
    #[error("the outcome of the commit is unknown")]
    CommitUnknown,
    /// Another transaction came first (deadlock or serialization failure); nothing was done.
    #[error("another transaction came first")]
    Conflict,
    /// The same caller used this `request_id` for another request.
    #[error("request_id was already used for another request")]
    RequestIdReused,
    /// The page token is not ours, or belongs to another query.
    #[error("the page token does not belong to this query")]
    PageToken,
    /// The position asked for is older than what the feed keeps.
    #[error("the feed no longer keeps this position")]
    FeedCompacted,
    /// A stored value breaks the rule under which it was stored.
    #[error("stored value of {0} breaks its rule")]
    Corrupt(&'static str),
    /// The work of a write panicked; it was rolled back.
    #[error("a write panicked and was rolled back")]
    Panicked,
    /// The database's address cannot be read.
    #[error("cannot read the database's address: {0}")]
    Url(&'static str),
    /// The server runs with a setting under which an acknowledged write can be lost.
    #[error("PostgreSQL runs with {0} off: an acknowledged write could be lost")]
    UnsafeSetting(&'static str),
    /// The system gives no threads to write with.
    #[error("no threads can be had")]
    Threads(#[source] std::io::Error),
    /// The schema could not be brought up to date.
    #[error("migration failed")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A statement failed in a way that no caller can mend.
    #[error("a statement failed")]
    Statement(#[source] sqlx::Error),
}

impl Error {
    /// Whether a row was refused because one like it is there.
    pub fn is_there_already(&self) -> bool {
        matches!(self, Self::Statement(sqlx::Error::Database(cause)) if cause.is_unique_violation())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(Some(error)),
            sqlx::Error::Database(cause) => match cause.code().as_deref() {
                // PostgreSQL: serialization failure, deadlock.
                Some("40001" | "40P01") => Self::Conflict,
                // PostgreSQL: shutting down, crashed, starting up, too many connections, disk full, statement timeout.
                Some("57P01" | "57P02" | "57P03" | "53300" | "53100" | "57014" | "55P03") => {
                    Self::Unavailable(Some(error))
                }
                // SQLite primary result codes: busy, locked, I/O error, full, cannot open; extended ones keep the low byte.
                Some(code)
                    if code
                        .parse::<u32>()
                        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14)) =>
                {
                    Self::Unavailable(Some(error))
                }
                _ => Self::Statement(error),
            },
            _ => Self::Statement(error),
        }
    }
}
