//! Pages are complete, and a token is good for its own query only (AIP-158).

use proptest::prelude::*;
use prost_types::Timestamp as Query;
use store::Error;
use store::page::{Key, Page, PageLimits};

const LIMITS: PageLimits = PageLimits { default: 3, max: 5 };

fn query(seconds: i64) -> Query {
    Query { seconds, nanos: 0 }
}

fn list(rows: &[i64], page: &Page) -> (Vec<i64>, String) {
    let after = page.after.as_ref().map_or(i64::MIN, |key| key.number);
    let limit = usize::try_from(page.fetch_limit()).unwrap();
    let rows = rows.iter().copied().filter(|row| *row > after).take(limit).collect();
    page.cut(rows, |row| Key {
        number: *row,
        text: row.to_string(),
    })
}

proptest! {
    #[test]
    fn following_the_tokens_shows_every_row_once(count in 0_i64..40, size in 0_i32..9) {
        let rows: Vec<i64> = (0..count).collect();
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = Page::parse(size, &token, LIMITS, &query(1)).unwrap();
            let (some, next) = list(&rows, &page);
            prop_assert!(some.len() <= LIMITS.max);
            seen.extend(some);
            if next.is_empty() { break; }
            token = next;
        }
        prop_assert_eq!(seen, rows);
    }

    #[test]
    fn no_token_makes_a_panic(token in "\\PC*") {
        let _ = Page::parse(1, &token, LIMITS, &query(1));
    }
}

#[test]
fn a_token_of_another_query_is_refused() {
    let page = Page::parse(1, "", LIMITS, &query(1)).unwrap();
    let (_, token) = list(&[1, 2], &page);
    assert!(matches!(
        Page::parse(1, &token, LIMITS, &query(2)),
        Err(Error::PageToken)
    ));
}

#[test]
fn a_negative_size_is_not_a_size() {
    assert!(!Page::size_is_valid(-1));
    assert!(Page::size_is_valid(0));
}
