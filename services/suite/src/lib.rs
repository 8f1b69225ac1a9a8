//! The four services in one process, and the operator's command line.
//!
//! [`suite`] starts them as they would run apart: four ports, four databases, tokens for every call. [`home`] is the
//! folder in which an embedded suite keeps its keys and databases, [`endpoints`] where a suite answers. [`register`] registers
//! hosts, [`health`] asks whether a service serves. [`tour`] plays the article through real clients,
//! [`verify`] checks offline what the journal claims, [`rules`] prints the law of access as it is applied, [`matrix`] what
//! a new version of the habilitation matrix would change, [`status`] how the services are.

pub mod endpoints;
pub mod health;
pub mod home;
pub mod matrix;
pub mod register;
pub mod rules;
pub mod status;
pub mod suite;
pub mod tour;
pub mod verify;

/// An error with its causes, on one line: what an operator reads.
pub fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
