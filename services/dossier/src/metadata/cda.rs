//! From a CDA R2 header to metadata: every code checked against its table, every identifier against its rule.
//!
//! Codes are never taken leniently: a document filed under a type, a setting or a confidentiality that nobody knows
//! could be found, or hidden, by nobody. Identifiers of professionals and structures follow the setting.

use api::codes::{self, Concept};
use api::common::v1::Coding;
use api::dossier::v1 as pb;
use api::identifier::v1::{Sex, StrictTraits};
use api::identity::{Check, Ins, InsOid, ProfessionalId, ProfessionalKind, StructureId, StructureKind};
use api::oid;
use std::fmt;

use super::{Metadata, UniqueId, class_of, coding};
use crate::cda::{AssignedEntity, Author, BirthDate, CdaHeader, Code, InstanceId, Organization, PersonName};
use crate::config::Checks;
use crate::error::Fault;
use crate::visibility::Visibility;

const PATIENT_ID: &str = "ClinicalDocument/recordTarget/patientRole/id";
const SETTING: &str = "ClinicalDocument/documentationOf/serviceEvent/performer/assignedEntity/representedOrganization/standardIndustryClassCode";
const FACILITY: &str = "ClinicalDocument/componentOf/encompassingEncounter/location/healthCareFacility/code";
const CONFIDENTIALITY: &str = "ClinicalDocument/confidentialityCode";

/// What a CDA document says, as far as this service files and checks it.
#[derive(Debug, Clone)]
pub(crate) struct Filed {
    pub(crate) metadata: Metadata,
    /// What its confidentiality codes hide, beyond what the deposit states.
    pub(crate) visibility: Visibility,
    pub(crate) patient: Patient,
}

/// Whom a document says it is about. `Debug` shows nothing.
#[derive(Clone)]
pub(crate) struct Patient {
    pub(crate) ins: Ins,
    /// The traits to compare; empty where the document does not say, or not in a form that can be compared.
    pub(crate) traits: StrictTraits,
}

impl fmt::Debug for Patient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Patient(…)")
    }
}

/// Notes what is wrong, and what lenient checking lets through, while a header is read.
struct Notes {
    checks: Checks,
    faults: Vec<Fault>,
    findings: Vec<String>,
}

/// Reads a header.
///
/// # Errors
/// Everything that keeps the document from being filed.
pub(crate) fn read(header: &CdaHeader, checks: Checks) -> Result<Filed, Vec<Fault>> {
    let warnings = header
        .warnings
        .iter()
        .map(|warning| finding(&warning.field, warning.reason()));
    let mut notes = Notes {
        checks,
        faults: Vec::new(),
        findings: warnings.collect(),
    };
    let filed = notes.filed(header);
    match filed {
        Some(mut filed) if notes.faults.is_empty() => {
            filed.metadata.findings = notes.findings;
            filed.metadata.check_size().map_err(|fault| vec![fault])?;
            Ok(filed)
        }
        _ => Err(notes.faults),
    }
}

/// `place: REASON`, where the place is written from below the root.
fn finding(field: &str, reason: &str) -> String {
    format!("{}: {reason}", field.trim_start_matches("ClinicalDocument/"))
}

/// A repeated element's place: the first has no rank.
fn ranked(element: &str, index: usize) -> String {
    if index == 0 {
        element.to_owned()
    } else {
        format!("{element}[{}]", index + 1)
    }
}

impl Notes {
    fn filed(&mut self, header: &CdaHeader) -> Option<Filed> {
        let unique_id = self.unique_id("ClinicalDocument/id", &header.id);
        let replaces = self.replaces(header);
        let document_type = self.concept(
            "UNKNOWN_TYPE_CODE",
            "ClinicalDocument/code",
            &header.type_code,
            codes::document_type,
        );
        let class = document_type.and_then(|concept| self.class(concept));
        let setting = self.concept(
            "UNKNOWN_PRACTICE_SETTING",
            SETTING,
            &header.practice_setting,
            codes::practice_setting,
        );
        let facility = self.concept(
            "UNKNOWN_FACILITY_TYPE",
            FACILITY,
            header.facility_type(),
            codes::facility_type,
        );
        let (confidentiality, visibility) = self.confidentiality(&header.confidentiality);
        let patient = self.patient(header);
        let authors = header
            .authors
            .iter()
            .enumerate()
            .map(|(index, author)| self.author(index, author))
            .collect();
        if header
            .service
            .period
            .stop
            .is_some_and(|stop| stop.instant < header.service_start.instant)
        {
            self.findings
                .push("documentationOf/serviceEvent/effectiveTime/high: BEFORE_START".to_owned());
        }
        let legal_authenticator = self.entity(
            "ClinicalDocument/legalAuthenticator/assignedEntity",
            &header.legal_authenticator.entity,
        );
        let metadata = Metadata {
            unique_id: unique_id?,
            set_id: header.set_id.as_ref().map(InstanceId::unique_id).unwrap_or_default(),
            version_number: header.version_number.map_or(0, i64::from),
            document_type: coding(document_type?),
            class: coding(class?),
            template_ids: header.template_ids.iter().map(InstanceId::unique_id).collect(),
            practice_setting: coding(setting?),
            facility_type: coding(facility?),
            confidentiality: coding(confidentiality?),
            title: header.title.as_str().to_owned(),
            language: header.language.clone(),
            authors,
            legal_authenticator: Some(legal_authenticator),
            creation_time: header.created_at.instant,
            service_start: header.service_start.instant,
            service_stop: header.service.period.stop.map(|stop| stop.instant),
            replaces,
            findings: Vec::new(),
        };
        Some(Filed {
            metadata,
            visibility,
            patient: patient?,
        })
    }

