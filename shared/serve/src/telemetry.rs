//! Logs, traces and metrics.
//!
//! Redaction is by absence: types that hold what identifies a person have a `Debug` that shows nothing, calls are
//! observed by method and code only, dependencies that see headers and payload are kept quiet whatever the level, and a
//! panic is logged without its message. [`capture`] lets a test look for what must never be there.
//!
//! A trace goes from the caller to the last statement: a span for each call, for each connection held for reading, for
//! each write and each journal entry, and in them the text of each statement, which holds places and no values. All of
//! that is made only where a collector takes it.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use std::fmt;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber, span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::config::{LogFormat, LogLevel, TelemetrySettings};
use crate::records::Records;

/// Spans that wait for the collector; further ones are dropped and counted by the exporter.
const SPAN_QUEUE: usize = 8192;
const SPAN_BATCH: usize = 512;
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Crates that see headers, tokens or payloads, and say so at some level.
const QUIET: [&str; 8] = ["h2", "hyper", "hyper_util", "tonic", "tower", "axum", "sqlx", "rustls"];

/// Where sqlx tells of statements: their text, how many rows, how long. Never what is bound to them.
const STATEMENTS: &str = "sqlx::query";

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter cannot be made.
    #[error("`telemetry.otlp` must be the address of an OTLP/gRPC collector, as http://127.0.0.1:4317")]
    Exporter(#[from] ExporterBuildError),
    /// Something in this process has installed a subscriber before.
    #[error("telemetry was set up before")]
    Twice,
}

/// Sends what is left when dropped. Keep it until the process ends; drop it outside of asynchronous code, for it waits.
#[must_use = "telemetry ends when the guard is dropped"]
#[derive(Debug, Default)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
    logs: Option<SdkLoggerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // A collector that is away must not keep a process from ending; it loses what it would not take.
        if let Some(traces) = &self.traces {
            let _lost = traces.shutdown_with_timeout(EXPORT_TIMEOUT);
        }
        if let Some(metrics) = &self.metrics {
            let _lost = metrics.shutdown_with_timeout(EXPORT_TIMEOUT);
        }
        if let Some(logs) = &self.logs {
            let _lost = logs.shutdown_with_timeout(EXPORT_TIMEOUT);
        }
    }
}

/// Sets up logs, and where a collector is named their export with that of traces and metrics, for the process called `name`. Once per process,
/// within a tokio runtime when there is a collector.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(settings: &TelemetrySettings, name: &str) -> Result<Telemetry, TelemetryError> {
    log_panics_without_message();
    let telemetry = match &settings.otlp {
        Some(address) => export(address, name)?,
        None => Telemetry::default(),
    };
    let tracer = telemetry.traces.as_ref().map(|traces| traces.tracer("serve"));
    let spans = tracer.map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_filter(traced())
    });
    let logged = logged(settings.level);
    let records = telemetry.logs.as_ref().map(Records::new);
    let records = records.map(|records| records.with_filter(logged.clone()));
    let subscriber = tracing_subscriber::registry()
        .with(spans)
        .with(records)
        .with(lines(settings.format).with_filter(logged));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Twice)?;
    Ok(telemetry)
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Human => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

/// What becomes a line: what the operator asked for, and statements that took longer than a second.
fn logged(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    quiet(level).with_target(STATEMENTS, level.min(LevelFilter::WARN))
}

/// What becomes part of a trace, whatever the level of lines.
fn traced() -> Targets {
    quiet(LevelFilter::INFO).with_targets(["store", "journal", STATEMENTS].map(|target| (target, LevelFilter::DEBUG)))
}

/// Everything that is ever shown.
fn captured() -> Targets {
    quiet(LevelFilter::TRACE).with_target(STATEMENTS, LevelFilter::TRACE)
}

fn quiet(level: LevelFilter) -> Targets {
    let quiet = QUIET.map(|target| (target, level.min(LevelFilter::ERROR)));
    Targets::new().with_default(level).with_targets(quiet)
}

