//! Where a call stands in its distributed trace (W3C Trace Context), with or without an exporter.

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use store::random::Random;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

/// The trace and the span of one call.
#[derive(Debug, Clone)]
pub struct TraceContext(SpanContext);

impl TraceContext {
    /// The caller's, when it sent one that can be read. Two of them are none.
    pub(crate) fn sent(headers: &HeaderMap) -> Option<Self> {
        if headers.get_all(TRACEPARENT).iter().nth(1).is_some() {
            return None;
        }
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        let sent = context.span().span_context().clone();
        sent.is_valid().then_some(Self(sent))
    }

    /// That of a new trace.
    pub fn start(random: &Random) -> Self {
        Self::of_trace(TraceId::from_bytes(random.bytes()), TraceState::default(), random)
    }

    /// That of `span`, made the child of what the caller sent. Where no telemetry records spans, ids are made up, so
    /// that log lines, errors and other services can still be joined.
    pub(crate) fn of(span: &Span, sent: Option<Self>, random: &Random) -> Self {
        if let Some(Self(parent)) = &sent {
            // Without a recording layer there is no parent to set, and ids come from below.
            let _unrecorded = span.set_parent(Context::new().with_remote_span_context(parent.clone()));
        }
        let recorded = span.context().span().span_context().clone();
        match sent {
            _ if recorded.is_valid() => Self(recorded),
            Some(Self(parent)) => Self::of_trace(parent.trace_id(), parent.trace_state().clone(), random),
            None => Self::start(random),
        }
    }

    fn of_trace(trace: TraceId, state: TraceState, random: &Random) -> Self {
        let span = SpanId::from_bytes(random.bytes());
        Self(SpanContext::new(trace, span, TraceFlags::SAMPLED, false, state))
    }

    /// The trace id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }

    /// Writes `traceparent` and `tracestate` for the next service.
    pub(crate) fn inject(&self, metadata: &mut MetadataMap) {
        let context = Context::new().with_remote_span_context(self.0.clone());
        TraceContextPropagator::new().inject_context(&context, &mut Metadata(metadata));
    }
}

/// Shorthand for a label of a metric.
pub(crate) fn label(key: &'static str, value: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new(key, value)
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        let key = MetadataKey::from_bytes(key.as_bytes());
        if let (Ok(key), Ok(value)) = (key, MetadataValue::try_from(value)) {
            self.0.insert(key, value);
        }
    }
}
