//! What the chapters share: the people, the documents, the receipts kept so far.

use journal::Checkpoint;
use std::collections::BTreeMap;
use std::io::Write;
use store::time::Timestamp;

use super::answer::{Answered, Halt, Refusal, either};
use super::cast::Cast;
use super::clients::Clients;
use super::evidence::Evidence;
use super::narrator::Narrator;
use super::patient::Patient;
use super::source::Source;
use super::{SourceDocument, TourError, Visit};
use crate::verify::sentence::{Names, many};

/// The story so far.
pub(super) struct Story<'a> {
    pub(super) clients: Clients<'a>,
    pub(super) told: Narrator<'a>,
    pub(super) cast: Cast,
    pub(super) names: Names,
    pub(super) sources: Vec<Source>,
    /// The patients of the documents.
    pub(super) patients: Vec<Patient>,
    pub(super) evidence: Evidence,
    pub(super) proofs_of_messages: Evidence,
    /// Entries of the journal by the physician who made them, for the duty.
    pub(super) entries: BTreeMap<String, Vec<String>>,
    /// How many of the documents an earlier tour had deposited.
    pub(super) already_there: usize,
    /// A checkpoint of the dossiers' journal from the beginning of the tour.
    pub(super) first_checkpoint: Option<Checkpoint>,
    pub(super) began: Timestamp,
}

impl<'a> Story<'a> {
    pub(super) fn begin(
        visit: &Visit<'a>,
        documents: Vec<SourceDocument>,
        out: &'a mut dyn Write,
    ) -> Result<Self, TourError> {
        let sources: Vec<Source> = documents.into_iter().map(Source::read).collect();
        let cast = Cast::invent(visit.random)?;
        let mut names = Names::default();
        names.professionals.extend(sources.iter().flat_map(Source::people));
        names.professionals.extend(
            cast.physicians()
                .map(|physician| (physician.id.clone(), physician.name())),
        );
        Ok(Self {
            clients: Clients::new(visit)?,
            told: Narrator::new(out, visit.colour),
            cast,
            names,
            patients: patients(&sources),
            sources,
            evidence: Evidence::new(visit.dossier_log.clone()),
            proofs_of_messages: Evidence::new(visit.messaging_log.clone()),
            entries: BTreeMap::new(),
            already_there: 0,
            first_checkpoint: None,
            began: visit.clock.now(),
        })
    }

    /// The first sentence: what it is for, and that nobody must.
    pub(super) fn introduce(&mut self) -> Result<(), TourError> {
        let readable = self.sources.iter().filter(|source| source.header.is_ok()).count();
        self.told.chapter(
            "Article L1111-14 of the Code de la santé publique, played",
            "Afin de favoriser la prévention, la coordination, la qualité et la continuité des soins, les bénéficiaires \
             de l'assurance maladie peuvent disposer […] d'un dossier médical partagé.",
        )?;
        self.told.done(&format!(
            "{}, of which {readable} can be read, about {}.",
            many(self.sources.len(), "document"),
            many(self.patients.len(), "patient")
        ))?;
        self.told
            .because("\"Peuvent\": nobody must. ✓ is done, ⊘ is refused as it has to be, ✗ is a failure.")?;
        Ok(())
    }

    /// Ends a chapter: what broke it off is a failure of the tour.
    pub(super) fn end_chapter(&mut self, ended: Result<(), Halt>) -> Result<(), TourError> {
        match ended {
            Ok(()) => Ok(()),
            Err(Halt::Tour(error)) => Err(error),
            Err(Halt::Chapter(failure)) => Ok(self.told.failed(&failure)?),
        }
    }

    /// What must be refused for one of `reasons`; anything else is a failure. `None` when it was not refused.
    pub(super) fn must_refuse<T>(
        &mut self,
        what: &str,
        answered: Answered<T>,
        reasons: &[&str],
    ) -> Result<Option<Refusal>, Halt> {
        let Err(refusal) = either(answered)? else {
            self.told.failed(&format!("{what}: was granted, and must be refused"))?;
            return Ok(None);
        };
        if !refusal.is_exact() {
            self.told
                .failed(&format!("{what}: refused without an exact reason: {refusal}"))?;
        } else if !reasons.contains(&refusal.reason.as_str()) {
            let expected = reasons.join(" or ");
            self.told
                .failed(&format!("{what}: refused for {refusal}, where {expected} was expected"))?;
        } else {
            self.told.refused(&format!("{what}: {}.", refusal.exact()))?;
        }
        Ok(Some(refusal))
    }

    /// The patients who have an open dossier.
    pub(super) fn open_patients(&self) -> impl Iterator<Item = &Patient> {
        self.patients.iter().filter(|patient| patient.open)
    }

    /// Whose dossier is looked at closely: the first with a document in it, else the invented one.
    pub(super) fn main_patient(&self) -> &Patient {
        let filed = |patient: &&Patient| {
            patient
                .documents
                .iter()
                .any(|index| self.sources.get(*index).is_some_and(|source| source.filed.is_some()))
        };
        self.open_patients().find(filed).unwrap_or(&self.cast.opener)
    }
}

/// The patients of the documents, each once: a matricule is somebody under its OID.
fn patients(sources: &[Source]) -> Vec<Patient> {
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut patients: Vec<Patient> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let Some((ins, traits)) = source.patient() else {
            continue;
        };
        let place = *places
            .entry((ins.oid.clone(), ins.matricule.clone()))
            .or_insert(patients.len());
        if place == patients.len() {
            patients.push(Patient::new(ins, traits));
        }
        if let Some(patient) = patients.get_mut(place) {
            patient.documents.push(index);
        }
    }
    patients
}
