//! What rules and dashboards ask for is what the suite really exports, and nothing of what it exports is left unseen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod exported;
mod load;
mod promql;

use exported::Exported;
use promql::{Asked, Matcher};
use serde_json::Value;
use std::collections::BTreeSet;

const RULES: &str = include_str!("../../../../deploy/prometheus/rules.yml");
const DASHBOARDS: [(&str, &str); 2] = [
    ("suite.json", include_str!("../../../../deploy/grafana/suite.json")),
    ("journal.json", include_str!("../../../../deploy/grafana/journal.json")),
];

/// Labels that a collector or Prometheus adds.
const ADDED: [&str; 3] = ["instance", "job", "le"];

/// The rules' expressions, each on a line of its own.
fn rules() -> Vec<String> {
    let lines = RULES.lines().map(str::trim);
    let expressions = lines.filter_map(|line| line.strip_prefix("expr: "));
    expressions.map(str::to_owned).collect()
}

/// Every value of `key` in a dashboard.
fn values<'a>(dashboard: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match dashboard {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|value| values(value, key, found));
        }
        Value::Array(elements) => elements.iter().for_each(|value| values(value, key, found)),
        _ => {}
    }
}

fn check(place: &str, expression: &str, exported: &Exported) -> BTreeSet<String> {
    let Asked { metrics, labels } = promql::read(expression);
    assert!(!metrics.is_empty(), "{place}: no metric in {expression}");
    let mut known: BTreeSet<&str> = ADDED.into();
    for (metric, matched) in &metrics {
        let of_metric = exported.labels(metric);
        let of_metric = of_metric.unwrap_or_else(|| panic!("{place}: nothing exports {metric}, in {expression}"));
        known.extend(of_metric.keys().map(String::as_str));
        for Matcher { label, value } in matched {
            let values = of_metric.get(label);
            let values = values.unwrap_or_else(|| panic!("{place}: {metric} has no {label}, in {expression}"));
            let had = value.as_ref().is_none_or(|value| values.contains(value));
            assert!(had, "{place}: {label} is never {value:?}, in {expression}");
        }
    }
    for label in &labels {
        assert!(
            known.contains(label.as_str()),
            "{place}: no label {label}, in {expression}"
        );
    }
    metrics.into_iter().map(|(metric, _)| metric).collect()
}

/// design.md §12: an alert on a metric that nobody exports never rings.
#[tokio::test(flavor = "multi_thread")]
async fn rules_and_dashboards_ask_for_what_is_exported() {
    let exported = load::run().await;
    let rules = rules();
    assert_eq!(
        rules.len(),
        RULES.matches("- alert: ").count(),
        "each alert has its expression on one line"
    );
    for expression in &rules {
        check("rules.yml", expression, &exported);
    }
    let mut shown = BTreeSet::new();
    for (name, text) in DASHBOARDS {
        let dashboard: Value = serde_json::from_str(text).unwrap();
        let mut expressions = Vec::new();
        values(&dashboard, "expr", &mut expressions);
        assert!(!expressions.is_empty(), "{name} shows nothing");
        for expression in expressions {
            shown.extend(check(name, expression, &exported));
        }
    }
    let unseen: Vec<&str> = exported.unseen(&shown).collect();
    assert!(unseen.is_empty(), "no dashboard shows {unseen:?}");
}

/// House rule 8: no label names a person, and none can have as many values as there are persons.
#[tokio::test(flavor = "multi_thread")]
async fn labels_are_few_and_known() {
    let exported = load::run().await;
    let known = [
        "db_client_connection_pool_name",
        "db_client_connection_state",
        "db_system_name",
        "dmp_certificate",
        "dmp_consumer",
        "dmp_journal_origin",
        "dmp_overdue",
        "dmp_peer",
        "dmp_service",
        "rpc_grpc_status_code",
        "rpc_method",
        "rpc_service",
    ];
    assert_eq!(exported.all_labels(), BTreeSet::from(known));
}

/// Whoever is woken must know by whom and what to do.
#[test]
fn each_alert_says_how_bad_it_is_and_what_to_do() {
    for alert in RULES.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        for part in ["for: ", "severity: ", "summary: ", "action: "] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
    }
}
