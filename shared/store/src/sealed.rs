//! Content is encrypted before it touches a disk.
//!
//! Three levels of AES-256-GCM keys: a host's key (a file that the operator keeps) wraps the key of a dossier or of a
//! mailbox service, which wraps the key of one content. A content's key seals that content only, once, in chunks of
//! [`CHUNK_BYTES`] (STREAM, Hoang–Reyhanitabar–Rogaway–Vizár 2015): the nonce is the chunk's number and whether it is
//! the last, so a chunk that is cut off, repeated, moved or taken from another content does not open. Destroying a
//! key makes everything under it unreadable, in every backup.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

use crate::random::Random;

/// Clear bytes of every chunk but the last, which has 0 to this many.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes that sealing adds to a chunk.
pub const TAG_BYTES: usize = 16;

const KEY_BYTES: usize = 32;

/// Why something does not open. Says nothing of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Changed, cut off, moved, or sealed under another key or for another place.
    #[error("sealed bytes do not open: changed, moved, or sealed under another key")]
    DoesNotOpen,
    /// A key file must hold exactly 32 bytes.
    #[error("a key file must hold exactly 32 bytes")]
    KeyFile,
    /// A content may have at most 2^32 chunks.
    #[error("content has too many chunks")]
    TooLong,
}

/// An AES-256-GCM key; wiped from memory when dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(…)")
    }
}

impl Key {
    /// A new key.
    pub fn generate(random: &Random) -> Self {
        Self(Zeroizing::new(random.bytes()))
    }

