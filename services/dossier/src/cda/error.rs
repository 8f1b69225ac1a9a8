//! Why a document was refused: for programs a stable reason and a place, for people a sentence. Never its text.

use std::fmt;

/// Why a document's header could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CdaError {
    /// Larger than [`Limits::document_bytes`](super::Limits::document_bytes); nothing of it was read.
    #[error("the document is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Declared in, or recognised as, another encoding than UTF-8.
    #[error("the document is not in UTF-8, the only encoding read")]
    Encoding,
    /// Declared as UTF-8, or not at all, yet its bytes are not.
    #[error("the document is said to be UTF-8 but is not")]
    NotUtf8,
    /// It has a document type declaration, whatever it says: entities are how XML bombs and file thefts are built.
    #[error("the document has a document type declaration, which is never accepted")]
    Dtd,
    /// Not well-formed XML, truncated documents included.
    #[error("the document is not well-formed XML at line {line}, column {column}")]
    Malformed {
        /// Counted from 1.
        line: u32,
        /// Counted from 1, in characters.
        column: u32,
    },
    /// More tags, comments and instructions than allowed.
    #[error("the document has more than {limit} XML nodes")]
    TooManyNodes {
        /// The limit.
        limit: usize,
    },
    /// Elements inside one another beyond the limit.
    #[error("the document's elements are nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// More attributes than allowed, on one element or in all.
    #[error("the document has more than {limit} attributes in one place")]
    TooManyAttributes {
        /// The limit.
        limit: usize,
    },
    /// An attribute's value beyond the limit.
    #[error("the document has an attribute longer than {limit} bytes")]
    AttributeTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// More namespace declarations than allowed.
    #[error("the document has more than {limit} namespace declarations")]
    TooManyNamespaces {
        /// The limit.
        limit: usize,
    },
    /// Well-formed XML, but not a `ClinicalDocument` of `urn:hl7-org:v3`, nor a style sheet that carries one.
    #[error("the document is not a CDA ClinicalDocument")]
    NotClinicalDocument,
    /// A clinical document whose header, or body, breaks one or more rules: all of them, in reading order.
    #[error("{} rules are broken, the first: {}", .0.len(), first(.0))]
    Invalid(Vec<Violation>),
}

fn first(violations: &[Violation]) -> String {
    violations.first().map(ToString::to_string).unwrap_or_default()
}

impl CdaError {
    /// The stable name of the reason; that of the first violation when the header is invalid.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "DOCUMENT_TOO_LARGE",
            Self::Encoding => "XML_ENCODING_UNSUPPORTED",
            Self::NotUtf8 => "XML_NOT_UTF8",
            Self::Dtd => "XML_DTD_FORBIDDEN",
            Self::Malformed { .. } => "XML_MALFORMED",
            Self::TooManyNodes { .. } => "XML_TOO_MANY_NODES",
            Self::TooDeep { .. } => "XML_TOO_DEEP",
            Self::TooManyAttributes { .. } => "XML_TOO_MANY_ATTRIBUTES",
            Self::AttributeTooLong { .. } => "XML_ATTRIBUTE_TOO_LONG",
            Self::TooManyNamespaces { .. } => "XML_TOO_MANY_NAMESPACES",
            Self::NotClinicalDocument => "CDA_NOT_A_CLINICAL_DOCUMENT",
            Self::Invalid(violations) => violations.first().map_or("CDA_INVALID", Violation::reason),
        }
    }

    /// Where the reason applies, like `ClinicalDocument/author[2]/time`; none when it is the document as a whole.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.violations().first().map(|violation| violation.field.as_str())
    }

    /// Every rule the header breaks; empty when the document could not be read as far as its header.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        match self {
            Self::Invalid(violations) => violations,
            _ => &[],
        }
    }
}

/// One rule broken in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub fault: Fault,
    /// The element, as a path from `ClinicalDocument`; a repeated element carries its rank from the second on
    /// (`author[2]`), an attribute is written `@root`. Made of names of the standard only.
    pub field: String,
}

impl Violation {
    /// The stable name of the rule.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.fault.reason()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at {}", self.reason(), self.field)
    }
}

/// The rules a header can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Mandatory (CDA R2 and CI-SIS minimal structuring), yet absent, empty or only a `nullFlavor`.
    Missing,
    /// Allowed once, and there several times: which one counts would be a guess.
    Repeated,
    /// More elements of one kind than [`Limits::repeats`](super::Limits::repeats).
    TooMany,
    /// A value longer than a header value may be.
    TooLong,
    /// `typeId` does not say CDA release 2.
    NotRelease2,
    /// Not an HL7 point in time.
    BadTime,
    /// The root of an identifier is neither an OID nor a UUID.
    BadOid,
    /// Not a whole positive number.
    BadNumber,
    /// More than one `recordTarget`: a DMP document is about one person.
    SeveralPatients,
    /// Two different matricules of the same kind for the patient.
    PatientIdsConflict,
    /// No section with a text or an entry, or an unstructured body without content.
    EmptyBody,
    /// The unstructured body only points to content kept elsewhere.
    BodyElsewhere,
    /// The unstructured body says it is base64, and is not.
    BadBase64,
}

impl Fault {
    /// The stable name of the rule.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "CDA_ELEMENT_MISSING",
            Self::Repeated => "CDA_ELEMENT_REPEATED",
            Self::TooMany => "CDA_TOO_MANY_ELEMENTS",
            Self::TooLong => "CDA_VALUE_TOO_LONG",
            Self::NotRelease2 => "CDA_NOT_RELEASE_2",
            Self::BadTime => "CDA_TIME_INVALID",
            Self::BadOid => "CDA_OID_INVALID",
            Self::BadNumber => "CDA_NUMBER_INVALID",
            Self::SeveralPatients => "CDA_SEVERAL_PATIENTS",
            Self::PatientIdsConflict => "CDA_PATIENT_IDS_CONFLICT",
            Self::EmptyBody => "CDA_BODY_EMPTY",
            Self::BodyElsewhere => "CDA_BODY_NOT_EMBEDDED",
            Self::BadBase64 => "CDA_BODY_NOT_BASE64",
        }
    }
}
