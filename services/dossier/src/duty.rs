//! The physicians' duty to consult or update the dossier of whom they take care of (L1111-14, sixth sentence).

use api::dossier::v1 as pb;
use api::identity::{DmpId, ProfessionalId};
use store::time::{Timestamp, to_proto};
use uuid::Uuid;

/// A physician took care of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CareEpisode {
    pub(crate) physician: ProfessionalId,
    pub(crate) dmp_id: DmpId,
    pub(crate) started_at: Timestamp,
    /// Exclusive; after `started_at`.
    pub(crate) ended_at: Timestamp,
}

/// How an episode stands with the duty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fulfilment {
    /// The physician consulted or updated the dossier while it lasted, as this journal entry proves.
    Met(Uuid),
    /// There was no dossier to consult while it lasted: nothing can be asked.
    WithoutDossier,
    /// There was one, and the physician did neither.
    Unmet,
}

/// The moments at which the episodes looked at start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) from: Timestamp,
    /// Exclusive.
    pub(crate) to: Timestamp,
}

/// How many episodes of a period stand how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) episodes: i64,
    pub(crate) met: i64,
    pub(crate) without_dossier: i64,
}

impl CareEpisode {
    pub(crate) fn to_proto(&self) -> pb::CareEpisode {
        pb::CareEpisode {
            physician_id: self.physician.as_str().to_owned(),
            dmp_id: self.dmp_id.as_str().to_owned(),
            started_at: Some(to_proto(self.started_at)),
            ended_at: Some(to_proto(self.ended_at)),
        }
    }
}

/// Whether the duty binds: only once every territory is covered (seventh sentence).
pub(crate) fn force(uncovered_territories: i64) -> pb::DutyForce {
    if uncovered_territories == 0 {
        pb::DutyForce::InForce
    } else {
        pb::DutyForce::NotYetInForce
    }
}
