//! How bytes survive.
//!
//! One text of SQL for two engines ([`Engine`]), one way to read ([`Db::read`]) and one way to write
//! ([`Db::write`], [`once()`] for a request that must take effect once). What a write answers is durable: SQLite runs
//! with `synchronous=FULL`, PostgreSQL with `synchronous_commit=on`, and neither opens with less.
//!
//! A write never runs on its caller's task: a caller that goes away, or a handler that is dropped, cancels nothing
//! that has begun. Every queue has a limit; a full one is an error at once ([`Error::Busy`]).

mod db;
mod engine;
mod error;
pub mod feed;
mod gather;
mod idempotency;
mod lease;
mod migrate;
pub mod observe;
pub mod page;
pub mod random;
mod rows;
mod runtime;
pub mod sealed;
pub mod time;
mod writer;

pub use db::{DatabaseState, Db, Options, Reading};
pub use engine::{Engine, PLANS};
pub use error::{Error, Result};
pub use feed::{Feed, FeedState, event, publish};
pub use gather::{Gather, ReadMany};
pub use idempotency::{Answered, Effect, RequestKey, forget_requests_before, once};
pub use migrate::{Migration, Migrations, own_migrations};
pub use rows::{NewRow, Value, insert, padded, push_list, shaped};
pub use sqlx::{Postgres, Sqlite};
pub use writer::Job;
