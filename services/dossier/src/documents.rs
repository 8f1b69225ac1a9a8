//! Every SQL statement about documents. None that shows one can be called without a [`Granted`]: what its bearer may not
//! see is left out by the statement itself, so that pages, their ends and their tokens tell nothing of it.

use api::consent::v1::DocumentTypes;
use api::dossier::v1::DocumentStatus;
use api::identity::DmpId;
use futures::TryStreamExt;
use sqlx::{QueryBuilder, Row};
use std::collections::BTreeSet;
use store::Error::Corrupt;
use store::page::{Key, Page};
use store::time::{Timestamp, from_micros, to_micros};
use store::{Engine, NewRow, Value, push_list};
use uuid::Uuid;

use crate::authorization::Granted;
use crate::contents::Beginning;
use crate::document::{Document, Facts, MediaType};
use crate::error::Result;
use crate::metadata::{Kept, Stored, UniqueId};
use crate::past::{Past, PastDocument};
use crate::view::View;
use crate::visibility::Visibility;

/// The columns of a whole document; what they leave out, its description has.
macro_rules! columns {
    () => {
        "d.logical_id, d.entry_uuid, d.status, d.masked, d.hidden_from_holder, d.hidden_from_representatives,
         d.announce_by, d.media_type, d.size, d.sha256, d.submitted_by, d.submitted_at, d.description"
    };
}

/// Bytes of metadata on one page of a listing, but for its last document: what keeps the answer below the largest
/// message. A page may so be shorter than asked; its token says that more follow.
const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a listing is narrowed to, beyond what its caller may see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) type_codes: Vec<String>,
    pub(crate) class_codes: Vec<String>,
    pub(crate) service_from: Option<Timestamp>,
    pub(crate) service_to: Option<Timestamp>,
    pub(crate) statuses: Vec<DocumentStatus>,
    pub(crate) author_id: Option<String>,
}

/// The rows of a new document and of its authors.
pub(crate) fn rows(_granted: &Granted, document: &Document) -> Vec<NewRow> {
    let (metadata, visibility) = (&document.metadata, document.visibility);
    let text = |text: &str| Value::Text(text.to_owned());
    let entry = NewRow {
        columns: "documents (dmp_id, unique_id, logical_id, entry_uuid, status, type_code, class_code, masked,
             hidden_from_holder, hidden_from_representatives, announce_by, service_start, media_type, size, sha256,
             submitted_by, submitted_at, description)",
        values: vec![
            text(document.dmp_id.as_str()),
            text(metadata.unique_id.as_str()),
            Value::Id(document.logical_id),
            Value::Id(document.entry_uuid),
            Value::Number(i64::from(i32::from(document.status))),
            text(&metadata.document_type.code),
            text(&metadata.class.code),
            Value::Flag(visibility.masked),
            Value::Flag(visibility.hidden_from_holder),
            Value::Flag(visibility.hidden_from_representatives),
            Value::Number(to_micros(document.announce_by)),
            Value::Number(to_micros(metadata.service_start)),
            text(document.facts.media_type.as_str()),
            Value::Number(document.facts.size),
            Value::Bytes(document.facts.sha256.clone()),
            text(&document.submitted_by),
            Value::Number(to_micros(document.submitted_at)),
            Value::Bytes(metadata.to_bytes()),
        ],
    };
    // Each once, however often a document names it.
    let authors: BTreeSet<&str> = metadata.author_ids().collect();
    let authors = authors.into_iter().map(|author_id| NewRow {
        columns: "document_authors (dmp_id, author_id, unique_id)",
        values: vec![
            text(document.dmp_id.as_str()),
            text(author_id),
            text(document.unique_id()),
        ],
    });
    std::iter::once(entry).chain(authors).collect()
}

/// The document of this id whatever its visibility: only to know whether a deposit is a repetition or a replacement.
pub(crate) async fn find_for_deposit<DB: Engine>(
    connection: &mut DB::Connection,
    granted: &Granted,
    unique_id: &str,
) -> Result<Option<Document>> {
    let query = concat!(
        "SELECT ",
        columns!(),
        " FROM documents d WHERE d.dmp_id = $1 AND d.unique_id = $2"
    );
    let row = sqlx::query(query)
        .bind(granted.dmp_id().as_str())
        .bind(unique_id)
        .fetch_optional(connection)
        .await?;
    row.as_ref()
        .map(|row| from_row::<DB, _>(row, granted.dmp_id()))
        .transpose()
}

