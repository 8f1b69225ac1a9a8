//! The promises of the journal, one test for each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod contract;
mod faults;
mod fixture;
mod history;
mod log;
mod naive;
mod note;
mod tampering;
mod tree;
