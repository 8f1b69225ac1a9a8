//! Schemas, embedded in the binary: one folder per engine, the same file names in both.

use sqlx::migrate::{MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqlStr};

/// One step of a schema, in the SQL of both engines.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its place in the order: `store` has 1 to 99, `journal` 100 to 199, a service 1000 and up.
    pub version: i64,
    /// What it is for: the file's name.
    pub name: &'static str,
    /// SQLite's text.
    pub sqlite: &'static str,
    /// PostgreSQL's text.
    pub postgres: &'static str,
}

/// The migrations of one service's database, with those of the crates it stands on.
#[derive(Debug, Clone)]
pub struct Migrations(Vec<Migration>);

impl Migrations {
    /// Puts together the steps of several crates, in the order of their versions.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a [Migration]>) -> Self {
        let mut steps: Vec<Migration> = parts.into_iter().flatten().copied().collect();
        steps.sort_by_key(|step| step.version);
        Self(steps)
    }

    pub(crate) fn of(&self, engine: &str) -> Migrator {
        let steps = self.0.iter().map(|step| {
            let text = if engine == "sqlite" { step.sqlite } else { step.postgres };
            let text: SqlStr = text.into_sql_str();
            sqlx::migrate::Migration::new(step.version, step.name.into(), MigrationType::Simple, text, false)
        });
        Migrator::with_migrations(steps.collect())
    }
}

/// Embeds the migration files of a crate: `migrations![(100, "0100_journal")]` reads
/// `migrations/sqlite/0100_journal.sql` and its twin for PostgreSQL.
#[macro_export]
macro_rules! migrations {
    ($(($version:literal, $name:literal)),+ $(,)?) => {
        &[$($crate::Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/", $name, ".sql")),
        }),+]
    };
}

/// The tables of this crate: answered requests, outbox, feed.
pub fn own_migrations() -> &'static [Migration] {
    migrations![(1, "0001_store"), (2, "0002_feed_places"), (3, "0003_feed_order")]
}
