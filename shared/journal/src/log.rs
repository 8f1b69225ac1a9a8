//! The log of one service: how entries get in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashlink::LruCache;
use store::observe::traced;
use store::random::Random;
use store::time::{Clock, Timestamp};
use store::{Db, Engine, NewRow};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::Span;
use uuid::Uuid;

use crate::entries;
use crate::entry::{Entry, MAX_SUBJECT_BYTES};
use crate::error::{Error, Result};
use crate::note::{LogKey, VerifierKey};
use crate::observe::{Metrics, Queue};
use crate::receipt::Receipt;
use crate::state;
use crate::tree::Frontier;
use crate::writer::{Ask, Job, Known, Writer};

/// Largest payload that is remembered between being staged and being settled. Others are read.
const REMEMBERED_BYTES_MAX: usize = 4 * 1024;

/// What a log takes and gives at the most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries that may wait; one more is refused with [`Error::Full`].
    pub queue: usize,
    /// Entries asked for that share one commit and one checkpoint. A sweep may add as many staged ones.
    pub batch: usize,
    /// Bytes of one payload.
    pub payload_bytes: usize,
    /// Entries of one page.
    pub page: usize,
    /// How often staged entries which nobody settled are looked for.
    pub sweep_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            queue: 1024,
            batch: 256,
            payload_bytes: 64 * 1024,
            page: 500,
            sweep_every: Duration::from_secs(5),
        }
    }
}

/// An append-only log in a database; cheap to clone.
///
/// Every receipt it gives is of an entry that is durable. What it holds can only grow, as anyone can check who kept a receipt
/// or a checkpoint.
pub struct Journal<DB: Engine> {
    pub(crate) shared: Arc<Shared<DB>>,
}

pub(crate) struct Shared<DB: Engine> {
    pub(crate) db: Db<DB>,
    pub(crate) clock: Clock,
    pub(crate) log: i64,
    pub(crate) verifier: VerifierKey,
    pub(crate) limits: Limits,
    queue: mpsc::Sender<Job>,
    /// What this process has staged last, so that it is not read again to be settled. Whether it is staged still, or was at
    /// all, only the database knows.
    on_their_way: Mutex<LruCache<Uuid, Entry>>,
    metrics: Metrics,
}

impl<DB: Engine> Queue for Shared<DB> {
    fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

/// Where a log stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JournalState {
    /// Entries in the tree.
    pub tree_size: u64,
    /// When its last checkpoint with an entry was signed.
    pub last_checkpoint_at: Option<Timestamp>,
}

impl<DB: Engine> Clone for Journal<DB> {
    fn clone(&self) -> Self {
        Journal {
            shared: self.shared.clone(),
        }
    }
}

impl<DB: Engine> Journal<DB> {
    /// Opens the log of `key`, or begins it, and takes down what a crash left staged. `db` must have
    /// [`crate::own_migrations`].
    ///
    /// # Errors
    /// [`Error::Refused`] when what is stored is not what was last signed: the log is not continued then.
    pub async fn open(db: Db<DB>, clock: Clock, random: Random, key: LogKey, limits: Limits) -> Result<Self> {
        Self::open_witnessed(db, clock, random, key, limits, &[]).await
    }

    /// As [`Journal::open`], for a log that must also extend every checkpoint in `witnessed`: notes kept outside of the
    /// database, by a witness or in a file beside the backups. Nothing else can tell a database brought back from a backup
    /// from a younger one.
    pub async fn open_witnessed(
        db: Db<DB>,
        clock: Clock,
        random: Random,
        key: LogKey,
        limits: Limits,
        witnessed: &[String],
    ) -> Result<Self> {
        let key = Arc::new(key);
        let (log, tree) = prepare(&db, key.clone(), witnessed.to_vec()).await?;
        let (queue, jobs) = mpsc::channel(limits.queue.max(1));
        let verifier = key.verifier().clone();
        let metrics = Metrics::new(db.name(), verifier.name(), tree.size());
        let shared = Shared {
            db: db.clone(),
            clock: clock.clone(),
            log,
            verifier,
            limits,
            queue,
            on_their_way: Mutex::new(LruCache::new(limits.queue)),
            metrics: metrics.clone(),
        };
        let mut writer = Writer {
            db,
            clock,
            random,
            key,
            log,
            limits,
            known: Some(Known::new(tree)),
            metrics,
        };
        while writer.write(Arc::new([]), true).await?.swept > 0 {}
        tokio::spawn(writer.run(jobs));
        let shared = Arc::new(shared);
        shared.metrics.watch(Arc::downgrade(&shared));
        Ok(Journal { shared })
    }

    /// Writes an entry and answers its receipt once it is durable. Writing the same entry again answers the same entry's
    /// receipt; nothing is written twice. A caller that goes away cancels nothing.
    ///
    /// # Errors
    /// [`Error::Full`] when too many wait: nothing was taken. [`Error::Unavailable`] when durability is not certain.
    /// [`Error::EntryIdReused`], [`Error::OutOfBounds`] for entries the log cannot take.
    pub async fn append(&self, entry: Entry) -> Result<Receipt> {
        self.check(&entry)?;
        self.ask(Ask::Append(entry, Vec::new())).await
    }

