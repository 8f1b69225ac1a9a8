//! Every SQL statement that changes whose a matricule is.

use api::identity::DmpId;
use sqlx::{QueryBuilder, Row};
use std::collections::HashSet;
use store::time::{Timestamp, to_micros};
use store::{Engine, shaped};

use crate::beneficiary::Enrolment;
use crate::error::Result;

/// `retirement` of the one matricule that a beneficiary has now; those it had before count from 1.
pub(crate) const CURRENT: i64 = 0;

/// Gives each matricule to the identifier drawn for it, unless it is somebody's; answers the identifiers that now hold
/// one. A matricule that a transaction in flight claims is waited for. Callers sort by matricule, lest two of them wait
/// for each other.
///
/// An identifier that is somebody's already gets nothing either: nobody has two current matricules.
pub(crate) async fn claim<DB: Engine>(
    connection: &mut DB::Connection,
    drawn: &[(DmpId, &Enrolment)],
    now: Timestamp,
) -> Result<HashSet<String>> {
    let mut claimed = HashSet::new();
    for rows in shaped(drawn) {
        let mut insert =
            QueryBuilder::<DB>::new("INSERT INTO matricules (oid, matricule, dmp_id, retirement, recorded_at) ");
        insert.push_values(rows, |mut row, (dmp_id, enrolment)| {
            row.push_bind(enrolment.ins.oid().as_str())
                .push_bind(enrolment.ins.as_str());
            row.push_bind(dmp_id.as_str())
                .push_bind(CURRENT)
                .push_bind(to_micros(now));
        });
        insert.push(" ON CONFLICT DO NOTHING RETURNING dmp_id");
        for row in insert.build().fetch_all(&mut *connection).await? {
            claimed.insert(row.try_get("dmp_id")?);
        }
    }
    Ok(claimed)
}
