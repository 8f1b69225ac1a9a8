//! How many calls a process takes at once: a fixed number in flight, a bounded queue, and a clear refusal past it.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::{Instant, timeout};

use crate::config::Limits;
use crate::methods::{Access, Method};
use crate::{Failure, Result};

/// Part of what is left until its deadline that a call may wait for a slot, and how long at the most. Whoever begins with
/// little time left is answered by nobody in time: under a load that stays, all calls would be such calls, and none would
/// succeed however many are worked on.
const PATIENCE: u32 = 4;
const PATIENCE_MAX: Duration = Duration::from_secs(1);

/// The right to be in flight, given back when dropped. `None` for what is always admitted.
pub(crate) type Slot = Option<OwnedSemaphorePermit>;

/// Admits calls. Watches have their own share: they stay for long and would otherwise push calls out.
#[derive(Debug)]
pub(crate) struct Admission {
    calls: Arc<Semaphore>,
    queue: Semaphore,
    watches: Arc<Semaphore>,
    limits: Limits,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(limits.calls)),
            queue: Semaphore::new(limits.waiting),
            watches: Arc::new(Semaphore::new(limits.watches)),
            limits: limits.clone(),
        }
    }

    /// Waits for a slot, first come, first served.
    ///
    /// # Errors
    /// `OVERLOADED` when as many wait already as may, and after a quarter of what is left until `deadline`; watches never
    /// wait.
    pub(crate) async fn enter(&self, method: &Method, deadline: Instant) -> Result<Slot> {
        if method.access != Access::Token {
            return Ok(None);
        }
        if method.watch {
            let slot = self.watches.clone().try_acquire_owned();
            return slot.map(Some).map_err(|_| Failure::overloaded(self.limits.watches));
        }
        match self.calls.clone().try_acquire_owned() {
            Ok(slot) => Ok(Some(slot)),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => self.wait(deadline).await,
        }
    }

    async fn wait(&self, deadline: Instant) -> Result<Slot> {
        let overloaded = || Failure::overloaded(self.limits.waiting);
        let _place = self.queue.try_acquire().map_err(|_| overloaded())?;
        let patience = deadline.saturating_duration_since(Instant::now()) / PATIENCE;
        let slot = timeout(patience.min(PATIENCE_MAX), self.calls.clone().acquire_owned()).await;
        let slot = slot.map_err(|_| overloaded())?;
        slot.map(Some).map_err(|_| Failure::draining())
    }
}
