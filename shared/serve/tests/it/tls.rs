//! Who is at the other end of a connection, and what happens to whoever is somebody else.

use api::common::v1::{Actor, Reason, Role};
use futures::StreamExt;
use http::Uri;
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion};
use serve::config::{Limits, Settings, TlsSettings};
use serve::tls::{Client, TlsError};
use serve::{Claims, ON_BEHALF_OF, StartError};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::random::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tower::ServiceExt;

use crate::authority::{Authority, DOMAIN, Issued, service};
use crate::probe::{Other, Probe, ProbeConfig, invoke, open};
use crate::suite::{Process, SUBJECT, Suite, detail, refusal, with_metadata, with_token};

/// Far above what any of these tests needs, and far below the drain limit where that must not be waited for.
const SOON: Duration = Duration::from_secs(20);
const NEVER_MS: u64 = 90_000_000;

/// A suite whose processes speak TLS, and the authority that they trust.
struct Network {
    suite: Suite,
    authority: Authority,
}

impl Network {
    fn new() -> Self {
        let suite = Suite::new();
        let authority = Authority::new("the suite's");
        let network = Self { suite, authority };
        network.write("trust.pem", &network.authority.trust);
        for name in ["probe", "other"] {
            network.install(name, &network.authority.issue(&service(name)));
        }
        network
    }

    fn write(&self, file: &str, content: &str) {
        std::fs::write(self.suite.folder.path().join(file), content).unwrap();
    }

    fn install(&self, name: &str, issued: &Issued) {
        self.write(&format!("{name}.crt"), &issued.chain);
        self.write(&format!("{name}.key"), &issued.key);
    }

    fn tls(&self, name: &str) -> TlsSettings {
        let path = |file: &str| self.suite.folder.path().join(file);
        TlsSettings {
            certificate: path(&format!("{name}.crt")),
            key: path(&format!("{name}.key")),
            trust: path("trust.pem"),
            trust_domain: DOMAIN.to_owned(),
        }
    }

    /// Files are read again when a test asks for it, and silence is borne: what ends soon ends for another reason.
    fn limits(&self) -> Limits {
        Limits {
            reload_interval_ms: NEVER_MS,
            preface_timeout_ms: NEVER_MS,
            ..Limits::default()
        }
    }

    fn settings(&self, limits: Limits) -> (Settings<ProbeConfig>, Arc<crate::probe::Gate>) {
        let (mut settings, gate) = self.suite.settings(limits, BTreeMap::new());
        settings.common.tls = Some(self.tls("probe"));
        (settings, gate)
    }

    async fn start(&self) -> Process {
        self.start_with(self.limits()).await
    }

    async fn start_with(&self, limits: Limits) -> Process {
        self.suite.start_settings(self.settings(limits)).await
    }

    /// A probe whose peer `other` is at `url`.
    async fn start_before(&self, url: &str) -> Process {
        let (mut settings, gate) = self.settings(self.limits());
        settings.common.peers.insert("other".to_owned(), url.to_owned());
        self.suite.start_settings((settings, gate)).await
    }

    fn client(&self) -> Client {
        Client::new(self.authority.trust.as_bytes(), DOMAIN, self.suite.clock.clone()).unwrap()
    }

    fn client_with(&self, issued: &Issued) -> Client {
        let client = self.client();
        client
            .with_certificate(issued.chain.as_bytes(), issued.key.as_bytes())
            .unwrap()
    }

    fn service_request(&self, name: &str) -> Request<Actor> {
        with_token(&self.suite.service_token(name))
    }
}

fn channel(client: &Client, process: &Process) -> Channel {
    client.channel("probe", &process.running.url()).unwrap()
}

async fn connect(client: &Client, service: &str, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    let address: Uri = format!("https://{address}").parse().unwrap();
    let connected = timeout(SOON, client.connector(service).oneshot(address)).await;
    connected.expect("TLS stands or fails soon").map(TokioIo::into_inner)
}

