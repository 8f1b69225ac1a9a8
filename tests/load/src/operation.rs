//! What is called, and how a call ends.

use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};
use std::fmt;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// ResolveIdentifier: from a matricule to an identifier.
    Resolve,
    /// Authorize: may this physician read this dossier.
    Authorize,
    /// SubmitDocument, in chunks.
    Submit,
    /// ListDocuments.
    List,
    /// ReadDocument, to its last byte.
    Read,
    /// SendMessage.
    Send,
    /// GetMessage, as a recipient.
    Retrieve,
    /// WatchMailbox, until its first answer.
    Watch,
    /// RecordConsent.
    Consent,
    /// WithdrawConsent.
    Withdraw,
    /// EnrolBeneficiary.
    Enrol,
    /// Not a call: from the moment a message is sent until its recipient's watch tells of it.
    Delivery,
}

impl Operation {
    /// The kind of call of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let name: StrDeserializer<'_, Error> = name.into_deserializer();
        let call = |operation: &Self| *operation != Self::Delivery;
        Self::deserialize(name).ok().filter(call)
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Authorize => "authorize",
            Self::Submit => "submit",
            Self::List => "list",
            Self::Read => "read",
            Self::Send => "send",
            Self::Retrieve => "retrieve",
            Self::Watch => "watch",
            Self::Consent => "consent",
            Self::Withdraw => "withdraw",
            Self::Enrol => "enrol",
            Self::Delivery => "delivery",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should.
    Done,
    /// The service said no: its code, and its reason when it gave one.
    Refused(Code, String),
    /// No service answered: the connection could not be made, or broke.
    Torn,
    /// No answer within the deadline.
    Late,
    /// The answer is not what it must be.
    Wrong(&'static str),
}

impl Ending {
    /// What a status says. One that the client made itself, because the connection broke, has a cause; one that a
    /// service gave has none.
    pub(crate) fn of(status: &Status) -> Self {
        // tonic's client ends a call at its deadline with this, before the service can.
        if status.code() == Code::Cancelled && status.message() == "Timeout expired" {
            return Self::Late;
        }
        if std::error::Error::source(status).is_some() {
            return Self::Torn;
        }
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
        Self::Refused(status.code(), reason.unwrap_or_default())
    }

    /// Whether a service that is away, starting, overloaded, or asked too late may say this.
    pub(crate) fn is_clear(&self) -> bool {
        match self {
            Self::Done | Self::Torn | Self::Late => true,
            Self::Refused(code, _) => matches!(
                code,
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted
            ),
            Self::Wrong(_) => false,
        }
    }

    /// The name of success in reports.
    pub(crate) const DONE: &'static str = "OK";
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => formatter.write_str(Self::DONE),
            Self::Refused(code, reason) if reason.is_empty() => write!(formatter, "{}", code_name(*code)),
            Self::Refused(code, reason) => write!(formatter, "{} {reason}", code_name(*code)),
            Self::Torn => formatter.write_str("TORN"),
            Self::Late => formatter.write_str("LATE"),
            Self::Wrong(what) => write!(formatter, "WRONG {what}"),
        }
    }
}

/// As gRPC writes it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a service says is not what a broken connection says, though both are a status.
    #[test]
    fn a_torn_connection_is_nobodys_answer() {
        let broken = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert_eq!(Ending::of(&broken), Ending::Torn);
        let said = Ending::of(&Status::internal("x"));
        assert_eq!(said, Ending::Refused(Code::Internal, String::new()));
        assert!(!said.is_clear());
        assert!(Ending::of(&Status::unavailable("x")).is_clear());
        assert_eq!(Ending::of(&Status::cancelled("Timeout expired")), Ending::Late);
        assert!(!Ending::Wrong("content").is_clear());
    }

    /// As `--only` takes them, and reports write them.
    #[test]
    fn a_kind_of_call_is_found_by_its_name() {
        for operation in [Operation::Resolve, Operation::Authorize, Operation::Withdraw] {
            assert_eq!(Operation::named(operation.name()), Some(operation));
        }
        assert_eq!(Operation::named("delivery"), None, "not a call");
        assert_eq!(Operation::named("delete"), None);
    }
}
