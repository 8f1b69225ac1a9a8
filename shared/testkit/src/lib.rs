//! How we doubt: both engines for every promise, an injected clock, real sockets, scripted peers, real refusals.
//!
//! Tests fail by panicking, so this crate may.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up fails by panicking"
)]

pub mod actor;
mod bench;
mod cluster;
mod database;
mod peer;
mod refusal;
mod schema;

pub use bench::{Bench, Engine, Started};
pub use cluster::{Cluster, cluster};
pub use database::{Database, START, TestEngine};
pub use peer::{ScriptedAccess, ScriptedMethod, ScriptedPeer, unscripted};
pub use refusal::{Refusal, refusal};
pub use schema::assert_schemas_agree;
pub use store::{Postgres, Sqlite};
