//! Every SQL statement about uses of the exceptional modes, and how they are told.

use api::common::v1::AccessMode;
use api::consent::v1 as pb;
use api::identity::{Check, DmpId, ProfessionalId};
use prost::Message;
use sqlx::Row;
use store::page::{Key, Page};
use store::time::{Timestamp, from_micros, to_micros};
use store::{Engine, Error, Result};
use uuid::Uuid;

use crate::exceptional::{Access, Circumstances, Review, Use};
use crate::fact::Recorder;

/// The feed in which uses and findings leave, keyed by dossier.
pub(crate) const FEED: &str = "exceptional-access";

macro_rules! columns {
    () => {
        " use_id, dmp_id, professional_id, mode, secret, details, sealed_reason, first_at, last_at, accesses, \
          first_entry_id, due_at, reviewed_at, finding, sealed_remark "
    };
}

/// A statement that gives whole uses.
macro_rules! with_columns {
    ($before:literal, $after:literal) => {
        concat!($before, columns!(), $after)
    };
}

/// Takes the row of these circumstances until the transaction ends, and gives their last use.
pub(crate) async fn last_use<DB: Engine>(connection: &mut DB::Connection, of: &Circumstances) -> Result<Option<Use>> {
    let row = sqlx::query(
        "INSERT INTO exceptional_last_uses (dmp_id, professional_id, mode, secret, use_id) VALUES ($1, $2, $3, $4, NULL)
         ON CONFLICT (dmp_id, professional_id, mode, secret) DO UPDATE SET use_id = exceptional_last_uses.use_id
         RETURNING use_id",
    )
    .bind(of.dmp_id.as_str())
    .bind(of.professional.as_str())
    .bind(of.mode.as_str_name())
    .bind(of.secret)
    .fetch_one(&mut *connection)
    .await?;
    match row.try_get::<Option<Uuid>, _>("use_id")? {
        Some(id) => find::<DB>(connection, id).await,
        None => Ok(None),
    }
}

/// One use.
pub(crate) async fn find<DB: Engine>(connection: &mut DB::Connection, id: Uuid) -> Result<Option<Use>> {
    let row = sqlx::query(with_columns!("SELECT", "FROM exceptional_uses WHERE use_id = $1"))
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(from_row::<DB>).transpose()
}

/// Whether an access was taken before.
pub(crate) async fn is_taken<DB: Engine>(connection: &mut DB::Connection, entry_id: Uuid) -> Result<bool> {
    let taken = sqlx::query("SELECT use_id FROM exceptional_entries WHERE entry_id = $1")
        .bind(entry_id)
        .fetch_optional(connection)
        .await?;
    Ok(taken.is_some())
}

/// Adds a use, the last one of its circumstances now.
pub(crate) async fn insert<DB: Engine>(connection: &mut DB::Connection, begun: &Use) -> Result<()> {
    let of = &begun.circumstances;
    sqlx::query(
        "INSERT INTO exceptional_uses (use_id, dmp_id, professional_id, mode, secret, details, sealed_reason, first_at,
                                       last_at, accesses, first_entry_id, due_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(begun.id)
    .bind(of.dmp_id.as_str())
    .bind(of.professional.as_str())
    .bind(of.mode.as_str_name())
    .bind(of.secret)
    .bind(details(begun))
    .bind(begun.sealed_reason.as_slice())
    .bind(to_micros(begun.first_at))
    .bind(to_micros(begun.last_at))
    .bind(begun.accesses)
    .bind(begun.first_entry_id)
    .bind(to_micros(begun.due_at))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE exceptional_last_uses SET use_id = $5
         WHERE dmp_id = $1 AND professional_id = $2 AND mode = $3 AND secret = $4",
    )
    .bind(of.dmp_id.as_str())
    .bind(of.professional.as_str())
    .bind(of.mode.as_str_name())
    .bind(of.secret)
    .bind(begun.id)
    .execute(&mut *connection)
    .await?;
    remember::<DB>(connection, begun.first_entry_id, begun.id).await
}

