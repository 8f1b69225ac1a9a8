//! What happened, counted: endings and latencies by kind of call, and second by second.

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::operation::{Ending, Operation};

/// Longest latency told apart from longer ones: two minutes.
const MICROS_MAX: u64 = 120_000_000;
/// Three significant digits: every percentile is right within a thousandth.
const DIGITS: u8 = 3;

/// Latencies, in microseconds, as an HDR histogram. As JSON: `[[microseconds, count], …]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the bounds are constants that the histogram takes")]
        Self(Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("bounds of a histogram"))
    }
}

impl Latencies {
    /// Enters one.
    pub fn record(&mut self, latency: Duration) {
        self.enter(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), 1);
    }

    fn enter(&mut self, micros: u64, count: u64) {
        // Within its bounds by `clamp`; only then could it fail.
        let _within_bounds = self.0.record_n(micros.clamp(1, MICROS_MAX), count);
    }

    /// Adds another process's.
    pub fn add(&mut self, other: &Self) {
        for value in other.0.iter_recorded() {
            self.enter(value.value_iterated_to(), value.count_at_value());
        }
    }

    /// How many were entered.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that `percent` of them did not exceed, in milliseconds.
    pub fn milliseconds(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }

    /// The longest, in milliseconds.
    pub fn longest(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let recorded = self.0.iter_recorded();
        serializer.collect_seq(recorded.map(|value| (value.value_iterated_to(), value.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let recorded = Vec::<(u64, u64)>::deserialize(deserializer)?;
        let mut latencies = Self::default();
        recorded
            .iter()
            .for_each(|&(micros, count)| latencies.enter(micros, count));
        Ok(latencies)
    }
}

/// One kind of call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Calls that were due.
    pub intended: u64,
    /// Those of them that were not sent, because as many were under way as may be.
    pub not_sent: u64,
    /// Tries by how they ended: `OK`, or a code and its reason.
    pub endings: BTreeMap<String, u64>,
    /// Tries that ended in a way that no fault excuses.
    pub unclear: u64,
    /// Tries that outlived their deadline.
    pub outlived: u64,
    /// Bytes of content that went one way or the other.
    pub bytes: u64,
    /// From the moment when the call was due until it was done.
    pub latency: Latencies,
    /// From the moment when the call was due until it had failed.
    pub failed: Latencies,
}

impl Counts {
    /// Calls that ended as they should.
    pub fn done(&self) -> u64 {
        self.latency.count()
    }

    /// Calls that were sent and failed.
    pub fn failures(&self) -> u64 {
        self.failed.count()
    }

    /// Adds another process's.
    pub fn add(&mut self, other: &Self) {
        self.intended += other.intended;
        self.not_sent += other.not_sent;
        self.unclear += other.unclear;
        self.outlived += other.outlived;
        self.bytes += other.bytes;
        self.latency.add(&other.latency);
        self.failed.add(&other.failed);
        for (ending, count) in &other.endings {
            *self.endings.entry(ending.clone()).or_default() += count;
        }
    }
}

/// One second of the load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Calls that were due in it.
    pub intended: u64,
    /// Calls that ended in it as they should.
    pub done: u64,
    /// Calls that failed in it.
    pub failed: u64,
    /// Calls that were not sent in it.
    pub not_sent: u64,
    /// Calls under way at its end.
    pub in_flight: u64,
    /// Of the calls done in it; of the slowest process when there are several.
    pub p50_ms: f64,
    /// The same.
    pub p99_ms: f64,
}

impl Second {
    /// Adds another process's same second.
    pub fn add(&mut self, other: &Self) {
        self.intended += other.intended;
        self.done += other.done;
        self.failed += other.failed;
        self.not_sent += other.not_sent;
        self.in_flight += other.in_flight;
        self.p50_ms = self.p50_ms.max(other.p50_ms);
        self.p99_ms = self.p99_ms.max(other.p99_ms);
    }
}

/// Counts while the load runs.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    operations: BTreeMap<Operation, Counts>,
    this_second: Second,
    latencies_of_this_second: Latencies,
    in_flight: u64,
}

impl Tally {
    /// A call is due; it may go, or not.
    pub(crate) fn due(&self, operation: Operation, sent: bool) {
        let mut counted = self.lock();
        counted.this_second.intended += 1;
        counted.in_flight += u64::from(sent);
        counted.this_second.not_sent += u64::from(!sent);
        let counts = counted.operations.entry(operation).or_default();
        counts.intended += 1;
        counts.not_sent += u64::from(!sent);
    }

