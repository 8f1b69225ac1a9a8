//! TLS: which service stands at the other end of a connection.
//!
//! - A service is `spiffe://<trust domain>/<its name>`. Its certificate bears that as its one URI SAN (SPIFFE X509-SVID)
//!   and may be used by servers and by clients. Host names count for nothing: services move.
//! - A service demands from a peer the certificate of the very service that it wants, and shows its own.
//! - Whoever connects without a certificate is served by his token. One that is shown must be trusted; which service it
//!   names decides whose tokens the connection may carry.
//! - TLS 1.3 or 1.2, HTTP/2 by ALPN and nothing else. No session is resumed: a resumed one would be judged by the trust,
//!   and at the time, of the first.
//! - Certificates, keys and trust are looked up for each new connection; `limits.connection_age_seconds` bounds how long
//!   an old one goes on. Time is the [`Clock`]'s.

use http::Uri;
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use store::time::{Clock, Timestamp};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, server};
use tonic::transport::Channel;
use webpki::{EndEntityCert, KeyUsage};

use crate::config::{Invalid, TlsSettings};
use crate::peers::{InvalidPeer, endpoint};
use crate::reload::{Keyed, Live, Reloads, Watched};
use crate::{Failure, Result};

/// The one protocol spoken over TLS (RFC 9113 §3.2).
const ALPN: &[u8] = b"h2";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// Longest trust domain (SPIFFE-ID §2.1).
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// An own certificate that ends within this is warned of, now and then.
const WARN_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);
const WARN_AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Why certificates, or a key, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file of certificates holds none, or what is none.
    #[error("must hold certificates in PEM")]
    NoCertificate,
    /// There is no private key, or none of a kind that is taken.
    #[error("must hold a private key in PEM (PKCS#8, PKCS#1 or SEC1) of a kind that TLS takes")]
    NoKey,
    /// The key is another certificate's.
    #[error("must be the private key of the certificate")]
    KeyMismatch,
    /// The certificate's time is over, has not come, or never comes.
    #[error("must be valid now: it is not before its time, and not after it")]
    Time,
    /// The certificate is an authority's, or its extended key usage leaves something out.
    #[error("must be usable by servers and by clients (extended key usage serverAuth and clientAuth), and no CA's")]
    Usage,
    /// The certificate names another service, or none.
    #[error("must bear {0} as its one URI SAN")]
    Name(String),
    /// Not the name of a trust domain.
    #[error("must be the name of a trust domain, as dmp.example: small letters, digits, `.`, `-` and `_`")]
    TrustDomain,
}

/// The domain in which services have their names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TrustDomain(Arc<str>);

impl TrustDomain {
    fn parse(text: &str) -> Result<Self, TlsError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if text.is_empty() || text.len() > TRUST_DOMAIN_BYTES_MAX || !text.bytes().all(letter) {
            return Err(TlsError::TrustDomain);
        }
        Ok(Self(text.into()))
    }

    /// What the certificate of the service called `name` bears.
    fn id(&self, name: &str) -> String {
        format!("spiffe://{}/{name}", self.0)
    }

    /// The service that a certificate names; `None` when it names nothing, several, or something of another domain.
    fn service(&self, certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let mut names = certificate.valid_uri_names();
        let (Some(only), None) = (names.next(), names.next()) else {
            return None;
        };
        let path = only.strip_prefix("spiffe://")?.strip_prefix(&*self.0)?;
        path.strip_prefix('/').filter(|name| !name.is_empty()).map(Arc::from)
    }
}

/// The authorities whose certificates count.
struct Trust(Arc<RootCertStore>);

impl Trust {
    fn read(pem: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(|_| TlsError::NoCertificate)?;
        }
        Ok(Self(Arc::new(roots)))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or(TlsError::NoCertificate)
}

/// A certificate, the chain up to its authority, and its key.
struct OwnCertificate {
    certified: Arc<CertifiedKey>,
    expires: Timestamp,
}

