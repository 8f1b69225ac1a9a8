//! The answer of ListDocuments, by hand: what a registry keeps of a document can go out as it is kept. Of a listing's time a
//! third went into reading fifty documents and writing the same bytes again. On the wire it is what the contract says.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};
use std::ops::Deref;

use crate::common::v1::Receipt;
use crate::dossier::v1::Document;

/// A page of documents.
#[derive(Clone, PartialEq, Message)]
pub struct ListDocumentsResponse {
    /// Newest act first.
    #[prost(message, repeated, tag = "1")]
    pub documents: Vec<ListedDocument>,
    /// Empty at the end.
    #[prost(string, tag = "2")]
    pub next_page_token: String,
    /// The journal's receipt.
    #[prost(message, optional, tag = "3")]
    pub receipt: Option<Receipt>,
}

/// A document as a listing carries it: one like any other to whoever reads it, in two parts to whoever answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedDocument {
    document: Document,
    encoded: Vec<u8>,
}

impl ListedDocument {
    /// A document to be sent. `encoded` has the fields that `document` leaves out, as a `Document` has them on the wire.
    pub fn in_parts(document: Document, encoded: Vec<u8>) -> Self {
        Self { document, encoded }
    }
}

/// The document, once it has been read.
impl Deref for ListedDocument {
    type Target = Document;

    fn deref(&self) -> &Document {
        &self.document
    }
}

/// The document, once it has been read.
impl From<ListedDocument> for Document {
    fn from(listed: ListedDocument) -> Self {
        listed.document
    }
}

impl Message for ListedDocument {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        self.document.encode_raw(buffer);
        buffer.put_slice(&self.encoded);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.document.merge_field(tag, wire_type, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.document.encoded_len() + self.encoded.len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use prost_reflect::{DescriptorPool, DynamicMessage, Value};

    /// What is written by hand says the same as the contract.
    #[test]
    fn a_listing_is_what_the_contract_says() {
        let kept = Document {
            unique_id: "1.2^3".to_owned(),
            title: "Compte rendu".to_owned(),
            ..Document::default()
        };
        let entry = Document {
            entry_uuid: "e".to_owned(),
            size: 7,
            ..Document::default()
        };
        let sent = ListDocumentsResponse {
            documents: vec![ListedDocument::in_parts(entry, kept.encode_to_vec())],
            next_page_token: "next".to_owned(),
            receipt: Some(Receipt {
                entry_id: "r".to_owned(),
                ..Receipt::default()
            }),
        };
        let bytes = sent.encode_to_vec();
        assert_eq!(bytes.len(), sent.encoded_len());

        let read = ListDocumentsResponse::decode(bytes.as_slice()).unwrap();
        let document = Document::from(read.documents.into_iter().next().unwrap());
        assert_eq!((document.unique_id.as_str(), document.size), ("1.2^3", 7));

        let pool = DescriptorPool::decode(crate::DESCRIPTOR_SET).unwrap();
        let contract = pool
            .get_message_by_name("dmp.dossier.v1.ListDocumentsResponse")
            .unwrap();
        let told = DynamicMessage::decode(contract.clone(), bytes.as_slice()).unwrap();
        assert_eq!(contract.fields().count(), 3, "the contract has grown: so must this");
        assert_eq!(told.unknown_fields().count(), 0);
        let text = |message: &DynamicMessage, name: &str| match message.get_field_by_name(name).as_deref() {
            Some(Value::String(text)) => text.clone(),
            other => format!("{other:?}"),
        };
        let Some(documents) = told.get_field_by_name("documents") else {
            unreachable!()
        };
        let document = documents
            .as_list()
            .and_then(|list| list.first())
            .and_then(Value::as_message)
            .unwrap();
        let receipt = told.get_field_by_name("receipt").unwrap().as_message().unwrap().clone();
        let said = [
            text(document, "entry_uuid"),
            text(document, "title"),
            text(&told, "next_page_token"),
            text(&receipt, "entry_id"),
        ];
        assert_eq!(said, ["e", "Compte rendu", "next", "r"]);
    }
}
