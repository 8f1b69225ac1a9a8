//! Every SQL statement about sealed content.
//!
//! Content stands beside its metadata, in rows of one sealed chunk each: one transaction writes both, so that a failure
//! anywhere leaves neither, and a reader holds one chunk in memory at a time. An object store would need a protocol of
//! its own for that atomicity; it is an option for hosts whose databases must stay small.

use api::identity::DmpId;
use sqlx::Row;
use store::{Engine, Error as Stored};
use uuid::Uuid;

use crate::authorization::{Entered, Granted};
use crate::content::{ContentKey, DossierKey, Sealed};
use crate::document::Document;
use crate::error::Result;

/// Writes a content.
pub(crate) async fn insert<DB: Engine>(
    connection: &mut DB::Connection,
    granted: &Granted,
    logical_id: Uuid,
    sealed: Sealed,
) -> Result<()> {
    let dmp_id = granted.dmp_id();
    let count = i64::try_from(sealed.chunks.len()).unwrap_or(i64::MAX);
    sqlx::query("INSERT INTO document_keys (dmp_id, logical_id, key, chunks) VALUES ($1, $2, $3, $4)")
        .bind(dmp_id.as_str())
        .bind(logical_id)
        .bind(sealed.key)
        .bind(count)
        .execute(&mut *connection)
        .await?;
    for (number, chunk) in (0..count).zip(sealed.chunks) {
        insert_chunk::<DB>(connection, dmp_id, logical_id, number, chunk).await?;
    }
    Ok(())
}

async fn insert_chunk<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    logical_id: Uuid,
    number: i64,
    sealed: Vec<u8>,
) -> Result<()> {
    sqlx::query("INSERT INTO document_contents (dmp_id, logical_id, chunk, sealed) VALUES ($1, $2, $3, $4)")
        .bind(dmp_id.as_str())
        .bind(logical_id)
        .bind(number)
        .bind(sealed)
        .execute(connection)
        .await?;
    Ok(())
}

/// The key of a document's content, and the first sealed chunk, if there is one. An access that is not in the journal has
/// none.
pub(crate) async fn open<DB: Engine>(
    connection: &mut DB::Connection,
    _entered: &Entered,
    dossier_key: &DossierKey,
    document: &Document,
) -> Result<(ContentKey, Option<Vec<u8>>)> {
    let query = "SELECT k.key, k.chunks, c.sealed FROM document_keys k
                 LEFT JOIN document_contents c ON c.dmp_id = k.dmp_id AND c.logical_id = k.logical_id AND c.chunk = 0
                 WHERE k.dmp_id = $1 AND k.logical_id = $2";
    let row = sqlx::query(query)
        .bind(document.dmp_id.as_str())
        .bind(document.logical_id)
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or(Stored::Corrupt("document_keys"))?;
    let (wrapped, chunks): (Vec<u8>, i64) = (row.try_get("key")?, row.try_get("chunks")?);
    let chunks = u32::try_from(chunks).map_err(|_| Stored::Corrupt("document_keys.chunks"))?;
    let key = dossier_key.unwrap(&wrapped, document.logical_id, chunks)?;
    Ok((key, row.try_get("sealed")?))
}

/// One sealed chunk, from 0.
pub(crate) async fn chunk<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    logical_id: Uuid,
    number: u32,
) -> Result<Vec<u8>> {
    let row = sqlx::query("SELECT sealed FROM document_contents WHERE dmp_id = $1 AND logical_id = $2 AND chunk = $3")
        .bind(dmp_id.as_str())
        .bind(logical_id)
        .bind(i64::from(number))
        .fetch_optional(connection)
        .await?;
    Ok(row.ok_or(Stored::Corrupt("document_contents"))?.try_get("sealed")?)
}
