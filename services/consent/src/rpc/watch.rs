//! WatchConsent: every change after a place in the feed, in order, each once.
//!
//! Events wait for their reader in a bounded buffer; a reader that leaves it full for too long is sent away and resumes
//! from its last token. Whether a watcher may still know is asked again before each telling, so that an acknowledged
//! narrowing governs a watch that began before it.

use api::common::v1::{Reason, Role};
use api::consent::v1 as pb;
use api::consent::v1::Operation;
use api::consent::v1::watch_consent_response::Event as Told;
use api::identity::{Check, DmpId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use serve::{Actor, Call, Failure, Violations};
use std::sync::Arc;
use store::Engine;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Status};

use super::{Rpc, render};
use crate::act::FEED;
use crate::config;
use crate::error::{Error, Result};

/// Events read at once.
const BATCH: i64 = 64;

/// What is watched: one dossier, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scope(Option<DmpId>);

impl Scope {
    fn key(&self) -> &str {
        self.0.as_ref().map_or("", DmpId::as_str)
    }

    /// The token of a place: the scope is in it, so that it is good for no other.
    fn token(&self, position: i64) -> String {
        URL_SAFE_NO_PAD.encode([&position.to_be_bytes(), self.key().as_bytes()].concat())
    }

    /// The place of a token; `None` for one that is not ours, or another scope's.
    fn position(&self, token: &str) -> Option<i64> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (position, scope) = bytes.split_first_chunk::<8>()?;
        let position = i64::from_be_bytes(*position);
        (scope == self.key().as_bytes() && position >= 0).then_some(position)
    }
}

impl<DB: Engine> Rpc<DB> {
    pub(super) async fn watch(
        &self,
        call: &Call,
        request: &pb::WatchConsentRequest,
    ) -> Result<BoxStream<'static, Result<pb::WatchConsentResponse, Status>>> {
        let roles: &[Role] = match request.dmp_id.as_str() {
            "" => &[Role::Service],
            _ => &[Role::Service, Role::Holder, Role::Representative],
        };
        call.require_role(roles)?;
        let mut violations = Violations::default();
        let parse = |text| DmpId::parse(text, Check::Strict);
        let scope = violations.optional("dmp_id", &request.dmp_id, parse).map(Scope);
        let position = scope.as_ref().and_then(|scope| {
            violations.optional("resume_token", &request.resume_token, |token| {
                let told = "must be a token of this dossier, or of all where none is named";
                scope.position(token).ok_or(("NOT_A_TOKEN", told))
            })
        });
        let (scope, position) = violations.gather((scope, position))?;
        let position = position.unwrap_or_else(|| self.feed.head());
        let watch = Watch {
            rpc: self.clone(),
            actor: call.actor.clone(),
            scope,
        };
        watch.admit().await?;
        Ok(watch.start(position))
    }
}

/// One watcher.
struct Watch<DB: Engine> {
    rpc: Rpc<DB>,
    actor: Arc<Actor>,
    scope: Scope,
}

/// Why a watch ends.
enum End {
    /// The reader has gone.
    Gone,
    /// The reader is told why.
    Failed(Failure),
}

impl<E: Into<Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into().into())
    }
}

