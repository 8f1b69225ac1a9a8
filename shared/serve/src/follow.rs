//! Following another service's feed: each of its events has its effect here once, whatever fails.
//!
//! The place in the feed is moved in the transaction of the effect. An event that was taken and not committed is taken
//! again; one that another instance of this service was faster with is left to it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use store::{Db, Engine, feed};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use crate::status::Following;
use crate::{Context, Failure, Peer, Result};

/// How long a watch of a peer is good for; then it is taken up again from its last token.
const WATCH_LIFE: Duration = Duration::from_secs(3600);

/// After how long without a word, heartbeats included, a peer is taken for gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Between two tries: the first, and the longest; each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A feed of a peer, and what its events do here.
pub trait Followed<DB: Engine>: Clone + Send + Sync + 'static {
    /// The watch's message.
    type Response: Send + 'static;
    /// The event in it.
    type Event: Send + 'static;

    /// Under which name the place in the feed is kept; never renamed.
    const CONSUMER: &'static str;

    /// The peer.
    fn peer(&self) -> &Peer;

    /// Opens the watch after a token; from the beginning for an empty one.
    fn open(&self, request: WatchRequest) -> impl Future<Output = Result<Streaming<Self::Response>, Status>> + Send;

    /// The message's token, and its event when there is one.
    fn taken(response: Self::Response) -> (String, Option<Self::Event>);

    /// Does what the event asks for, inside the transaction that moves on from it.
    ///
    /// # Errors
    /// What undoes it; it is tried again, and nothing after it is taken before.
    fn apply(&self, connection: &mut DB::Connection, event: Self::Event) -> impl Future<Output = Result<()>> + Send;

    /// After the commit of an effect.
    fn applied(&self) {}
}

/// From where a watch of a peer is to be opened, and how to call.
#[derive(Debug)]
pub struct WatchRequest {
    /// After what.
    pub resume_token: String,
    peer: Peer,
}

impl WatchRequest {
    /// The request around a message.
    ///
    /// # Errors
    /// INTERNAL when our token cannot be signed.
    pub fn of<M>(&self, message: M) -> Result<tonic::Request<M>, Status> {
        Ok(self.peer.own_request(message, WATCH_LIFE)?)
    }
}

/// Follows a feed beside the calls, until the process stops.
pub fn follow<DB: Engine, F: Followed<DB>>(context: &Context<DB>, followed: F) {
    let follower = Follower {
        db: context.db.clone(),
        following: context.status.following(F::CONSUMER, followed.peer().name()),
        followed,
    };
    let drain = context.drain.clone();
    context.background(|_stop| follower.run(drain));
}

struct Follower<DB: Engine, F> {
    db: Db<DB>,
    followed: F,
    /// How it goes, for the operator.
    following: Arc<Following>,
}

impl<DB: Engine, F: Followed<DB>> Follower<DB, F> {
    async fn run(self, drain: CancellationToken) {
        tokio::select! {
            () = drain.cancelled() => {}
            () = self.follow_on() => {}
        }
    }

    async fn follow_on(&self) {
        let mut pause = PAUSE_MIN;
        loop {
            let mut taken = 0_u64;
            let followed = self.follow_once(&mut taken).await;
            self.following.connected(false);
            match followed {
                // The watch has lived its life, or the peer restarts.
                Ok(()) => {}
                Err(failure) => {
                    let (peer, reason) = (self.followed.peer().name(), failure.reason.as_str_name());
                    tracing::warn!(
                        consumer = F::CONSUMER,
                        peer,
                        reason,
                        "the feed of a peer is not followed; trying again"
                    );
                }
            }
            pause = if taken > 0 {
                PAUSE_MIN
            } else {
                (pause * 2).min(PAUSE_MAX)
            };
            sleep(pause).await;
        }
    }

    /// Follows until the stream ends. `taken` counts its messages.
    async fn follow_once(&self, taken: &mut u64) -> Result<()> {
        let mut place = {
            let mut connection = self.db.read().await?;
            feed::cursor::<DB>(&mut connection, F::CONSUMER).await?
        };
        let request = WatchRequest {
            resume_token: place.clone().unwrap_or_default(),
            peer: self.followed.peer().clone(),
        };
        let mut stream = match self.followed.open(request).await {
            Ok(stream) => stream,
            Err(status) => return self.ended(&status),
        };
        self.following.connected(true);
        loop {
            let message = match timeout(SILENCE_MAX, stream.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(status)) => return self.ended(&status),
                Err(_silent) => return Err(Failure::peer_unavailable(self.followed.peer().name())),
            };
            *taken += 1;
            self.following.heard();
            let (token, event) = F::taken(message);
            if place.as_deref() == Some(&token) {
                continue;
            }
            if !self.move_on(place.as_deref(), &token, event).await? {
                // Another instance was faster; go on from where it is.
                return Ok(());
            }
            place = Some(token);
        }
    }

    fn ended(&self, status: &Status) -> Result<()> {
        match status.code() {
            Code::DeadlineExceeded => Ok(()),
            _ => Err(self.followed.peer().failure(status)),
        }
    }

    /// False when the place is no longer where it was read.
    async fn move_on(&self, from: Option<&str>, to: &str, event: Option<F::Event>) -> Result<bool> {
        let (from, to, followed) = (from.map(str::to_owned), to.to_owned(), self.followed.clone());
        let had_event = event.is_some();
        let moved = self
            .db
            .write(move |connection: &mut DB::Connection| {
                Box::pin(async move {
                    if !feed::advance::<DB>(connection, F::CONSUMER, from.as_deref(), &to).await? {
                        return Ok::<_, Failure>(false);
                    }
                    if let Some(event) = event {
                        followed.apply(connection, event).await?;
                    }
                    Ok(true)
                })
            })
            .await?;
        if moved && had_event {
            self.followed.applied();
        }
        Ok(moved)
    }
}
