//! A stage for journeys: the whole suite on one engine, behind real ports, and what everybody does there.
//!
//! Tests fail by panicking, so this crate may.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a journey that cannot be played fails by panicking"
)]

mod second;

pub use second::Second;

use api::common::v1::{AccessContext, AccessMode, Receipt};
use api::consent::v1 as consent;
use api::consent::v1::access_service_client::AccessServiceClient;
use api::consent::v1::authorization_service_client::AuthorizationServiceClient;
use api::consent::v1::consent_service_client::ConsentServiceClient;
use api::consent::v1::representation_service_client::RepresentationServiceClient;
use api::consent::v1::review_service_client::ReviewServiceClient;
use api::dossier::v1 as dossier;
use api::dossier::v1::document_service_client::DocumentServiceClient;
use api::dossier::v1::dossier_service_client::DossierServiceClient;
use api::dossier::v1::journal_service_client::JournalServiceClient;
use api::dossier::v1::submit_document_request::Part;
use api::identifier::v1 as identifier;
use api::identifier::v1::identifier_service_client::IdentifierServiceClient;
use api::messaging::v1 as messaging;
use api::messaging::v1::notice_service_client::NoticeServiceClient;
use dmp::endpoints::{Channels, Endpoints};
use dmp::home::Home;
use dmp::suite::{Plan, Suite};
use serve::{Claims, TokenIssuer, bearer};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;
use store::random::Random;
use store::time::Clock;
use testkit::{Bench, Engine, actor, cluster};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// The consultation of the sample documents.
pub const CONSULTATION: &[u8] = include_bytes!("../../shared/testkit/samples/consultation.xml");

/// Matricule of the patient of the sample documents.
pub const SAMPLE_MATRICULE: &str = "285046912304201";

/// The suite on one engine, in this process, with the bench's clock.
pub struct Stage {
    /// The engine, the clock and the randomness of everybody.
    pub bench: Bench,
    /// The folder of keys.
    pub home: Home,
    /// The four services.
    pub suite: Suite,
    plan: Plan,
    clients: Clients,
}

/// What is done on a stage is done by its clients.
impl Deref for Stage {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}

impl Stage {
    /// Starts the suite on the bench's engine.
    pub async fn on(bench: Bench) -> Self {
        Self::planned(bench, Plan::default()).await
    }

    /// Starts the suite as planned, on free ports.
    pub async fn planned(bench: Bench, plan: Plan) -> Self {
        let home = Home::open(&bench.folder().join("home"), &bench.random).unwrap();
        let plan = Plan {
            base_port: 0,
            databases: databases(bench.engine).await,
            ..plan
        };
        Self::start(bench, home, plan).await
    }

    async fn start(bench: Bench, home: Home, plan: Plan) -> Self {
        let suite = Suite::start(&home, &plan, &bench.clock, &bench.random).await.unwrap();
        let clients = Clients::new(&suite.endpoints, &home, bench.clock.clone(), bench.random.clone());
        Self {
            bench,
            home,
            suite,
            plan,
            clients,
        }
    }

    /// Stops the suite and starts it again on the same folder and databases, on other ports.
    pub async fn restart(self) -> Self {
        self.restart_after(std::future::ready(())).await
    }

    /// As [`Stage::restart`], with something that happens while the suite is stopped.
    pub async fn restart_after(self, meanwhile: impl Future<Output = ()>) -> Self {
        self.suite.stop().await;
        meanwhile.await;
        Self::start(self.bench, self.home, self.plan).await
    }

    /// The services with the addresses of their databases, for who looks into them from outside.
    pub fn databases(&self) -> [(&'static str, String); 4] {
        dmp::suite::SERVICES.map(|service| {
            let given = self.plan.databases.get(service).cloned();
            let url = given.unwrap_or_else(|| self.home.database(service).reveal().to_owned());
            (service, url)
        })
    }
}

/// Everybody who calls a suite, wherever it runs.
#[derive(Clone)]
pub struct Clients {
    channels: Channels,
    people: TokenIssuer,
    clock: Clock,
    random: Random,
}

impl Clients {
    /// Clients of the suite at `endpoints`, with tokens of `home`.
    pub fn new(endpoints: &Endpoints, home: &Home, clock: Clock, random: Random) -> Self {
        Self {
            channels: endpoints.channels(&clock).unwrap(),
            people: home.people().unwrap(),
            clock,
            random,
        }
    }

