//! Several instances of one service, called in turn.
//!
//! Nothing that one instance knows another must be told, so any of them is as good. One that does not answer is left out
//! for a second, unless none is left: a call is rather tried than refused unheard.

use futures::future::BoxFuture;
use http::{Request, Response};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::{Channel, Error};
use tower::{Service, ServiceExt};

use crate::in_process::Way;

/// How long an instance that did not answer is left out.
const LEFT_OUT: Duration = Duration::from_secs(1);

/// A channel to whichever instance is next. Cheap to clone; all clones share the connections and what is known of them.
#[derive(Clone)]
pub struct Balanced {
    instances: Arc<[Instance]>,
    next: Arc<AtomicUsize>,
}

struct Instance {
    /// Taken when it leads somewhere.
    in_process: Way,
    channel: Channel,
    /// When it last did not answer.
    failed_at: Mutex<Option<Instant>>,
}

impl Instance {
    fn failed_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_left_out(&self, now: Instant) -> bool {
        self.failed_at().is_some_and(|failed_at| now < failed_at + LEFT_OUT)
    }
}

impl Balanced {
    /// Calls instances in turn, one at the least; each by its way within the process, or by its channel.
    pub(crate) fn new(instances: impl IntoIterator<Item = (Way, Channel)>) -> Self {
        let instance = |(in_process, channel)| Instance {
            in_process,
            channel,
            failed_at: Mutex::default(),
        };
        Self {
            instances: instances.into_iter().map(instance).collect(),
            next: Arc::default(),
        }
    }

    /// The place of the next instance that is not left out; of the next one at all when all are.
    fn pick(&self, now: Instant) -> usize {
        let (count, turn) = (self.instances.len().max(1), self.next.fetch_add(1, Ordering::Relaxed));
        let in_turn = (0..count).map(|step| turn.wrapping_add(step) % count);
        let answers = |place: &usize| {
            self.instances
                .get(*place)
                .is_some_and(|instance| !instance.is_left_out(now))
        };
        in_turn.clone().find(answers).unwrap_or(turn % count)
    }
}

impl Service<Request<Body>> for Balanced {
    type Response = Response<Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<Body>, Error>>;

    /// Which instance is asked is known in the call only, and so is whether it is ready.
    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (place, instances) = (self.pick(Instant::now()), self.instances.clone());
        Box::pin(async move {
            // There is one at the least, and every place is one of theirs.
            let Some(instance) = instances.get(place) else {
                return std::future::pending().await;
            };
            let request = match instance.in_process.call(request).await {
                Ok(answer) => return Ok(answer),
                Err(request) => request,
            };
            let answer = instance.channel.clone().oneshot(request).await;
            *instance.failed_at() = answer.is_err().then(Instant::now);
            answer
        })
    }
}

impl fmt::Debug for Balanced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Balanced({} instances)", self.instances.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests fail by panicking")]

    use super::*;
    use crate::InProcess;
    use tonic::transport::Endpoint;

    fn three() -> Balanced {
        let channel = || Endpoint::from_static("http://127.0.0.1").connect_lazy();
        Balanced::new((0..3).map(|_| (InProcess::default().way("nowhere"), channel())))
    }

    fn picked(balanced: &Balanced, now: Instant) -> Vec<usize> {
        (0..6).map(|_| balanced.pick(now)).collect()
    }

    #[tokio::test]
    async fn instances_take_turns() {
        assert_eq!(picked(&three(), Instant::now()), [0, 1, 2, 0, 1, 2]);
    }

    #[tokio::test]
    async fn one_that_did_not_answer_is_left_out_for_a_while() {
        let (balanced, now) = (three(), Instant::now());
        *balanced.instances[1].failed_at() = Some(now);
        assert!(!picked(&balanced, now).contains(&1));
        assert!(picked(&balanced, now + LEFT_OUT).contains(&1));
    }

    #[tokio::test]
    async fn when_none_answered_each_is_tried_again() {
        let (balanced, now) = (three(), Instant::now());
        for instance in balanced.instances.iter() {
            *instance.failed_at() = Some(now);
        }
        assert_eq!(picked(&balanced, now), [0, 1, 2, 0, 1, 2]);
    }
}
