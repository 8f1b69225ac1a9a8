//! A statement with what it binds, for either engine.

use sqlx::Executor;
use store::Engine;
use uuid::Uuid;

/// What a statement may bind.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Bytes(Vec<u8>),
    Id(Uuid),
    Flag(bool),
    NoBytes,
}

/// A statement, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) sql: &'static str,
    pub(crate) values: Vec<Value>,
}

impl Statement {
    pub(crate) fn new(sql: &'static str, values: impl IntoIterator<Item = Value>) -> Self {
        Self {
            sql,
            values: values.into_iter().collect(),
        }
    }

    /// Runs it, and takes every row that it gives. Answers how many.
    pub(crate) async fn run<DB: Engine>(&self, connection: &mut DB::Connection) -> sqlx::Result<usize> {
        let mut query = sqlx::query::<DB>(self.sql);
        for value in &self.values {
            query = match value {
                Value::Text(text) => query.bind(text.clone()),
                Value::Number(number) => query.bind(*number),
                Value::Bytes(bytes) => query.bind(bytes.clone()),
                Value::Id(id) => query.bind(*id),
                Value::Flag(flag) => query.bind(*flag),
                Value::NoBytes => query.bind(None::<Vec<u8>>),
            };
        }
        Ok(connection.fetch_all(query).await?.len())
    }
}