fn export(address: &str, name: &str) -> Result<Telemetry, TelemetryError> {
    let resource = Resource::builder().with_service_name(name.to_owned()).build();
    let spans = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(address)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(SPAN_QUEUE)
        .with_max_export_batch_size(SPAN_BATCH);
    let spans = BatchSpanProcessor::builder(spans)
        .with_batch_config(batches.build())
        .build();
    let traces = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_span_processor(spans)
        .build();
    let points = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(address)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let metrics = SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_periodic_exporter(points)
        .build();
    opentelemetry::global::set_meter_provider(metrics.clone());
    let records = LogExporter::builder()
        .with_tonic()
        .with_endpoint(address)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let logs = SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(records)
        .build();
    Ok(Telemetry {
        traces: Some(traces),
        metrics: Some(metrics),
        logs: Some(logs),
    })
}

/// A panic's message may hold a value; where it happened is enough to find it.
fn log_panics_without_message() {
    std::panic::set_hook(Box::new(log_panic));
}

fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "panic");
}

/// Everything that telemetry would show at its most talkative level, kept in memory.
#[derive(Debug, Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<Shown>>>);

/// A line, and the trace that it belongs to.
#[derive(Debug)]
struct Shown {
    trace: Option<TraceId>,
    line: String,
}

/// 32 hexadecimal digits, as the span of a call records them.
#[derive(Debug, Clone, PartialEq)]
struct TraceId(String);

/// What a span said of itself when it began.
struct Head(String);

impl Captured {
    /// All lines so far: spans and events, with every field.
    pub fn text(&self) -> String {
        let shown = self.lock();
        shown.iter().flat_map(|shown| [shown.line.as_str(), "\n"]).collect()
    }

    /// The lines so far of one trace: of each call in it as soon as it knew its trace, and of all that happened in it.
    pub fn of_trace(&self, trace_id: &str) -> Vec<String> {
        let shown = self.lock();
        let of_trace = shown
            .iter()
            .filter(|shown| shown.trace.as_ref().is_some_and(|trace| trace.0 == trace_id));
        of_trace.map(|shown| shown.line.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, trace: Option<TraceId>, line: String) {
        self.lock().push(Shown { trace, line });
    }
}

/// Captures the telemetry of this process from now on, at level `trace`; instead of [`init`], for tests that assert
/// that something is never shown. All callers share one capture.
pub fn capture() -> Captured {
    static CAPTURED: OnceLock<Captured> = OnceLock::new();
    CAPTURED
        .get_or_init(|| {
            let kept = Captured::default();
            let subscriber = tracing_subscriber::registry()
                .with(captured())
                .with(CaptureLayer(kept.clone()));
            if tracing::subscriber::set_global_default(subscriber).is_err() {
                kept.show(
                    None,
                    "capture came too late: another subscriber is installed".to_owned(),
                );
            }
            // As in a process; and then as in a test, whose failure is its panic's message.
            let reported = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                log_panic(panic);
                reported(panic);
            }));
            kept
        })
        .clone()
}

struct CaptureLayer(Captured);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for CaptureLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let (target, name) = (attributes.metadata().target(), attributes.metadata().name());
        let mut line = Line::new(format!("span {target} {name}"));
        attributes.record(&mut line);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Head(line.text.clone()));
        }
        self.0.show(trace_of(context.span_scope(id)), line.text);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let head = context.span(id).and_then(|span| {
            let extensions = span.extensions();
            extensions.get::<Head>().map(|head| head.0.clone())
        });
        let mut line = Line::new(format!("record {}", head.unwrap_or_default()));
        values.record(&mut line);
        if let (Some(span), Some(trace)) = (context.span(id), line.trace_id.take()) {
            span.extensions_mut().replace(trace);
        }
        self.0.show(trace_of(context.span_scope(id)), line.text);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Line::new(format!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut line);
        self.0.show(trace_of(context.event_scope(event)), line.text);
    }
}

/// The trace of the innermost span that knows one.
fn trace_of<'a, S: LookupSpan<'a>>(mut scope: Option<Scope<'a, S>>) -> Option<TraceId> {
    scope
        .as_mut()?
        .find_map(|span| span.extensions().get::<TraceId>().cloned())
}

struct Line {
    text: String,
    trace_id: Option<TraceId>,
}

impl Line {
    fn new(text: String) -> Self {
        Self { text, trace_id: None }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "trace_id" {
            self.trace_id = Some(TraceId(value.to_owned()));
        }
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _written = write!(self.text, " {}={value:?}", field.name());
    }
}
