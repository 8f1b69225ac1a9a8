//! The promises of the messaging service, over real gRPC on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod directory;
mod mailboxes;
mod messages;
mod notices;
mod peers;
mod proofs;
mod storage;
mod watches;
mod world;