/// Adds an access to a use; false when it was looked at meanwhile, and so takes no more.
pub(crate) async fn add<DB: Engine>(connection: &mut DB::Connection, to: &Use, access: &Access) -> Result<bool> {
    let added = sqlx::query(
        "UPDATE exceptional_uses SET accesses = accesses + 1, last_at = $2
         WHERE use_id = $1 AND reviewed_at IS NULL RETURNING use_id",
    )
    .bind(to.id)
    .bind(to_micros(to.last_at.max(access.at)))
    .fetch_optional(&mut *connection)
    .await?;
    if added.is_none() {
        return Ok(false);
    }
    remember::<DB>(connection, access.entry_id, to.id).await?;
    Ok(true)
}

async fn remember<DB: Engine>(connection: &mut DB::Connection, entry_id: Uuid, use_id: Uuid) -> Result<()> {
    sqlx::query("INSERT INTO exceptional_entries (entry_id, use_id) VALUES ($1, $2)")
        .bind(entry_id)
        .bind(use_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes what a second look found; `None` when there is no such use, or it was looked at before.
pub(crate) async fn review<DB: Engine>(
    connection: &mut DB::Connection,
    id: Uuid,
    review: &Review,
    by: &Recorder,
) -> Result<Option<Use>> {
    let row = sqlx::query(with_columns!(
        "UPDATE exceptional_uses SET reviewed_at = $2, reviewed_by = $3, finding = $4, sealed_remark = $5
         WHERE use_id = $1 AND reviewed_at IS NULL RETURNING",
        ""
    ))
    .bind(id)
    .bind(to_micros(review.at))
    .bind(by.as_str())
    .bind(review.finding.as_str_name())
    .bind(review.sealed_remark.as_slice())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(from_row::<DB>).transpose()
}

/// Tells of a use, or of its finding, inside the transaction that made it.
pub(crate) async fn tell<DB: Engine>(connection: &mut DB::Connection, told: &Use, now: Timestamp) -> Result<()> {
    let key = told.circumstances.dmp_id.as_str();
    store::publish::<DB>(connection, FEED, key, told.event().encode_to_vec(), now).await
}

/// How many uses wait for a second look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Those whose deadline is still to come.
    pub(crate) in_time: u64,
    /// Those whose deadline has passed.
    pub(crate) overdue: u64,
}

/// Counts what waits at a moment.
pub(crate) async fn waiting<DB: Engine>(connection: &mut DB::Connection, now: Timestamp) -> Result<Waiting> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS waiting, COUNT(CASE WHEN due_at <= $1 THEN 1 END) AS overdue
         FROM exceptional_uses WHERE reviewed_at IS NULL",
    )
    .bind(to_micros(now))
    .fetch_one(connection)
    .await?;
    let (waiting, overdue): (i64, i64) = (row.try_get("waiting")?, row.try_get("overdue")?);
    Ok(Waiting {
        in_time: u64::try_from(waiting - overdue).unwrap_or_default(),
        overdue: u64::try_from(overdue).unwrap_or_default(),
    })
}

/// Which uses a listing shows.
pub(crate) struct Listing<'a> {
    /// Of one dossier, or of all.
    pub(crate) dmp_id: Option<&'a DmpId>,
    /// Those in secret connections, too.
    pub(crate) secret: bool,
    /// Those looked at, too.
    pub(crate) reviewed: bool,
    /// Only those to be looked at whose deadline is not after this moment.
    pub(crate) overdue_at: Option<Timestamp>,
}

/// A listing's statement, with one more condition.
macro_rules! listed {
    ($condition:literal) => {
        concat!(
            "SELECT",
            columns!(),
            "FROM exceptional_uses WHERE (due_at, use_id) > ($1, $2) AND ($3 OR NOT secret)
             AND ($4 OR reviewed_at IS NULL) AND ($5 OR due_at <= $6) AND ",
            $condition,
            " ORDER BY due_at, use_id LIMIT $7"
        )
    };
}