/// The certificate that a process shows to whoever connects now.
async fn shown(client: &Client, process: &Process) -> Vec<u8> {
    let stream = connect(client, "probe", process.running.address).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(issued: &Issued) -> Vec<u8> {
    CertificateDer::from_pem_slice(issued.chain.as_bytes())
        .unwrap()
        .to_vec()
}

/// The certificates that a service must refuse, and the two ways in which a good one may come.
fn certificates(network: &Network, name: &str) -> Vec<(&'static str, Issued)> {
    let ours = &network.authority;
    let id = format!("spiffe://{DOMAIN}/{name}");
    vec![
        ("good", ours.issue(&service(name))),
        ("expired", ours.issue(&service(name).until((2026, 11, 22)))),
        ("not yet valid", ours.issue(&service(name).from((2026, 11, 23)))),
        (
            "another authority",
            Authority::new("somebody else's").issue(&service(name)),
        ),
        // As dishonest as can be: an authority of the same name.
        ("an impostor", Authority::new("the suite's").issue(&service(name))),
        (
            "another trust domain",
            ours.issue(&service(name).uris(&[&format!("spiffe://dmp.test.example/{name}")])),
        ),
        (
            "another service",
            ours.issue(&service(name).uris(&["spiffe://dmp.test/consent"])),
        ),
        (
            "a service below",
            ours.issue(&service(name).uris(&[&format!("{id}/x")])),
        ),
        ("a host's", ours.issue(&service(name).uris(&[]))),
        (
            "two names",
            ours.issue(&service(name).uris(&[&id, "spiffe://dmp.test/consent"])),
        ),
        ("self-signed", service(name).self_signed()),
    ]
}

/// A server that is none of ours, shows `issued`, and agrees on `alpn`.
async fn foreign_server(issued: &Issued, version: &'static SupportedProtocolVersion, alpn: &[u8]) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    // Not checked to belong together: a thief has the certificate and another key.
    let certified = rustls::sign::CertifiedKey::new(chain.collect(), key);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![alpn.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(acceptor.accept(stream).await);
        }
    });
    address
}

/// design.md §5, mutual TLS with SPIFFE-style URI SANs: a service calls nobody but the service that it wants.
#[tokio::test]
async fn a_peer_must_show_the_certificate_of_the_service_asked_for() {
    let network = Network::new();
    let client = network.client();
    let outcomes = [
        ("good", None),
        ("expired", Some("expired")),
        ("not yet valid", Some("not valid yet")),
        ("another authority", Some("UnknownIssuer")),
        ("an impostor", Some("BadSignature")),
        (
            "another trust domain",
            Some("the certificate is not that of spiffe://dmp.test/other"),
        ),
        (
            "another service",
            Some("the certificate is not that of spiffe://dmp.test/other"),
        ),
        (
            "a service below",
            Some("the certificate is not that of spiffe://dmp.test/other"),
        ),
        (
            "a host's",
            Some("the certificate is not that of spiffe://dmp.test/other"),
        ),
        (
            "two names",
            Some("the certificate is not that of spiffe://dmp.test/other"),
        ),
        ("self-signed", Some("UnknownIssuer")),
    ];
    for ((case, issued), (same, outcome)) in certificates(&network, "other").iter().zip(outcomes) {
        assert_eq!(*case, same);
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let address = foreign_server(issued, version, b"h2").await;
            let problem = connect(&client, "other", address)
                .await
                .err()
                .map(|error| error.to_string());
            match (&problem, outcome) {
                (None, None) => {}
                (Some(problem), Some(expected)) => assert!(problem.contains(expected), "{case}: {problem}"),
                _ => panic!("{case}: {problem:?} instead of {outcome:?}"),
            }
        }
    }

    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let stolen = Issued {
            key: network.authority.issue(&service("other")).key,
            ..network.authority.issue(&service("other"))
        };
        let address = foreign_server(&stolen, version, b"h2").await;
        let problem = connect(&client, "other", address).await.unwrap_err().to_string();
        assert!(problem.contains("BadSignature"), "without its key: {problem}");
    }

    let clients_only = service("other").only(ExtendedKeyUsagePurpose::ClientAuth);
    let clients_only = network.authority.issue(&clients_only);
    let address = foreign_server(&clients_only, &rustls::version::TLS13, b"h2").await;
    let problem = connect(&client, "other", address).await.unwrap_err().to_string();
    assert!(
        problem.contains("does not allow extended key usage for server authentication"),
        "{problem}"
    );

    let good = network.authority.issue(&service("other"));
    let address = foreign_server(&good, &rustls::version::TLS13, b"http/1.1").await;
    assert!(
        connect(&client, "other", address).await.is_err(),
        "HTTP/2 and nothing else"
    );
}

/// What came of a call over a new connection.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Served,
    /// UNAUTHENTICATED, with this detail.
    Refused(&'static str),
    /// No connection, with this alert.
    Closed(AlertDescription),
}

async fn outcome(client: &Client, process: &Process, request: Request<Actor>) -> Outcome {
    let answer = timeout(SOON, invoke(channel(client, process), "WhoAmI", request)).await;
    let Err(status) = answer.expect("answered or closed soon") else {
        return Outcome::Served;
    };
    if serve::Failure::of_ours(&status).is_some() {
        assert_eq!(refusal(&status), (Code::Unauthenticated, Reason::TokenInvalid));
        let known = ["CLIENT_CERTIFICATE_MISSING", "CLIENT_CERTIFICATE_OF_ANOTHER"];
        let detail = detail(&status, "detail");
        return Outcome::Refused(known.into_iter().find(|known| *known == detail).unwrap());
    }
    // In TLS 1.3 a client has finished before the server looks at its certificate: the alert is what it reads.
    let stream = connect(client, "probe", process.running.address).await;
    let error = match stream {
        Ok(mut stream) => stream.read_u8().await.unwrap_err(),
        Err(error) => error,
    };
    let error = error.into_inner().unwrap().downcast::<rustls::Error>().unwrap();
    match *error {
        rustls::Error::AlertReceived(alert) => Outcome::Closed(alert),
        other => panic!("no alert: {other}"),
    }
}

