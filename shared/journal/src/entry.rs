//! What is written in the log, and what the tree commits to: the specification of **dmp-journal/v1**.
//!
//! This format never changes. A later one would be another log, under another origin.
//!
//! # Values
//! Integers are big-endian, `‖` joins bytes, text is UTF-8 without terminator, `\n` is one byte (0x0A).
//!
//! | value | bytes | meaning |
//! | --- | --- | --- |
//! | `payload` | any | what happened, exactly as the service encoded it; the log never looks inside |
//! | `salt` | 32 | random, drawn for this entry alone, stored beside the payload and erased with it |
//! | `entry_id` | 16 | the entry's UUID, unique in the log |
//! | `recorded_at` | 8, signed | microseconds since 1970-01-01T00:00:00Z on the log's clock |
//! | `subject` | 1 to 200 | whose chain this is, for instance a dossier's identifier |
//! | `sequence` | 8 | place in the subject's chain, from 1, without gaps |
//! | `previous` | 32 | leaf hash of the subject's entry at `sequence - 1`; 32 zero bytes at `sequence` 1 |
//!
//! # Leaf
//! ```text
//! content   = HMAC-SHA256(key = salt, "dmp-journal/v1 content\n" ‖ payload)
//! data      = SHA-256("dmp-journal/v1 entry\n" ‖ entry_id ‖ recorded_at ‖ sequence ‖ previous ‖ content ‖ subject)
//! leaf hash = SHA-256(0x00 ‖ data)                                                        (RFC 9162 §2.1.1)
//! ```
//! Every field before `subject` has a fixed length, so no two entries share an encoding. The salt is always 32 bytes, so a
//! second (salt, payload) with the same `content` would be a collision of SHA-256.
//!
//! # What that gives
//! - **A published leaf tells nothing.** `content` is pseudo-random to whoever lacks the salt, and everything else is hashed
//!   together with it: not even a guessed subject can be tested against a leaf.
//! - **An entry can be erased and its chain still be checked.** Payload and salt are destroyed, `content` is kept: it tells
//!   nothing more, and the entry's place, time and neighbours remain provable. Destroying `content` as well leaves only the
//!   leaf hash, and the tree still holds.
//! - **Every subject has a chain of its own.** An entry names the one before it by its leaf hash, which names the one before
//!   that: the newest entry fixes them all, in their order. See [`crate::history`] for what this does and does not prove.
//!
//! The tree is the one of RFC 9162 §2.1 over `data`, in the order of writing ([`crate::tree`]); its roots are signed as C2SP
//! checkpoints ([`crate::checkpoint`]).

use std::fmt;

use store::time::{self, Timestamp};
use uuid::Uuid;

use crate::hash::{self, Hash};

/// Longest subject, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 200;

const CONTENT: &[u8] = b"dmp-journal/v1 content\n";
const ENTRY: &[u8] = b"dmp-journal/v1 entry\n";

/// What a service asks to have written.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Chosen by the service. Writing the same entry again under the same id gives the first receipt again.
    pub entry_id: Uuid,
    /// Whose chain it joins: 1 to [`MAX_SUBJECT_BYTES`] bytes.
    pub subject: String,
    /// What happened, in the service's own encoding. Kept byte for byte.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, …)", self.entry_id)
    }
}

/// The end of a chain: the place and leaf hash of its last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Place in the subject's chain; 0 before the first entry.
    pub sequence: u64,
    /// Leaf hash of that entry; [`Hash::ZERO`] before the first.
    pub leaf_hash: Hash,
}

impl Link {
    /// Where every chain begins.
    pub const BEGINNING: Link = Link {
        sequence: 0,
        leaf_hash: Hash::ZERO,
    };
}

/// An entry's content, or what stands for it once it is erased.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// As written.
    Present {
        /// The random key of the commitment.
        salt: [u8; 32],
        /// What the service wrote.
        payload: Vec<u8>,
    },
    /// Erased. The commitment tells nothing about what it was.
    Erased {
        /// `content` of the specification.
        commitment: Hash,
    },
}

impl Content {
    /// `content` of the specification.
    pub fn commitment(&self) -> Hash {
        match self {
            Content::Present { salt, payload } => hash::hmac_sha256(salt, &[CONTENT, payload]),
            Content::Erased { commitment } => *commitment,
        }
    }

    /// What the service wrote; `None` once erased.
    pub fn payload(&self) -> Option<&[u8]> {
        match self {
            Content::Present { payload, .. } => Some(payload),
            Content::Erased { .. } => None,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.payload().is_some() {
            "Present(…)"
        } else {
            "Erased"
        })
    }
}

/// An entry as the log holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The entry's UUID.
    pub entry_id: Uuid,
    /// Whose chain it is in.
    pub subject: String,
    /// Place in that chain, from 1.
    pub sequence: u64,
    /// Leaf hash of the entry before it in the chain.
    pub previous: Hash,
    /// When the log took it down, to the microsecond.
    pub recorded_at: Timestamp,
    /// Place in the log, from 0.
    pub leaf_index: u64,
    /// What the log says its leaf hash is; [`Recorded::computed_leaf`] is what it must be.
    pub leaf_hash: Hash,
    /// What happened.
    pub content: Content,
}

impl Recorded {
    /// The leaf hash which follows from all the other fields (but the index, which only an inclusion proof can tell).
    pub fn computed_leaf(&self) -> Hash {
        let data = hash::sha256(&[
            ENTRY,
            self.entry_id.as_bytes(),
            &time::to_micros(self.recorded_at).to_be_bytes(),
            &self.sequence.to_be_bytes(),
            self.previous.as_bytes(),
            self.content.commitment().as_bytes(),
            self.subject.as_bytes(),
        ]);
        hash::leaf(data.as_bytes())
    }

    /// The chain as it ends with this entry.
    pub fn link(&self) -> Link {
        Link {
            sequence: self.sequence,
            leaf_hash: self.leaf_hash,
        }
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Recorded({}, leaf {}, sequence {}, …)",
            self.entry_id, self.leaf_index, self.sequence
        )
    }
}
