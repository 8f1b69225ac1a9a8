//! Logs, traces and metrics.
//!
//! Redaction is by absence: types that hold what identifies a person have a `Debug` that shows nothing, calls are
//! observed by method and code only, dependencies that see headers and payload are kept quiet whatever the level, and a
//! panic is logged without its message. [`capture`] lets a test look for what must never be there.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use std::fmt;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber, span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{LogFormat, LogLevel, TelemetrySettings};

/// Spans that wait for the collector; further ones are dropped and counted by the exporter.
const SPAN_QUEUE: usize = 8192;
const SPAN_BATCH: usize = 512;
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Crates that see headers, tokens or payloads, and say so at some level.
const QUIET: [&str; 8] = ["h2", "hyper", "hyper_util", "tonic", "tower", "axum", "sqlx", "rustls"];

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
    }
}

/// Sets up logs, and traces and metrics where a collector is named, for the process called `name`. Once per process,
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
    });
    let subscriber = tracing_subscriber::registry()
        .with(filter(settings.level))
        .with(spans)
        .with(lines(settings.format));
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

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
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
        .with_resource(resource)
        .with_periodic_exporter(points)
        .build();
    opentelemetry::global::set_meter_provider(metrics.clone());
    Ok(Telemetry {
        traces: Some(traces),
        metrics: Some(metrics),
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
pub struct Captured(Arc<Mutex<String>>);

impl Captured {
    /// All lines so far: spans and events, with every field.
    pub fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn line(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
    }
}

/// Captures the telemetry of this process from now on, at level `trace`; instead of [`init`], for tests that assert
/// that something is never shown. All callers share one capture.
pub fn capture() -> Captured {
    static CAPTURED: OnceLock<Captured> = OnceLock::new();
    CAPTURED
        .get_or_init(|| {
            let captured = Captured::default();
            let subscriber = tracing_subscriber::registry()
                .with(filter(LogLevel::Trace))
                .with(CaptureLayer(captured.clone()));
            if tracing::subscriber::set_global_default(subscriber).is_err() {
                captured.line("capture came too late: another subscriber is installed");
            }
            // As in a process; and then as in a test, whose failure is its panic's message.
            let reported = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                log_panic(panic);
                reported(panic);
            }));
            captured
        })
        .clone()
}

struct CaptureLayer(Captured);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for CaptureLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _id: &span::Id, _context: Context<'_, S>) {
        let mut line = Line(format!(
            "span {} {}",
            attributes.metadata().target(),
            attributes.metadata().name()
        ));
        attributes.record(&mut line);
        self.0.line(&line.0);
    }

    fn on_record(&self, _id: &span::Id, values: &span::Record<'_>, _context: Context<'_, S>) {
        let mut line = Line("record".to_owned());
        values.record(&mut line);
        self.0.line(&line.0);
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Line(format!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut line);
        self.0.line(&line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _written = write!(self.0, " {}={value:?}", field.name());
    }
}
