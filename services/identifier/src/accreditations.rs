//! Every SQL statement about accreditations.

use sqlx::{QueryBuilder, Row};
use std::collections::HashMap;
use store::time::{Timestamp, from_micros, to_micros};
use store::{Engine, push_list, shaped};
use uuid::Uuid;

use crate::accreditation::{Accreditation, Scopes};
use crate::error::Result;

/// Writes a new accreditation; `sequence` is the host's version, which orders them.
pub(crate) async fn insert<DB: Engine>(
    connection: &mut DB::Connection,
    host_id: Uuid,
    sequence: i64,
    accreditation: &Accreditation,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO accreditations (accreditation_id, host_id, sequence, covers_dossier, covers_messaging,
         valid_from, valid_until, decision_reference, withdrawn_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)",
    )
    .bind(accreditation.id)
    .bind(host_id)
    .bind(sequence)
    .bind(accreditation.scopes.dossier)
    .bind(accreditation.scopes.messaging)
    .bind(to_micros(accreditation.valid_from))
    .bind(to_micros(accreditation.valid_until))
    .bind(accreditation.decision_reference.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Records a withdrawal.
pub(crate) async fn withdraw<DB: Engine>(connection: &mut DB::Connection, id: Uuid, at: Timestamp) -> Result<()> {
    sqlx::query("UPDATE accreditations SET withdrawn_at = $2 WHERE accreditation_id = $1")
        .bind(id)
        .bind(to_micros(at))
        .execute(connection)
        .await?;
    Ok(())
}

/// The accreditations of these hosts, newest first; a host without one is left out.
pub(crate) async fn of_hosts<DB: Engine>(
    connection: &mut DB::Connection,
    hosts: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Accreditation>>> {
    let mut found: HashMap<Uuid, Vec<Accreditation>> = HashMap::new();
    for part in shaped(hosts) {
        let mut select = QueryBuilder::<DB>::new("SELECT * FROM accreditations WHERE host_id IN ");
        push_list(&mut select, part.iter().copied());
        select.push(" ORDER BY host_id, sequence DESC");
        for row in select.build().fetch_all(&mut *connection).await? {
            found
                .entry(row.try_get("host_id")?)
                .or_default()
                .push(accreditation::<DB>(&row)?);
        }
    }
    Ok(found)
}

fn accreditation<DB: Engine>(row: &DB::Row) -> Result<Accreditation> {
    let withdrawn_at: Option<i64> = row.try_get("withdrawn_at")?;
    Ok(Accreditation {
        id: row.try_get("accreditation_id")?,
        scopes: Scopes {
            dossier: row.try_get("covers_dossier")?,
            messaging: row.try_get("covers_messaging")?,
        },
        valid_from: from_micros(row.try_get("valid_from")?)?,
        valid_until: from_micros(row.try_get("valid_until")?)?,
        decision_reference: row.try_get("decision_reference")?,
        withdrawn_at: withdrawn_at.map(from_micros).transpose()?,
    })
}
