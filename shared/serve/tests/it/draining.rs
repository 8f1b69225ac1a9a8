//! How a process ends: soon, and without losing what it has begun.

use api::common::v1::Reason;
use futures::StreamExt;
use serve::config::Limits;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;

use crate::probe::{invoke, open};
use crate::suite::{Suite, refusal};

/// Far above what any of these tests needs, and far below the drain limit where that must not be waited for.
const SOON: Duration = Duration::from_secs(20);
const LONG_DRAIN_MS: u64 = 600_000;

/// reliability.md §5.10: a peer that never says that it speaks HTTP/2 would hold hyper up for an hour.
#[tokio::test]
async fn a_silent_peer_delays_nothing() {
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            drain_ms: LONG_DRAIN_MS,
            ..Limits::default()
        })
        .await;
    let silent = TcpStream::connect(process.running.address).await.unwrap();
    // Accepted in order: once this call is answered, the silent connection is inside too.
    invoke(process.channel(), "WhoAmI", suite.request()).await.unwrap();
    timeout(SOON, process.running.stop())
        .await
        .expect("a silent peer must not delay the end");
    drop(silent);
}

/// What has begun completes; what comes later finds no one.
#[tokio::test]
async fn calls_in_flight_complete() {
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            drain_ms: LONG_DRAIN_MS,
            ..Limits::default()
        })
        .await;
    let (channel, request) = (process.channel(), suite.request());
    let held = tokio::spawn(async move { invoke(channel, "Hold", request).await });
    process.gate.entered.acquire().await.unwrap().forget();

    let mut watch = open(process.channel(), "WatchNothing", suite.request()).await.unwrap();
    assert!(watch.next().await.unwrap().is_ok());
    process.running.shutdown();
    let status = watch.next().await.unwrap().unwrap_err();
    assert_eq!(
        refusal(&status),
        (Code::Unavailable, Reason::Draining),
        "a watch ends and says why"
    );
    assert_eq!(
        process.gate.stopped.available_permits(),
        0,
        "background work outlives the calls"
    );

    process.gate.release.add_permits(1);
    assert!(held.await.unwrap().is_ok());
    let address = process.running.address;
    timeout(SOON, process.running.finished())
        .await
        .expect("nothing is left to wait for");
    assert_eq!(process.gate.stopped.available_permits(), 1);
    assert!(TcpStream::connect(address).await.is_err(), "the port is free");
}

/// What does not end in its time is cut.
#[tokio::test]
async fn the_drain_limit_holds() {
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            drain_ms: 50,
            ..Limits::default()
        })
        .await;
    let (channel, request) = (process.channel(), suite.request());
    let held = tokio::spawn(async move { invoke(channel, "Hold", request).await });
    process.gate.entered.acquire().await.unwrap().forget();
    timeout(SOON, process.running.stop())
        .await
        .expect("the limit must end it");
    let held = timeout(SOON, held).await.expect("cut, long before its deadline");
    assert!(held.unwrap().is_err());
}

/// A connection that stays silent is closed also when nobody stops.
#[tokio::test]
async fn a_connection_may_not_be_silent_for_long() {
    use tokio::io::AsyncReadExt;
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            preface_timeout_ms: 30,
            ..Limits::default()
        })
        .await;
    let mut silent = TcpStream::connect(process.running.address).await.unwrap();
    let mut heard = Vec::new();
    // hyper may greet with its SETTINGS; then the end comes, as an end or as a reset.
    let _ended = timeout(SOON, silent.read_to_end(&mut heard))
        .await
        .expect("the server must close it");
    assert!(invoke(process.channel(), "WhoAmI", suite.request()).await.is_ok());
}

/// At the cap a further connection waits for its turn; it is not refused, and the process does not spin.
#[tokio::test]
async fn connections_past_the_cap_wait_for_their_turn() {
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            connections: 1,
            ..Limits::default()
        })
        .await;
    let first = process.channel();
    assert!(invoke(first.clone(), "WhoAmI", suite.request()).await.is_ok());
    let (second, request) = (process.channel(), suite.request());
    let second = tokio::spawn(async move { invoke(second, "WhoAmI", request).await });
    assert!(invoke(first.clone(), "WhoAmI", suite.request()).await.is_ok());
    assert!(!second.is_finished());
    drop(first);
    assert!(timeout(SOON, second).await.expect("its turn comes").unwrap().is_ok());
}
