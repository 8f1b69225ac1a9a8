//! What SQLite says of a statement.
//!
//! Nothing in this suite runs ANALYZE on SQLite, so that its plans follow from the schema alone: they are the same for an
//! empty database as for a large one.

use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use crate::fault::{finds_few, small, words};

/// What is wrong with a statement's plan; `None` when the statement is not of this database.
pub(crate) async fn faults(connection: &mut SqliteConnection, statement: &str) -> Option<Vec<String>> {
    let explain = format!("EXPLAIN QUERY PLAN {statement}");
    let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut *connection).await;
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) if error.to_string().contains("no such table") => return None,
        Err(error) => panic!("{statement}: {error}"),
    };
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
        .fetch_all(connection)
        .await
        .unwrap();
    let steps = rows.iter().map(|row| row.get::<String, _>("detail"));
    Some(steps.filter(|step| is_fault(step, statement, &tables)).collect())
}

pub(crate) async fn open(url: &str) -> SqliteConnection {
    SqliteConnection::connect(url).await.unwrap()
}

/// As `SEARCH d USING INDEX documents_by_act (dmp_id=?)`, `SCAN d`, `USE TEMP B-TREE FOR ORDER BY`.
fn is_fault(step: &str, statement: &str, tables: &[String]) -> bool {
    if step.starts_with("USE TEMP B-TREE") {
        return step.ends_with("ORDER BY");
    }
    let mut step_words = step.split_whitespace();
    let (kind, name) = (
        step_words.next().unwrap_or_default(),
        step_words.next().unwrap_or_default(),
    );
    let is_looked_at = |table: &String| small(table).is_none() && is_called(statement, table, name);
    if !matches!(kind, "SCAN" | "SEARCH") || !tables.iter().any(is_looked_at) {
        return false;
    }
    let searched = step.split_once('(').map_or("", |(_, searched)| searched);
    // In the order of an index, a limit ends even what begins at its beginning.
    let ends = step.contains(" INDEX ") && statement.contains(" LIMIT ");
    step.contains("AUTOMATIC") || !(ends || finds_few(words(searched).filter(|word| *word != "AND")))
}

/// Whether a statement calls a table by this name: its own, or an alias.
fn is_called(statement: &str, table: &str, name: &str) -> bool {
    let words: Vec<&str> = words(statement)
        .filter(|word| !word.eq_ignore_ascii_case("AS"))
        .collect();
    table == name || words.windows(2).any(|pair| pair == [table, name])
}
