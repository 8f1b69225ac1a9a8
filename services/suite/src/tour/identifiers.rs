//! Second sentence: an identifier for everybody, which proves nothing.

use api::dossier::v1::{DossierState, GetDossierStatusRequest};
use api::identifier::v1::enrolment_outcome::Result as Enrolled;
use api::identifier::v1::{
    EnrolBeneficiariesRequest, Enrolment, EnrolmentOutcome, IdentityStatus, ResolveIdentifierRequest,
};
use api::oid;
use futures::stream;

use super::Played;
use super::answer::{Halt, granted};
use super::cast;
use super::clients::Clients;
use super::narrator;
use super::patient::{Patient, spaced};
use super::story::Story;
use crate::verify::sentence::many;

/// What the contract allows in one batch.
const BATCH: usize = 1_000;

pub(super) async fn play(story: &mut Story<'_>) -> Played {
    story.told.chapter(
        "1 · An identifier for everybody",
        "A cette fin, il est créé un identifiant du dossier médical partagé pour l'ensemble des bénéficiaires de \
         l'assurance maladie.",
    )?;
    let invented = story.cast.patients_mut();
    let mut everybody: Vec<&mut Patient> = story.patients.iter_mut().chain(invented).collect();
    let outcomes = enrol(&story.clients, &everybody).await?;
    for (patient, outcome) in everybody.iter_mut().zip(&outcomes) {
        take(patient, outcome);
    }
    tell(story, &outcomes)?;
    resolve_conflicts(story).await?;
    for patient in &story.patients {
        let refused = patient.barred.as_ref().filter(|_| patient.dmp_id.is_none());
        for index in &patient.documents {
            if let Some(source) = story.sources.get_mut(*index) {
                source.refusal = refused.cloned();
            }
        }
    }
    differing_traits(story).await?;
    proves_nothing(story).await
}

/// The whole population in a stream of batches.
async fn enrol(clients: &Clients<'_>, everybody: &[&mut Patient]) -> Result<Vec<EnrolmentOutcome>, Halt> {
    let enrolments: Vec<Enrolment> = everybody.iter().map(|patient| enrolment(patient)).collect();
    let batches = enrolments.chunks(BATCH).zip(1..);
    let batches = batches.map(|(batch, number)| EnrolBeneficiariesRequest {
        batch: number,
        enrolments: batch.to_vec(),
    });
    let request = clients.ask(&cast::administrator(), stream::iter(batches.collect::<Vec<_>>()))?;
    let answered = clients.identifiers().enrol_beneficiaries(request).await;
    let mut answers = granted("enrolling the beneficiaries", answered)?;
    let mut outcomes = Vec::new();
    while let Some(answer) = answers.message().await.map_err(|status| broken(&status))? {
        outcomes.extend(answer.outcomes);
    }
    if outcomes.len() == everybody.len() {
        Ok(outcomes)
    } else {
        Err(Halt::Chapter(format!(
            "{} beneficiaries were sent, {} answered",
            everybody.len(),
            outcomes.len()
        )))
    }
}

fn enrolment(patient: &Patient) -> Enrolment {
    Enrolment {
        ins: Some(patient.ins.clone()),
        traits: Some(patient.traits.clone()),
        identity_status: IdentityStatus::Qualified.into(),
    }
}

fn broken(status: &tonic::Status) -> Halt {
    match super::answer::refusal(status) {
        Ok(refusal) => Halt::Chapter(format!("enrolling the beneficiaries: {refusal}")),
        Err(halt) => halt,
    }
}

fn take(patient: &mut Patient, outcome: &EnrolmentOutcome) {
    match outcome.result() {
        Enrolled::Enrolled | Enrolled::AlreadyEnrolled => patient.dmp_id = Some(outcome.dmp_id.clone()),
        Enrolled::Refused => patient.barred = Some(format!("no identifier: {}", outcome.fields.join(", "))),
        Enrolled::Conflict | Enrolled::Unspecified => {}
    }
}

