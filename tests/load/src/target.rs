//! The suite under load: where it answers, and clients of it.

use api::consent::v1::access_service_client::AccessServiceClient;
use api::consent::v1::authorization_service_client::AuthorizationServiceClient;
use api::consent::v1::consent_service_client::ConsentServiceClient;
use api::dossier::v1::document_service_client::DocumentServiceClient;
use api::dossier::v1::dossier_service_client::DossierServiceClient;
use api::dossier::v1::journal_service_client::JournalServiceClient;
use api::identifier::v1::identifier_service_client::IdentifierServiceClient;
use api::messaging::v1::directory_service_client::DirectoryServiceClient;
use api::messaging::v1::mailbox_service_client::MailboxServiceClient;
use api::messaging::v1::message_service_client::MessageServiceClient;
use serde::{Deserialize, Serialize};
use serve::tls::Client as Tls;
use serve::{Claims, Failure, TokenIssuer, bearer};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::random::Random;
use store::time::{Clock, Timestamp};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::LoadError;

/// A token is used again until so little is left of it.
const TOKEN_LIFETIME: Duration = Duration::from_secs(1_800);
const TOKEN_REST: Duration = Duration::from_secs(120);
/// Tokens kept; more are made anew each time.
const TOKENS_MAX: usize = 200_000;

/// Where the four services answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// As `http://127.0.0.1:7001`.
    pub identifier: String,
    /// As `http://127.0.0.1:7002`.
    pub consent: String,
    /// As `http://127.0.0.1:7003`.
    pub dossier: String,
    /// As `http://127.0.0.1:7004`.
    pub messaging: String,
}

/// A suite, and what is needed to call it as anybody.
pub struct Target {
    /// Where it answers.
    pub endpoints: Endpoints,
    /// How its services are recognised, when they are called over TLS.
    pub tls: Option<Tls>,
    /// Mints the tokens of all who act.
    pub issuer: TokenIssuer,
    /// The time that the services tell.
    pub clock: Clock,
    /// Identifiers of requests and documents.
    pub random: Random,
    /// Where the population that was settled is remembered, and the lock of a suite that runs here is looked for.
    pub folder: PathBuf,
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Target")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// A channel to the service called `service`.
    fn channel(&self, service: &'static str, address: &str) -> Result<Channel, LoadError> {
        channel(self.tls.as_ref(), service, address)
    }
}

/// A channel as the services have them to each other, whoever answers: a suite under load, or what it is compared to.
pub(crate) fn channel(tls: Option<&Tls>, service: &'static str, address: &str) -> Result<Channel, LoadError> {
    let channel = match tls {
        Some(tls) => tls.channel(service, address),
        None => serve::cleartext_channel(service, address),
    };
    channel.map_err(|_| LoadError::Address { service })
}

/// Several connections to one service, taken in turn.
#[derive(Debug)]
struct Turn {
    channels: Vec<Channel>,
    next: AtomicUsize,
}

impl Turn {
    fn open(target: &Target, service: &'static str, address: &str, connections: usize) -> Result<Self, LoadError> {
        let channels = (0..connections.max(1)).map(|_| target.channel(service, address));
        Ok(Self {
            channels: channels.collect::<Result<_, _>>()?,
            next: AtomicUsize::new(0),
        })
    }

    fn take(&self) -> Channel {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.channels.len();
        #[expect(
            clippy::indexing_slicing,
            reason = "a turn is below the number of channels, of which there is one"
        )]
        self.channels[turn].clone()
    }
}

type Token = MetadataValue<Ascii>;

/// Clients of the four services, with a token for whoever acts.
pub(crate) struct Clients {
    identifier: Turn,
    consent: Turn,
    dossier: Turn,
    messaging: Turn,
    issuer: TokenIssuer,
    clock: Clock,
    random: Random,
    deadline: Duration,
    tokens: Mutex<HashMap<String, (Token, Timestamp)>>,
}

macro_rules! clients {
    ($($name:ident, $client:ident, $turn:ident;)+) => {
        $(pub(crate) fn $name(&self) -> $client<Channel> {
            $client::new(self.$turn.take())
        })+
    };
}

impl Clients {
    pub(crate) fn new(target: &Target, connections: usize, deadline: Duration) -> Result<Self, LoadError> {
        let turn = |service, address: &str| Turn::open(target, service, address, connections);
        Ok(Self {
            identifier: turn("identifier", &target.endpoints.identifier)?,
            consent: turn("consent", &target.endpoints.consent)?,
            dossier: turn("dossier", &target.endpoints.dossier)?,
            messaging: turn("messaging", &target.endpoints.messaging)?,
            issuer: target.issuer.clone(),
            clock: target.clock.clone(),
            random: target.random.clone(),
            deadline,
            tokens: Mutex::default(),
        })
    }

    clients! {
        identifiers, IdentifierServiceClient, identifier;
        decisions, AccessServiceClient, consent;
        consents, ConsentServiceClient, consent;
        authorizations, AuthorizationServiceClient, consent;
        dossiers, DossierServiceClient, dossier;
        documents, DocumentServiceClient, dossier;
        journals, JournalServiceClient, dossier;
        directory, DirectoryServiceClient, messaging;
        mailboxes, MailboxServiceClient, messaging;
        messages, MessageServiceClient, messaging;
    }

    /// A request of somebody, good until the deadline.
    pub(crate) fn ask<M>(&self, who: &Claims, message: M) -> Result<Request<M>, Failure> {
        let mut request = self.ask_at_leisure(who, message)?;
        request.set_timeout(self.deadline);
        Ok(request)
    }

    /// A request of somebody, without a deadline of ours: for streams that stay.
    pub(crate) fn ask_at_leisure<M>(&self, who: &Claims, message: M) -> Result<Request<M>, Failure> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.token(who)?);
        Ok(request)
    }

    /// A new `request_id`.
    pub(crate) fn request_id(&self) -> String {
        self.random.uuid().to_string()
    }

    fn token(&self, who: &Claims) -> Result<Token, Failure> {
        let now = self.clock.now();
        let kept = || self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, until)) = kept().get(&who.sub)
            && *until > now
        {
            return Ok(token.clone());
        }
        let token = bearer(&self.issuer.mint(who, TOKEN_LIFETIME, &self.clock)?)?;
        let until = now + (TOKEN_LIFETIME - TOKEN_REST);
        let mut kept = kept();
        if kept.len() < TOKENS_MAX || kept.contains_key(&who.sub) {
            kept.insert(who.sub.clone(), (token.clone(), until));
        }
        Ok(token)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clients")
    }
}
