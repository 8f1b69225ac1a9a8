//! Every SQL statement about territories.

use sqlx::Row;
use store::Engine;
use store::page::{Key, Page};
use store::time::{from_micros, to_micros};

use crate::error::Result;
use crate::territory::{Territory, register};

/// Writes the territories that are not there yet; changes none that are.
pub(crate) async fn seed<DB: Engine>(connection: &mut DB::Connection) -> store::Result<()> {
    for (code, name) in register() {
        sqlx::query("INSERT INTO territories (code, name, covered_since) VALUES ($1, $2, NULL) ON CONFLICT DO NOTHING")
            .bind(code)
            .bind(name)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// A territory, held until the end of the transaction.
pub(crate) async fn hold<DB: Engine>(connection: &mut DB::Connection, code: &str) -> Result<Option<Territory>> {
    let row = sqlx::query("UPDATE territories SET code = code WHERE code = $1 RETURNING *").bind(code);
    row.fetch_optional(connection)
        .await?
        .as_ref()
        .map(from_row::<DB>)
        .transpose()
}

/// Writes whether a territory is covered. It must be held.
pub(crate) async fn set_coverage<DB: Engine>(connection: &mut DB::Connection, territory: &Territory) -> Result<()> {
    sqlx::query("UPDATE territories SET covered_since = $2 WHERE code = $1")
        .bind(territory.code.as_str())
        .bind(territory.covered_since.map(to_micros))
        .execute(connection)
        .await?;
    Ok(())
}

/// How many are not covered.
pub(crate) async fn uncovered<DB: Engine>(connection: &mut DB::Connection) -> Result<i64> {
    let row = sqlx::query("SELECT COUNT(*) AS uncovered FROM territories WHERE covered_since IS NULL");
    Ok(row.fetch_one(connection).await?.try_get("uncovered")?)
}

/// A page, by code.
pub(crate) async fn list<DB: Engine>(connection: &mut DB::Connection, page: &Page) -> Result<(Vec<Territory>, String)> {
    let after = page.after.as_ref().map(|key| key.text.as_str()).unwrap_or_default();
    let rows = sqlx::query("SELECT * FROM territories WHERE code > $1 ORDER BY code LIMIT $2")
        .bind(after)
        .bind(page.fetch_limit())
        .fetch_all(connection)
        .await?;
    let territories = rows.iter().map(from_row::<DB>).collect::<Result<Vec<_>>>()?;
    Ok(page.cut(territories, |territory| Key {
        number: 0,
        text: territory.code.clone(),
    }))
}

fn from_row<DB: Engine>(row: &DB::Row) -> Result<Territory> {
    let covered_since: Option<i64> = row.try_get("covered_since")?;
    Ok(Territory {
        code: row.try_get("code")?,
        name: row.try_get("name")?,
        covered_since: covered_since.map(from_micros).transpose()?,
    })
}
