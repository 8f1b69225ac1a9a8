//! A dossier service between its scripted peers, and short ways to call it.

use api::common::v1::AccessContext;
use api::dossier::v1 as pb;
use api::dossier::v1::document_service_client::DocumentServiceClient;
use api::dossier::v1::dossier_service_client::DossierServiceClient;
use api::dossier::v1::duty_service_client::DutyServiceClient;
use api::dossier::v1::journal_service_client::JournalServiceClient;
use api::dossier::v1::read_document_response::Part as ReadPart;
use api::dossier::v1::submit_document_request::Part;
use api::identity::DmpId;
use dossier::{Checks, Config, Dossier};
use journal::LogKey;
use serve::Claims;
use std::path::Path;
use testkit::{Bench, Refusal, Started, actor, refusal};
use tonic::Status;
use tonic::transport::Channel;

use crate::peers::{Peers, RunningPeers};

/// The host of every test.
pub(crate) const HOST_ID: &str = "11111111-2222-4333-8444-555555555555";

/// The name of the log of every test.
pub(crate) const ORIGIN: &str = "log.test/dossier";

/// A service, its peers, and the holder of one dossier.
pub(crate) struct House {
    pub(crate) bench: Bench,
    pub(crate) service: Started<Dossier>,
    pub(crate) peers: RunningPeers,
    pub(crate) dmp_id: String,
}

/// A document to deposit, by default a CDA.
#[derive(Clone)]
pub(crate) struct Deposit {
    pub(crate) header: pb::SubmitDocumentHeader,
    pub(crate) content: Vec<u8>,
}

impl House {
    /// With the default settings, but for test identities.
    pub(crate) async fn new(bench: Bench) -> Self {
        Self::with(bench, |_| ()).await
    }

    /// With settings changed.
    pub(crate) async fn with(bench: Bench, change: impl FnOnce(&mut Config)) -> Self {
        let dmp_id = DmpId::generate(bench.random.bytes()).as_str().to_owned();
        let peers = RunningPeers::start(&dmp_id).await;
        bench.peer("consent", &peers.server.url);
        bench.peer("identifier", &peers.server.url);
        let mut config = config(&bench);
        change(&mut config);
        let service = bench.start::<Dossier>(config).await;
        Self {
            bench,
            service,
            peers,
            dmp_id,
        }
    }

    /// With the dossier open.
    pub(crate) async fn open(bench: Bench) -> Self {
        let house = Self::new(bench).await;
        house.open_dossier(&house.bench.request_id()).await.unwrap();
        house
    }

    pub(crate) fn script(&self) -> &Peers {
        &self.peers.script
    }

    /// The holder of the dossier.
    pub(crate) fn holder(&self) -> Claims {
        actor::holder(&self.dmp_id)
    }

    pub(crate) fn dossiers(&self) -> DossierServiceClient<Channel> {
        DossierServiceClient::new(self.service.channel())
    }

    pub(crate) fn documents(&self) -> DocumentServiceClient<Channel> {
        DocumentServiceClient::new(self.service.channel())
    }

    pub(crate) fn journal(&self) -> JournalServiceClient<Channel> {
        JournalServiceClient::new(self.service.channel())
    }

    pub(crate) fn duties(&self) -> DutyServiceClient<Channel> {
        DutyServiceClient::new(self.service.channel())
    }

    pub(crate) async fn open_dossier(&self, request_id: &str) -> Result<pb::Dossier, Status> {
        let request = pb::OpenDossierRequest {
            request_id: request_id.to_owned(),
            dmp_id: self.dmp_id.clone(),
        };
        let request = self.bench.request(&physician(), request);
        self.dossiers()
            .open_dossier(request)
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) async fn close_dossier(&self, request_id: &str) -> Result<pb::Dossier, Status> {
        let request = pb::CloseDossierRequest {
            request_id: request_id.to_owned(),
            dmp_id: self.dmp_id.clone(),
            reason: 0,
        };
        let request = self.bench.request(&self.holder(), request);
        self.dossiers()
            .close_dossier(request)
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) async fn status(&self) -> pb::DossierStatus {
        let request = pb::GetDossierStatusRequest {
            dmp_id: self.dmp_id.clone(),
        };
        let request = self.bench.request(&physician(), request);
        self.dossiers().get_dossier_status(request).await.unwrap().into_inner()
    }

