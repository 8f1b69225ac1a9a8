//! What every test of the log in a database begins with.

use journal::{Entry, Journal, Limits, LogKey};
use sqlx::AssertSqlSafe;
use store::random::Random;
use store::time::{Clock, from_micros};
use store::{Db, Engine, Migrations};
use testkit::{Database, TestEngine};
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "dmp.example/journal";

pub(crate) async fn db<DB: TestEngine>(database: &Database<DB>) -> Db<DB> {
    database.open(&migrations()).await
}

pub(crate) fn migrations() -> Migrations {
    Migrations::new([store::own_migrations(), journal::own_migrations()])
}

pub(crate) fn key() -> LogKey {
    LogKey::from_seed(ORIGIN, [7; 32]).unwrap()
}

pub(crate) fn clock() -> Clock {
    Clock::manual(from_micros(1_790_000_000_000_000).unwrap()).0
}

pub(crate) async fn open<DB: Engine>(db: &Db<DB>) -> Journal<DB> {
    open_with(db, Limits::default(), &[]).await.unwrap()
}

pub(crate) async fn open_with<DB: Engine>(
    db: &Db<DB>,
    limits: Limits,
    witnessed: &[String],
) -> journal::Result<Journal<DB>> {
    Journal::open_witnessed(db.clone(), clock(), Random::system(), key(), limits, witnessed).await
}

/// Entry number `n` of a subject.
pub(crate) fn entry(subject: &str, n: u128) -> Entry {
    Entry {
        entry_id: Uuid::from_u128(n),
        subject: subject.into(),
        payload: format!("access {n}").into_bytes(),
    }
}

/// Writes entries one after the other, each with its own checkpoint, of subjects a, b, c in turn.
pub(crate) async fn fill<DB: Engine>(journal: &Journal<DB>, count: u128) {
    for n in 0..count {
        journal.append(entry(["a", "b", "c"][n as usize % 3], n)).await.unwrap();
    }
}

/// A value for a statement of a tamperer.
#[derive(Clone)]
pub(crate) enum Value {
    Bytes(Vec<u8>),
    Text(&'static str),
    Number(i64),
    Id(Uuid),
}

/// What somebody with the database's password can do.
pub(crate) async fn tamper<DB: Engine>(db: &Db<DB>, statement: &str, values: Vec<Value>) {
    let statement = statement.to_owned();
    db.write(move |connection| {
        Box::pin(async move {
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for value in values {
                query = match value {
                    Value::Bytes(bytes) => query.bind(bytes),
                    Value::Text(text) => query.bind(text),
                    Value::Number(number) => query.bind(number),
                    Value::Id(id) => query.bind(id),
                };
            }
            query.execute(connection).await?;
            Ok::<_, store::Error>(())
        })
    })
    .await
    .unwrap();
}
