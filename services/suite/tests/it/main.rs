//! The binary, as an operator meets it: started, killed, started again, asked for help.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod apart;
mod authority;
mod command_line;
mod freshness;
mod kills;
mod process;
mod proxy;
mod secure;
mod status;
mod without;