    /// Reads a key from its file of 32 bytes.
    ///
    /// # Errors
    /// What the file system says; [`SealError::KeyFile`] as `InvalidData` when the length is another.
    pub fn from_file(path: &Path) -> std::io::Result<Self> {
        let bytes = Zeroizing::new(std::fs::read(path)?);
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice())
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, SealError::KeyFile))?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// The bytes to write into a key file: the operator's to protect.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        self.0.clone()
    }

    /// Seals `key` under this one, for one place only: `context` names what the wrapped key is for.
    pub fn wrap(&self, key: &Key, context: &[u8], random: &Random) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random.bytes();
        let sealed = self.seal_with(nonce, context, key.0.as_slice());
        [nonce.as_slice(), &sealed].concat()
    }

    /// Opens a wrapped key.
    ///
    /// # Errors
    /// [`SealError::DoesNotOpen`].
    pub fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Key, SealError> {
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(SealError::DoesNotOpen)?;
        let bytes = Zeroizing::new(self.open_with(*nonce, context, sealed)?);
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| SealError::DoesNotOpen)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// Seals a whole content into chunks, at least one. The key must have sealed nothing before and seal nothing
    /// after: [`Key::generate`] one for each content.
    ///
    /// # Errors
    /// [`SealError::TooLong`].
    pub fn seal(&self, context: &[u8], content: &[u8]) -> Result<Vec<Vec<u8>>, SealError> {
        let chunks: Vec<&[u8]> = if content.is_empty() {
            vec![&[]]
        } else {
            content.chunks(CHUNK_BYTES).collect()
        };
        let last = u32::try_from(chunks.len() - 1).map_err(|_| SealError::TooLong)?;
        let sealed = (0..=last).zip(chunks);
        Ok(sealed
            .map(|(number, chunk)| self.seal_with(nonce(number, number == last), context, chunk))
            .collect())
    }

    /// Opens chunk `number`, which is the last one of `chunks`, or not.
    ///
    /// # Errors
    /// [`SealError::DoesNotOpen`].
    pub fn open_chunk(&self, context: &[u8], number: u32, last: bool, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.open_with(nonce(number, last), context, sealed)
    }

    /// Opens a whole content.
    ///
    /// # Errors
    /// [`SealError::DoesNotOpen`].
    pub fn open(&self, context: &[u8], chunks: &[Vec<u8>]) -> Result<Vec<u8>, SealError> {
        let last = u32::try_from(chunks.len())
            .ok()
            .and_then(|count| count.checked_sub(1))
            .ok_or(SealError::DoesNotOpen)?;
        let mut content = Vec::new();
        for (number, chunk) in (0..=last).zip(chunks) {
            content.extend(self.open_chunk(context, number, number == last, chunk)?);
        }
        Ok(content)
    }

    fn cipher(&self) -> LessSafeKey {
        #[expect(clippy::expect_used, reason = "the length is the type's: 32 bytes always make a key")]
        let key = UnboundKey::new(&AES_256_GCM, self.0.as_slice()).expect("32 bytes make an AES-256 key");
        LessSafeKey::new(key)
    }

    fn seal_with(&self, nonce: [u8; NONCE_LEN], context: &[u8], clear: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(clear.len() + TAG_BYTES);
        bytes.extend_from_slice(clear);
        let nonce = Nonce::assume_unique_for_key(nonce);
        #[expect(
            clippy::expect_used,
            reason = "AES-GCM fails only above 64 GiB, and a chunk has 64 KiB"
        )]
        self.cipher()
            .seal_in_place_append_tag(nonce, Aad::from(context), &mut bytes)
            .expect("a chunk can be sealed");
        bytes
    }

    fn open_with(&self, nonce: [u8; NONCE_LEN], context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut bytes = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let clear = self.cipher().open_in_place(nonce, Aad::from(context), &mut bytes);
        let length = clear.map_err(|_| SealError::DoesNotOpen)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// STREAM's nonce: seven zero bytes (the key is used for one content only), the chunk's number, whether it is the last.
fn nonce(number: u32, last: bool) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    let (_, tail) = nonce.split_at_mut(NONCE_LEN - 5);
    let bytes = number.to_be_bytes().into_iter().chain([u8::from(last)]);
    tail.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    nonce
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;

    fn sealed(length: usize) -> (Key, Vec<u8>, Vec<Vec<u8>>) {
        let key = Key::generate(&Random::seeded(1));
        let content: Vec<u8> = (0..length).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
        let chunks = key.seal(b"document 1", &content).unwrap();
        (key, content, chunks)
    }

    #[test]
    fn content_of_every_length_around_a_chunk_opens_as_it_was() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let (key, content, chunks) = sealed(length);
            assert_eq!(chunks.len(), length.div_ceil(CHUNK_BYTES).max(1));
            assert_eq!(key.open(b"document 1", &chunks).unwrap(), content);
        }
    }

    #[test]
    fn a_content_cut_at_a_chunk_does_not_open() {
        let (key, _, mut chunks) = sealed(2 * CHUNK_BYTES + 1);
        chunks.pop();
        assert_eq!(key.open(b"document 1", &chunks), Err(SealError::DoesNotOpen));
        assert_eq!(key.open(b"document 1", &[]), Err(SealError::DoesNotOpen));
    }

    #[test]
    fn chunks_in_another_order_do_not_open() {
        let (key, _, mut chunks) = sealed(3 * CHUNK_BYTES);
        chunks.swap(0, 1);
        assert_eq!(key.open(b"document 1", &chunks), Err(SealError::DoesNotOpen));
    }

    #[test]
    fn content_moved_to_another_place_does_not_open() {
        let (key, _, chunks) = sealed(10);
        assert_eq!(key.open(b"document 2", &chunks), Err(SealError::DoesNotOpen));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (key, _, chunks) = sealed(40);
        for at in 0..chunks[0].len() {
            let mut changed = chunks.clone();
            changed[0][at] ^= 1;
            assert_eq!(
                key.open(b"document 1", &changed),
                Err(SealError::DoesNotOpen),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_wrapped_key_opens_only_under_its_key_and_for_its_place() {
        let random = Random::seeded(2);
        let (host, other, dossier) = (Key::generate(&random), Key::generate(&random), Key::generate(&random));
        let wrapped = host.wrap(&dossier, b"dossier 1", &random);
        assert_eq!(
            host.unwrap(&wrapped, b"dossier 1").unwrap().to_bytes(),
            dossier.to_bytes()
        );
        assert_eq!(host.unwrap(&wrapped, b"dossier 2").unwrap_err(), SealError::DoesNotOpen);
        assert_eq!(
            other.unwrap(&wrapped, b"dossier 1").unwrap_err(),
            SealError::DoesNotOpen
        );
        assert_eq!(
            host.unwrap(&wrapped[..11], b"dossier 1").unwrap_err(),
            SealError::DoesNotOpen
        );
    }

    #[test]
    fn a_key_says_nothing_of_itself() {
        assert_eq!(format!("{:?}", Key::generate(&Random::seeded(3))), "Key(…)");
    }
}
