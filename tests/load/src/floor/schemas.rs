//! Every SQL statement about the floors' own schemas on PostgreSQL.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Makes the schema `load_NAME` anew, and empty.
pub(super) async fn make(url: &str, name: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    for statement in ["DROP SCHEMA IF EXISTS load_", "CREATE SCHEMA load_"] {
        let after = if statement.starts_with("DROP") { " CASCADE" } else { "" };
        // The name is one of this program's constants.
        connection
            .execute(AssertSqlSafe(format!("{statement}{name}{after}")))
            .await?;
    }
    connection.close().await
}