/// One page of uses, those due first, and the next page's token.
pub(crate) async fn list<DB: Engine>(
    connection: &mut DB::Connection,
    listing: &Listing<'_>,
    page: &Page,
) -> Result<(Vec<Use>, String)> {
    let (due_at, id) = match &page.after {
        None => (i64::MIN, Uuid::nil()),
        Some(key) => (key.number, Uuid::parse_str(&key.text).map_err(|_| Error::PageToken)?),
    };
    let reviewed = listing.reviewed && listing.overdue_at.is_none();
    // The queue of all dossiers has an index of its own, which the planner takes for a condition written out only.
    let statement = match (listing.dmp_id, reviewed) {
        (Some(_), _) => listed!("dmp_id = $8"),
        (None, false) => listed!("reviewed_at IS NULL"),
        (None, true) => listed!("TRUE"),
    };
    let query = sqlx::query(statement)
        .bind(due_at)
        .bind(id)
        .bind(listing.secret)
        .bind(reviewed)
        .bind(listing.overdue_at.is_none())
        .bind(listing.overdue_at.map_or(0, to_micros))
        .bind(page.fetch_limit());
    let query = match listing.dmp_id {
        Some(dmp_id) => query.bind(dmp_id.as_str()),
        None => query,
    };
    let rows = query.fetch_all(connection).await?;
    let uses = rows.iter().map(from_row::<DB>).collect::<Result<Vec<_>>>()?;
    Ok(page.cut(uses, |one| Key {
        number: to_micros(one.due_at),
        text: one.id.to_string(),
    }))
}

/// What a use says besides its columns, as the contract's message.
fn details(of: &Use) -> Vec<u8> {
    let event = of.event();
    pb::ExceptionalAccess {
        actor: event.actor,
        treating_physician_ids: event.treating_physician_ids,
        ..pb::ExceptionalAccess::default()
    }
    .encode_to_vec()
}

const CORRUPT: Error = Error::Corrupt("exceptional_uses");

fn from_row<DB: Engine>(row: &DB::Row) -> Result<Use> {
    let (dmp_id, professional): (String, String) = (row.try_get("dmp_id")?, row.try_get("professional_id")?);
    let (mode, details): (String, Vec<u8>) = (row.try_get("mode")?, row.try_get("details")?);
    let details = pb::ExceptionalAccess::decode(details.as_slice()).map_err(|_| CORRUPT)?;
    let physicians = details.treating_physician_ids.iter();
    Ok(Use {
        id: row.try_get("use_id")?,
        circumstances: Circumstances {
            dmp_id: DmpId::parse(&dmp_id, Check::Lenient).map_err(|_| CORRUPT)?,
            professional: parse_professional(&professional)?,
            mode: AccessMode::from_str_name(&mode).ok_or(CORRUPT)?,
            secret: row.try_get("secret")?,
        },
        actor: details.actor.ok_or(CORRUPT)?,
        treating_physicians: physicians.map(|id| parse_professional(id)).collect::<Result<_>>()?,
        sealed_reason: row.try_get("sealed_reason")?,
        first_at: from_micros(row.try_get("first_at")?)?,
        last_at: from_micros(row.try_get("last_at")?)?,
        accesses: row.try_get("accesses")?,
        first_entry_id: row.try_get("first_entry_id")?,
        due_at: from_micros(row.try_get("due_at")?)?,
        review: review_of::<DB>(row)?,
    })
}

fn review_of<DB: Engine>(row: &DB::Row) -> Result<Option<Review>> {
    let at: Option<i64> = row.try_get("reviewed_at")?;
    let finding: Option<String> = row.try_get("finding")?;
    let remark: Option<Vec<u8>> = row.try_get("sealed_remark")?;
    match (at, finding, remark) {
        (None, None, None) => Ok(None),
        (Some(at), Some(finding), Some(sealed_remark)) => Ok(Some(Review {
            at: from_micros(at)?,
            finding: pb::Finding::from_str_name(&finding).ok_or(CORRUPT)?,
            sealed_remark,
        })),
        _ => Err(CORRUPT),
    }
}

fn parse_professional(text: &str) -> Result<ProfessionalId> {
    ProfessionalId::parse(text, Check::Lenient).map_err(|_| CORRUPT)
}
