//! The dossier service as a script: a real gRPC server that tells of the accesses a test makes up.

use api::common::v1 as common;
use api::dossier::v1::journal_service_server::{JournalService, JournalServiceServer};
use api::dossier::v1::*;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::sync::{Arc, Mutex};
use testkit::{ScriptedPeer, unscripted};
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A dossier service that runs; it ends with the test.
pub(crate) struct Dossier {
    pub(crate) server: ScriptedPeer,
    script: Script,
}

#[derive(Clone)]
struct Script {
    /// What is told: the feed, from its beginning.
    told: watch::Sender<Vec<Access>>,
    /// After how many messages the next watches end, the next one first; those after them go on.
    cuts: Arc<Mutex<Vec<usize>>>,
    /// The places from which watches were opened.
    opened: Arc<Mutex<Vec<String>>>,
}

impl Dossier {
    pub(crate) async fn start() -> Self {
        let script = Script {
            told: watch::Sender::default(),
            cuts: Arc::default(),
            opened: Arc::default(),
        };
        let services = Server::builder().add_service(JournalServiceServer::new(script.clone()));
        let server = ScriptedPeer::start(services).await;
        Self { server, script }
    }

    /// Tells of an access.
    pub(crate) fn tell(&self, access: Access) {
        self.script.told.send_modify(|told| told.push(access));
    }

    /// Lets the next watches break off after so many messages, the first of which has no access.
    pub(crate) fn cut(&self, after: &[usize]) {
        *self.script.cuts.lock().unwrap() = after.to_vec();
    }

    /// The tokens with which watches were opened so far.
    pub(crate) fn opened(&self) -> Vec<String> {
        self.script.opened.lock().unwrap().clone()
    }
}

impl Script {
    /// The answers from a place on, without an end: the place first.
    fn answers(&self, from: usize) -> BoxStream<'static, Result<WatchExceptionalAccessesResponse, Status>> {
        let answer = |place: usize, access| {
            Ok(WatchExceptionalAccessesResponse {
                resume_token: place.to_string(),
                access,
            })
        };
        let receiver = self.told.subscribe();
        let events = stream::unfold((receiver, from), move |(mut receiver, place)| async move {
            let told = receiver.wait_for(|told| told.len() > place).await.ok()?[place].clone();
            Some((answer(place + 1, Some(told)), (receiver, place + 1)))
        });
        stream::once(async move { answer(from, None) }).chain(events).boxed()
    }
}

#[tonic::async_trait]
impl JournalService for Script {
    type WatchExceptionalAccessesStream = BoxStream<'static, Result<WatchExceptionalAccessesResponse, Status>>;

    async fn watch_exceptional_accesses(
        &self,
        request: Request<WatchExceptionalAccessesRequest>,
    ) -> Result<Response<Self::WatchExceptionalAccessesStream>, Status> {
        let token = request.into_inner().resume_token;
        self.opened.lock().unwrap().push(token.clone());
        let answers = self.answers(token.parse().unwrap_or(0));
        let mut cuts = self.cuts.lock().unwrap();
        if cuts.is_empty() {
            return Ok(Response::new(answers));
        }
        let gone = stream::once(async { Err(Status::unavailable("gone")) });
        Ok(Response::new(answers.take(cuts.remove(0)).chain(gone).boxed()))
    }

    async fn list_accesses(&self, _: Request<ListAccessesRequest>) -> Result<Response<ListAccessesResponse>, Status> {
        unscripted()
    }

    async fn get_receipt(&self, _: Request<GetReceiptRequest>) -> Result<Response<common::Receipt>, Status> {
        unscripted()
    }

    async fn get_checkpoint(&self, _: Request<GetCheckpointRequest>) -> Result<Response<Checkpoint>, Status> {
        unscripted()
    }

    async fn get_inclusion_proof(
        &self,
        _: Request<GetInclusionProofRequest>,
    ) -> Result<Response<common::InclusionProof>, Status> {
        unscripted()
    }

    async fn get_consistency_proof(
        &self,
        _: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<common::ConsistencyProof>, Status> {
        unscripted()
    }

    async fn get_completeness_proof(
        &self,
        _: Request<GetCompletenessProofRequest>,
    ) -> Result<Response<CompletenessProof>, Status> {
        unscripted()
    }

    async fn reconstruct_view(
        &self,
        _: Request<ReconstructViewRequest>,
    ) -> Result<Response<ReconstructViewResponse>, Status> {
        unscripted()
    }
}
