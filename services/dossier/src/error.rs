//! What this service refuses, and what each refusal is for its caller.

use api::common::v1::Reason;
use api::consent::v1::Basis;
use api::dossier::v1::DossierState;
use serve::{Failure, Violations, reason_name};
use store::sealed::SealError;
use tonic::{Code, Status};

/// Shorthand of this crate.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// One thing wrong with a document. Neither part carries a value of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// For programs, as `UNKNOWN_TYPE_CODE`.
    pub(crate) detail: String,
    /// Where it stands, as `ClinicalDocument/code`; empty for the document as a whole.
    pub(crate) field: String,
}

impl Fault {
    pub(crate) fn new(detail: impl Into<String>, field: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            field: field.into(),
        }
    }
}

/// Why something was not done. No text here names anybody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Storage failed, or a request id or page token is not good.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The journal did not confirm.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A failure made elsewhere: fields of a request, another service.
    #[error(transparent)]
    Failure(Box<Failure>),
    /// The transport of a stream failed; serve gives it its reason.
    #[error("the stream failed")]
    Transport(Box<Status>),
    /// Stored content or a stored key does not open.
    #[error("stored content does not open")]
    Sealed(#[from] SealError),
    /// The dossier is absent or closed.
    #[error("the dossier is not open")]
    NotOpen(DossierState),
    /// There is a dossier already.
    #[error("this {0} exists already")]
    Exists(&'static str),
    /// There is none that the caller may see.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The document is not one this service takes.
    #[error("the document is not taken")]
    Document(Vec<Fault>),
    /// The document's patient is not the holder; the traits that differ, when the matricule is the holder's.
    #[error("the document's patient is not the dossier's holder")]
    WrongPatient(Vec<String>),
    /// The type is none the caller may deposit.
    #[error("the type of the document is not the caller's to deposit")]
    OutsideMatrix,
    /// What is replaced is not the caller's to replace, or was replaced already.
    #[error("what is replaced is not the caller's to replace")]
    Replacement(String),
    /// The stream's parts are not as announced.
    #[error("the stream is not as announced: {0}")]
    Stream(&'static str),
    /// Larger than taken here.
    #[error("larger than {limit} {unit}")]
    TooLarge { limit: u64, unit: &'static str },
    /// Too many bytes are being uploaded.
    #[error("too many bytes are being uploaded")]
    Overloaded { limit: usize },
    /// It rests on a document hidden from representatives: for the caller as it is, for the journal a secret.
    #[error(transparent)]
    Hidden(Box<Error>),
}

impl Error {
    /// The same, as one that rests on a document hidden from representatives when `hidden` says so.
    pub(crate) fn hidden_if(self, hidden: bool) -> Self {
        if hidden { Self::Hidden(Box::new(self)) } else { self }
    }

    /// Whether it rests on a document hidden from representatives.
    pub(crate) fn is_hidden(&self) -> bool {
        matches!(self, Self::Hidden(_))
    }

    /// The rule under which the refusal is journaled; `None` for what is no decision about this access but something
    /// that failed.
    pub(crate) fn basis(&self) -> Option<Basis> {
        let (rule, article) = match self {
            Self::Hidden(error) => return error.basis(),
            Self::Failure(failure) if failure.reason == Reason::AccessRefused => {
                let told = |key| failure.metadata.get(key).cloned().unwrap_or_default();
                (told("rule"), told("article"))
            }
            Self::OutsideMatrix => ("matrix".to_owned(), String::new()),
            error => (reason_name(error.decided()?).to_owned(), String::new()),
        };
        Some(Basis {
            rule,
            article,
            summary: self.to_string(),
        })
    }

    /// The reason, when it is a decision of this service.
    fn decided(&self) -> Option<Reason> {
        match self {
            Self::NotOpen(_) => Some(Reason::DossierNotOpen),
            Self::Exists(_) => Some(Reason::AlreadyExists),
            Self::NotFound(_) => Some(Reason::NotFound),
            Self::Document(_) => Some(Reason::DocumentInvalid),
            Self::WrongPatient(_) => Some(Reason::WrongPatient),
            Self::Replacement(_) => Some(Reason::ReplacementInvalid),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Transport(status) => *status,
            Error::Hidden(error) => Self::from(*error),
            error => Failure::from(error).into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Journal(error) => of_journal(error),
            Error::Failure(failure) => *failure,
            Error::Transport(_) => Self::internal("a stream's failure was taken for an answer"),
            Error::Sealed(_) => Self::internal("stored content does not open"),
            Error::NotOpen(state) => {
                let state = state.as_str_name().trim_start_matches("DOSSIER_STATE_");
                Self::precondition(Reason::DossierNotOpen, "the dossier is not open").with("state", state)
            }
            Error::Exists(resource) => Self::already_exists(resource),
            Error::NotFound(resource) => Self::not_found(resource),
            Error::Document(faults) => of_document(&faults),
            Error::WrongPatient(differing) => {
                let message = "the document's patient is not the dossier's holder";
                let failure = Self::precondition(Reason::WrongPatient, message);
                if differing.is_empty() {
                    failure
                } else {
                    failure.with("differing", differing.join(","))
                }
            }
            Error::OutsideMatrix => {
                let message = "the habilitation matrix does not give this type of document to the caller";
                Self::new(Code::PermissionDenied, Reason::AccessRefused, message)
                    .with("rule", "matrix")
                    .with("article", "R1111-46")
            }
            Error::Replacement(unique_id) => {
                let message = "what the document replaces is not the caller's to replace, or was replaced already";
                Self::precondition(Reason::ReplacementInvalid, message).with("unique_id", unique_id)
            }
            Error::Stream(detail) => {
                let message = "the stream ended early, or its parts are not as announced";
                Self::new(Code::InvalidArgument, Reason::StreamInvalid, message).with("detail", detail)
            }
            Error::TooLarge { limit, unit } => Self::too_large(limit, unit),
            Error::Overloaded { limit } => Self::overloaded(limit),
            Error::Hidden(error) => Self::from(*error),
        }
    }
}

fn of_document(faults: &[Fault]) -> Failure {
    let mut violations = Violations::default();
    for fault in faults {
        violations.add(
            fault.field.as_str(),
            fault.detail.as_str(),
            "see the rules for documents",
        );
    }
    let mut failure = Failure::from(violations);
    failure.reason = Reason::DocumentInvalid;
    failure.message = "the document is not one this service takes".to_owned();
    match faults.first() {
        Some(whole) if whole.field.is_empty() => failure.with("detail", whole.detail.as_str()),
        Some(first) => failure
            .with("detail", first.detail.as_str())
            .with("field", first.field.as_str()),
        None => failure,
    }
}

fn of_journal(error: journal::Error) -> Failure {
    use journal::Error as Journal;
    match error {
        Journal::Full { limit } => Failure::overloaded(limit),
        Journal::Unavailable | Journal::Refused(_) => Failure::journal_unavailable(),
        Journal::Store(error) => error.into(),
        Journal::NoSuchTree => Failure::invalid_field("tree_size", "NO_SUCH_TREE", "there is no such leaf or tree yet"),
        Journal::OutOfBounds(_) | Journal::EntryIdReused | Journal::NotStaged => {
            Failure::internal("the journal does not take our entry")
        }
    }
}
