//! Peers as scripts: real gRPC servers whose answers a test writes.

use api::consent::v1::access_service_server::AccessService;
use api::consent::v1::*;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::metadata::MetadataMap;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::{Request, Response, Status};

/// A server on a port of its own; it ends with the test.
#[derive(Debug)]
pub struct ScriptedPeer {
    /// Its address.
    pub url: String,
    serving: JoinHandle<()>,
}

impl ScriptedPeer {
    /// Starts it with these services.
    pub async fn start(services: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = services.serve_with_incoming(TcpIncoming::from(listener));
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { url, serving }
    }
}

impl Drop for ScriptedPeer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Answer<Q, A> = Box<dyn Fn(&Q) -> Result<A, Status> + Send>;

/// One method's script, and the requests that it saw. Clones share both.
#[derive(Clone)]
pub struct ScriptedMethod<Q, A>(Arc<Mutex<Script<Q, A>>>);

struct Script<Q, A> {
    answer: Answer<Q, A>,
    seen: Vec<(Q, MetadataMap)>,
    /// When set, answers never come.
    silent: bool,
}

impl<Q: Clone, A> ScriptedMethod<Q, A> {
    /// Answers so.
    pub fn new(answer: impl Fn(&Q) -> Result<A, Status> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Script {
            answer: Box::new(answer),
            seen: Vec::new(),
            silent: false,
        })))
    }

    /// From now on answers so.
    pub fn answer(&self, answer: impl Fn(&Q) -> Result<A, Status> + Send + 'static) {
        self.0.lock().unwrap().answer = Box::new(answer);
    }

    /// From now on takes calls and never answers, or does again.
    pub fn silent(&self, silent: bool) {
        self.0.lock().unwrap().silent = silent;
    }

    /// Requests seen, with their metadata.
    pub fn seen(&self) -> Vec<(Q, MetadataMap)> {
        self.0.lock().unwrap().seen.clone()
    }

    /// Takes a call, as the method of a generated server.
    pub async fn take(&self, request: Request<Q>) -> Result<Response<A>, Status> {
        if self.see(&request) {
            futures::future::pending::<()>().await;
        }
        (self.0.lock().unwrap().answer)(request.get_ref()).map(Response::new)
    }

    /// Keeps a request; whether it stays without an answer.
    fn see(&self, request: &Request<Q>) -> bool {
        let mut script = self.0.lock().unwrap();
        script
            .seen
            .push((request.get_ref().clone(), request.metadata().clone()));
        script.silent
    }
}

/// What a method without a script answers.
pub fn unscripted<A>() -> Result<A, Status> {
    Err(Status::unimplemented("not scripted"))
}

/// Consent's decisions as a script.
pub struct ScriptedAccess {
    /// Decisions.
    pub authorize: ScriptedMethod<AuthorizeRequest, Decision>,
    /// Decisions of the past.
    pub explain: ScriptedMethod<ExplainAccessRequest, ExplainAccessResponse>,
}

#[tonic::async_trait]
impl AccessService for ScriptedAccess {
    async fn authorize(&self, request: Request<AuthorizeRequest>) -> Result<Response<Decision>, Status> {
        self.authorize.take(request).await
    }

    async fn batch_authorize(
        &self,
        _: Request<BatchAuthorizeRequest>,
    ) -> Result<Response<BatchAuthorizeResponse>, Status> {
        unscripted()
    }

    async fn explain_access(
        &self,
        request: Request<ExplainAccessRequest>,
    ) -> Result<Response<ExplainAccessResponse>, Status> {
        self.explain.take(request).await
    }

    async fn replay_decision(&self, _: Request<ReplayDecisionRequest>) -> Result<Response<Decision>, Status> {
        unscripted()
    }

    async fn list_who_can_access(
        &self,
        _: Request<ListWhoCanAccessRequest>,
    ) -> Result<Response<ListWhoCanAccessResponse>, Status> {
        unscripted()
    }

    async fn list_rules(&self, _: Request<ListRulesRequest>) -> Result<Response<ListRulesResponse>, Status> {
        unscripted()
    }
}
