//! Every SQL statement that reads or writes beneficiaries.

use api::identity::{BirthDate, Check, DmpId, Ins, InsOid};
use sqlx::{QueryBuilder, Row};
use std::collections::HashMap;
use store::time::{from_micros, to_micros};
use store::{Engine, Error as Stored, Result, padded, shaped};

use crate::beneficiary::{Beneficiary, Known, status_code, status_of};
use crate::matricules::CURRENT;
use crate::strict_traits::{BirthPlace, Name, Sex, StrictTraits};

/// A beneficiary `b` with its current matricule `c`.
const COLUMNS: &str = "b.dmp_id AS dmp_id, b.family_name AS family_name, b.given_names AS given_names,
    b.birth_date AS birth_date, b.sex AS sex, b.birth_place AS birth_place, b.identity_status AS identity_status,
    b.version AS version, b.created_at AS created_at, c.oid AS oid, c.matricule AS matricule";

/// Writes new beneficiaries; answers how many. Fewer than given when an identifier is somebody's already.
pub(crate) async fn insert<DB: Engine>(connection: &mut DB::Connection, new: &[Beneficiary]) -> Result<usize> {
    let mut written = 0;
    for rows in shaped(new) {
        let mut insert = QueryBuilder::<DB>::new(
            "INSERT INTO beneficiaries (dmp_id, family_name, given_names, birth_date, sex, birth_place,
             identity_status, version, created_at, updated_at) ",
        );
        insert.push_values(rows, |mut row, beneficiary| {
            let traits = &beneficiary.traits;
            row.push_bind(beneficiary.dmp_id.as_str())
                .push_bind(traits.birth_family_name.as_str());
            row.push_bind(traits.birth_given_names.as_str())
                .push_bind(traits.birth_date.to_yyyymmdd());
            row.push_bind(traits.sex.code());
            row.push_bind(traits.birth_place.as_ref().map(|place| place.as_str().to_owned()));
            row.push_bind(status_code(beneficiary.status))
                .push_bind(beneficiary.version);
            row.push_bind(to_micros(beneficiary.created_at))
                .push_bind(to_micros(beneficiary.created_at));
        });
        insert.push(" ON CONFLICT DO NOTHING RETURNING dmp_id");
        written += insert.build().fetch_all(&mut *connection).await?.len();
    }
    Ok(written)
}

/// The beneficiary of an identifier.
pub(crate) async fn get<DB: Engine>(connection: &mut DB::Connection, dmp_id: &DmpId) -> Result<Option<Beneficiary>> {
    let mut select = QueryBuilder::<DB>::new("SELECT ");
    select
        .push(COLUMNS)
        .push(" FROM beneficiaries AS b JOIN matricules AS c ON c.dmp_id = b.dmp_id AND c.retirement = ");
    select
        .push_bind(CURRENT)
        .push(" WHERE b.dmp_id = ")
        .push_bind(dmp_id.as_str());
    let row = select.build().fetch_optional(connection).await?;
    row.as_ref().map(beneficiary::<DB>).transpose()
}

/// Whether an identifier is somebody's.
pub(crate) async fn exists<DB: Engine>(connection: &mut DB::Connection, dmp_id: &DmpId) -> Result<bool> {
    let row = sqlx::query("SELECT dmp_id FROM beneficiaries WHERE dmp_id = $1").bind(dmp_id.as_str());
    Ok(row.fetch_optional(connection).await?.is_some())
}

/// Those of the matricules that are or were somebody's.
pub(crate) async fn by_matricules<DB: Engine>(
    connection: &mut DB::Connection,
    asked: &[&Ins],
) -> Result<HashMap<Ins, Known>> {
    let mut found = HashMap::with_capacity(asked.len());
    for rows in padded(asked) {
        let mut select = QueryBuilder::<DB>::new(
            "SELECT m.oid AS asked_oid, m.matricule AS asked_matricule, m.retirement AS asked_retirement, ",
        );
        select.push(COLUMNS).push(" FROM (").push_values(rows, |mut row, ins| {
            row.push_bind(ins.map(|ins| ins.oid().as_str().to_owned()));
            row.push_bind(ins.map(|ins| ins.as_str().to_owned()));
        });
        // LEFT JOINs, which both engines take in the order written, and a plus that keeps `retirement` from choosing the
        // index: left to themselves they may read the whole population.
        select.push(
            ") AS v LEFT JOIN matricules AS m ON m.oid = v.column1 AND m.matricule = v.column2
             LEFT JOIN beneficiaries AS b ON b.dmp_id = m.dmp_id
             LEFT JOIN matricules AS c ON c.dmp_id = m.dmp_id AND +c.retirement = ",
        );
        select.push_bind(CURRENT);
        for row in select.build().fetch_all(&mut *connection).await? {
            let Some(oid) = row.try_get("asked_oid")? else { continue };
            let asked = matricule(oid, row.try_get("asked_matricule")?)?;
            let retirement: i64 = row.try_get("asked_retirement")?;
            let known = Known {
                beneficiary: beneficiary::<DB>(&row)?,
                retired_matricule: retirement != CURRENT,
            };
            found.insert(asked, known);
        }
    }
    Ok(found)
}

/// Stored identifiers are read leniently: the setting under which they were taken may have changed since.
fn matricule(oid: String, matricule: String) -> Result<Ins> {
    let oid = InsOid::parse(&oid).map_err(|_| Stored::Corrupt("matricules.oid"))?;
    let ins = Ins::parse(&matricule, oid, Check::Lenient).map_err(|_| Stored::Corrupt("matricules.matricule"))?;
    Ok(ins)
}

fn beneficiary<DB: Engine>(row: &DB::Row) -> Result<Beneficiary> {
    let text = |column: &'static str| row.try_get::<String, _>(column);
    let dmp_id = DmpId::parse(&text("dmp_id")?, Check::Lenient).map_err(|_| Stored::Corrupt("beneficiaries.dmp_id"))?;
    let status = status_of(&text("identity_status")?).ok_or(Stored::Corrupt("beneficiaries.identity_status"))?;
    Ok(Beneficiary {
        dmp_id,
        ins: matricule(text("oid")?, text("matricule")?)?,
        traits: traits::<DB>(row)?,
        status,
        version: row.try_get("version")?,
        created_at: from_micros(row.try_get("created_at")?)?,
    })
}

fn traits<DB: Engine>(row: &DB::Row) -> Result<StrictTraits> {
    let text = |column: &'static str| row.try_get::<String, _>(column);
    let name = |text: String| Name::parse(&text).map_err(|_| Stored::Corrupt("a name of beneficiaries"));
    let date = BirthDate::parse(&text("birth_date")?).map_err(|_| Stored::Corrupt("beneficiaries.birth_date"))?;
    let sex_code = text("sex")?;
    let sex = Sex::ALL.into_iter().find(|sex| sex.code() == sex_code);
    let place: Option<String> = row.try_get("birth_place")?;
    let place = place.map(|code| BirthPlace::parse(&code)).transpose();
    Ok(StrictTraits {
        birth_family_name: name(text("family_name")?)?,
        birth_given_names: name(text("given_names")?)?,
        birth_date: date,
        sex: sex.ok_or(Stored::Corrupt("beneficiaries.sex"))?,
        birth_place: place.map_err(|_| Stored::Corrupt("beneficiaries.birth_place"))?,
    })
}
