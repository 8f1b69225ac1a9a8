//! A person who has an identifier, and what becomes of an enrolment.

use api::identity::{DmpId, Ins, InsStatus};
use store::time::Timestamp;

use crate::strict_traits::StrictTraits;

/// A person who has an identifier.
#[derive(Debug, Clone)]
pub(crate) struct Beneficiary {
    pub(crate) dmp_id: DmpId,
    /// The current matricule.
    pub(crate) ins: Ins,
    pub(crate) traits: StrictTraits,
    pub(crate) status: InsStatus,
    /// From 1, one more with every change.
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
}

impl Beneficiary {
    /// Changes with every change of the beneficiary, and says nothing else.
    pub(crate) fn etag(&self) -> String {
        format!("{:x}", self.version)
    }
}

/// Somebody to whom an identifier is to be given.
#[derive(Debug, Clone)]
pub(crate) struct Enrolment {
    pub(crate) ins: Ins,
    pub(crate) traits: StrictTraits,
    pub(crate) status: InsStatus,
}

/// What became of an enrolment.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// A new identifier.
    Enrolled(Beneficiary),
    /// The matricule has one, with the same traits.
    AlreadyEnrolled(DmpId),
    /// The matricule has one, with other traits: nothing was changed.
    Conflict(DmpId),
}

/// A beneficiary found by a matricule.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) beneficiary: Beneficiary,
    /// Whether the matricule is one that the beneficiary had before.
    pub(crate) retired_matricule: bool,
}

impl Known {
    /// What an enrolment under this matricule comes to. Another status is no other person: it is left as it is.
    pub(crate) fn outcome_of(&self, enrolment: &Enrolment) -> Outcome {
        let dmp_id = self.beneficiary.dmp_id.clone();
        match self.beneficiary.traits.are_same_as(&enrolment.traits) {
            true => Outcome::AlreadyEnrolled(dmp_id),
            false => Outcome::Conflict(dmp_id),
        }
    }
}

/// A status as stored.
pub(crate) const fn status_code(status: InsStatus) -> &'static str {
    match status {
        InsStatus::Provisional => "PROVISIONAL",
        InsStatus::Retrieved => "RETRIEVED",
        InsStatus::Validated => "VALIDATED",
        InsStatus::Qualified => "QUALIFIED",
    }
}

/// A status as it was stored.
pub(crate) fn status_of(code: &str) -> Option<InsStatus> {
    let all = [
        InsStatus::Provisional,
        InsStatus::Retrieved,
        InsStatus::Validated,
        InsStatus::Qualified,
    ];
    all.into_iter().find(|status| status_code(*status) == code)
}