    /// A CDA document to deposit.
    pub(crate) fn cda(&self, content: impl Into<Vec<u8>>) -> Deposit {
        let header = pb::SubmitDocumentHeader {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            media_type: "text/xml".to_owned(),
            ..Default::default()
        };
        Deposit {
            header,
            content: content.into(),
        }
    }

    /// A text to deposit, of type 11488-4, whose act started `day` days into 2026.
    pub(crate) fn text(&self, unique_id: &str, day: i64, content: &str) -> Deposit {
        let start = prost_types::Timestamp {
            seconds: 1_767_225_600 + day * 86_400,
            nanos: 0,
        };
        let given = pb::GivenMetadata {
            unique_id: unique_id.to_owned(),
            type_code: "11488-4".to_owned(),
            title: "Compte rendu".to_owned(),
            creation_time: Some(start),
            practice_setting_code: "AMBULATOIRE".to_owned(),
            healthcare_facility_type_code: "SA07".to_owned(),
            ..Default::default()
        };
        let mut deposit = self.cda(content.as_bytes());
        deposit.header.media_type = "text/plain".to_owned();
        deposit.header.given = Some(given);
        deposit
    }

    pub(crate) async fn submit(
        &self,
        claims: &Claims,
        deposit: &Deposit,
    ) -> Result<pb::SubmitDocumentResponse, Status> {
        self.submit_parts(claims, parts(deposit)).await
    }

    pub(crate) async fn submit_parts(
        &self,
        claims: &Claims,
        parts: Vec<Part>,
    ) -> Result<pb::SubmitDocumentResponse, Status> {
        let parts = parts
            .into_iter()
            .map(|part| pb::SubmitDocumentRequest { part: Some(part) });
        let request = self
            .bench
            .request(claims, futures::stream::iter(parts.collect::<Vec<_>>()));
        self.documents()
            .submit_document(request)
            .await
            .map(tonic::Response::into_inner)
    }

    /// Deposits as the first physician, and answers the document.
    pub(crate) async fn deposit(&self, deposit: &Deposit) -> pb::Document {
        self.submit(&physician(), deposit).await.unwrap().document.unwrap()
    }

    pub(crate) fn list_request(&self) -> pb::ListDocumentsRequest {
        pb::ListDocumentsRequest {
            dmp_id: self.dmp_id.clone(),
            ..Default::default()
        }
    }

    pub(crate) async fn list(
        &self,
        claims: &Claims,
        request: pb::ListDocumentsRequest,
    ) -> Result<pb::ListDocumentsResponse, Status> {
        let request = self.bench.request(claims, request);
        self.documents()
            .list_documents(request)
            .await
            .map(tonic::Response::into_inner)
    }

    /// Ids of all that the bearer of `claims` is shown.
    pub(crate) async fn listed(&self, claims: &Claims) -> Vec<String> {
        let listed = self.list(claims, self.list_request()).await.unwrap();
        assert!(listed.next_page_token.is_empty());
        listed
            .documents
            .into_iter()
            .map(|document| document.unique_id.clone())
            .collect()
    }

    pub(crate) async fn get(&self, claims: &Claims, unique_id: &str) -> Result<pb::GetDocumentResponse, Status> {
        self.get_in(claims, unique_id, None).await
    }

    pub(crate) async fn get_in(
        &self,
        claims: &Claims,
        unique_id: &str,
        context: Option<AccessContext>,
    ) -> Result<pb::GetDocumentResponse, Status> {
        let request = pb::GetDocumentRequest {
            dmp_id: self.dmp_id.clone(),
            unique_id: unique_id.to_owned(),
            context,
        };
        let request = self.bench.request(claims, request);
        self.documents()
            .get_document(request)
            .await
            .map(tonic::Response::into_inner)
    }

    /// Reads a document: its head, and its chunks.
    pub(crate) async fn read(
        &self,
        claims: &Claims,
        unique_id: &str,
    ) -> Result<(pb::GetDocumentResponse, Vec<Vec<u8>>), Status> {
        self.read_in(claims, unique_id, None).await
    }

