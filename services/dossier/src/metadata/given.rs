//! Metadata given beside a document that carries none: PDF and text.

use api::codes::{self, Concept, Table};
use api::common::v1::{Coding, Role};
use api::dossier::v1 as pb;
use api::oid;
use serve::{Actor, Violations};
use store::time::Timestamp;
use uuid::Uuid;

use super::{Metadata, UniqueId, class_of, coding};
use crate::document::MediaType;
use crate::error::Fault;

/// Setting and facility of what the person deposits (TRE_A00).
const BY_THE_PERSON: &str = "EXP_PATIENT";

/// Whether the file is of its announced kind and says anything at all.
pub(crate) fn check_content(media_type: MediaType, content: &[u8]) -> Result<(), Fault> {
    let fault = match media_type {
        _ if content.is_empty() => Some("DOCUMENT_EMPTY"),
        MediaType::Cda => None,
        MediaType::Pdf => (!content.starts_with(b"%PDF-")).then_some("NOT_A_PDF"),
        MediaType::Text => match std::str::from_utf8(content) {
            Err(_) => Some("TEXT_NOT_UTF8"),
            Ok(text) => text.trim().is_empty().then_some("DOCUMENT_EMPTY"),
        },
    };
    fault.map_or(Ok(()), |detail| Err(Fault::new(detail, "")))
}

/// Reads given metadata, noting every violation. The author is who deposits: nothing else says who it is.
pub(crate) fn read(violations: &mut Violations, given: &pb::GivenMetadata, actor: &Actor) -> Option<Metadata> {
    let unique_id = violations.check("given.unique_id", unique_id(&given.unique_id));
    let document_type = document_type(violations, &given.type_code);
    let title = violations.text("given.title", &given.title, 1..=200);
    let creation_time = violations.time("given.creation_time", given.creation_time.as_ref());
    let (service_start, service_stop) = act(violations, given, creation_time);
    let setting = place(
        violations,
        "given.practice_setting_code",
        &given.practice_setting_code,
        &codes::PRACTICE_SETTINGS,
        actor,
    );
    let facility = place(
        violations,
        "given.healthcare_facility_type_code",
        &given.healthcare_facility_type_code,
        &codes::FACILITY_TYPES,
        actor,
    );
    let language = language(violations, &given.language);
    let (document_type, class) = document_type?;
    Some(Metadata {
        unique_id: unique_id?,
        set_id: String::new(),
        version_number: 0,
        document_type,
        class,
        template_ids: Vec::new(),
        practice_setting: setting?,
        facility_type: facility?,
        confidentiality: codes::confidentiality("N", oid::HL7_CONFIDENTIALITY).map(coding)?,
        title: title?,
        language: language?,
        authors: vec![author(actor)],
        legal_authenticator: None,
        creation_time: creation_time?,
        service_start: service_start?,
        service_stop,
        replaces: None,
        findings: Vec::new(),
    })
}

/// An OID, alone or with an extension (`root^extension`), or `urn:uuid:…`.
fn unique_id(text: &str) -> Result<UniqueId, (&'static str, &'static str)> {
    let id = UniqueId::parse(text)?;
    let root = text.split_once('^').map_or(text, |(root, _)| root);
    let uuid = text
        .strip_prefix("urn:uuid:")
        .is_some_and(|uuid| Uuid::try_parse(uuid).is_ok());
    if uuid || oid::is_well_formed(root) {
        Ok(id)
    } else {
        Err(("NOT_AN_ID", "must be an OID or urn:uuid:…"))
    }
}

fn document_type(violations: &mut Violations, code: &str) -> Option<(Coding, Coding)> {
    let concept = codes::DOCUMENT_TYPES
        .find(code)
        .ok_or(("UNKNOWN_CODE", "must be a code of JDV_J07"));
    let concept = violations.check("given.type_code", concept)?;
    let class = class_of(concept).ok_or(("TYPE_NOT_FILED", "documents of this type are not filed in a dossier"));
    let class = violations.check("given.type_code", class)?;
    Some((coding(concept), coding(class)))
}

