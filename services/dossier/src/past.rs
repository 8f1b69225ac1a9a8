//! A document as it was, and was seen, at a past moment.

use api::codes;
use api::dossier::v1 as pb;
use api::dossier::v1::DocumentStatus;
use std::fmt;
use store::time::{Timestamp, to_proto};

use crate::metadata::coding;
use crate::view::View;
use crate::visibility::Visibility;

/// What somebody saw at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) view: View,
    pub(crate) moment: Timestamp,
}

/// What a document was at a moment. It is personal: `Debug` shows its status only.
#[derive(Clone)]
pub(crate) struct PastDocument {
    pub(crate) unique_id: String,
    pub(crate) type_code: String,
    pub(crate) status: DocumentStatus,
    pub(crate) visibility: Visibility,
    pub(crate) submitted_at: Timestamp,
}

impl PastDocument {
    /// As the contract carries it.
    pub(crate) fn to_proto(&self) -> pb::PastDocument {
        pb::PastDocument {
            unique_id: self.unique_id.clone(),
            r#type: codes::DOCUMENT_TYPES.find(&self.type_code).map(coding),
            status: self.status.into(),
            visibility: Some(self.visibility.to_proto()),
            submitted_at: Some(to_proto(self.submitted_at)),
        }
    }

    /// Its identifier and nothing else.
    pub(crate) fn to_proto_identifier(&self) -> pb::PastDocument {
        pb::PastDocument {
            unique_id: self.unique_id.clone(),
            ..pb::PastDocument::default()
        }
    }
}

impl fmt::Debug for PastDocument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PastDocument({:?}, …)", self.status)
    }
}