/// design.md §5: a service's token counts only together with that service's certificate.
#[tokio::test]
async fn a_services_token_needs_that_services_certificate() {
    use Outcome::{Closed, Refused, Served};
    let network = Network::new();
    let process = network.start().await;
    let another = || Refused("CLIENT_CERTIFICATE_OF_ANOTHER");
    let outcomes = [
        ("good", Served),
        ("expired", Closed(AlertDescription::CertificateExpired)),
        ("not yet valid", Closed(AlertDescription::CertificateExpired)),
        ("another authority", Closed(AlertDescription::UnknownCA)),
        ("an impostor", Closed(AlertDescription::DecryptError)),
        ("another trust domain", another()),
        ("another service", another()),
        ("a service below", another()),
        ("a host's", another()),
        ("two names", another()),
        ("self-signed", Closed(AlertDescription::UnknownCA)),
    ];
    for ((case, issued), (same, expected)) in certificates(&network, "dossier").iter().zip(outcomes) {
        assert_eq!(*case, same);
        let client = network.client_with(issued);
        let found = outcome(&client, &process, network.service_request("dossier")).await;
        assert_eq!(found, expected, "{case}");
    }
    let none = network.client();
    let found = outcome(&none, &process, network.service_request("dossier")).await;
    assert_eq!(found, Refused("CLIENT_CERTIFICATE_MISSING"), "no certificate");
    let servers_only = service("dossier").only(ExtendedKeyUsagePurpose::ServerAuth);
    let servers_only = network.client_with(&network.authority.issue(&servers_only));
    let found = outcome(&servers_only, &process, network.service_request("dossier")).await;
    assert_eq!(found, Closed(AlertDescription::UnsupportedCertificate));
}

/// A certificate is good to its last second, by the clock that is handed over.
#[tokio::test]
async fn certificates_end_by_the_clock() {
    let network = Network::new();
    let process = network.start().await;
    let client = network.client_with(&network.authority.issue(&service("dossier").until((2026, 12, 1))));
    network.suite.manual.set("2026-12-01T00:00:00Z".parse().unwrap());
    let live = channel(&client, &process);
    let served = invoke(live.clone(), "WhoAmI", network.service_request("dossier")).await;
    assert!(served.is_ok(), "its last second");
    network.suite.manual.advance(SignedDuration::from_secs(1));
    let found = outcome(&client, &process, network.service_request("dossier")).await;
    assert_eq!(found, Outcome::Closed(AlertDescription::CertificateExpired));
    let served = invoke(live, "WhoAmI", network.service_request("dossier")).await;
    assert!(served.is_ok(), "a connection is judged when it begins");

    network.suite.manual.set("2027-01-01T00:00:01Z".parse().unwrap());
    let problem = connect(&network.client(), "probe", process.running.address)
        .await
        .unwrap_err();
    assert!(problem.to_string().contains("expired"), "the process's own: {problem}");
}

/// People's systems bring a token, and check whom they give it to.
#[tokio::test]
async fn people_need_no_certificate() {
    let network = Network::new();
    let process = network.start().await;
    let actor = invoke(channel(&network.client(), &process), "WhoAmI", network.suite.request()).await;
    let actor = actor.unwrap().into_inner();
    assert_eq!((actor.role(), actor.subject.as_str()), (Role::Professional, SUBJECT));

    let stranger = network.authority.issue(&service("x").uris(&[]));
    let stranger = channel(&network.client_with(&stranger), &process);
    let served = invoke(stranger, "WhoAmI", network.suite.request()).await;
    assert!(
        served.is_ok(),
        "a certificate without a service's name takes nothing away"
    );

    let health = tonic_health::pb::HealthCheckRequest::default();
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel(&network.client(), &process));
    assert!(client.check(health).await.is_ok());
}

/// design.md §5: service to service, plus the actor on whose behalf; now with both ends known.
#[tokio::test]
async fn services_call_each_other_with_their_certificates() {
    let network = Network::new();
    let (mut settings, other_gate) = network.settings(network.limits());
    settings.common.tls = Some(network.tls("other"));
    let other = serve::start::<Other>(settings, network.suite.clock.clone(), Random::seeded(5));
    let other = other.await.unwrap();
    assert!(other.url().starts_with("https://"));
    let front = network.start_before(&other.url()).await;
    let mut request = network.suite.request();
    request.get_mut().subject = "WhoAmI".to_owned();
    let actor = invoke(channel(&network.client(), &front), "Forward", request).await;
    let actor = actor.unwrap().into_inner();
    assert_eq!(
        (actor.role(), actor.via_service.as_str()),
        (Role::Professional, "probe")
    );
    assert!(other_gate.seen.lock().unwrap().is_some());

    // The token of `probe`, with that of somebody behind it, brought by somebody else.
    let stolen = format!("Bearer {}", network.suite.service_token("probe"));
    let behalf = network.suite.token(&network.suite.professional());
    let request = with_metadata(&[("authorization", &stolen), (ON_BEHALF_OF, &behalf)]);
    let thief = network.client_with(&network.authority.issue(&service("dossier")));
    let thief = thief.channel("other", &other.url()).unwrap();
    let status = invoke(thief, "WhoAmI", request).await.unwrap_err();
    assert_eq!(detail(&status, "detail"), "CLIENT_CERTIFICATE_OF_ANOTHER");
    other.stop().await;
}

