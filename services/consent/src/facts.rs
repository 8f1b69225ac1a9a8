//! Every SQL statement about facts and revisions.
//!
//! A write takes the dossier's revision first ([`advance`]); what it reads afterwards is what holds. A read gets facts
//! and revision from one statement, so that they agree.

use api::consent::v1 as pb;
use api::consent::v1::{OppositionKind, Purpose};
use api::identity::{Check, DmpId, ProfessionalId, StructureId};
use prost::Message;
use serve::Actor;
use sqlx::{QueryBuilder, Row};
use store::page::{Key, Page};
use store::time::{Timestamp, from_micros, to_micros};
use store::{Engine, Error, Result, padded};
use uuid::Uuid;

use crate::decision::Facts;
use crate::fact::{
    Authorization, Consent, End, Evidence, Fact, Grantee, Kind, Recorder, Representation, Representative, Secrets,
    TrustedPerson, What,
};
use crate::party::Party;

/// A statement that gives whole facts.
macro_rules! with_columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " fact_id, dmp_id, kind, subject, details, valid_until, recorded_at, recorded_by, revision_from, ",
            "revision_to, ended_at, secret ",
            $after
        )
    };
}

/// Advances the revision of a dossier and takes its row until the transaction ends: the total order of what is said
/// about one person. The first revision is 1.
pub(crate) async fn advance<DB: Engine>(connection: &mut DB::Connection, dmp_id: &DmpId) -> Result<i64> {
    let revision = sqlx::query_scalar(
        "INSERT INTO dossier_revisions (dmp_id, revision) VALUES ($1, 1)
         ON CONFLICT (dmp_id) DO UPDATE SET revision = dossier_revisions.revision + 1 RETURNING revision",
    )
    .bind(dmp_id.as_str())
    .fetch_one(connection)
    .await?;
    Ok(revision)
}

/// The subjects of all facts that can concern an actor, now or in the past. No fact has the empty subject.
fn subjects<'a>(actor: &'a Actor, representative: Option<&'a Representative>) -> [&'a str; 8] {
    [
        Purpose::Creation.as_str_name(),
        Purpose::OccupationalMedicine.as_str_name(),
        OppositionKind::BreakGlass.as_str_name(),
        OppositionKind::Centre15.as_str_name(),
        OppositionKind::SecretActs.as_str_name(),
        actor.professional.as_ref().map_or("", ProfessionalId::as_str),
        actor.structure.as_ref().map_or("", StructureId::as_str),
        representative.map_or("", Representative::as_str),
    ]
}

/// The live facts that can concern an actor, and the revision of which they are.
pub(crate) async fn of_actor<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    actor: &Actor,
) -> Result<Facts> {
    let facts = of_actors::<DB>(connection, &[(dmp_id, actor)]).await?;
    facts.into_iter().next().ok_or(CORRUPT)
}

