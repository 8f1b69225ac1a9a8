//! Traces, metrics and logs reach a collector, in the caller's trace, and the last ones are sent at the end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use api::common::v1::Role;
use api::operations::v1::GetStatusRequest;
use api::operations::v1::status_service_client::StatusServiceClient;
use futures::future::BoxFuture;
use serve::Starting;
use serve::config::{Common, IssuerSettings, LogLevel, NoSettings, Settings, TelemetrySettings};
use serve::{Claims, Context, Service, StartError, TokenIssuer, bearer};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use store::random::Random;
use store::time::Clock;
use store::{Engine, Migrations};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::service::Routes;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tower::service_fn;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

struct Bare;

impl Service for Bare {
    const NAME: &'static str = "bare";
    const PACKAGE: &'static str = "dmp.consent.v1";
    type Config = NoSettings;

    fn migrations() -> Migrations {
        Migrations::new([store::own_migrations()])
    }

    fn start_on(listener: TcpListener, settings: Settings<Self::Config>, clock: Clock, random: Random) -> Starting {
        Box::pin(serve::start_on::<Self>(listener, settings, clock, random))
    }

    async fn routes<DB: Engine>(_context: Context<DB>, _config: NoSettings) -> Result<Routes, StartError> {
        Ok(Routes::default())
    }
}

/// Takes whatever is exported. Each message is read as one whose first field is bytes, which is what its parts are.
macro_rules! collector {
    ($name:ident, $service:literal) => {
        #[derive(Clone)]
        struct $name(Arc<Mutex<Vec<Vec<u8>>>>);

        impl NamedService for $name {
            const NAME: &'static str = $service;
        }

        impl tower::Service<http::Request<Body>> for $name {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

            fn poll_ready(&mut self, _context: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                let kept = self.0.clone();
                let export = service_fn(move |request: Request<Vec<u8>>| {
                    kept.lock().unwrap().push(request.into_inner());
                    async { Ok::<_, Status>(Response::new(())) }
                });
                Box::pin(async move {
                    Ok(Grpc::new(ProstCodec::<(), Vec<u8>>::default())
                        .unary(export, request)
                        .await)
                })
            }
        }
    };
}
collector!(Traces, "opentelemetry.proto.collector.trace.v1.TraceService");
collector!(Metrics, "opentelemetry.proto.collector.metrics.v1.MetricsService");
collector!(Logs, "opentelemetry.proto.collector.logs.v1.LogsService");

/// design.md §12, telemetry; W3C Trace Context: a span of ours is a child of the caller's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_metrics_and_lines_reach_the_collector() {
    let (traces, metrics, logs) = (Traces(Arc::default()), Metrics(Arc::default()), Logs(Arc::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let collector = Server::builder()
        .add_service(traces.clone())
        .add_service(metrics.clone())
        .add_service(logs.clone());
    tokio::spawn(collector.serve_with_incoming(incoming));

    let otlp = Some(format!("http://{address}"));
    let telemetry = serve::telemetry::init(
        &TelemetrySettings {
            otlp,
            level: LogLevel::Debug,
            ..TelemetrySettings::default()
        },
        "bare",
    )
    .unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let mut settings = Settings::<NoSettings> {
        common: Common::default(),
        service: NoSettings {},
    };
    settings.common.database.url = format!("sqlite://{}/bare.db", folder.path().display()).into();
    let key = TokenIssuer::generate_key(&Random::system()).unwrap();
    let issuer = TokenIssuer::new("https://people.test", "dmp", key.as_bytes()).unwrap();
    settings.common.issuers = vec![IssuerSettings {
        issuer: issuer.issuer().to_owned(),
        audience: "dmp".to_owned(),
        jwks: Some(issuer.jwks()),
        roles: vec!["ADMINISTRATOR".to_owned()],
        ..IssuerSettings::default()
    }];
    let running = serve::start::<Bare>(settings, Clock::system(), Random::system())
        .await
        .unwrap();

    let channel = Endpoint::from_shared(running.url()).unwrap().connect_lazy();
    let mut health = HealthClient::new(channel.clone());
    let mut request = Request::new(HealthCheckRequest::default());
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    request
        .metadata_mut()
        .insert("traceparent", traceparent.parse().unwrap());
    health.check(request).await.unwrap();
    let claims = Claims::new("operator", Role::Administrator);
    let token = issuer.mint(&claims, Duration::from_secs(60), &Clock::system()).unwrap();
    let mut request = Request::new(GetStatusRequest {});
    request.metadata_mut().insert("authorization", bearer(&token).unwrap());
    let mut status = StatusServiceClient::new(channel);
    status.get_status(request).await.unwrap();
    drop((health, status));
    running.stop().await;
    tokio::task::spawn_blocking(move || drop(telemetry)).await.unwrap();

    let trace: Vec<u8> = (0..TRACE.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&TRACE[at..at + 2], 16).unwrap())
        .collect();
    assert!(holds(&traces.0, &trace), "a span of the caller's trace");
    assert!(
        holds(&traces.0, b"grpc.health.v1.Health/Check"),
        "named after its method"
    );
    for stored in ["store.read", "SELECT version FROM _sqlx_migrations"] {
        assert!(holds(&traces.0, stored.as_bytes()), "a trace goes down to {stored}");
    }
    for metric in ["rpc.server.call.duration", "db.client.connection.wait_time"] {
        assert!(holds(&metrics.0, metric.as_bytes()), "{metric}");
    }
    assert!(holds(&logs.0, b"serving"), "a line");
    let said_in_the_call = logs.0.lock().unwrap().iter().any(|batch| {
        let ended = find(batch, b"call ended").is_some();
        ended && find(batch, &trace).is_some()
    });
    assert!(said_in_the_call, "a line knows the trace in which it was said");
}

fn holds(exported: &Mutex<Vec<Vec<u8>>>, wanted: &[u8]) -> bool {
    let exported = exported.lock().unwrap();
    exported.iter().any(|message| find(message, wanted).is_some())
}

fn find(message: &[u8], wanted: &[u8]) -> Option<usize> {
    message.windows(wanted.len()).position(|window| window == wanted)
}
