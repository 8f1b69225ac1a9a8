//! The promises of the dossier service, each over real gRPC on both engines, against scripted peers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod access;
mod deposits;
mod dossiers;
mod duty;
mod exceptional;
mod faults;
mod house;
mod journal;
mod listings;
mod peers;
mod real_documents;
mod reconstruction;
mod refused_input;
mod secrets;
mod visibility;

use serve::Service;

/// Both engines hold the same tables, columns and nullability.
#[tokio::test(flavor = "multi_thread")]
async fn schemas_agree() {
    testkit::assert_schemas_agree(&dossier::Dossier::migrations()).await;
}