/// The same for several actors, each about one dossier, in their order.
pub(crate) async fn of_actors<DB: Engine>(
    connection: &mut DB::Connection,
    asked: &[(&DmpId, &Actor)],
) -> Result<Vec<Facts>> {
    let mut found = vec![Facts::default(); asked.len()];
    let numbered: Vec<_> = (0_i64..).zip(asked).collect();
    for rows in padded(&numbered) {
        let mut select = QueryBuilder::<DB>::new(
            "SELECT v.column1 AS place, r.revision, f.fact_id, f.kind, f.subject, f.details, f.valid_until,
                    f.recorded_at, f.recorded_by, f.revision_from, f.secret FROM (",
        );
        select.push_values(rows, |mut row, asked| {
            let representative = asked.and_then(|(_, (_, actor))| Representative::of(actor));
            row.push_bind(asked.map(|(place, _)| *place));
            row.push_bind(asked.map(|(_, (dmp_id, _))| dmp_id.as_str().to_owned()));
            let subjects = asked.map(|(_, (_, actor))| subjects(actor, representative.as_ref()));
            for subject in subjects.unwrap_or_default() {
                row.push_bind(subject.to_owned());
            }
        });
        select.push(
            // LEFT JOIN, which is taken in the order written.
            ") AS v LEFT JOIN dossier_revisions r ON r.dmp_id = v.column2
             LEFT JOIN facts f ON f.dmp_id = v.column2 AND f.revision_to IS NULL
                 AND f.subject IN (v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9,
                                   v.column10)",
        );
        for row in select.build().fetch_all(&mut *connection).await? {
            // Nothing was ever said about the person, or it is nobody's row.
            let Some(revision) = row.try_get("revision")? else {
                continue;
            };
            let place = usize::try_from(row.try_get::<i64, _>("place")?).map_err(|_| CORRUPT)?;
            let (Some((dmp_id, _)), Some(facts)) = (asked.get(place), found.get_mut(place)) else {
                return Err(CORRUPT);
            };
            facts.revision = revision;
            // A dossier with a revision and no fact of interest gives one row without a fact.
            if row.try_get::<Option<Uuid>, _>("fact_id")?.is_some() {
                facts.live.push(of_dossier::<DB>(&row, DmpId::clone(dmp_id), None)?);
            }
        }
    }
    Ok(found)
}

/// The facts that could concern an actor when `revision` was the last one, as they were then: not yet ended. Secret
/// ones only where they are told.
pub(crate) async fn of_actor_at<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    actor: &Actor,
    revision: i64,
    secrets: Secrets,
) -> Result<Facts> {
    let representative = Representative::of(actor);
    let query = sqlx::query(with_columns!(
        "SELECT",
        "FROM facts WHERE dmp_id = $1 AND subject IN ($2, $3, $4, $5, $6, $7, $8, $9) AND revision_from <= $10
         AND (revision_to IS NULL OR revision_to > $10) AND ($11 OR NOT secret)"
    ))
    .bind(dmp_id.as_str());
    let subjects = subjects(actor, representative.as_ref());
    let query = subjects.into_iter().fold(query, |query, subject| query.bind(subject));
    let rows = query.bind(revision).bind(secrets.told()).fetch_all(connection).await?;
    let then = |row| {
        Ok(Fact {
            end: None,
            ..from_row::<DB>(row)?
        })
    };
    let live = rows.iter().map(then).collect::<Result<_>>()?;
    Ok(Facts { revision, live })
}

/// The last revision of a dossier; 0 when nothing was ever recorded.
pub(crate) async fn revision<DB: Engine>(connection: &mut DB::Connection, dmp_id: &DmpId) -> Result<i64> {
    let revisions = revisions::<DB>(connection, &[dmp_id]).await?;
    revisions.into_iter().next().ok_or(CORRUPT)
}

/// The same for several dossiers, in their order.
pub(crate) async fn revisions<DB: Engine>(connection: &mut DB::Connection, dossiers: &[&DmpId]) -> Result<Vec<i64>> {
    let mut found = vec![0; dossiers.len()];
    let numbered: Vec<_> = (0_i64..).zip(dossiers).collect();
    for rows in padded(&numbered) {
        let mut select = QueryBuilder::<DB>::new("SELECT v.column1 AS place, r.revision FROM (");
        select.push_values(rows, |mut row, dossier| {
            row.push_bind(dossier.map(|(place, _)| *place));
            row.push_bind(dossier.map(|(_, dmp_id)| dmp_id.as_str().to_owned()));
        });
        // LEFT JOIN, which is taken in the order written.
        select.push(") AS v LEFT JOIN dossier_revisions r ON r.dmp_id = v.column2");
        for row in select.build().fetch_all(&mut *connection).await? {
            // Nothing was ever said about the person, or it is nobody's row.
            let Some(revision) = row.try_get("revision")? else {
                continue;
            };
            let place = usize::try_from(row.try_get::<i64, _>("place")?).map_err(|_| CORRUPT)?;
            *found.get_mut(place).ok_or(CORRUPT)? = revision;
        }
    }
    Ok(found)
}

