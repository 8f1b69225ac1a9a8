//! Many rows in one statement, in few different statements.

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

#[cfg(test)]
mod tests {
    use super::*;

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
