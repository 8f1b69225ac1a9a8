//! First figures: `Authorize` and a journaled reading of a document, as ratios to a bare tonic unary call in the same run.
//!
//! `cargo run --release -p journeys --example ratios` starts the suite on SQLite in this process, with every guarantee
//! on, and lets 64 callers call each of the three in turn, round after round, so that a noisy machine disturbs all alike.
//! The floor answers a health check: no token, no database, no journal. Client and servers share the processors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be taken fails by panicking"
)]

use api::consent::v1 as consent;
use api::consent::v1::access_service_client::AccessServiceClient;
use journeys::{CONSULTATION, Stage};
use std::future::Future;
use std::time::{Duration, Instant};
use testkit::{Bench, Engine, actor};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const CALLERS: usize = 64;
const CONNECTIONS: usize = 4;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1500);

#[tokio::main]
async fn main() {
    let engine = if std::env::args().any(|argument| argument == "postgres") {
        Engine::Postgres
    } else {
        Engine::Sqlite
    };
    let stage = Stage::on(Bench::new(engine).expect("PostgreSQL is not on this machine")).await;
    let (dmp_id, _) = stage.open_dossier().await;
    stage.authorize(&dmp_id, actor::PHYSICIAN).await;
    let physician = actor::physician(actor::PHYSICIAN);
    let document = stage
        .submit(&physician, &dmp_id, CONSULTATION)
        .await
        .unwrap()
        .document
        .unwrap();
    let floor = channels(&bare_server().await);
    let consents = channels(&stage.suite.endpoints.consent);

    let (mut authorize, mut read) = (Vec::new(), Vec::new());
    println!(
        "calls per second, {CALLERS} callers, {engine:?}\n{:>10} {:>12} {:>12}",
        "floor", "Authorize", "ReadDocument"
    );
    for round in 0..=ROUNDS {
        let e = rate(|caller| check(floor[caller % CONNECTIONS].clone())).await;
        let a = rate(|caller| {
            let request = consent::AuthorizeRequest {
                dmp_id: dmp_id.clone(),
                operation: consent::Operation::ReadDocuments.into(),
                context: None,
            };
            decide(
                consents[caller % CONNECTIONS].clone(),
                stage.request(&physician, request),
            )
        })
        .await;
        let r = rate(|_| async { drop(stage.read(&physician, &dmp_id, &document.unique_id).await.unwrap()) }).await;
        if round > 0 {
            println!("{e:>10.0} {a:>12.0} {r:>12.0}");
            authorize.push(a / e);
            read.push(r / e);
        }
    }
    println!(
        "median ratio to the floor: Authorize {:.3}, journaled ReadDocument {:.3}",
        median(authorize),
        median(read)
    );
    stage.suite.stop().await;
}

async fn bare_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (_, health) = tonic_health::server::health_reporter();
    tokio::spawn(
        Server::builder()
            .add_service(health)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    url
}

fn channels(url: &str) -> Vec<Channel> {
    (0..CONNECTIONS)
        .map(|_| {
            Endpoint::from_shared(url.to_owned())
                .unwrap()
                .tcp_nodelay(true)
                .connect_lazy()
        })
        .collect()
}

async fn check(channel: Channel) {
    HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .unwrap();
}

async fn decide(channel: Channel, request: tonic::Request<consent::AuthorizeRequest>) {
    let decision = AccessServiceClient::new(channel)
        .authorize(request)
        .await
        .unwrap()
        .into_inner();
    assert!(matches!(decision.outcome, Some(consent::decision::Outcome::Grant(_))));
}

/// Calls per second of all callers together, each calling again as soon as it is answered.
async fn rate<F: Future<Output = ()>>(call: impl Fn(usize) -> F) -> f64 {
    let (call, begun) = (&call, Instant::now());
    let callers = (0..CALLERS).map(|caller| async move {
        let mut calls = 0_u32;
        while begun.elapsed() < ROUND {
            call(caller).await;
            calls += 1;
        }
        calls
    });
    let calls: u32 = futures::future::join_all(callers).await.into_iter().sum();
    f64::from(calls) / begun.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
