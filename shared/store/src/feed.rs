//! State changes leave through a transactional outbox and are read as a feed.
//!
//! [`publish`] writes an event in the transaction of the change it tells. A sequencer gives committed events their
//! position, in the order in which they were inserted among those it sees: a reader that has come to position *n* never
//! misses an event that committed late, because such an event gets a later position. Per key, the order of positions is
//! the order of commits wherever the publisher holds a lock on that key.
//!
//! A reader of one key sleeps until the sequencer has seen an event of that key: a feed of a whole population wakes
//! nobody for what concerns somebody else.

use opentelemetry::metrics::Histogram;
use sqlx::Row;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::observe;
use crate::rows::{self, NewRow, Value};
use crate::time::{Clock, Timestamp, from_micros, to_micros};
use crate::{Db, Engine, Error, Result};

/// An event as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the feed, from 1, rising, without repetition; gaps may occur.
    pub position: i64,
    /// What it is about: a dossier, a mailbox.
    pub key: String,
    /// The encoded event.
    pub payload: Vec<u8>,
    /// When its transaction wrote it.
    pub created_at: Timestamp,
}

/// Events given a position in one transaction of the sequencer.
const SEQUENCE_BATCH: i64 = 256;

/// Events without a position that are counted before it is enough to know that they are many.
const WAITING_MAX: i64 = 10_000;

/// How often the sequencer looks for events that another instance of the service has committed.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Writes an event into the outbox, inside the transaction of the change. It appears in the feed after the commit.
pub async fn publish<DB: Engine>(
    connection: &mut DB::Connection,
    feed: &'static str,
    key: &str,
    payload: Vec<u8>,
    now: Timestamp,
) -> Result<()> {
    rows::insert::<DB>(connection, vec![event(feed, key, payload, now)]).await
}

/// The row by which an event is [published](publish).
pub fn event(feed: &'static str, key: &str, payload: Vec<u8>, now: Timestamp) -> NewRow {
    NewRow {
        columns: "outbox (feed, key, payload, created_at)",
        values: vec![
            Value::Text(feed.to_owned()),
            Value::Text(key.to_owned()),
            Value::Bytes(payload),
            Value::Number(to_micros(now)),
        ],
    }
}

/// The feed of one service's database; cheap to clone.
pub struct Feed<DB: Engine> {
    db: Db<DB>,
    head: watch::Receiver<i64>,
    wake: Arc<Notify>,
    readers: Arc<Readers>,
    lag: Arc<Lag>,
}

/// Where a feed stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeedState {
    /// The last position given.
    pub head: i64,
    /// Committed events without a position; beyond 10,000 they are not counted.
    pub waiting: i64,
    /// When the oldest of them was written.
    pub oldest: Option<Timestamp>,
}

impl<DB: Engine> Clone for Feed<DB> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            head: self.head.clone(),
            wake: self.wake.clone(),
            readers: self.readers.clone(),
            lag: self.lag.clone(),
        }
    }
}

impl<DB: Engine> Feed<DB> {
    /// Starts the sequencer, which runs until `drain` is cancelled.
    pub async fn start(db: Db<DB>, drain: CancellationToken) -> Result<Self> {
        let (sender, head) = watch::channel(head_position(&db).await?);
        let (wake, readers) = (Arc::new(Notify::new()), Arc::new(Readers::default()));
        let lag = Arc::new(Lag::default());
        let sequencer = Sequencer {
            db: db.clone(),
            head: sender,
            wake: wake.clone(),
            readers: readers.clone(),
            lag: lag.clone(),
        };
        tokio::spawn(async move {
            tokio::select! {
                () = drain.cancelled() => {}
                () = sequencer.run() => {}
            }
            sequencer.readers.close();
        });
        Ok(Self {
            db,
            head,
            wake,
            readers,
            lag,
        })
    }

    /// Shows in metrics, by `clock`, how long events wait for their position. Once per feed.
    pub fn observe(&self, clock: &Clock) {
        let name = self.db.name();
        let watched = Watched::new(name, clock.clone(), &self.lag, &self.head);
        if self.lag.watched.set(watched).is_err() {
            tracing::warn!(name, "a feed is observed already");
        }
    }

