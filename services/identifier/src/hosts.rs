//! Every SQL statement about hosts.

use api::identity::{Check, StructureId};
use sqlx::Row;
use store::page::{Key, Page};
use store::time::{Timestamp, from_micros, to_micros};
use store::{Engine, Error as Stored};
use uuid::Uuid;

use crate::accreditation::HostingScope;
use crate::accreditations;
use crate::error::{Error, Result};
use crate::host::{Endpoint, Host};

/// Writes a new host, without accreditations.
///
/// # Errors
/// [`Error::HostExists`] when its structure is registered.
pub(crate) async fn insert<DB: Engine>(connection: &mut DB::Connection, host: &Host, now: Timestamp) -> Result<()> {
    let written = sqlx::query(
        "INSERT INTO hosts (host_id, name, structure_id, endpoint, suspended_at, version, created_at)
         VALUES ($1, $2, $3, $4, NULL, $5, $6) ON CONFLICT (structure_id) DO NOTHING RETURNING host_id",
    )
    .bind(host.id)
    .bind(host.name.as_str())
    .bind(host.structure.as_str())
    .bind(host.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()))
    .bind(host.version)
    .bind(to_micros(now))
    .fetch_optional(&mut *connection)
    .await?;
    match written {
        Some(_) => Ok(()),
        None => Err(Error::HostExists(
            of_structure::<DB>(connection, &host.structure).await?,
        )),
    }
}

async fn of_structure<DB: Engine>(connection: &mut DB::Connection, structure: &StructureId) -> Result<Uuid> {
    let row = sqlx::query("SELECT host_id FROM hosts WHERE structure_id = $1").bind(structure.as_str());
    Ok(row.fetch_one(connection).await?.try_get("host_id")?)
}

/// A host with its accreditations.
pub(crate) async fn get<DB: Engine>(connection: &mut DB::Connection, id: Uuid) -> Result<Option<Host>> {
    let row = sqlx::query("SELECT * FROM hosts WHERE host_id = $1")
        .bind(id)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    complete::<DB>(connection, vec![host::<DB>(&row)?])
        .await
        .map(|mut hosts| hosts.pop())
}

/// The host to be changed: its row is held until the transaction ends, and its version is the one after the change.
pub(crate) async fn hold<DB: Engine>(connection: &mut DB::Connection, id: Uuid) -> Result<Host> {
    let row = sqlx::query("UPDATE hosts SET version = version + 1 WHERE host_id = $1 RETURNING *")
        .bind(id)
        .fetch_optional(&mut *connection)
        .await?;
    let row = row.ok_or(Error::NotFound("host"))?;
    let hosts = complete::<DB>(connection, vec![host::<DB>(&row)?]).await?;
    hosts
        .into_iter()
        .next()
        .ok_or(Error::Defect("a host that is held is gone"))
}

/// Records since when a host is suspended, or that it is not.
pub(crate) async fn set_suspension<DB: Engine>(connection: &mut DB::Connection, host: &Host) -> Result<()> {
    sqlx::query("UPDATE hosts SET suspended_at = $2 WHERE host_id = $1")
        .bind(host.id)
        .bind(host.suspended_at.map(to_micros))
        .execute(connection)
        .await?;
    Ok(())
}

/// A page of hosts by name, of those accredited for `scope` at `moment` when it is given, and the next page's token.
///
/// The condition says what [`Host::is_accredited_for`] says: a page must be cut after it, not before.
pub(crate) async fn list<DB: Engine>(
    connection: &mut DB::Connection,
    page: &Page,
    scope: Option<HostingScope>,
    moment: Timestamp,
) -> Result<(Vec<Host>, String)> {
    let (name, id) = page.after.as_ref().map(read_key).transpose()?.unwrap_or_default();
    let rows = sqlx::query(
        "SELECT h.* FROM hosts AS h
         WHERE (h.name, h.host_id) > ($1, $2)
           AND (NOT $3 OR (h.suspended_at IS NULL AND EXISTS (
                SELECT 1 FROM accreditations AS a
                WHERE a.host_id = h.host_id AND a.withdrawn_at IS NULL AND a.valid_from <= $4 AND a.valid_until > $4
                  AND ((a.covers_dossier AND $5) OR (a.covers_messaging AND $6)))))
         ORDER BY h.name, h.host_id LIMIT $7",
    )
    .bind(name)
    .bind(id)
    .bind(scope.is_some())
    .bind(to_micros(moment))
    .bind(scope == Some(HostingScope::Dossier))
    .bind(scope == Some(HostingScope::Messaging))
    .bind(page.fetch_limit())
    .fetch_all(&mut *connection)
    .await?;
    let hosts = rows.iter().map(host::<DB>).collect::<Result<_>>()?;
    let (hosts, next) = page.cut(hosts, write_key);
    Ok((complete::<DB>(connection, hosts).await?, next))
}

/// The order is (name, id): the key's text holds the id, which has one length, and then the name.
fn write_key(host: &Host) -> Key {
    Key {
        number: 0,
        text: format!("{}{}", host.id.as_simple(), host.name),
    }
}

fn read_key(key: &Key) -> Result<(String, Uuid)> {
    let (id, name) = key
        .text
        .split_at_checked(uuid::fmt::Simple::LENGTH)
        .ok_or(Stored::PageToken)?;
    let id = Uuid::try_parse(id).map_err(|_| Stored::PageToken)?;
    Ok((name.to_owned(), id))
}

/// Gives hosts their accreditations.
async fn complete<DB: Engine>(connection: &mut DB::Connection, mut hosts: Vec<Host>) -> Result<Vec<Host>> {
    let ids: Vec<Uuid> = hosts.iter().map(|host| host.id).collect();
    let mut accreditations = accreditations::of_hosts::<DB>(connection, &ids).await?;
    for host in &mut hosts {
        host.accreditations = accreditations.remove(&host.id).unwrap_or_default();
    }
    Ok(hosts)
}

fn host<DB: Engine>(row: &DB::Row) -> Result<Host> {
    let structure: String = row.try_get("structure_id")?;
    let structure = StructureId::parse(&structure, Check::Lenient);
    let endpoint: Option<String> = row.try_get("endpoint")?;
    let endpoint = endpoint
        .map(|text| Endpoint::parse(&text).ok_or(Stored::Corrupt("hosts.endpoint")))
        .transpose();
    let suspended_at: Option<i64> = row.try_get("suspended_at")?;
    Ok(Host {
        id: row.try_get("host_id")?,
        name: row.try_get("name")?,
        structure: structure.map_err(|_| Stored::Corrupt("hosts.structure_id"))?,
        endpoint: endpoint?,
        accreditations: Vec::new(),
        suspended_at: suspended_at.map(from_micros).transpose()?,
        version: row.try_get("version")?,
    })
}
