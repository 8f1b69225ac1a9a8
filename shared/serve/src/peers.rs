//! Calls to other services: with our own token, the caller's behind it, what is left of its deadline, and its trace.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use store::random::Random;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::auth::{AUTHORIZATION, ON_BEHALF_OF};
use crate::balance::Balanced;
use crate::tls::Client;
use crate::token::{BearerToken, ServiceTokens};
use crate::trace::TraceContext;
use crate::{Call, Failure, InProcess, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const HEADER_LIST_BYTES_MAX: u32 = 32 << 10;

/// The other services that this one may call, by name.
#[derive(Debug, Clone, Default)]
pub struct Peers(BTreeMap<String, Peer>);

impl Peers {
    /// Clients for `addresses`, over TLS where `tls` is given, otherwise `in_process` where they are of this process; nothing
    /// is connected yet, and a peer that is away is no obstacle to starting. Several addresses of one peer, separated by
    /// commas, are called in turn.
    ///
    /// # Errors
    /// The name of the peer whose address is no `http://host:port`, or no `https://host:port` with TLS.
    pub fn new(
        addresses: &BTreeMap<String, String>,
        tls: Option<&Client>,
        in_process: &InProcess,
        tokens: &ServiceTokens,
        random: &Random,
    ) -> Result<Self, InvalidPeer> {
        let peer = |(name, address): (&String, &String)| {
            let instance = |address: &str| match tls {
                Some(tls) => Ok((InProcess::default().way(address), tls.channel(name, address)?)),
                None => Ok((in_process.way(address), cleartext_channel(name, address)?)),
            };
            let instances = instances(address).map(instance).collect::<Result<Vec<_>, _>>()?;
            let peer = Peer {
                name: name.clone(),
                channel: Balanced::new(instances),
                tokens: tokens.clone(),
                random: random.clone(),
            };
            Ok((name.clone(), peer))
        };
        addresses.iter().map(peer).collect::<Result<_, _>>().map(Self)
    }

    /// The peer called `name`.
    ///
    /// # Errors
    /// [`InvalidPeer`] when the configuration does not say where it is: ask for peers when the service starts.
    pub fn get(&self, name: &str) -> Result<Peer, InvalidPeer> {
        self.0.get(name).cloned().ok_or_else(|| InvalidPeer(name.to_owned()))
    }
}

/// A peer without an address, or with one that is no `http://host:port` (with TLS, `https://host:port`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`peers.{0}` must be the address of the {0} service, as http://127.0.0.1:7001, or https:// with `tls`")]
pub struct InvalidPeer(pub String);

/// A channel for generated clients of the service called `name`, without TLS, connected when first used: for the machine's
/// own network, and for trusted ones. [`crate::tls::Client::channel`] is the other way.
///
/// # Errors
/// [`InvalidPeer`] when `address` is no `http://host:port`.
pub fn cleartext_channel(name: &str, address: &str) -> Result<Channel, InvalidPeer> {
    Ok(endpoint(name, address, "http")?.connect_lazy())
}

/// The addresses of a peer's instances.
pub(crate) fn instances(addresses: &str) -> impl Iterator<Item = &str> {
    addresses.split(',').map(str::trim)
}

/// How the service called `name` is reached at `address`; nothing is connected yet.
pub(crate) fn endpoint(name: &str, address: &str, scheme: &str) -> Result<Endpoint, InvalidPeer> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| InvalidPeer(name.to_owned()))?;
    if endpoint.uri().scheme_str() != Some(scheme) || endpoint.uri().authority().is_none() {
        return Err(InvalidPeer(name.to_owned()));
    }
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        // Without these a peer that vanished is waited for until the deadline, call after call.
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX);
    Ok(endpoint)
}

/// One other service. Cheap to clone; all clones share a connection to each of its instances.
#[derive(Clone)]
pub struct Peer {
    name: String,
    channel: Balanced,
    tokens: ServiceTokens,
    random: Random,
}

impl Peer {
    /// The channel for a generated client. Its answers are limited to [`crate::MESSAGE_BYTES_MAX`], tonic's default.
    pub fn channel(&self) -> Balanced {
        self.channel.clone()
    }

    /// The peer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A request on behalf of `call`'s actor, good for what is left of its deadline.
    ///
    /// # Errors
    /// `DEADLINE_EXCEEDED` when nothing is left; INTERNAL when our token cannot be signed.
    pub fn request<M>(&self, call: &Call, message: M) -> Result<Request<M>> {
        let mut request = self.prepared(message, call.remaining(), &call.trace)?;
        request
            .metadata_mut()
            .insert(ON_BEHALF_OF, sensitive(call.token.reveal().to_owned())?);
        Ok(request)
    }

    /// A request of our own, on nobody's behalf, that starts a trace of its own.
    ///
    /// # Errors
    /// As [`Peer::request`].
    pub fn own_request<M>(&self, message: M, timeout: Duration) -> Result<Request<M>> {
        self.prepared(message, timeout, &TraceContext::start(&self.random))
    }

    /// What the peer's answer means for our caller.
    pub fn failure(&self, status: &Status) -> Failure {
        Failure::from_status(&self.name, status)
    }

    fn prepared<M>(&self, message: M, timeout: Duration, trace: &TraceContext) -> Result<Request<M>> {
        if timeout.is_zero() {
            return Err(Failure::deadline_exceeded());
        }
        let mut request = Request::new(message);
        // Set per request: `Endpoint::timeout` ends our waiting and tells the peer nothing.
        request.set_timeout(timeout);
        trace.inject(request.metadata_mut());
        request
            .metadata_mut()
            .insert(AUTHORIZATION, bearer(&self.tokens.token()?)?);
        Ok(request)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Peer({})", self.name)
    }
}

/// A token as `authorization` carries it, for clients of the suite.
///
/// # Errors
/// INTERNAL for a token that is no ASCII.
pub fn bearer(token: &BearerToken) -> Result<MetadataValue<Ascii>> {
    sensitive(format!("Bearer {}", token.reveal()))
}

fn sensitive(text: String) -> Result<MetadataValue<Ascii>> {
    let value = MetadataValue::try_from(text);
    let mut value = value.map_err(|_| Failure::internal("a token is no ASCII"))?;
    // Never indexed by HPACK, and shown as `Sensitive` by every `Debug`.
    value.set_sensitive(true);
    Ok(value)
}
