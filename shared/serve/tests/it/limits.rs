//! What happens at each limit: a clear refusal for the one too many, nothing for the others.

use api::common::v1::{Actor, Reason};
use bytes::Bytes;
use futures::StreamExt;
use serve::config::Limits;
use serve::{Failure, MESSAGE_BYTES_MAX};
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::{Code, Request, Status};

use crate::probe::{SERVICE, invoke, open};
use crate::suite::{Process, Suite, detail, refusal};

fn limits() -> Limits {
    Limits::default()
}

/// stack.md §4.1: tonic alone would say CANCELLED, or nothing.
#[tokio::test]
async fn a_call_that_names_no_deadline_has_one() {
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            deadline_default_ms: 40,
            ..limits()
        })
        .await;
    let status = invoke(process.channel(), "Hold", suite.request()).await.unwrap_err();
    assert_eq!(refusal(&status), (Code::DeadlineExceeded, Reason::DeadlineExceeded));
}

/// The operator's cap holds whatever the caller asks for.
#[tokio::test]
async fn a_long_deadline_is_capped() {
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            deadline_default_ms: 40,
            deadline_max_ms: 40,
            ..limits()
        })
        .await;
    let mut request = suite.request();
    request.metadata_mut().insert("grpc-timeout", "1H".parse().unwrap());
    let status = invoke(process.channel(), "Hold", request).await.unwrap_err();
    assert_eq!(refusal(&status), (Code::DeadlineExceeded, Reason::DeadlineExceeded));
}

/// gRPC over HTTP/2: the caller's `grpc-timeout` ends the call, and the answer says why. tonic's client would cut in
/// by itself, so this one speaks HTTP/2 directly.
#[tokio::test]
async fn the_callers_own_deadline_is_answered_with_its_reason() {
    let suite = Suite::new();
    let process = suite.start().await;
    let stream = TcpStream::connect(process.running.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let token = suite.token(&suite.professional());
    let request = http::Request::post(format!("{}/{SERVICE}/Hold", process.running.url()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {token}"))
        .header("grpc-timeout", "60m")
        .body(())
        .unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
    let head = response.await.unwrap();
    let status = Status::from_header_map(head.headers()).unwrap();
    assert_eq!(refusal(&status), (Code::DeadlineExceeded, Reason::DeadlineExceeded));
}

/// A stream that has begun to answer ends at the deadline too.
#[tokio::test]
async fn a_deadline_ends_a_stream() {
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            deadline_default_ms: 60,
            ..limits()
        })
        .await;
    let mut stream = open(process.channel(), "Drip", suite.request()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    let status = stream.next().await.unwrap().unwrap_err();
    assert_eq!(refusal(&status), (Code::DeadlineExceeded, Reason::DeadlineExceeded));
}

/// error.proto, OVERLOADED: the one too many is told so and when to come back; the others complete.
#[tokio::test]
async fn overload_refuses_the_newest_and_serves_the_others() {
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            calls: 1,
            waiting: 1,
            ..limits()
        })
        .await;
    let hold = |request: Request<Actor>| {
        let channel = process.channel();
        tokio::spawn(async move { invoke(channel, "Hold", request).await })
    };
    let first = hold(suite.request());
    process.gate.entered.acquire().await.unwrap().forget();
    // Two more: one waits, one is refused; which of them is the scheduler's choice.
    let (second, third) = (hold(suite.request()), hold(suite.request()));
    let (refused, waiting) = match futures::future::select(second, third).await {
        futures::future::Either::Left((refused, waiting)) => (refused, waiting),
        futures::future::Either::Right((refused, waiting)) => (refused, waiting),
    };
    let status = refused.unwrap().unwrap_err();
    assert_eq!(refusal(&status), (Code::ResourceExhausted, Reason::Overloaded));
    assert_eq!(detail(&status, "limit"), "1");
    assert!(
        Failure::of_ours(&status).unwrap().retry_after.is_some(),
        "RetryInfo says when to come back"
    );

    process.gate.release.add_permits(2);
    assert!(first.await.unwrap().is_ok());
    assert!(waiting.await.unwrap().is_ok());
    assert!(health_answers(&process).await);
}

