//! A small load on a whole suite in this process, on both engines: does it count right, and miss what is missing?
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod load;
#[path = "../stage/target.rs"]
mod target;
