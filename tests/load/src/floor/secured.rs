//! TLS for E: what the services do with a connection, and a certificate made for one run.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{Stream, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use serve::tls::{Acceptor, Client};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use store::time::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::Connected;

use crate::LoadError;

/// What E is called in its certificate.
pub(super) const NAME: &str = "echo";
const DOMAIN: &str = "load.localhost";

/// The server's end of E's TLS.
pub(super) struct Secured {
    pub(super) acceptor: Acceptor,
    /// Who vouches for it (PEM).
    pub(super) trust: String,
}

impl Secured {
    /// With an authority and a certificate that nobody keeps.
    pub(super) fn new(clock: Clock) -> Result<Self, LoadError> {
        let Certificate { chain, key, trust } = certificate().map_err(|error| failed(&error))?;
        let acceptor = Acceptor::new(chain.as_bytes(), key.as_bytes(), trust.as_bytes(), DOMAIN, clock);
        let acceptor = acceptor.map_err(|error| failed(&error))?;
        Ok(Self { acceptor, trust })
    }
}

/// The client's end, which takes whom `trust` vouches for.
pub(super) fn client(trust: &str, clock: Clock) -> Result<Client, LoadError> {
    Client::new(trust.as_bytes(), DOMAIN, clock).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> LoadError {
    LoadError::Measurement(format!("a certificate for E: {error}"))
}

/// A certificate, its key and its authority's certificate, as PEM.
struct Certificate {
    chain: String,
    key: String,
    trust: String,
}

fn certificate() -> Result<Certificate, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let trust = authority.self_signed(&authority_key)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{DOMAIN}/{NAME}").as_str().try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let chain = params.signed_by(&key, &Issuer::new(authority, authority_key))?;
    Ok(Certificate {
        chain: pem("CERTIFICATE", chain.der()),
        key: pem("PRIVATE KEY", key.serialized_der()),
        trust: pem("CERTIFICATE", trust.der()),
    })
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")
}

/// Connections of a listener, each greeted. One that is not greeted is left out: its client finds out.
pub(super) fn incoming(
    listener: TcpListener,
    acceptor: Acceptor,
) -> impl Stream<Item = io::Result<Greeted<impl AsyncRead + AsyncWrite + Send + Unpin + 'static>>> {
    let acceptor = Arc::new(acceptor);
    TcpListenerStream::new(listener).filter_map(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let stream = stream.ok()?;
            // As the services do; a socket that refuses is merely slower.
            let _slower = stream.set_nodelay(true);
            Some(Ok(Greeted(acceptor.accept(stream).await.ok()?)))
        }
    })
}

/// A connection over TLS, as tonic takes it.
pub(super) struct Greeted<S>(S);

impl<S> Connected for Greeted<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