    fn fault(&mut self, detail: impl Into<String>, field: &str) {
        self.faults.push(Fault::new(detail, field));
    }

    fn unique_id(&mut self, field: &str, id: &InstanceId) -> Option<UniqueId> {
        let parsed = UniqueId::parse(&id.unique_id());
        parsed
            .map_err(|(reason, _)| self.fault(format!("UNIQUE_ID_{reason}"), field))
            .ok()
    }

    fn replaces(&mut self, header: &CdaHeader) -> Option<UniqueId> {
        const FIELD: &str = "ClinicalDocument/relatedDocument/parentDocument/id";
        let replaced = header.replaced()?.ids.first()?;
        if *replaced == header.id {
            self.fault("REPLACES_ITSELF", FIELD);
        }
        self.unique_id(FIELD, replaced)
    }

    fn concept(
        &mut self,
        detail: &str,
        field: &str,
        code: &Code,
        find: fn(&str, &str) -> Option<&'static Concept>,
    ) -> Option<&'static Concept> {
        let found = code.system.as_deref().and_then(|system| find(&code.code, system));
        if found.is_none() {
            self.fault(detail, field);
        }
        found
    }

    fn class(&mut self, document_type: &Concept) -> Option<&'static Concept> {
        let class = class_of(document_type);
        if class.is_none() {
            self.fault("TYPE_NOT_FILED", "ClinicalDocument/code");
        }
        class
    }

    /// One level of HL7's, the highest named; and what the French codes beside it hide.
    fn confidentiality(&mut self, sent: &[Code]) -> (Option<&'static Concept>, Visibility) {
        let (mut level, mut visibility) = (None, Visibility::default());
        for code in sent {
            let detail = "UNKNOWN_CONFIDENTIALITY_CODE";
            let Some(concept) = self.concept(detail, CONFIDENTIALITY, code, codes::confidentiality) else {
                continue;
            };
            match concept.code {
                "MASQUE_PS" => visibility.masked = true,
                "INVISIBLE_PATIENT" => visibility.hidden_from_holder = true,
                "INVISIBLE_REPRESENTANTS_LEGAUX" => visibility.hidden_from_representatives = true,
                // N < R < V, as it happens, in the alphabet too.
                _ => level = Some(higher(level, concept)),
            }
        }
        if level.is_none() && self.faults.iter().all(|fault| fault.field != CONFIDENTIALITY) {
            self.fault("CONFIDENTIALITY_MISSING", CONFIDENTIALITY);
        }
        (level, visibility)
    }

    fn patient(&mut self, header: &CdaHeader) -> Option<Patient> {
        let Some(id) = header.patient.ins() else {
            self.fault("INS_MISSING", PATIENT_ID);
            return None;
        };
        let ins = self.ins(id)?;
        Some(Patient {
            ins,
            traits: self.traits(header),
        })
    }

    fn ins(&mut self, id: &InstanceId) -> Option<Ins> {
        let matricule = id.extension.as_ref().map(|text| text.as_str()).unwrap_or_default();
        let parsed = InsOid::parse(&id.root).and_then(|oid| Ins::parse(matricule, oid, Check::Lenient));
        let ins = parsed
            .map_err(|error| self.fault(format!("INS_{}", error.reason()), PATIENT_ID))
            .ok()?;
        if !ins.key_is_valid() {
            self.note(self.checks.ins, "INS_KEY".to_owned(), PATIENT_ID);
        }
        if !ins.oid().is_production() && !self.checks.accept_test_identities {
            self.fault("INS_TEST_IDENTITY", PATIENT_ID);
        }
        Some(ins)
    }

    /// The strict traits that the document says, in the form of the contract. A birth date without its month or day is
    /// left out: it says less than the register, and would differ from every date.
    fn traits(&mut self, header: &CdaHeader) -> StrictTraits {
        let said = &header.patient.traits;
        let text =
            |text: &Option<crate::cda::Text>| text.as_ref().map(|text| text.as_str().to_owned()).unwrap_or_default();
        let birth_date = said.birth_date.and_then(full_date);
        if birth_date.is_none() {
            self.findings
                .push("recordTarget/patientRole/patient/birthTime: INCOMPLETE".to_owned());
        }
        StrictTraits {
            birth_family_name: text(&said.birth_family),
            birth_given_names: text(&said.birth_given_names),
            birth_date: birth_date.unwrap_or_default(),
            sex: sex(said.sex.as_deref()).into(),
            birth_place_code: text(&said.birthplace_insee),
        }
    }

    fn author(&mut self, index: usize, author: &Author) -> pb::DocumentAuthor {
        let field = ranked("ClinicalDocument/author", index);
        let (author_id, assigning_authority) = self.person_id(&field, &author.ids);
        let (organization_id, organization_name) = self.organization(&field, author.organization.as_ref());
        self.specialty(&field, author.specialty.as_ref());
        let device = author.device.as_ref().map(|device| {
            let parts = [device.model.as_ref(), device.software.as_ref()];
            joined(parts.map(|part| part.map(|text| text.as_str())))
        });
        pb::DocumentAuthor {
            author_id,
            assigning_authority,
            name: author
                .person
                .as_ref()
                .map(full_name)
                .or_else(|| device.clone())
                .unwrap_or_default(),
            specialty: author.specialty.as_ref().map(as_written),
            organization_id,
            organization_name,
            device: author.person.is_none() && device.is_some(),
        }
    }

    fn entity(&mut self, field: &str, entity: &AssignedEntity) -> pb::DocumentAuthor {
        let (author_id, assigning_authority) = self.person_id(field, &entity.ids);
        let (organization_id, organization_name) = self.organization(field, entity.organization.as_ref());
        self.specialty(field, entity.specialty.as_ref());
        pb::DocumentAuthor {
            author_id,
            assigning_authority,
            name: entity.person.as_ref().map(full_name).unwrap_or_default(),
            specialty: entity.specialty.as_ref().map(as_written),
            organization_id,
            organization_name,
            device: false,
        }
    }

    /// The national identifier of a person, or the first there is.
    fn person_id(&mut self, field: &str, ids: &[InstanceId]) -> (String, String) {
        let national = ids.iter().find(|id| id.root == oid::PROFESSIONAL_ID);
        let Some(id) = national.or_else(|| ids.first()) else {
            return Default::default();
        };
        let text = id.extension.as_ref().map(|text| text.as_str()).unwrap_or_default();
        if national.is_some()
            && let Some(problem) = problem_of_professional(text)
        {
            self.note(self.checks.professional_id, problem, &format!("{field}/id"));
        }
        (text.to_owned(), id.root.clone())
    }

    fn organization(&mut self, field: &str, organization: Option<&Organization>) -> (String, String) {
        let Some(organization) = organization else {
            return Default::default();
        };
        let name = organization
            .name
            .as_ref()
            .map(|name| name.as_str().to_owned())
            .unwrap_or_default();
        let national = organization.ids.iter().find(|id| id.root == oid::STRUCTURE_ID);
        let text = national
            .and_then(|id| id.extension.as_ref())
            .map(|text| text.as_str())
            .unwrap_or_default();
        if national.is_some()
            && let Some(problem) = problem_of_structure(text)
        {
            self.note(
                self.checks.professional_id,
                problem,
                &format!("{field}/representedOrganization/id"),
            );
        }
        (text.to_owned(), name)
    }

    /// Nothing is found or decided by a specialty: an unknown one is told and kept.
    fn specialty(&mut self, field: &str, specialty: Option<&Code>) {
        let Some(code) = specialty else { return };
        let known = code
            .system
            .as_deref()
            .and_then(|system| codes::author_specialty(&code.code, system));
        if known.is_none() {
            self.findings
                .push(finding(&format!("{field}/code"), "UNKNOWN_SPECIALTY"));
        }
    }

    fn note(&mut self, check: Check, problem: String, field: &str) {
        match check {
            Check::Strict => self.fault(problem, field),
            Check::Lenient => self.findings.push(finding(field, &problem)),
        }
    }
}

