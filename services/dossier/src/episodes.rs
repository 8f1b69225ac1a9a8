//! Every SQL statement about care episodes and how they stand with the duty.

use api::identity::{Check, DmpId, ProfessionalId};
use sqlx::Row;
use store::page::{Key, Page};
use store::time::{from_micros, to_micros};
use store::{Engine, Error as Stored};
use uuid::Uuid;

use crate::duty::{CareEpisode, Fulfilment, Period, Tally};
use crate::error::Result;

/// Writes an episode; false when it was known: the same physician, dossier and start.
pub(crate) async fn insert<DB: Engine>(connection: &mut DB::Connection, episode: &CareEpisode) -> Result<bool> {
    let written = sqlx::query(
        "INSERT INTO care_episodes (physician_id, started_at, dmp_id, ended_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING RETURNING dmp_id",
    )
    .bind(episode.physician.as_str())
    .bind(to_micros(episode.started_at))
    .bind(episode.dmp_id.as_str())
    .bind(to_micros(episode.ended_at))
    .fetch_optional(connection)
    .await?;
    Ok(written.is_some())
}

/// Counts the episodes of a period. The dossier counts as there when it was open at some moment of the episode.
pub(crate) async fn tally<DB: Engine>(
    connection: &mut DB::Connection,
    physician: &ProfessionalId,
    period: Period,
) -> Result<Tally> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS episodes, COUNT(CASE WHEN e.met THEN 1 END) AS met,
                COUNT(CASE WHEN NOT e.met AND NOT e.had_dossier THEN 1 END) AS without_dossier
         FROM (SELECT EXISTS (SELECT 1 FROM duty_uses u WHERE u.physician_id = c.physician_id AND u.dmp_id = c.dmp_id
                   AND u.occurred_at >= c.started_at AND u.occurred_at < c.ended_at) AS met,
               EXISTS (SELECT 1 FROM dossiers d WHERE d.dmp_id = c.dmp_id AND d.opened_at < c.ended_at
                   AND (d.closed_at IS NULL OR d.closed_at > c.started_at)) AS had_dossier
               FROM care_episodes c WHERE c.physician_id = $1 AND c.started_at >= $2 AND c.started_at < $3) AS e",
    )
    .bind(physician.as_str())
    .bind(to_micros(period.from))
    .bind(to_micros(period.to))
    .fetch_one(connection)
    .await?;
    Ok(Tally {
        episodes: row.try_get("episodes")?,
        met: row.try_get("met")?,
        without_dossier: row.try_get("without_dossier")?,
    })
}

/// A page of the episodes of a period, oldest first, each with how it stands.
pub(crate) async fn list<DB: Engine>(
    connection: &mut DB::Connection,
    physician: &ProfessionalId,
    period: Period,
    page: &Page,
) -> Result<(Vec<(CareEpisode, Fulfilment)>, String)> {
    let (started_at, dmp_id) = match &page.after {
        Some(after) => (after.number, after.text.as_str()),
        None => (to_micros(period.from), ""),
    };
    let rows = sqlx::query(
        "SELECT c.physician_id AS physician_id, c.started_at AS started_at, c.dmp_id AS dmp_id, c.ended_at AS ended_at,
                (SELECT u.entry_id FROM duty_uses u WHERE u.physician_id = c.physician_id AND u.dmp_id = c.dmp_id
                    AND u.occurred_at >= c.started_at AND u.occurred_at < c.ended_at
                 ORDER BY u.occurred_at, u.entry_id LIMIT 1) AS entry_id,
                EXISTS (SELECT 1 FROM dossiers d WHERE d.dmp_id = c.dmp_id AND d.opened_at < c.ended_at
                    AND (d.closed_at IS NULL OR d.closed_at > c.started_at)) AS had_dossier
         FROM care_episodes c
         WHERE c.physician_id = $1 AND c.started_at < $2 AND (c.started_at, c.dmp_id) > ($3, $4)
         ORDER BY c.started_at, c.dmp_id LIMIT $5",
    )
    .bind(physician.as_str())
    .bind(to_micros(period.to))
    .bind(started_at)
    .bind(dmp_id)
    .bind(page.fetch_limit())
    .fetch_all(connection)
    .await?;
    let episodes = rows.iter().map(from_row::<DB>).collect::<Result<Vec<_>>>()?;
    Ok(page.cut(episodes, |(episode, _)| Key {
        number: to_micros(episode.started_at),
        text: episode.dmp_id.as_str().to_owned(),
    }))
}

fn from_row<DB: Engine>(row: &DB::Row) -> Result<(CareEpisode, Fulfilment)> {
    let (physician, dmp_id): (String, String) = (row.try_get("physician_id")?, row.try_get("dmp_id")?);
    let physician = ProfessionalId::parse(&physician, Check::Lenient);
    let episode = CareEpisode {
        physician: physician.map_err(|_| Stored::Corrupt("care_episodes.physician_id"))?,
        dmp_id: DmpId::parse(&dmp_id, Check::Lenient).map_err(|_| Stored::Corrupt("care_episodes.dmp_id"))?,
        started_at: from_micros(row.try_get("started_at")?)?,
        ended_at: from_micros(row.try_get("ended_at")?)?,
    };
    let (entry_id, had_dossier): (Option<Uuid>, bool) = (row.try_get("entry_id")?, row.try_get("had_dossier")?);
    let fulfilment = match entry_id {
        Some(entry_id) => Fulfilment::Met(entry_id),
        None if had_dossier => Fulfilment::Unmet,
        None => Fulfilment::WithoutDossier,
    };
    Ok((episode, fulfilment))
}
