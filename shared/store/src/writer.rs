//! The one way in for writes, with two ways inside.
//!
//! SQLite: one task takes what waits, runs each job under a savepoint of its own, and commits once for all of them:
//! one sync of the disk serves the whole batch. PostgreSQL: each job has a connection and a commit of its own, since
//! its server groups commits itself. Either way a job runs in a task that no caller can cancel (tonic drops handlers,
//! and a dropped `begin` leaves a connection inside a transaction nobody commits), on threads of the database's own
//! ([`OwnRuntime`]), and is answered after the commit.

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::{Connection, Database};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::Span;

use crate::lease::Leases;
use crate::observe::{Metrics, traced};
use crate::runtime::OwnRuntime;
use crate::{Engine, Error, Options, Result};

/// The work of one write: gets the connection inside its transaction. `Err` rolls this job back, and only it.
pub trait Job<DB: Database, T, E>:
    for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static
{
}
impl<DB: Database, T, E, F> Job<DB, T, E> for F where
    F: for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static
{
}

/// How the transaction ended for a job whose work succeeded.
enum Ending {
    Committed,
    Failed(fn() -> Error),
}

/// A job whose work is done; it answers once its transaction has ended.
struct Worked {
    /// Whether its changes are to be kept.
    keep: bool,
    answer: Box<dyn FnOnce(Ending) + Send>,
}

type Work<DB> = Box<dyn for<'c> FnOnce(&'c mut <DB as Database>::Connection) -> BoxFuture<'c, Worked> + Send>;

struct Queued<DB: Database> {
    work: Work<DB>,
    /// Whether the caller has gone away: then the job is not begun.
    abandoned: Box<dyn Fn() -> bool + Send>,
    /// Answers with an error, when the job could not be begun.
    refuse: Box<dyn FnOnce(Error) + Send>,
}

/// Handle to the writer.
pub(crate) struct Writer<DB: Database> {
    way: Way<DB>,
    runtime: OwnRuntime,
    limit: usize,
    name: &'static str,
    metrics: Metrics,
}

enum Way<DB: Database> {
    Grouped(mpsc::Sender<Queued<DB>>),
    Pooled { leases: Leases<DB>, places: Arc<Semaphore> },
}

impl<DB: Engine> Writer<DB> {
    pub(crate) fn start(runtime: OwnRuntime, leases: Leases<DB>, options: &Options, metrics: Metrics) -> Self {
        let limit = options.write_queue;
        let way = if DB::GROUPED {
            let (sender, receiver) = mpsc::channel(limit);
            runtime.spawn(run_grouped(leases, receiver, options.write_batch, metrics.clone()));
            Way::Grouped(sender)
        } else {
            Way::Pooled {
                leases,
                places: Arc::new(Semaphore::new(limit)),
            }
        };
        Self {
            way,
            runtime,
            limit,
            name: options.name,
            metrics,
        }
    }

    /// How many writes are asked for and not begun; on PostgreSQL, where none waits for another, not answered.
    pub(crate) fn waiting(&self) -> usize {
        self.limit
            - match &self.way {
                Way::Grouped(queue) => queue.capacity(),
                Way::Pooled { places, .. } => places.available_permits(),
            }
    }

    /// Runs `job` in a write transaction and answers after its durable commit.
    pub(crate) async fn write<T, E>(&self, job: impl Job<DB, T, E>) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let begun = Instant::now();
        let (sender, receiver) = oneshot::channel();
        if let Err(error) = self.ask(queued(job, sender, self.span())) {
            if matches!(error, Error::Busy { .. }) {
                self.metrics.refused();
            }
            return Err(error.into());
        }
        // The writer answers every job; a lost answer means that its task died, commit or not.
        let answer = receiver.await.unwrap_or_else(|_| Err(Error::CommitUnknown.into()));
        self.metrics.wrote(begun.elapsed());
        answer
    }

    /// From asking to the end of the transaction.
    fn span(&self) -> Span {
        if traced() {
            tracing::debug_span!("store.write", dmp.service = self.name)
        } else {
            Span::none()
        }
    }

    fn ask(&self, queued: Queued<DB>) -> Result<()> {
        let busy = || Error::Busy { limit: self.limit };
        match &self.way {
            Way::Grouped(queue) => queue.try_send(queued).map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => busy(),
                mpsc::error::TrySendError::Closed(_) => Error::Unavailable(None),
            }),
            Way::Pooled { leases, places } => {
                let place = places.clone().try_acquire_owned().map_err(|_| busy())?;
                let (leases, metrics) = (leases.clone(), self.metrics.clone());
                self.runtime.spawn(async move {
                    run_alone(&leases, queued, &metrics).await;
                    drop(place);
                });
                Ok(())
            }
        }
    }
}

