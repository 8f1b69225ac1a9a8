//! Calls that are not measured wait for a service that is away or busy.

use std::time::Duration;

use crate::operation::Ending;

/// How often, and after which pause, such a call is made again: a minute in all.
pub(crate) const PATIENCE: usize = 120;
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

/// Repeats a call while its service is away or busy.
pub(crate) async fn patiently<T>(call: impl AsyncFn() -> Result<T, Ending>) -> Result<T, Ending> {
    let mut tries = 0;
    loop {
        match call().await {
            Err(ending) if ending.is_clear() && tries < PATIENCE => tries += 1,
            ended => return ended,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
