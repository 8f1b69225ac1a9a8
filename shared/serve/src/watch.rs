//! A watch: what happens, told to one reader in order, each event once, until somebody ends it.
//!
//! Events wait for their reader in a bounded buffer. A reader that leaves it full for too long is sent away and misses
//! nothing: it resumes from the last token that it took. Whether the reader may still know is asked again before each
//! telling, so that an acknowledged narrowing governs a watch that began before it.

use api::common::v1::Reason;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;
use store::feed::Event;
use store::{Engine, Feed};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Status};

use crate::config::Invalid;
use crate::{Failure, Result};

/// Events read at once.
const BATCH: i64 = 64;

const WAIT_MS_MAX: u64 = 600_000;
const BUFFER_MAX: u64 = 4096;

/// How a service is watched: the section `watch` of its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchSettings {
    /// After how long without an event a watcher is told that the stream lives; 1 to 600,000.
    pub heartbeat_ms: u64,
    /// Events that may wait for their reader; 1 to 4096.
    pub buffer: usize,
    /// How long a full buffer waits for its reader before the watch ends; 1 to 600,000.
    pub patience_ms: u64,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            heartbeat_ms: 15_000,
            buffer: 64,
            patience_ms: 10_000,
        }
    }
}

impl WatchSettings {
    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first one that is not, as `watch.…`.
    pub fn validate(&self) -> Result<(), Invalid> {
        let bounded = [
            ("watch.heartbeat_ms", self.heartbeat_ms, WAIT_MS_MAX),
            ("watch.buffer", self.buffer as u64, BUFFER_MAX),
            ("watch.patience_ms", self.patience_ms, WAIT_MS_MAX),
        ];
        match bounded.iter().find(|(_, value, max)| !(1..=*max).contains(value)) {
            Some((key, _, max)) => Err(Invalid::new(*key, format!("must be 1 to {max}"))),
            None => Ok(()),
        }
    }

    fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }
}

/// What is watched: a feed, or what concerns one key of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    feed: &'static str,
    key: Option<String>,
}

impl Scope {
    /// All of a feed.
    pub fn all(feed: &'static str) -> Self {
        Self { feed, key: None }
    }

    /// What concerns one key.
    pub fn of(feed: &'static str, key: impl Into<String>) -> Self {
        Self {
            feed,
            key: Some(key.into()),
        }
    }

    /// The token of a place: the scope is in it, so that it is good for no other.
    pub fn token(&self, position: i64) -> String {
        URL_SAFE_NO_PAD.encode([&position.to_be_bytes(), self.name().as_bytes()].concat())
    }

    /// The place of a token.
    ///
    /// # Errors
    /// For one that is not ours, or another scope's.
    pub fn position(&self, token: &str) -> Result<i64, (&'static str, &'static str)> {
        let told = "must be a token of this watch, as it was given";
        self.read(token).ok_or(("NOT_A_TOKEN", told))
    }

    fn read(&self, token: &str) -> Option<i64> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (position, name) = bytes.split_first_chunk::<8>()?;
        let position = i64::from_be_bytes(*position);
        (name == self.name().as_bytes() && position >= 0).then_some(position)
    }

    /// A feed is a word, so that no feed and key read like another pair.
    fn name(&self) -> String {
        match &self.key {
            None => self.feed.to_owned(),
            Some(key) => format!("{}/{key}", self.feed),
        }
    }
}

/// What one watcher is told, and whether it still may be.
pub trait Watched: Send + Sync + 'static {
    /// What an event is to the watcher.
    type Told: Send;
    /// The stream's message.
    type Response: Send + 'static;

    /// Whether the watcher may be told: asked before each batch of events and each heartbeat.
    ///
    /// # Errors
    /// What ends the watch.
    fn admit(&self) -> impl Future<Output = Result<()>> + Send;

    /// What an event is to the watcher; `None` for one that is not for it.
    ///
    /// # Errors
    /// What ends the watch.
    fn tell(&self, event: &Event) -> impl Future<Output = Result<Option<Self::Told>>> + Send;

    /// The message for an event, or for none when there is only a token to tell.
    fn response(&self, resume_token: String, told: Option<Self::Told>) -> Self::Response;
}

/// Tells what `scope` has after `position`, until the reader goes, is too slow, may no longer know, or the process
/// stops. The first message comes at once and without an event: whoever lists after it and goes on from its token
/// misses nothing.
///
/// # Errors
/// What [`Watched::admit`] says of a watcher that may not begin.
pub async fn watch<DB: Engine, W: Watched>(
    feed: Feed<DB>,
    settings: WatchSettings,
    scope: Scope,
    position: i64,
    watched: W,
) -> Result<BoxStream<'static, Result<W::Response, Status>>> {
    watched.admit().await?;
    let (sender, receiver) = mpsc::channel(settings.buffer);
    let reader = Reader {
        sender,
        told_at: Instant::now(),
        settings,
    };
    let teller = Teller { feed, scope, watched };
    let telling = tokio::spawn(teller.tell(position, reader));
    let told = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|response| (Ok(response), receiver))
    });
    let ending = stream::once(telling).filter_map(|ended| async move {
        match ended {
            Ok(End::Gone) => None,
            Ok(End::Failed(failure)) => Some(Err(failure.into())),
            Err(_) => Some(Err(Failure::internal("a watch panicked").into())),
        }
    });
    Ok(told.chain(ending).boxed())
}

