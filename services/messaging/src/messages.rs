//! Every statement about messages, their bodies and their deliveries.

use sqlx::Row;
use store::time::{Timestamp, from_micros, to_micros};
use store::{Engine, NewRow, Result, Value};
use uuid::Uuid;

use crate::mailboxes::Place;
use crate::vault::Sealed;

/// A message to store.
#[derive(Debug)]
pub(crate) struct NewMessage {
    pub(crate) id: Uuid,
    /// The journal entry of its deposit.
    pub(crate) deposit_id: Uuid,
    pub(crate) reading_wanted: bool,
    pub(crate) header: Sealed,
    pub(crate) body: Sealed,
    pub(crate) body_sha256: Vec<u8>,
}

/// A message as one mailbox holds it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) message_id: Uuid,
    /// The sender's mailbox.
    pub(crate) sender_id: Uuid,
    /// Its number among what the sender's mailbox sends and receives.
    pub(crate) sent_sequence: i64,
    pub(crate) deposit_id: Uuid,
    pub(crate) reading_wanted: bool,
    pub(crate) header: Sealed,
    /// What has become of it here, when this mailbox received it.
    pub(crate) delivery: Option<Delivery>,
}

/// What has become of a message in a recipient's mailbox.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Its number among what the mailbox sends and receives.
    pub(crate) sequence: i64,
    pub(crate) retrieval: Option<Proved>,
    pub(crate) reading: Option<Proved>,
}

/// Something that happened once, and the journal entry that proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proved {
    pub(crate) at: Timestamp,
    pub(crate) entry_id: Uuid,
}

/// A body as stored.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) sha256: Vec<u8>,
    pub(crate) sealed: Sealed,
}

/// The columns of [`Held`], of messages `m` and deliveries `d`.
macro_rules! held {
    ($rest:literal) => {
        concat!(
            "SELECT m.message_id, m.mailbox_id AS sender_id, m.sequence AS sent_sequence, m.deposit_id,
             m.reading_wanted, m.header_key, m.header, d.sequence AS delivered_sequence, d.retrieved_at,
             d.retrieval_id, d.read_at, d.reading_id",
            $rest
        )
    };
}

/// The rows of a message with its body, at its place in the sender's mailbox.
pub(crate) fn rows(message: NewMessage, place: Place) -> [NewRow; 2] {
    let header = NewRow {
        columns: "messages (message_id, mailbox_id, sequence, deposit_id, reading_wanted, header_key, header)",
        values: vec![
            Value::Id(message.id),
            Value::Id(place.mailbox_id),
            Value::Number(place.sequence),
            Value::Id(message.deposit_id),
            Value::Flag(message.reading_wanted),
            Value::Bytes(message.header.key),
            Value::Bytes(message.header.content),
        ],
    };
    let body = NewRow {
        columns: "bodies (message_id, sha256, body_key, body)",
        values: vec![
            Value::Id(message.id),
            Value::Bytes(message.body_sha256),
            Value::Bytes(message.body.key),
            Value::Bytes(message.body.content),
        ],
    };
    [header, body]
}

/// The row that puts a message at its place in a recipient's mailbox.
pub(crate) fn delivery(message_id: Uuid, place: Place) -> NewRow {
    NewRow {
        columns: "deliveries (mailbox_id, sequence, message_id)",
        values: vec![
            Value::Id(place.mailbox_id),
            Value::Number(place.sequence),
            Value::Id(message_id),
        ],
    }
}

/// A message that a mailbox sent or received.
pub(crate) async fn find<DB: Engine>(
    connection: &mut DB::Connection,
    mailbox_id: Uuid,
    message_id: Uuid,
) -> Result<Option<Held>> {
    let row = sqlx::query(held!(
        " FROM messages m LEFT JOIN deliveries d ON d.message_id = m.message_id AND d.mailbox_id = $1
         WHERE m.message_id = $2 AND (m.mailbox_id = $1 OR d.mailbox_id IS NOT NULL)"
    ))
    .bind(mailbox_id)
    .bind(message_id)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(from_row::<DB>).transpose()
}