fn higher(level: Option<&'static Concept>, other: &'static Concept) -> &'static Concept {
    level.filter(|level| level.code >= other.code).unwrap_or(other)
}

fn problem_of_professional(text: &str) -> Option<String> {
    match ProfessionalId::parse(text, Check::Lenient) {
        Err(error) => Some(error.reason().to_owned()),
        Ok(id) if id.key_is_valid() => None,
        Ok(id) => Some(format!("{}_CHECK_DIGIT", register_of_professional(id.kind()))),
    }
}

fn register_of_professional(kind: ProfessionalKind) -> &'static str {
    match kind {
        ProfessionalKind::Rpps | ProfessionalKind::RppsOfficeStaff => "RPPS",
        ProfessionalKind::Adeli | ProfessionalKind::AdeliOfficeStaff => "ADELI",
        ProfessionalKind::FinessStaff => "FINESS",
        ProfessionalKind::SirenStaff => "SIREN",
        ProfessionalKind::SiretStaff => "SIRET",
    }
}

fn problem_of_structure(text: &str) -> Option<String> {
    match StructureId::parse(text, Check::Lenient) {
        Err(error) => Some(error.reason().to_owned()),
        Ok(id) if id.key_is_valid() => None,
        Ok(id) => Some(format!("{}_CHECK_DIGIT", register_of_structure(id.kind()))),
    }
}

