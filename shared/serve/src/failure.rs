//! The one way an error becomes a gRPC status, and the one way back.
//!
//! Every status of the suite carries its canonical code and `google.rpc.ErrorInfo` with a reason of
//! `dmp.common.v1.Reason`, the domain `dmp` and metadata for what varies; `BadRequest` lists field violations, and
//! `RetryInfo` says when coming back helps. Causes stay here: INTERNAL has a fixed text, and what is logged about it
//! holds no value of a row or a request.

use api::common::v1::{AuthenticationLevel, Reason, Role};
use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::fmt;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::violations::Violation;

/// `google.rpc.ErrorInfo.domain` of every error of the suite.
pub const DOMAIN: &str = "dmp";

const REASON_PREFIX: &str = "REASON_";

/// After how long a caller may come back when nothing says better.
const RETRY_SOON: Duration = Duration::from_millis(200);
const RETRY_LATER: Duration = Duration::from_secs(1);

/// Shorthand of what handlers give.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a call is refused or has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Canonical gRPC code.
    pub code: Code,
    /// The reason, for programs.
    pub reason: Reason,
    /// The reason, for people. Never a name, a matricule, a token or a document's text.
    pub message: String,
    /// What varies, under the keys that `error.proto` documents.
    pub metadata: BTreeMap<String, String>,
    /// Field violations, when the request is what is wrong.
    pub violations: Vec<Violation>,
    /// When to come back, where coming back helps.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without metadata.
    pub fn new(code: Code, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// Adds what varies.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// NOT_FOUND: absent, or not visible to the caller; the two are not told apart. `resource` is a kind, as
    /// `dossier`, never a name.
    pub fn not_found(resource: &str) -> Self {
        Self::new(Code::NotFound, Reason::NotFound, format!("no such {resource}")).with("resource", resource)
    }

    /// ALREADY_EXISTS.
    pub fn already_exists(resource: &str) -> Self {
        Self::new(
            Code::AlreadyExists,
            Reason::AlreadyExists,
            format!("this {resource} exists already"),
        )
        .with("resource", resource)
    }

    /// ABORTED: the resource changed since its etag was read.
    pub fn etag_mismatch(resource: &str) -> Self {
        Self::new(
            Code::Aborted,
            Reason::EtagMismatch,
            format!("the {resource} has changed; read it again"),
        )
        .with("resource", resource)
    }

    /// FAILED_PRECONDITION: the state forbids it. `state` is one of the contract's names, as `CLOSED`.
    pub fn precondition(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, reason, message)
    }

    /// UNAUTHENTICATED: `detail` says in UPPER_SNAKE_CASE which check failed.
    pub fn token_invalid(detail: &'static str) -> Self {
        Self::new(
            Code::Unauthenticated,
            Reason::TokenInvalid,
            "the access token is not valid here",
        )
        .with("detail", detail)
    }

    /// UNAUTHENTICATED: there is no token.
    pub fn token_missing() -> Self {
        let message = "an access token is needed: authorization: Bearer …";
        Self::new(Code::Unauthenticated, Reason::TokenMissing, message)
    }

    /// PERMISSION_DENIED: callers of this role may not call the method.
    pub fn role_forbidden(role: Role, method: &str) -> Self {
        let role = role_name(role);
        Self::new(
            Code::PermissionDenied,
            Reason::RoleForbidden,
            format!("{role} may not call this method"),
        )
        .with("role", role)
        .with("method", method)
    }

    /// PERMISSION_DENIED: the caller must be known more surely.
    pub fn authentication_too_weak(needed: AuthenticationLevel) -> Self {
        let needed = needed.as_str_name().trim_start_matches("AUTHENTICATION_LEVEL_");
        let message = "this needs a stronger authentication";
        Self::new(Code::PermissionDenied, Reason::AuthenticationTooWeak, message).with("needed", needed)
    }

    /// RESOURCE_EXHAUSTED: too many calls or writes wait.
    pub fn overloaded(limit: usize) -> Self {
        Self::new(
            Code::ResourceExhausted,
            Reason::Overloaded,
            "too many calls are waiting; come back soon",
        )
        .with("limit", limit.to_string())
        .retry_after(RETRY_SOON)
    }

    /// RESOURCE_EXHAUSTED: larger than taken here. Coming back does not help.
    pub fn too_large(limit: u64, unit: &str) -> Self {
        Self::new(
            Code::ResourceExhausted,
            Reason::TooLarge,
            format!("larger than {limit} {unit}"),
        )
        .with("limit", limit.to_string())
        .with("unit", unit)
    }

    /// DEADLINE_EXCEEDED. A write may have taken effect.
    pub fn deadline_exceeded() -> Self {
        Self::new(
            Code::DeadlineExceeded,
            Reason::DeadlineExceeded,
            "the deadline of the call has passed",
        )
    }

    /// UNAVAILABLE: the database does not answer.
    pub fn database_unavailable() -> Self {
        Self::new(
            Code::Unavailable,
            Reason::DatabaseUnavailable,
            "the database does not answer",
        )
        .retry_after(RETRY_LATER)
    }

    /// UNAVAILABLE: another service does not answer.
    pub fn peer_unavailable(service: &str) -> Self {
        Self::new(
            Code::Unavailable,
            Reason::PeerUnavailable,
            format!("the {service} service does not answer"),
        )
        .with("service", service)
        .retry_after(RETRY_LATER)
    }

    /// UNAVAILABLE: the journal cannot record, so nothing may be shown.
    pub fn journal_unavailable() -> Self {
        Self::new(
            Code::Unavailable,
            Reason::JournalUnavailable,
            "the journal cannot record this access",
        )
        .retry_after(RETRY_LATER)
    }

    /// UNAVAILABLE: the process is stopping; another instance, or the next process, answers.
    pub fn draining() -> Self {
        Self::new(Code::Unavailable, Reason::Draining, "this process is stopping").retry_after(RETRY_SOON)
    }

    /// UNIMPLEMENTED: no such method here.
    pub fn unimplemented() -> Self {
        Self::new(
            Code::Unimplemented,
            Reason::Unimplemented,
            "there is no such method here",
        )
    }

    /// INVALID_ARGUMENT for one field alone; a request's own fields go through [`crate::Violations`].
    pub fn invalid_field(field: &str, reason: &str, description: &str) -> Self {
        let mut violations = crate::Violations::default();
        violations.add(field, reason, description);
        violations.into()
    }

    /// INTERNAL: a defect of ours, logged here, once. `what` is fixed text by type, so no value can be in it; the
    /// request path adds the trace id by which the operator finds the line.
    pub fn internal(what: &'static str) -> Self {
        tracing::error!(what, "internal error");
        Self::defect()
    }

    fn defect() -> Self {
        Self::new(
            Code::Internal,
            Reason::Internal,
            "an internal error; the operator finds it by its trace id",
        )
    }

    /// What another service's answer means for our caller: its refusals pass through with code, reason and metadata;
    /// whatever says that it could not answer becomes PEER_UNAVAILABLE with its reason as `cause`; the caller's own
    /// deadline stays DEADLINE_EXCEEDED.
    pub fn from_status(service: &str, status: &Status) -> Self {
        let Some(failure) = Self::of_ours(status) else {
            return Self::of_transport(service, status);
        };
        match (failure.code, failure.reason) {
            (Code::Unavailable, Reason::JournalUnavailable) => failure,
            (Code::Unauthenticated, Reason::TokenExpired) => failure,
            // The caller's token was good here, so what the peer refuses is ours or its configuration.
            (Code::Unauthenticated, _) => {
                tracing::error!(
                    service,
                    reason = reason_name(failure.reason),
                    "a peer refuses our tokens"
                );
                Self::peer_unavailable(service).with("cause", reason_name(failure.reason))
            }
            (Code::Unavailable | Code::Unimplemented, _) => {
                Self::peer_unavailable(service).with("cause", reason_name(failure.reason))
            }
            _ => failure,
        }
    }

    /// The failure that a status of the suite carries; `None` for a status that is not the suite's.
    pub fn of_ours(status: &Status) -> Option<Self> {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN)?;
        let reason = Reason::from_str_name(&format!("{REASON_PREFIX}{}", info.reason))?;
        let violations = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice())
            .unwrap_or_default();
        Some(Self {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            metadata: info.metadata.clone().into_iter().collect(),
            violations: violations.iter().map(Violation::of).collect(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        })
    }

    fn of_transport(service: &str, status: &Status) -> Self {
        // tonic's client reports its own passed deadline as CANCELLED, with nothing but this text to know it by.
        let passed = status.code() == Code::Cancelled && status.message() == "Timeout expired";
        if passed || status.code() == Code::DeadlineExceeded {
            return Self::deadline_exceeded();
        }
        tracing::warn!(service, code = ?status.code(), cause = root_cause(status), "a peer does not answer");
        Self::peer_unavailable(service)
    }

    /// What a status means that the transport made in our own server, before or after a handler: tonic gives a code
    /// and a text only.
    pub(crate) fn of_own_transport(status: &Status) -> Self {
        match status.code() {
            Code::Unimplemented => Self::unimplemented(),
            Code::NotFound => Self::not_found("service"),
            Code::OutOfRange => Self::too_large(crate::MESSAGE_BYTES_MAX as u64, "bytes"),
            Code::DeadlineExceeded => Self::deadline_exceeded(),
            Code::Internal if status.message().contains("decode") => {
                Self::invalid_field("", "NOT_PROTOBUF", "the message is not of the contract's form")
            }
            // UNKNOWN is what tonic makes of a connection that is gone: the caller's loss, and no error of ours.
            Code::Cancelled | Code::Unknown => {
                let message = "the stream ended before its time";
                Self::new(Code::Cancelled, Reason::StreamInvalid, message).with("detail", "CANCELLED")
            }
            _ => Self::internal("the transport failed"),
        }
    }
}