/// The last revision that a moment had seen, of those that are told. Each revision has brought or ended a fact, so facts
/// alone tell.
pub(crate) async fn revision_at<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    moment: Timestamp,
    secrets: Secrets,
) -> Result<i64> {
    let revision: Option<i64> = sqlx::query_scalar(
        "SELECT MAX(revision) FROM (
             SELECT revision_from AS revision FROM facts
             WHERE dmp_id = $1 AND recorded_at <= $2 AND ($3 OR NOT secret)
             UNION ALL SELECT revision_to FROM facts
             WHERE dmp_id = $1 AND ended_at <= $2 AND ($3 OR NOT secret)) AS said",
    )
    .bind(dmp_id.as_str())
    .bind(to_micros(moment))
    .bind(secrets.told())
    .fetch_one(connection)
    .await?;
    Ok(revision.unwrap_or(0))
}

/// When a revision was made, or the last one before it that is told; `None` where there is none.
pub(crate) async fn moment_of<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    revision: i64,
    secrets: Secrets,
) -> Result<Option<Timestamp>> {
    let moment: Option<i64> = sqlx::query_scalar(
        "SELECT moment FROM (
             SELECT revision_from AS revision, recorded_at AS moment FROM facts
             WHERE dmp_id = $1 AND revision_from <= $2 AND ($3 OR NOT secret)
             UNION ALL SELECT revision_to, ended_at FROM facts
             WHERE dmp_id = $1 AND revision_to <= $2 AND ($3 OR NOT secret)) AS said
         ORDER BY revision DESC LIMIT 1",
    )
    .bind(dmp_id.as_str())
    .bind(revision)
    .bind(secrets.told())
    .fetch_optional(connection)
    .await?;
    moment.map(from_micros).transpose()
}

/// One page of the parties that facts of `revision`, within their terms at `moment`, could let in: each once, by kind
/// and name, by secret facts only where they are told; and the next page's token.
pub(crate) async fn parties<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    revision: i64,
    moment: Timestamp,
    secrets: Secrets,
    page: &Page,
) -> Result<(Vec<Party>, String)> {
    let (after_place, after_name) = page
        .after
        .as_ref()
        .map_or((-1, ""), |key| (key.number, key.text.as_str()));
    let rows = sqlx::query(
        "SELECT place, subject FROM (
             SELECT DISTINCT CAST(CASE kind WHEN $5 THEN 1 WHEN $12 THEN 1 WHEN $6 THEN 2 ELSE 0 END AS BIGINT)
                    AS place, subject
             FROM facts WHERE dmp_id = $1 AND kind IN ($3, $4, $5, $6, $11, $12) AND revision_from <= $2
             AND (revision_to IS NULL OR revision_to > $2) AND (valid_until IS NULL OR valid_until > $7)
             AND ($13 OR NOT secret)) AS let_in
         WHERE (place, subject) > ($8, $9) ORDER BY place, subject LIMIT $10",
    )
    .bind(dmp_id.as_str())
    .bind(revision)
    .bind(Kind::ProfessionalAuthorization.name())
    .bind(Kind::TreatingPhysician.name())
    .bind(Kind::StructureAuthorization.name())
    .bind(Kind::Representation.name())
    .bind(to_micros(moment))
    .bind(after_place)
    .bind(after_name)
    .bind(page.fetch_limit())
    .bind(Kind::CareTeam.name())
    .bind(Kind::StructureCareTeam.name())
    .bind(secrets.told())
    .fetch_all(connection)
    .await?;
    let parties = rows.iter().map(party::<DB>).collect::<Result<Vec<_>>>()?;
    Ok(page.cut(parties, |party| Key {
        number: party.place(),
        text: party.name().to_owned(),
    }))
}

fn party<DB: Engine>(row: &DB::Row) -> Result<Party> {
    let (place, name): (i64, String) = (row.try_get("place")?, row.try_get("subject")?);
    Party::of(place, &name).ok_or(CORRUPT)
}

/// One fact, live or ended.
pub(crate) async fn find<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    id: Uuid,
) -> Result<Option<Fact>> {
    let row = sqlx::query(with_columns!("SELECT", "FROM facts WHERE dmp_id = $1 AND fact_id = $2"))
        .bind(dmp_id.as_str())
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(from_row::<DB>).transpose()
}

/// The live fact that says this kind of thing about this subject, openly or secretly; its term may be over.
pub(crate) async fn live<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    what: &What,
    secret: bool,
) -> Result<Option<Fact>> {
    let row = sqlx::query(with_columns!(
        "SELECT",
        "FROM facts WHERE dmp_id = $1 AND subject = $2 AND kind = $3 AND secret = $4 AND revision_to IS NULL"
    ))
    .bind(dmp_id.as_str())
    .bind(what.subject())
    .bind(what.kind().name())
    .bind(secret)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(from_row::<DB>).transpose()
}

