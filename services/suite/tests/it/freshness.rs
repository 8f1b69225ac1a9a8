//! Reliability promise P2: an acknowledged narrowing governs every access that starts afterwards, in every service,
//! under concurrency and faults.
//!
//! The holder lets a physician in and shuts it out again, while the physician knocks at two doors as fast as it can,
//! and services are killed, connections torn and slowed between them. The history of all that is then checked: is there
//! one order of what was said and seen that agrees with the clock and with every answer? A single writer and many
//! readers of one value make that question easy to decide exactly.

use crate::apart::Apart;
use api::consent::v1 as consent;
use api::consent::v1::decision::Outcome;
use futures::future::BoxFuture;
use journeys::{Clients, databases};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::{Bench, actor, refusal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Response, Status};

testkit::on_both_engines! {
    every_access_obeys_what_was_acknowledged_before_it_began,
}

/// Observations between two faults.
const BETWEEN_FAULTS: usize = 60;

/// What a client waits between two tries, when a service is away.
const BACKOFF: Duration = Duration::from_millis(10);

/// What the holder said, in order: from the invocation until the acknowledgement it may or may not hold already.
#[derive(Debug, Clone, Copy)]
struct Said {
    open: bool,
    invoked: Instant,
    acknowledged: Instant,
}

/// What the physician met.
#[derive(Debug, Clone, Copy)]
struct Seen {
    open: bool,
    from: Instant,
    to: Instant,
}

/// Whether there is an order. `said` begins with the state before the first reading. Each reading must stand on one of
/// the states that could hold while it lasted, and never on an older one than a reading that had ended before it began.
fn check(said: &[Said], seen: &[Seen]) -> Result<(), String> {
    let mut seen = seen.to_vec();
    seen.sort_by_key(|seen| seen.from);
    let mut stood_on: Vec<(Instant, usize)> = Vec::new();
    for reading in &seen {
        let overruled = said
            .iter()
            .rposition(|said| said.acknowledged < reading.from)
            .unwrap_or(0);
        let earlier = stood_on.iter().filter(|(ended, _)| *ended < reading.from);
        let oldest = earlier.map(|(_, place)| *place).max().unwrap_or(0).max(overruled);
        let place = (oldest..said.len())
            .take_while(|place| said[*place].invoked < reading.to)
            .find(|place| said[*place].open == reading.open);
        let place = place.ok_or_else(|| format!("{reading:?} stands on nothing; the oldest allowed was {oldest}"))?;
        stood_on.push((reading.to, place));
    }
    Ok(())
}

/// Everybody's notes.
#[derive(Clone)]
struct Notes {
    seen: Arc<Mutex<Vec<Seen>>>,
    errors: Arc<Mutex<BTreeMap<String, usize>>>,
    count: watch::Sender<usize>,
    ended: watch::Sender<bool>,
}

impl Notes {
    fn new() -> Self {
        Self {
            seen: Arc::default(),
            errors: Arc::default(),
            count: watch::channel(0).0,
            ended: watch::channel(false).0,
        }
    }

    /// Notes one knock: open, shut by a rule, or no answer, which is no observation but must have a clear code.
    async fn take(&self, from: Instant, answer: Result<bool, Status>) {
        let to = Instant::now();
        match answer {
            Ok(open) => {
                self.seen.lock().unwrap().push(Seen { open, from, to });
                self.count.send_modify(|count| *count += 1);
            }
            Err(status) => {
                let clear = [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted];
                assert!(is_torn(&status) || clear.contains(&status.code()), "{status:?}");
                *self
                    .errors
                    .lock()
                    .unwrap()
                    .entry(status.code().to_string())
                    .or_default() += 1;
                sleep(BACKOFF).await;
            }
        }
    }

    fn ended(&self) -> bool {
        *self.ended.borrow()
    }
}

