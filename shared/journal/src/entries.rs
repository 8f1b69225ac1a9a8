//! Every SQL statement about entries, written and staged.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Row};
use store::time::{self, Timestamp};
use store::{Engine, Error, NewRow, Result, Value, padded, push_list};
use uuid::Uuid;

use crate::entry::{Content, Entry, Link, Recorded};
use crate::hash::Hash;

/// A number of the log as a column holds it. None is ever beyond [`crate::tree::MAX_SIZE`].
pub(crate) fn from_u64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn to_u64(column: i64) -> Result<u64> {
    u64::try_from(column).map_err(|_| Error::Corrupt("a number of the journal"))
}

pub(crate) fn hash(column: Vec<u8>) -> Result<Hash> {
    Hash::from_slice(&column).ok_or(Error::Corrupt("a hash of the journal"))
}

fn recorded<DB: Engine>(row: &DB::Row) -> Result<Recorded> {
    Ok(Recorded {
        entry_id: row.try_get("entry_id")?,
        subject: row.try_get("subject")?,
        sequence: to_u64(row.try_get("sequence")?)?,
        previous: hash(row.try_get("previous")?)?,
        recorded_at: time::from_micros(row.try_get("recorded_at")?)?,
        leaf_index: to_u64(row.try_get("leaf_index")?)?,
        leaf_hash: hash(row.try_get("leaf_hash")?)?,
        content: content::<DB>(row)?,
    })
}

fn content<DB: Engine>(row: &DB::Row) -> Result<Content> {
    let salt: Option<Vec<u8>> = row.try_get("salt")?;
    let payload: Option<Vec<u8>> = row.try_get("payload")?;
    let commitment: Option<Vec<u8>> = row.try_get("content")?;
    match (salt, payload, commitment) {
        (Some(salt), Some(payload), None) => {
            let salt = salt.try_into().map_err(|_| Error::Corrupt("journal_entries.salt"))?;
            Ok(Content::Present { salt, payload })
        }
        (None, None, Some(commitment)) => Ok(Content::Erased {
            commitment: hash(commitment)?,
        }),
        _ => Err(Error::Corrupt("journal_entries.content")),
    }
}

/// The row of an entry which has its place.
pub(crate) fn row(log: i64, entry: &Recorded) -> NewRow {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let (salt, payload, content) = match &entry.content {
        Content::Present { salt, payload } => (bytes(salt), bytes(payload), Value::NoBytes),
        Content::Erased { commitment } => (Value::NoBytes, Value::NoBytes, Value::Bytes(commitment.to_vec())),
    };
    NewRow {
        columns: "journal_entries (log_id, leaf_index, entry_id, subject, sequence, previous, recorded_at,
             salt, payload, content, leaf_hash)",
        values: vec![
            Value::Number(log),
            Value::Number(from_u64(entry.leaf_index)),
            Value::Id(entry.entry_id),
            Value::Text(entry.subject.clone()),
            Value::Number(from_u64(entry.sequence)),
            Value::Bytes(entry.previous.to_vec()),
            Value::Number(time::to_micros(entry.recorded_at)),
            salt,
            payload,
            content,
            Value::Bytes(entry.leaf_hash.to_vec()),
        ],
    }
}

// Joins with a list of values are LEFT JOINs, which both engines take in the order written: left to themselves they may read
// the whole log and look each entry up among the values. A plus before `log_id` keeps it from choosing the index: all
// entries but a few have the same, which PostgreSQL does not know of a young table.

/// What there is of the entries with some ids.
#[derive(Default)]
pub(crate) struct Found {
    /// Those in the log.
    pub(crate) written: HashMap<Uuid, Recorded>,
    /// Those on their way.
    pub(crate) staged: HashMap<Uuid, Entry>,
}

/// What there is of the entries with these ids.
pub(crate) async fn by_ids<DB: Engine>(connection: &mut DB::Connection, log: i64, ids: &[Uuid]) -> Result<Found> {
    let mut found = Found::default();
    for rows in padded(ids) {
        let mut select = QueryBuilder::<DB>::new(
            "SELECT e.*, s.entry_id AS staged_id, s.subject AS staged_subject, s.payload AS staged_payload FROM (",
        );
        select.push_values(rows, |mut row, id| {
            row.push_bind(id.copied());
        });
        select
            .push(") AS v LEFT JOIN journal_entries e ON e.entry_id = v.column1 AND +e.log_id = ")
            .push_bind(log)
            .push(" LEFT JOIN journal_staged s ON s.entry_id = v.column1 AND +s.log_id = ")
            .push_bind(log)
            .push(" WHERE e.entry_id IS NOT NULL OR s.entry_id IS NOT NULL");
        for row in select.build().fetch_all(&mut *connection).await? {
            if row.try_get::<Option<Uuid>, _>("entry_id")?.is_some() {
                let entry = recorded::<DB>(&row)?;
                found.written.insert(entry.entry_id, entry);
            }
            if let Some(entry_id) = row.try_get("staged_id")? {
                let entry = Entry {
                    entry_id,
                    subject: row.try_get("staged_subject")?,
                    payload: row.try_get("staged_payload")?,
                };
                found.staged.insert(entry_id, entry);
            }
        }
    }
    Ok(found)
}

