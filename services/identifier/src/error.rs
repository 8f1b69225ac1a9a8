//! What this service refuses, and what each refusal is for its caller.

use api::common::v1::Reason;
use api::identity::DmpId;
use serve::Failure;
use uuid::Uuid;

/// Shorthand of this crate.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done. Neither text carries a trait or a matricule.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Storage failed, or a request id or page token is not good.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// There is none; the kind of what was looked for.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The matricule has an identifier.
    #[error("the matricule has an identifier")]
    BeneficiaryExists(DmpId),
    /// The structure is registered as a host.
    #[error("the structure is registered as a host")]
    HostExists(Uuid),
    /// Each identifier drawn was somebody's: chance does not do that.
    #[error("every identifier drawn was taken")]
    IdentifiersTaken,
    /// The host is not accredited for this at this moment.
    #[error("the host is not accredited")]
    HostNotAccredited(Uuid),
    /// The dossier is placed at the host named.
    #[error("the dossier is placed elsewhere")]
    PlacedElsewhere(Uuid),
    /// The state, by its name, forbids it.
    #[error("the state is {0}")]
    State(&'static str),
    /// What cannot be came about: a defect of ours.
    #[error("{0}")]
    Defect(&'static str),
    /// A host has as many accreditations as it may.
    #[error("the host has {limit} accreditations")]
    AccreditationsFull {
        /// How many it may have.
        limit: usize,
    },
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::NotFound(resource) => Self::not_found(resource),
            Error::BeneficiaryExists(dmp_id) => Self::already_exists("beneficiary").with("dmp_id", dmp_id.as_str()),
            Error::HostExists(host_id) => Self::already_exists("host").with("host_id", host_id.to_string()),
            Error::IdentifiersTaken => Self::internal("every identifier drawn was taken"),
            Error::Defect(what) => Self::internal(what),
            Error::HostNotAccredited(host_id) => {
                let message = "the host is not accredited for dossiers at this moment (L1111-8)";
                Self::precondition(Reason::HostNotAccredited, message).with("host_id", host_id.to_string())
            }
            Error::PlacedElsewhere(host_id) => {
                let message = "the dossier is placed at another host";
                Self::precondition(Reason::PlacedElsewhere, message).with("host_id", host_id.to_string())
            }
            Error::State(state) => {
                Self::precondition(Reason::StateConflict, format!("it is {state} already")).with("state", state)
            }
            Error::AccreditationsFull { limit } => Self::too_large(limit as u64, "accreditations"),
        }
    }
}
