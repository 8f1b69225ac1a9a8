//! Where a beneficiary's single dossier lives (CSP L1111-14, fifth sentence).

use api::identity::DmpId;
use store::time::Timestamp;
use uuid::Uuid;

use crate::error::{Error, Result};

/// A dossier's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) dmp_id: DmpId,
    pub(crate) host_id: Uuid,
    pub(crate) placed_at: Timestamp,
}

impl Placement {
    /// What asking for a place at `host` comes to when the dossier has one: the same, or a refusal.
    pub(crate) fn asked_at(self, host: Uuid) -> Result<Self> {
        if self.host_id != host {
            return Err(Error::PlacedElsewhere(self.host_id));
        }
        Ok(self)
    }
}
