//! S: a database with a service's schema, used through sqlx alone.
//!
//! It is as good at batching as anybody can be with these statements: on SQLite whatever waits shares a commit; on PostgreSQL
//! the changes of a call are a transaction of their own on one of sixteen connections, and only the journal is written by
//! one task, for whatever waits.

use sqlx::Pool;
use sqlx::pool::PoolOptions;
use std::time::Duration;
use store::{Db, Engine, Migrations, Options};
use tokio::sync::{mpsc, oneshot};

use super::statement::Statement;

/// Connections, as a service opens them by default.
const READERS: u32 = 8;
const WRITERS: u32 = 16;
/// Writes that may share a commit.
const BATCH: usize = 128;

/// The writes of one call.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// What changes in the service's own tables.
    pub(crate) changes: Vec<Statement>,
    /// What enters the journal.
    pub(crate) journal: Vec<Statement>,
}

struct Waiting {
    statements: Vec<Statement>,
    done: oneshot::Sender<sqlx::Result<()>>,
}

/// What belongs to a batch as a whole: statements before and after those of its calls.
pub(crate) type Frame = Box<dyn Fn() -> (Vec<Statement>, Vec<Statement>) + Send + Sync>;

/// One database.
pub(crate) struct Base<DB: Engine> {
    read: Pool<DB>,
    write: Pool<DB>,
    together: mpsc::Sender<Waiting>,
}

impl<DB: Engine> Base<DB> {
    /// Opens the database at `url` with a service's schema.
    pub(crate) async fn open(url: &str, migrations: &Migrations, frame: Frame) -> Result<Self, store::Error> {
        // Once through `store`: it makes the schema, and refuses a server that would not keep what it acknowledged.
        Db::<DB>::open(&Options::new(url), migrations).await?.close().await;
        let pool = |connections| {
            PoolOptions::<DB>::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(30))
                .test_before_acquire(false)
                .connect(url)
        };
        let read = pool(READERS).await?;
        let write = pool(if DB::GROUPED { 1 } else { WRITERS }).await?;
        let (together, waiting) = mpsc::channel(1024);
        tokio::spawn(write_together(write.clone(), waiting, frame));
        Ok(Self { read, write, together })
    }

    /// Runs statements in one transaction, before anything is measured.
    pub(crate) async fn fill(&self, statements: Vec<Statement>) -> sqlx::Result<()> {
        let mut transaction = self.write.begin_with(DB::BEGIN_WRITE).await?;
        for statement in statements {
            statement.run::<DB>(&mut transaction).await?;
        }
        transaction.commit().await
    }

    /// Runs statements that only read, on one connection.
    pub(crate) async fn read(&self, statements: &[Statement]) -> sqlx::Result<usize> {
        let mut connection = self.read.acquire().await?;
        let mut rows = 0;
        for statement in statements {
            rows += statement.run::<DB>(&mut connection).await?;
        }
        Ok(rows)
    }

    /// Writes durably what one call writes.
    pub(crate) async fn write(&self, writes: Writes) -> sqlx::Result<()> {
        let Writes { changes, journal } = writes;
        if DB::GROUPED {
            return self.wait([changes, journal].concat()).await;
        }
        if !changes.is_empty() {
            let mut transaction = self.write.begin().await?;
            for statement in &changes {
                statement.run::<DB>(&mut transaction).await?;
            }
            transaction.commit().await?;
        }
        if journal.is_empty() {
            return Ok(());
        }
        self.wait(journal).await
    }

    async fn wait(&self, statements: Vec<Statement>) -> sqlx::Result<()> {
        let (done, written) = oneshot::channel();
        let sent = self.together.send(Waiting { statements, done }).await;
        sent.map_err(|_| sqlx::Error::WorkerCrashed)?;
        written.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }
}

async fn write_together<DB: Engine>(pool: Pool<DB>, mut queue: mpsc::Receiver<Waiting>, frame: Frame) {
    while let Some(first) = queue.recv().await {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        let written = write_batch(&pool, &batch, &frame).await;
        for waiting in batch {
            let told = match &written {
                Ok(()) => Ok(()),
                Err(error) => Err(sqlx::Error::Protocol(error.to_string())),
            };
            // A caller whose round is over has gone away.
            let _gone = waiting.done.send(told);
        }
    }
}

async fn write_batch<DB: Engine>(pool: &Pool<DB>, batch: &[Waiting], frame: &Frame) -> sqlx::Result<()> {
    let mut transaction = pool.begin_with(DB::BEGIN_WRITE).await?;
    let (before, after) = frame();
    let own = batch.iter().flat_map(|waiting| &waiting.statements);
    for statement in before.iter().chain(own).chain(&after) {
        statement.run::<DB>(&mut transaction).await?;
    }
    transaction.commit().await
}
