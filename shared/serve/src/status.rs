//! What a process tells an operator of itself (`dmp.operations.v1`): served by every process, beside its own contract.
//!
//! Whatever has something to tell is registered once, when the service starts, on the [`Board`] of its
//! [`Context`](crate::Context); what it tells is asked for when an operator asks, and the database has a second for it.

use api::common::v1::Role;
use api::operations::v1 as pb;
use api::operations::v1::status_service_server::{StatusService, StatusServiceServer};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::time::{Clock, Timestamp, from_micros, to_micros, to_proto};
use store::{Db, Engine, Feed};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use crate::Call;
use crate::trace::label;

/// The package of [`StatusService`].
pub(crate) const PACKAGE: &str = "dmp.operations.v1";

/// How long the database may take to tell something of itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who may ask.
const ROLES: [Role; 3] = [Role::Administrator, Role::Auditor, Role::Service];

type Asked<T> = Arc<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>;
type NotAfter = dyn Fn() -> Option<Timestamp> + Send + Sync;

/// Where the parts of a process register what they have to tell. Cheap to clone; all clones are one board.
#[derive(Clone)]
pub struct Board {
    name: &'static str,
    clock: Clock,
    parts: Arc<Mutex<Parts>>,
}

#[derive(Default)]
struct Parts {
    feeds: Vec<Asked<pb::FeedStatus>>,
    journals: Vec<Asked<pb::JournalStatus>>,
    followed: Vec<Arc<Following>>,
    certificates: Vec<(&'static str, Arc<NotAfter>)>,
}

impl Board {
    pub(crate) fn new(name: &'static str, clock: Clock) -> Self {
        Self {
            name,
            clock,
            parts: Arc::default(),
        }
    }

    /// Registers a feed that the service gives out; its metrics are shown from now on.
    pub fn feed<DB: Engine>(&self, feed: &Feed<DB>) {
        feed.observe(&self.clock);
        let feed = feed.clone();
        let asked: Asked<_> = Arc::new(move || feed_status(feed.clone()).boxed());
        self.lock().feeds.push(asked);
    }

