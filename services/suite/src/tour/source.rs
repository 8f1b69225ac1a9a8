//! A document to be filed: what its header says of patient and authors, and what became of it.

use api::dossier::v1::Document;
use api::identifier::v1::{Ins, Sex, StrictTraits};
use api::identity::{Check, ProfessionalId, StructureId};
use api::oid;
use aws_lc_rs::digest;
use dossier::cda::{
    Author, CdaError, CdaHeader, Code, InstanceId, Limits, Organization, PersonName, Traits, read_header,
};
use serve::Claims;

use super::SourceDocument;
use super::cast;

/// A document of the tour.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
    pub(super) sha256: Vec<u8>,
    pub(super) header: Result<CdaHeader, CdaError>,
    /// The document as filed, when it is.
    pub(super) filed: Option<Document>,
    /// Why it is not, when it is known.
    pub(super) refusal: Option<String>,
}

impl Source {
    pub(super) fn read(document: SourceDocument) -> Self {
        Self {
            sha256: digest::digest(&digest::SHA256, &document.content).as_ref().to_vec(),
            header: read_header(&document.content, &Limits::default()),
            name: document.name,
            content: document.content,
            filed: None,
            refusal: None,
        }
    }

    /// Matricule and traits of the patient, when the document can be read and has a matricule.
    pub(super) fn patient(&self) -> Option<(Ins, StrictTraits)> {
        let patient = &self.header.as_ref().ok()?.patient;
        let ins = patient.ins()?;
        let matricule = ins.extension.as_ref()?.as_str().to_owned();
        Some((
            Ins {
                matricule,
                oid: ins.root.clone(),
            },
            strict_traits(&patient.traits),
        ))
    }

    /// The professional who wrote the document, or answers for it, when it names one by a national identifier.
    pub(super) fn professional(&self) -> Option<Claims> {
        let header = self.header.as_ref().ok()?;
        let authors = header.authors.iter();
        let claims =
            |author: &Author| professional(&author.ids, author.specialty.as_ref(), author.organization.as_ref());
        let entity = &header.legal_authenticator.entity;
        let signatory = || professional(&entity.ids, entity.specialty.as_ref(), entity.organization.as_ref());
        authors
            .filter(|author| author.person.is_some())
            .find_map(claims)
            .or_else(signatory)
    }

    /// Names of professionals by their identifiers, for sentences.
    pub(super) fn people(&self) -> Vec<(String, String)> {
        let Ok(header) = &self.header else { return Vec::new() };
        let entity = &header.legal_authenticator.entity;
        let authors = header
            .authors
            .iter()
            .map(|author| (&author.ids, author.person.as_ref()));
        let all = authors.chain([(&entity.ids, entity.person.as_ref())]);
        all.filter_map(|(ids, person)| Some((professional_id(ids)?.as_str().to_owned(), full_name(person?))))
            .collect()
    }
}

fn strict_traits(traits: &Traits) -> StrictTraits {
    let text = |value: &Option<dossier::cda::Text>| value.as_ref().map(|text| text.as_str().to_owned());
    let date = traits.birth_date.map(|date| {
        let (month, day) = (date.month.unwrap_or_default(), date.day.unwrap_or_default());
        format!("{:04}{month:02}{day:02}", date.year)
    });
    let sex = match traits.sex.as_ref().map(|sex| sex.as_str()) {
        Some("F") => Sex::Female,
        Some("M") => Sex::Male,
        Some(_) => Sex::Unknown,
        None => Sex::Unspecified,
    };
    StrictTraits {
        birth_family_name: text(&traits.birth_family).unwrap_or_default(),
        birth_given_names: text(&traits.birth_given_names)
            .or_else(|| text(&traits.first_given_name))
            .unwrap_or_default(),
        birth_date: date.unwrap_or_default(),
        sex: sex.into(),
        birth_place_code: text(&traits.birthplace_insee).unwrap_or_default(),
    }
}

/// `G15_10/SM26` is profession `10`, specialty `SM26`.
fn professional(ids: &[InstanceId], specialty: Option<&Code>, organization: Option<&Organization>) -> Option<Claims> {
    let id = professional_id(ids)?;
    let code = specialty?.code.strip_prefix("G15_")?;
    let (profession, specialty) = code.split_once('/').unwrap_or((code, ""));
    let structure = organization.and_then(|organization| structure_id(&organization.ids));
    Some(cast::professional(
        id.as_str(),
        profession,
        specialty,
        structure.as_ref().map(StructureId::as_str),
    ))
}

/// Read leniently: real documents carry numbers whose check digit is wrong.
fn professional_id(ids: &[InstanceId]) -> Option<ProfessionalId> {
    under(ids, oid::PROFESSIONAL_ID).find_map(|text| ProfessionalId::parse(text, Check::Lenient).ok())
}

fn structure_id(ids: &[InstanceId]) -> Option<StructureId> {
    under(ids, oid::STRUCTURE_ID).find_map(|text| StructureId::parse(text, Check::Lenient).ok())
}

fn under<'a>(ids: &'a [InstanceId], root: &'a str) -> impl Iterator<Item = &'a str> {
    let ids = ids.iter().filter(move |id| id.root == root);
    ids.filter_map(|id| id.extension.as_ref())
        .map(|extension| extension.as_str())
}

fn full_name(person: &PersonName) -> String {
    let parts = [&person.suffix, &person.given, &person.family];
    let parts = parts.into_iter().flatten().map(|part| part.as_str());
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::tour::samples;

    /// The documents that the program carries need no folder and nobody's data: all can be read, about one person.
    #[test]
    fn the_samples_name_their_patient_and_their_author() {
        let sources: Vec<Source> = samples().into_iter().map(Source::read).collect();
        assert_eq!(sources.len(), 4);
        for source in &sources {
            let (ins, traits) = source.patient().unwrap();
            assert_eq!(
                (ins.matricule.as_str(), ins.oid.as_str()),
                ("285046912304201", oid::INS_TEST)
            );
            assert_eq!(traits.birth_given_names, "MAELLE JEANNE");
            assert_eq!(
                (traits.birth_date.as_str(), traits.sex),
                ("19850412", i32::from(Sex::Female))
            );
            let author = source.professional().unwrap();
            assert!(author.professional.starts_with("899900"));
            assert!(
                source
                    .people()
                    .iter()
                    .any(|(id, name)| *id == author.professional && !name.is_empty())
            );
        }
    }

    #[test]
    fn bytes_that_are_no_document_name_nobody() {
        let source = Source::read(SourceDocument {
            name: "x".into(),
            content: b"<x/>".to_vec(),
        });
        assert!(source.patient().is_none() && source.professional().is_none() && source.people().is_empty());
        assert_eq!(
            source.header.err().map(|error| error.reason()),
            Some("CDA_NOT_A_CLINICAL_DOCUMENT")
        );
    }
}
