//! How a process lives and dies.
//!
//! Start: settings are checked, the database opened and migrated, the port bound, and only then is anything served.
//! Stop: health says NOT_SERVING, no connection is taken any more, watches end, calls in flight get their time, what is
//! left is cut, background work ends, the database closes. Each step has a limit; a silent peer delays none.

use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::random::Random;
use store::time::Clock;
use store::{Db, Engine, Migrations, Options, Postgres, Sqlite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tower::Layer;

use crate::admission::Admission;
use crate::auth::Authenticator;
use crate::config::{Common, EngineKind, Invalid, Limits, Settings, Validate};
use crate::connections::{Ends, incoming};
use crate::health::Health;
use crate::layers::{RequestPath, RequestPathLayer};
use crate::methods::Methods;
use crate::observe::Metrics;
use crate::peers::{InvalidPeer, Peers};
use crate::reload::{Reloads, Request, requests};
use crate::retention::forget_old_requests;
use crate::status::{Board, Reporter};
use crate::tls;
use crate::token::{KeyError, ServiceTokens, TokenIssuer};
use crate::without;

/// How long cut connections, and background work that was told to stop, may take to notice.
const LAST_STEPS: Duration = Duration::from_secs(2);

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Two tokens of the largest size, and what else a request says of itself.
const HEADER_LIST_BYTES_MAX: u32 = 32 << 10;

/// hyper's own limits, which tonic switches off unless told: a peer that only sends errors is sent away.
const ERROR_RESETS_MAX: usize = 1024;
const PENDING_RESETS_MAX: usize = 20;

/// A service on its way to [`Running`].
pub type Starting = BoxFuture<'static, Result<Running, StartError>>;

/// One of the suite's services: what it is called, what it stores, what it serves.
pub trait Service: Send + Sync + 'static {
    /// Its name: of its section in the settings, and as a peer.
    const NAME: &'static str;
    /// The package of its contract, as `dmp.consent.v1`.
    const PACKAGE: &'static str;
    /// Its own settings.
    type Config: Clone + fmt::Debug + DeserializeOwned + Serialize + Default + Validate + Send + 'static;

    /// Its schema, with those of the shared crates that it stands on.
    fn migrations() -> Migrations;

    /// Its gRPC services. Background work belongs into [`Context::background`].
    fn routes<DB: Engine>(
        context: Context<DB>,
        config: Self::Config,
    ) -> impl Future<Output = Result<Routes, StartError>> + Send;

    /// Starts the service: [`start_on`] for `Self`. A required method, written in the service's own crate, so that its code
    /// for both engines is compiled there, once, and not again in each binary that runs it.
    fn start_on(listener: TcpListener, settings: Settings<Self::Config>, clock: Clock, random: Random) -> Starting
    where
        Self: Sized;

    /// The encoded `FileDescriptorSet` that holds [`Service::PACKAGE`].
    fn descriptors() -> &'static [u8] {
        api::DESCRIPTOR_SET
    }
}

