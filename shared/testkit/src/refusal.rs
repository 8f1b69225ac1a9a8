//! What a refusal says, taken apart for assertions: reasons are promised, messages are not.

use std::collections::BTreeMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A status with its details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Canonical code.
    pub code: Code,
    /// `ErrorInfo.reason`, for instance `INVALID_FIELDS`.
    pub reason: String,
    /// `ErrorInfo.metadata`.
    pub metadata: BTreeMap<String, String>,
    /// Field and reason of each violation, in order.
    pub fields: Vec<(String, String)>,
    /// Whether the caller is told when to come back.
    pub retry: bool,
}

impl Refusal {
    /// Whether a field is listed with this reason.
    pub fn has_field(&self, field: &str, reason: &str) -> bool {
        self.fields.iter().any(|(name, why)| name == field && why == reason)
    }
}

/// Takes a status apart. Fails when it is not one of ours: every error of the suite carries its reason and domain.
pub fn refusal(status: &Status) -> Refusal {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, serve::DOMAIN);
    let violations = details
        .bad_request()
        .map(|bad| bad.field_violations.as_slice())
        .unwrap_or_default();
    Refusal {
        code: status.code(),
        reason: info.reason.clone(),
        metadata: info.metadata.clone().into_iter().collect(),
        fields: violations
            .iter()
            .map(|violation| (violation.field.clone(), violation.reason.clone()))
            .collect(),
        retry: details.retry_info().is_some(),
    }
}