/// A peer that is somebody else is away, for the caller; the log says more.
#[tokio::test]
async fn a_peer_that_is_somebody_else_is_not_called() {
    let captured = crate::observation::watch_everything();
    let network = Network::new();
    let impostor = network.authority.issue(&service("messaging"));
    let address = foreign_server(&impostor, &rustls::version::TLS13, b"h2").await;
    let front = network.start_before(&format!("https://{address}")).await;
    let mut request = network.suite.request();
    request.get_mut().subject = "WhoAmI".to_owned();
    let status = invoke(channel(&network.client(), &front), "Forward", request)
        .await
        .unwrap_err();
    assert_eq!(refusal(&status), (Code::Unavailable, Reason::PeerUnavailable));
    let text = captured.text();
    assert!(text.contains("the certificate is not that of spiffe://dmp.test/other"));
}

/// The operator renews a certificate; nobody notices.
#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_breaks_no_old_one() {
    let network = Network::new();
    let process = network.start().await;
    let client = network.client();
    let live = channel(&client, &process);
    let mut watch = open(live.clone(), "WatchNothing", network.suite.request())
        .await
        .unwrap();
    assert!(watch.next().await.unwrap().is_ok());
    let held = tokio::spawn(invoke(live.clone(), "Hold", network.suite.request()));
    process.gate.entered.acquire().await.unwrap().forget();
    let before = shown(&client, &process).await;

    let renewed = network.authority.issue(&service("probe").until((2028, 1, 1)));
    network.install("probe", &renewed);
    assert_eq!(shown(&client, &process).await, before, "not read yet");
    process.running.reload().await;
    assert_eq!(shown(&client, &process).await, der(&renewed));

    process.gate.release.add_permits(1);
    assert!(held.await.unwrap().is_ok(), "a call in flight completes");
    assert!(invoke(live, "WhoAmI", network.suite.request()).await.is_ok());
    process.running.shutdown();
    let status = watch.next().await.unwrap().unwrap_err();
    assert_eq!(refusal(&status).1, Reason::Draining, "the watch lived until the end");
}

/// The files are looked at again and again, without anybody asking.
#[tokio::test]
async fn files_are_read_again_at_the_interval() {
    let network = Network::new();
    let process = network
        .start_with(Limits {
            reload_interval_ms: 10,
            ..Limits::default()
        })
        .await;
    let renewed = network.authority.issue(&service("probe"));
    network.install("probe", &renewed);
    let renewed = der(&renewed);
    let seen = async { while shown(&network.client(), &process).await != renewed {} };
    timeout(SOON, seen).await.expect("read at the next tick");
}

/// Half a renewal, or a wrong one, takes nothing down.
#[tokio::test]
async fn a_certificate_that_cannot_be_used_leaves_the_former_in_use() {
    let captured = crate::observation::watch_everything();
    let network = Network::new();
    let process = network.start().await;
    let client = network.client();
    let before = shown(&client, &process).await;
    let renewed = network.authority.issue(&service("probe"));

    let wrong: [(&str, Issued, &str); 6] = [
        (
            "the key is still the former",
            Issued {
                key: network.authority.issue(&service("probe")).key,
                ..renewed.clone()
            },
            "tls.key",
        ),
        (
            "half written",
            Issued {
                chain: renewed.chain[..100].to_owned(),
                ..renewed.clone()
            },
            "tls.certificate",
        ),
        (
            "no key",
            Issued {
                key: String::new(),
                ..renewed.clone()
            },
            "tls.key",
        ),
        (
            "another service's",
            network.authority.issue(&service("other")),
            "spiffe://dmp.test/probe",
        ),
        (
            "expired",
            network.authority.issue(&service("probe").until((2026, 11, 1))),
            "must be valid now",
        ),
        (
            "of tomorrow",
            network.authority.issue(&service("probe").from((2026, 11, 23))),
            "must be valid now",
        ),
    ];
    for (case, issued, said) in &wrong {
        network.install("probe", issued);
        process.running.reload().await;
        assert_eq!(shown(&client, &process).await, before, "{case}");
        assert!(captured.text().contains(said), "{case}: {said} must be in the log");
    }
    // Its time comes, without a change of the files.
    network.suite.manual.advance(SignedDuration::from_hours(12));
    process.running.reload().await;
    assert_eq!(shown(&client, &process).await, der(&wrong[5].1));
    network.install("probe", &renewed);
    process.running.reload().await;
    assert_eq!(shown(&client, &process).await, der(&renewed));
}

