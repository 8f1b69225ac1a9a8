//! Object identifiers (OIDs) and URNs of the field, written once.
//!
//! Each constant says what it names; where the rules give a table its own name (TRE, JDV), that name is repeated.

/// INS: matricule that is a NIR.
pub const INS_NIR: &str = "1.2.250.1.213.1.4.8";
/// INS: matricule that is a NIA, the waiting number.
pub const INS_NIA: &str = "1.2.250.1.213.1.4.9";
/// INS: matricule of a test identity.
pub const INS_TEST: &str = "1.2.250.1.213.1.4.10";
/// INS: matricule of a demonstration identity.
pub const INS_DEMO: &str = "1.2.250.1.213.1.4.11";
/// INS-C, the retired computed identifier.
pub const INS_C: &str = "1.2.250.1.213.1.4.2";
/// INS-A, the retired random identifier.
pub const INS_A: &str = "1.2.250.1.213.1.4.1";
/// The NIR as social security number: may be the insured person's rather than the patient's, so no INS.
pub const SOCIAL_SECURITY_NUMBER: &str = "1.2.250.1.213.1.4.13";

/// `Ps_idNat`: national identifier of a professional.
pub const PROFESSIONAL_ID: &str = "1.2.250.1.71.4.2.1";
/// `Struct_idNat`: national identifier of a structure.
pub const STRUCTURE_ID: &str = "1.2.250.1.71.4.2.2";

/// TRE_A00: authors that are no professionals (the patient, a device, the insurer's system).
pub const NON_PROFESSIONAL_AUTHOR: &str = "1.2.250.1.213.1.1.4.6";
/// TRE_A01: practice settings.
pub const PRACTICE_SETTING: &str = "1.2.250.1.213.1.1.4.9";
/// TRE_A02: professions and specialties of authors.
pub const AUTHOR_SPECIALTY: &str = "1.2.250.1.213.1.1.4.5";
/// TRE_A03: document classes.
pub const DOCUMENT_CLASS: &str = "1.2.250.1.213.1.1.4.1";
/// TRE_A04 is LOINC: most document types.
pub const LOINC: &str = "2.16.840.1.113883.6.1";
/// TRE_A05: document types that LOINC lacks.
pub const DOCUMENT_TYPE: &str = "1.2.250.1.213.1.1.4.12";
/// Confidentiality towards professionals, patient and representatives, added to HL7's levels.
pub const DMP_CONFIDENTIALITY: &str = "1.2.250.1.213.1.1.4.13";
/// HL7 Confidentiality: the levels N, R and V.
pub const HL7_CONFIDENTIALITY: &str = "2.16.840.1.113883.5.25";
/// TRE_G15: health professions of the public health code.
pub const PROFESSION: &str = "1.2.250.1.71.1.2.7";
/// TRE_R02: sectors of activity, the types of healthcare facilities.
pub const FACILITY_TYPE: &str = "1.2.250.1.71.4.2.4";
/// Roles in care of people that have no health profession.
pub const OTHER_ROLE: &str = "1.2.250.1.213.1.6.1.107";
/// Legal protection of adults (guardian, curator).
pub const LEGAL_PROTECTION: &str = "1.2.250.1.213.1.1.4.327";
/// TRE_R248: modes of access to a record (normal, break-glass, emergency call centre).
pub const ACCESS_MODE: &str = "1.2.250.1.213.1.1.4.336";
/// HL7 RoleCode: family relations.
pub const HL7_ROLE_CODE: &str = "2.16.840.1.113883.5.111";
/// HL7 ParticipationFunction: treating physician, attending physician.
pub const HL7_PARTICIPATION_FUNCTION: &str = "2.16.840.1.113883.5.88";
/// HL7 AdministrativeGender.
pub const HL7_ADMINISTRATIVE_GENDER: &str = "2.16.840.1.113883.5.1";
/// Reasons for closing a record (`FERMETURE_DEMANDE_PATIENT` and others).
pub const CLOSING_REASON: &str = "1.2.250.1.213.4.1.2.4";

/// Value set J01: specialties of authors.
pub const VALUE_SET_AUTHOR_SPECIALTY: &str = "1.2.250.1.213.1.1.5.461";
/// Value set J02: types of healthcare facilities.
pub const VALUE_SET_FACILITY_TYPE: &str = "1.2.250.1.213.1.1.5.466";
/// Value set J04: practice settings.
pub const VALUE_SET_PRACTICE_SETTING: &str = "1.2.250.1.213.1.1.5.467";
/// Value set J07: document types.
pub const VALUE_SET_DOCUMENT_TYPE: &str = "1.2.250.1.213.1.1.5.471";
/// Value set J08: confidentiality.
pub const VALUE_SET_CONFIDENTIALITY: &str = "1.2.250.1.213.1.1.5.463";
/// Value set J57: document classes of the DMP.
pub const VALUE_SET_DOCUMENT_CLASS: &str = "1.2.250.1.213.1.1.5.6";

/// XDS: the document is current.
pub const STATUS_APPROVED: &str = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved";
/// XDS: the document was replaced.
pub const STATUS_DEPRECATED: &str = "urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated";
/// French extension of XDS: the document is archived.
pub const STATUS_ARCHIVED: &str = "urn:asip:ci-sis:2010:StatusType:Archived";
/// French extension of XDS: the document is deleted (logically).
pub const STATUS_DELETED: &str = "urn:asip:ci-sis:2010:StatusType:Deleted";
/// XDS association: the new document replaces the old one.
pub const ASSOCIATION_REPLACES: &str = "urn:ihe:iti:2007:AssociationType:RPLC";
/// IHE DSG: class of the digital signature of a submission, itself stored as a document.
pub const CLASS_DIGITAL_SIGNATURE: &str = "urn:oid:1.3.6.1.4.1.19376.1.2.1.1.1";

/// Longest dotted OID accepted: HL7 and DICOM both stop at 64 characters.
pub const MAX_LENGTH: usize = 64;

/// Whether `text` is a dotted OID: at least two arcs, the first 0 to 2, no leading zero, at most [`MAX_LENGTH`]
/// characters.
pub fn is_well_formed(text: &str) -> bool {
    let mut arcs = text.split('.');
    text.len() <= MAX_LENGTH && matches!(arcs.next(), Some("0" | "1" | "2")) && text.contains('.') && arcs.all(is_arc)
}

fn is_arc(arc: &str) -> bool {
    let has_leading_zero = arc.len() > 1 && arc.starts_with('0');
    !arc.is_empty() && !has_leading_zero && arc.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_of_an_oid_is_checked() {
        for oid in [
            INS_NIR,
            PROFESSIONAL_ID,
            LOINC,
            CLOSING_REASON,
            VALUE_SET_DOCUMENT_CLASS,
            "0.0",
            "2.999",
        ] {
            assert!(is_well_formed(oid), "{oid}");
        }
        let endless = format!("1.2{}", ".3".repeat(32));
        for other in [
            "",
            "1",
            "3.1",
            "1.",
            ".1",
            "1..2",
            "1.02",
            "1.a",
            "1.2 ",
            "urn:oid:1.2",
            endless.as_str(),
        ] {
            assert!(!is_well_formed(other), "{other}");
        }
    }
}