/// L1111-14, third sentence; L1111-19.
async fn every_access_obeys_what_was_acknowledged_before_it_began(bench: Bench) {
    let (folder, databases) = (bench.folder().join("home"), databases(bench.engine).await);
    let mut apart = Apart::start(&folder, databases).await;
    let clients = apart.clients.clone();
    let (dmp_id, _) = clients.open_dossier().await;
    let notes = Notes::new();
    let holder = Holder::new(clients.clone(), dmp_id.clone(), notes.clone());
    let holder = tokio::spawn(holder.go_on());
    let mut readers = readers(&clients, &dmp_id, &notes);

    for fault in 0..10 {
        let target = (fault + 1) * BETWEEN_FAULTS;
        let mut count = notes.count.subscribe();
        tokio::select! {
            _ = count.wait_for(|count| *count >= target) => {}
            ended = readers.join_next() => panic!("a reader ended: {ended:?}"),
        }
        assert!(!holder.is_finished(), "the holder fell silent");
        match fault % 5 {
            0 => apart.kill("consent"),
            1 => apart.between.delay(Duration::from_millis(15)),
            2 => apart.kill("dossier"),
            3 => apart.between.tear(),
            _ => apart.between.delay(Duration::ZERO),
        }
    }
    notes.ended.send_replace(true);
    let said = holder.await.unwrap();
    while let Some(ended) = readers.join_next().await {
        ended.unwrap();
    }

    let seen = notes.seen.lock().unwrap().clone();
    check(&said, &seen).unwrap();
    let open = seen.iter().filter(|seen| seen.open).count();
    assert!(open > 0 && open < seen.len(), "{open} of {} were open", seen.len());
    assert!(said.len() > 10, "the holder said only {} things", said.len());
}

/// Two readers at each door: the dossier's documents, and consent's decision itself.
fn readers(clients: &Clients, dmp_id: &str, notes: &Notes) -> JoinSet<()> {
    let mut readers = JoinSet::new();
    for number in 0..4 {
        let (clients, dmp_id, notes) = (clients.clone(), dmp_id.to_owned(), notes.clone());
        readers.spawn(async move {
            while !notes.ended() {
                let from = Instant::now();
                let answer = match number % 2 {
                    0 => lists(&clients, &dmp_id).await,
                    _ => is_authorized(&clients, &dmp_id).await,
                };
                notes.take(from, answer).await;
            }
        });
    }
    readers
}

async fn lists(clients: &Clients, dmp_id: &str) -> Result<bool, Status> {
    match clients.list(&actor::physician(actor::PHYSICIAN), dmp_id).await {
        Ok(_) => Ok(true),
        Err(status) if is_torn(&status) => Err(status),
        Err(status) if refusal(&status).reason == "ACCESS_REFUSED" => Ok(false),
        Err(status) => Err(status),
    }
}

async fn is_authorized(clients: &Clients, dmp_id: &str) -> Result<bool, Status> {
    let request = consent::AuthorizeRequest {
        dmp_id: dmp_id.to_owned(),
        operation: consent::Operation::ReadDocuments.into(),
        context: None,
    };
    let request = clients.request(&actor::physician(actor::PHYSICIAN), request);
    let decision = clients.decisions().authorize(request).await?.into_inner();
    Ok(matches!(decision.outcome, Some(Outcome::Grant(_))))
}