impl OwnCertificate {
    /// Reads a certificate with its chain, and its key.
    fn read(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        let leaf = chain.first().ok_or(TlsError::NoCertificate)?;
        let expires = expiry(leaf)?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::KeyMismatch,
            rustls::Error::InvalidCertificate(_) => TlsError::NoCertificate,
            _ => TlsError::NoKey,
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            expires,
        })
    }

    /// As [`OwnCertificate::read`], for the service called `name`, at this time.
    fn of_service(chain: &[u8], key: &[u8], domain: &TrustDomain, name: &str, now: Timestamp) -> Result<Self, Invalid> {
        let own = Self::read(chain, key).map_err(|error| match error {
            TlsError::NoKey | TlsError::KeyMismatch => invalid("key")(error),
            _ => invalid("certificate")(error),
        })?;
        own.check(domain, name, now).map_err(invalid("certificate"))?;
        Ok(own)
    }

    /// Checks what the peers of the service called `name` will look at.
    fn check(&self, domain: &TrustDomain, name: &str, now: Timestamp) -> Result<(), TlsError> {
        let leaf = self.certified.end_entity_cert().map_err(|_| TlsError::NoCertificate)?;
        for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
            match examine(leaf, unix_time(now), usage) {
                Ok(()) => {}
                Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => {
                    return Err(TlsError::Time);
                }
                Err(_) => return Err(TlsError::Usage),
            }
        }
        if domain.service(leaf).as_deref() != Some(name) {
            return Err(TlsError::Name(domain.id(name)));
        }
        Ok(())
    }

    fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(self.certified.clone()))
    }
}

/// Looks at a certificate for itself: its dates and its usage, not who issued it.
fn examine(certificate: &CertificateDer<'_>, time: UnixTime, usage: KeyUsage) -> Result<(), webpki::Error> {
    let algorithms = provider().signature_verification_algorithms.all;
    let certificate = EndEntityCert::try_from(certificate)?;
    match certificate.verify_for_usage(algorithms, &[], &[], time, usage, None, None) {
        Ok(_) | Err(webpki::Error::UnknownIssuer) => Ok(()),
        Err(error) => Err(error),
    }
}

/// webpki tells a certificate's last moment only when it has passed: so it is asked at the end of time.
fn expiry(certificate: &CertificateDer<'_>) -> Result<Timestamp, TlsError> {
    let end = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    match examine(certificate, end, KeyUsage::server_auth()) {
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            let seconds = i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX);
            Ok(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
        }
        Err(webpki::Error::InvalidCertValidity) => Err(TlsError::Time),
        _ => Err(TlsError::NoCertificate),
    }
}

/// Says in the log that our own certificate ends, before somebody else does.
struct Expiry {
    service: String,
    own: Live<OwnCertificate>,
    clock: Clock,
    warned: Option<Timestamp>,
}

impl Expiry {
    fn new(service: &str, own: Live<OwnCertificate>, clock: Clock) -> Self {
        Self {
            service: service.to_owned(),
            own,
            clock,
            warned: None,
        }
    }
}

impl Watched for Expiry {
    fn look(&mut self) {
        let (now, expires) = (self.clock.now(), self.own.now().expires);
        let left = expires.duration_since(now);
        let due = self
            .warned
            .is_none_or(|warned| now.duration_since(warned).abs() >= WARN_AGAIN_AFTER);
        if left >= WARN_WITHIN || !due {
            return;
        }
        if left.is_negative() {
            tracing::error!(service = self.service, %expires, "the own certificate has expired");
        } else {
            tracing::warn!(service = self.service, %expires, "the own certificate expires soon");
        }
        self.warned = Some(now);
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::LazyLock<Arc<CryptoProvider>> =
        std::sync::LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// The injected clock, as rustls asks for it.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.now()))
    }
}

fn unix_time(instant: Timestamp) -> UnixTime {
    // Before 1970 no certificate is valid yet.
    let seconds = u64::try_from(instant.as_second()).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// What a connection proves of its other end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Proof {
    /// No TLS: the network is the machine's own, or trusted; or none at all, within a process.
    Cleartext,
    /// TLS, without a certificate.
    #[default]
    Nothing,
    /// A trusted certificate that names no service of the trust domain.
    Stranger,
    /// The trusted certificate of this service.
    Service(Arc<str>),
}

impl Proof {
    /// Whether the tokens of the service called `name` may come this way.
    pub(crate) fn admits(&self, name: &str) -> Result<()> {
        match self {
            Self::Cleartext => Ok(()),
            Self::Service(proven) if **proven == *name => Ok(()),
            Self::Nothing => Err(Failure::token_invalid("CLIENT_CERTIFICATE_MISSING")),
            Self::Stranger | Self::Service(_) => Err(Failure::token_invalid("CLIENT_CERTIFICATE_OF_ANOTHER")),
        }
    }
}

/// How a process takes connections over TLS.
#[derive(Clone)]
pub(crate) struct Server {
    domain: TrustDomain,
    own: Live<OwnCertificate>,
    trust: Live<Trust>,
    clock: Clock,
}

