//! What PostgreSQL says of a statement.
//!
//! It is asked for the plan that serves every value ("generic"), on tables that were filled and analysed, so that it
//! chooses among indexes and orders as it would in a large population. Sequential scans are made dear: in tables that a
//! test cannot fill, as queues are when they are analysed, any planner prefers to read the one page there is. One that
//! remains is one for which there is no index. It is asked with the settings of the services' connections, and also before the
//! tables are filled: a connection keeps the plan that it has made for young ones.

use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use std::collections::HashMap;
use std::str::FromStr;

use crate::fault::{finds_few, small, words};

/// A database, and the columns of its indexes.
pub(crate) struct Base {
    connection: PgConnection,
    indexes: HashMap<String, Vec<String>>,
}

/// Opens the database at an address.
pub(crate) async fn open(url: &str) -> Base {
    let options = PgConnectOptions::from_str(url).unwrap().options(store::PLANS);
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let columns = "SELECT c.relname::text, a.attname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, place)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY c.relname, k.place";
    let mut indexes = HashMap::<String, Vec<String>>::new();
    for row in connection.fetch_all(columns).await.unwrap() {
        indexes.entry(row.get(0)).or_default().push(row.get(1));
    }
    Base { connection, indexes }
}

/// What is wrong with a statement's plan; `None` when the statement is not of this database.
pub(crate) async fn faults(base: &mut Base, statement: &str) -> Option<Vec<String>> {
    let connection = &mut base.connection;
    if !prepare(connection, statement).await {
        return None;
    }
    let nulls = vec!["NULL"; parameters(statement)].join(", ");
    let arguments = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE asked{arguments}");
    let row = connection.fetch_one(AssertSqlSafe(explain)).await.unwrap();
    let plan: Value = serde_json::from_str(&row.get_unchecked::<String, _>(0)).unwrap();
    connection.execute("DEALLOCATE asked").await.unwrap();
    let mut faults = Vec::new();
    look(&plan[0]["Plan"], &base.indexes, (false, ""), &mut faults);
    Some(faults)
}

/// Whether the statement could be prepared, as `asked`. What a list of values holds can only be guessed: text, identifiers
/// or numbers.
async fn prepare(connection: &mut PgConnection, statement: &str) -> bool {
    let (bound, listed) = (numbers(statement), listed(statement));
    for listed_type in ["unknown", "uuid", "bigint"] {
        let types = (1..=parameters(statement)).map(|number| match number {
            _ if listed.contains(&number) => listed_type,
            _ if bound.contains(&number) => "unknown",
            _ => "text",
        });
        let types = types.collect::<Vec<_>>().join(", ");
        let types = if types.is_empty() { types } else { format!("({types})") };
        let prepare = format!("PREPARE asked{types} AS {statement}");
        match connection.execute(AssertSqlSafe(prepare)).await {
            Ok(_) => return true,
            Err(error) => match error.as_database_error().and_then(|error| error.code()).as_deref() {
                // No such table or column: another service's.
                Some("42P01" | "42703") => return false,
                // No such operator: a list of the other type.
                Some("42883" | "42804") => {}
                _ => panic!("{statement}: {error}"),
            },
        }
    }
    panic!("the types of what it binds are not found: {statement}")
}

/// How many values a statement binds.
fn parameters(statement: &str) -> usize {
    numbers(statement).into_iter().max().unwrap_or(0)
}

/// The numbers of the values that stand in a list of its own.
fn listed(statement: &str) -> Vec<usize> {
    let list = statement
        .split_once("(VALUES ")
        .and_then(|(_, list)| list.split_once(") AS "));
    list.map_or(Vec::new(), |(list, _)| numbers(list))
}

fn numbers(text: &str) -> Vec<usize> {
    let after = text.split('$').skip(1);
    let digits = after.map(|text| text.chars().take_while(char::is_ascii_digit).collect::<String>());
    digits.map(|digits| digits.parse().unwrap()).collect()
}

/// Looks at a step and those below it: whether a limit ends them, and of which table they are when they do not say it.
fn look(step: &Value, indexes: &HashMap<String, Vec<String>>, (ends, table): (bool, &str), faults: &mut Vec<String>) {
    let text = |key: &str| step[key].as_str().unwrap_or_default();
    let (kind, table) = (text("Node Type"), step["Relation Name"].as_str().unwrap_or(table));
    let ends = ends && text("Filter").is_empty();
    let searched: Vec<&str> = words(text("Index Cond")).collect();
    let columns = indexes.get(text("Index Name")).into_iter().flatten();
    let columns = columns
        .map(String::as_str)
        .take_while(|column| searched.contains(column));
    let fault = match kind {
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" => !ends && !finds_few(columns),
        "Seq Scan" | "Sort" | "Incremental Sort" => true,
        _ => false,
    };
    if fault && small(table).is_none() {
        let parts = ["Node Type", "Index Name", "Index Cond", "Filter"].map(text);
        faults.push(format!("{table}: {} {}", parts.join(" "), step["Sort Key"]));
    }
    // Rows that are locked or numbered one after the other end with the limit above them.
    let ends = kind == "Limit" || ends && matches!(kind, "LockRows" | "WindowAgg");
    for below in step["Plans"].as_array().into_iter().flatten() {
        look(below, indexes, (ends, table), faults);
    }
}
