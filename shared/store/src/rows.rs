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

/// Cuts rows into as few slices as can be, each filled up to a power of two with `None`, to be bound as NULL: one statement
/// of one of nine texts where [`shaped`] takes several. For statements in which NULL matches nothing, or that leave it out.
pub fn padded<T>(rows: &[T]) -> impl Iterator<Item = impl Iterator<Item = Option<&T>>> {
    rows.chunks(STATEMENT_ROWS_MAX).map(|slice| {
        let missing = slice.len().next_power_of_two() - slice.len();
        slice.iter().map(Some).chain(std::iter::repeat_n(None, missing))
    })
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
