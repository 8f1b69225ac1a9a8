//! State changes leave through a transactional outbox and are read as a feed.
//!
//! [`publish`] writes an event in the transaction of the change it tells. A sequencer gives committed events their
//! position, in the order in which they were inserted among those it sees: a reader that has come to position *n* never
//! misses an event that committed late, because such an event gets a later position. Per key, the order of positions is
//! the order of commits wherever the publisher holds a lock on that key.

use sqlx::Row;
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
    wake: std::sync::Arc<Notify>,
}

impl<DB: Engine> Clone for Feed<DB> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            head: self.head.clone(),
            wake: self.wake.clone(),
        }
    }
}

impl<DB: Engine> Feed<DB> {
    /// Starts the sequencer, which runs until `drain` is cancelled.
    pub async fn start(db: Db<DB>, drain: CancellationToken) -> Result<Self> {
        let (sender, head) = watch::channel(head_position(&db).await?);
        let wake = std::sync::Arc::new(Notify::new());
        tokio::spawn(sequence(db.clone(), sender, wake.clone(), drain));
        Ok(Self { db, head, wake })
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

/// Where `consumer` stands in another service's feed; 0 at first.
pub async fn cursor<DB: Engine>(connection: &mut DB::Connection, consumer: &str) -> Result<i64> {
    let position = sqlx::query_scalar("SELECT position FROM feed_cursors WHERE consumer = $1")
        .bind(consumer)
        .fetch_optional(connection)
        .await?;
    Ok(position.unwrap_or(0))
}

/// Moves `consumer` to `position`, inside the transaction of the effect: every effect once.
pub async fn advance<DB: Engine>(connection: &mut DB::Connection, consumer: &str, position: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO feed_cursors (consumer, position) VALUES ($1, $2)
         ON CONFLICT (consumer) DO UPDATE SET position = excluded.position",
    )
    .bind(consumer)
    .bind(position)
    .execute(connection)
    .await?;
    Ok(())
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

async fn sequence<DB: Engine>(
    db: Db<DB>,
    head: watch::Sender<i64>,
    wake: std::sync::Arc<Notify>,
    drain: CancellationToken,
) {
    loop {
        match sequence_some(&db).await {
            Ok(true) => match head_position(&db).await {
                Ok(position) => drop(head.send_replace(position)),
                Err(error) => tracing::warn!(%error, "the feed's head cannot be read"),
            },
            Ok(false) => {
                // Another instance may have given positions.
                if let Ok(position) = head_position(&db).await {
                    head.send_if_modified(|head| std::mem::replace(head, position) != position);
                }
                tokio::select! {
                    () = drain.cancelled() => return,
                    () = wake.notified() => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the feed cannot be sequenced; trying again");
                tokio::select! {
                    () = drain.cancelled() => return,
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
        }
    }
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