/// At most `limit` live facts of a kind, oldest first; their terms may be over.
pub(crate) async fn live_of<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    kind: Kind,
    limit: i64,
) -> Result<Vec<Fact>> {
    let rows = sqlx::query(with_columns!(
        "SELECT",
        "FROM facts WHERE dmp_id = $1 AND kind = $2 AND revision_to IS NULL ORDER BY revision_from, fact_id LIMIT $3"
    ))
    .bind(dmp_id.as_str())
    .bind(kind.name())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(from_row::<DB>).collect()
}

/// Adds a fact.
pub(crate) async fn insert<DB: Engine>(connection: &mut DB::Connection, fact: &Fact) -> Result<()> {
    sqlx::query(
        "INSERT INTO facts (fact_id, dmp_id, kind, subject, details, valid_until, recorded_at, recorded_by,
                            revision_from, secret)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(fact.id)
    .bind(fact.dmp_id.as_str())
    .bind(fact.what.kind().name())
    .bind(fact.what.subject())
    .bind(details(&fact.what))
    .bind(fact.valid_until.map(to_micros))
    .bind(to_micros(fact.recorded_at))
    .bind(fact.recorded_by.as_str())
    .bind(fact.revision)
    .bind(fact.secret)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a live fact; `None` when it is not live.
pub(crate) async fn end<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    id: Uuid,
    end: &End,
    by: &Recorder,
) -> Result<Option<Fact>> {
    let row = sqlx::query(with_columns!(
        "UPDATE facts SET revision_to = $3, ended_at = $4, ended_by = $5
         WHERE dmp_id = $1 AND fact_id = $2 AND revision_to IS NULL RETURNING",
        ""
    ))
    .bind(dmp_id.as_str())
    .bind(id)
    .bind(end.revision)
    .bind(to_micros(end.at))
    .bind(by.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(from_row::<DB>).transpose()
}

/// Ends what lets professionals in, authorisations, designations, memberships and rights: of one professional, or of all, structures
/// included. Blocks and oppositions stay. Oldest first.
pub(crate) async fn end_grants<DB: Engine>(
    connection: &mut DB::Connection,
    dmp_id: &DmpId,
    of: Option<&ProfessionalId>,
    end: &End,
    by: &Recorder,
) -> Result<Vec<Fact>> {
    let rows = sqlx::query(with_columns!(
        "UPDATE facts SET revision_to = $3, ended_at = $4, ended_by = $5
         WHERE dmp_id = $1 AND ($2 = '' OR subject = $2) AND revision_to IS NULL
         AND kind IN ($6, $7, $8, $9, $10, $11) RETURNING",
        ""
    ))
    .bind(dmp_id.as_str())
    .bind(of.map_or("", ProfessionalId::as_str))
    .bind(end.revision)
    .bind(to_micros(end.at))
    .bind(by.as_str())
    .bind(Kind::ProfessionalAuthorization.name())
    .bind(Kind::StructureAuthorization.name())
    .bind(Kind::TreatingPhysician.name())
    .bind(Kind::CareTeam.name())
    .bind(Kind::StructureCareTeam.name())
    .bind(Kind::EqualRights.name())
    .fetch_all(connection)
    .await?;
    let mut ended = rows.iter().map(from_row::<DB>).collect::<Result<Vec<_>>>()?;
    ended.sort_by_key(|fact| fact.revision);
    Ok(ended)
}

/// Which facts a listing shows.
pub(crate) struct Listing<'a> {
    /// The dossier.
    pub(crate) dmp_id: &'a DmpId,
    /// Of these kinds, seven at the most.
    pub(crate) kinds: &'a [Kind],
    /// Those that no longer hold at `moment`, too.
    pub(crate) ended: bool,
    /// For which moment.
    pub(crate) moment: Timestamp,
    /// Whether secret ones are shown.
    pub(crate) secrets: Secrets,
}

