//! The four services as the tour calls them: real clients, with a token for whoever acts.

use api::consent::v1::access_service_client::AccessServiceClient;
use api::consent::v1::authorization_service_client::AuthorizationServiceClient;
use api::consent::v1::consent_service_client::ConsentServiceClient;
use api::consent::v1::representation_service_client::RepresentationServiceClient;
use api::consent::v1::review_service_client::ReviewServiceClient;
use api::dossier::v1::document_service_client::DocumentServiceClient;
use api::dossier::v1::dossier_service_client::DossierServiceClient;
use api::dossier::v1::duty_service_client::DutyServiceClient;
use api::dossier::v1::journal_service_client::JournalServiceClient;
use api::identifier::v1::host_service_client::HostServiceClient;
use api::identifier::v1::identifier_service_client::IdentifierServiceClient;
use api::messaging::v1::directory_service_client::DirectoryServiceClient;
use api::messaging::v1::mailbox_service_client::MailboxServiceClient;
use api::messaging::v1::message_service_client::MessageServiceClient;
use api::messaging::v1::notice_service_client::NoticeServiceClient;
use serve::{Claims, TokenIssuer, bearer};
use std::time::Duration;
use store::random::Random;
use store::time::{Clock, Timestamp};
use tonic::Request;
use tonic::transport::Channel;

use super::{TourError, Visit};
use crate::endpoints::Channels;

/// Long enough for the largest document on a slow disk.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);

/// Clients of the four services.
pub(super) struct Clients<'a> {
    issuer: &'a TokenIssuer,
    clock: &'a Clock,
    random: &'a Random,
    channels: Channels,
}

macro_rules! clients {
    ($($name:ident, $client:ident, $channel:ident;)+) => {
        $(pub(super) fn $name(&self) -> $client<Channel> {
            $client::new(self.channels.$channel.clone())
        })+
    };
}

impl<'a> Clients<'a> {
    pub(super) fn new(visit: &Visit<'a>) -> Result<Self, TourError> {
        Ok(Self {
            issuer: visit.issuer,
            clock: visit.clock,
            random: visit.random,
            channels: visit.endpoints.channels(visit.clock)?,
        })
    }

    clients! {
        identifiers, IdentifierServiceClient, identifier;
        hosts, HostServiceClient, identifier;
        consents, ConsentServiceClient, consent;
        representations, RepresentationServiceClient, consent;
        authorizations, AuthorizationServiceClient, consent;
        rights, AccessServiceClient, consent;
        reviews, ReviewServiceClient, consent;
        dossiers, DossierServiceClient, dossier;
        documents, DocumentServiceClient, dossier;
        journal, JournalServiceClient, dossier;
        duties, DutyServiceClient, dossier;
        directory, DirectoryServiceClient, messaging;
        mailboxes, MailboxServiceClient, messaging;
        messages, MessageServiceClient, messaging;
        notices, NoticeServiceClient, messaging;
    }

    /// A request of somebody.
    pub(super) fn ask<M>(&self, who: &Claims, message: M) -> Result<Request<M>, TourError> {
        let token = self
            .issuer
            .mint(who, TOKEN_LIFETIME, self.clock)
            .map_err(TourError::Token)?;
        let mut request = Request::new(message);
        request.set_timeout(CALL_TIMEOUT);
        request
            .metadata_mut()
            .insert("authorization", bearer(&token).map_err(TourError::Token)?);
        Ok(request)
    }

    /// A new `request_id`.
    pub(super) fn request_id(&self) -> String {
        self.random.uuid().to_string()
    }

    /// The moment.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The name of who mints the tokens.
    pub(super) fn issuer(&self) -> &str {
        self.issuer.issuer()
    }
}
