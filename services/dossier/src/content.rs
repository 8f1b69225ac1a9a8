//! How a document's content is sealed.
//!
//! Each content has a key of its own, wrapped by its dossier's key, wrapped by the host's. Destroying the dossier's key
//! makes every document of that dossier unreadable, in every backup. A key or a chunk moved to another dossier or
//! document does not open.

use api::identity::DmpId;
use serve::without;
use store::random::Random;
use store::sealed::{CHUNK_BYTES, Key, SealError};
use uuid::Uuid;

/// The host's key. `Debug` shows nothing of it.
#[derive(Debug, Clone)]
pub(crate) struct HostKey {
    key: Key,
    random: Random,
}

/// A sealed content, as stored.
pub(crate) struct Sealed {
    /// Its key, wrapped by the dossier's.
    pub(crate) key: Vec<u8>,
    /// Its chunks, at least one.
    pub(crate) chunks: Vec<Vec<u8>>,
}

/// The key of one dossier.
#[derive(Debug, Clone)]
pub(crate) struct DossierKey {
    key: Key,
    dmp_id: DmpId,
    random: Random,
}

/// The key of one content, and how many chunks it opens.
pub(crate) struct ContentKey {
    key: Key,
    place: Vec<u8>,
    chunks: u32,
}

impl HostKey {
    pub(crate) fn new(key: Key, random: Random) -> Self {
        Self { key, random }
    }

    /// A new key for a dossier, wrapped.
    pub(crate) fn wrapped_key_for(&self, dmp_id: &DmpId) -> Vec<u8> {
        self.key
            .wrap(&Key::generate(&self.random), &place_of_dossier(dmp_id), &self.random)
    }

    /// The key of a dossier.
    pub(crate) fn unwrap(&self, wrapped: &[u8], dmp_id: &DmpId) -> Result<DossierKey, SealError> {
        Ok(DossierKey {
            key: unwrap(&self.key, wrapped, &place_of_dossier(dmp_id))?,
            dmp_id: dmp_id.clone(),
            random: self.random.clone(),
        })
    }
}

impl DossierKey {
    /// Seals a whole content.
    pub(crate) fn seal(&self, logical_id: Uuid, content: &[u8]) -> Result<Sealed, SealError> {
        if without::encryption() {
            let chunks = content.chunks(CHUNK_BYTES).map(<[u8]>::to_vec).collect();
            return Ok(Sealed {
                key: Vec::new(),
                chunks,
            });
        }
        let place = place_of_content(&self.dmp_id, logical_id);
        let key = Key::generate(&self.random);
        let chunks = key.seal(&place, content)?;
        Ok(Sealed {
            key: self.key.wrap(&key, &place, &self.random),
            chunks,
        })
    }

    /// The key of a content that has `chunks` chunks.
    pub(crate) fn unwrap(&self, wrapped: &[u8], logical_id: Uuid, chunks: u32) -> Result<ContentKey, SealError> {
        let place = place_of_content(&self.dmp_id, logical_id);
        Ok(ContentKey {
            key: unwrap(&self.key, wrapped, &place)?,
            place,
            chunks,
        })
    }
}

impl ContentKey {
    /// How many chunks the content has.
    pub(crate) fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Opens chunk `number`, from 0.
    pub(crate) fn open(&self, number: u32, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        if without::encryption() {
            return Ok(sealed.to_vec());
        }
        self.key
            .open_chunk(&self.place, number, number + 1 == self.chunks, sealed)
    }
}

/// The key that `key` wraps. Where content is stored as it is, no key is needed: any will do.
fn unwrap(key: &Key, wrapped: &[u8], place: &[u8]) -> Result<Key, SealError> {
    if without::encryption() {
        return Ok(key.clone());
    }
    key.unwrap(wrapped, place)
}

fn place_of_dossier(dmp_id: &DmpId) -> Vec<u8> {
    [b"dmp-dossier/v1 dossier ", dmp_id.as_str().as_bytes()].concat()
}

fn place_of_content(dmp_id: &DmpId, logical_id: Uuid) -> Vec<u8> {
    [
        b"dmp-dossier/v1 content ",
        dmp_id.as_str().as_bytes(),
        b" ",
        logical_id.as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;

    fn dmp_id(seed: u8) -> DmpId {
        DmpId::generate([seed; 16])
    }

    /// reliability.md P9: never another patient's data.
    #[test]
    fn content_opens_in_its_dossier_and_under_its_document_only() {
        let random = Random::seeded(1);
        let host = HostKey::new(Key::generate(&random), random.clone());
        let (ours, theirs) = (host.wrapped_key_for(&dmp_id(1)), host.wrapped_key_for(&dmp_id(2)));
        let (document, other) = (random.uuid(), random.uuid());
        let dossier = host.unwrap(&ours, &dmp_id(1)).unwrap();
        let content = vec![7; 2 * CHUNK_BYTES + 1];
        let sealed = dossier.seal(document, &content).unwrap();
        let key = dossier.unwrap(&sealed.key, document, 3).unwrap();
        let opened: Vec<u8> = (0..key.chunks())
            .flat_map(|at| key.open(at, &sealed.chunks[at as usize]).unwrap())
            .collect();
        assert_eq!(opened, content);
        assert!(host.unwrap(&theirs, &dmp_id(1)).is_err());
        assert!(dossier.unwrap(&sealed.key, other, 3).is_err());
        assert!(
            host.unwrap(&theirs, &dmp_id(2))
                .unwrap()
                .unwrap(&sealed.key, document, 3)
                .is_err()
        );
        let cut = dossier.unwrap(&sealed.key, document, 2).unwrap();
        assert!(
            cut.open(1, &sealed.chunks[1]).is_err(),
            "a content cut at a chunk is noticed"
        );
    }
}
