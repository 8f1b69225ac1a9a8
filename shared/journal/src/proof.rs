//! Whether a proof holds (RFC 9162 §2.1.3.2 and §2.1.4.2), without any I/O and without the tree.
//!
//! Nothing of `tree` is used here, so that the two check each other.

use crate::hash::{self, Hash};
use crate::tree::MAX_SIZE;

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such leaf or tree: index past the end, a tree that shrinks, or a size beyond [`MAX_SIZE`].
    #[error("no such leaf or tree size")]
    OutOfRange,
    /// The proof has more or fewer hashes than its place in the tree asks for.
    #[error("the proof is not as long as it must be")]
    WrongLength,
    /// The proof leads to another root than the one signed.
    #[error("the proof leads to another root")]
    WrongRoot,
}

/// Holds when the leaf `leaf` is at `index` in the tree of `size` leaves whose root is `root` (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size || size > MAX_SIZE {
        return Err(ProofError::OutOfRange);
    }
    let (mut place, mut last) = (index, size - 1);
    let mut reached = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if place % 2 == 1 || place == last {
            reached = hash::node(sibling, &reached);
            while place % 2 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            reached = hash::node(&reached, sibling);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    same(&reached, root)
}

/// Holds when the tree of `to` leaves under `new` begins with the tree of `from` leaves under `old` (RFC 9162 §2.1.4.2). The
/// empty tree begins every tree; for it, and for equal sizes, the proof must be empty.
pub fn verify_consistency(from: u64, to: u64, proof: &[Hash], old: &Hash, new: &Hash) -> Result<(), ProofError> {
    if from > to || to > MAX_SIZE {
        return Err(ProofError::OutOfRange);
    }
    if from == 0 || from == to {
        return verify_trivially(from, to, proof, old, new);
    }
    let (mut place, mut last) = (from - 1, to - 1);
    while place % 2 == 1 {
        (place, last) = (place >> 1, last >> 1);
    }
    // A tree of 2^k leaves is itself the first hash of the proof, which the RFC leaves out.
    let mut hashes = proof.iter();
    let first = if from.is_power_of_two() {
        old
    } else {
        hashes.next().ok_or(ProofError::WrongLength)?
    };
    let (mut reached_old, mut reached_new) = (*first, *first);
    for sibling in hashes {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if place % 2 == 1 || place == last {
            reached_old = hash::node(sibling, &reached_old);
            reached_new = hash::node(sibling, &reached_new);
            while place % 2 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            reached_new = hash::node(&reached_new, sibling);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    same(&reached_old, old)?;
    same(&reached_new, new)
}

fn verify_trivially(from: u64, to: u64, proof: &[Hash], old: &Hash, new: &Hash) -> Result<(), ProofError> {
    if !proof.is_empty() {
        return Err(ProofError::WrongLength);
    }
    if from == 0 {
        same(old, &hash::empty_root())?;
    }
    if from == to { same(old, new) } else { Ok(()) }
}

fn same(reached: &Hash, root: &Hash) -> Result<(), ProofError> {
    if reached == root {
        Ok(())
    } else {
        Err(ProofError::WrongRoot)
    }
}