/// One page of facts, newest first, and the next page's token.
pub(crate) async fn list<DB: Engine>(
    connection: &mut DB::Connection,
    listing: &Listing<'_>,
    page: &Page,
) -> Result<(Vec<Fact>, String)> {
    let kind = |place: usize| listing.kinds.get(place).map_or("", |kind| kind.name());
    let (revision, id) = match &page.after {
        None => (i64::MAX, Uuid::max()),
        Some(key) => (key.number, Uuid::parse_str(&key.text).map_err(|_| Error::PageToken)?),
    };
    let rows = sqlx::query(with_columns!(
        "SELECT",
        "FROM facts WHERE dmp_id = $1 AND (revision_from, fact_id) < ($2, $3) AND kind IN ($4, $5, $6, $7, $8, $9, $10)
         AND ($11 OR (revision_to IS NULL AND (valid_until IS NULL OR valid_until > $12))) AND ($14 OR NOT secret)
         ORDER BY revision_from DESC, fact_id DESC LIMIT $13"
    ))
    .bind(listing.dmp_id.as_str())
    .bind(revision)
    .bind(id)
    .bind(kind(0))
    .bind(kind(1))
    .bind(kind(2))
    .bind(kind(3))
    .bind(kind(4))
    .bind(kind(5))
    .bind(kind(6))
    .bind(listing.ended)
    .bind(to_micros(listing.moment))
    .bind(page.fetch_limit())
    .bind(listing.secrets.told())
    .fetch_all(connection)
    .await?;
    let facts = rows.iter().map(from_row::<DB>).collect::<Result<Vec<_>>>()?;
    Ok(page.cut(facts, |fact| Key {
        number: fact.revision,
        text: fact.id.to_string(),
    }))
}

/// At most `limit` live authorisations of professionals, of every dossier, after one of them in the order of dossiers.
/// Whom a person has authorised openly and secretly too is there once.
pub(crate) async fn population<DB: Engine>(
    connection: &mut DB::Connection,
    after: Option<(&DmpId, Uuid)>,
    moment: Timestamp,
    limit: i64,
) -> Result<Vec<Fact>> {
    let rows = sqlx::query(with_columns!(
        "SELECT",
        "FROM facts WHERE kind = $1 AND revision_to IS NULL AND (dmp_id, fact_id) > ($2, $3)
         AND (valid_until IS NULL OR valid_until > $4)
         AND NOT (secret AND EXISTS (
             SELECT 1 FROM facts AS openly WHERE openly.dmp_id = facts.dmp_id AND openly.subject = facts.subject
             AND openly.kind = $1 AND NOT openly.secret AND openly.revision_to IS NULL
             AND (openly.valid_until IS NULL OR openly.valid_until > $4)))
         ORDER BY dmp_id, fact_id LIMIT $5"
    ))
    .bind(Kind::ProfessionalAuthorization.name())
    .bind(after.map_or("", |(dmp_id, _)| dmp_id.as_str()))
    .bind(after.map_or(Uuid::nil(), |(_, id)| id))
    .bind(to_micros(moment))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(from_row::<DB>).collect()
}

/// What a fact says besides its subject, as the contract's message without what columns hold.
fn details(what: &What) -> Vec<u8> {
    match what {
        What::Consent(consent) => pb::Consent {
            giver: Some(pb::Giver {
                capacity: consent.capacity.into(),
                representation_id: consent.representation.map(|id| id.to_string()).unwrap_or_default(),
            }),
            mode: consent.mode.into(),
            evidence: Some(pb::Evidence {
                kind: consent.evidence.kind.clone(),
                sha256: consent.evidence.sha256.map(Vec::from).unwrap_or_default(),
            }),
            ..pb::Consent::default()
        }
        .encode_to_vec(),
        What::Representation(representation) => pb::Representation {
            capacity: representation.capacity.into(),
            ..pb::Representation::default()
        }
        .encode_to_vec(),
        What::Authorization(authorization) => pb::Authorization {
            profession: authorization.profession.clone().unwrap_or_default(),
            ..pb::Authorization::default()
        }
        .encode_to_vec(),
        What::TrustedPerson(TrustedPerson(sealed)) => sealed.clone(),
        What::CareTeam(_)
        | What::EqualRights(_)
        | What::Opposition(_)
        | What::Block(_)
        | What::TreatingPhysician(_) => Vec::new(),
    }
}

