//! What a document says of itself, complete enough to be filed and found (XDS DocumentEntry).
//!
//! CDA R2 says it in its header ([`cda`]); a PDF or a text has it given beside it ([`given`]). Either way every code is
//! one of its published table, and what lenient checking let through is kept as a finding.

pub(crate) mod cda;
pub(crate) mod given;

use api::codes::{self, Concept};
use api::common::v1::Coding;
use api::dossier::v1 as pb;
use prost::Message;
use std::fmt;
use store::time::{Timestamp, from_proto, to_proto};

use crate::error::Fault;

/// Longest producer's id, in characters (IHE ITI TF-3, DocumentEntry.uniqueId).
pub(crate) const UNIQUE_ID_CHARS_MAX: usize = 128;

/// Largest metadata of one document: what keeps a page of a listing, and a row, within bounds. Real ones have 2 KiB.
pub(crate) const METADATA_BYTES_MAX: usize = 64 * 1024;

/// Class of technical documents, which travel in an exchange and are not filed in a dossier (value set J06, not J57).
const CLASS_TECHNICAL: &str = "99";

/// A producer's id of a document: `root^extension`, an OID or a UUID.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UniqueId(String);

impl UniqueId {
    /// 1 to [`UNIQUE_ID_CHARS_MAX`] characters, no control character and no white space.
    pub(crate) fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        if text.is_empty() {
            return Err(("REQUIRED", "must be given"));
        }
        if text.chars().count() > UNIQUE_ID_CHARS_MAX {
            return Err(("LENGTH", "must have 1 to 128 characters"));
        }
        if text.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(("WRONG_CHARACTERS", "must hold neither spaces nor control characters"));
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UniqueId(…)")
    }
}

/// Metadata as they are stored, checked for no more than that a document's fields can be told apart in them.
#[derive(Default)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    unique_id: String,
    service_start: Timestamp,
}

/// Of a stored document, what its place in a listing is made of.
#[derive(Clone, PartialEq, Message)]
struct Place {
    #[prost(string, tag = "3")]
    unique_id: String,
    #[prost(message, optional, tag = "20")]
    service_start: Option<prost_types::Timestamp>,
}

impl Kept {
    /// Producer's id.
    pub(crate) fn unique_id(&self) -> &str {
        &self.unique_id
    }

    /// When the act began.
    pub(crate) fn service_start(&self) -> Timestamp {
        self.service_start
    }

    /// Bytes of it.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// What [`Metadata::to_bytes`] wrote.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// What is made of stored metadata.
pub(crate) trait Stored: Sized {
    /// From what was stored; `None` when it is not what [`Metadata::to_bytes`] wrote.
    fn from_stored(bytes: Vec<u8>) -> Option<Self>;
}

impl Stored for Kept {
    fn from_stored(bytes: Vec<u8>) -> Option<Self> {
        let place = Place::decode(bytes.as_slice()).ok()?;
        Some(Self {
            unique_id: place.unique_id,
            service_start: from_proto(place.service_start.as_ref()?)?,
            bytes,
        })
    }
}

/// The metadata of one document. All of it is personal: `Debug` shows type and class only.
#[derive(Clone, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) unique_id: UniqueId,
    pub(crate) set_id: String,
    /// 0 when not given.
    pub(crate) version_number: i64,
    pub(crate) document_type: Coding,
    pub(crate) class: Coding,
    pub(crate) template_ids: Vec<String>,
    pub(crate) practice_setting: Coding,
    pub(crate) facility_type: Coding,
    pub(crate) confidentiality: Coding,
    pub(crate) title: String,
    pub(crate) language: String,
    pub(crate) authors: Vec<pb::DocumentAuthor>,
    pub(crate) legal_authenticator: Option<pb::DocumentAuthor>,
    pub(crate) creation_time: Timestamp,
    pub(crate) service_start: Timestamp,
    pub(crate) service_stop: Option<Timestamp>,
    pub(crate) replaces: Option<UniqueId>,
    pub(crate) findings: Vec<String>,
}

impl Metadata {
    /// Whether one of the authors bears this identifier.
    pub(crate) fn has_author(&self, author_id: &str) -> bool {
        self.author_ids().any(|id| id == author_id)
    }

    /// Identifiers of the authors that have one.
    pub(crate) fn author_ids(&self) -> impl Iterator<Item = &str> {
        self.authors
            .iter()
            .map(|author| author.author_id.as_str())
            .filter(|id| !id.is_empty())
    }

    /// The part of the contract's document that the document itself says.
    pub(crate) fn to_proto(&self) -> pb::Document {
        self.clone().into_proto()
    }

    /// The same, of metadata that are no longer needed.
    pub(crate) fn into_proto(self) -> pb::Document {
        pb::Document {
            unique_id: self.unique_id.into_string(),
            set_id: self.set_id,
            version_number: self.version_number,
            r#type: Some(self.document_type),
            class: Some(self.class),
            template_ids: self.template_ids,
            practice_setting: Some(self.practice_setting),
            healthcare_facility_type: Some(self.facility_type),
            confidentiality: Some(self.confidentiality),
            title: self.title,
            language: self.language,
            authors: self.authors,
            legal_authenticator: self.legal_authenticator,
            creation_time: Some(to_proto(self.creation_time)),
            service_start: Some(to_proto(self.service_start)),
            service_stop: self.service_stop.map(to_proto),
            replaces: self.replaces.map(UniqueId::into_string).unwrap_or_default(),
            findings: self.findings,
            ..pb::Document::default()
        }
    }

