//! What is written of physicians' uses of dossiers.

use api::identity::DmpId;
use store::time::{Timestamp, to_micros};
use store::{NewRow, Value};
use uuid::Uuid;

/// The row of a use, to be written in the transaction of the journal entry `entry_id` which proves it.
pub(crate) fn row(physician_id: &str, dmp_id: &DmpId, occurred_at: Timestamp, entry_id: Uuid) -> NewRow {
    NewRow {
        columns: "duty_uses (physician_id, dmp_id, occurred_at, entry_id)",
        values: vec![
            Value::Text(physician_id.to_owned()),
            Value::Text(dmp_id.as_str().to_owned()),
            Value::Number(to_micros(occurred_at)),
            Value::Id(entry_id),
        ],
    }
}