/// Wraps a job so that the writer need not know its types.
fn queued<DB: Engine, T, E>(job: impl Job<DB, T, E>, sender: oneshot::Sender<Result<T, E>>, span: Span) -> Queued<DB>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    // Shared by the three closures; each takes the sender at most once.
    let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
    let take = |sender: &std::sync::Mutex<Option<oneshot::Sender<Result<T, E>>>>| {
        sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    };
    let reply = move |sender: &std::sync::Mutex<Option<oneshot::Sender<Result<T, E>>>>, result: Result<T, E>| {
        if let Some(sender) = take(sender) {
            // The caller may have gone away meanwhile; what was done stays done.
            let _ = sender.send(result);
        }
    };
    let (for_check, for_refusal) = (sender.clone(), sender.clone());
    let until_answered = span.clone();
    // A job that belongs to no trace of its own is still part of what asked for it.
    let span = if span.is_disabled() { Span::current() } else { span };
    let work: Work<DB> = Box::new(move |connection| {
        let worked = async move {
            let result = AssertUnwindSafe(job(connection)).catch_unwind().await;
            let result = result.unwrap_or_else(|_| Err(Error::Panicked.into()));
            let keep = result.is_ok();
            let answer = Box::new(move |ending: Ending| {
                let result = match (ending, result) {
                    (Ending::Failed(error), Ok(_)) => Err(error().into()),
                    (_, result) => result,
                };
                reply(&sender, result);
                drop(until_answered);
            });
            Worked { keep, answer }
        };
        Box::pin(tracing::Instrument::instrument(worked, span))
    });
    Queued {
        work,
        abandoned: Box::new(move || {
            let sender = for_check.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            sender.as_ref().is_none_or(oneshot::Sender::is_closed)
        }),
        refuse: Box::new(move |error| reply(&for_refusal, Err(error.into()))),
    }
}

async fn run_alone<DB: Engine>(leases: &Leases<DB>, queued: Queued<DB>, metrics: &Metrics) {
    if (queued.abandoned)() {
        return;
    }
    let mut connection = match leases.take().await {
        Ok(connection) => connection,
        Err(error) => return (queued.refuse)(error.into()),
    };
    if !in_transaction::<DB>(&mut connection, queued, metrics).await {
        connection.discard();
    }
}

/// Runs a job in a transaction of its own and answers. False when the connection's state is not known afterwards.
async fn in_transaction<DB: Engine>(connection: &mut DB::Connection, queued: Queued<DB>, metrics: &Metrics) -> bool {
    let mut transaction = match connection.begin_with(DB::BEGIN_WRITE).await {
        Ok(transaction) => transaction,
        Err(error) => {
            (queued.refuse)(error.into());
            return false;
        }
    };
    let worked = (queued.work)(&mut transaction).await;
    if !worked.keep {
        let ended = transaction.rollback().await;
        // A rollback that fails breaks the connection, which rolls back all the same.
        (worked.answer)(Ending::Committed);
        return ended.is_ok();
    }
    let begun = Instant::now();
    let committed = transaction.commit().await;
    metrics.committed(1, begun.elapsed());
    (worked.answer)(match &committed {
        Ok(()) => Ending::Committed,
        Err(sqlx::Error::Database(cause)) if matches!(cause.code().as_deref(), Some("40001" | "40P01")) => {
            Ending::Failed(|| Error::Conflict)
        }
        Err(_) => Ending::Failed(|| Error::CommitUnknown),
    });
    committed.is_ok()
}

/// Statements around the jobs of a batch. Each is one message to the thread on which SQLite runs, and one from it, however
/// many parts it has; sqlx's own savepoints would be twice as many, each waited for on both sides.
const GO_ON: &str = "SAVEPOINT job";
const KEEP: &str = "RELEASE job";
const KEEP_AND_GO_ON: &str = "RELEASE job; SAVEPOINT job";
/// Undoes what the job did; the savepoint is still there for the next one.
const UNDO: &str = "ROLLBACK TO job";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

