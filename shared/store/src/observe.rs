//! What telemetry shows of a database: its connections, its writes, its feed. Labels name the service, the engine and the
//! pool; nothing of what is stored.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tracing::Span;

/// Bounds of durations, in seconds: from a read out of memory to what an operator must be told of.
pub const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Bounds of how many share one commit or one batch.
pub const SHARED: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The label that tells the databases of one process apart.
pub fn service(name: &'static str) -> KeyValue {
    KeyValue::new("dmp.service", name)
}

/// Whether there is a call, or other work with a span of its own, to whose trace a span can belong. Work that goes on all
/// the time, such as looking for news, has none: it would bury the traces of calls.
pub fn traced() -> bool {
    !Span::current().is_disabled()
}

/// Connections of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// `read` or `write`.
    pub name: &'static str,
    /// Open and doing nothing.
    pub idle: u32,
    /// Doing something.
    pub used: u32,
    /// As many as may be open.
    pub max: u32,
}

/// What can be read off a database at any moment, without asking it.
pub(crate) trait Gauges: Send + Sync + 'static {
    fn pools(&self) -> [PoolState; 2];
    fn writes_waiting(&self) -> usize;
}

/// Instruments of one database.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) labels: Vec<KeyValue>,
    wait: Histogram<f64>,
    timeouts: Counter<u64>,
    writes: Histogram<f64>,
    refused: Counter<u64>,
    jobs: Histogram<u64>,
    commits: Histogram<f64>,
}

impl Metrics {
    /// Instruments of the meter that telemetry has installed by now.
    pub(crate) fn new(name: &'static str, engine: &str) -> Self {
        let meter = opentelemetry::global::meter("store");
        let seconds = |name, description| seconds(&meter, name, description);
        let metrics = Self {
            labels: vec![service(name), KeyValue::new("db.system.name", engine.to_lowercase())],
            wait: seconds(
                "db.client.connection.wait_time",
                "How long a connection for reading was waited for",
            ),
            timeouts: meter
                .u64_counter("db.client.connection.timeouts")
                .with_unit("{timeout}")
                .with_description("Waits for a connection for reading that ended without one")
                .build(),
            writes: seconds("dmp.store.write.duration", "From asking for a write to its answer"),
            refused: meter
                .u64_counter("dmp.store.writes.refused")
                .with_unit("{write}")
                .with_description("Writes refused because as many waited as may")
                .build(),
            jobs: meter
                .u64_histogram("dmp.store.commit.jobs")
                .with_unit("{job}")
                .with_description("Writes that shared one commit")
                .with_boundaries(SHARED.to_vec())
                .build(),
            commits: seconds(
                "dmp.store.commit.duration",
                "How long a commit took to be durable, its work apart",
            ),
        };
        // A counter that is there from the start shows its first count as a rise.
        for counter in [&metrics.timeouts, &metrics.refused] {
            counter.add(0, &metrics.labels);
        }
        metrics
    }

    pub(crate) fn waited(&self, waited: Duration, answered: bool) {
        self.wait.record(waited.as_secs_f64(), &self.labels);
        if !answered {
            self.timeouts.add(1, &self.labels);
        }
    }

    pub(crate) fn wrote(&self, took: Duration) {
        self.writes.record(took.as_secs_f64(), &self.labels);
    }

    pub(crate) fn refused(&self) {
        self.refused.add(1, &self.labels);
    }

    pub(crate) fn committed(&self, jobs: usize, took: Duration) {
        self.jobs.record(u64::try_from(jobs).unwrap_or(u64::MAX), &self.labels);
        self.commits.record(took.as_secs_f64(), &self.labels);
    }

    /// Shows what can be read off `gauges` at every collection, until it is gone.
    pub(crate) fn watch<G: Gauges>(&self, gauges: &Arc<G>) {
        let meter = opentelemetry::global::meter("store");
        self.watch_connections(&meter, Arc::downgrade(gauges));
        let (labels, gauges) = (self.labels.clone(), Arc::downgrade(gauges));
        let _registered = meter
            .i64_observable_up_down_counter("dmp.store.writes.waiting")
            .with_unit("{write}")
            .with_description("Writes asked for and not begun (SQLite), or not answered (PostgreSQL)")
            .with_callback(move |observer| {
                if let Some(gauges) = gauges.upgrade() {
                    let waiting = i64::try_from(gauges.writes_waiting()).unwrap_or(i64::MAX);
                    observer.observe(waiting, &labels);
                }
            })
            .build();
    }

    fn watch_connections<G: Gauges>(&self, meter: &Meter, gauges: Weak<G>) {
        let (labels, counted) = (self.labels.clone(), gauges.clone());
        let _registered = meter
            .i64_observable_up_down_counter("db.client.connection.count")
            .with_unit("{connection}")
            .with_description("Connections that are open, by what they do")
            .with_callback(move |observer| {
                for pool in counted.upgrade().iter().flat_map(|gauges| gauges.pools()) {
                    for (state, count) in [("idle", pool.idle), ("used", pool.used)] {
                        let state = KeyValue::new("db.client.connection.state", state);
                        observer.observe(i64::from(count), &of_pool(&labels, &pool, Some(state)));
                    }
                }
            })
            .build();
        let labels = self.labels.clone();
        let _registered = meter
            .i64_observable_up_down_counter("db.client.connection.max")
            .with_unit("{connection}")
            .with_description("Connections that may be open")
            .with_callback(move |observer| {
                for pool in gauges.upgrade().iter().flat_map(|gauges| gauges.pools()) {
                    observer.observe(i64::from(pool.max), &of_pool(&labels, &pool, None));
                }
            })
            .build();
    }
}

fn of_pool(labels: &[KeyValue], pool: &PoolState, state: Option<KeyValue>) -> Vec<KeyValue> {
    let name = KeyValue::new("db.client.connection.pool.name", pool.name);
    labels.iter().cloned().chain([name]).chain(state).collect()
}

/// A histogram of durations in seconds, with [`SECONDS`] as bounds.
pub fn seconds(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_description(description)
        .with_boundaries(SECONDS.to_vec())
        .build()
}
