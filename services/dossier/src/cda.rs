//! CDA R2 documents: from the bytes of a document to what its header says.
//!
//! [`read_header`] is pure: no file, no network, no clock. It takes any bytes whatsoever and guarantees:
//! - it never panics, never recurses on the document's nesting, and its work and memory are bounded by [`Limits`];
//! - a document type declaration is refused outright, so there is no entity to expand and no external file to fetch;
//! - everything wrong with a header is reported together, each with a stable reason and the place where it stands;
//! - no error and no `Debug` shows text of the document: it may name the patient.
//!
//! Only UTF-8 (of which ASCII is a part) is read: it is what the French profile (CI-SIS, minimal structuring of CDA
//! R2) prescribes. Guessing another encoding could silently change a name.
//!
//! Strict where the French profile is (what a document must say to be filed), liberal elsewhere: `nullFlavor`,
//! extension namespaces (`sdtc`, `lab`, `ps3-20`), absent optional parts, self-presenting documents (a style sheet
//! that carries its document) are all taken. Identifiers come out as they stand, with the OID that says what they
//! are: judging a matricule or a professional's number is not this module's work.

mod bounds;
mod error;
mod header;
mod instant;
mod reader;
#[cfg(test)]
mod tests;

pub use bounds::Limits;
pub use error::{CdaError, Fault, Violation};
pub use header::{
    AssignedEntity, Author, Body, CdaHeader, Code, Device, Encounter, Form, Guardian, Informant, InstanceId,
    LegalAuthenticator, Organization, Patient, Period, PersonName, RelatedDocument, ServiceEvent, Text, Traits,
};
pub use instant::{BirthDate, Hl7Time, Precision};

use roxmltree::{Document, Node, ParsingOptions};

/// The namespace of HL7 version 3, to which every CDA R2 element belongs.
const HL7: &str = "urn:hl7-org:v3";
/// The namespace of the wrapper of a self-presenting document (CI-SIS).
const CI_SIS: &str = "urn:asip-sante:ci-sis";
/// The namespace of XSLT: the root of a self-presenting document.
const XSLT: &str = "http://www.w3.org/1999/XSL/Transform";

/// Reads the header of a CDA R2 document.
///
/// # Errors
/// [`CdaError`]: a document that cannot be read at all is refused at its first fault; one that can be read is refused
/// with every violation of its header ([`CdaError::violations`]).
pub fn read_header(content: &[u8], limits: &Limits) -> Result<CdaHeader, CdaError> {
    let text = bounds::decode(content, limits)?;
    bounds::check(text, limits)?;
    let document = parse(text, limits)?;
    let (root, form) = clinical_document(&document).ok_or(CdaError::NotClinicalDocument)?;
    reader::read(root, form, limits)
}

fn parse<'text>(text: &'text str, limits: &Limits) -> Result<Document<'text>, CdaError> {
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: bounds::parsed_nodes(limits),
        entity_resolver: None,
    };
    Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::DtdDetected => CdaError::Dtd,
        roxmltree::Error::NodesLimitReached => CdaError::TooManyNodes { limit: limits.nodes },
        roxmltree::Error::NamespacesLimitReached => CdaError::TooManyNamespaces {
            limit: limits.namespaces,
        },
        // The parser's own message quotes names found in the document: only the position is kept.
        other => CdaError::Malformed {
            line: other.pos().row,
            column: other.pos().col,
        },
    })
}

/// The document's `ClinicalDocument`: its root, or the only one inside the wrapper of a self-presenting document.
fn clinical_document<'a>(document: &'a Document<'_>) -> Option<(Node<'a, 'a>, Form)> {
    let root = document.root_element();
    if root.has_tag_name((HL7, "ClinicalDocument")) {
        return Some((root, Form::Plain));
    }
    if !root.has_tag_name((XSLT, "stylesheet")) && !root.has_tag_name((XSLT, "transform")) {
        return None;
    }
    let wrapper = only_child(root, (CI_SIS, "Contenu"))?;
    Some((only_child(wrapper, (HL7, "ClinicalDocument"))?, Form::SelfPresenting))
}

fn only_child<'a>(parent: Node<'a, 'a>, name: (&str, &str)) -> Option<Node<'a, 'a>> {
    let mut found = parent.children().filter(|child| child.has_tag_name(name));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}
