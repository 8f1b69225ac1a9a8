//! Checkpoints (C2SP tlog-checkpoint): how many entries the log has and what root they give, signed by the log.
//!
//! A checkpoint fixes every entry below its size for ever. Two of the same log of which neither extends the other are proof
//! that it told different people different things.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;
use crate::note::{LogKey, Note, NoteError, VerifierKey};
use crate::proof::{self, ProofError};
use crate::tree::MAX_SIZE;

/// The three lines a log signs, and any more it may add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
    /// Further lines, not empty, whose meaning this version does not know.
    pub extensions: Vec<String>,
}

/// Why a checkpoint is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a note, or not signed by the log.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Signed, but not a checkpoint.
    #[error("the signed text is not a checkpoint")]
    Malformed,
    /// A checkpoint of another log.
    #[error("the checkpoint names another log than its key")]
    Origin,
}

/// Two checkpoints which cannot both be of one growing log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log at {new} entries is not shown to extend the log at {old} entries: {reason}")]
pub struct Fork {
    /// Size of the earlier checkpoint.
    pub old: u64,
    /// Size of the later checkpoint.
    pub new: u64,
    /// What is wrong with the proof.
    pub reason: ProofError,
}

impl Checkpoint {
    /// The checkpoint in `note`, if the log of `key` signed it and it names that log.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Checkpoint, CheckpointError> {
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(note.verify(key)?).ok_or(CheckpointError::Malformed)?;
        if checkpoint.origin == key.name() {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Origin)
        }
    }

    /// The note by which the log of `key` vouches for this checkpoint. The caller answers for its never contradicting an
    /// earlier one.
    pub fn sign(&self, key: &LogKey) -> Result<String, NoteError> {
        key.sign(&self.text())
    }

    /// Holds when `old` is the beginning of this checkpoint's log; `proof` is the consistency proof between the two. Anything
    /// else, also two logs of different names, is a fork.
    pub fn extends(&self, old: &Checkpoint, proof: &[Hash]) -> Result<(), Fork> {
        let fork = |reason| Fork {
            old: old.size,
            new: self.size,
            reason,
        };
        if self.origin != old.origin {
            return Err(fork(ProofError::OutOfRange));
        }
        proof::verify_consistency(old.size, self.size, proof, &old.root, &self.root).map_err(fork)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            STANDARD.encode(self.root.as_bytes())
        );
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    fn parse(text: &str) -> Option<Checkpoint> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty())?.to_owned();
        let size = parse_size(lines.next()?)?;
        let root = Hash::from_slice(&STANDARD.decode(lines.next()?).ok()?)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        extensions.iter().all(|line| !line.is_empty()).then_some(Checkpoint {
            origin,
            size,
            root,
            extensions,
        })
    }
}

/// ASCII decimal without sign or leading zero.
fn parse_size(line: &str) -> Option<u64> {
    let size = line.parse().ok().filter(|size| *size <= MAX_SIZE)?;
    (line == format!("{size}")).then_some(size)
}
