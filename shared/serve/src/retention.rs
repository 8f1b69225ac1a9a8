//! Answers given long ago are forgotten, so that the table of requests does not grow without end.

use jiff::SignedDuration;
use std::time::Duration;
use store::time::Clock;
use store::{Db, Engine, forget_requests_before};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// For how long a repeated `request_id` is answered and not done again (AIP-155). A caller that repeats a request after
/// a month has lost more than an answer.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How often old requests are looked for.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Requests forgotten in one write: others must not wait long behind it.
const BATCH: i64 = 1000;

/// Forgets old requests now and every hour, until `stop`.
pub(crate) async fn forget_old_requests<DB: Engine>(db: Db<DB>, clock: Clock, stop: CancellationToken) {
    loop {
        if let Err(error) = forget(&db, &clock).await {
            tracing::warn!(%error, "old requests could not be forgotten; trying again in an hour");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(INTERVAL) => {}
        }
    }
}

async fn forget<DB: Engine>(db: &Db<DB>, clock: &Clock) -> store::Result<()> {
    let Ok(before) = clock.now().checked_sub(KEPT) else {
        return Ok(());
    };
    while forget_requests_before(db, before, BATCH).await? > 0 {}
    Ok(())
}