impl Server {
    /// Reads the files of the service called `name`, now and whenever they change.
    pub(crate) fn load(
        settings: &TlsSettings,
        name: &str,
        clock: &Clock,
        reloads: &mut Reloads,
    ) -> Result<Self, Invalid> {
        let domain = TrustDomain::parse(&settings.trust_domain).map_err(invalid("trust_domain"))?;
        let trust = vec![Keyed::new("tls.trust", &settings.trust)];
        let trust = reloads.load(trust, |contents| {
            let [pem] = contents else {
                return Err(invalid("trust")(TlsError::NoCertificate));
            };
            Trust::read(pem).map_err(invalid("trust"))
        })?;
        let own = vec![
            Keyed::new("tls.certificate", &settings.certificate),
            Keyed::new("tls.key", &settings.key),
        ];
        let (named, at) = ((domain.clone(), name.to_owned()), clock.clone());
        let own = reloads.load(own, move |contents| {
            let [chain, key] = contents else {
                return Err(invalid("certificate")(TlsError::NoCertificate));
            };
            OwnCertificate::of_service(chain, key, &named.0, &named.1, at.now())
        })?;
        reloads.add(Expiry::new(name, own.clone(), clock.clone()));
        Ok(Self {
            domain,
            own,
            trust,
            clock: clock.clone(),
        })
    }

    /// Until when the certificate that is shown is good, asked anew each time.
    pub(crate) fn not_after(&self) -> impl Fn() -> Option<Timestamp> + Send + Sync + 'static {
        let own = self.own.clone();
        move || Some(own.now().expires)
    }

    /// Greets a client, with what is trusted and shown now.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(server::TlsStream<TcpStream>, Proof)> {
        let config = self.config().map_err(io::Error::other)?;
        let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
        let (_, session) = stream.get_ref();
        http2_only(session.alpn_protocol())?;
        let proof = match session.peer_certificates().and_then(<[_]>::first) {
            None => Proof::Nothing,
            Some(leaf) => self.domain.service(leaf).map_or(Proof::Stranger, Proof::Service),
        };
        Ok((stream, proof))
    }

    fn config(&self) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
        let clients = WebPkiClientVerifier::builder_with_provider(self.trust.now().0.clone(), provider());
        let mut config = ServerConfig::builder_with_details(provider(), Arc::new(Time(self.clock.clone())))
            .with_protocol_versions(&VERSIONS)?
            .with_client_cert_verifier(clients.allow_unauthenticated().build()?)
            .with_cert_resolver(self.own.now().resolver());
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// How the same process calls its peers.
    pub(crate) fn client(&self) -> Client {
        Client {
            domain: self.domain.clone(),
            own: Some(self.own.clone()),
            trust: self.trust.clone(),
            clock: self.clock.clone(),
        }
    }
}

/// Takes connections over TLS exactly as the services do, with a certificate that stays: for what services are measured
/// against.
#[derive(Clone)]
pub struct Acceptor(Server);

impl Acceptor {
    /// Shows this certificate (PEM, with the chain up to its authority), whose private key is `key` (PEM). `trust`,
    /// `trust_domain` and `clock` are as for [`Client::new`].
    ///
    /// # Errors
    /// [`TlsError`] when one cannot be read, or they do not belong together.
    pub fn new(chain: &[u8], key: &[u8], trust: &[u8], trust_domain: &str, clock: Clock) -> Result<Self, TlsError> {
        Ok(Self(Server {
            domain: TrustDomain::parse(trust_domain)?,
            own: Live::fixed(OwnCertificate::read(chain, key)?),
            trust: Live::fixed(Trust::read(trust)?),
            clock,
        }))
    }

    /// Greets a client.
    ///
    /// # Errors
    /// When the two do not agree, or the connection breaks.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        Ok(self.0.accept(stream).await?.0)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Acceptor({})", self.0.domain.0)
    }
}

fn invalid(key: &'static str) -> impl Fn(TlsError) -> Invalid {
    move |error| Invalid::new(format!("tls.{key}"), error.to_string())
}

fn http2_only(agreed: Option<&[u8]>) -> io::Result<()> {
    if agreed == Some(ALPN) {
        return Ok(());
    }
    let problem = "the other end does not agree on HTTP/2 (ALPN h2)";
    Err(io::Error::new(io::ErrorKind::InvalidData, problem))
}

/// Why a greeting failed, as one of a few words.
pub(crate) fn reason(error: &io::Error) -> &'static str {
    use rustls::Error;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        _ if error.kind() == io::ErrorKind::TimedOut => "timeout",
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => "certificate",
        Some(Error::AlertReceived(_)) => "refused_by_client",
        Some(Error::InvalidMessage(_)) => "not_tls",
        Some(_) => "protocol",
        None => "connection",
    }
}

/// Calls services over TLS: for a command line, a hospital's system, a test. Services get theirs from their settings.
#[derive(Clone)]
pub struct Client {
    domain: TrustDomain,
    own: Option<Live<OwnCertificate>>,
    trust: Live<Trust>,
    clock: Clock,
}

