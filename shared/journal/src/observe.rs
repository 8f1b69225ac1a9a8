//! What telemetry shows of a log: how much waits, how much is written at once, how long it takes, how far it has come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use store::observe::{SHARED, seconds, service};
use tracing::Span;

/// Instruments of one log.
#[derive(Clone)]
pub(crate) struct Metrics {
    labels: [KeyValue; 2],
    appends: Histogram<f64>,
    refused: Counter<u64>,
    entries: Histogram<u64>,
    batches: Histogram<f64>,
    failures: Counter<u64>,
    tree_size: Arc<AtomicU64>,
}

/// What waits for the writer of a log.
pub(crate) trait Queue: Send + Sync + 'static {
    fn waiting(&self) -> usize;
}

impl Metrics {
    /// Instruments of the meter that telemetry has installed by now.
    pub(crate) fn new(name: &'static str, origin: &str, tree_size: u64) -> Self {
        let meter = opentelemetry::global::meter("journal");
        let seconds = |name, description| seconds(&meter, name, description);
        let metrics = Self {
            labels: [service(name), KeyValue::new("dmp.journal.origin", origin.to_owned())],
            appends: seconds("dmp.journal.append.duration", "From asking for an entry to its receipt"),
            refused: meter
                .u64_counter("dmp.journal.refused")
                .with_unit("{entry}")
                .with_description("Entries refused because as many waited as may")
                .build(),
            entries: meter
                .u64_histogram("dmp.journal.batch")
                .with_unit("{entry}")
                .with_description("Entries written under one checkpoint")
                .with_boundaries(SHARED.to_vec())
                .build(),
            batches: seconds(
                "dmp.journal.batch.duration",
                "How long it took to write a batch durably, further tries included",
            ),
            failures: meter
                .u64_counter("dmp.journal.failures")
                .with_unit("{batch}")
                .with_description("Batches given up, whose callers were told that the log does not answer")
                .build(),
            tree_size: Arc::new(AtomicU64::new(tree_size)),
        };
        // A counter that is there from the start shows its first count as a rise.
        for counter in [&metrics.refused, &metrics.failures] {
            counter.add(0, &metrics.labels);
        }
        let (labels, size) = (metrics.labels.clone(), Arc::downgrade(&metrics.tree_size));
        let _registered = meter
            .u64_observable_gauge("dmp.journal.tree.size")
            .with_unit("{entry}")
            .with_description("Entries in the tree, as this process last wrote or read it")
            .with_callback(move |observer| {
                if let Some(size) = size.upgrade() {
                    observer.observe(size.load(Ordering::Relaxed), &labels);
                }
            })
            .build();
        metrics
    }

    /// Shows what waits at every collection, until the log is gone.
    pub(crate) fn watch<Q: Queue>(&self, queue: Weak<Q>) {
        let labels = self.labels.clone();
        let _registered = opentelemetry::global::meter("journal")
            .i64_observable_up_down_counter("dmp.journal.waiting")
            .with_unit("{entry}")
            .with_description("Entries asked for that the writer has not taken up")
            .with_callback(move |observer| {
                if let Some(queue) = queue.upgrade() {
                    observer.observe(i64::try_from(queue.waiting()).unwrap_or(i64::MAX), &labels);
                }
            })
            .build();
    }

    pub(crate) fn appended(&self, took: Duration) {
        self.appends.record(took.as_secs_f64(), &self.labels);
    }

    pub(crate) fn refused(&self) {
        self.refused.add(1, &self.labels);
    }

    pub(crate) fn wrote(&self, entries: usize, tree_size: u64, took: Duration) {
        self.tree_size.store(tree_size, Ordering::Relaxed);
        if entries > 0 {
            let entries = u64::try_from(entries).unwrap_or(u64::MAX);
            self.entries.record(entries, &self.labels);
            self.batches.record(took.as_secs_f64(), &self.labels);
        }
    }

    pub(crate) fn failed(&self) {
        self.failures.add(1, &self.labels);
    }
}

/// The span of a batch: part of the trace of the call that came first, and linked from those that share it.
pub(crate) fn batch_span(callers: &[Span]) -> Span {
    let mut traced = callers.iter().filter(|caller| !caller.is_disabled());
    let Some(first) = traced.next() else {
        return Span::none();
    };
    let span = tracing::debug_span!(parent: first, "journal.batch", asked = callers.len());
    for other in traced {
        span.follows_from(other);
    }
    span
}
