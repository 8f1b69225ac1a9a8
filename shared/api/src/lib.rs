//! What the suite promises: the contracts of its four services and of their operation, as generated from `proto/`, and
//! the identifiers and code tables that those contracts carry.

pub mod codes;
pub mod identity;
mod listing;
pub mod oid;

/// Every contract as an encoded `google.protobuf.FileDescriptorSet`, for reflection and for tools.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

macro_rules! contracts {
    ($($(#[$doc:meta])* $name:ident $(with $by_hand:ident)?),+) => {
        $($(#[$doc])* pub mod $name {
            /// First version of the contract; it only grows.
            #[allow(missing_docs, clippy::all, clippy::allow_attributes_without_reason, unreachable_pub, reason = "generated: the proto files are its documentation")]
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/dmp.", stringify!($name), ".v1.rs"));
                $(pub use crate::$by_hand::*;)?
            }
        })+
    };
}

contracts! {
    /// What all contracts share: actors, errors, receipts.
    common,
    /// Identifiers, hosts and placements.
    identifier,
    /// Consents, authorisations and decisions.
    consent,
    /// Dossiers, documents, the journal and the duty.
    dossier with listing,
    /// Directory, mailboxes and messages.
    messaging,
    /// What an operator must know of a process.
    operations
}
