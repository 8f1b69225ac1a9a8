//! Holds the two folders of migrations against each other.

use sqlx::Row;
use std::collections::BTreeSet;
use store::{Db, Migrations, Postgres, Sqlite};

use crate::Database;

/// Fails when the migrations make another schema on one engine than on the other: tables, columns, nullability.
/// Where the machine has no PostgreSQL there is nothing to compare.
pub async fn assert_schemas_agree(migrations: &Migrations) {
    let Some(postgres) = Database::<Postgres>::new().await else {
        return;
    };
    let sqlite = Database::<Sqlite>::new().await.unwrap();
    let (sqlite, postgres) = (sqlite.open(migrations).await, postgres.open(migrations).await);
    let (sqlite, postgres) = (sqlite_columns(&sqlite).await, postgres_columns(&postgres).await);
    assert!(!sqlite.is_empty());
    let differ: Vec<_> = sqlite.symmetric_difference(&postgres).collect();
    assert!(
        differ.is_empty(),
        "only on one engine (table, column, nullable): {differ:?}"
    );
}

type Column = (String, String, bool);

async fn sqlite_columns(db: &Db<Sqlite>) -> BTreeSet<Column> {
    let rows = sqlx::query(
        "SELECT t.name AS table_name, c.name AS column_name, c.\"notnull\" = 0 AND c.pk = 0 AS nullable
         FROM sqlite_master t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '_sqlx_%'",
    )
    .fetch_all(&mut *db.read().await.unwrap())
    .await
    .unwrap();
    rows.iter()
        .map(|row| (row.get("table_name"), row.get("column_name"), row.get("nullable")))
        .collect()
}

async fn postgres_columns(db: &Db<Postgres>) -> BTreeSet<Column> {
    let rows = sqlx::query(
        "SELECT table_name::text, column_name::text, is_nullable = 'YES' AS nullable
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx\\_%'",
    )
    .fetch_all(&mut *db.read().await.unwrap())
    .await
    .unwrap();
    rows.iter()
        .map(|row| (row.get("table_name"), row.get("column_name"), row.get("nullable")))
        .collect()
}