    /// As [`Journal::append`], with rows to be written in the transaction that gives the entry its place: they are there
    /// exactly when the entry is in the log. When one is refused, the whole batch is, so keep to what cannot be.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub async fn append_with(&self, entry: Entry, beside: Vec<NewRow>) -> Result<Receipt> {
        self.check(&entry)?;
        self.ask(Ask::Append(entry, beside)).await
    }

    /// Puts an entry on its way inside the caller's own write transaction: it will be in the log exactly if that transaction
    /// commits, even when the process dies right after. [`Journal::settle`] then waits for it.
    ///
    /// # Errors
    /// [`Error::EntryIdReused`] when an entry of this id is staged or written. [`Error::OutOfBounds`], [`Error::Store`].
    pub async fn stage(&self, connection: &mut DB::Connection, entry: &Entry) -> Result<()> {
        self.check(entry)?;
        let (log, now) = (self.shared.log, self.shared.clock.now());
        if !entries::stage::<DB>(connection, log, entry, now).await? {
            return Err(Error::EntryIdReused);
        }
        Ok(())
    }

    /// The row by which an entry with a new id is [staged](Journal::stage), to be written with others of its transaction; an id
    /// that is staged already breaks that.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`].
    pub fn staged(&self, entry: &Entry) -> Result<NewRow> {
        self.check(entry)?;
        if entry.payload.len() <= REMEMBERED_BYTES_MAX {
            self.on_their_way().insert(entry.entry_id, entry.clone());
        }
        Ok(entries::staged(self.shared.log, entry, self.shared.clock.now()))
    }

    /// Answers the receipt of a staged entry once it is in the log. Settling again answers it again.
    ///
    /// # Errors
    /// [`Error::NotStaged`] when nothing was staged or written under this id; otherwise as [`Journal::append`].
    pub async fn settle(&self, entry_id: Uuid) -> Result<Receipt> {
        let entry = self.on_their_way().remove(&entry_id);
        self.ask(Ask::Settle(entry_id, entry)).await
    }

    fn on_their_way(&self) -> MutexGuard<'_, LruCache<Uuid, Entry>> {
        // Whatever panicked, the map is whole: it is changed by one call each time.
        self.shared.on_their_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down at most a batch of staged entries which nobody settled; answers how many there were. The log does this by
    /// itself when it opens and every [`Limits::sweep_every`].
    pub async fn sweep(&self) -> Result<usize> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Sweep(reply))?;
        answer.await.map_err(|_| Error::Unavailable)?
    }

    /// Destroys the content of at most a page of one subject's entries, inside the caller's own write transaction; answers
    /// how many. Repeat until it is 0. The tree, the chain, and every receipt still hold; what the entries said is gone.
    /// Entries still staged are not reached: settle or sweep before.
    pub async fn erase(&self, connection: &mut DB::Connection, subject: &str) -> Result<usize> {
        Ok(entries::erase::<DB>(connection, self.shared.log, subject, self.page(self.shared.limits.page)).await?)
    }

    /// Takes no further entries, waits until those that wait are in the log, and stops the writer.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.shared.queue.send(Job::Close(reply)).await.is_ok() {
            let _ = answer.await;
        }
    }

    /// Where it stands, as the database says.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn state(&self) -> Result<JournalState> {
        let mut connection = self.shared.db.read().await?;
        let last = entries::last::<DB>(&mut connection, self.shared.log).await?;
        Ok(JournalState {
            tree_size: last.map_or(0, |(leaf_index, _)| leaf_index + 1),
            // A checkpoint is signed at the moment that its entries carry.
            last_checkpoint_at: last.map(|(_, recorded_at)| recorded_at),
        })
    }

    /// Entries asked for that the writer has not taken up.
    pub fn waiting(&self) -> usize {
        self.shared.waiting()
    }

    /// The public key by which everything this log signs is checked. Its name is the log's origin.
    pub fn verifier(&self) -> &VerifierKey {
        &self.shared.verifier
    }

    /// Rows to read for a page of `limit` entries.
    pub(crate) fn page(&self, limit: usize) -> i64 {
        i64::try_from(limit.min(self.shared.limits.page)).unwrap_or(i64::MAX)
    }

    async fn ask(&self, ask: Ask) -> Result<Receipt> {
        let begun = Instant::now();
        let (reply, answer) = oneshot::channel();
        let span = if traced() {
            tracing::debug_span!("journal.append", dmp.service = self.shared.db.name())
        } else {
            Span::none()
        };
        self.send(Job::Ask(ask, reply, span))?;
        // A writer that dies drops the reply: nothing is known then.
        let receipt = answer.await.map_err(|_| Error::Unavailable)?;
        self.shared.metrics.appended(begun.elapsed());
        receipt
    }

    fn send(&self, job: Job) -> Result<()> {
        self.shared.queue.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                self.shared.metrics.refused();
                Error::Full {
                    limit: self.shared.limits.queue,
                }
            }
            mpsc::error::TrySendError::Closed(_) => Error::Unavailable,
        })
    }

    fn check(&self, entry: &Entry) -> Result<()> {
        if entry.subject.is_empty() || entry.subject.len() > MAX_SUBJECT_BYTES || entry.subject.contains('\0') {
            return Err(Error::OutOfBounds("subject"));
        }
        if entry.payload.len() > self.shared.limits.payload_bytes {
            return Err(Error::OutOfBounds("payload"));
        }
        Ok(())
    }
}

/// Finds or begins the log and checks that it may be continued.
async fn prepare<DB: Engine>(db: &Db<DB>, key: Arc<LogKey>, witnessed: Vec<String>) -> Result<(i64, Frontier)> {
    db.write(move |connection| {
        Box::pin(async move {
            let log = state::find_or_begin::<DB>(connection, &key).await?;
            let tree = state::load::<DB>(connection, log, key.verifier()).await?;
            for note in &witnessed {
                state::check_witnessed::<DB>(connection, log, key.verifier(), tree.size(), note).await?;
            }
            Ok((log, tree))
        })
    })
    .await
}
