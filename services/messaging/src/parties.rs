//! Every statement about professionals and structures.

use api::identity::{Check, StructureId};
use sqlx::{QueryBuilder, Row};
use std::collections::HashMap;
use store::time::{Timestamp, from_micros, to_micros};
use store::{Engine, Error, Result, push_list};

use crate::address::Address;
use crate::party::{Party, PartyId};

/// A party as stored. Its structures are read apart, for a page at once.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) party: Party,
    pub(crate) search_key: String,
    pub(crate) updated_at: Timestamp,
}

/// Registers a party, or brings what is known of it up to date.
pub(crate) async fn register<DB: Engine>(connection: &mut DB::Connection, party: &Party, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO parties (kind, party_id, name, given_name, profession, specialty, search_key, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (kind, party_id) DO UPDATE SET name = excluded.name, given_name = excluded.given_name,
         profession = excluded.profession, specialty = excluded.specialty, search_key = excluded.search_key,
         updated_at = excluded.updated_at",
    )
    .bind(party.id.kind())
    .bind(party.id.as_str())
    .bind(party.name.as_str())
    .bind(party.given_name.as_str())
    .bind(party.profession.as_str())
    .bind(party.specialty.as_str())
    .bind(party.search_key())
    .bind(to_micros(now))
    .execute(&mut *connection)
    .await?;
    if let PartyId::Professional(_) = party.id {
        replace_practices::<DB>(connection, party).await?;
    }
    Ok(())
}

async fn replace_practices<DB: Engine>(connection: &mut DB::Connection, party: &Party) -> Result<()> {
    sqlx::query("DELETE FROM practices WHERE professional_id = $1")
        .bind(party.id.as_str())
        .execute(&mut *connection)
        .await?;
    for (position, structure) in (0_i64..).zip(&party.structures) {
        sqlx::query("INSERT INTO practices (professional_id, position, structure_id) VALUES ($1, $2, $3)")
            .bind(party.id.as_str())
            .bind(position)
            .bind(structure.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Takes a party for the rest of the transaction: nobody else opens a mailbox for it meanwhile. False when it is not
/// registered.
pub(crate) async fn lock<DB: Engine>(connection: &mut DB::Connection, id: &PartyId) -> Result<bool> {
    let row =
        sqlx::query("UPDATE parties SET updated_at = updated_at WHERE kind = $1 AND party_id = $2 RETURNING party_id")
            .bind(id.kind())
            .bind(id.as_str())
            .fetch_optional(connection)
            .await?;
    Ok(row.is_some())
}

/// The party that has this identifier.
pub(crate) async fn find<DB: Engine>(connection: &mut DB::Connection, id: &PartyId) -> Result<Option<Registered>> {
    let row = sqlx::query("SELECT * FROM parties WHERE kind = $1 AND party_id = $2")
        .bind(id.kind())
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(from_row::<DB>).transpose()
}

/// Where in the directory's order a search reads.
pub(crate) struct Range<'a> {
    /// Inclusive.
    pub(crate) from: &'a str,
    /// Exclusive.
    pub(crate) to: &'a str,
    /// Exclusive; empty for the beginning.
    pub(crate) after: &'a str,
    pub(crate) limit: i64,
}

/// The parties of a range, of one profession when it is given, in the directory's order.
pub(crate) async fn range<DB: Engine>(
    connection: &mut DB::Connection,
    range: &Range<'_>,
    profession: Option<&str>,
) -> Result<Vec<Registered>> {
    let rows = match profession {
        None => {
            sqlx::query(
                "SELECT * FROM parties WHERE search_key >= $1 AND search_key < $2 AND search_key > $3
                 ORDER BY search_key LIMIT $4",
            )
            .bind(range.from)
            .bind(range.to)
            .bind(range.after)
            .bind(range.limit)
            .fetch_all(connection)
            .await?
        }
        Some(profession) => {
            sqlx::query(
                "SELECT * FROM parties WHERE profession = $5 AND search_key >= $1 AND search_key < $2
                 AND search_key > $3 ORDER BY search_key LIMIT $4",
            )
            .bind(range.from)
            .bind(range.to)
            .bind(range.after)
            .bind(range.limit)
            .bind(profession)
            .fetch_all(connection)
            .await?
        }
    };
    rows.iter().map(from_row::<DB>).collect()
}

/// Where these parties practise, in the order given at their registration.
pub(crate) async fn practices<DB: Engine>(
    connection: &mut DB::Connection,
    parties: &[PartyId],
) -> Result<HashMap<String, Vec<StructureId>>> {
    let mut found: HashMap<String, Vec<StructureId>> = HashMap::new();
    if parties.is_empty() {
        return Ok(found);
    }
    let mut select =
        QueryBuilder::<DB>::new("SELECT professional_id, structure_id FROM practices WHERE professional_id IN ");
    push_list(&mut select, parties.iter().map(|id| id.as_str().to_owned()));
    select.push(" ORDER BY professional_id, position");
    for row in select.build().fetch_all(connection).await? {
        let structure: String = row.try_get("structure_id")?;
        let structure = StructureId::parse(&structure, Check::Lenient);
        let structure = structure.map_err(|_| Error::Corrupt("practices.structure_id"))?;
        found
            .entry(row.try_get("professional_id")?)
            .or_default()
            .push(structure);
    }
    Ok(found)
}

/// The addresses of these parties that the directory shows: open and listed, in order.
pub(crate) async fn listed_addresses<DB: Engine>(
    connection: &mut DB::Connection,
    parties: &[PartyId],
) -> Result<HashMap<PartyId, Vec<Address>>> {
    let mut found: HashMap<PartyId, Vec<Address>> = HashMap::new();
    if parties.is_empty() {
        return Ok(found);
    }
    let mut select = QueryBuilder::<DB>::new("SELECT b.owner_kind, b.owner_id, b.address FROM (");
    select.push_values(parties, |mut row, id| {
        row.push_bind(id.kind().to_owned()).push_bind(id.as_str().to_owned());
    });
    // A LEFT JOIN, which is taken in the order written.
    select.push(") AS v LEFT JOIN mailboxes b ON b.owner_kind = v.column1 AND b.owner_id = v.column2");
    select
        .push(" AND b.closed_at IS NULL AND b.unlisted = ")
        .push_bind(false)
        .push(" ORDER BY b.address");
    for row in select.build().fetch_all(connection).await? {
        let Some(kind) = row.try_get::<Option<String>, _>("owner_kind")? else {
            continue;
        };
        let id: String = row.try_get("owner_id")?;
        let owner = PartyId::from_stored(&kind, &id).ok_or(Error::Corrupt("mailboxes.owner_id"))?;
        let address: String = row.try_get("address")?;
        let address = Address::parse(&address).map_err(|_| Error::Corrupt("mailboxes.address"))?;
        found.entry(owner).or_default().push(address);
    }
    Ok(found)
}

fn from_row<DB: Engine>(row: &DB::Row) -> Result<Registered> {
    let (kind, id): (String, String) = (row.try_get("kind")?, row.try_get("party_id")?);
    let party = Party {
        id: PartyId::from_stored(&kind, &id).ok_or(Error::Corrupt("parties.party_id"))?,
        name: row.try_get("name")?,
        given_name: row.try_get("given_name")?,
        profession: row.try_get("profession")?,
        specialty: row.try_get("specialty")?,
        structures: Vec::new(),
    };
    Ok(Registered {
        party,
        search_key: row.try_get("search_key")?,
        updated_at: from_micros(row.try_get("updated_at")?)?,
    })
}