const CORRUPT: Error = Error::Corrupt("facts");

fn from_row<DB: Engine>(row: &DB::Row) -> Result<Fact> {
    let dmp_id: String = row.try_get("dmp_id")?;
    let (revision_to, ended_at): (Option<i64>, Option<i64>) = (row.try_get("revision_to")?, row.try_get("ended_at")?);
    let end = match (revision_to, ended_at) {
        (Some(revision), Some(at)) => Some(End {
            at: from_micros(at)?,
            revision,
        }),
        (None, None) => None,
        _ => return Err(CORRUPT),
    };
    of_dossier::<DB>(row, DmpId::parse(&dmp_id, Check::Lenient).map_err(|_| CORRUPT)?, end)
}

/// The fact of a row whose dossier and end are known.
fn of_dossier<DB: Engine>(row: &DB::Row, dmp_id: DmpId, end: Option<End>) -> Result<Fact> {
    let (kind, subject): (String, String) = (row.try_get("kind")?, row.try_get("subject")?);
    let details: Vec<u8> = row.try_get("details")?;
    let valid_until: Option<i64> = row.try_get("valid_until")?;
    Ok(Fact {
        id: row.try_get("fact_id")?,
        dmp_id,
        what: what(&kind, &subject, &details).ok_or(CORRUPT)?,
        recorded_at: from_micros(row.try_get("recorded_at")?)?,
        recorded_by: Recorder::stored(row.try_get("recorded_by")?),
        revision: row.try_get("revision_from")?,
        valid_until: valid_until.map(from_micros).transpose()?,
        end,
        secret: row.try_get("secret")?,
    })
}

fn what(kind: &str, subject: &str, details: &[u8]) -> Option<What> {
    let professional = || ProfessionalId::parse(subject, Check::Lenient).ok();
    Some(match Kind::parse(kind)? {
        Kind::Consent => What::Consent(consent(subject, details)?),
        Kind::Opposition => What::Opposition(OppositionKind::from_str_name(subject)?),
        Kind::Representation => What::Representation(Representation {
            representative: Representative::parse(subject)?,
            capacity: pb::Representation::decode(details).ok()?.capacity(),
        }),
        Kind::ProfessionalAuthorization => authorization(Grantee::Professional(professional()?), details)?,
        Kind::StructureAuthorization => {
            let structure = StructureId::parse(subject, Check::Lenient).ok()?;
            authorization(Grantee::Structure(structure), details)?
        }
        Kind::Block => What::Block(professional()?),
        Kind::TreatingPhysician => What::TreatingPhysician(professional()?),
        Kind::CareTeam => What::CareTeam(Grantee::Professional(professional()?)),
        Kind::StructureCareTeam => {
            What::CareTeam(Grantee::Structure(StructureId::parse(subject, Check::Lenient).ok()?))
        }
        Kind::EqualRights => What::EqualRights(professional()?),
        Kind::TrustedPerson => What::TrustedPerson(TrustedPerson(details.to_vec())),
    })
}

fn authorization(grantee: Grantee, details: &[u8]) -> Option<What> {
    let profession = pb::Authorization::decode(details).ok()?.profession;
    Some(What::Authorization(Authorization {
        grantee,
        profession: (!profession.is_empty()).then_some(profession),
    }))
}

fn consent(subject: &str, details: &[u8]) -> Option<Consent> {
    let details = pb::Consent::decode(details).ok()?;
    let mode = details.mode();
    let (giver, evidence) = (details.giver?, details.evidence?);
    let representation = match giver.representation_id.as_str() {
        "" => None,
        id => Some(Uuid::parse_str(id).ok()?),
    };
    let sha256 = match evidence.sha256.as_slice() {
        [] => None,
        digest => Some(<[u8; 32]>::try_from(digest).ok()?),
    };
    Some(Consent {
        purpose: Purpose::from_str_name(subject)?,
        capacity: giver.capacity(),
        representation,
        mode,
        evidence: Evidence {
            kind: evidence.kind,
            sha256,
        },
    })
}