fn register_of_structure(kind: StructureKind) -> &'static str {
    match kind {
        StructureKind::AdeliOffice => "ADELI",
        StructureKind::Finess => "FINESS",
        StructureKind::Siren => "SIREN",
        StructureKind::Siret => "SIRET",
        StructureKind::RppsOffice => "RPPS",
    }
}

fn full_date(date: BirthDate) -> Option<String> {
    Some(format!("{:04}{:02}{:02}", date.year, date.month?, date.day?))
}

/// HL7 AdministrativeGender; whatever else was written is not compared.
fn sex(code: Option<&str>) -> Sex {
    match code {
        Some("F") => Sex::Female,
        Some("M") => Sex::Male,
        Some("UN" | "U") => Sex::Unknown,
        _ => Sex::Unspecified,
    }
}

fn as_written(code: &Code) -> Coding {
    Coding {
        code: code.code.clone(),
        system: code.system.clone().unwrap_or_default(),
        label: code
            .label
            .as_ref()
            .map(|label| label.as_str().to_owned())
            .unwrap_or_default(),
    }
}

fn full_name(name: &PersonName) -> String {
    let parts = [&name.prefix, &name.given, &name.family, &name.suffix];
    joined(parts.map(|part| part.as_ref().map(|text| text.as_str())))
}

fn joined<'a>(parts: impl IntoIterator<Item = Option<&'a str>>) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    /// JDV_J08: N, R, V rise.
    #[test]
    fn the_highest_level_of_confidentiality_counts() {
        let level = |code: &str| codes::confidentiality(code, oid::HL7_CONFIDENTIALITY).unwrap();
        assert_eq!(higher(None, level("R")).code, "R");
        assert_eq!(higher(Some(level("V")), level("N")).code, "V");
        assert_eq!(higher(Some(level("N")), level("V")).code, "V");
    }

    /// rules.md §3: 35 of 40 published Ps_idNat fail Luhn.
    #[test]
    fn a_wrong_check_digit_names_its_register() {
        assert_eq!(problem_of_professional("899900123458"), None);
        assert_eq!(
            problem_of_professional("801234534765").as_deref(),
            Some("RPPS_CHECK_DIGIT")
        );
        assert_eq!(
            problem_of_professional("401234567890009").as_deref(),
            Some("WRONG_LOCAL_PART")
        );
        assert_eq!(problem_of_structure("1990000127"), None);
        assert_eq!(
            problem_of_structure("1120459876").as_deref(),
            Some("FINESS_CHECK_DIGIT")
        );
        assert_eq!(problem_of_structure("2801234567").as_deref(), Some("SIREN_CHECK_DIGIT"));
        assert_eq!(problem_of_structure("").as_deref(), Some("WRONG_LENGTH"));
    }

    #[test]
    fn a_birth_date_is_compared_when_it_is_whole() {
        let date = |text: &str| BirthDate::parse(text).and_then(full_date);
        assert_eq!(date("19850412").as_deref(), Some("19850412"));
        assert_eq!(
            date("19851399").as_deref(),
            Some("19851399"),
            "lunar dates are part of the identity"
        );
        assert_eq!(date("198504"), None);
    }

    #[test]
    fn a_repeated_element_carries_its_rank_from_the_second_on() {
        assert_eq!(ranked("author", 0), "author");
        assert_eq!(ranked("author", 1), "author[2]");
        assert_eq!(finding("ClinicalDocument/author/id", "X"), "author/id: X");
    }
}
