//! The promises of `dmp.identifier.v1`, over real gRPC, on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod beneficiaries;
mod enrolment_stream;
mod hosts;
mod people;
mod placements;
mod silence;

/// Both engines must hold the same register.
#[tokio::test(flavor = "multi_thread")]
async fn the_schemas_of_both_engines_agree() {
    testkit::assert_schemas_agree(&<identifier::Identifier as serve::Service>::migrations()).await;
}