fn act(
    violations: &mut Violations,
    given: &pb::GivenMetadata,
    creation_time: Option<Timestamp>,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let start = match &given.service_start {
        None => creation_time,
        start => violations.time("given.service_start", start.as_ref()),
    };
    let stop = given
        .service_stop
        .as_ref()
        .and_then(|stop| violations.time("given.service_stop", Some(stop)));
    if start.zip(stop).is_some_and(|(start, stop)| stop < start) {
        violations.add("given.service_stop", "BEFORE_START", "must not be before service_start");
    }
    (start, stop)
}

/// A setting or facility: a code of its table. The person's own documents come from no place of care.
fn place(violations: &mut Violations, field: &str, code: &str, table: &'static Table, actor: &Actor) -> Option<Coding> {
    let code = if code.is_empty() && is_person(actor) {
        BY_THE_PERSON
    } else {
        code
    };
    let concept: Result<&Concept, _> = match code {
        "" => Err(("REQUIRED", "must be given")),
        code => table
            .find(code)
            .ok_or(("UNKNOWN_CODE", "must be a code of its value set")),
    };
    violations.check(field, concept).map(coding)
}

fn is_person(actor: &Actor) -> bool {
    matches!(actor.role, Role::Holder | Role::Representative)
}

fn language(violations: &mut Violations, language: &str) -> Option<String> {
    if language.is_empty() {
        return Some("fr-FR".to_owned());
    }
    let sound = language.len() <= 35
        && language
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let language = if sound {
        Ok(language.to_owned())
    } else {
        Err(("NOT_A_LANGUAGE", "must be a tag as fr-FR"))
    };
    violations.check("given.language", language)
}

fn author(actor: &Actor) -> pb::DocumentAuthor {
    let id = actor
        .professional
        .as_ref()
        .map(|id| id.as_str().to_owned())
        .unwrap_or_default();
    let organization_id = actor
        .structure
        .as_ref()
        .map(|id| id.as_str().to_owned())
        .unwrap_or_default();
    pb::DocumentAuthor {
        assigning_authority: if id.is_empty() {
            String::new()
        } else {
            oid::PROFESSIONAL_ID.to_owned()
        },
        author_id: id,
        organization_id,
        device: actor.role == Role::EstablishmentSystem,
        ..pb::DocumentAuthor::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    /// "Empty and unchanged documents forbidden" (homologation #176).
    #[test]
    fn a_file_is_of_its_kind_and_says_something() {
        let refused = |media, content: &[u8]| check_content(media, content).unwrap_err().detail;
        assert_eq!(refused(MediaType::Pdf, b""), "DOCUMENT_EMPTY");
        assert_eq!(refused(MediaType::Pdf, b"<html>%PDF-"), "NOT_A_PDF");
        assert_eq!(refused(MediaType::Text, b" \n\t "), "DOCUMENT_EMPTY");
        assert_eq!(refused(MediaType::Text, b"caf\xe9"), "TEXT_NOT_UTF8");
        assert_eq!(refused(MediaType::Cda, b""), "DOCUMENT_EMPTY");
        check_content(MediaType::Pdf, b"%PDF-1.7").unwrap();
        check_content(MediaType::Text, "café".as_bytes()).unwrap();
    }

    #[test]
    fn an_id_is_an_oid_or_a_uuid() {
        for good in [
            "2.25.1",
            "1.2.250.1^A-1",
            "urn:uuid:8d5e778c-e155-4685-95c6-5ff65a362964",
        ] {
            unique_id(good).unwrap();
        }
        for bad in ["", "document 1", "1.2.x", "urn:uuid:1", "^1"] {
            unique_id(bad).unwrap_err();
        }
    }
}