/// An authority comes and another goes, while calls go on.
#[tokio::test]
async fn a_new_trust_bundle_counts_for_new_connections_and_breaks_no_old_one() {
    let network = Network::new();
    let process = network.start().await;
    let next = Authority::new("the next");
    let (old, new) = (
        network.client_with(&network.authority.issue(&service("dossier"))),
        network.client_with(&next.issue(&service("dossier"))),
    );
    let request = || network.service_request("dossier");
    let closed = Outcome::Closed(AlertDescription::UnknownCA);
    let live = channel(&old, &process);
    assert!(invoke(live.clone(), "WhoAmI", request()).await.is_ok());
    assert_eq!(outcome(&new, &process, request()).await, closed);

    network.write("trust.pem", &format!("{}{}", network.authority.trust, next.trust));
    process.running.reload().await;
    assert_eq!(outcome(&new, &process, request()).await, Outcome::Served);
    assert_eq!(outcome(&old, &process, request()).await, Outcome::Served);

    for unusable in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        network.write("trust.pem", unusable);
        process.running.reload().await;
        assert_eq!(outcome(&old, &process, request()).await, Outcome::Served);
    }

    // The process's own certificate is still of the one that goes: its clients trust it, and it trusts them no more.
    network.write("trust.pem", &next.trust);
    process.running.reload().await;
    assert_eq!(outcome(&old, &process, request()).await, closed);
    assert_eq!(outcome(&new, &process, request()).await, Outcome::Served);
    assert!(
        invoke(live, "WhoAmI", request()).await.is_ok(),
        "a live connection goes on"
    );
}

/// Peers are called with what the files hold now.
#[tokio::test]
async fn a_service_calls_with_its_new_certificate() {
    let network = Network::new();
    let next = Authority::new("the next");
    let (mut settings, _gate) = network.settings(network.limits());
    network.write("next.pem", &next.trust);
    let mut tls = network.tls("other");
    tls.trust = network.suite.folder.path().join("next.pem");
    settings.common.tls = Some(tls);
    let other = serve::start::<Other>(settings, network.suite.clock.clone(), Random::seeded(5));
    let other = other.await.unwrap();
    let front = network.start_before(&other.url()).await;
    let forward = || {
        let mut request = network.suite.request();
        request.get_mut().subject = "WhoAmI".to_owned();
        invoke(channel(&network.client(), &front), "Forward", request)
    };
    assert_eq!(refusal(&forward().await.unwrap_err()).1, Reason::PeerUnavailable);
    network.install("probe", &next.issue(&service("probe")));
    front.running.reload().await;
    // Whom it shows its certificate to is still checked with the trust of before; only the certificate is new.
    let trusted = Client::new(next.trust.as_bytes(), DOMAIN, network.suite.clock.clone()).unwrap();
    let mut request = network.suite.request();
    request.get_mut().subject = "WhoAmI".to_owned();
    assert!(invoke(channel(&trusted, &front), "Forward", request).await.is_ok());
    other.stop().await;
}

/// An issuer's keys change without a restart, and a token seen before is no exception.
#[tokio::test]
async fn an_issuers_keys_are_read_again() {
    let suite = Suite::new();
    let path = suite.folder.path().join("people.json");
    let keys = |issuers: &[&serve::TokenIssuer]| {
        let keys: Vec<_> = issuers.iter().flat_map(|issuer| issuer.jwks().keys).collect();
        serde_json::json!({ "keys": keys }).to_string()
    };
    let next_key = serve::TokenIssuer::generate_key(&Random::seeded(77)).unwrap();
    let next = serve::TokenIssuer::new(crate::suite::PEOPLE, crate::suite::AUDIENCE, next_key.as_bytes()).unwrap();
    std::fs::write(&path, keys(&[&suite.people])).unwrap();
    let limits = Limits {
        reload_interval_ms: NEVER_MS,
        ..Limits::default()
    };
    let (mut settings, gate) = suite.settings(limits, BTreeMap::new());
    (settings.common.issuers[0].jwks, settings.common.issuers[0].jwks_file) = (None, Some(path.clone()));
    let process = suite.start_settings((settings, gate)).await;
    let old = suite.token(&suite.professional());
    let new = next.mint(&suite.professional(), Duration::from_secs(600), &suite.clock);
    let new = new.unwrap().reveal().to_owned();
    let detail_of = async |token: &str| match invoke(process.channel(), "WhoAmI", with_token(token)).await {
        Ok(_) => "served".to_owned(),
        Err(status) => detail(&status, "detail"),
    };
    assert_eq!(detail_of(&old).await, "served");
    assert_eq!(detail_of(&new).await, "UNKNOWN_KEY");

    std::fs::write(&path, keys(&[&suite.people, &next])).unwrap();
    process.running.reload().await;
    assert_eq!(detail_of(&old).await, "served");
    assert_eq!(detail_of(&new).await, "served");
    for unusable in [
        "",
        "{\"keys\": []}",
        "{\"keys\": [{\"kty\": \"oct\", \"k\": \"AAAA\"}]}",
    ] {
        std::fs::write(&path, unusable).unwrap();
        process.running.reload().await;
        assert_eq!(detail_of(&old).await, "served", "{unusable:?} leaves the former keys");
    }
    std::fs::write(&path, keys(&[&next])).unwrap();
    process.running.reload().await;
    assert_eq!(
        detail_of(&old).await,
        "UNKNOWN_KEY",
        "also a token that was verified before"
    );
    assert_eq!(detail_of(&new).await, "served");
}

