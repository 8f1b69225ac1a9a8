//! What the calls of a suite are compared to, in the same run.
//!
//! E is a bare unary call: what gRPC costs when nothing is done. S is the same SQL statements, with the same durability, on
//! the same engine, through sqlx, without gRPC: what the database costs when nothing else is done.

mod base;
pub(crate) mod bases;
pub(crate) mod echo;
pub(crate) mod pgbench;
mod schemas;
mod secured;
mod statement;
mod statements;
pub(crate) mod supply;
