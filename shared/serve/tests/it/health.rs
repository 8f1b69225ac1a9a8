//! Health tells the truth, and reflection shows what is served and no more.

use futures::StreamExt;
use serve::config::Limits;
use tonic::Streaming;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::probe::SERVICE;
use crate::suite::{Process, Suite};

async fn watch(process: &Process, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    HealthClient::new(process.channel())
        .watch(request)
        .await
        .unwrap()
        .into_inner()
}

async fn until(stream: &mut Streaming<HealthCheckResponse>, wanted: ServingStatus) {
    while stream
        .next()
        .await
        .expect("the stream goes on until then")
        .unwrap()
        .status()
        != wanted
    {}
}

fn quick() -> Limits {
    Limits {
        health_interval_ms: 10,
        ..Limits::default()
    }
}

/// design.md §12: health is tied to the database.
#[tokio::test]
async fn health_follows_the_database() {
    let suite = Suite::new();
    let process = suite.start_with(quick()).await;
    for name in ["", SERVICE] {
        until(&mut watch(&process, name).await, ServingStatus::Serving).await;
    }
    let mut watched = watch(&process, SERVICE).await;
    process.gate.cut_database.get().unwrap()().await;
    until(&mut watched, ServingStatus::NotServing).await;
    until(&mut watch(&process, "").await, ServingStatus::NotServing).await;
}

/// design.md §12: health is tied to draining, and says so before connections close.
#[tokio::test]
async fn health_follows_draining() {
    let suite = Suite::new();
    let process = suite.start_with(quick()).await;
    let mut watched = watch(&process, "").await;
    until(&mut watched, ServingStatus::Serving).await;
    process.running.shutdown();
    until(&mut watched, ServingStatus::NotServing).await;
    process.running.finished().await;
}

/// stack.md §4.5: both versions are asked for, v1alpha by most of today's tools.
#[tokio::test]
async fn reflection_lists_what_is_served_and_nothing_else() {
    let suite = Suite::new();
    let process = suite.start().await;
    let own = |reflection: &str| {
        let operators = "dmp.operations.v1.StatusService";
        let mut services = [SERVICE, "grpc.health.v1.Health", operators, reflection].map(str::to_owned);
        services.sort();
        services
    };
    assert_eq!(listed_v1(&process).await, own("grpc.reflection.v1.ServerReflection"));
    assert_eq!(
        listed_v1alpha(&process).await,
        own("grpc.reflection.v1alpha.ServerReflection")
    );
    assert!(
        found_v1(&process, "dmp.common.v1.Actor").await,
        "what the contract imports can be looked up"
    );
    assert!(
        !found_v1(&process, "dmp.consent.v1.ConsentService").await,
        "what others serve cannot"
    );
}

/// Off unless the operator says otherwise.
#[tokio::test]
async fn reflection_can_be_off() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    let suite = Suite::new();
    let (mut settings, gate) = suite.settings(Limits::default(), std::collections::BTreeMap::new());
    settings.common.reflection = false;
    let process = suite.start_settings((settings, gate)).await;
    let request = futures::stream::iter([ServerReflectionRequest::default()]);
    let status = ServerReflectionClient::new(process.channel())
        .server_reflection_info(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}

macro_rules! reflection_client {
    ($version:ident, $ask:ident, $listed:ident) => {
        async fn $ask(
            process: &Process,
            question: tonic_reflection::pb::$version::server_reflection_request::MessageRequest,
        ) -> tonic_reflection::pb::$version::server_reflection_response::MessageResponse {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(question),
            };
            let requests = futures::stream::iter([request]);
            let mut answers = ServerReflectionClient::new(process.channel())
                .server_reflection_info(requests)
                .await
                .unwrap();
            answers
                .get_mut()
                .next()
                .await
                .unwrap()
                .unwrap()
                .message_response
                .unwrap()
        }

        async fn $listed(process: &Process) -> Vec<String> {
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            let answer = $ask(process, MessageRequest::ListServices(String::new())).await;
            let MessageResponse::ListServicesResponse(list) = answer else {
                panic!("another answer")
            };
            let mut names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
            names.sort();
            names
        }
    };
}
reflection_client!(v1, ask_v1, listed_v1);
reflection_client!(v1alpha, ask_v1alpha, listed_v1alpha);

async fn found_v1(process: &Process, symbol: &str) -> bool {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    let question = Some(MessageRequest::FileContainingSymbol(symbol.to_owned()));
    let request = futures::stream::iter([ServerReflectionRequest {
        host: String::new(),
        message_request: question,
    }]);
    let answers = ServerReflectionClient::new(process.channel())
        .server_reflection_info(request)
        .await;
    matches!(answers.unwrap().get_mut().next().await, Some(Ok(_)))
}
