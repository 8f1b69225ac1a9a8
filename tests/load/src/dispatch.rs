//! Sends each call when it is due, and never waits for an answer.
//!
//! A latency is counted from the moment when its call was due. When the services stall, calls go on becoming due, and the
//! time that each of them had to wait is in its latency: nothing is omitted because the client was waiting too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest sleep before it is looked whether to stop.
const NAP: Duration = Duration::from_millis(50);

/// Calls `go` with each moment of arrival when it has come, until there is none left or `stop` is set. To be run on a
/// thread of its own: an operating system's sleep is exact to some tens of microseconds, a runtime's to a millisecond.
/// Answers by how much the latest call was sent too late.
pub(crate) fn dispatch(
    arrivals: impl Iterator<Item = Duration>,
    begun: Instant,
    stop: &AtomicBool,
    mut go: impl FnMut(Instant),
) -> Duration {
    let mut longest_lag = Duration::ZERO;
    for arrival in arrivals {
        let due = begun + arrival;
        loop {
            if stop.load(Ordering::Relaxed) {
                return longest_lag;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(NAP));
        }
        longest_lag = longest_lag.max(due.elapsed());
        go(due);
    }
    longest_lag
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::operation::Operation;
    use crate::tally::Tally;
    use std::sync::Arc;
    use tokio::sync::watch;

    /// A server stalls from the first call until the last has arrived. A closed loop would have seen one slow call; here
    /// every call's wait is counted: the median is half of the stall, the longest all of it.
    #[tokio::test]
    async fn a_stalled_server_shows_in_every_latency() {
        const CALLS: u32 = 200;
        const GAP: Duration = Duration::from_millis(1);
        let tally = Arc::new(Tally::default());
        let (stalled, until) = watch::channel(true);
        let (handle, counted) = (tokio::runtime::Handle::current(), tally.clone());
        let sent = tokio::task::spawn_blocking(move || {
            let mut calls = Vec::new();
            let (stop, begun) = (AtomicBool::new(false), Instant::now());
            dispatch((1..=CALLS).map(|n| GAP * n), begun, &stop, |due| {
                let (tally, mut until) = (counted.clone(), until.clone());
                calls.push(handle.spawn(async move {
                    until.wait_for(|stalled| !stalled).await.unwrap();
                    tally.ended(Operation::List, true, 0, due.elapsed());
                }));
            });
            stalled.send(false).unwrap();
            calls
        });
        futures::future::join_all(sent.await.unwrap()).await;
        let counts = tally.operations().remove("list").unwrap();
        assert_eq!(counts.done(), u64::from(CALLS));
        let stall = (GAP * (CALLS - 1)).as_secs_f64() * 1000.0;
        assert!(counts.latency.longest() >= stall * 0.99, "{}", counts.latency.longest());
        assert!(counts.latency.milliseconds(50.0) >= stall * 0.49);
        assert!(counts.latency.milliseconds(90.0) >= stall * 0.88);
    }

    #[test]
    fn it_stops_when_told() {
        let (stop, mut sent) = (AtomicBool::new(false), 0);
        dispatch((0..).map(|_| Duration::ZERO), Instant::now(), &stop, |_| {
            sent += 1;
            stop.store(sent == 3, Ordering::Relaxed);
        });
        assert_eq!(sent, 3);
    }
}
