//! Consent as a script: a real gRPC server whose feed and decisions a test writes.

use api::consent::v1 as consent;
use api::consent::v1::access_service_server::AccessServiceServer;
use api::consent::v1::decision::Outcome;
use api::consent::v1::review_service_server::{ReviewService, ReviewServiceServer};
use api::consent::v1::{ExceptionalAccess, Operation};
use futures::stream::{self, BoxStream, StreamExt};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use testkit::{ScriptedAccess, ScriptedMethod, ScriptedPeer, unscripted};
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

type Told = Result<consent::WatchExceptionalAccessesResponse, Status>;

/// What consent says.
pub(crate) struct Script {
    /// Its feed: the token after an event is how many there are up to it.
    events: watch::Sender<Vec<ExceptionalAccess>>,
    /// After how many events the next watches break, one after the other; a watch past the last one does not.
    breaks: Mutex<VecDeque<usize>>,
    /// Metadata of the watches opened.
    opened: watch::Sender<Vec<MetadataMap>>,
    pub(crate) authorize: ScriptedMethod<consent::AuthorizeRequest, consent::Decision>,
}

/// Consent that runs; it ends with the test.
pub(crate) struct Consent {
    pub(crate) script: Arc<Script>,
    pub(crate) server: ScriptedPeer,
}

impl Consent {
    /// Starts it: nothing happened yet, and everything is granted.
    pub(crate) async fn start() -> Self {
        let script = Arc::new(Script {
            events: watch::Sender::new(Vec::new()),
            breaks: Mutex::default(),
            opened: watch::Sender::new(Vec::new()),
            authorize: ScriptedMethod::new(|_| Ok(granted(Operation::ReadJournal))),
        });
        let access = ScriptedAccess {
            authorize: script.authorize.clone(),
            explain: ScriptedMethod::new(|_| unscripted()),
        };
        let services = Server::builder()
            .add_service(AccessServiceServer::new(access))
            .add_service(ReviewServiceServer::from_arc(script.clone()));
        let server = ScriptedPeer::start(services).await;
        Self { script, server }
    }
}

impl Script {
    /// Tells of one more event.
    pub(crate) fn tell(&self, event: ExceptionalAccess) {
        self.events.send_modify(|events| events.push(event));
    }

    /// Tells the last event otherwise from now on.
    pub(crate) fn mend(&self, event: ExceptionalAccess) {
        self.events.send_modify(|events| *events.last_mut().unwrap() = event);
    }

    /// The next watches break after so many events each.
    pub(crate) fn break_after(&self, events: impl IntoIterator<Item = usize>) {
        self.breaks.lock().unwrap().extend(events);
    }

    /// How many of them are still to come.
    pub(crate) fn breaks_left(&self) -> usize {
        self.breaks.lock().unwrap().len()
    }

    /// Waits until so many watches were opened since the start; answers their metadata.
    pub(crate) async fn opened(&self, watches: usize) -> Vec<MetadataMap> {
        let mut opened = self.opened.subscribe();
        opened.wait_for(|opened| opened.len() >= watches).await.unwrap().clone()
    }

    /// How many watches were opened.
    pub(crate) fn watches(&self) -> usize {
        self.opened.borrow().len()
    }
}

/// A decision that grants one operation.
pub(crate) fn granted(operation: Operation) -> consent::Decision {
    let permission = consent::Permission {
        operation: operation.into(),
        document_types: None,
    };
    consent::Decision {
        outcome: Some(Outcome::Grant(consent::Grant {
            permissions: vec![permission],
            ..consent::Grant::default()
        })),
        ..consent::Decision::default()
    }
}

/// A decision that refuses by this rule.
pub(crate) fn refused(rule: &str, article: &str) -> consent::Decision {
    let basis = consent::Basis {
        rule: rule.to_owned(),
        article: article.to_owned(),
        summary: "A rule in words.".to_owned(),
    };
    consent::Decision {
        outcome: Some(Outcome::Refusal(consent::Refusal::default())),
        bases: vec![basis],
        ..consent::Decision::default()
    }
}

/// One watch of the feed.
struct Telling {
    /// Events that were told, here or before.
    told: usize,
    /// Events until it breaks.
    left: Option<usize>,
    greeted: bool,
    events: watch::Receiver<Vec<ExceptionalAccess>>,
}

impl Telling {
    async fn next(mut self) -> Option<(Told, Option<Self>)> {
        let mut response = consent::WatchExceptionalAccessesResponse::default();
        if self.greeted {
            if self.left == Some(0) {
                return Some((Err(Status::unavailable("the connection is lost")), None));
            }
            self.left = self.left.map(|left| left - 1);
            let told = self.told;
            let events = self.events.wait_for(|events| events.len() > told).await.ok()?;
            response.exceptional_access = Some(events[told].clone());
            self.told += 1;
        }
        self.greeted = true;
        response.resume_token = self.told.to_string();
        Some((Ok(response), Some(self)))
    }
}

#[tonic::async_trait]
impl ReviewService for Script {
    type WatchExceptionalAccessesStream = BoxStream<'static, Told>;

    async fn list_exceptional_accesses(
        &self,
        _: Request<consent::ListExceptionalAccessesRequest>,
    ) -> Result<Response<consent::ListExceptionalAccessesResponse>, Status> {
        unscripted()
    }

    async fn review_exceptional_access(
        &self,
        _: Request<consent::ReviewExceptionalAccessRequest>,
    ) -> Result<Response<ExceptionalAccess>, Status> {
        unscripted()
    }

    async fn watch_exceptional_accesses(
        &self,
        request: Request<consent::WatchExceptionalAccessesRequest>,
    ) -> Result<Response<Self::WatchExceptionalAccessesStream>, Status> {
        let telling = Telling {
            told: match request.get_ref().resume_token.as_str() {
                "" => 0,
                token => token.parse().unwrap(),
            },
            left: self.breaks.lock().unwrap().pop_front(),
            greeted: false,
            events: self.events.subscribe(),
        };
        self.opened
            .send_modify(|opened| opened.push(request.metadata().clone()));
        let told = stream::unfold(Some(telling), |telling| async move { telling?.next().await });
        Ok(Response::new(told.boxed()))
    }
}
