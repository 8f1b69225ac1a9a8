//! A dossier's life: opened, closed by the holder at any time, kept ten years (L1111-14, L1111-18).

use api::dossier::v1 as pb;
use api::dossier::v1::{ClosureReason, DossierState};
use api::identity::DmpId;
use jiff::ToSpan;
use store::time::{Timestamp, to_proto};

use crate::error::{Error, Result};
use crate::visibility::later;

/// How a dossier was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closure {
    pub(crate) at: Timestamp,
    pub(crate) reason: ClosureReason,
    /// Until when it is kept.
    pub(crate) kept_until: Timestamp,
}

impl Closure {
    /// A closure at `at`; the dossier is kept that many calendar years from then.
    pub(crate) fn new(at: Timestamp, reason: ClosureReason, retention_years: u32) -> Self {
        Self {
            at,
            reason,
            kept_until: later(at, i64::from(retention_years).years()),
        }
    }
}

/// A dossier of this host.
#[derive(Debug, Clone)]
pub(crate) struct Dossier {
    pub(crate) dmp_id: DmpId,
    pub(crate) opened_at: Timestamp,
    pub(crate) closure: Option<Closure>,
    /// Changes with every change of the dossier itself.
    pub(crate) revision: i64,
    /// Its key, wrapped by the host's.
    pub(crate) key: Vec<u8>,
}

impl Dossier {
    /// Open or closed.
    pub(crate) fn state(&self) -> DossierState {
        if self.closure.is_none() {
            DossierState::Open
        } else {
            DossierState::Closed
        }
    }

    /// Whether it was open at a moment.
    pub(crate) fn is_open_at(&self, moment: Timestamp) -> bool {
        self.opened_at <= moment && self.closure.as_ref().is_none_or(|closure| moment < closure.at)
    }

    /// The dossier as closed.
    ///
    /// # Errors
    /// [`Error::NotOpen`] when it is closed already.
    pub(crate) fn closed(self, closure: Closure) -> Result<Self> {
        let open = require_open(Some(self))?;
        Ok(Self {
            closure: Some(closure),
            revision: open.revision + 1,
            ..open
        })
    }

    /// As the contract carries it, without a receipt.
    pub(crate) fn to_proto(&self, host_id: &str) -> pb::Dossier {
        let closure = self.closure.as_ref();
        pb::Dossier {
            dmp_id: self.dmp_id.as_str().to_owned(),
            state: self.state().into(),
            host_id: host_id.to_owned(),
            opened_at: Some(to_proto(self.opened_at)),
            closed_at: closure.map(|closure| to_proto(closure.at)),
            closure_reason: closure
                .map_or(ClosureReason::Unspecified, |closure| closure.reason)
                .into(),
            kept_until: closure.map(|closure| to_proto(closure.kept_until)),
            etag: self.revision.to_string(),
            receipt: None,
        }
    }
}

/// The dossier, when there is one and it is open.
///
/// # Errors
/// [`Error::NotOpen`].
pub(crate) fn require_open(dossier: Option<Dossier>) -> Result<Dossier> {
    match dossier {
        Some(dossier) if dossier.closure.is_none() => Ok(dossier),
        Some(_) => Err(Error::NotOpen(DossierState::Closed)),
        None => Err(Error::NotOpen(DossierState::Absent)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn dossier() -> Dossier {
        Dossier {
            dmp_id: DmpId::generate([1; 16]),
            opened_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            closure: None,
            revision: 1,
            key: Vec::new(),
        }
    }

    /// L1111-18: ten calendar years from closure; a leap day has its own anniversary.
    #[test]
    fn a_closed_dossier_is_kept_ten_calendar_years() {
        let kept = |at: &str| {
            Closure::new(at.parse().unwrap(), ClosureReason::HolderRequest, 10)
                .kept_until
                .to_string()
        };
        assert_eq!(kept("2026-03-02T08:00:00Z"), "2036-03-02T08:00:00Z");
        assert_eq!(kept("2024-02-29T12:00:00Z"), "2034-02-28T12:00:00Z");
    }

    #[test]
    fn a_dossier_is_closed_once() {
        let closure = Closure::new("2026-03-02T08:00:00Z".parse().unwrap(), ClosureReason::Death, 10);
        let closed = dossier().closed(closure.clone()).unwrap();
        assert_eq!((closed.state(), closed.revision), (DossierState::Closed, 2));
        assert!(matches!(
            closed.closed(closure),
            Err(Error::NotOpen(DossierState::Closed))
        ));
        assert!(matches!(require_open(None), Err(Error::NotOpen(DossierState::Absent))));
    }
}
