//! Consent and identifier as scripts: real gRPC servers whose answers a test writes.

use api::consent::v1 as consent;
use api::consent::v1::Operation;
use api::consent::v1::access_service_server::{AccessService, AccessServiceServer};
use api::consent::v1::decision::Outcome;
use api::identifier::v1 as identifier;
use api::identifier::v1::host_service_server::{HostService, HostServiceServer};
use api::identifier::v1::identifier_service_server::{IdentifierService, IdentifierServiceServer};
use futures::stream::BoxStream;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

type Answer<Q, A> = Box<dyn Fn(&Q) -> Result<A, Status> + Send>;

/// One method's script, and the last request that it saw.
pub(crate) struct Script<Q, A> {
    answer: Mutex<Answer<Q, A>>,
    seen: Mutex<Vec<(Q, MetadataMap)>>,
    /// When set, answers never come.
    silent: Mutex<bool>,
}

impl<Q: Clone, A> Script<Q, A> {
    fn new(answer: impl Fn(&Q) -> Result<A, Status> + Send + 'static) -> Self {
        Self {
            answer: Mutex::new(Box::new(answer)),
            seen: Mutex::default(),
            silent: Mutex::new(false),
        }
    }

    /// From now on answers so.
    pub(crate) fn answer(&self, answer: impl Fn(&Q) -> Result<A, Status> + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// From now on takes calls and never answers, or does again.
    pub(crate) fn silent(&self, silent: bool) {
        *self.silent.lock().unwrap() = silent;
    }

    /// Requests seen, with their metadata.
    pub(crate) fn seen(&self) -> Vec<(Q, MetadataMap)> {
        self.seen.lock().unwrap().clone()
    }

    async fn take(&self, request: Request<Q>) -> Result<Response<A>, Status> {
        self.seen
            .lock()
            .unwrap()
            .push((request.get_ref().clone(), request.metadata().clone()));
        let silent = *self.silent.lock().unwrap();
        if silent {
            futures::future::pending::<()>().await;
        }
        let answer = (self.answer.lock().unwrap())(request.get_ref());
        answer.map(Response::new)
    }
}

/// What the peers say.
pub(crate) struct Peers {
    pub(crate) authorize: Script<consent::AuthorizeRequest, consent::Decision>,
    pub(crate) explain: Script<consent::ExplainAccessRequest, consent::ExplainAccessResponse>,
    pub(crate) place: Script<identifier::PlaceDossierRequest, identifier::Placement>,
    pub(crate) resolve: Script<identifier::ResolveIdentifierRequest, identifier::ResolveIdentifierResponse>,
}

/// Peers that run; they end with the test.
pub(crate) struct RunningPeers {
    pub(crate) script: Arc<Peers>,
    pub(crate) url: String,
    serving: JoinHandle<()>,
}

impl Drop for RunningPeers {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl RunningPeers {
    /// Starts them: everything is granted, every host accredited, every matricule that of `dmp_id`.
    pub(crate) async fn start(dmp_id: &str) -> Self {
        let holder = dmp_id.to_owned();
        let script = Arc::new(Peers {
            authorize: Script::new(|_| Ok(granted(everything()))),
            explain: Script::new(|_| Ok(explained(granted(everything())))),
            place: Script::new(|request: &identifier::PlaceDossierRequest| {
                Ok(identifier::Placement {
                    dmp_id: request.dmp_id.clone(),
                    host_id: request.host_id.clone(),
                    placed_at: None,
                    host_accredited: true,
                })
            }),
            resolve: Script::new(move |_| Ok(resolved(&holder, &[]))),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = Server::builder()
            .add_service(AccessServiceServer::new(Speaker(script.clone())))
            .add_service(IdentifierServiceServer::new(Speaker(script.clone())))
            .add_service(HostServiceServer::new(Speaker(script.clone())))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { script, url, serving }
    }
}

/// A matricule that is this dossier's, under traits of which these differ.
pub(crate) fn resolved(dmp_id: &str, differing: &[&str]) -> identifier::ResolveIdentifierResponse {
    identifier::ResolveIdentifierResponse {
        dmp_id: dmp_id.to_owned(),
        differing_traits: differing.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

/// A grant of every operation on every type, that sees nothing hidden.
pub(crate) fn everything() -> consent::Grant {
    on_types(consent::DocumentTypes {
        all_but: true,
        type_codes: Vec::new(),
    })
}

/// A grant of every operation on these types.
pub(crate) fn on_types(types: consent::DocumentTypes) -> consent::Grant {
    let permission = |operation: Operation| consent::Permission {
        operation: operation.into(),
        document_types: Some(types.clone()),
    };
    let operations = [
        Operation::ReadDocuments,
        Operation::SubmitDocuments,
        Operation::OpenDossier,
        Operation::CloseDossier,
        Operation::SeeStatus,
        Operation::ReadJournal,
        Operation::ExplainAccess,
    ];
    consent::Grant {
        permissions: operations.into_iter().map(permission).collect(),
        ..Default::default()
    }
}

/// A decision that grants.
pub(crate) fn granted(grant: consent::Grant) -> consent::Decision {
    decision(Outcome::Grant(grant), "some-rule", "L1111-17")
}

/// A decision that refuses by this rule.
pub(crate) fn refused(rule: &str, article: &str) -> consent::Decision {
    decision(Outcome::Refusal(consent::Refusal::default()), rule, article)
}

/// A decision of the past, without the rules that spoke.
pub(crate) fn explained(decision: consent::Decision) -> consent::ExplainAccessResponse {
    consent::ExplainAccessResponse {
        decision: Some(decision),
        rules: Vec::new(),
    }
}

/// What the modes of last resort oblige to (L1111-17 I).
pub(crate) fn exceptional() -> consent::Grant {
    consent::Grant {
        obligations: vec![
            consent::Obligation::NotifyHolder.into(),
            consent::Obligation::NotifyTreatingPhysicians.into(),
            consent::Obligation::SecondLook.into(),
        ],
        ..everything()
    }
}

fn decision(outcome: Outcome, rule: &str, article: &str) -> consent::Decision {
    let basis = consent::Basis {
        rule: rule.to_owned(),
        article: article.to_owned(),
        summary: "A rule in words.".to_owned(),
    };
    consent::Decision {
        outcome: Some(outcome),
        bases: vec![basis],
        revision: 7,
        matrix_version: "2026-01".to_owned(),
        creation_consented: true,
        authorization_state: consent::AuthorizationState::Valid.into(),
        ..Default::default()
    }
}

struct Speaker(Arc<Peers>);

#[tonic::async_trait]
impl AccessService for Speaker {
    async fn authorize(
        &self,
        request: Request<consent::AuthorizeRequest>,
    ) -> Result<Response<consent::Decision>, Status> {
        self.0.authorize.take(request).await
    }

    async fn batch_authorize(
        &self,
        _: Request<consent::BatchAuthorizeRequest>,
    ) -> Result<Response<consent::BatchAuthorizeResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn explain_access(
        &self,
        request: Request<consent::ExplainAccessRequest>,
    ) -> Result<Response<consent::ExplainAccessResponse>, Status> {
        self.0.explain.take(request).await
    }

    async fn replay_decision(
        &self,
        _: Request<consent::ReplayDecisionRequest>,
    ) -> Result<Response<consent::Decision>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_who_can_access(
        &self,
        _: Request<consent::ListWhoCanAccessRequest>,
    ) -> Result<Response<consent::ListWhoCanAccessResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_rules(
        &self,
        _: Request<consent::ListRulesRequest>,
    ) -> Result<Response<consent::ListRulesResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}

#[tonic::async_trait]
impl IdentifierService for Speaker {
    type EnrolBeneficiariesStream = BoxStream<'static, Result<identifier::EnrolBeneficiariesResponse, Status>>;

    async fn enrol_beneficiary(
        &self,
        _: Request<identifier::EnrolBeneficiaryRequest>,
    ) -> Result<Response<identifier::Beneficiary>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn enrol_beneficiaries(
        &self,
        _: Request<Streaming<identifier::EnrolBeneficiariesRequest>>,
    ) -> Result<Response<Self::EnrolBeneficiariesStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn get_beneficiary(
        &self,
        _: Request<identifier::GetBeneficiaryRequest>,
    ) -> Result<Response<identifier::Beneficiary>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn resolve_identifier(
        &self,
        request: Request<identifier::ResolveIdentifierRequest>,
    ) -> Result<Response<identifier::ResolveIdentifierResponse>, Status> {
        self.0.resolve.take(request).await
    }
}

#[tonic::async_trait]
impl HostService for Speaker {
    async fn register_host(
        &self,
        _: Request<identifier::RegisterHostRequest>,
    ) -> Result<Response<identifier::Host>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn accredit_host(
        &self,
        _: Request<identifier::AccreditHostRequest>,
    ) -> Result<Response<identifier::Host>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn suspend_accreditation(
        &self,
        _: Request<identifier::SuspendAccreditationRequest>,
    ) -> Result<Response<identifier::Host>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn withdraw_accreditation(
        &self,
        _: Request<identifier::WithdrawAccreditationRequest>,
    ) -> Result<Response<identifier::Host>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_hosts(
        &self,
        _: Request<identifier::ListHostsRequest>,
    ) -> Result<Response<identifier::ListHostsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn place_dossier(
        &self,
        request: Request<identifier::PlaceDossierRequest>,
    ) -> Result<Response<identifier::Placement>, Status> {
        self.0.place.take(request).await
    }

    async fn get_placement(
        &self,
        _: Request<identifier::GetPlacementRequest>,
    ) -> Result<Response<identifier::Placement>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}
