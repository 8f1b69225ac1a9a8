//! The promises of `store`, each on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod feeds;
mod gathers;
mod paging;
mod requests;
mod schemas;
mod writes;

use store::{Engine, Migration, Migrations};

/// A table to write into.
const NOTES: &[Migration] = &[Migration {
    version: 1000,
    name: "1000_notes",
    sqlite: "CREATE TABLE notes (id TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT",
    postgres: "CREATE TABLE notes (id TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)",
}];

fn migrations() -> Migrations {
    Migrations::new([store::own_migrations(), NOTES])
}

async fn insert<DB: Engine>(connection: &mut DB::Connection, id: &str) -> store::Result<()> {
    sqlx::query("INSERT INTO notes (id, body) VALUES ($1, 'body')")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

async fn count<DB: Engine>(db: &store::Db<DB>) -> i64 {
    let mut connection = db.read().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM notes")
        .fetch_one(&mut *connection)
        .await
        .unwrap()
}