    /// Where it stands, as the database says.
    pub async fn state(&self) -> Result<FeedState> {
        let mut connection = self.db.read().await?;
        let row = sqlx::query(
            "SELECT (SELECT head FROM feed_head) AS head, COUNT(*) AS waiting, MIN(created_at) AS oldest
             FROM (SELECT created_at FROM outbox WHERE position IS NULL ORDER BY id LIMIT $1) AS w",
        )
        .bind(WAITING_MAX)
        .fetch_one(&mut *connection)
        .await?;
        let oldest: Option<i64> = row.try_get("oldest")?;
        Ok(FeedState {
            head: row.try_get("head")?,
            waiting: row.try_get("waiting")?,
            oldest: oldest.map(from_micros).transpose()?,
        })
    }

    /// Tells the sequencer that something was published. Call it after the commit; without it the event appears a
    /// little later.
    pub fn nudge(&self) {
        self.wake.notify_one();
    }

    /// At most `limit` events after `after` (exclusive) of one feed, of one key when it is given.
    ///
    /// # Errors
    /// [`Error::FeedCompacted`] when events after `after` are no longer kept.
    pub async fn read(&self, feed: &str, key: Option<&str>, after: i64, limit: i64) -> Result<Vec<Event>> {
        let mut connection = self.db.read().await?;
        let floor: i64 = sqlx::query_scalar("SELECT floor FROM feed_head")
            .fetch_one(&mut *connection)
            .await?;
        if after < floor {
            return Err(Error::FeedCompacted);
        }
        let rows = match key {
            Some(key) => {
                sqlx::query(
                    "SELECT position, key, payload, created_at FROM outbox
                     WHERE feed = $1 AND key = $2 AND position > $3 ORDER BY position LIMIT $4",
                )
                .bind(feed)
                .bind(key)
                .bind(after)
                .bind(limit)
                .fetch_all(&mut *connection)
                .await?
            }
            None => {
                sqlx::query(
                    "SELECT position, key, payload, created_at FROM outbox
                     WHERE feed = $1 AND position > $2 ORDER BY position LIMIT $3",
                )
                .bind(feed)
                .bind(after)
                .bind(limit)
                .fetch_all(&mut *connection)
                .await?
            }
        };
        rows.iter().map(from_row::<DB>).collect()
    }

    /// The last position given.
    pub fn head(&self) -> i64 {
        *self.head.borrow()
    }

    /// Waits until the feed has gone past `position`. False when the sequencer has stopped.
    pub async fn wait_past(&self, position: i64) -> bool {
        self.head.clone().wait_for(|head| *head > position).await.is_ok()
    }

    /// What wakes a reader of one feed, of one key when it is given. Subscribe before reading: then nothing is missed.
    pub fn subscribe(&self, feed: &str, key: Option<&str>) -> Subscription {
        self.readers.subscribe(feed, key)
    }

    /// Forgets the events up to `position` (inclusive).
    pub async fn compact(&self, position: i64) -> Result<()> {
        self.db
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("UPDATE feed_head SET floor = $1 WHERE floor < $1 AND head >= $1")
                        .bind(position)
                        .execute(&mut *connection)
                        .await?;
                    sqlx::query("DELETE FROM outbox WHERE position <= (SELECT floor FROM feed_head)")
                        .execute(connection)
                        .await?;
                    Ok::<_, Error>(())
                })
            })
            .await
    }
}

/// Wakes one reader of a feed.
#[derive(Debug)]
pub struct Subscription(Option<watch::Receiver<()>>);

impl Subscription {
    /// Waits until there may be an event that this reader has not read. False when the sequencer has stopped.
    pub async fn woken(&mut self) -> bool {
        match &mut self.0 {
            Some(receiver) => receiver.changed().await.is_ok(),
            None => false,
        }
    }
}

/// Whom to wake.
#[derive(Debug, Default)]
struct Readers(Mutex<Sleeping>);

/// A feed, and one of its keys or all of them.
type Concern = (String, Option<String>);

