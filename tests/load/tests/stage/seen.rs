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
        *self.0.lock().unwrap().entry(text.trim().to_owned()).or_default() += 1;
    }
}
