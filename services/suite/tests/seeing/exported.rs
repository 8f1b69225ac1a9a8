//! Metrics as Prometheus stores what OTLP sends: names with unit and kind, labels with underscores.

use opentelemetry::KeyValue;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

/// What was exported.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exported {
    /// The names of one metric in Prometheus, by its own name: three for a histogram.
    names: BTreeMap<String, Vec<String>>,
    /// Labels, by name in Prometheus.
    labels: BTreeMap<String, Labels>,
}

/// The values that each label has had.
pub(crate) type Labels = BTreeMap<String, BTreeSet<String>>;

impl Exported {
    /// Labels of a metric of Prometheus; `None` when nothing exports it.
    pub(crate) fn labels(&self, metric: &str) -> Option<&Labels> {
        self.labels.get(metric)
    }

    /// Metrics of which `shown` has no name.
    pub(crate) fn unseen<'a>(&'a self, shown: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
        let unseen = self
            .names
            .iter()
            .filter(|(_, names)| !names.iter().any(|name| shown.contains(name)));
        unseen.map(|(name, _)| name.as_str())
    }

    pub(crate) fn all_labels(&self) -> BTreeSet<&str> {
        self.labels
            .values()
            .flat_map(BTreeMap::keys)
            .map(String::as_str)
            .collect()
    }

    fn take(&mut self, metric: &Metric) {
        let (kind, labels) = match metric.data() {
            AggregatedMetrics::F64(data) => read(data),
            AggregatedMetrics::U64(data) => read(data),
            AggregatedMetrics::I64(data) => read(data),
        };
        let unit = match metric.unit() {
            "s" => "_seconds",
            "" => "",
            annotation if annotation.starts_with('{') => "",
            other => panic!(
                "{} has the unit {other}, of which this test knows no suffix",
                metric.name()
            ),
        };
        assert!(!metric.description().is_empty(), "{} has no description", metric.name());
        let base = format!("{}{unit}", underscored(metric.name()));
        let suffixes: &[&str] = match kind {
            Kind::Counter => &["_total"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_count", "_sum"],
        };
        let names: Vec<String> = suffixes.iter().map(|suffix| format!("{base}{suffix}")).collect();
        for name in &names {
            let known = self.labels.entry(name.clone()).or_default();
            for (label, value) in &labels {
                known.entry(label.clone()).or_default().insert(value.clone());
            }
        }
        self.names.insert(metric.name().to_owned(), names);
    }
}

enum Kind {
    Counter,
    Gauge,
    Histogram,
}

fn read<T: Copy>(data: &MetricData<T>) -> (Kind, Vec<(String, String)>) {
    match data {
        MetricData::Gauge(gauge) => (Kind::Gauge, pairs(gauge.data_points().map(|point| point.attributes()))),
        MetricData::Sum(sum) => {
            let kind = if sum.is_monotonic() { Kind::Counter } else { Kind::Gauge };
            (kind, pairs(sum.data_points().map(|point| point.attributes())))
        }
        MetricData::Histogram(histogram) => {
            let points = histogram.data_points().map(|point| point.attributes());
            (Kind::Histogram, pairs(points))
        }
        MetricData::ExponentialHistogram(_) => panic!("nobody makes exponential histograms"),
    }
}

fn pairs<'a, A: Iterator<Item = &'a KeyValue>>(points: impl Iterator<Item = A>) -> Vec<(String, String)> {
    points
        .flatten()
        .map(|label| (underscored(label.key.as_str()), label.value.to_string()))
        .collect()
}

fn underscored(name: &str) -> String {
    name.replace('.', "_")
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Exported>>);

impl PushMetricExporter for Kept {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut exported = self.0.lock().unwrap();
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
            exported.take(metric);
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

static METER: LazyLock<(SdkMeterProvider, Kept)> = LazyLock::new(|| {
    let kept = Kept::default();
    let provider = SdkMeterProvider::builder().with_periodic_exporter(kept.clone()).build();
    opentelemetry::global::set_meter_provider(provider.clone());
    (provider, kept)
});

/// From now on every instrument that is made is exported to this process's own memory.
pub(crate) fn begin() {
    LazyLock::force(&METER);
}

/// What is exported now.
pub(crate) fn collect() -> Exported {
    METER.0.force_flush().unwrap();
    METER.1.0.lock().unwrap().clone()
}
