//! What is said about a person's health, or about a third person, is sealed before it touches the database.
//!
//! Each text has a key of its own, which seals nothing else and stands before it, wrapped under the service's key.
//! Whoever moves a sealed text to another place finds that it does not open there.

use api::identity::DmpId;
use store::random::Random;
use store::sealed::{CHUNK_BYTES, Key, TAG_BYTES};
use store::{Error, Result};
use uuid::Uuid;

/// A wrapped key: its nonce, 32 bytes and the tag.
const WRAPPED_KEY_BYTES: usize = 12 + 32 + TAG_BYTES;

/// Where a text belongs: it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// Why somebody came in: of an exceptional access.
    Reason(Uuid),
    /// What a second look says in words: of an exceptional access.
    Remark(Uuid),
    /// Who is a dossier's trusted person.
    TrustedPerson(&'a DmpId),
}

impl Place<'_> {
    fn name(self) -> Vec<u8> {
        match self {
            Self::Reason(id) => [b"dmp-consent/v1 reason ", id.as_bytes().as_slice()].concat(),
            Self::Remark(id) => [b"dmp-consent/v1 remark ", id.as_bytes().as_slice()].concat(),
            Self::TrustedPerson(dmp_id) => {
                [b"dmp-consent/v1 trusted person ".as_slice(), dmp_id.as_str().as_bytes()].concat()
            }
        }
    }
}

/// Seals and opens. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    key: Key,
    random: Random,
}

impl Vault {
    pub(crate) fn new(key: Key, random: Random) -> Self {
        Self { key, random }
    }

    /// Seals a text.
    pub(crate) fn seal(&self, place: Place<'_>, clear: &[u8]) -> Result<Vec<u8>> {
        let place = place.name();
        let key = Key::generate(&self.random);
        let chunks = key.seal(&place, clear).map_err(|_| SEALED)?;
        Ok([self.key.wrap(&key, &place, &self.random), chunks.concat()].concat())
    }

    /// Opens a text.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for bytes that were changed, moved or sealed under another key.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>> {
        let place = place.name();
        let (key, content) = sealed.split_at_checked(WRAPPED_KEY_BYTES).ok_or(SEALED)?;
        let key = self.key.unwrap(key, &place).map_err(|_| SEALED)?;
        let chunks: Vec<Vec<u8>> = content.chunks(CHUNK_BYTES + TAG_BYTES).map(<[u8]>::to_vec).collect();
        key.open(&place, &chunks).map_err(|_| SEALED)
    }

    /// Opens a text of characters.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub(crate) fn open_text(&self, place: Place<'_>, sealed: &[u8]) -> Result<String> {
        String::from_utf8(self.open(place, sealed)?).map_err(|_| SEALED)
    }
}

const SEALED: Error = Error::Corrupt("a sealed text");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_text_opens_in_its_place_only() {
        let random = Random::seeded(1);
        let vault = Vault::new(Key::generate(&random), random.clone());
        let stranger = Vault::new(Key::generate(&random), random.clone());
        let (here, elsewhere) = (DmpId::generate([1; 16]), DmpId::generate([2; 16]));
        let (one, other) = (random.uuid(), random.uuid());
        let places = [
            Place::Reason(one),
            Place::Reason(other),
            Place::Remark(one),
            Place::TrustedPerson(&here),
            Place::TrustedPerson(&elsewhere),
        ];
        for (number, place) in places.into_iter().enumerate() {
            let sealed = vault.seal(place, "à l'accueil".as_bytes()).unwrap();
            for (other_number, other) in places.into_iter().enumerate() {
                let opened = vault.open_text(other, &sealed).ok();
                assert_eq!(opened.as_deref(), (number == other_number).then_some("à l'accueil"));
            }
            assert!(stranger.open(place, &sealed).is_err());
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let random = Random::seeded(2);
        let vault = Vault::new(Key::generate(&random), random.clone());
        let place = Place::Reason(random.uuid());
        let sealed = vault.seal(place, b"unconscious").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open(place, &changed).is_err(), "byte {at}");
            assert!(vault.open(place, &sealed[..at]).is_err(), "the first {at} bytes");
        }
    }
}
