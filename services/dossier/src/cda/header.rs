//! What a CDA R2 header says, as values: the material of the XDS metadata of its document.

use super::{BirthDate, Hl7Time, Violation};
use std::fmt;
use std::ops::Deref;

/// The OIDs of national health identities (INS): NIR, NIA, then the test and demonstration ones.
const INS_ROOTS: [&str; 4] = [
    "1.2.250.1.213.1.4.8",
    "1.2.250.1.213.1.4.9",
    "1.2.250.1.213.1.4.10",
    "1.2.250.1.213.1.4.11",
];

/// Everything read from the header of one document, complete enough to file it.
#[derive(Clone, PartialEq, Eq)]
pub struct CdaHeader {
    /// How the document is wrapped.
    pub form: Form,
    /// XDS `uniqueId` ([`InstanceId::unique_id`]).
    pub id: InstanceId,
    /// Shared by all the versions of the document.
    pub set_id: Option<InstanceId>,
    /// Rank of this version in its set.
    pub version_number: Option<u32>,
    /// The models the document declares to follow, XDS `formatCode` material; never empty.
    pub template_ids: Vec<InstanceId>,
    /// XDS `typeCode`.
    pub type_code: Code,
    /// XDS `title`.
    pub title: Text,
    /// XDS `creationTime`.
    pub created_at: Hl7Time,
    /// XDS `languageCode`, such as `fr-FR`.
    pub language: String,
    /// XDS `confidentialityCode`; never empty.
    pub confidentiality: Vec<Code>,
    /// Whom the document is about.
    pub patient: Patient,
    /// XDS `author`: persons and devices, in the document's order; never empty.
    pub authors: Vec<Author>,
    /// XDS `legalAuthenticator`: who answers for the document.
    pub legal_authenticator: LegalAuthenticator,
    /// Who keeps the original.
    pub custodian: Organization,
    /// The main documented act.
    pub service: ServiceEvent,
    /// XDS `serviceStartTime`: the start of the main act.
    pub service_start: Hl7Time,
    /// The other documented acts, in the document's order (with `service`'s code: XDS `eventCodeList`).
    pub other_services: Vec<ServiceEvent>,
    /// The orders the document answers (XDS `referenceIdList` material).
    pub orders: Vec<InstanceId>,
    /// XDS `practiceSettingCode`: that of the main act's performer, else of another act's, else of who answers for the
    /// document, else of an author.
    pub practice_setting: Code,
    /// Where the patient was taken care of.
    pub encounter: Encounter,
    /// Documents this one replaces, completes or transforms.
    pub related: Vec<RelatedDocument>,
    /// Who told what the document says.
    pub informants: Vec<Informant>,
    /// What follows the header.
    pub body: Body,
    /// What is wrong with parts no one files or finds a document by (when an author wrote, when an encounter was, ends of
    /// acts, guardians, informants, orders): read as absent, and told here.
    pub warnings: Vec<Violation>,
}

impl CdaHeader {
    /// XDS `uniqueId`.
    #[must_use]
    pub fn unique_id(&self) -> String {
        self.id.unique_id()
    }

    /// XDS `healthcareFacilityTypeCode`.
    #[must_use]
    pub fn facility_type(&self) -> &Code {
        &self.encounter.facility_type
    }

    /// The document this one takes the place of (`RPLC`), by its own id.
    #[must_use]
    pub fn replaced(&self) -> Option<&RelatedDocument> {
        self.related.iter().find(|related| related.relation == "RPLC")
    }

    /// Whether the patient is an author (documents of personal expression, advance directives): one of the authors
    /// bears one of the patient's identifiers.
    #[must_use]
    pub fn is_by_patient(&self) -> bool {
        self.authors
            .iter()
            .flat_map(|author| &author.ids)
            .any(|id| self.patient.ids.contains(id))
    }
}

/// Which person, which care, which illness: all of it is private, so only the outline is shown.
impl fmt::Debug for CdaHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CdaHeader")
            .field("form", &self.form)
            .field("type_code", &self.type_code)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// How the `ClinicalDocument` is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It is the root of the XML document.
    Plain,
    /// It is carried by an XSLT style sheet that shows it (CI-SIS "auto-présentable"). Such a document brings its own
    /// code: nothing here runs it, and nobody showing it should.
    SelfPresenting,
}

/// Text taken from a document. It may name a person, so its `Debug` shows nothing and it has no `Display`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(pub(super) String);

impl Text {
    /// The text: never empty, without space at its ends, inner runs of white space made one space.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, taken out of its protection.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Text(…)")
    }
}

/// An HL7 instance identifier (II): what names it, and the name it gave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceId {
    /// An OID, or a UUID in upper case (as HL7 V3 data types write it).
    pub root: String,
    /// Unique under the root; none when the root is unique by itself.
    pub extension: Option<Text>,
}

impl InstanceId {
    /// As XDS writes it: `root^extension`, or the root alone (IHE ITI TF-3, `DocumentEntry.uniqueId`).
    #[must_use]
    pub fn unique_id(&self) -> String {
        match &self.extension {
            Some(extension) => format!("{}^{}", self.root, extension.as_str()),
            None => self.root.clone(),
        }
    }

    /// Whether this is a national health identity, real or for tests.
    #[must_use]
    pub fn is_ins(&self) -> bool {
        INS_ROOTS.contains(&self.root.as_str())
    }
}

/// A coded value (CE, CD), without the text it may be coded from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Code {
    /// The code; never empty.
    pub code: String,
    /// The OID of its code system.
    pub system: Option<String>,
    /// What it means, as the document words it.
    pub label: Option<Text>,
}

/// A stretch of time; either end may be unknown. A single point is a `start` without a `stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// `low`, or the point.
    pub start: Option<Hl7Time>,
    /// `high`.
    pub stop: Option<Hl7Time>,
}

