//! State changes leave through a transactional outbox and are read as a feed.
//!
//! [`publish`] writes an event in the transaction of the change it tells. A sequencer gives committed events their
//! position, in the order in which they were inserted among those it sees: a reader that has come to position *n* never
//! misses an event that committed late, because such an event gets a later position. Per key, the order of positions is
//! the order of commits wherever the publisher holds a lock on that key.
//!
//! A reader of one key sleeps until the sequencer has seen an event of that key: a feed of a whole population wakes
//! nobody for what concerns somebody else.

use sqlx::Row;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::time::{Timestamp, from_micros, to_micros};
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
    sqlx::query("INSERT INTO outbox (feed, key, payload, created_at, position) VALUES ($1, $2, $3, $4, NULL)")
        .bind(feed)
        .bind(key)
        .bind(payload)
        .bind(to_micros(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// The feed of one service's database; cheap to clone.
pub struct Feed<DB: Engine> {
    db: Db<DB>,
    head: watch::Receiver<i64>,
    wake: Arc<Notify>,
    readers: Arc<Readers>,
}

impl<DB: Engine> Clone for Feed<DB> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            head: self.head.clone(),
            wake: self.wake.clone(),
            readers: self.readers.clone(),
        }
    }
}

impl<DB: Engine> Feed<DB> {
    /// Starts the sequencer, which runs until `drain` is cancelled.
    pub async fn start(db: Db<DB>, drain: CancellationToken) -> Result<Self> {
        let (sender, head) = watch::channel(head_position(&db).await?);
        let (wake, readers) = (Arc::new(Notify::new()), Arc::new(Readers::default()));
        let sequencer = Sequencer {
            db: db.clone(),
            head: sender,
            wake: wake.clone(),
            readers: readers.clone(),
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
        rows.iter().map(event::<DB>).collect()
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

fn event<DB: Engine>(row: &DB::Row) -> Result<Event> {
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

/// What gives positions, and wakes those who wait for them.
struct Sequencer<DB: Engine> {
    db: Db<DB>,
    head: watch::Sender<i64>,
    wake: Arc<Notify>,
    readers: Arc<Readers>,
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
        let gave = sequence_some(&self.db).await?;
        // Another instance may have given positions, too.
        let before = *self.head.borrow();
        let head = head_position(&self.db).await?;
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

/// Gives positions to some committed events; true when it gave any. The look before the transaction keeps an idle
/// feed from writing.
async fn sequence_some<DB: Engine>(db: &Db<DB>) -> Result<bool> {
    let waiting: Option<i64> = {
        let mut connection = db.read().await?;
        sqlx::query_scalar("SELECT id FROM outbox WHERE position IS NULL ORDER BY id LIMIT 1")
            .fetch_optional(&mut *connection)
            .await?
    };
    if waiting.is_none() {
        return Ok(false);
    }
    db.write(|connection| Box::pin(give_positions::<DB>(connection))).await
}

/// The update of the one row of `feed_head` is the lock that makes sequencers of several instances take turns.
async fn give_positions<DB: Engine>(connection: &mut DB::Connection) -> Result<bool> {
    let mut head: i64 = sqlx::query_scalar("UPDATE feed_head SET head = head RETURNING head")
        .fetch_one(&mut *connection)
        .await?;
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM outbox WHERE position IS NULL ORDER BY id LIMIT $1")
        .bind(SEQUENCE_BATCH)
        .fetch_all(&mut *connection)
        .await?;
    for id in &ids {
        head += 1;
        sqlx::query("UPDATE outbox SET position = $2 WHERE id = $1")
            .bind(*id)
            .bind(head)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("UPDATE feed_head SET head = $1")
        .bind(head)
        .execute(connection)
        .await?;
    Ok(!ids.is_empty())
}
