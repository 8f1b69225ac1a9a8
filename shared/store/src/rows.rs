//! Many rows in one statement, in few different statements.

use sqlx::query_builder::Separated;
use sqlx::{Encode, QueryBuilder, Type};
use uuid::Uuid;

use crate::{Engine, Result};

/// Rows of one statement: with ten columns each, far below SQLite's 32,766 and PostgreSQL's 65,535 parameters.
const STATEMENT_ROWS_MAX: usize = 256;

/// Bytes of values after which a message is sent: enough for the chunks of most documents.
const MESSAGE_BYTES: usize = 1 << 20;
/// Insertions of a message: with 30 columns and all rows each, still below PostgreSQL's 65,535 parameters.
const MESSAGE_PARTS: usize = 8;

/// Cuts rows into slices of [`STATEMENT_ROWS_MAX`], then of falling powers of two: whatever their number, a statement
/// over a slice has one of nine texts, and a connection keeps each of them prepared.
pub fn shaped<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let power = rows.len().checked_ilog2()?;
        let (slice, rest) = rows.split_at_checked(STATEMENT_ROWS_MAX.min(1 << power))?;
        rows = rest;
        Some(slice)
    })
}

/// Cuts rows into as few slices as can be, each filled up to a power of two with `None`, to be bound as NULL: one statement
/// of one of nine texts where [`shaped`] takes several. For statements in which NULL matches nothing, or that leave it out.
pub fn padded<T>(rows: &[T]) -> impl Iterator<Item = impl Iterator<Item = Option<&T>>> {
    rows.chunks(STATEMENT_ROWS_MAX).map(|slice| filled_up(slice.iter()))
}

/// Rows, and as many `None` as make their number a power of two.
fn filled_up<T>(rows: impl ExactSizeIterator<Item = T>) -> impl Iterator<Item = Option<T>> {
    let missing = rows.len().next_power_of_two() - rows.len();
    rows.map(Some).chain((0..missing).map(|_| None))
}

/// Adds values in brackets, as `IN` takes them.
pub fn push_list<DB, T>(query: &mut QueryBuilder<DB>, values: impl IntoIterator<Item = T>)
where
    DB: Engine,
    T: for<'q> Encode<'q, DB> + Type<DB> + 'static,
{
    query.push("(");
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    list.push_unseparated(")");
}

/// A value of a [`NewRow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// Bytes.
    Bytes(Vec<u8>),
    /// NULL in the place of bytes.
    NoBytes,
    /// An identifier.
    Id(Uuid),
}

/// A row to be written, as data: so that many can be written together, and again with the transaction that lost them.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRow {
    /// The table and its columns, as `outbox (feed, key)`.
    pub columns: &'static str,
    /// One for each column.
    pub values: Vec<Value>,
}

impl std::fmt::Debug for NewRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "NewRow({}, …)", self.columns)
    }
}

