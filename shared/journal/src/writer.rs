//! The one task which writes a log.
//!
//! It takes what waits, gives every entry its place, stores entries, hashes and the new signed checkpoint in one transaction,
//! and answers after the commit. The row of the log moves from the size that was known to the new one: when a second process on
//! the same database has come first it does not, and the batch is tried again on the tree as it is stored, whose row is then
//! held from the start. When the outcome of a commit is unknown the tree is read again too, and
//! the same entries are tried once more under their ids: those which are in the log get the receipt they have.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use hashlink::LruCache;
use store::random::Random;
use store::time::{Clock, Timestamp};
use store::{Db, Engine, NewRow};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::batch::{Batch, Salted};
use crate::entries::{self, Found};
use crate::entry::{Entry, Link, Recorded};
use crate::error::{Error, Result};
use crate::log::Limits;
use crate::nodes;
use crate::note::LogKey;
use crate::observe::{Metrics, batch_span};
use crate::reader;
use crate::receipt::Receipt;
use crate::state;
use crate::tree::Frontier;

/// Ends of chains that are kept in memory: some 200 bytes each.
const HEADS_MAX: usize = 16_384;

/// How often a batch is tried before its callers are told that the log does not answer.
const ATTEMPTS: usize = 3;

/// What a caller wants to be in the log.
pub(crate) enum Ask {
    /// This entry, and the rows that go with it.
    Append(Entry, Vec<NewRow>),
    /// The entry staged under this id, and what it is, where that is known.
    Settle(Uuid, Option<Entry>),
}

impl Ask {
    fn entry_id(&self) -> Uuid {
        match self {
            Ask::Append(entry, _) => entry.entry_id,
            Ask::Settle(entry_id, _) => *entry_id,
        }
    }

    /// Whether it can be granted without reading: whoever asks has brought the entry.
    fn brings_entry(&self) -> bool {
        matches!(self, Ask::Append(..) | Ask::Settle(_, Some(_)))
    }
}

pub(crate) enum Job {
    Ask(Ask, oneshot::Sender<Result<Receipt>>, Span),
    /// Take staged entries down, at most a batch; answers how many there were.
    Sweep(oneshot::Sender<Result<usize>>),
    /// Take nothing more, finish what waits, then answer.
    Close(oneshot::Sender<()>),
}

/// What one batch has to do.
#[derive(Default)]
struct Waiting {
    asks: Vec<Ask>,
    replies: Vec<oneshot::Sender<Result<Receipt>>>,
    /// The spans in which they wait.
    callers: Vec<Span>,
    sweep: bool,
    sweepers: Vec<oneshot::Sender<Result<usize>>>,
}

pub(crate) struct Writer<DB: Engine> {
    pub(crate) db: Db<DB>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) key: Arc<LogKey>,
    pub(crate) log: i64,
    pub(crate) limits: Limits,
    /// What is stored; `None` when that is not known for certain, and must be read.
    pub(crate) known: Option<Known>,
    pub(crate) metrics: Metrics,
}

/// What a writer knows of its log, as long as nobody else writes into it.
pub(crate) struct Known {
    tree: Frontier,
    /// Where the chains end that it has last written into: one who looks into a dossier mostly does so again.
    heads: LruCache<String, Link>,
}

impl Known {
    pub(crate) fn new(tree: Frontier) -> Self {
        Known {
            tree,
            heads: LruCache::new(HEADS_MAX),
        }
    }
}