/// The same, with its body.
pub(crate) async fn find_with_body<DB: Engine>(
    connection: &mut DB::Connection,
    mailbox_id: Uuid,
    message_id: Uuid,
) -> Result<Option<(Held, Body)>> {
    let row = sqlx::query(held!(
        ", b.sha256, b.body_key, b.body FROM messages m JOIN bodies b ON b.message_id = m.message_id
         LEFT JOIN deliveries d ON d.message_id = m.message_id AND d.mailbox_id = $1
         WHERE m.message_id = $2 AND (m.mailbox_id = $1 OR d.mailbox_id IS NOT NULL)"
    ))
    .bind(mailbox_id)
    .bind(message_id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let sealed = Sealed {
        key: row.try_get("body_key")?,
        content: row.try_get("body")?,
    };
    let body = Body {
        sha256: row.try_get("sha256")?,
        sealed,
    };
    Ok(Some((from_row::<DB>(&row)?, body)))
}

/// The SHA-256 of a message's body.
pub(crate) async fn body_sha256<DB: Engine>(connection: &mut DB::Connection, message_id: Uuid) -> Result<Vec<u8>> {
    let hash = sqlx::query_scalar("SELECT sha256 FROM bodies WHERE message_id = $1").bind(message_id);
    Ok(hash.fetch_one(connection).await?)
}

/// Received messages numbered below `before`, newest first.
pub(crate) async fn received<DB: Engine>(
    connection: &mut DB::Connection,
    mailbox_id: Uuid,
    unread_only: bool,
    before: i64,
    limit: i64,
) -> Result<Vec<Held>> {
    let statement = if unread_only {
        held!(
            " FROM deliveries d JOIN messages m ON m.message_id = d.message_id
             WHERE d.mailbox_id = $1 AND d.sequence < $2 AND d.read_at IS NULL ORDER BY d.sequence DESC LIMIT $3"
        )
    } else {
        held!(
            " FROM deliveries d JOIN messages m ON m.message_id = d.message_id
             WHERE d.mailbox_id = $1 AND d.sequence < $2 ORDER BY d.sequence DESC LIMIT $3"
        )
    };
    page::<DB>(connection, statement, mailbox_id, before, limit).await
}

/// Sent messages numbered below `before`, newest first.
pub(crate) async fn sent<DB: Engine>(
    connection: &mut DB::Connection,
    mailbox_id: Uuid,
    before: i64,
    limit: i64,
) -> Result<Vec<Held>> {
    let statement = held!(
        " FROM messages m LEFT JOIN deliveries d ON d.message_id = m.message_id AND d.mailbox_id = m.mailbox_id
         WHERE m.mailbox_id = $1 AND m.sequence < $2 ORDER BY m.sequence DESC LIMIT $3"
    );
    page::<DB>(connection, statement, mailbox_id, before, limit).await
}

async fn page<DB: Engine>(
    connection: &mut DB::Connection,
    statement: &'static str,
    mailbox_id: Uuid,
    before: i64,
    limit: i64,
) -> Result<Vec<Held>> {
    let rows = sqlx::query(statement)
        .bind(mailbox_id)
        .bind(before)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(from_row::<DB>).collect()
}

/// Records that a message was retrieved, unless it was before; answers the first retrieval. The row is locked until the
/// transaction ends.
pub(crate) async fn retrieve<DB: Engine>(
    connection: &mut DB::Connection,
    mailbox_id: Uuid,
    message_id: Uuid,
    this: Proved,
) -> Result<Option<Proved>> {
    let statement =
        "UPDATE deliveries SET retrieved_at = COALESCE(retrieved_at, $3), retrieval_id = COALESCE(retrieval_id, $4)
         WHERE mailbox_id = $1 AND message_id = $2 RETURNING retrieved_at AS proved_at, retrieval_id AS entry_id";
    prove::<DB>(connection, statement, mailbox_id, message_id, this).await
}

/// Records that a person read a message, unless one did before; answers the first reading. `None` also when it was
/// never retrieved.
pub(crate) async fn read<DB: Engine>(
    connection: &mut DB::Connection,
    mailbox_id: Uuid,
    message_id: Uuid,
    this: Proved,
) -> Result<Option<Proved>> {
    let statement = "UPDATE deliveries SET read_at = COALESCE(read_at, $3), reading_id = COALESCE(reading_id, $4)
         WHERE mailbox_id = $1 AND message_id = $2 AND retrieval_id IS NOT NULL
         RETURNING read_at AS proved_at, reading_id AS entry_id";
    prove::<DB>(connection, statement, mailbox_id, message_id, this).await
}

async fn prove<DB: Engine>(
    connection: &mut DB::Connection,
    statement: &'static str,
    mailbox_id: Uuid,
    message_id: Uuid,
    this: Proved,
) -> Result<Option<Proved>> {
    let row = sqlx::query(statement)
        .bind(mailbox_id)
        .bind(message_id)
        .bind(to_micros(this.at))
        .bind(this.entry_id)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Proved {
        at: from_micros(row.try_get("proved_at")?)?,
        entry_id: row.try_get("entry_id")?,
    }))
}

fn from_row<DB: Engine>(row: &DB::Row) -> Result<Held> {
    let sequence: Option<i64> = row.try_get("delivered_sequence")?;
    let delivery = match sequence {
        None => None,
        Some(sequence) => Some(Delivery {
            sequence,
            retrieval: proved(row.try_get("retrieved_at")?, row.try_get("retrieval_id")?)?,
            reading: proved(row.try_get("read_at")?, row.try_get("reading_id")?)?,
        }),
    };
    Ok(Held {
        message_id: row.try_get("message_id")?,
        sender_id: row.try_get("sender_id")?,
        sent_sequence: row.try_get("sent_sequence")?,
        deposit_id: row.try_get("deposit_id")?,
        reading_wanted: row.try_get("reading_wanted")?,
        header: Sealed {
            key: row.try_get("header_key")?,
            content: row.try_get("header")?,
        },
        delivery,
    })
}

/// The columns of something that may not have happened yet.
pub(crate) fn proved(at: Option<i64>, entry_id: Option<Uuid>) -> Result<Option<Proved>> {
    let Some((at, entry_id)) = at.zip(entry_id) else {
        return Ok(None);
    };
    Ok(Some(Proved {
        at: from_micros(at)?,
        entry_id,
    }))
}
