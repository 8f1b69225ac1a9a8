//! The statements that the database's driver tells of, whoever runs them in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Texts of statements, each with how often it was run. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<String, u64>>>);

impl Seen {
    /// Listens from now on, as this process's only subscriber.
    pub(crate) fn listen() -> Self {
        let seen = Self::default();
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(seen.clone())).unwrap();
        seen
    }

    /// What was seen since it was last taken.
    pub(crate) fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The text of a statement: in full where it is long, as its summary where it is short.
#[derive(Default)]
struct Text {
    full: String,
    summary: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "db.statement" => value.clone_into(&mut self.full),
            "summary" => value.clone_into(&mut self.summary),
            _ => {}
        }
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Seen {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let text = if text.full.is_empty() { text.summary } else { text.full };
        let mut seen = self.0.lock().unwrap();
        for statement in parts(text.trim()) {
            *seen.entry(statement).or_default() += 1;
        }
    }
}

/// The statements of a message. Several insertions can be one: on SQLite they stand one after the other, on PostgreSQL they
/// are the parts of one.
fn parts(text: &str) -> Vec<String> {
    let whole = text.strip_prefix("WITH part_0 AS (").unwrap_or(text);
    let whole = whole.strip_suffix(") SELECT 1").unwrap_or(whole);
    let parts = whole.replace("; INSERT", "), part_0 AS (INSERT");
    let mut parts = parts.split("), part_");
    let first = parts.next().unwrap_or_default().to_owned();
    let others = parts.map(|part| part.split_once(" AS (").map_or(part, |(_, part)| part).to_owned());
    std::iter::once(first).chain(others).collect()
}