    /// Registers a journal that the service writes: `board.journal(&journal, Journal::status)`.
    pub fn journal<J, F>(&self, journal: &J, status: impl Fn(J, Duration) -> F + Send + Sync + 'static)
    where
        J: Clone + Send + Sync + 'static,
        F: Future<Output = pb::JournalStatus> + Send + 'static,
    {
        let journal = journal.clone();
        let asked: Asked<_> = Arc::new(move || status(journal.clone(), PATIENCE).boxed());
        self.lock().journals.push(asked);
    }

    /// Registers a certificate that the process shows, by what it is for; `not_after` says until when it is good, as it
    /// is loaded now.
    pub fn certificate(&self, name: &'static str, not_after: impl Fn() -> Option<Timestamp> + Send + Sync + 'static) {
        let not_after: Arc<NotAfter> = Arc::new(not_after);
        let (watched, clock) = (Arc::downgrade(&not_after), self.clock.clone());
        let labels = [store::observe::service(self.name), label("dmp.certificate", name)];
        let _registered = opentelemetry::global::meter("serve")
            .f64_observable_gauge("dmp.certificate.remaining")
            .with_unit("s")
            .with_description("Until the certificate is good for nothing; negative afterwards")
            .with_callback(move |observer| {
                if let Some(end) = watched.upgrade().and_then(|not_after| not_after()) {
                    observer.observe(end.duration_since(clock.now()).as_secs_f64(), &labels);
                }
            })
            .build();
        self.lock().certificates.push((name, not_after));
    }

    /// Registers the follower of a peer's feed.
    pub(crate) fn following(&self, consumer: &'static str, peer: &str) -> Arc<Following> {
        let following = Arc::new(Following::new(self.name, consumer, peer, self.clock.clone()));
        following.watch();
        self.lock().followed.push(following.clone());
        following
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn feed_status<DB: Engine>(feed: Feed<DB>) -> pb::FeedStatus {
    match timeout(PATIENCE, feed.state()).await {
        Ok(Ok(state)) => pb::FeedStatus {
            answers: true,
            head: state.head,
            waiting: state.waiting,
            oldest_at: state.oldest.map(to_proto),
        },
        _ => pb::FeedStatus::default(),
    }
}

/// How the following of a peer's feed goes.
pub(crate) struct Following {
    consumer: &'static str,
    peer: String,
    clock: Clock,
    connected: AtomicBool,
    /// When it began, in microseconds.
    begun: i64,
    /// When the last message came, in microseconds; 0 before the first.
    heard: AtomicI64,
    messages: Counter<u64>,
    labels: [KeyValue; 3],
}

impl Following {
    fn new(name: &'static str, consumer: &'static str, peer: &str, clock: Clock) -> Self {
        Self {
            consumer,
            peer: peer.to_owned(),
            connected: AtomicBool::new(false),
            begun: to_micros(clock.now()),
            heard: AtomicI64::new(0),
            messages: opentelemetry::global::meter("serve")
                .u64_counter("dmp.follow.messages")
                .with_unit("{message}")
                .with_description("Messages of a peer's feed that came, heartbeats included")
                .build(),
            labels: [
                store::observe::service(name),
                label("dmp.consumer", consumer),
                label("dmp.peer", peer.to_owned()),
            ],
            clock,
        }
    }

    /// Notes that the peer's stream is open, or is not any more.
    pub(crate) fn connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    /// Notes that a message came.
    pub(crate) fn heard(&self) {
        self.heard.store(to_micros(self.clock.now()), Ordering::Relaxed);
        self.messages.add(1, &self.labels);
    }

    fn last_message_at(&self) -> Option<Timestamp> {
        match self.heard.load(Ordering::Relaxed) {
            0 => None,
            micros => from_micros(micros).ok(),
        }
    }

    /// Since when there was no message, or since the beginning.
    fn silence(&self) -> Duration {
        let since = self.heard.load(Ordering::Relaxed).max(self.begun);
        let micros = to_micros(self.clock.now()).saturating_sub(since).max(0);
        Duration::from_micros(micros.unsigned_abs())
    }

    fn watch(self: &Arc<Self>) {
        let meter = opentelemetry::global::meter("serve");
        let following = Arc::downgrade(self);
        let _registered = meter
            .i64_observable_gauge("dmp.follow.connected")
            .with_description("1 while the stream of a peer's feed is open, else 0")
            .with_callback(move |observer| {
                if let Some(following) = following.upgrade() {
                    observer.observe(following.connected.load(Ordering::Relaxed).into(), &following.labels);
                }
            })
            .build();
        let following = Arc::downgrade(self);
        let _registered = meter
            .f64_observable_gauge("dmp.follow.silence")
            .with_unit("s")
            .with_description("Since the last message of a peer's feed, heartbeats included")
            .with_callback(move |observer| {
                if let Some(following) = following.upgrade() {
                    observer.observe(following.silence().as_secs_f64(), &following.labels);
                }
            })
            .build();
    }

    fn status(&self) -> pb::FollowedStatus {
        pb::FollowedStatus {
            consumer: self.consumer.to_owned(),
            peer: self.peer.clone(),
            connected: self.connected.load(Ordering::Relaxed),
            last_message_at: self.last_message_at().map(to_proto),
        }
    }
}

/// Answers an operator.
pub(crate) struct Reporter<DB: Engine> {
    db: Db<DB>,
    board: Board,
    in_flight: TaskTracker,
    draining: CancellationToken,
    started_at: Timestamp,
}

impl<DB: Engine> Reporter<DB> {
    pub(crate) fn server(
        db: Db<DB>,
        board: Board,
        in_flight: TaskTracker,
        draining: CancellationToken,
    ) -> StatusServiceServer<Self> {
        StatusServiceServer::new(Self {
            db,
            in_flight,
            draining,
            started_at: board.clock.now(),
            board,
        })
    }

    async fn status(&self) -> pb::Status {
        let (feeds, journals, followed, certificates) = {
            let parts = self.board.lock();
            let feeds: Vec<_> = parts.feeds.iter().map(|asked| asked()).collect();
            let journals: Vec<_> = parts.journals.iter().map(|asked| asked()).collect();
            let followed = parts.followed.iter().map(|following| following.status()).collect();
            let certificates = parts
                .certificates
                .iter()
                .map(|(name, end)| certificate(name, end.as_ref()));
            (feeds, journals, followed, certificates.collect())
        };
        let (database, feeds, journals) =
            futures::join!(database_status(&self.db), join_all(feeds), join_all(journals));
        let draining = self.draining.is_cancelled();
        pb::Status {
            name: self.board.name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: Some(to_proto(self.started_at)),
            now: Some(to_proto(self.board.clock.now())),
            serving: database.answers && !draining,
            draining,
            calls_in_flight: i64::try_from(self.in_flight.len()).unwrap_or(i64::MAX),
            database: Some(database),
            feeds,
            followed,
            journals,
            certificates,
        }
    }
}

fn certificate(name: &str, not_after: &NotAfter) -> pb::CertificateStatus {
    pb::CertificateStatus {
        name: name.to_owned(),
        not_after: not_after().map(to_proto),
    }
}

async fn database_status<DB: Engine>(db: &Db<DB>) -> pb::DatabaseStatus {
    let state = timeout(PATIENCE, db.state()).await.ok().and_then(Result::ok);
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let pools = db.pools().map(|pool| pb::PoolStatus {
        name: pool.name.to_owned(),
        used: number(pool.used),
        idle: number(pool.idle),
        max: number(pool.max),
    });
    pb::DatabaseStatus {
        engine: DB::NAME.to_owned(),
        answers: state.is_some(),
        answered_in: state
            .as_ref()
            .and_then(|state| prost_types::Duration::try_from(state.answered_in).ok()),
        schema_versions: state.map(|state| state.schema).unwrap_or_default(),
        pools: pools.into(),
        writes_waiting: i64::try_from(db.writes_waiting()).unwrap_or(i64::MAX),
    }
}

#[tonic::async_trait]
impl<DB: Engine> StatusService for Reporter<DB> {
    async fn get_status(&self, request: Request<pb::GetStatusRequest>) -> Result<Response<pb::Status>, Status> {
        Call::of(&request)?.require_role(&ROLES)?;
        Ok(Response::new(self.status().await))
    }
}
