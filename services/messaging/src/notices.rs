//! Every statement about notices.

use sqlx::Row;
use store::time::{from_micros, to_micros};
use store::{Engine, Error, Result};
use uuid::Uuid;

use crate::messages::{Proved, proved};
use crate::notice::{Notice, Reader, Recipient};
use crate::vault::Sealed;

/// Stores a notice. False when its recipient has been told of the use already.
pub(crate) async fn insert<DB: Engine>(connection: &mut DB::Connection, notice: &Notice) -> Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO notices (exceptional_access_id, recipient, notice_id, secret, told_at, telling_id, acknowledged_at,
         acknowledgement_id, content_key, content) VALUES ($1, $2, $3, $4, $5, $6, NULL, NULL, $7, $8)
         ON CONFLICT (exceptional_access_id, recipient) DO NOTHING RETURNING notice_id",
    )
    .bind(notice.exceptional_access_id)
    .bind(notice.recipient.as_str())
    .bind(notice.id)
    .bind(notice.secret)
    .bind(to_micros(notice.telling.at))
    .bind(notice.telling.entry_id)
    .bind(notice.content.key.as_slice())
    .bind(notice.content.content.as_slice())
    .fetch_optional(connection)
    .await?;
    Ok(inserted.is_some())
}

/// The notice of this id.
pub(crate) async fn find<DB: Engine>(connection: &mut DB::Connection, id: Uuid) -> Result<Option<Notice>> {
    let row = sqlx::query("SELECT * FROM notices WHERE notice_id = $1")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(from_row::<DB>).transpose()
}

/// A place in a listing: when a notice was told, in microseconds, and its id.
pub(crate) type Place = (i64, Uuid);

/// What a reader sees of its notices before a place (exclusive), newest first.
pub(crate) async fn list<DB: Engine>(
    connection: &mut DB::Connection,
    reader: &Reader,
    unacknowledged_only: bool,
    before: Place,
    limit: i64,
) -> Result<Vec<Notice>> {
    let statement = if unacknowledged_only {
        "SELECT * FROM notices WHERE recipient = $1 AND (NOT secret OR $2) AND (told_at, notice_id) < ($3, $4)
         AND acknowledged_at IS NULL ORDER BY told_at DESC, notice_id DESC LIMIT $5"
    } else {
        "SELECT * FROM notices WHERE recipient = $1 AND (NOT secret OR $2) AND (told_at, notice_id) < ($3, $4)
         ORDER BY told_at DESC, notice_id DESC LIMIT $5"
    };
    let rows = sqlx::query(statement)
        .bind(reader.recipient.as_str())
        .bind(!reader.represented)
        .bind(before.0)
        .bind(before.1)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(from_row::<DB>).collect()
}

/// Records that notice was taken, unless it was before; answers the first time. The row is locked until the transaction
/// ends.
pub(crate) async fn acknowledge<DB: Engine>(
    connection: &mut DB::Connection,
    id: Uuid,
    this: Proved,
) -> Result<Option<Proved>> {
    let row = sqlx::query(
        "UPDATE notices SET acknowledged_at = COALESCE(acknowledged_at, $2),
         acknowledgement_id = COALESCE(acknowledgement_id, $3)
         WHERE notice_id = $1 RETURNING acknowledged_at, acknowledgement_id",
    )
    .bind(id)
    .bind(to_micros(this.at))
    .bind(this.entry_id)
    .fetch_optional(connection)
    .await?;
    match row {
        Some(row) => proved(row.try_get("acknowledged_at")?, row.try_get("acknowledgement_id")?),
        None => Ok(None),
    }
}

fn from_row<DB: Engine>(row: &DB::Row) -> Result<Notice> {
    let recipient: String = row.try_get("recipient")?;
    Ok(Notice {
        id: row.try_get("notice_id")?,
        exceptional_access_id: row.try_get("exceptional_access_id")?,
        recipient: Recipient::from_stored(&recipient).ok_or(Error::Corrupt("notices.recipient"))?,
        secret: row.try_get("secret")?,
        telling: Proved {
            at: from_micros(row.try_get("told_at")?)?,
            entry_id: row.try_get("telling_id")?,
        },
        acknowledgement: proved(row.try_get("acknowledged_at")?, row.try_get("acknowledgement_id")?)?,
        content: Sealed {
            key: row.try_get("content_key")?,
            content: row.try_get("content")?,
        },
    })
}