impl<DB: Engine> Watch<DB> {
    fn start(self, position: i64) -> BoxStream<'static, Result<pb::WatchConsentResponse, Status>> {
        let (sender, receiver) = mpsc::channel(self.rpc.watch.buffer);
        let telling = tokio::spawn(async move { self.tell(position, sender).await });
        let told = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|response| (Ok(response), receiver))
        });
        let ending = stream::once(telling).filter_map(|ended| async move {
            match ended {
                Ok(End::Gone) => None,
                Ok(End::Failed(failure)) => Some(Err(failure.into())),
                Err(_) => Some(Err(Failure::internal("a watch panicked").into())),
            }
        });
        told.chain(ending).boxed()
    }

    async fn tell(self, position: i64, sender: mpsc::Sender<pb::WatchConsentResponse>) -> End {
        let mut reader = Reader {
            sender,
            told_at: Instant::now(),
            settings: self.rpc.watch,
        };
        match self.tell_on(position, &mut reader).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn tell_on(&self, mut position: i64, reader: &mut Reader) -> Result<std::convert::Infallible, End> {
        reader.take(self.response(position, None)).await?;
        loop {
            position = self.catch_up(position, reader).await?;
            tokio::select! {
                () = reader.sender.closed() => return Err(End::Gone),
                more = self.rpc.feed.wait_past(position) => if !more {
                    return Err(End::Failed(Failure::draining()));
                },
                () = sleep_until(reader.told_at + self.rpc.watch.heartbeat()) => {
                    self.admit().await?;
                    reader.take(self.response(position, None)).await?;
                }
            }
        }
    }

    /// Tells all that the feed has after `position`, and answers up to where it has looked.
    async fn catch_up(&self, mut position: i64, reader: &mut Reader) -> Result<i64, End> {
        loop {
            let head = self.rpc.feed.head();
            let key = self.scope.0.as_ref().map(DmpId::as_str);
            let events = self.rpc.feed.read(FEED, key, position, BATCH).await?;
            let is_last = (events.len() as i64) < BATCH;
            if !events.is_empty() {
                self.admit().await?;
            }
            for event in events {
                position = event.position;
                let told = render::told(&event.payload).ok_or(store::Error::Corrupt("outbox.payload"))?;
                reader.take(self.response(position, Some(told))).await?;
            }
            if is_last {
                // Nothing that concerns this watch lies between its last event and the head known before the read.
                return Ok(position.max(head));
            }
        }
    }

    /// Services watch on their own behalf; everybody else as who may read the journal.
    async fn admit(&self) -> Result<()> {
        let Some(dmp_id) = self.scope.0.as_ref().filter(|_| self.actor.role != Role::Service) else {
            return Ok(());
        };
        let mut connection = self.rpc.db.read().await?;
        let admitted = self
            .rpc
            .admit(&mut connection, &self.actor, dmp_id, Operation::ReadJournal);
        admitted.await
    }

    fn response(&self, position: i64, event: Option<Told>) -> pb::WatchConsentResponse {
        pb::WatchConsentResponse {
            resume_token: self.scope.token(position),
            event,
        }
    }
}

/// The buffer's end towards the reader.
struct Reader {
    sender: mpsc::Sender<pb::WatchConsentResponse>,
    /// When it was last told something.
    told_at: Instant,
    settings: config::Watch,
}

impl Reader {
    async fn take(&mut self, response: pb::WatchConsentResponse) -> Result<(), End> {
        match timeout(self.settings.patience(), self.sender.send(response)).await {
            Ok(Ok(())) => {
                self.told_at = Instant::now();
                Ok(())
            }
            Ok(Err(_gone)) => Err(End::Gone),
            Err(_too_slow) => Err(End::Failed(too_slow(self.settings.buffer))),
        }
    }
}

fn too_slow(buffer: usize) -> Failure {
    let message = "events are taken too slowly; resume from the last token";
    Failure::new(Code::ResourceExhausted, Reason::Overloaded, message).with("limit", buffer.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use super::*;

    /// Whoever leaves the buffer full is sent away, and finds in it what it did not take.
    #[tokio::test]
    async fn a_slow_reader_is_sent_away_with_what_it_was_told() {
        let settings = config::Watch {
            buffer: 1,
            patience_ms: 1,
            ..config::Watch::default()
        };
        let (sender, mut receiver) = mpsc::channel(settings.buffer);
        let mut reader = Reader {
            sender,
            told_at: Instant::now(),
            settings,
        };
        let response = |position| pb::WatchConsentResponse {
            resume_token: Scope(None).token(position),
            event: None,
        };
        assert!(reader.take(response(1)).await.is_ok());
        let Err(End::Failed(failure)) = reader.take(response(2)).await else {
            panic!("a full buffer took more");
        };
        assert_eq!(
            (failure.code, failure.reason),
            (Code::ResourceExhausted, Reason::Overloaded)
        );
        assert_eq!(receiver.recv().await.unwrap(), response(1));
        assert!(reader.take(response(2)).await.is_ok());
        drop(receiver);
        assert!(matches!(reader.take(response(3)).await, Err(End::Gone)));
    }

    #[test]
    fn a_token_is_good_for_its_scope_only() {
        let (one, other) = (DmpId::generate([1; 16]), DmpId::generate([2; 16]));
        let scopes = [Scope(None), Scope(Some(one)), Scope(Some(other))];
        for (place, scope) in scopes.iter().enumerate() {
            let token = scope.token(77);
            for (other_place, other) in scopes.iter().enumerate() {
                assert_eq!(other.position(&token), (place == other_place).then_some(77));
            }
        }
        for wrong in ["", "AAAA", "é", &Scope(None).token(-1)] {
            assert_eq!(Scope(None).position(wrong), None, "{wrong}");
        }
    }
}
