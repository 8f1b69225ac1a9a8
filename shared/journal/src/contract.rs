//! Receipts, proofs and histories as the contracts carry them, and back again for who checks them offline.

use api::common::v1 as pb;
use api::common::v1::history_entry::PresentOrErased;
use api::operations::v1::JournalStatus;
use store::{Engine, time};
use tokio::time::{Duration, timeout};
use uuid::Uuid;

use crate::entry::{Content, Recorded};
use crate::hash::Hash;
use crate::history::{History, Proven};
use crate::log::Journal;
use crate::receipt::Receipt;

/// Why a message cannot be what it says it is: the field that is missing or has the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is missing or malformed")]
pub struct Malformed(pub &'static str);

impl<DB: Engine> Journal<DB> {
    /// What an operator is told of it. The database gets `patience` to answer.
    pub async fn status(self, patience: Duration) -> JournalStatus {
        let state = timeout(patience, self.state()).await.ok().and_then(Result::ok);
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        JournalStatus {
            answers: state.is_some(),
            origin: self.verifier().name().to_owned(),
            tree_size: state.map_or(0, |state| number(state.tree_size)),
            last_checkpoint_at: state.and_then(|state| state.last_checkpoint_at).map(time::to_proto),
            entries_waiting: i64::try_from(self.waiting()).unwrap_or(i64::MAX),
        }
    }
}

impl From<&Receipt> for pb::Receipt {
    fn from(receipt: &Receipt) -> Self {
        Self {
            entry_id: receipt.entry_id.to_string(),
            log_origin: receipt.origin.clone(),
            leaf_index: receipt.leaf_index,
            leaf_hash: receipt.leaf_hash.as_bytes().to_vec(),
            chain_sequence: receipt.sequence,
            checkpoint: receipt.checkpoint.clone(),
            recorded_at: Some(time::to_proto(receipt.recorded_at)),
            inclusion: bytes_of(&receipt.inclusion),
        }
    }
}

impl TryFrom<&pb::Receipt> for Receipt {
    type Error = Malformed;

    fn try_from(receipt: &pb::Receipt) -> Result<Self, Malformed> {
        Ok(Self {
            entry_id: uuid_of(&receipt.entry_id)?,
            origin: receipt.log_origin.clone(),
            leaf_index: receipt.leaf_index,
            leaf_hash: hash_of(&receipt.leaf_hash, "leaf_hash")?,
            sequence: receipt.chain_sequence,
            recorded_at: instant_of(receipt.recorded_at.as_ref())?,
            checkpoint: receipt.checkpoint.clone(),
            inclusion: hashes_of(&receipt.inclusion, "inclusion")?,
        })
    }
}

impl History {
    /// As the contracts carry it; `subject` and `origin` stand once for all entries.
    pub fn to_proto(&self, subject: &str, origin: &str) -> pb::History {
        pb::History {
            subject: subject.to_owned(),
            log_origin: origin.to_owned(),
            checkpoint: self.checkpoint.clone(),
            entries: self.entries.iter().map(entry_to_proto).collect(),
        }
    }

    /// Reads what [`History::to_proto`] wrote. Nothing is verified yet.
    ///
    /// # Errors
    /// [`Malformed`] names the first field that cannot be read.
    pub fn from_proto(history: &pb::History) -> Result<Self, Malformed> {
        let entries = history
            .entries
            .iter()
            .map(|entry| entry_from_proto(entry, &history.subject));
        Ok(Self {
            checkpoint: history.checkpoint.clone(),
            entries: entries.collect::<Result<_, _>>()?,
        })
    }
}

fn entry_to_proto(proven: &Proven) -> pb::HistoryEntry {
    let entry = &proven.entry;
    pb::HistoryEntry {
        entry_id: entry.entry_id.to_string(),
        chain_sequence: entry.sequence,
        previous_leaf_hash: entry.previous.as_bytes().to_vec(),
        recorded_at: Some(time::to_proto(entry.recorded_at)),
        leaf_index: entry.leaf_index,
        leaf_hash: entry.leaf_hash.as_bytes().to_vec(),
        present_or_erased: Some(content_to_proto(&entry.content)),
        inclusion: bytes_of(&proven.inclusion),
    }
}

fn content_to_proto(content: &Content) -> PresentOrErased {
    match content {
        Content::Present { salt, payload } => PresentOrErased::Content(pb::history_entry::Content {
            salt: salt.to_vec(),
            payload: payload.clone(),
        }),
        Content::Erased { commitment } => PresentOrErased::ErasedCommitment(commitment.as_bytes().to_vec()),
    }
}

fn entry_from_proto(entry: &pb::HistoryEntry, subject: &str) -> Result<Proven, Malformed> {
    let recorded = Recorded {
        entry_id: uuid_of(&entry.entry_id)?,
        subject: subject.to_owned(),
        sequence: entry.chain_sequence,
        previous: hash_of(&entry.previous_leaf_hash, "previous_leaf_hash")?,
        recorded_at: instant_of(entry.recorded_at.as_ref())?,
        leaf_index: entry.leaf_index,
        leaf_hash: hash_of(&entry.leaf_hash, "leaf_hash")?,
        content: content_of(entry.present_or_erased.as_ref())?,
    };
    Ok(Proven {
        entry: recorded,
        inclusion: hashes_of(&entry.inclusion, "inclusion")?,
    })
}

fn content_of(content: Option<&PresentOrErased>) -> Result<Content, Malformed> {
    match content {
        Some(PresentOrErased::Content(content)) => Ok(Content::Present {
            salt: content.salt.as_slice().try_into().map_err(|_| Malformed("salt"))?,
            payload: content.payload.clone(),
        }),
        Some(PresentOrErased::ErasedCommitment(commitment)) => Ok(Content::Erased {
            commitment: hash_of(commitment, "erased_commitment")?,
        }),
        None => Err(Malformed("content")),
    }
}

/// Hashes as bytes, for proofs.
pub fn bytes_of(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect()
}

/// Bytes as hashes, for proofs.
///
/// # Errors
/// [`Malformed`] with the name of the field when one has not 32 bytes.
pub fn hashes_of(bytes: &[Vec<u8>], field: &'static str) -> Result<Vec<Hash>, Malformed> {
    bytes.iter().map(|bytes| hash_of(bytes, field)).collect()
}

fn hash_of(bytes: &[u8], field: &'static str) -> Result<Hash, Malformed> {
    Hash::from_slice(bytes).ok_or(Malformed(field))
}

fn uuid_of(text: &str) -> Result<Uuid, Malformed> {
    text.parse().map_err(|_| Malformed("entry_id"))
}

fn instant_of(instant: Option<&prost_types::Timestamp>) -> Result<time::Timestamp, Malformed> {
    // Truncation would let a changed nanosecond pass: the exact instant is read, and verification wants microseconds.
    let exact = instant.and_then(|instant| time::Timestamp::new(instant.seconds, instant.nanos).ok());
    exact.ok_or(Malformed("recorded_at"))
}
