//! A document as the registry knows it: an XDS DocumentEntry.

use api::dossier::v1 as pb;
use api::dossier::v1::DocumentStatus;
use api::identity::DmpId;
use std::fmt;
use store::time::{Timestamp, to_proto};
use uuid::Uuid;

use crate::metadata::{Kept, Metadata};
use crate::visibility::Visibility;

/// What a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// CDA R2.
    Cda,
    Pdf,
    Text,
}

impl MediaType {
    const ALL: [Self; 3] = [Self::Cda, Self::Pdf, Self::Text];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|media| media.as_str() == text)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cda => "text/xml",
            Self::Pdf => "application/pdf",
            Self::Text => "text/plain",
        }
    }
}

/// What a content weighs and hashes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) media_type: MediaType,
    /// Bytes.
    pub(crate) size: i64,
    pub(crate) sha256: Vec<u8>,
}

/// A document of a dossier, with its metadata read, or as they are kept ([`Kept`]). What it says of itself is personal:
/// `Debug` shows ids and status only.
#[derive(Clone)]
pub(crate) struct Document<M = Metadata> {
    pub(crate) dmp_id: DmpId,
    /// Changes at a replacement only; also names the content.
    pub(crate) logical_id: Uuid,
    /// Changes with every change of the metadata.
    pub(crate) entry_uuid: Uuid,
    pub(crate) status: DocumentStatus,
    pub(crate) visibility: Visibility,
    /// When the holder sees it in any case.
    pub(crate) announce_by: Timestamp,
    pub(crate) facts: Facts,
    pub(crate) submitted_by: String,
    pub(crate) submitted_at: Timestamp,
    pub(crate) metadata: M,
}

impl Document {
    /// Producer's id.
    pub(crate) fn unique_id(&self) -> &str {
        self.metadata.unique_id.as_str()
    }

    /// Whether `depositor`, who may be the professional of `author_id`, may put another document in the place of this
    /// one: its depositor or one of its authors may, as long as it has not been replaced.
    pub(crate) fn may_be_replaced_by(&self, depositor: &str, author_id: Option<&str>) -> bool {
        let in_force = matches!(self.status, DocumentStatus::Approved | DocumentStatus::Archived);
        let author = author_id.is_some_and(|id| self.metadata.has_author(id));
        in_force && (self.submitted_by == depositor || author)
    }

    /// As the contract carries it, with the visibility that holds at `now`.
    pub(crate) fn to_proto(&self, now: Timestamp) -> pb::Document {
        self.clone().into_proto(now)
    }

    /// The same, of a document that is no longer needed.
    pub(crate) fn into_proto(self, now: Timestamp) -> pb::Document {
        self.entry(now, Metadata::into_proto)
    }
}

impl Document<Kept> {
    /// As a listing carries it, with the visibility that holds at `now`.
    pub(crate) fn into_listed(mut self, now: Timestamp) -> pb::ListedDocument {
        let kept = std::mem::take(&mut self.metadata);
        let entry = self.entry(now, |_| pb::Document::default());
        pb::ListedDocument::in_parts(entry, kept.into_bytes())
    }
}

impl<M> Document<M> {
    /// What the registry says of it, beside what it says of itself.
    fn entry(self, now: Timestamp, said: impl FnOnce(M) -> pb::Document) -> pb::Document {
        pb::Document {
            entry_uuid: self.entry_uuid.to_string(),
            logical_id: self.logical_id.to_string(),
            dmp_id: self.dmp_id.as_str().to_owned(),
            status: self.status.into(),
            visibility: Some(self.visibility.at(now, self.announce_by).to_proto()),
            media_type: self.facts.media_type.as_str().to_owned(),
            size: self.facts.size,
            sha256: self.facts.sha256,
            submitted_by: self.submitted_by,
            submitted_at: Some(to_proto(self.submitted_at)),
            etag: self.entry_uuid.to_string(),
            ..said(self.metadata)
        }
    }
}

impl<M> fmt::Debug for Document<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Document({}, {:?}, …)", self.logical_id, self.status)
    }
}