/// The first bytes of a client that then falls silent.
fn client_hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// The points at which a peer may fall silent: each takes an address and keeps the connection.
async fn silent_peers(network: &Network, address: SocketAddr) -> Vec<Box<dyn Send>> {
    let connected = TcpStream::connect(address).await.unwrap();
    let mut hello = TcpStream::connect(address).await.unwrap();
    hello.write_all(&client_hello()).await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(&client_hello()[..50]).await.unwrap();
    let greeted = connect(&network.client(), "probe", address).await.unwrap();
    let mut speaking = connect(&network.client(), "probe", address).await.unwrap();
    speaking.write_all(b"PRI * HTTP").await.unwrap();
    speaking.flush().await.unwrap();
    vec![
        Box::new(connected),
        Box::new(hello),
        Box::new(half),
        Box::new(greeted),
        Box::new(speaking),
    ]
}

/// reliability.md §5.10, with TLS: wherever a peer falls silent, the process ends, and others are served meanwhile.
#[tokio::test]
async fn a_silent_peer_delays_neither_others_nor_the_end() {
    let network = Network::new();
    let process = network
        .start_with(Limits {
            drain_ms: NEVER_MS,
            ..network.limits()
        })
        .await;
    let silent = silent_peers(&network, process.running.address).await;
    let served = invoke(channel(&network.client(), &process), "WhoAmI", network.suite.request());
    assert!(timeout(SOON, served).await.expect("nobody waits for them").is_ok());
    timeout(SOON, process.running.stop())
        .await
        .expect("a silent peer must not delay the end");
    drop(silent);
}

/// A peer that stops in the middle of a greeting is sent away also when nobody stops.
#[tokio::test]
async fn a_greeting_may_not_take_long() {
    let network = Network::new();
    let process = network
        .start_with(Limits {
            preface_timeout_ms: 300,
            ..network.limits()
        })
        .await;
    let mut silent = TcpStream::connect(process.running.address).await.unwrap();
    silent.write_all(&client_hello()).await.unwrap();
    let mut heard = Vec::new();
    // The server answers the hello; then the end comes, as an end or as a reset.
    let _ended = timeout(SOON, silent.read_to_end(&mut heard))
        .await
        .expect("the server must close it");
    assert!(!heard.is_empty(), "it was greeted");
}

/// Greetings count among the connections: a crowd of them takes no more than its places.
#[tokio::test]
async fn greetings_are_bounded_in_number() {
    let network = Network::new();
    let process = network
        .start_with(Limits {
            connections: 2,
            ..network.limits()
        })
        .await;
    let live = channel(&network.client(), &process);
    assert!(invoke(live.clone(), "WhoAmI", network.suite.request()).await.is_ok());
    let mut silent = TcpStream::connect(process.running.address).await.unwrap();
    silent.write_all(&client_hello()).await.unwrap();
    silent.read_u8().await.unwrap();
    let mut second = TcpStream::connect(process.running.address).await.unwrap();
    second.write_all(&client_hello()).await.unwrap();
    for _ in 0..10 {
        assert!(invoke(live.clone(), "WhoAmI", network.suite.request()).await.is_ok());
    }
    let unheard = second.try_read(&mut [0]).unwrap_err();
    assert_eq!(unheard.kind(), io::ErrorKind::WouldBlock, "both places are taken");
    drop(silent);
    let heard = timeout(SOON, second.read_u8()).await.expect("its turn comes");
    assert!(heard.is_ok());
}

/// What does not end in its time is cut, with TLS as without.
#[tokio::test]
async fn the_drain_limit_holds() {
    let network = Network::new();
    let process = network
        .start_with(Limits {
            drain_ms: 50,
            ..network.limits()
        })
        .await;
    let held = invoke(channel(&network.client(), &process), "Hold", network.suite.request());
    let held = tokio::spawn(held);
    process.gate.entered.acquire().await.unwrap().forget();
    timeout(SOON, process.running.stop())
        .await
        .expect("the limit must end it");
    assert!(timeout(SOON, held).await.expect("cut").unwrap().is_err());
}

async fn soon<T>(answer: impl Future<Output = Result<T, Status>>) -> Status {
    let answer = timeout(SOON, answer).await.expect("fails quickly");
    answer.err().expect("must fail")
}