/// What a service is given to live on.
#[derive(Clone)]
pub struct Context<DB: Engine> {
    /// Its database.
    pub db: Db<DB>,
    /// The time.
    pub clock: Clock,
    /// Randomness and ids.
    pub random: Random,
    /// The other services.
    pub peers: Peers,
    /// Where what it has to tell an operator is registered.
    pub status: Board,
    /// Cancelled when the process begins to stop. Watches need not look at it: they are ended.
    pub drain: CancellationToken,
    /// Where [`Context::background`] tells background work to end.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl<DB: Engine> Context<DB> {
    /// Runs `work` beside the calls: a sequencer, a journal's writer. The token it is given is cancelled after the last
    /// call has ended; it has two seconds from then on.
    pub fn background<F>(&self, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(work(self.stop.clone()));
    }
}

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting breaks its rule.
    #[error(transparent)]
    Setting(#[from] Invalid),
    /// A peer's address is missing or cannot be one.
    #[error(transparent)]
    Peer(#[from] InvalidPeer),
    /// The service's own key cannot be used.
    #[error("`identity.key`: {0}")]
    Key(#[from] KeyError),
    /// The database does not open or migrate.
    #[error("the database cannot be opened")]
    Database(#[from] store::Error),
    /// The port cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The contract's descriptors cannot be read.
    #[error("the contract's descriptors cannot be read")]
    Descriptors,
    /// The service itself cannot start.
    #[error("{0}")]
    Service(String),
}

/// A process that serves. Dropping it does not stop it.
#[derive(Debug)]
pub struct Running {
    /// The service's name.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    secure: bool,
    draining: CancellationToken,
    reloads: mpsc::Sender<Request>,
    /// Cancelled when its life is over, also by a panic.
    over: CancellationToken,
    life: JoinHandle<()>,
}

impl Running {
    /// Tells it to stop, and does not wait.
    pub fn shutdown(&self) {
        self.draining.cancel();
    }

    /// A handle that tells it to stop.
    pub fn shutdown_handle(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// The address for clients.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Reads certificates, keys and issuers' keys again now, without waiting for `limits.reload_interval_ms`. Completes
    /// when new connections and calls go by what the files hold, or when nothing is read any more.
    pub async fn reload(&self) {
        let (done, read) = oneshot::channel();
        // Either end of the channel is dropped when the process stops.
        if self.reloads.send(done).await.is_ok() {
            let _stopped = read.await;
        }
    }

    /// Completes when it has stopped, for whatever reason; for who waits for several things at once.
    pub async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Waits until it has stopped, for whatever reason.
    pub async fn finished(self) {
        if self.life.await.is_err() {
            tracing::error!(name = self.name, "the process ended in a panic");
        }
    }

    /// Tells it to stop and waits until it has.
    pub async fn stop(self) {
        self.shutdown();
        self.finished().await;
    }
}

/// Starts the service `S` on the address that its settings name.
///
/// # Errors
/// [`StartError`]; nothing is served then.
pub async fn start<S: Service>(
    settings: Settings<S::Config>,
    clock: Clock,
    random: Random,
) -> Result<Running, StartError> {
    // Before the port is taken, so that a mistake in a file never shows as a port that opens and closes.
    settings.validate(S::NAME)?;
    let address = settings.common.listen;
    let _readable = Files::load(&settings.common, S::NAME, &clock)?;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| StartError::Listen { address, source })?;
    S::start_on(listener, settings, clock, random).await
}

/// As [`start`], on a port that is bound already: lets several services know each other's addresses beforehand. Call it
/// through [`Service::start_on`].
///
/// # Errors
/// [`StartError`].
pub async fn start_on<S: Service>(
    listener: TcpListener,
    settings: Settings<S::Config>,
    clock: Clock,
    random: Random,
) -> Result<Running, StartError> {
    settings.validate(S::NAME)?;
    match settings.common.database.url.engine()? {
        EngineKind::Sqlite => launch::<S, Sqlite>(listener, settings, clock, random).await,
        EngineKind::Postgres => launch::<S, Postgres>(listener, settings, clock, random).await,
    }
}

/// Completes when the operator asks the process to end: SIGTERM or SIGINT.
///
/// # Errors
/// When the system does not let signals be listened for.
pub async fn stop_requested() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// What a process reads beside its settings, and again while it runs.
struct Files {
    authenticator: Authenticator,
    tls: Option<tls::Server>,
    reloads: Reloads,
}

impl Files {
    fn load(common: &Common, name: &str, clock: &Clock) -> Result<Self, Invalid> {
        let mut reloads = Reloads::default();
        let authenticator = Authenticator::new(&common.issuers, &common.limits, clock.clone(), &mut reloads)?;
        let tls = common.tls.as_ref();
        let tls = tls.map(|settings| tls::Server::load(settings, name, clock, &mut reloads));
        Ok(Self {
            authenticator,
            tls: tls.transpose()?,
            reloads,
        })
    }
}

/// When the parts of a process end.
#[derive(Default)]
struct Ending {
    /// First: health says so.
    draining: CancellationToken,
    /// Then: no more connections, watches end.
    closing: CancellationToken,
    /// At the limit: connections are cut. Calls within the process end by their deadlines.
    cut: CancellationToken,
    /// Last: background work ends.
    stop: CancellationToken,
}

async fn launch<S: Service, DB: Engine>(
    listener: TcpListener,
    settings: Settings<S::Config>,
    clock: Clock,
    random: Random,
) -> Result<Running, StartError> {
    let Settings { common, service } = settings;
    let address = listener.local_addr().map_err(|source| StartError::Listen {
        address: common.listen,
        source,
    })?;
    common.check_address(address)?;
    without::warn(S::NAME);
    let methods = Methods::new(S::descriptors(), S::PACKAGE, common.reflection);
    let methods = methods.map_err(|_| StartError::Descriptors)?;
    let Files {
        authenticator,
        tls,
        reloads,
    } = Files::load(&common, S::NAME, &clock)?;
    let peers = peers(&common, tls.as_ref(), S::NAME, &clock, &random)?;
    let options = Options {
        name: S::NAME,
        ..common.database.options()
    };
    let db = Db::<DB>::open(&options, &S::migrations()).await?;
    let (metrics, board) = (Metrics::new(), Board::new(S::NAME, clock.clone()));
    if let Some(tls) = &tls {
        board.certificate("own", tls.not_after());
    }

    let (ending, tasks) = (Ending::default(), TaskTracker::new());
    let context = Context {
        db: db.clone(),
        clock,
        random: random.clone(),
        peers,
        status: board.clone(),
        drain: ending.draining.clone(),
        stop: ending.stop.clone(),
        tasks: tasks.clone(),
    };
    context.background(|stop| forget_old_requests(db.clone(), context.clock.clone(), stop));
    let (reload, requests) = requests();
    let every = Duration::from_millis(common.limits.reload_interval_ms);
    context.background(|stop| reloads.run(every, requests, stop));
    let health = Health::new(S::NAME, methods.services()).await;
    let routes = S::routes(context, service).await?;
    let routes = routes.add_service(HealthServer::new(HealthService::from_health_reporter(
        health.reporter(),
    )));
    let draining = ending.draining.clone();
    let in_flight = metrics.in_flight();
    let routes = routes.add_service(Reporter::server(db.clone(), board, in_flight.clone(), draining));
    let routes = with_reflection::<S>(routes, &common)?;

    let path = RequestPath {
        methods,
        authenticator,
        admission: Admission::new(&common.limits),
        metrics,
        random,
        closing: ending.closing.clone(),
        limits: common.limits.clone(),
    };
    let ends = Ends {
        closing: ending.closing.clone(),
        cut: ending.cut.clone(),
    };
    let secure = tls.is_some();
    let layer = RequestPathLayer(Arc::new(path));
    let open = (!secure).then(|| {
        let service = layer.layer(routes.clone().prepare());
        common.in_process.open(&format!("http://{address}"), service)
    });
    let connections = incoming(listener, tls, &common.limits, ends);
    let server = server(&common.limits).layer(layer).add_routes(routes);
    let closing = ending.closing.clone();
    let serving = server.serve_with_incoming_shutdown(connections, closing.cancelled_owned());
    let closing = ending.closing.clone();
    let serving = async move {
        let mut serving = std::pin::pin!(serving);
        let ended = tokio::select! {
            served = &mut serving => Some(served),
            () = closing.cancelled() => None,
        };
        drop(open);
        match ended {
            Some(served) => served,
            None => serving.await,
        }
    };

    let every = Duration::from_millis(common.limits.health_interval_ms);
    let watching = health.watch(db.clone(), every, ending.draining.clone());
    let draining = ending.draining.clone();
    let life = live(
        ending,
        Box::pin(serving),
        Box::pin(watching),
        in_flight,
        tasks,
        common.limits.drain(),
    );
    let over = CancellationToken::new();
    let at_the_end = over.clone().drop_guard();
    let life = async move {
        let _at_the_end = at_the_end;
        life.await;
        db.close().await;
        tracing::info!(name = S::NAME, "stopped");
    };
    tracing::info!(name = S::NAME, %address, engine = DB::NAME, "serving");
    Ok(Running {
        name: S::NAME,
        address,
        secure,
        draining,
        reloads: reload,
        over,
        life: tokio::spawn(life),
    })
}

fn peers(
    common: &Common,
    tls: Option<&tls::Server>,
    name: &str,
    clock: &Clock,
    random: &Random,
) -> Result<Peers, StartError> {
    let Some(identity) = &common.identity else {
        return Ok(Peers::default());
    };
    let issuer = TokenIssuer::from_file(&identity.issuer, &identity.audience, &identity.key)?;
    let tokens = ServiceTokens::new(issuer, name, clock.clone());
    let tls = tls.map(tls::Server::client);
    Ok(Peers::new(
        &common.peers,
        tls.as_ref(),
        &common.in_process,
        &tokens,
        random,
    )?)
}

fn with_reflection<S: Service>(routes: Routes, common: &Common) -> Result<Routes, StartError> {
    if !common.reflection {
        return Ok(routes);
    }
    crate::reflection::reflect(routes, S::descriptors(), S::PACKAGE).map_err(|_| StartError::Descriptors)
}

/// HTTP/2 with every limit that tonic leaves open.
fn server(limits: &Limits) -> Server {
    Server::builder()
        .max_concurrent_streams(limits.streams_per_connection)
        .http2_max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        // No grace: with one, tonic 0.14.9 leaves out GOAWAY and cuts. Deadlines bound what goes on after GOAWAY.
        .max_connection_age(Duration::from_secs(limits.connection_age_seconds))
}

type Serving = BoxFuture<'static, Result<(), tonic::transport::Error>>;

async fn live(
    ending: Ending,
    serving: Serving,
    watching: BoxFuture<'static, ()>,
    in_flight: TaskTracker,
    tasks: TaskTracker,
    drain: Duration,
) {
    let health = tokio::spawn(watching);
    let mut serving = tokio::spawn(serving);
    tokio::select! {
        () = ending.draining.cancelled() => {}
        // The accept loop ends by itself only when something is badly wrong: stop rather than seem to live.
        _ended = &mut serving => ending.draining.cancel(),
    }
    // The health task's last act is to report NOT_SERVING; only then do connections begin to close.
    let _reported = timeout(LAST_STEPS, health).await;
    ending.closing.cancel();
    let answered = async {
        if !serving.is_finished() {
            let _served = (&mut serving).await;
        }
        // Calls over connections have ended with them; others of this process may still wait for their answers.
        in_flight.close();
        in_flight.wait().await;
    };
    if timeout(drain, answered).await.is_err() {
        tracing::warn!("calls were still in flight at the end of the drain limit and are cut");
        ending.cut.cancel();
        if !serving.is_finished() {
            let _cut = timeout(LAST_STEPS, &mut serving).await;
        }
    }
    ending.stop.cancel();
    tasks.close();
    if timeout(LAST_STEPS, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "background work did not end in its time");
    }
}