/// The patient of the document (`recordTarget`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patient {
    /// Every identifier, in the document's order; never empty.
    pub ids: Vec<InstanceId>,
    /// The traits of identity.
    pub traits: Traits,
    /// Legal representatives.
    pub guardians: Vec<Guardian>,
}

impl Patient {
    /// The matricule INS: the NIR rather than the NIA, a real one rather than one for tests. None if the document only
    /// has local identifiers. Two different matricules of one kind are refused at reading.
    #[must_use]
    pub fn ins(&self) -> Option<&InstanceId> {
        INS_ROOTS
            .iter()
            .find_map(|root| self.ids.iter().find(|id| id.root == *root))
    }
}

/// The traits of a person's identity; the strict ones are those an INS is matched on (RNIV).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traits {
    /// Strict: name of birth (`family` qualified `BR`; an unqualified one in documents older than the qualifier).
    pub birth_family: Option<Text>,
    /// Strict: all the first names of the birth certificate, separated by a space.
    pub birth_given_names: Option<Text>,
    /// Strict: the first of them (`given` qualified `BR`).
    pub first_given_name: Option<Text>,
    /// Name in use (`CL`).
    pub used_family: Option<Text>,
    /// First name in use (`CL`).
    pub used_given_name: Option<Text>,
    /// Strict: date of birth, lunar dates included.
    pub birth_date: Option<BirthDate>,
    /// Strict: administrative sex, `M` or `F`, others as written.
    pub sex: Option<Text>,
    /// Strict: INSEE code of the place of birth.
    pub birthplace_insee: Option<Text>,
}

/// A legal representative of the patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guardian {
    /// Identifiers; often none.
    pub ids: Vec<InstanceId>,
    /// Relation to the patient.
    pub relationship: Option<Code>,
    /// The person, unless an organization.
    pub person: Option<PersonName>,
    /// The organization's name, unless a person.
    pub organization: Option<Text>,
}

/// A person's name; never without any part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonName {
    /// Family name.
    pub family: Option<Text>,
    /// First name or names.
    pub given: Option<Text>,
    /// Civility.
    pub prefix: Option<Text>,
    /// Title of practice.
    pub suffix: Option<Text>,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Organization {
    /// Identifiers, usually one under the OID of health structures.
    pub ids: Vec<InstanceId>,
    /// Name.
    pub name: Option<Text>,
    /// Practice setting (`standardIndustryClassCode`).
    pub practice_setting: Option<Code>,
}

/// Software or device that wrote a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Maker and model.
    pub model: Option<Text>,
    /// Software.
    pub software: Option<Text>,
}

/// An author: a person, a device, or the patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// When they contributed.
    pub time: Option<Hl7Time>,
    /// Part they played in the care (XDS `authorRole`).
    pub function: Option<Code>,
    /// Identifiers: Ps_idNat for a professional, INS for the patient; none when masked.
    pub ids: Vec<InstanceId>,
    /// Profession and specialty (XDS `authorSpecialty`).
    pub specialty: Option<Code>,
    /// The person, if one.
    pub person: Option<PersonName>,
    /// The device, if one.
    pub device: Option<Device>,
    /// On whose behalf (XDS `authorInstitution`).
    pub organization: Option<Organization>,
}

/// Somebody acting in a role: a performer, who answers for the document, an informant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedEntity {
    /// Identifiers; none when masked.
    pub ids: Vec<InstanceId>,
    /// Profession and specialty.
    pub specialty: Option<Code>,
    /// The person.
    pub person: Option<PersonName>,
    /// On whose behalf.
    pub organization: Option<Organization>,
}

/// Who answers for the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegalAuthenticator {
    /// When they took it on.
    pub time: Option<Hl7Time>,
    /// Whether the document says it is signed (`signatureCode` `S`). This is a statement, not a verified signature.
    pub is_signed: bool,
    /// Who.
    pub entity: AssignedEntity,
}

/// An act the document is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEvent {
    /// Which act.
    pub code: Option<Code>,
    /// When it was done.
    pub period: Period,
    /// Who did it; the French profile allows one.
    pub performers: Vec<AssignedEntity>,
}

/// The care the document belongs to (`componentOf`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encounter {
    /// Its kind (ambulatory, stay, emergency…).
    pub code: Option<Code>,
    /// When; often unknown.
    pub period: Period,
    /// XDS `healthcareFacilityTypeCode`.
    pub facility_type: Code,
    /// Identifiers of the facility.
    pub facility_ids: Vec<InstanceId>,
    /// Name of the place.
    pub facility_name: Option<Text>,
}

/// A link to other documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelatedDocument {
    /// `RPLC` replaces, `APND` completes, `XFRM` transforms.
    pub relation: String,
    /// The other document's `id`s; never empty.
    pub ids: Vec<InstanceId>,
    /// Its set, if said.
    pub set_id: Option<InstanceId>,
    /// Its version, if said.
    pub version_number: Option<u32>,
}

/// Who told what the document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Informant {
    /// Somebody in a role of care.
    Assigned(AssignedEntity),
    /// Somebody close to the patient.
    Related {
        /// Class of the relation: `ECON` emergency contact, `NOK` trusted person…
        class: Option<String>,
        /// Relation to the patient.
        relationship: Option<Code>,
        /// Who.
        person: Option<PersonName>,
    },
}

/// What follows the header; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Sections, of which at least one has a text or an entry.
    Structured {
        /// Sections of the first level.
        sections: usize,
    },
    /// One embedded content ("level 1").
    Unstructured {
        /// Its media type; `text/plain` when the document does not say (HL7 ED).
        media_type: String,
        /// Its size once decoded, in bytes.
        size: usize,
    },
}