    pub(crate) async fn read_in(
        &self,
        claims: &Claims,
        unique_id: &str,
        context: Option<AccessContext>,
    ) -> Result<(pb::GetDocumentResponse, Vec<Vec<u8>>), Status> {
        let request = pb::ReadDocumentRequest {
            dmp_id: self.dmp_id.clone(),
            unique_id: unique_id.to_owned(),
            context,
        };
        let request = self.bench.request(claims, request);
        let mut stream = self.documents().read_document(request).await?.into_inner();
        let Some(ReadPart::Head(head)) = stream.message().await?.and_then(|response| response.part) else {
            panic!("the head comes first");
        };
        let mut chunks = Vec::new();
        while let Some(response) = stream.message().await? {
            let Some(ReadPart::Chunk(chunk)) = response.part else {
                panic!("one head only")
            };
            chunks.push(chunk);
        }
        Ok((head, chunks))
    }

    /// All accesses to the dossier but this listing, newest first, as the holder sees them.
    pub(crate) async fn accesses(&self) -> Vec<pb::Access> {
        self.chain(&self.holder(), false).await
    }

    /// One of the dossier's two chains but this listing, newest first.
    pub(crate) async fn chain(&self, claims: &Claims, secret: bool) -> Vec<pb::Access> {
        let request = pb::ListAccessesRequest {
            dmp_id: self.dmp_id.clone(),
            page_size: 500,
            secret,
            ..Default::default()
        };
        let request = self.bench.request(claims, request);
        let listed = self.journal().list_accesses(request).await.unwrap().into_inner();
        listed.entries.into_iter().map(|entry| entry.access.unwrap()).collect()
    }

    /// The same service, dossier and peers after a restart.
    pub(crate) async fn restarted(self) -> Self {
        let settings = self.service.stop().await;
        let service = self.bench.start_with::<Dossier>(settings).await;
        Self {
            bench: self.bench,
            service,
            peers: self.peers,
            dmp_id: self.dmp_id,
        }
    }

    /// The newest access that is not a listing of accesses.
    pub(crate) async fn last_access(&self) -> pb::Access {
        let listing = i32::from(pb::AccessAction::ListAccesses);
        self.accesses()
            .await
            .into_iter()
            .find(|access| access.action != listing)
            .unwrap()
    }

    /// The verifier of the service's log.
    pub(crate) async fn verifier(&self) -> journal::VerifierKey {
        let request = self.bench.request(&actor::auditor(), pb::GetCheckpointRequest {});
        let checkpoint = self.journal().get_checkpoint(request).await.unwrap().into_inner();
        journal::VerifierKey::parse(&checkpoint.verifier_key).unwrap()
    }
}

/// Settings on this bench.
pub(crate) fn config(bench: &Bench) -> Config {
    let log_key = LogKey::from_seed(ORIGIN, [5; 32]).unwrap();
    Config {
        host_id: HOST_ID.to_owned(),
        key_file: bench.file("host.key", &[3; 32]),
        log_key_file: bench.file("log.key", log_key.to_private_text().as_bytes()),
        checks: Checks {
            accept_test_identities: true,
            ..Checks::default()
        },
        ..Config::default()
    }
}

/// A deposit as the parts of its stream.
pub(crate) fn parts(deposit: &Deposit) -> Vec<Part> {
    let chunks = deposit.content.chunks(100_000).map(|chunk| Part::Chunk(chunk.to_vec()));
    [Part::Header(deposit.header.clone())]
        .into_iter()
        .chain(chunks)
        .collect()
}

/// The physician of most tests.
pub(crate) fn physician() -> Claims {
    actor::physician(actor::PHYSICIAN)
}

/// Another one.
pub(crate) fn other_physician() -> Claims {
    actor::physician(actor::OTHER_PHYSICIAN)
}

/// A sample document.
pub(crate) fn sample(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testkit/samples");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The sample with one piece of its text replaced; fails if that piece is not in it.
pub(crate) fn sample_with(name: &str, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(sample(name)).unwrap();
    assert!(text.contains(from), "not in the sample: {from}");
    text.replace(from, to).into_bytes()
}

/// What a refusal says.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> Refusal {
    refusal(&result.expect_err("must be refused"))
}

/// A secret connection.
pub(crate) fn secretly() -> AccessContext {
    AccessContext {
        secret_connection: true,
        ..AccessContext::default()
    }
}

/// A break-glass context with its reason.
pub(crate) fn break_glass(reason: &str) -> AccessContext {
    AccessContext {
        mode: api::common::v1::AccessMode::BreakGlass.into(),
        reason: reason.to_owned(),
        ..AccessContext::default()
    }
}
