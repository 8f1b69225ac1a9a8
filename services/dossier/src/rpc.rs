//! Parses, calls, renders: one file for each gRPC service.

pub(crate) mod document_service;
pub(crate) mod dossier_service;
pub(crate) mod duty_service;
pub(crate) mod journal_service;

use api::identity::{Check, DmpId};
use serve::Violations;

/// An identifier, typed or handed over: its check digits must be right, whatever the settings.
fn dmp_id(violations: &mut Violations, text: &str) -> Option<DmpId> {
    violations.check("dmp_id", DmpId::parse(text, Check::Strict))
}