async fn run_grouped<DB: Engine>(
    leases: Leases<DB>,
    mut queue: mpsc::Receiver<Queued<DB>>,
    batch: usize,
    metrics: Metrics,
) {
    while let Some(first) = queue.recv().await {
        if (first.abandoned)() {
            continue;
        }
        let mut connection = match leases.take().await {
            Ok(connection) => connection,
            Err(error) => {
                (first.refuse)(error.into());
                continue;
            }
        };
        if let Err(error) = run::<DB>(&mut connection, DB::BEGIN_WRITE).await {
            connection.discard();
            (first.refuse)(error.into());
            continue;
        }
        let mut answers = Vec::new();
        let ending = run_batch::<DB>(&mut connection, first, &mut queue, batch, &mut answers, &metrics).await;
        if matches!(ending, Ending::Failed(_)) {
            connection.discard();
        }
        for answer in answers {
            answer(match &ending {
                Ending::Committed => Ending::Committed,
                Ending::Failed(error) => Ending::Failed(*error),
            });
        }
    }
}

/// Runs `first` and whatever waits behind it under one commit.
async fn run_batch<DB: Engine>(
    connection: &mut DB::Connection,
    first: Queued<DB>,
    queue: &mut mpsc::Receiver<Queued<DB>>,
    batch: usize,
    answers: &mut Vec<Box<dyn FnOnce(Ending) + Send>>,
    metrics: &Metrics,
) -> Ending {
    let (mut next, mut place) = (Some(first), Place::Transaction);
    while let Some(queued) = next {
        let worked = (queued.work)(connection).await;
        answers.push(worked.answer);
        next = if answers.len() < batch { wanted(queue) } else { None };
        // SQLite ends the whole transaction by itself when the disk is full or fails.
        if place.end::<DB>(connection, worked.keep, next.is_some()).await.is_err() {
            let _over = run::<DB>(connection, ROLLBACK).await;
            if let Some(queued) = next {
                (queued.refuse)(Error::Unavailable(None));
            }
            return Ending::Failed(|| Error::Unavailable(None));
        }
    }
    let begun = Instant::now();
    let committed = run::<DB>(connection, COMMIT).await;
    metrics.committed(answers.len(), begun.elapsed());
    match committed {
        Ok(()) => Ending::Committed,
        Err(_) => Ending::Failed(|| Error::CommitUnknown),
    }
}

/// What a job that fails would undo.
enum Place {
    /// The whole transaction, in which nothing else was done yet: a savepoint copies each page that is written under it.
    Transaction,
    /// The savepoint.
    Savepoint,
}

impl Place {
    /// Ends the place of a job, to keep what it did or not, and opens the next one's when one follows.
    async fn end<DB: Engine>(&mut self, connection: &mut DB::Connection, keep: bool, more: bool) -> sqlx::Result<()> {
        match (&self, keep, more) {
            (Self::Transaction, true, true) => {
                run::<DB>(connection, GO_ON).await?;
                *self = Self::Savepoint;
            }
            (Self::Transaction, true, false) => {}
            (Self::Transaction, false, _) => {
                run::<DB>(connection, ROLLBACK).await?;
                run::<DB>(connection, DB::BEGIN_WRITE).await?;
            }
            (Self::Savepoint, true, true) => run::<DB>(connection, KEEP_AND_GO_ON).await?,
            (Self::Savepoint, true, false) => run::<DB>(connection, KEEP).await?,
            (Self::Savepoint, false, _) => run::<DB>(connection, UNDO).await?,
        }
        Ok(())
    }
}

/// The next job that somebody still waits for.
fn wanted<DB: Database>(queue: &mut mpsc::Receiver<Queued<DB>>) -> Option<Queued<DB>> {
    std::iter::from_fn(|| queue.try_recv().ok()).find(|queued| !(queued.abandoned)())
}

/// Runs statements that take nothing and give nothing, one after the other.
async fn run<DB: Engine>(connection: &mut DB::Connection, statements: &'static str) -> sqlx::Result<()> {
    sqlx::query(statements).execute(connection).await.map(drop)
}