fn tell(story: &mut Story<'_>, outcomes: &[EnrolmentOutcome]) -> Played {
    let Story {
        told, patients, cast, ..
    } = story;
    let invented = cast.patients_mut().map(|patient| &*patient);
    for (patient, outcome) in patients.iter().chain(invented).zip(outcomes) {
        let who = narrator::column(&patient.name(), 34);
        let matricule = format!(
            "{} {}",
            patient.ins.matricule,
            narrator::column(kind(&patient.ins.oid), 5)
        );
        let dmp_id = spaced(&outcome.dmp_id);
        match outcome.result() {
            Enrolled::Enrolled => told.done(&format!("{who} {matricule}  {dmp_id}  new"))?,
            Enrolled::AlreadyEnrolled => told.done(&format!("{who} {matricule}  {dmp_id}  known already"))?,
            Enrolled::Conflict => told.refused(&format!("{who} {matricule}  known with other traits"))?,
            Enrolled::Refused if outcome.fields.is_empty() => {
                told.failed(&format!("{who} {matricule}  refused without a reason"))?;
            }
            Enrolled::Refused => {
                told.refused(&format!("{who} {matricule}  {}", outcome.fields.join(", ")))?;
                told.because(&format!(
                    "{} of this patient cannot be filed.",
                    many(patient.documents.len(), "document")
                ))?;
            }
            Enrolled::Unspecified => told.failed(&format!("{who} {matricule}  answered without a result"))?,
        }
    }
    Ok(())
}

/// What an INS is, by its OID: a number under two of them is two persons.
fn kind(oid: &str) -> &'static str {
    match oid {
        oid::INS_NIR => "NIR",
        oid::INS_NIA => "NIA",
        oid::INS_TEST => "test",
        oid::INS_DEMO => "démo",
        _ => "?",
    }
}

/// A matricule that is known with other traits still has its identifier; the differences are for somebody to look at.
async fn resolve_conflicts(story: &mut Story<'_>) -> Played {
    let Story {
        clients,
        told,
        patients,
        ..
    } = story;
    let unknown = patients
        .iter_mut()
        .filter(|patient| patient.dmp_id.is_none() && patient.barred.is_none());
    for patient in unknown {
        let request = ResolveIdentifierRequest {
            ins: Some(patient.ins.clone()),
            traits: Some(patient.traits.clone()),
        };
        let answered = clients
            .identifiers()
            .resolve_identifier(clients.ask(&cast::administrator(), request)?)
            .await;
        let resolved = granted("finding an identifier by its matricule", answered)?;
        told.done(&format!("{} is {}", patient.ins.matricule, spaced(&resolved.dmp_id)))?;
        told.because(&format!(
            "the register has other traits: {}",
            resolved.differing_traits.join(", ")
        ))?;
        patient.dmp_id = Some(resolved.dmp_id);
    }
    Ok(())
}

/// Documents of one matricule that write its traits in other ways.
async fn differing_traits(story: &mut Story<'_>) -> Played {
    let Story {
        clients,
        told,
        patients,
        sources,
        ..
    } = story;
    for patient in patients.iter().filter(|patient| patient.dmp_id.is_some()) {
        for source in patient.documents.iter().filter_map(|index| sources.get(*index)) {
            let Some((ins, traits)) = source.patient().filter(|(_, traits)| *traits != patient.traits) else {
                continue;
            };
            let request = ResolveIdentifierRequest {
                ins: Some(ins),
                traits: Some(traits),
            };
            let request = clients.ask(&cast::administrator(), request)?;
            let answered = clients.identifiers().resolve_identifier(request).await;
            let differing = granted("comparing the traits of a document", answered)?.differing_traits;
            if !differing.is_empty() {
                told.done(&format!(
                    "{}: same matricule, other {}",
                    source.name,
                    differing.join(", ")
                ))?;
            }
        }
    }
    Ok(())
}

/// Having an identifier is no proof of a dossier.
async fn proves_nothing(story: &mut Story<'_>) -> Played {
    let Story {
        clients,
        told,
        cast,
        evidence,
        ..
    } = story;
    let abstainer = &cast.abstainer;
    let dmp_id = abstainer
        .dmp_id
        .clone()
        .ok_or_else(|| Halt::Chapter("an invented person was not enrolled".into()))?;
    let request = clients.ask(&cast.reader.claims, GetDossierStatusRequest { dmp_id: dmp_id.clone() })?;
    let status = granted(
        "asking whether a dossier exists",
        clients.dossiers().get_dossier_status(request).await,
    )?;
    told.check(
        "asking whether a dossier exists",
        evidence.keep(&dmp_id, status.receipt.as_ref()),
    )?;
    if status.state() != DossierState::Absent {
        told.failed("somebody who never wanted a dossier has one")?;
        return Ok(());
    }
    told.done(&format!(
        "{} has an identifier and no dossier: having one proves nothing.",
        abstainer.name()
    ))?;
    Ok(())
}
