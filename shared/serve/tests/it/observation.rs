//! What telemetry shows, and what it never shows.

use api::common::v1::{Actor, Role};
use opentelemetry::KeyValue;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use serve::telemetry::Captured;
use serve::{Claims, Failure};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tonic::Code;

use crate::probe::{invoke, invoke_path};
use crate::suite::{DMP_ID, PROFESSIONAL, SUBJECT, Suite, with_token};

/// Counts (cumulative) and gauges by metric and labels, as last exported.
type Counts = BTreeMap<String, u64>;

struct Kept(Arc<Mutex<Counts>>);

static METRICS: LazyLock<(SdkMeterProvider, Arc<Mutex<Counts>>)> = LazyLock::new(|| {
    let counts = Arc::new(Mutex::default());
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(Kept(Arc::clone(&counts)))
        .build();
    opentelemetry::global::set_meter_provider(provider.clone());
    (provider, counts)
});

impl PushMetricExporter for Kept {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut counts = self.0.lock().unwrap();
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    for point in sum.data_points() {
                        counts.insert(named(metric.name(), point.attributes()), point.value());
                    }
                }
                AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                    for point in gauge.data_points() {
                        counts.insert(named(metric.name(), point.attributes()), point.value() as u64);
                    }
                }
                _ => {}
            }
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

fn named<'a>(metric: &str, labels: impl Iterator<Item = &'a KeyValue>) -> String {
    let mut labels: Vec<String> = labels.map(|label| format!("{}={}", label.key, label.value)).collect();
    labels.sort();
    format!("{metric} {}", labels.join(" "))
}

/// What the metric of this name and these labels shows.
pub(crate) fn metric(name: &str) -> Option<u64> {
    counts().get(name).copied()
}

/// Every process of these tests is watched, by one capture and one meter.
pub(crate) fn watch_everything() -> Captured {
    LazyLock::force(&METRICS);
    serve::telemetry::capture()
}

fn counts() -> Counts {
    METRICS.0.force_flush().unwrap();
    METRICS.1.lock().unwrap().clone()
}

/// Nothing identifying a person reaches a log line, a span or an error: not of a call that works, of one that is
/// refused, of one that breaks, nor of one whose handler shows all it has.
#[tokio::test]
async fn telemetry_and_errors_never_name_a_person() {
    const NIR: &str = "269054958815780";
    const NAME: &str = "Durand-Lapierre";
    let captured = watch_everything();
    let suite = Suite::new();
    let other = suite.start().await;
    let front = suite.start_before(&other.running.url()).await;
    let mut holder = Claims::new(format!("{NAME}-{NIR}"), Role::Holder);
    holder.dmp_id = DMP_ID.to_owned();
    let mut tokens = vec![
        suite.token(&suite.professional()),
        suite.token(&holder),
        suite.service_token("dossier"),
    ];
    let mut shown = String::new();
    for token in &tokens {
        for method in ["WhoAmI", "Administer", "Panic", "Break", "Forward", "Nothing"] {
            let mut request = with_token(token);
            request.get_mut().subject = "Administer".to_owned();
            request.get_mut().dmp_id = NIR.to_owned();
            request.metadata_mut().insert("x-name", NAME.parse().unwrap());
            if let Err(status) = invoke(front.channel(), method, request).await {
                shown.push_str(&format!("{status:?} {:?}", Failure::of_ours(&status)));
            }
        }
    }
    let broken = format!("{}x", tokens[0]);
    let path = format!("/dmp.test.v1.ProbeService/{NIR}?name={NAME}");
    for request in [with_token(&broken), with_token(NIR), with_token(&tokens[0])] {
        let status = invoke_path(front.channel(), &path, request).await.unwrap_err();
        shown.push_str(&format!("{status:?}"));
    }
    tokens.push(broken);

    let text = captured.text();
    assert!(
        text.contains("a handler logs its call") && text.contains("rpc.method=WhoAmI"),
        "something was captured"
    );
    assert!(
        text.contains("place=") && text.contains("panic"),
        "the panic's place is logged"
    );
    let everything = format!("{text}{shown}");
    for token in &tokens {
        let signature = token.rsplit('.').next().unwrap();
        assert!(
            !everything.contains(token.as_str()) && !everything.contains(signature),
            "a token is shown"
        );
    }
    for personal in [NIR, "2690549588157", NAME, SUBJECT, PROFESSIONAL, DMP_ID] {
        assert!(!everything.contains(personal), "{personal} is shown");
    }
}

/// design.md §2.1: metrics are outermost, so refusals count; and no caller can add a name to them.
#[tokio::test]
async fn every_call_counts_under_its_code() {
    let suite = Suite::new();
    let process = suite.start().await;
    let count = |method: &str, code: Code| {
        let labels = format!("rpc.grpc.status_code={} rpc.method={method}", code as i32);
        let found = counts()
            .into_iter()
            .filter(|(name, _)| name.starts_with("rpc.server.calls ") && name.contains(&labels));
        found.map(|(_, count)| count).sum::<u64>()
    };
    let before = (
        count("Administer", Code::PermissionDenied),
        count("unknown", Code::Unimplemented),
    );
    for _ in 0..3 {
        invoke(process.channel(), "Administer", suite.request())
            .await
            .unwrap_err();
        invoke(process.channel(), "MadeUpByCaller", suite.request())
            .await
            .unwrap_err();
    }
    let anonymous = tonic::Request::new(Actor::default());
    invoke(process.channel(), "Administer", anonymous).await.unwrap_err();
    assert!(count("Administer", Code::PermissionDenied) >= before.0 + 3);
    assert!(count("unknown", Code::Unimplemented) >= before.1 + 3);
    assert!(count("Administer", Code::Unauthenticated) >= 1);
    assert!(!counts().keys().any(|name| name.contains("MadeUpByCaller")));
}