impl<DB: Engine> Writer<DB> {
    /// Serves the queue until it is closed and empty.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let every = self.limits.sweep_every.max(Duration::from_millis(1));
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closers = Vec::new();
        loop {
            let mut waiting = Waiting::default();
            tokio::select! {
                job = queue.recv() => match job {
                    Some(job) => waiting.take(job, &mut closers),
                    None => break,
                },
                _ = ticks.tick() => waiting.sweep = self.has_staged().await,
            }
            while waiting.asks.len() < self.limits.batch {
                let Ok(job) = queue.try_recv() else { break };
                waiting.take(job, &mut closers);
            }
            if !closers.is_empty() {
                queue.close();
            }
            if waiting.sweep || !waiting.asks.is_empty() {
                self.serve(waiting).await;
            }
        }
        for closer in closers {
            let _ = closer.send(());
        }
    }

    async fn serve(&mut self, waiting: Waiting) {
        let Waiting {
            asks,
            replies,
            callers,
            sweep,
            sweepers,
        } = waiting;
        let outcome = self.write(asks.into(), sweep).instrument(batch_span(&callers)).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, waiting = replies.len(), "the journal could not write");
        }
        let (answers, swept) = match outcome {
            Ok(done) => (done.answers, Ok(done.swept)),
            Err(error) => (replies.iter().map(|_| Err(refusal(&error))).collect(), Err(error)),
        };
        // A caller that went away gets no answer; its entry stays in the log.
        for (reply, answer) in replies.into_iter().zip(answers) {
            let _ = reply.send(answer);
        }
        for sweeper in sweepers {
            let _ = sweeper.send(swept.as_ref().map_err(refusal).copied());
        }
    }

    /// Puts everything asked for into the log, and with `sweep` what is staged besides.
    pub(crate) async fn write(&mut self, asks: Arc<[Ask]>, sweep: bool) -> Result<Done> {
        let begun = Instant::now();
        let written = self.try_to_write(asks, sweep).await;
        match &written {
            Ok(done) => self.metrics.wrote(done.fresh, done.size, begun.elapsed()),
            Err(_) => self.metrics.failed(),
        }
        written
    }

    async fn try_to_write(&mut self, asks: Arc<[Ask]>, sweep: bool) -> Result<Done> {
        let mut left = ATTEMPTS;
        loop {
            left -= 1;
            let error = match self.attempt(asks.clone(), sweep).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let again = matches!(
                error,
                Error::Store(store::Error::Conflict | store::Error::CommitUnknown)
            );
            if left == 0 || !again {
                return Err(error);
            }
        }
    }

    async fn attempt(&mut self, asks: Arc<[Ask]>, sweep: bool) -> Result<Done> {
        let attempt = Attempt {
            log: self.log,
            key: self.key.clone(),
            random: self.random.clone(),
            now: self.clock.now(),
            sweep: if sweep {
                i64::try_from(self.limits.batch).unwrap_or(i64::MAX)
            } else {
                0
            },
            // Until this has succeeded what is stored is not known for certain.
            known: self.known.take(),
            asks,
        };
        let (known, done) = self
            .db
            .write(move |connection| Box::pin(attempt.run::<DB>(connection)))
            .await?;
        self.known = Some(known);
        Ok(done)
    }

    /// Whether something is staged, so that an idle log costs no commit. When that cannot be read, the sweep will say so.
    async fn has_staged(&self) -> bool {
        let staged = async {
            let mut connection = self.db.read().await?;
            entries::oldest_staged::<DB>(&mut connection, self.log, 1).await
        };
        staged.await.map_or(true, |staged| !staged.is_empty())
    }
}

impl Waiting {
    fn take(&mut self, job: Job, closers: &mut Vec<oneshot::Sender<()>>) {
        match job {
            Job::Ask(ask, reply, caller) => {
                self.asks.push(ask);
                self.replies.push(reply);
                self.callers.push(caller);
            }
            Job::Sweep(sweeper) => {
                self.sweep = true;
                self.sweepers.push(sweeper);
            }
            Job::Close(closer) => closers.push(closer),
        }
    }
}

/// What the callers of a failed batch are told.
fn refusal(error: &Error) -> Error {
    match error {
        Error::Store(store::Error::Busy { limit }) => Error::Full { limit: *limit },
        _ => Error::Unavailable,
    }
}

/// What a batch came to.
pub(crate) struct Done {
    /// Entries in the tree with the batch.
    size: u64,
    /// One for each ask, in their order.
    answers: Vec<Result<Receipt>>,
    /// How many staged entries nobody asked for were found.
    pub(crate) swept: usize,
    /// How many entries the batch wrote.
    fresh: usize,
}

/// One try to write a batch, inside its transaction.
struct Attempt {
    log: i64,
    key: Arc<LogKey>,
    random: Random,
    now: Timestamp,
    /// How many staged entries to take down unasked.
    sweep: i64,
    /// What this writer knows.
    known: Option<Known>,
    asks: Arc<[Ask]>,
}