/// Neither side waits for words that the other will never say.
#[tokio::test]
async fn cleartext_and_tls_do_not_mix() {
    let network = Network::new();
    let open = network.suite.start_with(network.limits()).await;
    let secure = network.start().await;
    let cleartext = Endpoint::from_shared(format!("http://{}", secure.running.address)).unwrap();
    let status = soon(invoke(cleartext.connect_lazy(), "WhoAmI", network.suite.request())).await;
    assert!(serve::Failure::of_ours(&status).is_none(), "nothing was served");
    let counted = async {
        while crate::observation::metric("dmp.tls.refused_handshakes reason=not_tls").is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, counted).await.expect("the operator can see it");

    let problem = connect(&network.client(), "probe", open.running.address).await;
    let problem = problem.unwrap_err().to_string();
    assert!(problem.contains("corrupt message"), "{problem}");
    let served = invoke(open.channel(), "WhoAmI", network.suite.request()).await;
    assert!(served.is_ok());
    let served = invoke(channel(&network.client(), &secure), "WhoAmI", network.suite.request()).await;
    assert!(served.is_ok());
}

/// A client that is none of ours: it takes any certificate, and remembers sessions.
fn foreign_client(version: &'static SupportedProtocolVersion, alpn: Vec<Vec<u8>>) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Whoever))
        .with_no_client_auth();
    config.alpn_protocols = alpn;
    TlsConnector::from(Arc::new(config))
}

/// RFC 9113 §3.2: HTTP/2 over TLS is agreed on, not guessed.
#[tokio::test]
async fn a_client_that_does_not_speak_http2_is_refused() {
    let network = Network::new();
    let process = network.start().await;
    for protocols in [vec![b"http/1.1".to_vec()], vec![]] {
        let stream = TcpStream::connect(process.running.address).await.unwrap();
        let client = foreign_client(&rustls::version::TLS13, protocols);
        let name = ServerName::try_from("localhost").unwrap();
        if let Ok(mut stream) = client.connect(name, stream).await {
            let ended = timeout(SOON, stream.read_u8()).await.expect("closed soon");
            assert!(ended.is_err());
        }
    }
}

/// A resumed session would be judged by the trust, and at the time, of the first.
#[tokio::test]
async fn no_session_is_resumed() {
    let network = Network::new();
    let process = network.start().await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = foreign_client(version, vec![b"h2".to_vec()]);
        for _ in 0..2 {
            let stream = TcpStream::connect(process.running.address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = client.connect(name, stream).await.unwrap();
            // What the server has to say first, tickets included, is read before its greeting of HTTP/2.
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            timeout(SOON, stream.read_u8()).await.unwrap().unwrap();
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Full));
        }
    }
}

/// Takes any certificate: these clients look at something else.
#[derive(Debug)]
struct Whoever;

impl rustls::client::danger::ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Parsed and validated before a port opens, and the error names the key.
#[tokio::test]
async fn a_process_without_usable_certificates_does_not_start() {
    let network = Network::new();
    let issue = |request| network.authority.issue(&request);
    let good = issue(service("probe"));
    let with_key = |key: &str| Issued {
        key: key.to_owned(),
        ..good.clone()
    };
    let with_chain = |chain: &str| Issued {
        chain: chain.to_owned(),
        ..good.clone()
    };
    let clients_only = service("probe").only(ExtendedKeyUsagePurpose::ClientAuth);
    let table = [
        ("nothing", with_chain(""), "tls.certificate", "PEM"),
        (
            "a key for a certificate",
            with_chain(&good.key),
            "tls.certificate",
            "PEM",
        ),
        ("no key", with_key(""), "tls.key", "PEM"),
        (
            "another's key",
            with_key(&issue(service("probe")).key),
            "tls.key",
            "of the certificate",
        ),
        (
            "another service's",
            issue(service("other")),
            "tls.certificate",
            "spiffe://dmp.test/probe",
        ),
        (
            "expired",
            issue(service("probe").until((2026, 11, 22))),
            "tls.certificate",
            "valid now",
        ),
        (
            "of tomorrow",
            issue(service("probe").from((2026, 11, 23))),
            "tls.certificate",
            "valid now",
        ),
        ("for clients only", issue(clients_only), "tls.certificate", "serverAuth"),
    ];
    for (case, issued, key, expected) in table {
        network.install("probe", &issued);
        refused(&network, network.settings(network.limits()).0, key, expected, case).await;
    }
    network.install("probe", &good);

    let (mut settings, _gate) = network.settings(network.limits());
    settings.common.tls.as_mut().unwrap().trust_domain = "DMP.test/x".to_owned();
    refused(&network, settings, "tls.trust_domain", "dmp.example", "no domain").await;
    let (mut settings, _gate) = network.settings(network.limits());
    settings.common.tls.as_mut().unwrap().key = "/nowhere/probe.key".into();
    refused(&network, settings, "tls.key", "/nowhere/probe.key", "no file").await;
    let (mut settings, _gate) = network.settings(network.limits());
    settings.common.tls.as_mut().unwrap().trust = network.suite.folder.path().join("probe.key");
    refused(&network, settings, "tls.trust", "PEM", "no authorities").await;
    let (mut settings, _gate) = network.settings(network.limits());
    let peers = &mut settings.common.peers;
    peers.insert("other".to_owned(), "http://127.0.0.1:7002".to_owned());
    refused(&network, settings, "peers.other", "https://", "cleartext to a peer").await;
    let (mut settings, _gate) = network.suite.settings(network.limits(), BTreeMap::new());
    let peers = &mut settings.common.peers;
    peers.insert("other".to_owned(), "https://127.0.0.1:7002".to_owned());
    refused(&network, settings, "peers.other", "needs `tls`", "TLS to a peer alone").await;
}

