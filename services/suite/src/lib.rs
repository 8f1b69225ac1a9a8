//! The four services in one process, and the operator's command line.
//!
//! [`suite`] starts them as they would run apart: four ports, four databases, tokens for every call. [`home`] is the
//! folder in which an embedded suite keeps its keys and databases. [`tour`] plays the article through real clients,
//! [`verify`] checks offline what the journal claims, [`rules`] prints the law of access as it is applied, [`matrix`] what
//! a new version of the habilitation matrix would change, [`status`] how the services are.

pub mod home;
pub mod matrix;
pub mod rules;
pub mod status;
pub mod suite;
pub mod tour;
pub mod verify;
