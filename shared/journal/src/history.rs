//! One subject's history as a bundle which anyone checks offline, with nothing but the log's public key.
//!
//! # What a verified history proves
//! - Every entry is in the log at its place, exactly as shown, under a checkpoint the log signed.
//! - From where the bundle starts up to its last entry, nothing was left out, put in or moved: each entry names the one
//!   before it by its leaf hash, and their places in the log only ascend.
//!
//! # What it does not prove
//! - That the last entry shown is the last there is. Whoever serves the bundle could stop early: the tree commits to every
//!   entry but does not yet say which is the newest of a subject. It is found out by any [`Receipt`] somebody kept of an entry
//!   left out ([`Verified::check_receipt`]), or by a later page. A verifiable map of chain heads, announced in the
//!   checkpoint's extension lines, can close this gap without a change to entries or leaves.
//! - That everyone is shown the same log. Two checkpoints are compared with [`Checkpoint::extends`]; witnesses exist to do so
//!   for everyone.
//! - That an erased entry said something in particular: only that there was one, at that place and time.
//! - That the log's clock was right.

use store::time::Timestamp;
use uuid::Uuid;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::entry::{Content, Link, Recorded};
use crate::hash::Hash;
use crate::note::VerifierKey;
use crate::proof::{self, ProofError};
use crate::receipt::Receipt;

/// An entry with the proof that the tree has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The entry.
    pub entry: Recorded,
    /// Its inclusion proof in the tree of the bundle's checkpoint.
    pub inclusion: Vec<Hash>,
}

/// A stretch of one subject's chain, oldest first, under one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The signed note.
    pub checkpoint: String,
    /// The entries, each following the one before it.
    pub entries: Vec<Proven>,
}

/// Why something offered as proof is refused. Says which entry; names no person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The checkpoint is not one of this log.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// An entry is wrong.
    #[error("entry {position} of the bundle: {fault}")]
    Entry {
        /// Place in the bundle, from 0.
        position: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The receipt's leaf is not under the receipt's own checkpoint.
    #[error("the receipt does not hold by itself")]
    Receipt,
    /// The receipt lies before the first or after the last entry shown. When the history was said to be whole, entries are
    /// missing at its end.
    #[error("a receipt exists for sequence {receipt}, but the history shown ends at {last}")]
    Truncated {
        /// Sequence of the receipt.
        receipt: u64,
        /// Last sequence shown.
        last: u64,
    },
    /// The receipt is for an entry before the first one shown: this history says nothing about it.
    #[error("the receipt is for sequence {receipt}, before the history shown")]
    NotCovered {
        /// Sequence of the receipt.
        receipt: u64,
    },
    /// The log showed one entry to the receipt's owner and another one here.
    #[error("the receipt for sequence {receipt} is of another entry than the one shown")]
    Contradicted {
        /// Sequence of the receipt.
        receipt: u64,
    },
}

/// What is wrong with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is of another subject.
    #[error("it belongs to another subject")]
    Subject,
    /// An entry was left out, repeated or moved.
    #[error("sequence {expected} was expected, {found} found")]
    Sequence {
        /// What must follow.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// It follows another entry than the one shown before it.
    #[error("it does not follow the entry before it")]
    Previous,
    /// It stands in the log before an entry it follows.
    #[error("it stands in the log before the entry it follows")]
    Order,
    /// One of its fields is not what was written.
    #[error("its fields do not give its leaf hash")]
    Content,
    /// The tree does not have it at its place.
    #[error("not in the tree: {0}")]
    Inclusion(ProofError),
}

/// What has been proved of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedEntry {
    /// The entry's UUID.
    pub entry_id: Uuid,
    /// Its place in the chain and its leaf hash.
    pub link: Link,
    /// Its place in the log.
    pub leaf_index: u64,
    /// When the log took it down.
    pub recorded_at: Timestamp,
    /// Whether its content is gone.
    pub erased: bool,
}

