//! What `serve` promises, tried over real sockets with a small service of our own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod authentication;
mod authority;
mod configuration;
mod draining;
mod health;
mod limits;
mod observation;
mod peers;
mod probe;
mod status;
mod suite;
mod tls;