#[derive(Debug, Default)]
struct Sleeping {
    closed: bool,
    by_concern: HashMap<Concern, watch::Sender<()>>,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, Sleeping> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self, feed: &str, key: Option<&str>) -> Subscription {
        let mut sleeping = self.lock();
        if sleeping.closed {
            return Subscription(None);
        }
        let sender = sleeping
            .by_concern
            .entry((feed.to_owned(), key.map(str::to_owned)))
            .or_insert_with(|| watch::channel(()).0);
        Subscription(Some(sender.subscribe()))
    }

    /// Wakes those concerned, and forgets concerns that nobody has any more.
    fn wake(&self, happened: &[(String, String)]) {
        let mut sleeping = self.lock();
        sleeping.by_concern.retain(|_, sender| sender.receiver_count() > 0);
        for (feed, key) in happened {
            for concern in [(feed.clone(), Some(key.clone())), (feed.clone(), None)] {
                if let Some(sender) = sleeping.by_concern.get(&concern) {
                    sender.send_replace(());
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().by_concern.is_empty()
    }

    /// Tells every reader that nothing comes any more.
    fn close(&self) {
        let mut sleeping = self.lock();
        sleeping.closed = true;
        sleeping.by_concern.clear();
    }
}

/// Where `consumer` stands in another service's feed, as that service names the place; `None` before its first event.
pub async fn cursor<DB: Engine>(connection: &mut DB::Connection, consumer: &str) -> Result<Option<String>> {
    Ok(
        sqlx::query_scalar("SELECT resume_token FROM feed_places WHERE consumer = $1")
            .bind(consumer)
            .fetch_optional(connection)
            .await?,
    )
}

/// Moves `consumer` from one place to the next, inside the transaction of the effect: every effect once. False when it
/// is not there any more, because another instance was faster: then the effect must not happen.
pub async fn advance<DB: Engine>(
    connection: &mut DB::Connection,
    consumer: &str,
    from: Option<&str>,
    to: &str,
) -> Result<bool> {
    let moved = match from {
        None => sqlx::query(
            "INSERT INTO feed_places (consumer, resume_token) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING consumer",
        ),
        Some(_) => sqlx::query(
            "UPDATE feed_places SET resume_token = $2 WHERE consumer = $1 AND resume_token = $3 RETURNING consumer",
        ),
    };
    let moved = moved.bind(consumer).bind(to);
    let moved = match from {
        None => moved,
        Some(from) => moved.bind(from),
    };
    Ok(moved.fetch_optional(connection).await?.is_some())
}

fn from_row<DB: Engine>(row: &DB::Row) -> Result<Event> {
    Ok(Event {
        position: row.try_get("position")?,
        key: row.try_get("key")?,
        payload: row.try_get("payload")?,
        created_at: from_micros(row.try_get("created_at")?)?,
    })
}

async fn head_position<DB: Engine>(db: &Db<DB>) -> Result<i64> {
    let mut connection = db.read().await?;
    Ok(sqlx::query_scalar("SELECT head FROM feed_head")
        .fetch_one(&mut *connection)
        .await?)
}

/// Since when events wait, as the sequencer last saw it.
#[derive(Default)]
struct Lag {
    /// Of the oldest event without a position, in microseconds; 0 when none waits.
    since: AtomicI64,
    watched: OnceLock<Watched>,
}

/// Instruments of a feed that is observed.
struct Watched {
    clock: Clock,
    delay: Histogram<f64>,
    label: opentelemetry::KeyValue,
}

impl Watched {
    fn new(name: &'static str, clock: Clock, lag: &Arc<Lag>, head: &watch::Receiver<i64>) -> Self {
        let meter = opentelemetry::global::meter("store");
        let label = observe::service(name);
        let (labels, time, waiting) = ([label.clone()], clock.clone(), Arc::downgrade(lag));
        let _registered = meter
            .f64_observable_gauge("dmp.feed.lag")
            .with_unit("s")
            .with_description("Age of the oldest event that waits for a position; 0 when none does")
            .with_callback(move |observer| {
                if let Some(lag) = waiting.upgrade() {
                    let since = lag.since.load(Ordering::Relaxed);
                    let age = if since == 0 { 0.0 } else { seconds_since(since, &time) };
                    observer.observe(age, &labels);
                }
            })
            .build();
        let (labels, head, alive) = ([label.clone()], head.clone(), Arc::downgrade(lag));
        let _registered = meter
            .i64_observable_gauge("dmp.feed.head")
            .with_unit("{event}")
            .with_description("The last position given")
            .with_callback(move |observer| {
                if alive.strong_count() > 0 {
                    observer.observe(*head.borrow(), &labels);
                }
            })
            .build();
        Self {
            clock,
            delay: observe::seconds(
                &meter,
                "dmp.feed.delay",
                "From writing an event to its position in the feed",
            ),
            label,
        }
    }
}

fn seconds_since(micros: i64, clock: &Clock) -> f64 {
    let elapsed = to_micros(clock.now()).saturating_sub(micros).max(0);
    Duration::from_micros(elapsed.unsigned_abs()).as_secs_f64()
}

impl Lag {
    /// Notes when the oldest event that waits was written.
    fn saw(&self, oldest: Option<i64>) {
        self.since.store(oldest.unwrap_or(0), Ordering::Relaxed);
    }

    /// Notes events that have their position now, by when they were written.
    fn gave(&self, written: &[i64]) {
        if let Some(watched) = self.watched.get() {
            for micros in written {
                let delay = seconds_since(*micros, &watched.clock);
                watched.delay.record(delay, std::slice::from_ref(&watched.label));
            }
        }
    }
}

/// What gives positions, and wakes those who wait for them.
struct Sequencer<DB: Engine> {
    db: Db<DB>,
    head: watch::Sender<i64>,
    wake: Arc<Notify>,
    readers: Arc<Readers>,
    lag: Arc<Lag>,
}

impl<DB: Engine> Sequencer<DB> {
    async fn run(&self) {
        loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep(LOOK_AGAIN) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the feed cannot be sequenced; trying again");
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    /// True when there may be more to do at once.
    async fn step(&self) -> Result<bool> {
        let (head, gave) = self.sequence_some().await?;
        // Another instance may have given positions, too.
        let before = *self.head.borrow();
        if head > before {
            let happened = if self.readers.is_empty() {
                Vec::new()
            } else {
                concerns(&self.db, before, head).await?
            };
            self.head.send_replace(head);
            self.readers.wake(&happened);
        }
        Ok(gave)
    }

    /// Gives positions to some committed events. Answers the last position that is given, and whether it gave any. The look
    /// before the transaction keeps an idle feed from writing.
    async fn sequence_some(&self) -> Result<(i64, bool)> {
        let (head, oldest) = self.look().await?;
        self.lag.saw(oldest);
        if oldest.is_none() {
            return Ok((head, false));
        }
        let (head, written) = self
            .db
            .write(|connection| Box::pin(give_positions::<DB>(connection)))
            .await?;
        self.lag.gave(&written);
        Ok((head, !written.is_empty()))
    }

    /// The last position that is given, and when the oldest event was written that has none.
    async fn look(&self) -> Result<(i64, Option<i64>)> {
        let mut connection = self.db.read().await?;
        let row = sqlx::query(
            "SELECT head, (SELECT created_at FROM outbox WHERE position IS NULL ORDER BY id LIMIT 1) AS oldest
             FROM feed_head",
        )
        .fetch_one(&mut *connection)
        .await?;
        Ok((row.try_get("head")?, row.try_get("oldest")?))
    }
}

/// Feeds and keys of the events after one position up to another.
async fn concerns<DB: Engine>(db: &Db<DB>, after: i64, upto: i64) -> Result<Vec<(String, String)>> {
    let mut connection = db.read().await?;
    let rows = sqlx::query("SELECT DISTINCT feed, key FROM outbox WHERE position > $1 AND position <= $2")
        .bind(after)
        .bind(upto)
        .fetch_all(&mut *connection)
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("feed")?, row.try_get("key")?)))
        .collect()
}

/// Answers the last position that is given now, and when the events that have theirs now were written. The update of the one
/// row of `feed_head` is the lock that makes sequencers of several instances take turns.
async fn give_positions<DB: Engine>(connection: &mut DB::Connection) -> Result<(i64, Vec<i64>)> {
    let head: i64 = sqlx::query_scalar("UPDATE feed_head SET head = head RETURNING head")
        .fetch_one(&mut *connection)
        .await?;
    let written: Vec<i64> = sqlx::query_scalar(
        "UPDATE outbox SET position = numbered.position FROM (
             SELECT id, $1 + ROW_NUMBER() OVER (ORDER BY id) AS position FROM outbox
             WHERE position IS NULL ORDER BY id LIMIT $2) AS numbered
         WHERE outbox.id = numbered.id RETURNING created_at",
    )
    .bind(head)
    .bind(SEQUENCE_BATCH)
    .fetch_all(&mut *connection)
    .await?;
    let head = head + i64::try_from(written.len()).unwrap_or(i64::MAX);
    sqlx::query("UPDATE feed_head SET head = $1")
        .bind(head)
        .execute(connection)
        .await?;
    Ok((head, written))
}
