//! What a plan may not do, whichever engine makes it.

/// Tables that may be read as a whole, with what keeps them small.
const SMALL: [(&str, &str); 4] = [
    ("feed_head", "one row"),
    ("hosts", "one row an accredited host"),
    ("journal_logs", "one row a log"),
    ("matrices", "one row a published version of the habilitation matrix"),
];

/// Columns of which many rows hold the same: a search by nothing else is a scan.
const COARSE: [&str; 8] = [
    "feed",
    "kind",
    "level",
    "log_id",
    "oid",
    "owner_kind",
    "secret",
    "status",
];

/// Why a table may be read as a whole; `None` when it may not.
pub(crate) fn small(table: &str) -> Option<&'static str> {
    SMALL.iter().find(|(name, _)| *name == table).map(|(_, reason)| *reason)
}

/// Whether a search by conditions on these columns, the first ones of an index, leaves few rows.
pub(crate) fn finds_few<'a>(columns: impl IntoIterator<Item = &'a str>) -> bool {
    columns.into_iter().any(|column| !COARSE.contains(&column))
}

/// The words of a text of SQL, without what stands between them.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    words.filter(|word| !word.is_empty())
}