impl Attempt {
    async fn run<DB: Engine>(mut self, connection: &mut DB::Connection) -> Result<(Known, Done)> {
        let reads = !self.brings_all();
        let mut known = self.known::<DB>(connection).await?;
        let swept = match self.sweep {
            0 => Vec::new(),
            limit => entries::oldest_staged::<DB>(connection, self.log, limit).await?,
        };
        let Found { written, staged } = if reads {
            let asked = self.asks.iter().map(Ask::entry_id);
            let ids = unique(asked.chain(swept.iter().map(|entry| entry.entry_id)));
            entries::by_ids::<DB>(connection, self.log, &ids).await?
        } else {
            self.brought()
        };
        let to_unstage: Vec<Uuid> = staged.keys().copied().collect();
        let choice = choose(&self.asks, &swept, staged, &written);
        let fresh = choice.fresh.len();

        let places = Places {
            beside: self.beside(&choice.taken),
            unseen: if reads { Vec::new() } else { self.unseen(&choice.taken) },
            fresh: choice.fresh,
        };
        let mut receipts = match self.append::<DB>(connection, &mut known, places).await {
            // What was taken for granted is not so: the next attempt, which knows nothing, looks.
            Err(Error::Store(error)) if !reads && error.is_there_already() => return Err(store::Error::Conflict.into()),
            appended => appended?,
        };
        let gone = entries::unstage::<DB>(connection, self.log, &to_unstage).await?;
        if gone < to_unstage.len() {
            return Err(store::Error::Conflict.into());
        }
        let origin = self.key.verifier().name();
        for entry in written.values() {
            let receipt = reader::stored_receipt::<DB>(connection, self.log, origin, entry).await?;
            receipts.insert(entry.entry_id, receipt);
        }
        let asked = self.asks.iter().map(Ask::entry_id).zip(choice.refused);
        let answers = asked.map(|(id, refused)| answer(id, refused, &receipts)).collect();
        let done = Done {
            size: known.tree.size(),
            answers,
            swept: swept.len(),
            fresh,
        };
        Ok((known, done))
    }

    /// Whether it is taken for granted that entries to append have been seen by nobody, and that those to settle are staged:
    /// the database refuses what is not so, and the next attempt looks.
    fn brings_all(&self) -> bool {
        self.known.is_some() && self.sweep == 0 && self.asks.iter().all(Ask::brings_entry)
    }

    /// The entries to settle, as those who ask have brought them.
    fn brought(&self) -> Found {
        let staged = self.asks.iter().filter_map(|ask| match ask {
            Ask::Settle(entry_id, entry) => entry.clone().map(|entry| (*entry_id, entry)),
            Ask::Append(..) => None,
        });
        Found {
            staged: staged.collect(),
            ..Found::default()
        }
    }

    /// The asks from which this batch has taken an entry, in their order.
    fn taken<'a>(&'a self, taken: &HashSet<usize>) -> impl Iterator<Item = &'a Ask> {
        let asks = self.asks.iter().enumerate();
        asks.filter_map(|(place, ask)| taken.contains(&place).then_some(ask))
    }

    /// Ids of the entries that it has taken.
    fn unseen(&self, taken: &HashSet<usize>) -> Vec<Uuid> {
        self.taken(taken).map(Ask::entry_id).collect()
    }

    /// What goes with them.
    fn beside(&self, taken: &HashSet<usize>) -> Vec<NewRow> {
        let beside = self.taken(taken).filter_map(|ask| match ask {
            Ask::Append(_, beside) => Some(beside.clone()),
            Ask::Settle(..) => None,
        });
        beside.flatten().collect()
    }

    /// What is known, which the log may turn out to have outgrown; or, held from here on, what is stored.
    async fn known<DB: Engine>(&mut self, connection: &mut DB::Connection) -> Result<Known> {
        match self.known.take() {
            Some(known) => Ok(known),
            None => {
                let tree = state::load::<DB>(connection, self.log, self.key.verifier()).await?;
                Ok(Known::new(tree))
            }
        }
    }

    /// Stores the fresh entries with their checkpoint and what goes with them, and answers their receipts.
    async fn append<DB: Engine>(
        &self,
        connection: &mut DB::Connection,
        known: &mut Known,
        places: Places,
    ) -> Result<HashMap<Uuid, Receipt>> {
        let Places { fresh, unseen, beside } = places;
        if fresh.is_empty() {
            return Ok(HashMap::new());
        }
        let subjects = unique(fresh.iter().map(|entry| entry.subject.clone()));
        let heads = self.heads::<DB>(connection, known, subjects).await?;
        let salted = fresh
            .into_iter()
            .map(|entry| Salted {
                entry,
                salt: self.random.bytes(),
            })
            .collect();
        let batch = Batch::assemble(&known.tree, heads, salted, self.now, &self.key);
        let batch = batch.map_err(|_| store::Error::Corrupt("the journal's origin"))?;
        let sizes = (known.tree.size(), batch.tree.size());
        // What was read before this, and what was known, holds: whoever writes into the log comes this way.
        if !nodes::advance::<DB>(connection, self.log, sizes, &unseen).await? {
            return Err(store::Error::Conflict.into());
        }
        let mut rows = beside;
        rows.extend(batch.entries.iter().map(|entry| entries::row(self.log, entry)));
        rows.extend(nodes::rows(self.log, &batch.nodes));
        rows.push(nodes::checkpoint(self.log, sizes.1, &batch.note));
        store::insert::<DB>(connection, rows).await?;
        let receipts = batch.receipts(&known.tree, self.key.verifier().name())?;
        for entry in &batch.entries {
            known.heads.insert(entry.subject.clone(), entry.link());
        }
        known.tree = batch.tree;
        Ok(receipts)
    }

    /// Where the chains of these subjects end: those that are known, and those that are read.
    async fn heads<DB: Engine>(
        &self,
        connection: &mut DB::Connection,
        known: &mut Known,
        subjects: Vec<String>,
    ) -> Result<HashMap<String, Link>> {
        let (mut heads, mut others) = (HashMap::with_capacity(subjects.len()), Vec::new());
        for subject in subjects {
            match known.heads.get(&subject).copied() {
                Some(link) => drop(heads.insert(subject, link)),
                None => others.push(subject),
            }
        }
        heads.extend(entries::heads::<DB>(connection, self.log, &others).await?);
        Ok(heads)
    }
}

