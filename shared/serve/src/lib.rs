//! How a process lives and dies, and what every request passes through.
//!
//! A service is a [`Service`]: a name, a schema, its routes. [`start`] turns it and its [`config::Settings`] into a
//! [`Running`] process. Each request passes trace and metrics, deadline, limits and authentication before a handler
//! finds its [`Call`]; each error leaves as a [`Failure`], the only way a status is made. Nothing here knows a service.

mod actor;
mod admission;
mod auth;
mod balance;
mod call;
pub mod config;
mod connections;
mod deadline;
mod failure;
pub mod follow;
mod health;
mod in_process;
mod layers;
mod methods;
mod observe;
mod peers;
mod process;
mod records;
mod reflection;
mod reload;
mod retention;
mod status;
pub mod telemetry;
pub mod tls;
mod token;
mod trace;
mod violations;
pub mod watch;
pub mod without;

pub use actor::{Actor, InvalidActor};
pub use auth::ON_BEHALF_OF;
pub use balance::Balanced;
pub use call::Call;
pub use failure::{DOMAIN, Failure, Result, reason_name, role_name};
pub use in_process::InProcess;
pub use peers::{InvalidPeer, Peer, Peers, bearer, cleartext_channel};
pub use process::{Context, Running, Service, StartError, Starting, start, start_on, stop_requested};
pub use status::Board;
pub use token::{BearerToken, Claims, KeyError, OneOrMany, ServiceTokens, TokenIssuer};
pub use trace::TraceContext;
pub use violations::{Breach, Gather, VIOLATIONS_MAX, Violation, Violations};

/// Whoever serves or asks allocates little and often, on every thread: this allocator takes a sixth off a short call, where
/// the system's own locks and sorts what was freed. It takes the place of C's too: SQLite copies each value that it gives on
/// one thread, and another thread frees it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Largest message taken or given. It is tonic's own default for what it decodes, so generated servers and clients need
/// not be told; whatever is larger goes in chunks, over a stream.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
