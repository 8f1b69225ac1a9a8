//! Consent and identifier as scripts: real gRPC servers whose answers a test writes.

use api::consent::v1 as consent;
use api::consent::v1::Operation;
use api::consent::v1::access_service_server::AccessServiceServer;
use api::consent::v1::decision::Outcome;
use api::identifier::v1 as identifier;
use api::identifier::v1::host_service_server::{HostService, HostServiceServer};
use api::identifier::v1::identifier_service_server::{IdentifierService, IdentifierServiceServer};
use futures::stream::BoxStream;
use testkit::{ScriptedAccess, ScriptedMethod, ScriptedPeer, unscripted};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// What the peers say.
#[derive(Clone)]
pub(crate) struct Peers {
    pub(crate) authorize: ScriptedMethod<consent::AuthorizeRequest, consent::Decision>,
    pub(crate) explain: ScriptedMethod<consent::ExplainAccessRequest, consent::ExplainAccessResponse>,
    pub(crate) place: ScriptedMethod<identifier::PlaceDossierRequest, identifier::Placement>,
    pub(crate) resolve: ScriptedMethod<identifier::ResolveIdentifierRequest, identifier::ResolveIdentifierResponse>,
}

/// Peers that run, all behind one address; they end with the test.
pub(crate) struct RunningPeers {
    pub(crate) script: Peers,
    pub(crate) server: ScriptedPeer,
}

impl RunningPeers {
    /// Starts them: everything is granted, every host accredited, every matricule that of `dmp_id`.
    pub(crate) async fn start(dmp_id: &str) -> Self {
        let holder = dmp_id.to_owned();
        let script = Peers {
            authorize: ScriptedMethod::new(|_| Ok(granted(everything()))),
            explain: ScriptedMethod::new(|_| Ok(explained(granted(everything())))),
            place: ScriptedMethod::new(|request: &identifier::PlaceDossierRequest| {
                Ok(identifier::Placement {
                    dmp_id: request.dmp_id.clone(),
                    host_id: request.host_id.clone(),
                    placed_at: None,
                    host_accredited: true,
                })
            }),
            resolve: ScriptedMethod::new(move |_| Ok(resolved(&holder, &[]))),
        };
        let access = ScriptedAccess {
            authorize: script.authorize.clone(),
            explain: script.explain.clone(),
        };
        let services = Server::builder()
            .add_service(AccessServiceServer::new(access))
            .add_service(IdentifierServiceServer::new(script.clone()))
            .add_service(HostServiceServer::new(script.clone()));
        let server = ScriptedPeer::start(services).await;
        Self { script, server }
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

#[tonic::async_trait]
impl IdentifierService for Peers {
    type EnrolBeneficiariesStream = BoxStream<'static, Result<identifier::EnrolBeneficiariesResponse, Status>>;

    async fn enrol_beneficiary(
        &self,
        _: Request<identifier::EnrolBeneficiaryRequest>,
    ) -> Result<Response<identifier::Beneficiary>, Status> {
        unscripted()
    }

    async fn enrol_beneficiaries(
        &self,
        _: Request<Streaming<identifier::EnrolBeneficiariesRequest>>,
    ) -> Result<Response<Self::EnrolBeneficiariesStream>, Status> {
        unscripted()
    }

    async fn get_beneficiary(
        &self,
        _: Request<identifier::GetBeneficiaryRequest>,
    ) -> Result<Response<identifier::Beneficiary>, Status> {
        unscripted()
    }

    async fn resolve_identifier(
        &self,
        request: Request<identifier::ResolveIdentifierRequest>,
    ) -> Result<Response<identifier::ResolveIdentifierResponse>, Status> {
        self.resolve.take(request).await
    }
}

#[tonic::async_trait]
impl HostService for Peers {
    async fn register_host(
        &self,
        _: Request<identifier::RegisterHostRequest>,
    ) -> Result<Response<identifier::Host>, Status> {
        unscripted()
    }

    async fn accredit_host(
        &self,
        _: Request<identifier::AccreditHostRequest>,
    ) -> Result<Response<identifier::Host>, Status> {
        unscripted()
    }

    async fn suspend_accreditation(
        &self,
        _: Request<identifier::SuspendAccreditationRequest>,
    ) -> Result<Response<identifier::Host>, Status> {
        unscripted()
    }

    async fn withdraw_accreditation(
        &self,
        _: Request<identifier::WithdrawAccreditationRequest>,
    ) -> Result<Response<identifier::Host>, Status> {
        unscripted()
    }

    async fn list_hosts(
        &self,
        _: Request<identifier::ListHostsRequest>,
    ) -> Result<Response<identifier::ListHostsResponse>, Status> {
        unscripted()
    }

    async fn place_dossier(
        &self,
        request: Request<identifier::PlaceDossierRequest>,
    ) -> Result<Response<identifier::Placement>, Status> {
        self.place.take(request).await
    }

    async fn get_placement(
        &self,
        _: Request<identifier::GetPlacementRequest>,
    ) -> Result<Response<identifier::Placement>, Status> {
        unscripted()
    }
}