/// What is to get a place in the log.
struct Places {
    fresh: Vec<Entry>,
    /// Ids of those that nobody may have staged.
    unseen: Vec<Uuid>,
    /// What goes with them.
    beside: Vec<NewRow>,
}

/// Which entries a batch must write, and which asks it cannot grant.
#[derive(Default)]
struct Choice {
    fresh: Vec<Entry>,
    /// Where in `fresh` the entry of an id is.
    places: HashMap<Uuid, usize>,
    /// One for each ask.
    refused: Vec<Option<Error>>,
    /// Which asks brought an entry that nobody had seen.
    taken: HashSet<usize>,
}

/// Decides what is to be written. What was staged first comes first; an id is never written twice.
fn choose(asks: &[Ask], swept: &[Entry], mut staged: HashMap<Uuid, Entry>, known: &HashMap<Uuid, Recorded>) -> Choice {
    staged.retain(|id, _| !known.contains_key(id));
    let mut choice = Choice::default();
    for id in swept
        .iter()
        .map(|entry| entry.entry_id)
        .chain(asks.iter().map(Ask::entry_id))
    {
        if let Some(entry) = staged.remove(&id) {
            choice.take(entry);
        }
    }
    for (place, ask) in asks.iter().enumerate() {
        let before = choice.fresh.len();
        let refused = choice.refusal(ask, known);
        choice.refused.push(refused);
        if choice.fresh.len() > before {
            choice.taken.insert(place);
        }
    }
    choice
}

impl Choice {
    fn take(&mut self, entry: Entry) {
        self.places.insert(entry.entry_id, self.fresh.len());
        self.fresh.push(entry);
    }

    /// Takes an entry nobody has seen; says why an ask cannot be granted.
    fn refusal(&mut self, ask: &Ask, known: &HashMap<Uuid, Recorded>) -> Option<Error> {
        let id = ask.entry_id();
        let taken = self.places.get(&id).and_then(|place| self.fresh.get(*place));
        match (ask, known.get(&id), taken) {
            (Ask::Settle(..), None, None) => Some(Error::NotStaged),
            (Ask::Settle(..), _, _) => None,
            (Ask::Append(entry, _), Some(recorded), _) => (!is_same(recorded, entry)).then_some(Error::EntryIdReused),
            (Ask::Append(entry, _), None, Some(taken)) => (taken != entry).then_some(Error::EntryIdReused),
            (Ask::Append(entry, _), None, None) => {
                self.take(entry.clone());
                None
            }
        }
    }
}

/// Whether an entry in the log is the one asked for. Of an erased one nothing but the subject is left to compare.
fn is_same(recorded: &Recorded, entry: &Entry) -> bool {
    recorded.subject == entry.subject
        && recorded
            .content
            .payload()
            .is_none_or(|payload| payload == entry.payload)
}

fn answer(id: Uuid, refused: Option<Error>, receipts: &HashMap<Uuid, Receipt>) -> Result<Receipt> {
    match refused {
        Some(error) => Err(error),
        None => receipts.get(&id).cloned().ok_or(Error::Unavailable),
    }
}

fn unique<T: Clone + Eq + std::hash::Hash>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    values.filter(|value| seen.insert(value.clone())).collect()
}
