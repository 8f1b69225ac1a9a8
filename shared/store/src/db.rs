//! One database: readers on one side, the writer on the other.

use sqlx::Pool;
use sqlx::pool::PoolConnection;
use std::time::Duration;

use crate::engine::Pools;
use crate::migrate::Migrations;
use crate::writer::{Job, Writer};
use crate::{Engine, Error, Result};

/// How a database is opened. Every number is a limit.
#[derive(Debug, Clone)]
pub struct Options {
    /// `sqlite:///path/to/file.db` or `postgres://user:password@host/database`.
    pub url: String,
    /// Connections for reading.
    pub readers: u32,
    /// Connections for writing (PostgreSQL; SQLite has one writer).
    pub writers: u32,
    /// Writes that may wait; one more is refused with [`Error::Busy`].
    pub write_queue: usize,
    /// Writes that may share one commit (SQLite).
    pub write_batch: usize,
    /// How long a connection, or SQLite's lock, is waited for.
    pub acquire_timeout: Duration,
    /// How long one statement may take (PostgreSQL).
    pub statement_timeout: Duration,
}

impl Options {
    /// The defaults for `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            readers: 8,
            writers: 16,
            write_queue: 1024,
            write_batch: 128,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(20),
        }
    }
}

/// An open database; cheap to clone.
pub struct Db<DB: Engine> {
    read: Pool<DB>,
    write: Pool<DB>,
    writer: Writer<DB>,
}

impl<DB: Engine> Clone for Db<DB> {
    fn clone(&self) -> Self {
        Self {
            read: self.read.clone(),
            write: self.write.clone(),
            writer: self.writer.clone(),
        }
    }
}

impl<DB: Engine> Db<DB> {
    /// Opens the database and brings its schema up to date. Fails when it does not answer, when a migration that was
    /// applied has changed since, or when the server's settings could lose an acknowledged write.
    pub async fn open(options: &Options, migrations: &Migrations) -> Result<Self> {
        let Pools { read, write } = DB::connect(options).await?.0;
        DB::migrate(&write, &migrations.of(DB::MIGRATIONS)).await?;
        Ok(Self {
            writer: Writer::start(write.clone(), options),
            read,
            write,
        })
    }

    /// A connection for reading. On SQLite it cannot write. It sees everything acknowledged before this call.
    pub async fn read(&self) -> Result<PoolConnection<DB>> {
        Ok(self.read.acquire().await?)
    }

    /// Runs `job` in a write transaction and answers after the commit is durable. The job is not begun when the
    /// caller has gone away before its turn; once begun it is never cancelled. `Err` from the job, or a panic, rolls
    /// back what it did and nothing else.
    ///
    /// # Errors
    /// The job's own; [`Error::Busy`] when too many wait; [`Error::Unavailable`] when the database does not answer;
    /// [`Error::CommitUnknown`] when the connection broke at the commit.
    pub async fn write<T, E>(&self, job: impl Job<DB, T, E>) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.writer.write(job).await
    }

    /// Whether the database answers a read, for health checks.
    pub async fn ping(&self) -> Result<()> {
        let mut connection = self.read().await?;
        sqlx::query("SELECT 1").execute(&mut *connection).await?;
        Ok(())
    }

    /// Closes every connection; later calls answer [`Error::Unavailable`].
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
