//! A service with one method per behaviour that the request path must cope with. Every message is an `Actor`.

use api::common::v1 as pb;
use api::common::v1::Role;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use http::{Request as HttpRequest, Response as HttpResponse};
use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};
use serde::{Deserialize, Serialize};
use serve::Starting;
use serve::config::Settings;
use serve::config::{Invalid, Validate};
use serve::{Call, Context, Failure, Peer, Service, StartError};
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::task::Poll;
use store::random::Random;
use store::time::Clock;
use store::{Engine, Migrations};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::server::{Grpc, NamedService};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

pub(crate) const SERVICE: &str = "dmp.test.v1.ProbeService";

/// What a test holds of a running probe.
pub(crate) struct Gate {
    /// A permit for each call that has reached `Hold`.
    pub(crate) entered: Semaphore,
    /// A permit lets one `Hold` go on.
    pub(crate) release: Semaphore,
    /// The last call to `WhoAmI`, as its handler saw it.
    pub(crate) seen: Mutex<Option<Call>>,
    /// Closes the database under the service.
    pub(crate) cut_database: OnceLock<Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>>,
    /// A permit once background work has been told to stop.
    pub(crate) stopped: Semaphore,
}

static GATES: LazyLock<Mutex<HashMap<u64, Arc<Gate>>>> = LazyLock::new(Mutex::default);

impl Gate {
    pub(crate) fn register() -> (u64, Arc<Self>) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::new(Self {
            entered: Semaphore::new(0),
            release: Semaphore::new(0),
            seen: Mutex::default(),
            cut_database: OnceLock::new(),
            stopped: Semaphore::new(0),
        });
        GATES.lock().unwrap().insert(id, gate.clone());
        (id, gate)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProbeConfig {
    pub(crate) gate: u64,
    pub(crate) share: u32,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self { gate: 0, share: 1 }
    }
}

impl Validate for ProbeConfig {
    fn validate(&self) -> Result<(), Invalid> {
        if self.share > 100 {
            return Err(Invalid::new("share", "must be 0 to 100"));
        }
        Ok(())
    }
}

pub(crate) struct Probe;

const METHODS: [(&str, bool); 8] = [
    ("WhoAmI", false),
    ("Administer", false),
    ("Hold", false),
    ("Forward", false),
    ("Panic", false),
    ("Break", false),
    ("Drip", true),
    ("WatchNothing", true),
];

static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let actor = || Some(".dmp.common.v1.Actor".to_owned());
    let method = |(name, streaming): (&str, bool)| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: actor(),
        output_type: actor(),
        server_streaming: Some(streaming),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("ProbeService".to_owned()),
        method: METHODS.map(method).to_vec(),
        options: None,
    };
    let file = FileDescriptorProto {
        name: Some("dmp/test/v1/probe.proto".to_owned()),
        package: Some("dmp.test.v1".to_owned()),
        dependency: vec!["dmp/common/v1/actor.proto".to_owned()],
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    // Two encoded messages, one after the other, are their merge.
    [
        api::DESCRIPTOR_SET,
        &FileDescriptorSet { file: vec![file] }.encode_to_vec(),
    ]
    .concat()
});

impl Service for Probe {
    const NAME: &'static str = "probe";
    const PACKAGE: &'static str = "dmp.test.v1";
    type Config = ProbeConfig;

    fn migrations() -> Migrations {
        Migrations::new([store::own_migrations()])
    }

    fn start_on(listener: TcpListener, settings: Settings<Self::Config>, clock: Clock, random: Random) -> Starting {
        Box::pin(serve::start_on::<Self>(listener, settings, clock, random))
    }

    async fn routes<DB: Engine>(context: Context<DB>, config: ProbeConfig) -> Result<Routes, StartError> {
        let gate = GATES.lock().unwrap().get(&config.gate).unwrap().clone();
        let db = context.db.clone();
        let cut = move || {
            let db = db.clone();
            async move { db.close().await }.boxed()
        };
        assert!(gate.cut_database.set(Box::new(cut)).is_ok());
        let stopping = gate.clone();
        context.background(|stop| async move {
            stop.cancelled().await;
            stopping.stopped.add_permits(1);
        });
        Ok(Routes::new(ProbeServer {
            gate,
            peer: context.peers.get("other").ok(),
        }))
    }

    fn descriptors() -> &'static [u8] {
        &DESCRIPTORS
    }
}

/// The probe under another name, as a service that another calls.
pub(crate) struct Other;

impl Service for Other {
    const NAME: &'static str = "other";
    const PACKAGE: &'static str = Probe::PACKAGE;
    type Config = ProbeConfig;