/// Whether it was our own connection that ended: what a service answers has no cause on this side.
fn is_torn(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// The one who says.
struct Holder {
    clients: Clients,
    dmp_id: String,
    notes: Notes,
    said: Vec<Said>,
}

impl Holder {
    /// Nothing is open before the first word.
    fn new(clients: Clients, dmp_id: String, notes: Notes) -> Self {
        let now = Instant::now();
        let nothing = Said {
            open: false,
            invoked: now,
            acknowledged: now,
        };
        Self {
            clients,
            dmp_id,
            notes,
            said: vec![nothing],
        }
    }

    /// Opens and shuts, in each of the ways that the law gives, until the test ends.
    async fn go_on(mut self) -> Vec<Said> {
        while !self.notes.ended() {
            let authorization = self.authorize().await;
            self.revoke(&authorization).await;
            self.authorize().await;
            let block = self.block().await;
            self.unblock(&block).await;
            self.authorize().await;
            self.withdraw().await;
            self.consent().await;
        }
        self.said
    }

    async fn authorize(&mut self) -> String {
        let request = consent::AuthorizeProfessionalRequest {
            request_id: self.clients.request_id(),
            dmp_id: self.dmp_id.clone(),
            professional_id: actor::PHYSICIAN.to_owned(),
            ..Default::default()
        };
        let clients = self.clients.clone();
        let said = self.say(true, request, move |request| {
            let mut client = clients.authorizations();
            Box::pin(async move { client.authorize_professional(request).await })
        });
        said.await.authorization_id
    }

    async fn revoke(&mut self, authorization_id: &str) {
        let request = consent::RevokeAuthorizationRequest {
            request_id: self.clients.request_id(),
            dmp_id: self.dmp_id.clone(),
            authorization_id: authorization_id.to_owned(),
        };
        let clients = self.clients.clone();
        self.say(false, request, move |request| {
            let mut client = clients.authorizations();
            Box::pin(async move { client.revoke_authorization(request).await })
        })
        .await;
    }

    async fn block(&mut self) -> String {
        let request = consent::BlockProfessionalRequest {
            request_id: self.clients.request_id(),
            dmp_id: self.dmp_id.clone(),
            professional_id: actor::PHYSICIAN.to_owned(),
        };
        let clients = self.clients.clone();
        let said = self.say(false, request, move |request| {
            let mut client = clients.authorizations();
            Box::pin(async move { client.block_professional(request).await })
        });
        said.await.authorization_id
    }

    async fn unblock(&mut self, block: &str) {
        let request = consent::UnblockProfessionalRequest {
            request_id: self.clients.request_id(),
            dmp_id: self.dmp_id.clone(),
            authorization_id: block.to_owned(),
        };
        let clients = self.clients.clone();
        self.say(false, request, move |request| {
            let mut client = clients.authorizations();
            Box::pin(async move { client.unblock_professional(request).await })
        })
        .await;
    }

    async fn withdraw(&mut self) {
        let consent_id = self.creation_consent().await;
        let request = consent::WithdrawConsentRequest {
            request_id: self.clients.request_id(),
            dmp_id: self.dmp_id.clone(),
            consent_id,
        };
        let clients = self.clients.clone();
        self.say(false, request, move |request| {
            let mut client = clients.consents();
            Box::pin(async move { client.withdraw_consent(request).await })
        })
        .await;
    }

    async fn consent(&mut self) {
        let request = consent::RecordConsentRequest {
            request_id: self.clients.request_id(),
            ..journeys::creation_consent(&self.dmp_id)
        };
        let clients = self.clients.clone();
        self.say(false, request, move |request| {
            let mut client = clients.consents();
            Box::pin(async move { client.record_consent(request).await })
        })
        .await;
    }

    /// The live consent to the dossier's creation.
    async fn creation_consent(&self) -> String {
        loop {
            let request = consent::ListConsentsRequest {
                dmp_id: self.dmp_id.clone(),
                ..Default::default()
            };
            let request = self.clients.request(&actor::holder(&self.dmp_id), request);
            if let Ok(listed) = self.clients.consents().list_consents(request).await {
                return listed.into_inner().consents[0].consent_id.clone();
            }
            sleep(BACKOFF).await;
        }
    }

    /// Says one thing, with one `request_id`, until it is acknowledged.
    async fn say<M: Clone, R>(
        &mut self,
        open: bool,
        message: M,
        call: impl Fn(Request<M>) -> BoxFuture<'static, Result<Response<R>, Status>>,
    ) -> R {
        let invoked = Instant::now();
        loop {
            let request = self.clients.request(&actor::holder(&self.dmp_id), message.clone());
            match call(request).await {
                Ok(answer) => {
                    self.said.push(Said {
                        open,
                        invoked,
                        acknowledged: Instant::now(),
                    });
                    return answer.into_inner();
                }
                Err(status) => {
                    assert!(is_torn(&status) || status.code() == Code::Unavailable, "{status:?}");
                    sleep(BACKOFF).await;
                }
            }
        }
    }
}

mod checker {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        static BEGINNING: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *BEGINNING.get_or_init(Instant::now) + Duration::from_millis(milliseconds)
    }

    fn said(open: bool, invoked: u64, acknowledged: u64) -> Said {
        Said {
            open,
            invoked: at(invoked),
            acknowledged: at(acknowledged),
        }
    }

    fn seen(open: bool, from: u64, to: u64) -> Seen {
        Seen {
            open,
            from: at(from),
            to: at(to),
        }
    }

    fn history() -> [Said; 3] {
        [said(false, 0, 0), said(true, 10, 20), said(false, 30, 40)]
    }

    #[test]
    fn what_lasts_while_something_is_said_may_see_either() {
        for reading in [
            seen(true, 15, 16),
            seen(false, 15, 16),
            seen(true, 35, 36),
            seen(true, 5, 50),
        ] {
            assert_eq!(check(&history(), &[reading]), Ok(()));
        }
    }

    #[test]
    fn an_access_after_the_acknowledged_narrowing_is_seen() {
        assert!(check(&history(), &[seen(true, 41, 42)]).is_err());
        assert!(check(&history(), &[seen(true, 1, 9)]).is_err());
        assert!(check(&history(), &[seen(false, 21, 29)]).is_err());
    }

    #[test]
    fn an_access_that_goes_back_behind_another_one_is_seen() {
        let back = [seen(false, 31, 33), seen(true, 35, 36)];
        assert!(check(&history(), &back).is_err());
        let together = [seen(false, 31, 36), seen(true, 33, 35)];
        assert_eq!(check(&history(), &together), Ok(()));
    }
}