async fn refused(network: &Network, settings: Settings<ProbeConfig>, key: &str, expected: &str, case: &str) {
    let started = serve::start::<Probe>(settings, network.suite.clock.clone(), Random::seeded(1)).await;
    let StartError::Setting(invalid) = started.expect_err(case) else {
        panic!("{case}: another error");
    };
    assert_eq!(invalid.key, key, "{case}");
    assert!(invalid.expected.contains(expected), "{case}: {invalid}");
}

/// Tokens and documents never cross a network in the clear by oversight.
#[tokio::test]
async fn an_address_that_others_can_reach_needs_tls_or_the_operators_word() {
    let network = Network::new();
    let anywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let (mut settings, gate) = network.suite.settings(network.limits(), BTreeMap::new());
    settings.common.listen = anywhere;
    refused(&network, settings.clone(), "tls", "allow_cleartext", "cleartext").await;
    settings.common.allow_cleartext = true;
    network
        .suite
        .start_settings((settings, gate))
        .await
        .running
        .stop()
        .await;
    let (mut settings, gate) = network.settings(network.limits());
    settings.common.listen = anywhere;
    network
        .suite
        .start_settings((settings, gate))
        .await
        .running
        .stop()
        .await;
}

/// Nothing secret is rendered.
#[tokio::test]
async fn settings_show_paths_only() {
    let network = Network::new();
    let shown = network.settings(network.limits()).0.render("probe").unwrap();
    for part in [
        "[tls]",
        "probe.crt",
        "probe.key",
        "trust.pem",
        "trust_domain = \"dmp.test\"",
    ] {
        assert!(shown.contains(part), "{part}");
    }
    assert!(!shown.contains("BEGIN"));
}

/// An operator sees the end of a certificate coming.
#[tokio::test]
async fn the_own_certificates_end_is_told_beforehand() {
    let captured = crate::observation::watch_everything();
    let network = Network::new();
    let (mut settings, _gate) = network.settings(network.limits());
    // Under a name of its own: every other process of these tests is a probe too.
    settings.common.tls = Some(network.tls("other"));
    let end = (2026, 11, 30);
    network.install("other", &network.authority.issue(&service("other").until(end)));
    let other = serve::start::<Other>(settings, network.suite.clock.clone(), Random::seeded(5));
    let other = other.await.unwrap();
    let warnings = || captured.text().matches("expires=2026-11-30").count();
    let seconds = || crate::observation::metric("dmp.certificate.remaining dmp.certificate=own dmp.service=other");
    other.reload().await;
    assert_eq!((seconds(), warnings()), (Some(7 * 86_400 + 43_200), 0));
    network.suite.manual.advance(SignedDuration::from_hours(13));
    for _ in 0..3 {
        other.reload().await;
    }
    assert_eq!(
        (seconds(), warnings()),
        (Some(7 * 86_400 - 3_600), 1),
        "once, not on each look"
    );
    network.suite.manual.advance(SignedDuration::from_hours(24));
    other.reload().await;
    assert_eq!(warnings(), 2, "and again the next day");
    other.stop().await;
}

/// What a client is made of is checked when it is made.
#[test]
fn a_client_with_unusable_parts_is_not_made() {
    let network = Network::new();
    let clock = network.suite.clock.clone();
    assert_eq!(
        Client::new(b"", DOMAIN, clock.clone()).err(),
        Some(TlsError::NoCertificate)
    );
    let trust = network.authority.trust.as_bytes();
    assert_eq!(Client::new(trust, "", clock).err(), Some(TlsError::TrustDomain));
    let (one, other) = (
        network.authority.issue(&service("x")),
        network.authority.issue(&service("x")),
    );
    let mixed = network
        .client()
        .with_certificate(one.chain.as_bytes(), other.key.as_bytes());
    assert_eq!(mixed.err(), Some(TlsError::KeyMismatch));
    assert!(network.client().channel("probe", "http://127.0.0.1:1").is_err());
    let claims = Claims::new("x", Role::Service);
    assert!(!format!("{:?} {claims:?}", network.client_with(&one)).contains("BEGIN"));
}
