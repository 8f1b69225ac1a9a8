//! Every statement about mailboxes, and the white list of their domains.

use sqlx::Row;
use store::time::{Timestamp, from_micros, to_micros};
use store::{Engine, Error, Result};
use uuid::Uuid;

use crate::address::{Address, DomainName};
use crate::mailbox::{Kind, Mailbox, Owned};
use crate::party::PartyId;

/// Puts a domain on the white list, or answers since when it has been there.
pub(crate) async fn allow_domain<DB: Engine>(
    connection: &mut DB::Connection,
    domain: &DomainName,
    now: Timestamp,
) -> Result<Timestamp> {
    let allowed_at: i64 = sqlx::query_scalar(
        "INSERT INTO domains (domain, allowed_at) VALUES ($1, $2)
         ON CONFLICT (domain) DO UPDATE SET allowed_at = domains.allowed_at RETURNING allowed_at",
    )
    .bind(domain.as_str())
    .bind(to_micros(now))
    .fetch_one(connection)
    .await?;
    from_micros(allowed_at)
}

/// Whether addresses of a domain may be opened.
pub(crate) async fn is_allowed<DB: Engine>(connection: &mut DB::Connection, domain: &str) -> Result<bool> {
    let found = sqlx::query("SELECT domain FROM domains WHERE domain = $1")
        .bind(domain)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// How many open mailboxes an owner has.
pub(crate) async fn count_open<DB: Engine>(connection: &mut DB::Connection, owner: &PartyId) -> Result<i64> {
    let count = sqlx::query_scalar(
        "SELECT COUNT(*) FROM mailboxes WHERE owner_kind = $1 AND owner_id = $2 AND closed_at IS NULL",
    )
    .bind(owner.kind())
    .bind(owner.as_str())
    .fetch_one(connection)
    .await?;
    Ok(count)
}

/// Stores a new mailbox. False when its address is taken, be it by a closed one.
pub(crate) async fn insert<DB: Engine>(connection: &mut DB::Connection, mailbox: &Mailbox) -> Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO mailboxes (mailbox_id, address, type, owner_kind, owner_id, unlisted, description, sequence,
         opened_at, closed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, NULL)
         ON CONFLICT DO NOTHING RETURNING mailbox_id",
    )
    .bind(mailbox.id)
    .bind(mailbox.address.as_str())
    .bind(mailbox.kind.code())
    .bind(mailbox.owner.kind())
    .bind(mailbox.owner.as_str())
    .bind(mailbox.unlisted)
    .bind(mailbox.description.as_str())
    .bind(to_micros(mailbox.opened_at))
    .fetch_optional(connection)
    .await?;
    Ok(inserted.is_some())
}

/// The mailbox of this id.
pub(crate) async fn find<DB: Engine>(connection: &mut DB::Connection, id: Uuid) -> Result<Option<Mailbox>> {
    let row = sqlx::query("SELECT * FROM mailboxes WHERE mailbox_id = $1")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(from_row::<DB>).transpose()
}

/// Closes an open mailbox; `None` when it is closed already. It waits for whoever delivers into it.
pub(crate) async fn close<DB: Engine>(
    connection: &mut DB::Connection,
    id: Uuid,
    now: Timestamp,
) -> Result<Option<Mailbox>> {
    let row =
        sqlx::query("UPDATE mailboxes SET closed_at = $2 WHERE mailbox_id = $1 AND closed_at IS NULL RETURNING *")
            .bind(id)
            .bind(to_micros(now))
            .fetch_optional(connection)
            .await?;
    row.as_ref().map(from_row::<DB>).transpose()
}

/// A number taken in a mailbox, which is locked until the transaction ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) mailbox_id: Uuid,
    pub(crate) sequence: i64,
    pub(crate) open: bool,
}

/// Takes the next number in the mailbox of an address; `None` when there is no such mailbox.
pub(crate) async fn take_place<DB: Engine>(
    connection: &mut DB::Connection,
    address: &Address,
) -> Result<Option<Place>> {
    let row = sqlx::query(
        "UPDATE mailboxes SET sequence = sequence + 1 WHERE address = $1 RETURNING mailbox_id, sequence, closed_at",
    )
    .bind(address.as_str())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let closed_at: Option<i64> = row.try_get("closed_at")?;
    Ok(Some(Place {
        mailbox_id: row.try_get("mailbox_id")?,
        sequence: row.try_get("sequence")?,
        open: closed_at.is_none(),
    }))
}

/// Mailboxes after an address (exclusive; empty for the first), in the order of addresses: all of them, or those that
/// somebody acts for.
pub(crate) async fn list<DB: Engine>(
    connection: &mut DB::Connection,
    of: Option<&Owned>,
    after: &str,
    limit: i64,
) -> Result<Vec<Mailbox>> {
    let rows = match of {
        None => {
            sqlx::query("SELECT * FROM mailboxes WHERE address > $1 ORDER BY address LIMIT $2")
                .bind(after)
                .bind(limit)
                .fetch_all(connection)
                .await?
        }
        Some(owned) => {
            let professional = owned.professional.as_ref().map(|id| id.as_str().to_owned());
            let structure = owned.structure.as_ref().map(|id| id.as_str().to_owned());
            sqlx::query(
                "SELECT * FROM mailboxes WHERE ((owner_kind = 'PROFESSIONAL' AND owner_id = $1)
                 OR (owner_kind = 'STRUCTURE' AND owner_id = $2)) AND address > $3 ORDER BY address LIMIT $4",
            )
            .bind(professional)
            .bind(structure)
            .bind(after)
            .bind(limit)
            .fetch_all(connection)
            .await?
        }
    };
    rows.iter().map(from_row::<DB>).collect()
}

fn from_row<DB: Engine>(row: &DB::Row) -> Result<Mailbox> {
    let address: String = row.try_get("address")?;
    let kind: String = row.try_get("type")?;
    let (owner_kind, owner_id): (String, String) = (row.try_get("owner_kind")?, row.try_get("owner_id")?);
    let closed_at: Option<i64> = row.try_get("closed_at")?;
    Ok(Mailbox {
        id: row.try_get("mailbox_id")?,
        address: Address::parse(&address).map_err(|_| Error::Corrupt("mailboxes.address"))?,
        kind: Kind::from_code(&kind).ok_or(Error::Corrupt("mailboxes.type"))?,
        owner: PartyId::from_stored(&owner_kind, &owner_id).ok_or(Error::Corrupt("mailboxes.owner_id"))?,
        unlisted: row.try_get("unlisted")?,
        description: row.try_get("description")?,
        opened_at: from_micros(row.try_get("opened_at")?)?,
        closed_at: closed_at.map(from_micros).transpose()?,
    })
}
