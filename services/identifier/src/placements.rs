//! Every SQL statement about placements.

use api::identity::{Check, DmpId};
use sqlx::Row;
use store::time::{from_micros, to_micros};
use store::{Engine, Error as Stored};

use crate::error::{Error, Result};
use crate::placement::Placement;

/// Writes a placement unless the dossier has one; answers the one that stands. Of two at once, one is written: the
/// other waits for it, and then sees it.
pub(crate) async fn place<DB: Engine>(connection: &mut DB::Connection, asked: Placement) -> Result<Placement> {
    let written = sqlx::query(
        "INSERT INTO placements (dmp_id, host_id, placed_at) VALUES ($1, $2, $3)
         ON CONFLICT (dmp_id) DO NOTHING RETURNING dmp_id",
    )
    .bind(asked.dmp_id.as_str())
    .bind(asked.host_id)
    .bind(to_micros(asked.placed_at))
    .fetch_optional(&mut *connection)
    .await?;
    if written.is_some() {
        return Ok(asked);
    }
    let standing = get::<DB>(connection, &asked.dmp_id)
        .await?
        .ok_or(Error::Defect("a placement stood in the way and is gone"))?;
    standing.asked_at(asked.host_id)
}

/// Where a dossier lives.
pub(crate) async fn get<DB: Engine>(connection: &mut DB::Connection, dmp_id: &DmpId) -> Result<Option<Placement>> {
    let row = sqlx::query("SELECT * FROM placements WHERE dmp_id = $1").bind(dmp_id.as_str());
    let row = row.fetch_optional(connection).await?;
    row.as_ref().map(placement::<DB>).transpose()
}

fn placement<DB: Engine>(row: &DB::Row) -> Result<Placement> {
    let dmp_id: String = row.try_get("dmp_id")?;
    let dmp_id = DmpId::parse(&dmp_id, Check::Lenient);
    Ok(Placement {
        dmp_id: dmp_id.map_err(|_| Stored::Corrupt("placements.dmp_id"))?,
        host_id: row.try_get("host_id")?,
        placed_at: from_micros(row.try_get("placed_at")?)?,
    })
}
