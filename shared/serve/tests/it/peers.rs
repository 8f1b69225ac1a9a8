//! What a service hands on to another, and what it makes of the other's answer.

use api::common::v1::{Actor, Reason, Role};
use serve::config::Limits;
use serve::{Failure, ON_BEHALF_OF};
use std::time::Duration;
use tonic::{Code, Request, Status};

use crate::probe::{invoke, invoke_path};
use crate::suite::{SUBJECT, Suite, detail, refusal, with_token};

fn forward(suite: &Suite, method: &str) -> Request<Actor> {
    let mut request = suite.request();
    request.get_mut().subject = method.to_owned();
    request
}

/// design.md §2 and §5; W3C Trace Context; reliability.md §5.11.
#[tokio::test]
async fn actor_deadline_and_trace_cross_to_a_peer() {
    for suite in Suite::of_both_kinds() {
        let other = suite.start().await;
        let front = suite.start_before(&other.running.url()).await;
        let mut request = forward(&suite, "WhoAmI");
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        request
            .metadata_mut()
            .insert("traceparent", traceparent.parse().unwrap());
        request.metadata_mut().insert("tracestate", "vendor=1".parse().unwrap());
        request.set_timeout(Duration::from_secs(20));
        let actor = invoke(front.channel(), "Forward", request).await.unwrap().into_inner();
        assert_eq!((actor.role(), actor.subject.as_str()), (Role::Professional, SUBJECT));
        assert_eq!(actor.via_service, "probe", "the peer knows through whom");

        let seen = other.gate.seen.lock().unwrap().clone().unwrap();
        assert_eq!(seen.trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert!(
            seen.remaining() < Duration::from_secs(20),
            "the peer has what is left and no more"
        );
    }
}

/// A refusal of the peer is the caller's, unless it says that the peer could not answer.
#[tokio::test]
async fn refusals_pass_through_and_silence_becomes_unavailable() {
    for suite in Suite::of_both_kinds() {
        let other = suite.start().await;
        let front = suite.start_before(&other.running.url()).await;

        let refused = invoke(front.channel(), "Forward", forward(&suite, "Administer"))
            .await
            .unwrap_err();
        assert_eq!(refusal(&refused), (Code::PermissionDenied, Reason::RoleForbidden));
        assert_eq!(detail(&refused, "method"), "dmp.test.v1.ProbeService/Administer");

        let unknown = invoke(front.channel(), "Forward", forward(&suite, "Nothing"))
            .await
            .unwrap_err();
        assert_eq!(refusal(&unknown), (Code::Unavailable, Reason::PeerUnavailable));

        other.running.stop().await;
        let away = invoke(front.channel(), "Forward", forward(&suite, "WhoAmI"))
            .await
            .unwrap_err();
        assert_eq!(refusal(&away), (Code::Unavailable, Reason::PeerUnavailable));
        assert_eq!(detail(&away, "service"), "other");
        assert!(Failure::of_ours(&away).unwrap().retry_after.is_some());
    }
}

/// The caller's deadline, passed while waiting for a peer, is a deadline and not a missing peer.
#[tokio::test]
async fn a_deadline_that_passes_at_the_peer_stays_a_deadline() {
    let status = Status::cancelled("Timeout expired");
    assert_eq!(
        Failure::from_status("consent", &status).reason,
        Reason::DeadlineExceeded
    );
    let foreign = Status::unauthenticated("who are you");
    assert_eq!(
        Failure::from_status("consent", &foreign).reason,
        Reason::PeerUnavailable
    );
    // Our own token refused by a peer is the operator's to mend; our caller did nothing wrong.
    let ours: Status = Failure::token_invalid("UNKNOWN_KEY").into();
    let passed = Failure::from_status("consent", &ours);
    assert_eq!(
        (passed.reason, passed.metadata["cause"].as_str()),
        (Reason::PeerUnavailable, "TOKEN_INVALID")
    );
}

/// A forged `dmp-on-behalf-of` does not survive a hop: the service replaces it by its caller's own token.
#[tokio::test]
async fn only_the_callers_own_token_is_handed_on() {
    for suite in Suite::of_both_kinds() {
        let other = suite.start().await;
        let front = suite.start_before(&other.running.url()).await;
        let mut request = forward(&suite, "WhoAmI");
        let stolen = suite.token(&serve::Claims::new("cnam", Role::Administrator));
        request.metadata_mut().insert(ON_BEHALF_OF, stolen.parse().unwrap());
        let status = invoke(front.channel(), "Forward", request).await.unwrap_err();
        assert_eq!(detail(&status, "detail"), "ON_BEHALF_WITHOUT_SERVICE");
    }
}

/// A service's own tokens are renewed before they expire.
#[tokio::test]
async fn service_tokens_are_renewed_in_time() {
    let suite = Suite::new();
    let other = suite.start().await;
    let front = suite.start_before(&other.running.url()).await;
    for _ in 0..4 {
        let request = forward(&suite, "WhoAmI");
        assert!(invoke(front.channel(), "Forward", request).await.is_ok());
        suite.manual.advance(jiff::SignedDuration::from_secs(150));
    }
    let expired = with_token(&suite.service_token("probe"));
    suite.manual.advance(jiff::SignedDuration::from_secs(400));
    assert!(
        invoke_path(front.channel(), "/dmp.test.v1.ProbeService/WhoAmI", expired)
            .await
            .is_err()
    );
}

/// Several instances of a peer share the calls, and one that goes away takes none with it for long.
#[tokio::test]
async fn instances_of_a_peer_are_called_in_turn_and_left_out_when_away() {
    for suite in Suite::of_both_kinds() {
        let (one, two) = (suite.start().await, suite.start().await);
        let addresses = format!("{}, {}", one.running.url(), two.running.url());
        let front = suite.start_before(&addresses).await;
        let who_am_i = || invoke(front.channel(), "Forward", forward(&suite, "WhoAmI"));
        for _ in 0..2 {
            who_am_i().await.unwrap();
        }
        assert!(one.gate.seen.lock().unwrap().is_some() && two.gate.seen.lock().unwrap().is_some());

        one.running.stop().await;
        let mut answers = Vec::new();
        for _ in 0..10 {
            answers.push(who_am_i().await);
        }
        let lost: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(lost.len() <= 1, "{lost:?}");
        for status in lost {
            assert_eq!(refusal(status), (Code::Unavailable, Reason::PeerUnavailable));
        }
    }
}

/// gRPC's in-process transport: the callee has no connection left to give, and is called all the same; a stranger is not.
#[tokio::test]
async fn a_service_of_the_same_process_is_called_without_a_connection() {
    let suite = Suite::of_one_process();
    let other = suite
        .start_with(Limits {
            connections: 1,
            ..Limits::default()
        })
        .await;
    // Holds the only one.
    let channel = other.channel();
    invoke(channel.clone(), "WhoAmI", suite.request()).await.unwrap();
    let front = suite.start_before(&other.running.url()).await;
    let answer = invoke(front.channel(), "Forward", forward(&suite, "WhoAmI")).await;
    assert_eq!(answer.unwrap().into_inner().via_service, "probe");
    drop(channel);
}

/// What another service of the process has been asked, it answers before it ends.
#[tokio::test]
async fn calls_within_a_process_complete_before_it_ends() {
    let suite = Suite::of_one_process();
    let other = suite.start().await;
    let front = suite.start_before(&other.running.url()).await;
    let (channel, request) = (front.channel(), forward(&suite, "Hold"));
    let held = tokio::spawn(async move { invoke(channel, "Forward", request).await });
    other.gate.entered.acquire().await.unwrap().forget();
    other.running.shutdown();
    // From now on it is called over the network, where it is not any more.
    while invoke(front.channel(), "Forward", forward(&suite, "WhoAmI"))
        .await
        .is_ok()
    {}
    assert_eq!(
        other.gate.stopped.available_permits(),
        0,
        "background work outlives the calls"
    );
    other.gate.release.add_permits(1);
    assert!(held.await.unwrap().is_ok());
    other.running.finished().await;
    assert_eq!(other.gate.stopped.available_permits(), 1);
}
