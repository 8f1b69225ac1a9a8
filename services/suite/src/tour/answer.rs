//! What an answer of a service means for the tour: granted, refused for an exact reason, or a fault.

use api::common::v1::Reason;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use super::TourError;

/// Why a chapter breaks off.
#[derive(Debug)]
pub(super) enum Halt {
    /// The whole tour ends.
    Tour(TourError),
    /// The chapter ends, with a failure.
    Chapter(String),
}

impl From<TourError> for Halt {
    fn from(error: TourError) -> Self {
        Self::Tour(error)
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Tour(error.into())
    }
}

/// A status with its details.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) code: Code,
    /// Empty when the status has none, which no status of the suite should.
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) metadata: BTreeMap<String, String>,
    /// `field: REASON` of each violation.
    pub(super) fields: Vec<String>,
}

impl Refusal {
    fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == serve::DOMAIN);
        let violations = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice())
            .unwrap_or_default();
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            metadata: info
                .map(|info| info.metadata.clone().into_iter().collect())
                .unwrap_or_default(),
            fields: violations
                .iter()
                .map(|violation| format!("{}: {}", violation.field, violation.reason))
                .collect(),
        }
    }

    /// What the metadata say under a key.
    pub(super) fn says(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Whether this is an answer about what was asked, with a reason of the contract and all that the contract promises
    /// with it. A service that is busy, stopping or broken has not answered.
    pub(super) fn is_exact(&self) -> bool {
        let answered = match self.code {
            Code::InvalidArgument | Code::NotFound | Code::AlreadyExists => true,
            Code::PermissionDenied | Code::FailedPrecondition => true,
            Code::ResourceExhausted => self.reason == "TOO_LARGE",
            _ => false,
        };
        let whole = match self.reason.as_str() {
            "INVALID_FIELDS" => !self.fields.is_empty(),
            "DOCUMENT_INVALID" | "STREAM_INVALID" => self.says("detail").is_some(),
            "ACCESS_REFUSED" => self.says("rule").is_some() && self.says("article").is_some(),
            _ => true,
        };
        let known = Reason::from_str_name(&format!("REASON_{}", self.reason)).is_some();
        answered && known && whole && !self.message.is_empty()
    }

    /// The reason with what makes it exact, for the table at the end.
    pub(super) fn exact(&self) -> String {
        let detail = match self.reason.as_str() {
            "INVALID_FIELDS" => self.fields.join(", "),
            "DOCUMENT_INVALID" => {
                // A document that cannot be read at all has no field to name.
                let field = self.says("field");
                let at = field.map(|field| format!(" at {field}")).unwrap_or_default();
                format!("{}{at}", self.says("detail").unwrap_or_default())
            }
            "ACCESS_REFUSED" => self.law(),
            "STREAM_INVALID" => self.says("detail").unwrap_or_default().to_owned(),
            // The matricule is the holder's and a trait is not, or the matricule is somebody else's.
            "WRONG_PATIENT" => self.says("differing").unwrap_or_default().to_owned(),
            "DOSSIER_NOT_OPEN" => self.says("state").unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        if detail.is_empty() {
            self.reason.clone()
        } else {
            format!("{} {detail}", self.reason)
        }
    }

    /// The rule that refused and the article it applies.
    pub(super) fn law(&self) -> String {
        let rule = self.says("rule").unwrap_or("?");
        format!("rule {rule}, {}", self.says("article").unwrap_or("?"))
    }

    /// What other modes would open, as the metadata say: `mode_<mode>`.
    pub(super) fn other_modes(&self) -> Vec<String> {
        let modes = self
            .metadata
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("mode_")?, value)));
        modes.map(|(mode, what)| in_words(mode, what)).collect()
    }
}

/// `opens;NOTIFY_HOLDER,SECOND_LOOK` or `refused_by=centre-15-opposed`, in words.
fn in_words(mode: &str, what: &str) -> String {
    let mode = mode.replace('_', " ");
    match (what.split_once(';'), what.strip_prefix("refused_by=")) {
        (Some((_opens, obligations)), _) => {
            let obligations = obligations.to_lowercase().replace('_', " ").replace(',', ", ");
            format!("by {mode} it would open, and oblige to: {obligations}")
        }
        (None, Some(rule)) => format!("by {mode} it would not open either: rule {rule}"),
        (None, None) => format!("by {mode}: {what}"),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = if self.reason.is_empty() {
            format!("{:?} without a reason", self.code)
        } else {
            self.exact()
        };
        write!(formatter, "{reason} — {}", self.message)
    }
}

/// What a call gave.
pub(super) type Answered<T> = Result<Response<T>, Status>;

/// Granted, or refused by the service; a service that cannot be reached ends the tour.
pub(super) fn either<T>(answered: Answered<T>) -> Result<Result<T, Refusal>, Halt> {
    match answered {
        Ok(response) => Ok(Ok(response.into_inner())),
        Err(status) => refusal(&status).map(Err),
    }
}

/// What must be granted; a refusal ends the chapter.
pub(super) fn granted<T>(what: &str, answered: Answered<T>) -> Result<T, Halt> {
    either(answered)?.map_err(|refusal| Halt::Chapter(format!("{what}: {refusal}")))
}

/// Reads a status.
pub(super) fn refusal(status: &Status) -> Result<Refusal, Halt> {
    let refusal = Refusal::of(status);
    if refusal.code == Code::Unavailable && refusal.reason.is_empty() {
        return Err(TourError::Unreachable {
            message: refusal.message,
        }
        .into());
    }
    Ok(refusal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use super::*;
    use serve::Failure;

    #[test]
    fn a_refusal_is_exact_when_it_says_all_that_the_contract_promises() {
        let refused = Failure::new(Code::PermissionDenied, Reason::AccessRefused, "refused");
        assert!(!refusal(&refused.clone().into()).unwrap().is_exact());
        let refused = refused
            .with("rule", "default-refuse")
            .with("article", "L1110-4")
            .with("mode_centre_15", "refused_by=centre-15-opposed");
        let refused = refusal(&refused.into()).unwrap();
        assert!(refused.is_exact());
        assert_eq!(refused.exact(), "ACCESS_REFUSED rule default-refuse, L1110-4");
        assert_eq!(
            refused.other_modes(),
            ["by centre 15 it would not open either: rule centre-15-opposed"]
        );
        assert!(!refusal(&Status::internal("?")).unwrap().is_exact());
        assert!(!refusal(&Status::not_found("?")).unwrap().is_exact());
        let busy = Failure::new(Code::ResourceExhausted, Reason::Overloaded, "busy");
        assert!(!refusal(&busy.into()).unwrap().is_exact());
        let large = Failure::new(Code::ResourceExhausted, Reason::TooLarge, "too large");
        assert!(refusal(&large.into()).unwrap().is_exact());
    }

    #[test]
    fn a_service_that_does_not_answer_ends_the_tour() {
        let halt = either::<()>(Err(Status::unavailable("connection refused"))).unwrap_err();
        assert!(matches!(halt, Halt::Tour(TourError::Unreachable { .. })));
        let own = Failure::new(Code::Unavailable, Reason::Draining, "stopping");
        assert!(either::<()>(Err(own.into())).unwrap().is_err());
    }
}
