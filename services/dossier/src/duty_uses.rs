//! Every SQL statement about physicians' uses of dossiers.

use api::identity::DmpId;
use store::time::{Timestamp, to_micros};
use store::{Engine, Result};
use uuid::Uuid;

/// Writes a use, in the transaction of the journal entry `entry_id` which proves it.
pub(crate) async fn insert<DB: Engine>(
    connection: &mut DB::Connection,
    physician_id: &str,
    dmp_id: &DmpId,
    occurred_at: Timestamp,
    entry_id: Uuid,
) -> Result<()> {
    sqlx::query("INSERT INTO duty_uses (physician_id, dmp_id, occurred_at, entry_id) VALUES ($1, $2, $3, $4)")
        .bind(physician_id)
        .bind(dmp_id.as_str())
        .bind(to_micros(occurred_at))
        .bind(entry_id)
        .execute(connection)
        .await?;
    Ok(())
}