    /// A request of the bearer of `claims`.
    pub fn request<M>(&self, claims: &Claims, message: M) -> Request<M> {
        let token = self.people.mint(claims, Duration::from_secs(600), &self.clock).unwrap();
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", bearer(&token).unwrap());
        request
    }

    /// A fresh `request_id`.
    pub fn request_id(&self) -> String {
        self.random.uuid().to_string()
    }

    /// Mints tokens for people.
    pub fn people(&self) -> &TokenIssuer {
        &self.people
    }

    /// Enrols somebody nobody knows, as the administrator.
    pub async fn enrol(&self, matricule: &str) -> Result<identifier::Beneficiary, Status> {
        let request = identifier::EnrolBeneficiaryRequest {
            request_id: self.request_id(),
            ins: Some(ins(matricule)),
            traits: Some(traits("INVENTE", "CAMILLE", "19790328")),
            identity_status: identifier::IdentityStatus::Qualified.into(),
        };
        let request = self.request(&actor::administrator(), request);
        Ok(self.identifiers().enrol_beneficiary(request).await?.into_inner())
    }

    /// Enrols the patient of the sample documents.
    pub async fn sample_patient(&self) -> String {
        let request = identifier::EnrolBeneficiaryRequest {
            request_id: self.request_id(),
            ins: Some(ins(SAMPLE_MATRICULE)),
            traits: Some(traits("SPECIMEN-ARDOISE", "MAELLE JEANNE", "19850412")),
            identity_status: identifier::IdentityStatus::Qualified.into(),
        };
        let request = self.request(&actor::administrator(), request);
        self.identifiers()
            .enrol_beneficiary(request)
            .await
            .unwrap()
            .into_inner()
            .dmp_id
    }

    /// Records the holder's own consent to the dossier's creation.
    pub async fn consent(&self, dmp_id: &str) -> consent::Consent {
        let request = consent::RecordConsentRequest {
            request_id: self.request_id(),
            ..creation_consent(dmp_id)
        };
        let request = self.request(&actor::holder(dmp_id), request);
        self.consents().record_consent(request).await.unwrap().into_inner()
    }

    /// Withdraws a consent, as the holder.
    pub async fn withdraw(&self, consent: &consent::Consent) -> consent::Consent {
        let request = consent::WithdrawConsentRequest {
            request_id: self.request_id(),
            dmp_id: consent.dmp_id.clone(),
            consent_id: consent.consent_id.clone(),
        };
        let request = self.request(&actor::holder(&consent.dmp_id), request);
        self.consents().withdraw_consent(request).await.unwrap().into_inner()
    }

    /// Opens the dossier, as its holder.
    pub async fn open(&self, dmp_id: &str) -> Result<dossier::Dossier, Status> {
        let request = dossier::OpenDossierRequest {
            request_id: self.request_id(),
            dmp_id: dmp_id.to_owned(),
        };
        let request = self.request(&actor::holder(dmp_id), request);
        Ok(self.dossiers().open_dossier(request).await?.into_inner())
    }

    /// An identifier with a consent and an open dossier.
    pub async fn open_dossier(&self) -> (String, consent::Consent) {
        let dmp_id = self.sample_patient().await;
        let consent = self.consent(&dmp_id).await;
        self.open(&dmp_id).await.unwrap();
        (dmp_id, consent)
    }