/// Puts a document out of force from `now` on, its metadata so changed (XDS: Deprecated).
pub(crate) async fn deprecate<DB: Engine>(
    connection: &mut DB::Connection,
    granted: &Granted,
    unique_id: &str,
    entry_uuid: Uuid,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE documents SET status = $3, entry_uuid = $4, deprecated_at = $5 WHERE dmp_id = $1 AND unique_id = $2",
    )
    .bind(granted.dmp_id().as_str())
    .bind(unique_id)
    .bind(i64::from(i32::from(DocumentStatus::Deprecated)))
    .bind(entry_uuid)
    .bind(to_micros(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether there is a document of this id that is hidden from representatives: to know in which chain an access is taken
/// down that was not let in. Nothing else may be made of the answer.
pub(crate) async fn is_hidden_from_representatives<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    unique_id: &UniqueId,
) -> Result<bool> {
    let hidden =
        sqlx::query_scalar("SELECT hidden_from_representatives FROM documents WHERE dmp_id = $1 AND unique_id = $2")
            .bind(dmp_id.as_str())
            .bind(unique_id.as_str())
            .fetch_optional(connection)
            .await?;
    Ok(hidden.unwrap_or(false))
}

/// The document of this id, when the grant's bearer sees it at `now`. A deleted one is gone.
pub(crate) async fn find<DB: Engine>(
    connection: &mut DB::Connection,
    granted: &Granted,
    unique_id: &str,
    now: Timestamp,
) -> Result<Option<Document>> {
    let row = of_id::<DB>(visible(granted, now), unique_id)
        .build()
        .fetch_optional(connection)
        .await?;
    row.as_ref()
        .map(|row| from_row::<DB, _>(row, granted.dmp_id()))
        .transpose()
}

/// The same, with how its content begins.
pub(crate) async fn find_with_content<DB: Engine>(
    connection: &mut DB::Connection,
    granted: &Granted,
    unique_id: &str,
    now: Timestamp,
) -> Result<Option<(Document, Beginning)>> {
    let query = concat!(
        "SELECT ",
        columns!(),
        ", k.key, k.chunks, c.sealed FROM documents d
         LEFT JOIN document_keys k ON k.dmp_id = d.dmp_id AND k.logical_id = d.logical_id
         LEFT JOIN document_contents c ON c.dmp_id = d.dmp_id AND c.logical_id = d.logical_id AND c.chunk = 0
         WHERE d.dmp_id = "
    );
    let query = seen::<DB>(query, granted, now);
    let row = of_id(query, unique_id).build().fetch_optional(connection).await?;
    row.as_ref()
        .map(|row| {
            Ok((
                from_row::<DB, _>(row, granted.dmp_id())?,
                Beginning::from_row::<DB>(row)?,
            ))
        })
        .transpose()
}

fn of_id<DB: Engine>(mut query: QueryBuilder<DB>, unique_id: &str) -> QueryBuilder<DB> {
    query.push(" AND d.unique_id = ").push_bind(unique_id.to_owned());
    query
        .push(" AND d.status <> ")
        .push_bind(i64::from(i32::from(DocumentStatus::Deleted)));
    query
}

/// A page of what the grant's bearer sees at `now`, the newest act first; with the token of the next.
pub(crate) async fn list<DB: Engine>(
    connection: &mut DB::Connection,
    granted: &Granted,
    filter: &Filter,
    mut page: Page,
    now: Timestamp,
) -> Result<(Vec<Document<Kept>>, String)> {
    let mut query = visible::<DB>(granted, now);
    narrow::<DB>(&mut query, filter);
    if let Some(after) = &page.after {
        // The first condition alone lets the index begin where the last page ended.
        query.push(" AND d.service_start <= ").push_bind(after.number);
        query.push(" AND (d.service_start < ").push_bind(after.number);
        query.push(" OR d.unique_id > ").push_bind(after.text.clone()).push(")");
    }
    query
        .push(" ORDER BY d.service_start DESC, d.unique_id LIMIT ")
        .push_bind(page.fetch_limit());
    let (mut documents, mut bytes) = (Vec::new(), 0);
    let mut rows = query.build().fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let document: Document<Kept> = from_row::<DB, _>(&row, granted.dmp_id())?;
        let more = document.metadata.size();
        documents.push(document);
        if bytes > PAGE_BYTES_MAX {
            page.size = documents.len() - 1;
            break;
        }
        bytes += more;
    }
    Ok(page.cut(documents, key))
}