/// Writes rows, those of the same columns together and in the order of the first of them, with one message to the database: on
/// SQLite statements one after the other, on PostgreSQL one statement with parts. Only where they are very many, or hold
/// more than a few chunks of content, are there several messages, so that what is on its way stays small.
///
/// # Errors
/// As any statement; rows that break a constraint are not told apart from the others.
pub async fn insert<DB: Engine>(connection: &mut DB::Connection, rows: Vec<NewRow>) -> Result<()> {
    let mut by_columns = Vec::<(&'static str, Vec<Vec<Value>>)>::new();
    for row in rows {
        match by_columns.iter_mut().find(|(columns, _)| *columns == row.columns) {
            Some((_, rows)) => rows.push(row.values),
            None => by_columns.push((row.columns, vec![row.values])),
        }
    }
    let (mut message, mut parts, mut bytes) = (QueryBuilder::<DB>::new(""), 0, 0);
    for (columns, rows) in by_columns {
        for slice in slices(rows) {
            message.push(DB::before_insert(parts));
            push_insert::<DB>(&mut message, columns, slice.rows);
            (parts, bytes) = (parts + 1, bytes + slice.bytes);
            if bytes > MESSAGE_BYTES || parts == MESSAGE_PARTS {
                send::<DB>(connection, &mut message).await?;
                (parts, bytes) = (0, 0);
            }
        }
    }
    if parts > 0 {
        send::<DB>(connection, &mut message).await?;
    }
    Ok(())
}

async fn send<DB: Engine>(connection: &mut DB::Connection, message: &mut QueryBuilder<DB>) -> Result<()> {
    message.push(DB::AFTER_INSERTS).build().execute(connection).await?;
    message.reset();
    Ok(())
}

/// Rows of one insertion, and what they weigh.
#[derive(Default)]
struct Slice {
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

/// Cuts rows into slices for one insertion each: of [`STATEMENT_ROWS_MAX`] rows, and of no more bytes than a message.
fn slices(rows: Vec<Vec<Value>>) -> Vec<Slice> {
    let (mut slices, mut slice) = (Vec::new(), Slice::default());
    for row in rows {
        let bytes = row.iter().map(Value::bytes).sum::<usize>();
        let is_full = slice.rows.len() == STATEMENT_ROWS_MAX || slice.bytes + bytes > MESSAGE_BYTES;
        if is_full && !slice.rows.is_empty() {
            slices.push(std::mem::take(&mut slice));
        }
        slice.rows.push(row);
        slice.bytes += bytes;
    }
    if !slice.rows.is_empty() {
        slices.push(slice);
    }
    slices
}

/// An insertion of rows, filled up as [`padded`] does.
fn push_insert<DB: Engine>(message: &mut QueryBuilder<DB>, columns: &'static str, rows: Vec<Vec<Value>>) {
    let shape: Vec<Value> = rows.first().into_iter().flatten().map(Value::emptied).collect();
    message.push("INSERT INTO ").push(columns).push(" SELECT * FROM (");
    message.push_values(filled_up(rows.into_iter()), |mut row, values| {
        let there = values.is_some();
        for value in values.unwrap_or_else(|| shape.clone()) {
            push::<DB>(&mut row, value, there);
        }
    });
    message.push(") AS v WHERE v.column1 IS NOT NULL");
}

/// Binds a value, or NULL of its type.
fn push<DB: Engine>(row: &mut Separated<'_, DB, &'static str>, value: Value, there: bool) {
    match value {
        Value::Text(text) => row.push_bind(there.then_some(text)),
        Value::Number(number) => row.push_bind(there.then_some(number)),
        Value::Flag(flag) => row.push_bind(there.then_some(flag)),
        Value::Bytes(bytes) => row.push_bind(there.then_some(bytes)),
        Value::NoBytes => row.push_bind(None::<Vec<u8>>),
        Value::Id(id) => row.push_bind(there.then_some(id)),
    };
}

impl Value {
    /// What it weighs in a message, where that can be much.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Number(_) | Self::Flag(_) | Self::NoBytes | Self::Id(_) => 0,
        }
    }

    /// Another of its type.
    fn emptied(&self) -> Self {
        match self {
            Self::Text(_) => Self::Text(String::new()),
            Self::Bytes(_) => Self::NoBytes,
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_up_slice_has_its_rows_first_and_then_nothing() {
        let filled = |count: usize| {
            let rows: Vec<usize> = (0..count).collect();
            let slices = padded(&rows).map(|slice| slice.map(|row| row.copied()).collect());
            slices.collect::<Vec<Vec<Option<usize>>>>()
        };
        assert!(filled(0).is_empty());
        assert_eq!(filled(3), [[Some(0), Some(1), Some(2), None]]);
        let lengths: Vec<usize> = filled(300).iter().map(Vec::len).collect();
        assert_eq!(lengths, [256, 64]);
    }

    #[test]
    fn every_row_is_in_one_slice_and_slices_have_few_lengths() {
        for count in 0..=1_000_usize {
            let rows: Vec<usize> = (0..count).collect();
            let joined: Vec<usize> = shaped(&rows).flatten().copied().collect();
            assert_eq!(joined, rows);
            assert!(shaped(&rows).all(|slice| slice.len().is_power_of_two() && slice.len() <= STATEMENT_ROWS_MAX));
        }
    }
}
