//! Reads for whoever waits, made together.
//!
//! A read of one row costs the database little and everything around it much: a round trip, or a thread woken and the
//! answer brought back. While one statement is on its way, those who come wait for the next one and share it: under load
//! few statements answer many callers, and a caller who is alone waits for nobody. What is answered was read after it was
//! asked for, so it shows everything acknowledged before.

use futures::FutureExt;
use futures::future::BoxFuture;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::{Instrument, Span};

use crate::observe::traced;
use crate::{Db, Engine, Error, Result};

/// Callers that share a statement.
const SHARED_MAX: usize = 64;
/// Statements on their way at once: while one is made, the next one gathers.
const LANES: usize = 2;
/// Callers that may wait; one more is refused with [`Error::Busy`].
const WAITING_MAX: usize = 4096;

/// Reads the values of keys, one for each and in their order.
pub trait ReadMany<DB: Engine, K, V>:
    for<'c> Fn(&'c mut DB::Connection, Vec<K>) -> BoxFuture<'c, Result<Vec<V>>> + Send + Sync + 'static
{
}
impl<DB: Engine, K, V, F> ReadMany<DB, K, V> for F where
    F: for<'c> Fn(&'c mut DB::Connection, Vec<K>) -> BoxFuture<'c, Result<Vec<V>>> + Send + Sync + 'static
{
}

struct Ask<K, V> {
    key: K,
    reply: oneshot::Sender<Result<V>>,
    span: Span,
}

impl<K, V> Ask<K, V> {
    fn answer(self, value: Result<V>) {
        // Who has gone away meanwhile wants none.
        let _gone = self.reply.send(value);
    }
}

/// The way to one kind of value. Cheap to clone.
pub struct Gather<K, V> {
    service: &'static str,
    asks: mpsc::Sender<Ask<K, V>>,
}

impl<K, V> Clone for Gather<K, V> {
    fn clone(&self) -> Self {
        Self {
            service: self.service,
            asks: self.asks.clone(),
        }
    }
}

impl<K, V> fmt::Debug for Gather<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Gather({})", self.service)
    }
}

impl<K: Clone + Send + 'static, V: Send + 'static> Gather<K, V> {
    /// Starts to gather for `read`; ends when the last clone is dropped.
    pub fn start<DB: Engine>(db: Db<DB>, read: impl ReadMany<DB, K, V>) -> Self {
        let (asks, waiting) = mpsc::channel(WAITING_MAX);
        let service = db.name();
        let lane = Lane {
            db,
            read: Arc::new(read),
            waiting: Arc::new(Mutex::new(waiting)),
        };
        for _ in 0..LANES {
            tokio::spawn(lane.clone().run());
        }
        Self { service, asks }
    }

    /// The value of a key, read after this is called.
    ///
    /// # Errors
    /// The read's own for this key; [`Error::Busy`] when too many wait; [`Error::Unavailable`].
    pub async fn get(&self, key: K) -> Result<V> {
        let (reply, answer) = oneshot::channel();
        let span = if traced() {
            tracing::debug_span!("store.read", dmp.service = self.service)
        } else {
            Span::none()
        };
        let sent = self.asks.try_send(Ask { key, reply, span });
        sent.map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Busy { limit: WAITING_MAX },
            mpsc::error::TrySendError::Closed(_) => Error::Unavailable(None),
        })?;
        answer.await.unwrap_or(Err(Error::Unavailable(None)))
    }
}

struct Lane<DB: Engine, K, V, F> {
    db: Db<DB>,
    read: Arc<F>,
    waiting: Arc<Mutex<mpsc::Receiver<Ask<K, V>>>>,
}

impl<DB: Engine, K, V, F> Clone for Lane<DB, K, V, F> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            read: self.read.clone(),
            waiting: self.waiting.clone(),
        }
    }
}

impl<DB: Engine, K: Clone + Send + 'static, V: Send + 'static, F: ReadMany<DB, K, V>> Lane<DB, K, V, F> {
    async fn run(self) {
        loop {
            let mut asks = Vec::new();
            if self.waiting.lock().await.recv_many(&mut asks, SHARED_MAX).await == 0 {
                return;
            }
            asks.retain(|ask| !ask.reply.is_closed());
            // The statement stands in the trace of the first of those whom it answers.
            if let Some(first) = asks.first() {
                let span = first.span.clone();
                self.answer(asks).instrument(span).await;
            }
        }
    }

    async fn answer(&self, asks: Vec<Ask<K, V>>) {
        match self.read(asks.iter().map(|ask| ask.key.clone()).collect()).await {
            Ok(values) => {
                for (ask, value) in asks.into_iter().zip(values) {
                    ask.answer(Ok(value));
                }
            }
            Err(error) => self.answer_each(asks, error).await,
        }
    }

    /// What cannot be read for one of several fails for that one alone.
    async fn answer_each(&self, mut asks: Vec<Ask<K, V>>, error: Error) {
        if asks.len() < 2 {
            if let Some(ask) = asks.pop() {
                ask.answer(Err(error));
            }
            return;
        }
        for ask in asks {
            let read = self.read(vec![ask.key.clone()]).await;
            ask.answer(read.and_then(|mut values| values.pop().ok_or(Error::Unavailable(None))));
        }
    }

    async fn read(&self, keys: Vec<K>) -> Result<Vec<V>> {
        let reading = async {
            let mut connection = self.db.lease().await?;
            (self.read)(&mut connection, keys).await
        };
        // A lane outlives what goes wrong in it.
        let read = AssertUnwindSafe(reading).catch_unwind().await;
        read.unwrap_or(Err(Error::Panicked))
    }
}