    fn migrations() -> Migrations {
        Probe::migrations()
    }

    fn start_on(listener: TcpListener, settings: Settings<Self::Config>, clock: Clock, random: Random) -> Starting {
        Box::pin(serve::start_on::<Self>(listener, settings, clock, random))
    }

    async fn routes<DB: Engine>(context: Context<DB>, config: ProbeConfig) -> Result<Routes, StartError> {
        Probe::routes(context, config).await
    }

    fn descriptors() -> &'static [u8] {
        &DESCRIPTORS
    }
}

#[derive(Clone)]
struct ProbeServer {
    gate: Arc<Gate>,
    peer: Option<Peer>,
}

impl NamedService for ProbeServer {
    const NAME: &'static str = SERVICE;
}

type Answer = Result<Response<pb::Actor>, Status>;
type Actors = Pin<Box<dyn Stream<Item = Result<pb::Actor, Status>> + Send>>;

impl tower::Service<HttpRequest<Body>> for ProbeServer {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<HttpResponse<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let probe = self.clone();
        Box::pin(async move {
            let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let mut grpc = Grpc::new(ProstCodec::<pb::Actor, pb::Actor>::default());
            if METHODS.contains(&(&*name, true)) {
                let stream = service_fn(move |request| probe.clone().stream(name.clone(), request));
                return Ok(grpc.server_streaming(stream, request).await);
            }
            let unary = service_fn(move |request| probe.clone().unary(name.clone(), request));
            Ok(grpc.unary(unary, request).await)
        })
    }
}

impl ProbeServer {
    async fn unary(self, name: String, request: Request<pb::Actor>) -> Answer {
        let call = Call::of(&request)?.clone();
        // On purpose: whatever a handler shows of its call must show nothing of a person.
        tracing::info!(?call, actor = ?call.actor, "a handler logs its call");
        match name.as_str() {
            "WhoAmI" => {
                *self.gate.seen.lock().unwrap() = Some(call.clone());
                Ok(Response::new(call.actor.to_proto()))
            }
            "Administer" => {
                call.require_role(&[Role::Administrator])?;
                Ok(Response::new(call.actor.to_proto()))
            }
            "Hold" => {
                self.gate.entered.add_permits(1);
                self.gate.release.acquire().await.unwrap().forget();
                Ok(Response::new(pb::Actor::default()))
            }
            "Forward" => self.forward(&call, request.into_inner()).await,
            "Panic" => panic!("a message with the value 2690549588157"),
            _ => Err(Failure::from(store::Error::Corrupt("a column")).into()),
        }
    }

    /// The message's `subject` is the method to call at the peer.
    async fn forward(&self, call: &Call, message: pb::Actor) -> Answer {
        let peer = self.peer.as_ref().unwrap();
        let request = peer.request(call, pb::Actor::default())?;
        let answer = invoke(peer.channel(), &message.subject, request).await;
        answer.map_err(|status| peer.failure(&status).into())
    }

    /// One message, then nothing for ever.
    async fn stream(self, _name: String, request: Request<pb::Actor>) -> Result<Response<Actors>, Status> {
        Call::of(&request)?;
        let first = futures::stream::iter([Ok(pb::Actor::default())]);
        Ok(Response::new(Box::pin(first.chain(futures::stream::pending()))))
    }
}

/// What calls go through: one connection, or those to several instances.
pub(crate) trait Transport:
    GrpcService<Body, ResponseBody = Body, Error = tonic::transport::Error> + Send
{
}

impl<C: GrpcService<Body, ResponseBody = Body, Error = tonic::transport::Error> + Send> Transport for C {}

/// A unary call of the probe.
pub(crate) async fn invoke(channel: impl Transport, method: &str, request: Request<pb::Actor>) -> Answer {
    let path = format!("/{SERVICE}/{method}");
    invoke_path(channel, &path, request).await
}

/// A unary call of any path.
pub(crate) async fn invoke_path(channel: impl Transport, path: &str, request: Request<pb::Actor>) -> Answer {
    let mut client = tonic::client::Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    client
        .unary(
            request,
            path.parse().unwrap(),
            ProstCodec::<pb::Actor, pb::Actor>::default(),
        )
        .await
}

/// A stream of the probe.
pub(crate) async fn open(
    channel: tonic::transport::Channel,
    method: &str,
    request: Request<pb::Actor>,
) -> Result<tonic::Streaming<pb::Actor>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = format!("/{SERVICE}/{method}").parse().unwrap();
    let codec = ProstCodec::<pb::Actor, pb::Actor>::default();
    client
        .server_streaming(request, path, codec)
        .await
        .map(Response::into_inner)
}
