//! Many rows in one statement, in few different statements.

use sqlx::QueryBuilder;
use sqlx::query_builder::Separated;
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::{Engine, Result};

/// Rows of one statement: with ten columns each, far below SQLite's 32,766 and PostgreSQL's 65,535 parameters.
const STATEMENT_ROWS_MAX: usize = 256;

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
    rows.chunks(STATEMENT_ROWS_MAX).map(|slice| {
        let missing = slice.len().next_power_of_two() - slice.len();
        slice.iter().map(Some).chain(std::iter::repeat_n(None, missing))
    })
}

/// A value of a [`NewRow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
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

/// Writes rows, those of the same columns with one statement and in their order.
///
/// # Errors
/// As any statement; rows that break a constraint are not told apart from the others.
pub async fn insert<DB: Engine>(connection: &mut DB::Connection, rows: &[NewRow]) -> Result<()> {
    let mut by_columns = BTreeMap::<&'static str, Vec<&NewRow>>::new();
    for row in rows {
        by_columns.entry(row.columns).or_default().push(row);
    }
    for (columns, rows) in by_columns {
        let Some(first) = rows.first() else { continue };
        for slice in padded(&rows) {
            let mut insert = QueryBuilder::<DB>::new("INSERT INTO ");
            insert.push(columns).push(" SELECT * FROM (");
            insert.push_values(slice, |mut separated, row| {
                for value in &row.unwrap_or(first).values {
                    push::<DB>(&mut separated, value, row.is_some());
                }
            });
            insert.push(") AS v WHERE v.column1 IS NOT NULL");
            insert.build().execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Binds a value, or NULL of its type.
fn push<DB: Engine>(row: &mut Separated<'_, DB, &'static str>, value: &Value, there: bool) {
    match value {
        Value::Text(text) => row.push_bind(there.then(|| text.clone())),
        Value::Number(number) => row.push_bind(there.then_some(*number)),
        Value::Bytes(bytes) => row.push_bind(there.then(|| bytes.clone())),
        Value::NoBytes => row.push_bind(None::<Vec<u8>>),
        Value::Id(id) => row.push_bind(there.then_some(*id)),
    };
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