    /// A try ended; the call may be tried again.
    pub(crate) fn tried(&self, operation: Operation, ending: &Ending, outlived: bool) {
        let mut counted = self.lock();
        let counts = counted.operations.entry(operation).or_default();
        *counts.endings.entry(ending.to_string()).or_default() += 1;
        counts.unclear += u64::from(!ending.is_clear());
        counts.outlived += u64::from(outlived);
    }

    /// A call ended, `latency` after it was due.
    pub(crate) fn ended(&self, operation: Operation, done: bool, bytes: u64, latency: Duration) {
        let mut counted = self.lock();
        counted.in_flight = counted.in_flight.saturating_sub(1);
        if done {
            counted.this_second.done += 1;
            counted.latencies_of_this_second.record(latency);
        } else {
            counted.this_second.failed += 1;
        }
        let counts = counted.operations.entry(operation).or_default();
        counts.bytes += bytes;
        if done {
            counts.latency.record(latency);
        } else {
            counts.failed.record(latency);
        }
    }

    /// A watch told of an arrival, `latency` after its message was sent.
    pub(crate) fn delivered(&self, latency: Duration) {
        let mut counted = self.lock();
        let counts = counted.operations.entry(Operation::Delivery).or_default();
        counts.intended += 1;
        *counts.endings.entry(Ending::DONE.to_owned()).or_default() += 1;
        counts.latency.record(latency);
    }

    /// A watch that was to stay ended.
    pub(crate) fn broke_off(&self, ending: &Ending) {
        self.tried(Operation::Delivery, ending, false);
    }

    /// Ends a second and begins the next one.
    pub(crate) fn cut(&self) -> Second {
        let mut counted = self.lock();
        let latencies = std::mem::take(&mut counted.latencies_of_this_second);
        let mut second = std::mem::take(&mut counted.this_second);
        second.in_flight = counted.in_flight;
        second.p50_ms = latencies.milliseconds(50.0);
        second.p99_ms = latencies.milliseconds(99.0);
        second
    }

    /// All that was counted by kind of call.
    pub(crate) fn operations(&self) -> BTreeMap<String, Counts> {
        let counted = self.lock();
        let named = counted.operations.iter();
        named
            .map(|(operation, counts)| (operation.name().to_owned(), counts.clone()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn latencies(millis: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        millis
            .into_iter()
            .for_each(|millis| latencies.record(Duration::from_millis(millis)));
        latencies
    }

    /// Percentiles of 1 to 100 ms are what anybody would count by hand, within a thousandth.
    #[test]
    fn percentiles_are_those_of_what_was_entered() {
        let latencies = latencies(1..=100);
        for (percent, expected) in [(50.0, 50.0), (99.0, 99.0), (100.0, 100.0)] {
            let read = latencies.milliseconds(percent);
            assert!((read / expected - 1.0).abs() < 0.002, "{percent}: {read}");
        }
        assert_eq!(latencies.count(), 100);
    }

    #[test]
    fn processes_add_up_and_json_loses_nothing() {
        let (one, other) = (latencies(1..=100), latencies(101..=300));
        let mut sum = one.clone();
        sum.add(&other);
        assert_eq!(sum, latencies(1..=300));
        let text = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<Latencies>(&text).unwrap(), sum);
    }

    /// Every call that was due is found again under exactly one heading.
    #[test]
    fn counts_add_up() {
        let tally = Tally::default();
        let ms = Duration::from_millis(1);
        for sent in [true, true, true, false] {
            tally.due(Operation::List, sent);
        }
        tally.tried(Operation::List, &Ending::Torn, false);
        tally.tried(Operation::List, &Ending::Done, false);
        tally.ended(Operation::List, true, 7, ms);
        tally.tried(Operation::List, &Ending::Wrong("content"), true);
        tally.ended(Operation::List, false, 0, ms);
        let second = tally.cut();
        assert_eq!(
            (second.intended, second.done, second.failed, second.not_sent),
            (4, 1, 1, 1)
        );
        assert_eq!(second.in_flight, 1);
        assert_eq!(
            tally.cut(),
            Second {
                in_flight: 1,
                ..Second::default()
            }
        );
        let counts = tally.operations().remove("list").unwrap();
        assert_eq!(
            counts.intended,
            counts.done() + counts.failures() + counts.not_sent + second.in_flight
        );
        assert_eq!((counts.unclear, counts.outlived, counts.bytes), (1, 1, 7));
        assert_eq!(counts.endings.values().sum::<u64>(), 3);
    }

    #[test]
    fn a_latency_beyond_all_bounds_is_kept_as_the_longest() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_secs(100_000));
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.longest() >= 119_000.0);
    }
}
