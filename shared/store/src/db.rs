//! One database: readers on one side, the writer on the other.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Span;

use crate::lease::{Lease, Leases};
use crate::migrate::Migrations;
use crate::observe::{Gauges, Metrics, PoolState, traced};
use crate::runtime::OwnRuntime;
use crate::writer::{Job, Writer};
use crate::{Engine, Error, Result};

/// How a database is opened. Every number is a limit.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose database it is, to telemetry.
    pub name: &'static str,
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
            name: "",
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
pub struct Db<DB: Engine>(Arc<Opened<DB>>);

struct Opened<DB: Engine> {
    name: &'static str,
    read: Leases<DB>,
    write: Leases<DB>,
    writer: Writer<DB>,
    metrics: Metrics,
}

impl<DB: Engine> Gauges for Opened<DB> {
    fn pools(&self) -> [PoolState; 2] {
        [self.read.state(), self.write.state()]
    }

    fn writes_waiting(&self) -> usize {
        self.writer.waiting()
    }
}

/// What a database tells of itself when it is asked.
#[derive(Debug, Clone)]
pub struct DatabaseState {
    /// How long it took to answer.
    pub answered_in: Duration,
    /// Numbers of the migrations that it has, rising.
    pub schema: Vec<i64>,
}

/// A connection for reading, given back when dropped.
pub struct Reading<DB: Engine> {
    connection: Lease<DB>,
    /// As long as the connection is held.
    _span: Span,
}

impl<DB: Engine> Deref for Reading<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.connection
    }
}

impl<DB: Engine> DerefMut for Reading<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }
}

impl<DB: Engine> Clone for Db<DB> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<DB: Engine> Db<DB> {
    /// Opens the database and brings its schema up to date. Fails when it does not answer, when a migration that was
    /// applied has changed since, or when the server's settings could lose an acknowledged write.
    pub async fn open(options: &Options, migrations: &Migrations) -> Result<Self> {
        let runtime = OwnRuntime::start(options.name, DB::GROUPED).map_err(Error::Threads)?;
        // There, so that it is there that sockets are looked at.
        let connecting = options.clone();
        let connected = runtime.spawn(async move { DB::connect(&connecting).await }).await;
        let pools = connected.unwrap_or(Err(Error::Unavailable(None)))?.0;
        DB::migrate(&pools.write, &migrations.of(DB::MIGRATIONS)).await?;
        let metrics = Metrics::new(options.name, DB::NAME);
        let (read, write) = (Leases::new("read", pools.read), Leases::new("write", pools.write));
        let opened = Arc::new(Opened {
            name: options.name,
            writer: Writer::start(runtime, write.clone(), options, metrics.clone()),
            read,
            write,
            metrics,
        });
        opened.metrics.watch(&opened);
        Ok(Self(opened))
    }

    /// Whose database it is, to telemetry: [`Options::name`].
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// A connection for reading. On SQLite it cannot write. It sees everything acknowledged before this call.
    pub async fn read(&self) -> Result<Reading<DB>> {
        let span = if traced() {
            tracing::debug_span!("store.read", dmp.service = self.0.name)
        } else {
            Span::none()
        };
        Ok(Reading {
            connection: self.lease().await?,
            _span: span,
        })
    }

    pub(crate) async fn lease(&self) -> Result<Lease<DB>> {
        let begun = Instant::now();
        let taken = self.0.read.take().await;
        let timed_out = matches!(taken, Err(sqlx::Error::PoolTimedOut));
        self.0.metrics.waited(begun.elapsed(), !timed_out);
        Ok(taken?)
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
        self.0.writer.write(job).await
    }

    /// Whether the database answers a read, for health checks.
    pub async fn ping(&self) -> Result<()> {
        let mut connection = self.read().await?;
        sqlx::query("SELECT 1").execute(&mut *connection).await?;
        Ok(())
    }

    /// Closes every connection; later calls answer [`Error::Unavailable`].
    pub async fn close(&self) {
        self.0.read.close().await;
        self.0.write.close().await;
    }

    /// Asks it how it is.
    ///
    /// # Errors
    /// As [`Db::read`].
    pub async fn state(&self) -> Result<DatabaseState> {
        let begun = Instant::now();
        let schema = {
            let mut connection = self.read().await?;
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version")
                .fetch_all(&mut *connection)
                .await?
        };
        Ok(DatabaseState {
            answered_in: begun.elapsed(),
            schema,
        })
    }

    /// Its connections, for reading and for writing.
    pub fn pools(&self) -> [PoolState; 2] {
        self.0.pools()
    }

    /// Writes asked for and not begun (SQLite), or not answered (PostgreSQL).
    pub fn writes_waiting(&self) -> usize {
        self.0.writes_waiting()
    }
}