/// Whether there is an entry of this id in the log.
pub(crate) async fn is_written<DB: Engine>(connection: &mut DB::Connection, log: i64, entry_id: Uuid) -> Result<bool> {
    let row = sqlx::query("SELECT leaf_index FROM journal_entries WHERE entry_id = $1 AND +log_id = $2")
        .bind(entry_id)
        .bind(log)
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// Where the chains of these subjects end. A subject without entries is left out.
pub(crate) async fn heads<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    subjects: &[String],
) -> Result<HashMap<String, Link>> {
    let mut found = HashMap::new();
    for rows in padded(subjects) {
        let mut select = QueryBuilder::<DB>::new(
            "SELECT e.subject AS subject, e.sequence AS sequence, e.leaf_hash AS leaf_hash FROM (",
        );
        select.push_values(rows, |mut row, subject| {
            row.push_bind(subject.cloned());
        });
        select
            .push(") AS v LEFT JOIN journal_entries e ON e.subject = v.column1 AND e.log_id = ")
            .push_bind(log);
        select.push(
            " AND e.sequence = (SELECT MAX(m.sequence) FROM journal_entries m
                WHERE m.subject = v.column1 AND m.log_id = ",
        );
        select.push_bind(log).push(")");
        for row in select.build().fetch_all(&mut *connection).await? {
            let Some(subject) = row.try_get("subject")? else {
                continue;
            };
            let link = Link {
                sequence: to_u64(row.try_get("sequence")?)?,
                leaf_hash: hash(row.try_get("leaf_hash")?)?,
            };
            found.insert(subject, link);
        }
    }
    Ok(found)
}

/// Entries of one subject after a place in its chain, oldest first, of those in the tree of `size` leaves.
pub(crate) async fn after<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    subject: &str,
    after: u64,
    size: u64,
    limit: i64,
) -> Result<Vec<Recorded>> {
    let rows = sqlx::query(
        "SELECT * FROM journal_entries WHERE subject = $1 AND log_id = $2 AND sequence > $3 AND leaf_index < $4
         ORDER BY sequence LIMIT $5",
    )
    .bind(subject)
    .bind(log)
    .bind(from_u64(after))
    .bind(from_u64(size))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(recorded::<DB>).collect()
}

/// Entries of one subject before a place in its chain, newest first.
pub(crate) async fn before<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    subject: &str,
    before: u64,
    limit: i64,
) -> Result<Vec<Recorded>> {
    let rows = sqlx::query(
        "SELECT * FROM journal_entries WHERE subject = $1 AND log_id = $2 AND sequence < $3
         ORDER BY sequence DESC LIMIT $4",
    )
    .bind(subject)
    .bind(log)
    .bind(from_u64(before))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(recorded::<DB>).collect()
}

/// Entries from a leaf on, in the order of the log.
pub(crate) async fn from_leaf<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    leaf_index: u64,
    limit: i64,
) -> Result<Vec<Recorded>> {
    let rows = sqlx::query(
        "SELECT * FROM journal_entries WHERE log_id = $1 AND leaf_index >= $2 ORDER BY leaf_index LIMIT $3",
    )
    .bind(log)
    .bind(from_u64(leaf_index))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(recorded::<DB>).collect()
}

/// The number after the last leaf.
pub(crate) async fn extent<DB: Engine>(connection: &mut DB::Connection, log: i64) -> Result<u64> {
    let row = sqlx::query("SELECT COALESCE(MAX(leaf_index), -1) + 1 AS size FROM journal_entries WHERE log_id = $1")
        .bind(log)
        .fetch_one(connection)
        .await?;
    to_u64(row.try_get("size")?)
}

/// The last leaf, and when it was recorded.
pub(crate) async fn last<DB: Engine>(connection: &mut DB::Connection, log: i64) -> Result<Option<(u64, Timestamp)>> {
    let row = sqlx::query(
        "SELECT leaf_index, recorded_at FROM journal_entries WHERE log_id = $1 ORDER BY leaf_index DESC LIMIT 1",
    )
    .bind(log)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok((
            to_u64(row.try_get("leaf_index")?)?,
            time::from_micros(row.try_get("recorded_at")?)?,
        ))
    })
    .transpose()
}

