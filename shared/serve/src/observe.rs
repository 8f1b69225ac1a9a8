//! What telemetry shows of a call: which method, how long, how it ended. Nothing of who called or what was sent.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, UpDownCounter};
use std::sync::Arc;
use std::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::Code;
use tracing::Span;
use tracing::field::Empty;

use crate::methods::Method;
use crate::trace::label;

/// Rate, errors, duration and saturation of calls, by service, method and code.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    calls: Counter<u64>,
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    in_flight: TaskTracker,
}

impl Metrics {
    /// Instruments of the meter that telemetry has installed by now.
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("serve");
        Self {
            calls: meter
                .u64_counter("rpc.server.calls")
                .with_unit("{call}")
                .with_description("Calls that have ended")
                .build(),
            duration: store::observe::seconds(
                &meter,
                "rpc.server.call.duration",
                "From a call's first byte to its last; a watch lives as long as its caller wants it",
            ),
            active: meter
                .i64_up_down_counter("rpc.server.active_calls")
                .with_unit("{call}")
                .with_description("Calls that have begun and not ended, watches included")
                .build(),
            in_flight: TaskTracker::new(),
        }
    }

    /// Calls of this service that have begun and not ended, however they came in.
    pub(crate) fn in_flight(&self) -> TaskTracker {
        self.in_flight.clone()
    }
}

/// One call, from its first byte to its last: counted when dropped, whatever happened to it.
pub(crate) struct Observation {
    metrics: Metrics,
    method: Arc<Method>,
    begun: Instant,
    /// CANCELLED until something better is known: a call whose future is dropped was given up by its caller.
    code: Code,
    pub(crate) span: Span,
    _in_flight: TaskTrackerToken,
}

impl Observation {
    pub(crate) fn begin(metrics: Metrics, method: Arc<Method>) -> Self {
        let span = tracing::info_span!(
            // Of a service in the same process it is not a part: where it came from, its trace context says.
            parent: None,
            "rpc",
            otel.name = %method.full_name,
            otel.kind = "server",
            rpc.system = "grpc",
            rpc.service = %method.service,
            rpc.method = %method.name,
            rpc.grpc.status_code = Empty,
            trace_id = Empty,
        );
        metrics.active.add(1, &Self::labels_of(&method));
        let in_flight = metrics.in_flight.token();
        Self {
            metrics,
            method,
            begun: Instant::now(),
            code: Code::Cancelled,
            span,
            _in_flight: in_flight,
        }
    }

    /// Notes how the call ended.
    pub(crate) fn ended(&mut self, code: Code) {
        self.code = code;
    }

    fn labels_of(method: &Method) -> [KeyValue; 2] {
        [
            label("rpc.service", method.service.clone()),
            label("rpc.method", method.name.clone()),
        ]
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let code = self.code as i64;
        self.span.record("rpc.grpc.status_code", code);
        self.span.in_scope(|| tracing::debug!(code, seconds, "call ended"));
        let [service, method] = Self::labels_of(&self.method);
        self.metrics.active.add(-1, &[service.clone(), method.clone()]);
        let labels = [service, method, label("rpc.grpc.status_code", code)];
        self.metrics.calls.add(1, &labels);
        self.metrics.duration.record(seconds, &labels);
    }
}