/// Why a watch ends.
enum End {
    /// The reader has gone.
    Gone,
    /// The reader is told why.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct Teller<DB: Engine, W> {
    feed: Feed<DB>,
    scope: Scope,
    watched: W,
}

impl<DB: Engine, W: Watched> Teller<DB, W> {
    async fn tell(self, position: i64, mut reader: Reader<W::Response>) -> End {
        match self.tell_on(position, &mut reader).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn tell_on(&self, mut position: i64, reader: &mut Reader<W::Response>) -> Result<Infallible, End> {
        // Before the first look: what happens after it wakes us.
        let mut subscription = self.feed.subscribe(self.scope.feed, self.scope.key.as_deref());
        reader.take(self.response(position, None)).await?;
        loop {
            position = self.catch_up(position, reader).await?;
            tokio::select! {
                () = reader.sender.closed() => return Err(End::Gone),
                more = subscription.woken() => if !more {
                    return Err(End::Failed(Failure::draining()));
                },
                () = sleep_until(reader.told_at + reader.settings.heartbeat()) => {
                    self.watched.admit().await?;
                    reader.take(self.response(position, None)).await?;
                }
            }
        }
    }

    /// Tells all that the feed has after `position`, and answers up to where it has looked.
    async fn catch_up(&self, mut position: i64, reader: &mut Reader<W::Response>) -> Result<i64, End> {
        loop {
            let head = self.feed.head();
            let key = self.scope.key.as_deref();
            let events = self.feed.read(self.scope.feed, key, position, BATCH).await?;
            let is_last = (events.len() as i64) < BATCH;
            if !events.is_empty() {
                self.watched.admit().await?;
            }
            for event in events {
                position = event.position;
                if let Some(told) = self.watched.tell(&event).await? {
                    reader.take(self.response(position, Some(told))).await?;
                }
            }
            if is_last {
                // Nothing that concerns this watch lies between its last event and the head known before the read.
                return Ok(position.max(head));
            }
        }
    }

    fn response(&self, position: i64, told: Option<W::Told>) -> W::Response {
        self.watched.response(self.scope.token(position), told)
    }
}

/// The buffer's end towards the reader.
struct Reader<R> {
    sender: mpsc::Sender<R>,
    /// When it was last told something.
    told_at: Instant,
    settings: WatchSettings,
}

impl<R> Reader<R> {
    async fn take(&mut self, response: R) -> Result<(), End> {
        match timeout(self.settings.patience(), self.sender.send(response)).await {
            Ok(Ok(())) => {
                self.told_at = Instant::now();
                Ok(())
            }
            Ok(Err(_gone)) => Err(End::Gone),
            Err(_too_slow) => Err(End::Failed(too_slow(self.settings.buffer))),
        }
    }
}

fn too_slow(buffer: usize) -> Failure {
    let message = "events are taken too slowly; resume from the last token";
    Failure::new(Code::ResourceExhausted, Reason::Overloaded, message).with("limit", buffer.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use super::*;

    /// Whoever leaves the buffer full is sent away, and finds in it what it did not take.
    #[tokio::test]
    async fn a_slow_reader_is_sent_away_with_what_it_was_told() {
        let settings = WatchSettings {
            buffer: 1,
            patience_ms: 1,
            ..WatchSettings::default()
        };
        let (sender, mut receiver) = mpsc::channel(settings.buffer);
        let mut reader = Reader {
            sender,
            told_at: Instant::now(),
            settings,
        };
        assert!(reader.take(1).await.is_ok());
        let Err(End::Failed(failure)) = reader.take(2).await else {
            panic!("a full buffer took more");
        };
        assert_eq!(
            (failure.code, failure.reason),
            (Code::ResourceExhausted, Reason::Overloaded)
        );
        assert_eq!(receiver.recv().await, Some(1));
        assert!(reader.take(2).await.is_ok());
        drop(receiver);
        assert!(matches!(reader.take(3).await, Err(End::Gone)));
    }

    #[test]
    fn a_token_is_good_for_its_scope_only() {
        let scopes = [
            Scope::all("one"),
            Scope::of("one", "a"),
            Scope::of("one", "b"),
            Scope::all("two"),
        ];
        for (place, scope) in scopes.iter().enumerate() {
            let token = scope.token(77);
            for (other_place, other) in scopes.iter().enumerate() {
                assert_eq!(other.position(&token).ok(), (place == other_place).then_some(77));
            }
        }
        for wrong in ["", "AAAA", "é", &Scope::all("one").token(-1)] {
            assert!(Scope::all("one").position(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_watch_has_limits() {
        let with = |heartbeat_ms, buffer, patience_ms| WatchSettings {
            heartbeat_ms,
            buffer,
            patience_ms,
        };
        assert_eq!(with(1, 4096, 600_000).validate(), Ok(()));
        for (settings, key) in [
            (with(0, 1, 1), "watch.heartbeat_ms"),
            (with(1, 4097, 1), "watch.buffer"),
            (with(1, 1, 600_001), "watch.patience_ms"),
        ] {
            assert_eq!(settings.validate().map_err(|error| error.key), Err(key.into()));
        }
    }
}