/// error.proto, OVERLOADED: whoever would begin too late to be answered in time is refused while there is time to go
/// elsewhere, and does not run into its deadline.
#[tokio::test]
async fn who_has_waited_a_quarter_of_its_time_is_refused() {
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            calls: 1,
            waiting: 1,
            ..limits()
        })
        .await;
    let (channel, request) = (process.channel(), suite.request());
    let first = tokio::spawn(async move { invoke(channel, "Hold", request).await });
    process.gate.entered.acquire().await.unwrap().forget();
    let mut second = suite.request();
    second.set_timeout(Duration::from_secs(2));
    let status = invoke(process.channel(), "Hold", second).await.unwrap_err();
    assert_eq!(refusal(&status), (Code::ResourceExhausted, Reason::Overloaded));
    process.gate.release.add_permits(1);
    assert!(first.await.unwrap().is_ok());
}

async fn health_answers(process: &Process) -> bool {
    let mut health = tonic_health::pb::health_client::HealthClient::new(process.channel());
    health
        .check(tonic_health::pb::HealthCheckRequest::default())
        .await
        .is_ok()
}

/// Watches have their own share, so that many readers never keep a call out.
#[tokio::test]
async fn watches_do_not_take_the_places_of_calls() {
    let suite = Suite::new();
    let process = suite
        .start_with(Limits {
            calls: 1,
            waiting: 0,
            watches: 1,
            ..limits()
        })
        .await;
    let watch = open(process.channel(), "WatchNothing", suite.request()).await.unwrap();
    let status = open(process.channel(), "WatchNothing", suite.request())
        .await
        .unwrap_err();
    assert_eq!(refusal(&status), (Code::ResourceExhausted, Reason::Overloaded));
    assert!(invoke(process.channel(), "WhoAmI", suite.request()).await.is_ok());
    drop(watch);
}

/// error.proto, TOO_LARGE.
#[tokio::test]
async fn a_message_that_is_too_large_is_refused_with_the_limit() {
    let suite = Suite::new();
    let process = suite.start().await;
    let mut request = suite.request();
    request.get_mut().subject = "x".repeat(MESSAGE_BYTES_MAX);
    let status = invoke(process.channel(), "WhoAmI", request).await.unwrap_err();
    assert_eq!(refusal(&status), (Code::ResourceExhausted, Reason::TooLarge));
    assert_eq!(detail(&status, "limit"), MESSAGE_BYTES_MAX.to_string());
}

/// A defect costs its own call, carries the trace id and nothing of its cause.
#[tokio::test]
async fn a_panic_or_a_broken_row_is_one_internal_error() {
    let suite = Suite::new();
    let process = suite.start().await;
    for method in ["Panic", "Break"] {
        let mut request = suite.request();
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        request
            .metadata_mut()
            .insert("traceparent", traceparent.parse().unwrap());
        let status = invoke(process.channel(), method, request).await.unwrap_err();
        assert_eq!(refusal(&status), (Code::Internal, Reason::Internal), "{method}");
        let failure = Failure::of_ours(&status).unwrap();
        let metadata: Vec<_> = failure
            .metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(metadata, [("trace_id", "0af7651916cd43dd8448eb211c80319c")]);
        assert!(!status.message().contains("column") && !status.message().contains("269"));
    }
    assert!(invoke(process.channel(), "WhoAmI", suite.request()).await.is_ok());
}

/// reliability.md §5.1: a peer that sends only broken requests is sent away, not served for ever.
#[tokio::test]
async fn a_flood_of_broken_requests_ends_its_connection() {
    let suite = Suite::new();
    let process = suite.start().await;
    let stream = TcpStream::connect(process.running.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..10_000 {
        let Ok(ready) = client.ready().await else { break };
        client = ready;
        // Content that does not have the length that it announces is a stream error (RFC 9113 §8.1.1).
        let request = http::Request::post(process.running.url())
            .header("content-length", "1")
            .body(())
            .unwrap();
        let Ok((response, mut body)) = client.send_request(request, false) else {
            break;
        };
        let _refused = body.send_data(Bytes::new(), true);
        let _reset = response.await;
    }
    let ended = connection.await.unwrap().expect_err("the server must end it");
    assert!(ended.is_go_away(), "{ended}");
    assert!(
        invoke(process.channel(), "WhoAmI", suite.request()).await.is_ok(),
        "others are still served"
    );
}
