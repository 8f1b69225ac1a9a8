//! Every SQL statement about sealed content, but how one begins is read with its document (`documents::find_with_content`).
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

/// How a content begins: its key and its first chunk, sealed, as they are read beside their document; nothing where only the
/// document is asked for.
#[derive(Default)]
pub(crate) struct Beginning {
    key: Option<Vec<u8>>,
    chunks: Option<i64>,
    first: Option<Vec<u8>>,
}

impl Beginning {
    /// From a row with the columns `key` and `chunks` of `document_keys` and `sealed` of the first of `document_contents`.
    pub(crate) fn from_row<DB: Engine>(row: &DB::Row) -> Result<Self> {
        Ok(Self {
            key: row.try_get("key")?,
            chunks: row.try_get("chunks")?,
            first: row.try_get("sealed")?,
        })
    }

    /// The key that opens the content, and the first sealed chunk, if there is one. An access that is not in the journal
    /// has none.
    pub(crate) fn open(
        self,
        _entered: &Entered,
        dossier_key: &DossierKey,
        document: &Document,
    ) -> Result<(ContentKey, Option<Vec<u8>>)> {
        let (wrapped, chunks) = self.key.zip(self.chunks).ok_or(Stored::Corrupt("document_keys"))?;
        let chunks = u32::try_from(chunks).map_err(|_| Stored::Corrupt("document_keys.chunks"))?;
        let key = dossier_key.unwrap(&wrapped, document.logical_id, chunks)?;
        Ok((key, self.first))
    }
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
