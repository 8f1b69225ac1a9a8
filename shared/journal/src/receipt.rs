//! What a caller keeps to show that the log took an entry down.

use std::fmt;

use store::time::Timestamp;
use uuid::Uuid;

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::history::VerifyError;
use crate::note::VerifierKey;
use crate::proof;

/// The log's signed word for one entry. It is given only once the entry is durable, and holds by itself, offline and for ever:
/// whatever the log shows later must contain this leaf at this place.
///
/// It names neither the subject nor the content. [`Receipt::verify`] proves the leaf; that the leaf is this entry is seen by
/// computing it from the entry ([`crate::entry::Recorded::computed_leaf`]), as [`crate::history::Verified::check_receipt`]
/// does.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The entry's UUID.
    pub entry_id: Uuid,
    /// Which log.
    pub origin: String,
    /// Place in the log, from 0.
    pub leaf_index: u64,
    /// The entry's leaf hash.
    pub leaf_hash: Hash,
    /// Place in the subject's chain, from 1.
    pub sequence: u64,
    /// When the log took it down.
    pub recorded_at: Timestamp,
    /// A signed checkpoint whose tree has the entry.
    pub checkpoint: String,
    /// Proof that it has.
    pub inclusion: Vec<Hash>,
}

impl Receipt {
    /// The checkpoint, if the log of `key` signed it and its tree has the leaf at its place.
    pub fn verify(&self, key: &VerifierKey) -> Result<Checkpoint, VerifyError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        if checkpoint.origin != self.origin {
            return Err(VerifyError::Receipt);
        }
        proof::verify_inclusion(
            &self.leaf_hash,
            self.leaf_index,
            checkpoint.size,
            &self.inclusion,
            &checkpoint.root,
        )
        .map_err(|_| VerifyError::Receipt)?;
        Ok(checkpoint)
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Receipt({}, leaf {}, sequence {}, …)",
            self.entry_id, self.leaf_index, self.sequence
        )
    }
}