/// What has been proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The checkpoint everything is under.
    pub checkpoint: Checkpoint,
    /// The end of the chain on which the first entry follows: [`Link::BEGINNING`] when the history is whole from its start.
    pub after: Link,
    /// The entries, oldest first.
    pub entries: Vec<VerifiedEntry>,
}

impl History {
    /// Checks the whole bundle against the log's public key. `subject` is whose history it must be, `after` the end of the
    /// page before it ([`Verified::head`]), or [`Link::BEGINNING`].
    pub fn verify(&self, key: &VerifierKey, subject: &str, after: Link) -> Result<Verified, VerifyError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        let mut head = after;
        let mut next_index = 0;
        let mut entries = Vec::with_capacity(self.entries.len());
        for (position, proven) in self.entries.iter().enumerate() {
            let wrong = |fault| VerifyError::Entry { position, fault };
            check_place(&proven.entry, subject, head, next_index).map_err(wrong)?;
            check_leaf(proven, &checkpoint).map_err(wrong)?;
            head = proven.entry.link();
            next_index = proven.entry.leaf_index + 1;
            entries.push(VerifiedEntry::of(&proven.entry));
        }
        Ok(Verified {
            checkpoint,
            after,
            entries,
        })
    }
}

impl VerifiedEntry {
    fn of(entry: &Recorded) -> VerifiedEntry {
        VerifiedEntry {
            entry_id: entry.entry_id,
            link: entry.link(),
            leaf_index: entry.leaf_index,
            recorded_at: entry.recorded_at,
            erased: matches!(entry.content, Content::Erased { .. }),
        }
    }
}

impl Verified {
    /// The end of the chain as shown: where the next page must follow on.
    pub fn head(&self) -> Link {
        self.entries.last().map_or(self.after, |entry| entry.link)
    }

    /// Holds when the entry of `receipt`, which somebody kept about this subject, is the one shown at its place. Otherwise
    /// the log, or whoever served the history, has been caught.
    pub fn check_receipt(&self, receipt: &Receipt, key: &VerifierKey) -> Result<(), VerifyError> {
        receipt.verify(key)?;
        let sequence = receipt.sequence;
        let last = self.head().sequence;
        if sequence > last {
            return Err(VerifyError::Truncated {
                receipt: sequence,
                last,
            });
        }
        let entry = self.entries.iter().find(|entry| entry.link.sequence == sequence);
        let entry = entry.ok_or(VerifyError::NotCovered { receipt: sequence })?;
        let same = entry.link.leaf_hash == receipt.leaf_hash
            && entry.entry_id == receipt.entry_id
            && entry.leaf_index == receipt.leaf_index
            && entry.recorded_at == receipt.recorded_at;
        if same {
            Ok(())
        } else {
            Err(VerifyError::Contradicted { receipt: sequence })
        }
    }
}

fn check_place(entry: &Recorded, subject: &str, head: Link, next_index: u64) -> Result<(), Fault> {
    if entry.subject != subject {
        return Err(Fault::Subject);
    }
    let expected = head.sequence.saturating_add(1);
    if entry.sequence != expected {
        return Err(Fault::Sequence {
            expected,
            found: entry.sequence,
        });
    }
    if entry.previous != head.leaf_hash {
        return Err(Fault::Previous);
    }
    if entry.leaf_index < next_index {
        Err(Fault::Order)
    } else {
        Ok(())
    }
}

fn check_leaf(proven: &Proven, checkpoint: &Checkpoint) -> Result<(), Fault> {
    let entry = &proven.entry;
    // The leaf commits to microseconds: anything finer would be shown without being proved.
    let exact = entry.recorded_at.as_nanosecond() % 1_000 == 0;
    if !exact || entry.computed_leaf() != entry.leaf_hash {
        return Err(Fault::Content);
    }
    proof::verify_inclusion(
        &entry.leaf_hash,
        entry.leaf_index,
        checkpoint.size,
        &proven.inclusion,
        &checkpoint.root,
    )
    .map_err(Fault::Inclusion)
}
