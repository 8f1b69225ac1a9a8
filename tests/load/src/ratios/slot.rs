//! One contender for a short time: as fast as it answers, or at a rate.

use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

use super::Measure;
use crate::arrivals::Arrivals;
use crate::dispatch::dispatch;
use crate::scenario::{Phase, Scenario};
use crate::tally::Latencies;

/// One contender: calls a second and latencies of one slot.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) per_second: f64,
    pub(super) latencies: Latencies,
    pub(super) failed: Option<String>,
}

/// Something of each contender; not of the statements where a call is not compared to them.
#[derive(Debug, Clone)]
pub(super) struct Each<T> {
    pub(super) ours: T,
    pub(super) echo: T,
    pub(super) statements: Option<T>,
}

impl<T> Each<T> {
    pub(super) fn map<U>(&self, make: impl Fn(&T) -> U) -> Each<U> {
        Each {
            ours: make(&self.ours),
            echo: make(&self.echo),
            statements: self.statements.as_ref().map(make),
        }
    }
}

/// How a contender is called; callers, or calls, are numbered.
pub(super) type Contender = Arc<dyn Fn(usize) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Lets all callers call, each again as soon as it is answered, until the slot is over.
pub(super) async fn closed(asked: &Measure, call: &Contender) -> Slot {
    let begun = Instant::now();
    let until = begun + asked.slot;
    let mut callers = JoinSet::new();
    for caller in 0..asked.callers {
        let call = call.clone();
        callers.spawn(async move {
            let (mut latencies, mut failed) = (Latencies::default(), None);
            while Instant::now() < until && failed.is_none() {
                let sent = Instant::now();
                match call(caller).await {
                    Ok(()) => latencies.record(sent.elapsed()),
                    Err(error) => failed = Some(error),
                }
            }
            (latencies, failed)
        });
    }
    let mut slot = Slot::default();
    while let Some(ended) = callers.join_next().await {
        let (latencies, failed) =
            ended.unwrap_or_else(|_| (Latencies::default(), Some("a caller panicked".to_owned())));
        slot.latencies.add(&latencies);
        slot.failed = slot.failed.or(failed);
    }
    slot.per_second = slot.latencies.count() as f64 / begun.elapsed().as_secs_f64();
    slot
}

/// Lets calls arrive at a rate, whatever is answered, until the slot is over, and waits for the last of them. A latency is
/// counted from the moment when its call was due. `turn` draws other arrivals.
pub(super) async fn open(asked: &Measure, rate: f64, turn: u64, call: &Contender) -> Slot {
    let phase = Phase {
        seconds: asked.slot.as_secs_f64(),
        rate,
        to: None,
    };
    let scenario = Scenario {
        seed: asked.seed.wrapping_add(turn),
        phases: vec![phase],
        ..Scenario::default()
    };
    let arrivals = Arrivals::new(&scenario, 0, 1, false);
    let (handle, begun) = (tokio::runtime::Handle::current(), Instant::now());
    let call = call.clone();
    let sending = tokio::task::spawn_blocking(move || {
        let (mut calls, mut number) = (JoinSet::new(), 0);
        dispatch(arrivals, begun, &AtomicBool::new(false), |due| {
            let answered = call(number);
            calls.spawn_on(async move { answered.await.map(|()| due.elapsed()) }, &handle);
            number += 1;
        });
        calls
    });
    let mut slot = Slot::default();
    let Ok(mut calls): Result<JoinSet<Result<Duration, String>>, _> = sending.await else {
        slot.failed = Some("sending panicked".to_owned());
        return slot;
    };
    while let Some(ended) = calls.join_next().await {
        match ended.unwrap_or_else(|_| Err("a call panicked".to_owned())) {
            Ok(latency) => slot.latencies.record(latency),
            Err(failed) => slot.failed = slot.failed.or(Some(failed)),
        }
    }
    slot.per_second = slot.latencies.count() as f64 / asked.slot.as_secs_f64();
    slot
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many calls as the rate says, whatever each of them takes.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_open_slot_has_its_rate() {
        let asked = Measure {
            slot: Duration::from_millis(200),
            ..Measure::default()
        };
        let call: Contender = Arc::new(|_| {
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(())
            })
        });
        let slot = open(&asked, 1_000.0, 1, &call).await;
        assert!(
            (140..260).contains(&slot.latencies.count()),
            "{}",
            slot.latencies.count()
        );
        assert!(slot.latencies.milliseconds(50.0) >= 49.0);
    }

    #[tokio::test]
    async fn a_failure_is_told() {
        let asked = Measure {
            slot: Duration::from_millis(20),
            callers: 2,
            ..Measure::default()
        };
        let call: Contender = Arc::new(|_| Box::pin(async { Err("no".to_owned()) }));
        assert_eq!(open(&asked, 1_000.0, 1, &call).await.failed.as_deref(), Some("no"));
        assert_eq!(closed(&asked, &call).await.failed.as_deref(), Some("no"));
    }
}
