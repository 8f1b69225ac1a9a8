//! Every SQL statement about dossiers.

use api::dossier::v1::ClosureReason;
use api::identity::{Check, DmpId};
use sqlx::{QueryBuilder, Row};
use store::time::{from_micros, to_micros};
use store::{Engine, Error as Stored, Result, padded, push_list};

use crate::dossier::{Closure, Dossier};

/// Writes a new dossier; false when there is one. Of two at once one is written, the other waits and then sees it.
pub(crate) async fn insert<DB: Engine>(connection: &mut DB::Connection, dossier: &Dossier) -> Result<bool> {
    let written = sqlx::query(
        "INSERT INTO dossiers (dmp_id, opened_at, closed_at, closure_reason, kept_until, key, revision, changes)
         VALUES ($1, $2, NULL, NULL, NULL, $3, $4, 0) ON CONFLICT (dmp_id) DO NOTHING RETURNING dmp_id",
    )
    .bind(dossier.dmp_id.as_str())
    .bind(to_micros(dossier.opened_at))
    .bind(dossier.key.as_slice())
    .bind(dossier.revision)
    .fetch_optional(connection)
    .await?;
    Ok(written.is_some())
}

/// The dossier as it stands.
pub(crate) async fn get<DB: Engine>(connection: &mut DB::Connection, dmp_id: &DmpId) -> Result<Option<Dossier>> {
    Ok(all::<DB>(connection, std::slice::from_ref(dmp_id)).await?.pop())
}

/// Those of the dossiers that there are.
pub(crate) async fn all<DB: Engine>(connection: &mut DB::Connection, dmp_ids: &[DmpId]) -> Result<Vec<Dossier>> {
    let mut found = Vec::with_capacity(dmp_ids.len());
    for slice in padded(dmp_ids) {
        let mut select = QueryBuilder::<DB>::new("SELECT * FROM dossiers WHERE dmp_id IN ");
        let dmp_ids = slice.map(|dmp_id| dmp_id.map(|dmp_id| dmp_id.as_str().to_owned()));
        push_list(&mut select, dmp_ids);
        for row in select.build().fetch_all(&mut *connection).await? {
            found.push(from_row::<DB>(&row)?);
        }
    }
    Ok(found)
}

/// The dossier, held until the end of the transaction: what is read under it afterwards is current, and one write comes
/// after the other.
pub(crate) async fn hold<DB: Engine>(connection: &mut DB::Connection, dmp_id: &DmpId) -> Result<Option<Dossier>> {
    let row = sqlx::query("UPDATE dossiers SET changes = changes + 1 WHERE dmp_id = $1 RETURNING *");
    from_optional::<DB>(row.bind(dmp_id.as_str()).fetch_optional(connection).await?)
}

/// Writes a closure. The dossier must be held.
pub(crate) async fn set_closure<DB: Engine>(connection: &mut DB::Connection, dossier: &Dossier) -> Result<()> {
    let closure = dossier.closure.as_ref();
    sqlx::query(
        "UPDATE dossiers SET closed_at = $2, closure_reason = $3, kept_until = $4, revision = $5 WHERE dmp_id = $1",
    )
    .bind(dossier.dmp_id.as_str())
    .bind(closure.map(|closure| to_micros(closure.at)))
    .bind(closure.map(|closure| i64::from(i32::from(closure.reason))))
    .bind(closure.map(|closure| to_micros(closure.kept_until)))
    .bind(dossier.revision)
    .execute(connection)
    .await?;
    Ok(())
}

fn from_optional<DB: Engine>(row: Option<DB::Row>) -> Result<Option<Dossier>> {
    row.as_ref().map(from_row::<DB>).transpose()
}

fn from_row<DB: Engine>(row: &DB::Row) -> Result<Dossier> {
    let dmp_id: String = row.try_get("dmp_id")?;
    Ok(Dossier {
        dmp_id: DmpId::parse(&dmp_id, Check::Lenient).map_err(|_| Stored::Corrupt("dossiers.dmp_id"))?,
        opened_at: from_micros(row.try_get("opened_at")?)?,
        closure: closure::<DB>(row)?,
        revision: row.try_get("revision")?,
        key: row.try_get("key")?,
    })
}

fn closure<DB: Engine>(row: &DB::Row) -> Result<Option<Closure>> {
    let (at, reason, kept_until): (Option<i64>, Option<i64>, Option<i64>) = (
        row.try_get("closed_at")?,
        row.try_get("closure_reason")?,
        row.try_get("kept_until")?,
    );
    let (Some(at), Some(reason), Some(kept_until)) = (at, reason, kept_until) else {
        return Ok(None);
    };
    let reason = i32::try_from(reason)
        .ok()
        .and_then(|reason| ClosureReason::try_from(reason).ok());
    Ok(Some(Closure {
        at: from_micros(at)?,
        reason: reason.ok_or(Stored::Corrupt("dossiers.closure_reason"))?,
        kept_until: from_micros(kept_until)?,
    }))
}