/// Why the transport failed, where it knows: a refused connection, a certificate that was not taken.
fn root_cause(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause.to_string())
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", reason_name(self.reason), self.message)
    }
}

impl std::error::Error for Failure {}

impl Violation {
    fn of(violation: &FieldViolation) -> Self {
        Self {
            field: violation.field.clone(),
            reason: violation.reason.clone(),
            description: violation.description.clone(),
        }
    }
}

/// A reason as `ErrorInfo` carries it, for instance `TOKEN_MISSING`.
pub fn reason_name(reason: Reason) -> &'static str {
    reason.as_str_name().trim_start_matches(REASON_PREFIX)
}

/// A role as metadata and tokens carry it, for instance `PROFESSIONAL`.
pub fn role_name(role: Role) -> &'static str {
    role.as_str_name().trim_start_matches("ROLE_")
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let metadata: HashMap<String, String> = failure.metadata.into_iter().collect();
        let mut details = ErrorDetails::with_error_info(reason_name(failure.reason), DOMAIN, metadata);
        if !failure.violations.is_empty() {
            let violations: Vec<FieldViolation> = failure.violations.into_iter().map(field_violation).collect();
            details.set_bad_request(violations);
        }
        if failure.retry_after.is_some() {
            details.set_retry_info(failure.retry_after);
        }
        Self::with_error_details(failure.code, failure.message, details)
    }
}

