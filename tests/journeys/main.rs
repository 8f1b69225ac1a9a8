//! Journeys through the whole suite, over real gRPC, on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod article;
mod exceptional;
mod freshness;
mod instances;
mod life;
mod secrecy;