    /// Authorises a professional, as the holder.
    pub async fn authorize(&self, dmp_id: &str, professional_id: &str) -> consent::Authorization {
        let request = consent::AuthorizeProfessionalRequest {
            request_id: self.request_id(),
            dmp_id: dmp_id.to_owned(),
            professional_id: professional_id.to_owned(),
            ..consent::AuthorizeProfessionalRequest::default()
        };
        let request = self.request(&actor::holder(dmp_id), request);
        self.authorizations()
            .authorize_professional(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Blocks a professional, as the holder.
    pub async fn block(&self, dmp_id: &str, professional_id: &str) {
        let request = consent::BlockProfessionalRequest {
            request_id: self.request_id(),
            dmp_id: dmp_id.to_owned(),
            professional_id: professional_id.to_owned(),
        };
        self.authorizations()
            .block_professional(self.request(&actor::holder(dmp_id), request))
            .await
            .unwrap();
    }

    /// Deposits a CDA document in chunks.
    pub async fn submit(
        &self,
        claims: &Claims,
        dmp_id: &str,
        content: &[u8],
    ) -> Result<dossier::SubmitDocumentResponse, Status> {
        let header = dossier::SubmitDocumentHeader {
            request_id: self.request_id(),
            dmp_id: dmp_id.to_owned(),
            media_type: "text/xml".to_owned(),
            visibility: Some(dossier::Visibility::default()),
            ..dossier::SubmitDocumentHeader::default()
        };
        let chunks = content.chunks(100_000).map(|chunk| Part::Chunk(chunk.to_vec()));
        let parts: Vec<_> = std::iter::once(Part::Header(header))
            .chain(chunks)
            .map(|part| dossier::SubmitDocumentRequest { part: Some(part) })
            .collect();
        let request = self.request(claims, tokio_stream::iter(parts));
        Ok(self.documents().submit_document(request).await?.into_inner())
    }

    /// Lists documents in the normal mode.
    pub async fn list(&self, claims: &Claims, dmp_id: &str) -> Result<dossier::ListDocumentsResponse, Status> {
        let request = dossier::ListDocumentsRequest {
            dmp_id: dmp_id.to_owned(),
            ..dossier::ListDocumentsRequest::default()
        };
        Ok(self
            .documents()
            .list_documents(self.request(claims, request))
            .await?
            .into_inner())
    }

    /// Reads a document's content with its receipt.
    pub async fn read(&self, claims: &Claims, dmp_id: &str, unique_id: &str) -> Result<(Vec<u8>, Receipt), Status> {
        use dossier::read_document_response::Part;
        let request = dossier::ReadDocumentRequest {
            dmp_id: dmp_id.to_owned(),
            unique_id: unique_id.to_owned(),
            context: Some(AccessContext::default()),
        };
        let mut stream = self
            .documents()
            .read_document(self.request(claims, request))
            .await?
            .into_inner();
        let (mut content, mut receipt) = (Vec::new(), None);
        while let Some(message) = stream.message().await? {
            match message.part {
                Some(Part::Head(head)) => receipt = head.receipt,
                Some(Part::Chunk(chunk)) => content.extend(chunk),
                None => panic!("an empty message"),
            }
        }
        Ok((content, receipt.expect("the head carries the receipt")))
    }

    /// All accesses to a dossier, newest first, as its holder.
    pub async fn accesses(&self, dmp_id: &str) -> Vec<dossier::Access> {
        let request = dossier::ListAccessesRequest {
            dmp_id: dmp_id.to_owned(),
            page_size: 500,
            ..dossier::ListAccessesRequest::default()
        };
        let request = self.request(&actor::holder(dmp_id), request);
        let page = self.journal().list_accesses(request).await.unwrap().into_inner();
        page.entries.into_iter().filter_map(|entry| entry.access).collect()
    }

    /// Designates a treating physician, as the holder.
    pub async fn designate(&self, dmp_id: &str, professional_id: &str) {
        let request = consent::DesignateTreatingPhysicianRequest {
            request_id: self.request_id(),
            dmp_id: dmp_id.to_owned(),
            professional_id: professional_id.to_owned(),
        };
        let request = self.request(&actor::holder(dmp_id), request);
        self.authorizations()
            .designate_treating_physician(request)
            .await
            .unwrap();
    }

    /// Lists documents by break-glass.
    pub async fn break_glass(
        &self,
        claims: &Claims,
        dmp_id: &str,
        reason: &str,
    ) -> Result<dossier::ListDocumentsResponse, Status> {
        let request = dossier::ListDocumentsRequest {
            dmp_id: dmp_id.to_owned(),
            context: Some(AccessContext {
                mode: AccessMode::BreakGlass.into(),
                reason: reason.to_owned(),
                ..AccessContext::default()
            }),
            ..dossier::ListDocumentsRequest::default()
        };
        let request = self.request(claims, request);
        Ok(self.documents().list_documents(request).await?.into_inner())
    }

    /// The notices of whoever asks; those of a dossier, for a representative.
    pub async fn notices(&self, claims: &Claims, dmp_id: &str) -> Vec<messaging::Notice> {
        let request = messaging::ListNoticesRequest {
            dmp_id: dmp_id.to_owned(),
            page_size: 500,
            ..messaging::ListNoticesRequest::default()
        };
        let request = self.request(claims, request);
        let listed = self.notice_service().list_notices(request).await.unwrap();
        listed.into_inner().notices
    }

    /// Client of NoticeService.
    pub fn notice_service(&self) -> NoticeServiceClient<Channel> {
        NoticeServiceClient::new(self.channels.messaging.clone())
    }

    /// Client of ReviewService.
    pub fn reviews(&self) -> ReviewServiceClient<Channel> {
        ReviewServiceClient::new(self.channels.consent.clone())
    }

    /// Client of RepresentationService.
    pub fn representations(&self) -> RepresentationServiceClient<Channel> {
        RepresentationServiceClient::new(self.channels.consent.clone())
    }

    /// Client of AccessService.
    pub fn decisions(&self) -> AccessServiceClient<Channel> {
        AccessServiceClient::new(self.channels.consent.clone())
    }

    /// Client of the identifier service.
    pub fn identifiers(&self) -> IdentifierServiceClient<Channel> {
        IdentifierServiceClient::new(self.channels.identifier.clone())
    }

    /// Client of the consent service.
    pub fn consents(&self) -> ConsentServiceClient<Channel> {
        ConsentServiceClient::new(self.channels.consent.clone())
    }

    /// Client of the consent service's authorisations.
    pub fn authorizations(&self) -> AuthorizationServiceClient<Channel> {
        AuthorizationServiceClient::new(self.channels.consent.clone())
    }

    /// Client of the dossier service.
    pub fn dossiers(&self) -> DossierServiceClient<Channel> {
        DossierServiceClient::new(self.channels.dossier.clone())
    }

    /// Client of the dossier service's documents.
    pub fn documents(&self) -> DocumentServiceClient<Channel> {
        DocumentServiceClient::new(self.channels.dossier.clone())
    }

    /// Client of the dossier service's journal.
    pub fn journal(&self) -> JournalServiceClient<Channel> {
        JournalServiceClient::new(self.channels.dossier.clone())
    }
}

fn ins(matricule: &str) -> identifier::Ins {
    identifier::Ins {
        matricule: matricule.to_owned(),
        oid: "1.2.250.1.213.1.4.10".to_owned(),
    }
}

fn traits(family: &str, given: &str, birth_date: &str) -> identifier::StrictTraits {
    identifier::StrictTraits {
        birth_family_name: family.to_owned(),
        birth_given_names: given.to_owned(),
        birth_date: birth_date.to_owned(),
        sex: identifier::Sex::Female.into(),
        birth_place_code: "69123".to_owned(),
    }
}

/// The holder's own consent to the dossier's creation, still without a `request_id`.
pub fn creation_consent(dmp_id: &str) -> consent::RecordConsentRequest {
    consent::RecordConsentRequest {
        request_id: String::new(),
        dmp_id: dmp_id.to_owned(),
        purpose: consent::Purpose::Creation.into(),
        giver: Some(consent::Giver {
            capacity: consent::Capacity::Person.into(),
            representation_id: String::new(),
        }),
        mode: consent::ConsentMode::Online.into(),
        evidence: Some(consent::Evidence {
            kind: "online-session".to_owned(),
            sha256: vec![7; 32],
        }),
    }
}

/// An empty database for each service, where the engine is not the embedded one.
pub async fn databases(engine: Engine) -> BTreeMap<String, String> {
    let mut databases = BTreeMap::new();
    if engine == Engine::Postgres {
        for service in dmp::suite::SERVICES {
            databases.insert(service.to_owned(), cluster().unwrap().new_database().await);
        }
    }
    databases
}
