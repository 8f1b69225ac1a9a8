//! What a message or a notice says is sealed before it touches the database.
//!
//! Each part of a message, and each notice, has a key of its own, which seals nothing else and is stored beside it, wrapped under the
//! service's key. Whoever moves a part to another message, or a body in the place of a header, finds that it does not
//! open.

use serve::without;
use store::random::Random;
use store::sealed::{CHUNK_BYTES, Key, SealError, TAG_BYTES};
use uuid::Uuid;

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A message's addresses, subject and references.
    Header,
    /// A message's text.
    Body,
    /// What a notice tells, but its recipient.
    Notice,
}

/// A sealed part, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// The part's key, wrapped.
    pub(crate) key: Vec<u8>,
    /// The chunks, one after the other.
    pub(crate) content: Vec<u8>,
}

/// Seals and opens.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    key: Key,
    random: Random,
}

impl Vault {
    pub(crate) fn new(key: Key, random: Random) -> Self {
        Self { key, random }
    }

    pub(crate) fn seal(&self, part: Part, id: Uuid, clear: &[u8]) -> Result<Sealed, SealError> {
        if without::encryption() {
            return Ok(Sealed {
                key: Vec::new(),
                content: clear.to_vec(),
            });
        }
        let place = place(part, id);
        let key = Key::generate(&self.random);
        let content = key.seal(&place, clear)?.concat();
        Ok(Sealed {
            key: self.key.wrap(&key, &place, &self.random),
            content,
        })
    }

    pub(crate) fn open(&self, part: Part, id: Uuid, sealed: &Sealed) -> Result<Vec<u8>, SealError> {
        if without::encryption() {
            return Ok(sealed.content.clone());
        }
        let place = place(part, id);
        let key = self.key.unwrap(&sealed.key, &place)?;
        let chunks: Vec<Vec<u8>> = sealed
            .content
            .chunks(CHUNK_BYTES + TAG_BYTES)
            .map(<[u8]>::to_vec)
            .collect();
        key.open(&place, &chunks)
    }
}

/// Where a part of a message, or a notice, belongs: nothing opens anywhere else.
fn place(part: Part, id: Uuid) -> Vec<u8> {
    let name: &[u8] = match part {
        Part::Header => b"dmp-messaging/v1 header ",
        Part::Body => b"dmp-messaging/v1 body ",
        Part::Notice => b"dmp-messaging/v1 notice ",
    };
    [name, id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_part_opens_in_its_place_only() {
        let random = Random::seeded(1);
        let vault = Vault::new(Key::generate(&random), random.clone());
        let (message, other) = (random.uuid(), random.uuid());
        for clear in [&b"x"[..], &[7; 3 * CHUNK_BYTES + 1]] {
            let sealed = vault.seal(Part::Body, message, clear).unwrap();
            assert_eq!(vault.open(Part::Body, message, &sealed).unwrap(), clear);
            assert_eq!(vault.open(Part::Header, message, &sealed), Err(SealError::DoesNotOpen));
            assert_eq!(vault.open(Part::Body, other, &sealed), Err(SealError::DoesNotOpen));
            let stranger = Vault::new(Key::generate(&random), random.clone());
            assert_eq!(stranger.open(Part::Body, message, &sealed), Err(SealError::DoesNotOpen));
        }
    }
}
