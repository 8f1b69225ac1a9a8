//! The services apart over mutual TLS, and the commands that bring them up.

use api::identifier::v1 as pb;
use api::identifier::v1::host_service_client::HostServiceClient;
use dmp::health::{self, HealthError};
use dmp::home::Home;
use journeys::CONSULTATION;
use serve::config::Common;
use store::time::Clock;
use testkit::actor;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Answer;
use tonic_health::pb::health_client::HealthClient;

use crate::apart::Apart;
use crate::authority::Authority;

/// The suite as it is deployed: whoever comes with a token and the authority's certificate is served, and services take
/// each other for who they are.
#[tokio::test]
async fn over_mutual_tls_a_document_is_deposited_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let apart = Apart::start_secure(folder.path(), &Authority::new(folder.path())).await;
    let (dmp_id, _) = apart.clients.open_dossier().await;
    apart.clients.authorize(&dmp_id, actor::PHYSICIAN).await;
    let physician = actor::physician(actor::PHYSICIAN);
    let submitted = apart.clients.submit(&physician, &dmp_id, CONSULTATION).await.unwrap();
    let unique_id = submitted.document.unwrap().unique_id;
    let (content, _) = apart.clients.read(&physician, &dmp_id, &unique_id).await.unwrap();
    assert_eq!(content, CONSULTATION);
}

/// What the containers' health checks ask: 0 only from the very service, and only while it serves.
#[tokio::test]
async fn health_is_of_the_very_service_and_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut apart = Apart::start_secure(folder.path(), &Authority::new(folder.path())).await;
    serving(&Home::existing(folder.path()).unwrap()).await;
    let healthy = apart.health("consent", "consent");
    assert!(healthy.status.success() && healthy.stderr.is_empty(), "{healthy:?}");

    // The same settings under another service's name: whoever answers there is not that service.
    let file = |name: &str| folder.path().join(format!("{name}.toml"));
    let listen = |name: &str| {
        let text = std::fs::read_to_string(file(name)).unwrap();
        text.lines().find(|line| line.starts_with("listen")).unwrap().to_owned()
    };
    let text = std::fs::read_to_string(file("identifier")).unwrap();
    let misled = text.replace(&listen("identifier"), &listen("consent"));
    std::fs::write(file("misled"), misled).unwrap();
    let said = refused(apart.health("identifier", "misled"));
    assert!(said.contains("spiffe://dmp.test/identifier"), "{said}");

    apart.stop("consent");
    let said = refused(apart.health("consent", "consent"));
    assert!(said.contains("does not answer for consent"), "{said}");
}

/// Waits until the consent service's health says that it serves.
async fn serving(home: &Home) {
    let channels = home.read_endpoints().unwrap().channels(&Clock::system()).unwrap();
    let mut client = HealthClient::new(channels.consent);
    let watched = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watched = watched.into_inner();
    while watched.message().await.unwrap().unwrap().status() != Answer::Serving {}
}

/// One line, and no success.
fn refused(output: std::process::Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// A service that is there and does not serve, as while it stops, is not healthy.
#[tokio::test]
async fn a_service_that_does_not_serve_is_not_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let common = Common {
        listen: listener.local_addr().unwrap(),
        ..Common::default()
    };
    let (reporter, service) = tonic_health::server::health_reporter();
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    reporter.set_service_status("", ServingStatus::Serving).await;
    health::check("consent", &common, &Clock::system()).await.unwrap();
    reporter.set_service_status("", ServingStatus::NotServing).await;
    let error = health::check("consent", &common, &Clock::system()).await.unwrap_err();
    assert!(matches!(error, HealthError::NotServing { .. }), "{error}");
}

/// L1111-8: registering the host at every start never undoes what an authority decided about it.
#[tokio::test]
async fn a_host_is_registered_once_and_a_suspension_stays() {
    let folder = tempfile::tempdir().unwrap();
    let apart = Apart::start(folder.path(), Default::default()).await;
    let host_id = std::fs::read_to_string(folder.path().join("host_id")).unwrap();
    assert_eq!(apart.register_host(), host_id);
    let endpoints = Home::existing(folder.path()).unwrap().read_endpoints().unwrap();
    let mut hosts = HostServiceClient::new(endpoints.channels(&Clock::system()).unwrap().identifier);
    let suspension = pb::SuspendAccreditationRequest {
        request_id: apart.clients.request_id(),
        host_id: host_id.trim().to_owned(),
    };
    let suspension = apart.clients.request(&actor::administrator(), suspension);
    hosts.suspend_accreditation(suspension).await.unwrap();
    assert_eq!(apart.register_host(), host_id);
    let listing = apart
        .clients
        .request(&actor::administrator(), pb::ListHostsRequest::default());
    let listed = hosts.list_hosts(listing).await.unwrap().into_inner().hosts;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].accreditations.len(), 1);
    assert!(listed[0].suspended_at.is_some() && listed[0].accredited_now.is_empty());
}

/// `dmp load` as an operator runs it: over mutual TLS, in two processes, looking at a service's memory; nothing fails, and
/// what was acknowledged is found again.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_borne_over_mutual_tls_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let apart = Apart::start_secure(folder.path(), &Authority::new(folder.path())).await;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let scenario = "deadline_ms = 60000\nwatchers = 1\n[population]\nbeneficiaries = 6\ndossiers = 2\ndocuments = 1\n\
                    physicians = 2\n[[documents]]\nbytes = 20000\nweight = 1\n[[phases]]\nseconds = 1\nrate = 40\n";
    std::fs::write(file("scenario.toml"), scenario).unwrap();
    let pid = format!("consent={}", apart.pid("consent"));
    let ran = apart.dmp(&[
        "load",
        "run",
        &file("scenario.toml"),
        "--processes",
        "2",
        "--ledger",
        &file("ledger"),
        "--pid",
        &pid,
        "--html",
        &file("report.html"),
    ]);
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(
        said.contains(", TLS;") && said.contains("2 client process(es)") && said.contains("consent: "),
        "{said}"
    );
    assert!(!said.contains("tries that did not succeed"), "{said}");
    let page = std::fs::read_to_string(file("report.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 6);
    let checked = apart.dmp(&["load", "check", "--ledger", &file("ledger")]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && said.contains("lost: 0"), "{said}");
}