fn key(document: &Document<Kept>) -> Key {
    Key {
        number: to_micros(document.metadata.service_start()),
        text: document.metadata.unique_id().to_owned(),
    }
}

/// A page of what somebody saw at a past moment, the oldest deposit first, with the token of the next. The bearer of the
/// grant is shown of it what it sees at `now`; the auditor, who is told identifiers only, all of it.
pub(crate) async fn past<DB: Engine>(
    connection: &mut DB::Connection,
    granted: &Granted,
    past: &Past,
    page: &Page,
    now: Timestamp,
) -> Result<(Vec<PastDocument>, String)> {
    let mut query = QueryBuilder::new(
        "SELECT d.unique_id, d.type_code, d.status, d.deprecated_at, d.masked, d.hidden_from_holder,
         d.hidden_from_representatives, d.announce_by, d.submitted_at FROM documents d WHERE d.dmp_id = ",
    );
    query.push_bind(granted.dmp_id().as_str().to_owned());
    seen_by::<DB>(&mut query, &past.view, past.moment);
    if !granted.is_told_identifiers_only() {
        seen_by::<DB>(&mut query, &granted.view(), now);
    }
    query
        .push(" AND d.status <> ")
        .push_bind(i64::from(i32::from(DocumentStatus::Deleted)));
    query.push(" AND d.submitted_at <= ").push_bind(to_micros(past.moment));
    if let Some(after) = &page.after {
        query.push(" AND d.submitted_at >= ").push_bind(after.number);
        query.push(" AND (d.submitted_at > ").push_bind(after.number);
        query.push(" OR d.unique_id > ").push_bind(after.text.clone()).push(")");
    }
    query
        .push(" ORDER BY d.submitted_at, d.unique_id LIMIT ")
        .push_bind(page.fetch_limit());
    let rows = query.build().fetch_all(connection).await?;
    let documents = rows.iter().map(|row| past_from_row::<DB>(row, past.moment));
    let documents = documents.collect::<Result<Vec<_>>>()?;
    Ok(page.cut(documents, |document| Key {
        number: to_micros(document.submitted_at),
        text: document.unique_id.clone(),
    }))
}

/// The statement that reads what the grant's bearer sees, for conditions to be added.
fn visible<DB: Engine>(granted: &Granted, now: Timestamp) -> QueryBuilder<DB> {
    let query = concat!("SELECT ", columns!(), " FROM documents d WHERE d.dmp_id = ");
    seen(query, granted, now)
}

/// A statement that ends where the dossier is to be named, of what the grant's bearer sees there at `now`.
fn seen<DB: Engine>(query: &'static str, granted: &Granted, now: Timestamp) -> QueryBuilder<DB> {
    let mut query = QueryBuilder::new(query);
    query.push_bind(granted.dmp_id().as_str().to_owned());
    seen_by::<DB>(&mut query, &granted.view(), now);
    query
}

/// The condition that leaves out what is not seen `at` a moment. What one deposited or wrote oneself is seen however it
/// is hidden; its type must be in the grant all the same.
fn seen_by<DB: Engine>(query: &mut QueryBuilder<DB>, view: &View, at: Timestamp) {
    of_types::<DB>(query, view.types.as_ref());
    query.push(" AND (d.submitted_by = ").push_bind(view.depositor.clone());
    if let Some(author_id) = &view.author_id {
        query.push(
            " OR EXISTS (SELECT 1 FROM document_authors a
              WHERE a.dmp_id = d.dmp_id AND a.unique_id = d.unique_id AND a.author_id = ",
        );
        query.push_bind(author_id.clone()).push(")");
    }
    query.push(" OR (");
    query.push(if view.masked { "TRUE" } else { "d.masked = FALSE" });
    if !view.hidden_from_holder {
        query
            .push(" AND (d.hidden_from_holder = FALSE OR d.announce_by <= ")
            .push_bind(to_micros(at))
            .push(")");
    }
    if !view.hidden_from_representatives {
        query.push(" AND d.hidden_from_representatives = FALSE");
    }
    query.push("))");
}