impl Client {
    /// Trusts the authorities in `trust` (PEM) for the services of `trust_domain`, at the time of `clock`. It shows no
    /// certificate of its own, which people's tokens do not need.
    ///
    /// # Errors
    /// [`TlsError`] when there is no certificate in `trust`, or the domain has no such name.
    pub fn new(trust: &[u8], trust_domain: &str, clock: Clock) -> Result<Self, TlsError> {
        Ok(Self {
            domain: TrustDomain::parse(trust_domain)?,
            own: None,
            trust: Live::fixed(Trust::read(trust)?),
            clock,
        })
    }

    /// Shows this certificate (PEM, with the chain up to its authority), whose private key is `key` (PEM): needed to
    /// call with a service's token.
    ///
    /// # Errors
    /// [`TlsError`] when one cannot be read, or they do not belong together. Dates and names are the server's to judge.
    pub fn with_certificate(mut self, chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        self.own = Some(Live::fixed(OwnCertificate::read(chain, key)?));
        Ok(self)
    }

    /// Connects to the service called `service`, wherever an address leads, and to nobody else.
    pub fn connector(&self, service: &str) -> Connector {
        Connector {
            client: self.clone(),
            service: service.into(),
            last_problem: Arc::default(),
        }
    }

    /// A channel for generated clients of the service called `service`, connected when first used.
    ///
    /// # Errors
    /// [`InvalidPeer`] when `address` is no `https://host:port`.
    pub fn channel(&self, service: &str, address: &str) -> Result<Channel, InvalidPeer> {
        let endpoint = endpoint(service, address, "https")?;
        Ok(endpoint.connect_with_connector_lazy(self.connector(service)))
    }

    fn config(&self, service: &str) -> Result<ClientConfig, rustls::Error> {
        let verifier = NamedService {
            domain: self.domain.clone(),
            name: service.into(),
            roots: self.trust.now().0.clone(),
        };
        let config = ClientConfig::builder_with_details(provider(), Arc::new(Time(self.clock.clone())))
            .with_protocol_versions(&VERSIONS)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.own {
            Some(own) => config.with_client_cert_resolver(own.now().resolver()),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Client({})", self.domain.0)
    }
}

/// Connects to one service over TLS; for [`tonic::transport::Endpoint::connect_with_connector_lazy`].
#[derive(Debug, Clone)]
pub struct Connector {
    client: Client,
    service: Arc<str>,
    /// Logged once, and not at each attempt.
    last_problem: Arc<Mutex<Option<String>>>,
}

impl Connector {
    async fn connect(self, address: Uri) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let unusable = || io::Error::new(io::ErrorKind::InvalidInput, "an address must be https://host:port");
        let host = address.host().ok_or_else(unusable)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = address.port_u16().unwrap_or(443);
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        // Without it small requests wait for acknowledgements; a socket that refuses is merely slower.
        let _slower = stream.set_nodelay(true);
        // For what routes by it on the way. Who answers is known by its certificate's URI.
        let name = ServerName::try_from(host).map_err(|_| unusable())?;
        let greeted = self.greet(stream, name).await;
        self.report(greeted.as_ref().err());
        greeted.map(TokioIo::new)
    }

    async fn greet(&self, stream: TcpStream, name: ServerName<'static>) -> io::Result<TlsStream<TcpStream>> {
        let config = self.client.config(&self.service).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let stream = stream.map_err(readable)?;
        http2_only(stream.get_ref().1.alpn_protocol())?;
        Ok(stream)
    }

    fn report(&self, problem: Option<&io::Error>) {
        let problem = problem.map(ToString::to_string);
        let mut last = self.last_problem.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(problem) = problem.as_ref().filter(|problem| last.as_ref() != Some(problem)) {
            tracing::warn!(
                service = &*self.service,
                problem,
                "no TLS with whoever answers at a service's address"
            );
        }
        *last = problem;
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        Box::pin(self.clone().connect(address))
    }
}

/// Takes the trusted certificate of one service and no other.
struct NamedService {
    domain: TrustDomain,
    name: Arc<str>,
    roots: Arc<RootCertStore>,
}

/// A certificate that is trusted and not the one wanted.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is not that of {wanted}")]
struct AnotherService {
    wanted: String,
}

/// rustls shows the errors of others as `Debug` does.
fn readable(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            io::Error::new(io::ErrorKind::InvalidData, other.0.clone())
        }
        _ => error,
    }
}

impl ServerCertVerifier for NamedService {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        if self.domain.service(end_entity).as_deref() == Some(&*self.name) {
            return Ok(ServerCertVerified::assertion());
        }
        let wanted = self.domain.id(&self.name);
        Err(CertificateError::Other(OtherError(Arc::new(AnotherService { wanted }))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for NamedService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NamedService({})", self.domain.id(&self.name))
    }
}
