//! The Merkle tree of RFC 9162 §2.1, without any I/O: which hashes there are, which ones a proof is made of, and how to
//! append with O(log n) state.
//!
//! Only *complete* subtrees have a stored hash. One at (level, position) covers the leaves from `position · 2^level` up to
//! `(position + 1) · 2^level`, and never changes once its last leaf is in. Every other hash of the RFC's definition lies on
//! the right edge of a tree and is folded from O(log n) complete ones.

use crate::hash::{self, Hash};

/// Largest tree this log will ever build: far beyond need, and any index fits a signed 64-bit column.
pub const MAX_SIZE: u64 = 1 << 48;

/// The place of a complete subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// Height above the leaves, which are at level 0.
    pub level: u32,
    /// How many subtrees of that level stand to the left.
    pub position: u64,
}

/// The right edge of a tree: the roots of its largest complete subtrees, from left to right. It is all one needs to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// The tree without leaves.
    pub fn empty() -> Frontier {
        Frontier {
            size: 0,
            roots: Vec::new(),
        }
    }

    /// The frontier of a tree of `size` leaves, from the hashes of [`frontier_nodes`] in that order; `None` when their number
    /// does not fit.
    pub fn restore(size: u64, roots: Vec<Hash>) -> Option<Frontier> {
        (frontier_nodes(size).len() == roots.len()).then_some(Frontier { size, roots })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The complete subtrees with their hashes.
    pub fn nodes(&self) -> impl Iterator<Item = (Node, Hash)> {
        frontier_nodes(self.size).into_iter().zip(self.roots.iter().copied())
    }

    /// Root of the tree (MTH of RFC 9162 §2.1.1).
    pub fn root(&self) -> Hash {
        fold(&self.roots).unwrap_or_else(hash::empty_root)
    }

    /// Appends a leaf and returns every subtree it completes, the leaf itself first.
    pub fn append(&mut self, leaf: Hash) -> Vec<(Node, Hash)> {
        let mut node = Node {
            level: 0,
            position: self.size,
        };
        let mut hash = leaf;
        let mut completed = vec![(node, hash)];
        while node.position % 2 == 1 {
            let Some(left) = self.roots.pop() else { break };
            hash = hash::node(&left, &hash);
            node = Node {
                level: node.level + 1,
                position: node.position / 2,
            };
            completed.push((node, hash));
        }
        self.roots.push(hash);
        self.size += 1;
        completed
    }
}

/// The largest complete subtrees of a tree of `size` leaves, from left to right: one for each bit set in `size`.
pub fn frontier_nodes(size: u64) -> Vec<Node> {
    cover(0, size)
}

/// One hash of a proof: the complete subtrees whose hashes, folded from the right, give it.
pub type Element = Vec<Node>;

/// What the inclusion proof of leaf `index` in a tree of `size` leaves is made of, in the RFC's order (PATH of RFC 9162
/// §2.1.3.1). `None` when there is no such leaf.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Element>> {
    if index >= size || size > MAX_SIZE {
        return None;
    }
    let (mut start, mut end) = (0, size);
    let mut elements = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            elements.push(cover(middle, end));
            end = middle;
        } else {
            elements.push(cover(start, middle));
            start = middle;
        }
    }
    elements.reverse();
    Some(elements)
}

/// What the proof is made of that the tree of `to` leaves extends the tree of `from` leaves, in the RFC's order (PROOF of
/// RFC 9162 §2.1.4.1). Empty where `from` is 0 or `to`: there is nothing to show. `None` when `from` is greater than `to`.
pub fn consistency(from: u64, to: u64) -> Option<Vec<Element>> {
    if from > to || to > MAX_SIZE {
        return None;
    }
    if from == 0 || from == to {
        return Some(Vec::new());
    }
    let (mut start, mut end) = (0, to);
    let mut elements = Vec::new();
    while end != from {
        let middle = start + split(end - start);
        if from <= middle {
            elements.push(cover(middle, end));
            end = middle;
        } else {
            elements.push(cover(start, middle));
            start = middle;
        }
    }
    // SUBPROOF(m, D_m, true) is empty: the verifier has the root of the old tree already.
    if start != 0 {
        elements.push(cover(start, end));
    }
    elements.reverse();
    Some(elements)
}

/// The hash above complete subtrees standing side by side, the largest to the left; `None` of no subtree.
pub fn fold(hashes: &[Hash]) -> Option<Hash> {
    hashes
        .iter()
        .rev()
        .copied()
        .reduce(|right, left| hash::node(&left, &right))
}

/// The complete subtrees which cover the leaves from `start` up to `end`. `start` must be a multiple of the largest power of
/// two in the range, as every range of the RFC's definitions is.
fn cover(start: u64, end: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut at = start;
    while at < end {
        let level = (end - at).ilog2();
        nodes.push(Node {
            level,
            position: at >> level,
        });
        at += 1 << level;
    }
    nodes
}

/// The largest power of two below `size`, which must be at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}