    /// As stored: the contract's own encoding, which a later version of the service still reads.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.to_proto().encode_to_vec()
    }

    /// Refuses metadata too large to list.
    pub(crate) fn check_size(&self) -> Result<(), Fault> {
        if self.to_proto().encoded_len() > METADATA_BYTES_MAX {
            return Err(Fault::new("METADATA_TOO_LARGE", ""));
        }
        Ok(())
    }
}

impl Stored for Metadata {
    fn from_stored(bytes: Vec<u8>) -> Option<Self> {
        let stored = pb::Document::decode(bytes.as_slice()).ok()?;
        let replaces = match stored.replaces.as_str() {
            "" => None,
            unique_id => Some(UniqueId::parse(unique_id).ok()?),
        };
        Some(Self {
            unique_id: UniqueId::parse(&stored.unique_id).ok()?,
            set_id: stored.set_id,
            version_number: stored.version_number,
            document_type: stored.r#type?,
            class: stored.class?,
            template_ids: stored.template_ids,
            practice_setting: stored.practice_setting?,
            facility_type: stored.healthcare_facility_type?,
            confidentiality: stored.confidentiality?,
            title: stored.title,
            language: stored.language,
            authors: stored.authors,
            legal_authenticator: stored.legal_authenticator,
            creation_time: from_proto(stored.creation_time.as_ref()?)?,
            service_start: from_proto(stored.service_start.as_ref()?)?,
            service_stop: stored.service_stop.as_ref().and_then(from_proto),
            replaces,
            findings: stored.findings,
        })
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Metadata(type {}, class {}, …)",
            self.document_type.code, self.class.code
        )
    }
}

/// A published concept as the contract carries it.
pub(crate) fn coding(concept: &Concept) -> Coding {
    Coding {
        code: concept.code.to_owned(),
        system: concept.system.to_owned(),
        label: concept.label.to_owned(),
    }
}

/// The class of a type, when documents of that type are filed in a dossier.
fn class_of(document_type: &Concept) -> Option<&'static Concept> {
    codes::class_of(document_type.code).filter(|class| class.code != CLASS_TECHNICAL && class.system != "URN")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> Coding {
        Coding {
            code: text.to_owned(),
            system: "1.2.3".to_owned(),
            label: text.to_owned(),
        }
    }

    prop_compose! {
        fn metadata()(
            text in "\\PC{1,20}", id in "[!-~]{1,128}", replaces in proptest::option::of("[!-~]{1,20}"),
            times in (0_i64..4_000_000_000_000_000, proptest::option::of(0_i64..4_000_000_000_000_000)),
            authors in proptest::collection::vec("[0-9/]{0,12}", 0..4), version in 0_i64..1_000,
        ) -> Metadata {
            let at = |micros| Timestamp::from_microsecond(micros).unwrap();
            let author = |id: &String| pb::DocumentAuthor { author_id: id.clone(), ..pb::DocumentAuthor::default() };
            Metadata {
                unique_id: UniqueId::parse(&id).unwrap(),
                set_id: text.clone(),
                version_number: version,
                document_type: code(&text),
                class: code(&text),
                template_ids: vec![text.clone()],
                practice_setting: code(&text),
                facility_type: code(&text),
                confidentiality: code("N"),
                title: text.clone(),
                language: "fr-FR".to_owned(),
                authors: authors.iter().map(author).collect(),
                legal_authenticator: None,
                creation_time: at(times.0),
                service_start: at(times.0),
                service_stop: times.1.map(at),
                replaces: replaces.map(|id| UniqueId::parse(&id).unwrap()),
                findings: vec![text],
            }
        }
    }

    proptest! {
        /// What is stored is what was filed.
        #[test]
        fn metadata_come_back_as_they_were_stored(filed in metadata()) {
            prop_assert_eq!(Metadata::from_stored(filed.to_bytes()), Some(filed));
        }

        /// What a listing goes by is what the contract's encoding has.
        #[test]
        fn metadata_as_they_are_kept_tell_their_place(filed in metadata()) {
            let kept = Kept::from_stored(filed.to_bytes()).unwrap();
            prop_assert_eq!((kept.unique_id(), kept.service_start()), (filed.unique_id.as_str(), filed.service_start));
            prop_assert_eq!(kept.into_bytes(), filed.to_bytes());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Metadata::from_stored(bytes.clone());
            let _ = Kept::from_stored(bytes);
        }

        /// IHE ITI TF-3, DocumentEntry.uniqueId: at most 128 characters.
        #[test]
        fn an_id_has_1_to_128_characters_and_no_space(text in "\\PC{0,140}") {
            let sound = (1..=128).contains(&text.chars().count()) && !text.chars().any(|it| it.is_whitespace() || it.is_control());
            prop_assert_eq!(UniqueId::parse(&text).is_ok(), sound);
        }
    }

    /// Nothing identifying a person may reach a log line.
    #[test]
    fn debug_shows_nothing_personal() {
        let id = UniqueId::parse("1.2.3^Dupont").unwrap();
        assert_eq!(format!("{id:?}"), "UniqueId(…)");
    }

    /// Value set J57 has no technical documents.
    #[test]
    fn technical_documents_are_not_filed() {
        let filed = |code: &str| class_of(codes::DOCUMENT_TYPES.find(code).unwrap()).is_some();
        assert!(filed("11488-4") && filed("EXPPAT_3"));
        assert!(!filed("FEUILLE-DE-STYLE") && !filed("E1762"));
    }
}
