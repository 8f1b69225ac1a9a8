//! The contract, over real gRPC, on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod access;
mod authorizations;
mod consents;
mod dossier;
mod events;
mod law;
mod matrices;
mod past;
mod receipts;
mod representations;
mod reviews;
mod scene;
mod secrecy;
mod starting;
mod teams;
mod trusted_persons;
mod watches;

use serve::Service;

/// A column on one engine only would be found by the first user of the other.
#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_schema() {
    testkit::assert_schemas_agree(&consent::Consent::migrations()).await;
}
