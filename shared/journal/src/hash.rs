//! SHA-256 as RFC 9162 §2.1.1 uses it: a leaf and an interior node can never be mistaken for one another, because each is
//! hashed behind a byte of its own.

use std::fmt;

use aws_lc_rs::{digest, hmac};

/// Prefix of a leaf (RFC 9162 §2.1.1).
const LEAF: u8 = 0x00;
/// Prefix of an interior node (RFC 9162 §2.1.1).
const NODE: u8 = 0x01;

/// A SHA-256 value: a leaf, a node or a root of the tree, or the end of a chain. Shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What stands before the first entry of a chain: 32 zero bytes, which is the hash of nothing known.
    pub const ZERO: Hash = Hash([0; 32]);

    /// The hash held in `bytes`; `None` unless they are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Hash> {
        bytes.try_into().ok().map(Hash)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The bytes as a database column takes them.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Root of the tree without leaves: the hash of no bytes (RFC 9162 §2.1.1).
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// Hash of the leaf whose data is `data` (RFC 9162 §2.1.1).
pub fn leaf(data: &[u8]) -> Hash {
    sha256(&[&[LEAF], data])
}

/// Hash of the node above `left` and `right` (RFC 9162 §2.1.1).
pub fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[NODE], &left.0, &right.0])
}

/// SHA-256 of the parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    collect(context.finish().as_ref())
}

/// HMAC-SHA256 of the parts, one after the other.
pub(crate) fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> Hash {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    collect(context.sign().as_ref())
}

/// The 32 bytes which SHA-256 and its HMAC always give.
fn collect(bytes: &[u8]) -> Hash {
    let mut hash = Hash::ZERO;
    for (to, from) in hash.0.iter_mut().zip(bytes) {
        *to = *from;
    }
    hash
}