fn of_types<DB: Engine>(query: &mut QueryBuilder<DB>, types: Option<&DocumentTypes>) {
    match types {
        None => drop(query.push(" AND FALSE")),
        Some(types) if types.type_codes.is_empty() => drop(query.push(if types.all_but { "" } else { " AND FALSE" })),
        Some(types) => {
            query.push(if types.all_but {
                " AND d.type_code NOT IN "
            } else {
                " AND d.type_code IN "
            });
            push_list(query, types.type_codes.iter().cloned());
        }
    }
}

fn narrow<DB: Engine>(query: &mut QueryBuilder<DB>, filter: &Filter) {
    if !filter.type_codes.is_empty() {
        query.push(" AND d.type_code IN ");
        push_list(query, filter.type_codes.iter().cloned());
    }
    if !filter.class_codes.is_empty() {
        query.push(" AND d.class_code IN ");
        push_list(query, filter.class_codes.iter().cloned());
    }
    if let Some(from) = filter.service_from {
        query.push(" AND d.service_start >= ").push_bind(to_micros(from));
    }
    if let Some(to) = filter.service_to {
        query.push(" AND d.service_start < ").push_bind(to_micros(to));
    }
    if let Some(author_id) = &filter.author_id {
        query.push(
            " AND EXISTS (SELECT 1 FROM document_authors f
              WHERE f.dmp_id = d.dmp_id AND f.unique_id = d.unique_id AND f.author_id = ",
        );
        query.push_bind(author_id.clone()).push(")");
    }
    query.push(" AND d.status IN ");
    let statuses = filter.statuses.iter().map(|status| i64::from(i32::from(*status)));
    push_list(query, statuses);
}

fn from_row<DB: Engine, M: Stored>(row: &DB::Row, dmp_id: &DmpId) -> Result<Document<M>> {
    Ok(Document {
        dmp_id: dmp_id.clone(),
        logical_id: row.try_get("logical_id")?,
        entry_uuid: row.try_get("entry_uuid")?,
        status: status::<DB>(row)?,
        visibility: visibility::<DB>(row)?,
        announce_by: from_micros(row.try_get("announce_by")?)?,
        facts: facts::<DB>(row)?,
        submitted_by: row.try_get("submitted_by")?,
        submitted_at: from_micros(row.try_get("submitted_at")?)?,
        metadata: M::from_stored(row.try_get("description")?).ok_or(Corrupt("documents.description"))?,
    })
}

fn past_from_row<DB: Engine>(row: &DB::Row, moment: Timestamp) -> Result<PastDocument> {
    let deprecated_at: Option<i64> = row.try_get("deprecated_at")?;
    let in_force_then = deprecated_at.is_some_and(|at| to_micros(moment) < at);
    Ok(PastDocument {
        unique_id: row.try_get("unique_id")?,
        type_code: row.try_get("type_code")?,
        status: if in_force_then {
            DocumentStatus::Approved
        } else {
            status::<DB>(row)?
        },
        visibility: visibility::<DB>(row)?.at(moment, from_micros(row.try_get("announce_by")?)?),
        submitted_at: from_micros(row.try_get("submitted_at")?)?,
    })
}

fn status<DB: Engine>(row: &DB::Row) -> Result<DocumentStatus> {
    let status: i64 = row.try_get("status")?;
    let status = i32::try_from(status)
        .ok()
        .and_then(|status| DocumentStatus::try_from(status).ok());
    Ok(status.ok_or(Corrupt("documents.status"))?)
}

fn visibility<DB: Engine>(row: &DB::Row) -> Result<Visibility> {
    Ok(Visibility {
        masked: row.try_get("masked")?,
        hidden_from_holder: row.try_get("hidden_from_holder")?,
        hidden_from_representatives: row.try_get("hidden_from_representatives")?,
    })
}

fn facts<DB: Engine>(row: &DB::Row) -> Result<Facts> {
    let media_type: String = row.try_get("media_type")?;
    Ok(Facts {
        media_type: MediaType::parse(&media_type).ok_or(Corrupt("documents.media_type"))?,
        size: row.try_get("size")?,
        sha256: row.try_get("sha256")?,
    })
}