fn field_violation(violation: Violation) -> FieldViolation {
    let mut listed = FieldViolation::new(violation.field, violation.description);
    listed.reason = violation.reason;
    listed
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Busy { limit } => Self::overloaded(limit),
            store::Error::Unavailable(_) => Self::database_unavailable(),
            store::Error::CommitUnknown => Self::database_unavailable().with("outcome", "UNKNOWN"),
            store::Error::Conflict => Self::database_unavailable()
                .with("outcome", "NOT_DONE")
                .retry_after(RETRY_SOON),
            store::Error::RequestIdReused => {
                let message = "this request_id was used for another request";
                Self::new(Code::InvalidArgument, Reason::RequestIdReused, message)
            }
            store::Error::PageToken => {
                let message = "the page token does not belong to this query";
                Self::new(Code::InvalidArgument, Reason::PageTokenInvalid, message)
            }
            store::Error::FeedCompacted => {
                let message = "the feed no longer keeps this position; list again, then watch from there";
                Self::new(Code::OutOfRange, Reason::FeedCompacted, message)
            }
            other => {
                tracing::error!(what = %other, cause = %cause(&other), "storage failed");
                Self::defect()
            }
        }
    }
}

/// Which statement-level error it was, without the driver's message: PostgreSQL puts values into those.
fn cause(error: &store::Error) -> String {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<sqlx::Error>());
    match source {
        Some(sqlx::Error::Database(database)) => {
            let code = database.code().unwrap_or_default();
            format!(
                "database code {code}, constraint {}",
                database.constraint().unwrap_or("none")
            )
        }
        Some(sqlx::Error::ColumnNotFound(column)) => format!("no column {column}"),
        Some(sqlx::Error::ColumnDecode { index, .. }) => format!("column {index} has another type"),
        Some(sqlx::Error::RowNotFound) => "no row".to_owned(),
        Some(_) => "driver".to_owned(),
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]
    use super::*;
    use crate::violations::VIOLATIONS_MAX;
    use crate::{Gather, Violations};
    use api::identity::{Check, DmpId};

    /// AIP-193: code, ErrorInfo with reason, domain and metadata; what goes out is what comes in at the other end.
    #[test]
    fn a_failure_survives_the_wire() {
        let failure = Failure::overloaded(64)
            .with("limit", "64")
            .retry_after(Duration::from_millis(1500));
        assert_eq!(Failure::of_ours(&Status::from(failure.clone())), Some(failure.clone()));
        assert_eq!(Failure::from_status("consent", &Status::from(failure.clone())), failure);
        let status = Status::from(Failure::not_found("dossier"));
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("NOT_FOUND", "dmp"));
        assert_eq!(info.metadata["resource"], "dossier");
    }

    /// AIP-193: every violation of a request is reported together, none repeats its value.
    #[test]
    fn violations_are_reported_together() {
        let mut violations = Violations::default();
        let id = violations.uuid("request_id", "269054958815780");
        let title = violations.text("title", "", 1..=20);
        let dossier = violations.check("dmp_id", DmpId::parse("269054958815780", Check::Strict));
        let role = violations.choice::<Role>("role", 0);
        let fine = violations.optional("note", "", |text| DmpId::parse(text, Check::Strict));
        let status = Status::from(violations.gather((id, title, dossier, role, fine)).unwrap_err());
        let failure = Failure::of_ours(&status).unwrap();
        assert_eq!(
            (failure.code, failure.reason),
            (Code::InvalidArgument, Reason::InvalidFields)
        );
        let listed: Vec<_> = failure
            .violations
            .iter()
            .map(|v| (v.field.as_str(), v.reason.as_str()))
            .collect();
        let wanted = [
            ("request_id", "NOT_A_UUID"),
            ("title", "REQUIRED"),
            ("dmp_id", "WRONG_LENGTH"),
            ("role", "UNKNOWN_VALUE"),
        ];
        assert_eq!(listed, wanted);
        assert!(!format!("{failure:?} {status:?}").contains("2690549"));
    }

    /// A list that would not fit into trailers is counted instead.
    #[test]
    fn violations_are_bounded() {
        let mut violations = Violations::default();
        (0..VIOLATIONS_MAX + 10).for_each(|index| violations.add(format!("f[{index}]"), "WRONG", "is wrong"));
        let failure = violations.finish().unwrap_err();
        assert_eq!(
            (failure.violations.len(), failure.metadata["unlisted"].as_str()),
            (VIOLATIONS_MAX, "10")
        );
    }

    /// What was noted fails a request even when all its parsed values are there.
    #[test]
    fn a_noted_violation_is_never_lost() {
        let mut violations = Violations::default();
        let title = violations.text("title", "fine", 1..=20);
        violations.add("title", "DUPLICATE", "must differ from the others");
        assert!(violations.gather((title,)).is_err());
        assert_eq!((Some(1), Some('a')).all(), Some((1, 'a')));
    }

    /// style.md, errors: storage's causes have one meaning each, and nothing of a driver's text leaves.
    #[test]
    fn each_error_of_storage_has_one_meaning() {
        let table = [
            (
                store::Error::Busy { limit: 9 },
                Code::ResourceExhausted,
                Reason::Overloaded,
                true,
            ),
            (
                store::Error::Unavailable(None),
                Code::Unavailable,
                Reason::DatabaseUnavailable,
                true,
            ),
            (
                store::Error::CommitUnknown,
                Code::Unavailable,
                Reason::DatabaseUnavailable,
                true,
            ),
            (
                store::Error::Conflict,
                Code::Unavailable,
                Reason::DatabaseUnavailable,
                true,
            ),
            (
                store::Error::RequestIdReused,
                Code::InvalidArgument,
                Reason::RequestIdReused,
                false,
            ),
            (
                store::Error::PageToken,
                Code::InvalidArgument,
                Reason::PageTokenInvalid,
                false,
            ),
            (
                store::Error::FeedCompacted,
                Code::OutOfRange,
                Reason::FeedCompacted,
                false,
            ),
            (store::Error::Panicked, Code::Internal, Reason::Internal, false),
            (
                store::Error::Statement(sqlx::Error::Protocol("value 42".into())),
                Code::Internal,
                Reason::Internal,
                false,
            ),
        ];
        for (error, code, reason, retry) in table {
            let case = format!("{error:?}");
            let failure = Failure::from(error);
            assert_eq!(
                (failure.code, failure.reason, failure.retry_after.is_some()),
                (code, reason, retry),
                "{case}"
            );
            assert!(!format!("{failure:?}").contains("42"), "{case}");
        }
    }
}
