//! Every SQL statement about sealed content.
//!
//! Content stands beside its metadata, in rows of one sealed chunk each: one transaction writes both, so that a failure
//! anywhere leaves neither, and a reader holds one chunk in memory at a time. An object store would need a protocol of
//! its own for that atomicity; it is an option for hosts whose databases must stay small.

use api::identity::DmpId;
use sqlx::Row;
use store::{Engine, Error as Stored, NewRow, Value};
use uuid::Uuid;

use crate::authorization::{Entered, Granted};
use crate::content::{ContentKey, DossierKey, Sealed};
use crate::document::Document;
use crate::error::Result;

/// The rows of a new content.
pub(crate) fn rows(granted: &Granted, logical_id: Uuid, sealed: Sealed) -> Vec<NewRow> {
    let dmp_id = || Value::Text(granted.dmp_id().as_str().to_owned());
    let count = i64::try_from(sealed.chunks.len()).unwrap_or(i64::MAX);
    let key = NewRow {
        columns: "document_keys (dmp_id, logical_id, key, chunks)",
        values: vec![
            dmp_id(),
            Value::Id(logical_id),
            Value::Bytes(sealed.key),
            Value::Number(count),
        ],
    };
    let chunks = (0..count).zip(sealed.chunks).map(|(number, chunk)| NewRow {
        columns: "document_contents (dmp_id, logical_id, chunk, sealed)",
        values: vec![
            dmp_id(),
            Value::Id(logical_id),
            Value::Number(number),
            Value::Bytes(chunk),
        ],
    });
    std::iter::once(key).chain(chunks).collect()
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
