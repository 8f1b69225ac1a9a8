//! What an operator is told of a process, and who is.

use api::common::v1::{Reason, Role};
use api::operations::v1::status_service_client::StatusServiceClient;
use api::operations::v1::{GetStatusRequest, Status};
use serve::Claims;
use serve::config::Limits;
use std::time::Duration;
use tonic::{Code, Request};

use crate::probe::invoke;
use crate::suite::{Process, Suite, refusal};

fn request(token: &str) -> Request<GetStatusRequest> {
    let mut request = Request::new(GetStatusRequest {});
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

async fn ask(process: &Process, token: &str) -> Result<Status, tonic::Status> {
    let mut client = StatusServiceClient::new(process.channel());
    client.get_status(request(token)).await.map(tonic::Response::into_inner)
}

fn administrator(suite: &Suite) -> String {
    suite.token(&Claims::new("operator", Role::Administrator))
}

/// design.md §12: an operator sees at a glance how a process and its database are.
#[tokio::test]
async fn a_process_says_how_it_is() {
    let suite = Suite::new();
    let process = suite.start().await;
    suite.manual.advance(Duration::from_secs(90).try_into().unwrap());
    let status = ask(&process, &administrator(&suite)).await.unwrap();
    assert_eq!(
        (status.name.as_str(), status.serving, status.draining),
        ("probe", true, false)
    );
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(status.now.unwrap().seconds - status.started_at.unwrap().seconds, 90);
    assert_eq!(status.calls_in_flight, 1, "this call");
    let database = status.database.unwrap();
    assert_eq!((database.engine.as_str(), database.answers), ("SQLite", true));
    assert_eq!(database.schema_versions, [1, 2, 3], "the migrations of `store`");
    let pools: Vec<&str> = database.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(pools, ["read", "write"]);
    assert!(
        database
            .pools
            .iter()
            .all(|pool| pool.used + pool.idle <= pool.max && pool.max > 0)
    );
}

#[tokio::test]
async fn only_operators_and_services_are_told() {
    let suite = Suite::new();
    let process = suite.start().await;
    ask(&process, &suite.service_token("dossier")).await.unwrap();
    let mut holder = Claims::new("somebody", Role::Holder);
    holder.dmp_id = crate::suite::DMP_ID.to_owned();
    for claims in [holder, suite.professional()] {
        let refused = ask(&process, &suite.token(&claims)).await.unwrap_err();
        assert_eq!(refusal(&refused), (Code::PermissionDenied, Reason::RoleForbidden));
    }
    let refused = ask(&process, "nothing").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

/// When a process can take no more is when its operator asks.
#[tokio::test]
async fn a_process_at_its_limit_still_says_how_it_is() {
    let suite = Suite::new();
    let limits = Limits {
        calls: 1,
        waiting: 0,
        ..Limits::default()
    };
    let process = suite.start_with(limits).await;
    let held = tokio::spawn(invoke(process.channel(), "Hold", suite.request()));
    process.gate.entered.acquire().await.unwrap().forget();
    let refused = invoke(process.channel(), "WhoAmI", suite.request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let status = ask(&process, &administrator(&suite)).await.unwrap();
    assert_eq!(status.calls_in_flight, 2, "the one that is held, and this one");
    process.gate.release.add_permits(1);
    held.await.unwrap().unwrap();
}

/// A process whose database is away says so, and is not silent.
#[tokio::test]
async fn a_database_that_is_away_is_told() {
    let suite = Suite::new();
    let process = suite.start().await;
    process.gate.cut_database.get().unwrap()().await;
    let status = ask(&process, &administrator(&suite)).await.unwrap();
    assert!(!status.serving);
    let database = status.database.unwrap();
    assert!(!database.answers && database.answered_in.is_none());
    assert_eq!(
        database.pools.len(),
        2,
        "what the process knows itself is told all the same"
    );
}