/// The first leaf from `from` up to `to` whose entry does not follow an earlier leaf, which it names, in its subject's chain.
pub(crate) async fn broken_chain<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    from: u64,
    to: u64,
) -> Result<Option<u64>> {
    let row = sqlx::query(
        "SELECT e.leaf_index AS leaf_index FROM journal_entries e
         LEFT JOIN journal_entries p ON p.subject = e.subject AND p.log_id = e.log_id AND p.sequence = e.sequence - 1
         WHERE e.log_id = $1 AND e.leaf_index >= $2 AND e.leaf_index < $3
           AND CASE WHEN e.sequence = 1 THEN e.previous <> $4
               ELSE p.leaf_hash IS NULL OR p.leaf_hash <> e.previous OR p.leaf_index >= e.leaf_index END
         ORDER BY e.leaf_index LIMIT 1",
    )
    .bind(log)
    .bind(from_u64(from))
    .bind(from_u64(to))
    .bind(Hash::ZERO.to_vec())
    .fetch_optional(connection)
    .await?;
    row.map(|row| to_u64(row.try_get("leaf_index")?)).transpose()
}

/// Puts the commitment in the place of content, for at most `limit` entries of one subject. Answers how many.
pub(crate) async fn erase<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    subject: &str,
    limit: i64,
) -> Result<usize> {
    let rows = sqlx::query(
        "SELECT * FROM journal_entries WHERE subject = $1 AND log_id = $2 AND salt IS NOT NULL
         ORDER BY sequence LIMIT $3",
    )
    .bind(subject)
    .bind(log)
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        let entry = recorded::<DB>(row)?;
        sqlx::query(
            "UPDATE journal_entries SET salt = NULL, payload = NULL, content = $3 WHERE log_id = $1 AND leaf_index = $2",
        )
        .bind(log)
        .bind(from_u64(entry.leaf_index))
        .bind(entry.content.commitment().to_vec())
        .execute(&mut *connection)
        .await?;
    }
    Ok(rows.len())
}

/// The row of an entry on its way.
pub(crate) fn staged(log: i64, entry: &Entry, now: Timestamp) -> NewRow {
    NewRow {
        columns: "journal_staged (log_id, entry_id, subject, payload, staged_at)",
        values: vec![
            Value::Number(log),
            Value::Id(entry.entry_id),
            Value::Text(entry.subject.clone()),
            Value::Bytes(entry.payload.clone()),
            Value::Number(time::to_micros(now)),
        ],
    }
}

/// Puts an entry on its way. False when one of this id is on its way or written already.
pub(crate) async fn stage<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    entry: &Entry,
    now: Timestamp,
) -> Result<bool> {
    let staged = sqlx::query(
        "INSERT INTO journal_staged (log_id, entry_id, subject, payload, staged_at) SELECT $1, $2, $3, $4, $5
         WHERE NOT EXISTS (SELECT 1 FROM journal_entries WHERE entry_id = $2 AND log_id = $1)
         ON CONFLICT DO NOTHING RETURNING entry_id",
    )
    .bind(log)
    .bind(entry.entry_id)
    .bind(entry.subject.as_str())
    .bind(entry.payload.as_slice())
    .bind(time::to_micros(now))
    .fetch_optional(connection)
    .await?;
    Ok(staged.is_some())
}

fn entry<DB: Engine>(row: &DB::Row) -> Result<Entry> {
    Ok(Entry {
        entry_id: row.try_get("entry_id")?,
        subject: row.try_get("subject")?,
        payload: row.try_get("payload")?,
    })
}

/// The entries which were staged first.
pub(crate) async fn oldest_staged<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    limit: i64,
) -> Result<Vec<Entry>> {
    let rows = sqlx::query("SELECT * FROM journal_staged WHERE log_id = $1 ORDER BY staged_at, entry_id LIMIT $2")
        .bind(log)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(entry::<DB>).collect()
}

/// Takes entries off their way: they are in the log. Answers how many of them were on it.
pub(crate) async fn unstage<DB: Engine>(connection: &mut DB::Connection, log: i64, ids: &[Uuid]) -> Result<usize> {
    let mut gone = 0;
    for rows in padded(ids) {
        let mut delete = QueryBuilder::<DB>::new("DELETE FROM journal_staged WHERE +log_id = ");
        delete.push_bind(log).push(" AND entry_id IN ");
        push_list(&mut delete, rows.map(Option::<&Uuid>::copied));
        delete.push(" RETURNING entry_id");
        gone += delete.build().fetch_all(&mut *connection).await?.len();
    }
    Ok(gone)
}
