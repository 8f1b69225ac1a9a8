//! What can go wrong here, and what the caller is told of it. No text repeats an address, a subject or a name.

use api::common::v1::Reason;
use serve::Failure;

/// Official code of the routing errors that have none of their own (codes 900 to 906 of the volet "transmission de
/// document CDA par courriel MSSanté").
const MSS_OTHER: (&str, &str) = ("906", "Autre erreur");

/// Errors of the service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error(transparent)]
    Sealed(#[from] store::sealed::SealError),
    /// Absent, or not the caller's.
    #[error("no such {0}")]
    NotFound(&'static str),
    #[error("the address is taken")]
    AddressTaken,
    #[error("the domain is not on the white list")]
    DomainNotAllowed,
    #[error("the owner has {limit} open mailboxes already")]
    TooManyMailboxes { limit: usize },
    #[error("the mailbox is closed already")]
    ClosedAlready,
    /// The sender's own mailbox is closed.
    #[error("a closed mailbox sends nothing")]
    SenderClosed,
    /// A recipient cannot be delivered to.
    #[error("a recipient's mailbox takes nothing")]
    RecipientUnavailable(Unavailable),
    /// A recipient is a patient.
    #[error("messages to patients are not routed")]
    PatientRecipient {
        /// Its index in the request.
        recipient: usize,
    },
    #[error("what was never retrieved cannot have been read")]
    NotRetrieved,
}

/// Which recipient takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unavailable {
    /// Its index in the request.
    pub(crate) recipient: usize,
    /// Whether there is such an address at all.
    pub(crate) known: bool,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Store(error) => error.into(),
            Error::Journal(error) => of_journal(error),
            Error::Sealed(_) => Self::internal("sealed content does not open"),
            Error::NotFound(resource) => Self::not_found(resource),
            Error::AddressTaken => Self::already_exists("mailbox"),
            Error::DomainNotAllowed => {
                Self::precondition(Reason::StateConflict, message).with("state", "DOMAIN_NOT_ALLOWED")
            }
            Error::TooManyMailboxes { limit } => Self::too_large(limit as u64, "mailboxes"),
            Error::ClosedAlready => Self::precondition(Reason::StateConflict, message).with("state", "CLOSED"),
            Error::SenderClosed => Self::precondition(Reason::MailboxUnavailable, message).with("state", "CLOSED"),
            Error::RecipientUnavailable(Unavailable { recipient, known }) => {
                let state = if known { "CLOSED" } else { "UNKNOWN" };
                Self::precondition(Reason::MailboxUnavailable, message)
                    .with("state", state)
                    .with("recipient", recipient.to_string())
            }
            Error::PatientRecipient { recipient } => {
                let (code, label) = MSS_OTHER;
                Self::precondition(Reason::RoutingForbidden, message)
                    .with("mss_code", code)
                    .with("label", label)
                    .with("recipient", recipient.to_string())
            }
            Error::NotRetrieved => Self::precondition(Reason::StateConflict, message).with("state", "NOT_RETRIEVED"),
        }
    }
}

fn of_journal(error: journal::Error) -> Failure {
    match error {
        journal::Error::Full { limit } => Failure::overloaded(limit),
        journal::Error::Unavailable => Failure::journal_unavailable(),
        journal::Error::Store(error) => error.into(),
        other => {
            tracing::error!(error = %other, "the journal does not take an entry");
            Failure::internal("the journal does not take an entry")
        }
    }
}
