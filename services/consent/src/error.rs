//! What can go wrong here, and what the caller is told.

use api::common::v1::Reason;
use serve::Failure;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::decision::Basis;

/// Shorthand of this crate.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of this service. Their texts name nobody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The call itself is wrong, or its caller's role.
    #[error(transparent)]
    Call(#[from] Failure),
    /// A rule of law refused.
    #[error("refused by rule {}", .0.rule)]
    Refused(Basis),
    /// A fact that says so holds already; `id` only for those who may know it.
    #[error("this {resource} exists already")]
    AlreadyExists {
        /// What kind of thing.
        resource: &'static str,
        /// Which.
        id: Option<Uuid>,
    },
    /// Absent, or not the caller's.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// It has ended already.
    #[error("it is no longer live: {0}")]
    NotLive(&'static str),
    /// A finding stands, and is never changed.
    #[error("it was looked at before")]
    Reviewed,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Call(failure) => failure,
            Error::Refused(basis) => Self::new(Code::PermissionDenied, Reason::AccessRefused, basis.summary)
                .with("rule", basis.rule)
                .with("article", basis.article),
            Error::AlreadyExists { resource, id } => {
                let failure = Self::already_exists(resource);
                match id {
                    Some(id) => failure.with("existing", id.to_string()),
                    None => failure,
                }
            }
            Error::NotFound(resource) => Self::not_found(resource),
            Error::Reviewed => {
                Self::precondition(Reason::StateConflict, "it was looked at before").with("state", "REVIEWED")
            }
            Error::NotLive(state) => {
                Self::precondition(Reason::StateConflict, "it has already ended").with("state", state)
            }
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}
