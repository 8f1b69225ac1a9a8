//! The definitions of RFC 9162 §2.1 word for word, over the whole list of leaves: slow, and independent of the crate's way.

use journal::hash::{self, Hash};

fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// MTH over leaf hashes (RFC 9162 §2.1.1).
pub(crate) fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => hash::empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            hash::node(&mth(left), &mth(right))
        }
    }
}

/// PATH(m, D_n) (RFC 9162 §2.1.3.1).
pub(crate) fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut below, beside) = if m < k {
        (path(m, left), mth(right))
    } else {
        (path(m - k, right), mth(left))
    };
    below.push(beside);
    below
}

/// PROOF(m, D_n) (RFC 9162 §2.1.4.1).
pub(crate) fn proof(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if m == 0 || m == leaves.len() {
        Vec::new()
    } else {
        subproof(m, leaves, true)
    }
}

fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut below, beside) = if m <= k {
        (subproof(m, left, whole), mth(right))
    } else {
        (subproof(m - k, right, false), mth(left))
    };
    below.push(beside);
    below
}

/// `count` different leaf hashes.
pub(crate) fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|i| hash::leaf(&i.to_be_bytes())).collect()
}
