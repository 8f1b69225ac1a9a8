//! Real documents are deposited: each is filed with complete metadata, or refused for an exact reason.

use api::common::v1::Coding;
use api::dossier::v1::submit_document_request::Part;
use api::dossier::v1::{
    Document, DocumentStatus, GivenMetadata, SubmitDocumentHeader, SubmitDocumentRequest, SubmitDocumentResponse,
    Visibility,
};
use aws_lc_rs::digest;
use futures::stream;
use serve::Claims;
use std::collections::BTreeMap;
use store::time::to_proto;

use super::Played;
use super::answer::{Answered, Halt, Refusal, either, granted};
use super::clients::Clients;
use super::narrator::{column, day};
use super::source::Source;
use super::story::Story;
use crate::verify::sentence::{many, without_diploma};

/// The contract allows 1 MiB.
const CHUNK_BYTES: usize = 256 << 10;

pub(super) async fn play(story: &mut Story<'_>) -> Played {
    story.told.chapter(
        "4 · Documents",
        "Afin de favoriser la prévention, la coordination, la qualité et la continuité des soins …",
    )?;
    for index in 0..story.sources.len() {
        file(story, index).await?;
    }
    if story.already_there > 0 {
        let known = many(story.already_there, "document");
        story.told.because(&format!(
            "{known} had been deposited before: one document stays one document."
        ))?;
    }
    same_again(story).await?;
    changed(story).await?;
    plain_text(story).await
}

/// Files one document: in its patient's dossier or, when it names no patient who could have one, in a dossier where it
/// must be refused.
async fn file(story: &mut Story<'_>, index: usize) -> Played {
    let patient = story.patients.iter().find(|patient| patient.documents.contains(&index));
    let now = story.clients.now();
    let Some(source) = story.sources.get(index) else {
        return Ok(());
    };
    match patient {
        Some(patient) if patient.open => {
            let dmp_id = patient.dmp_id.clone().unwrap_or_default();
            let by_patient = source.header.as_ref().is_ok_and(|header| header.is_by_patient());
            let own = patient.voice(now).filter(|_| by_patient);
            let depositor = own.or_else(|| source.professional());
            let depositor = depositor.unwrap_or_else(|| story.cast.depositor.claims.clone());
            let answered = submit(&story.clients, &depositor, cda(source, &dmp_id, &story.clients)).await?;
            let answer = either(answered)?;
            filed(story, index, &dmp_id, &depositor, answer)
        }
        Some(patient) => {
            let why = patient.barred.clone().unwrap_or_else(|| "no open dossier".to_owned());
            story.told.refused(&format!("{} {why}", column(&source.name, 40)))?;
            set_refusal(story, index, why);
            Ok(())
        }
        None => must_be_refused(story, index).await,
    }
}

/// A document without a readable patient is nobody's: no dossier takes it.
async fn must_be_refused(story: &mut Story<'_>, index: usize) -> Played {
    let Some(source) = story.sources.get(index) else {
        return Ok(());
    };
    let name = source.name.clone();
    let read = source.header.as_ref().err().map(|error| error.reason());
    let dmp_id = story.cast.opener.dmp_id.clone().unwrap_or_default();
    let depositor = story.cast.depositor.claims.clone();
    let answered = submit(&story.clients, &depositor, cda(source, &dmp_id, &story.clients)).await?;
    match either(answered)? {
        Ok(_) => story.told.failed(&format!(
            "{name}: names no patient with a dossier, and was filed in one"
        ))?,
        Err(refusal) => {
            let detail = refusal.says("detail");
            if read.is_some() && refusal.reason == "DOCUMENT_INVALID" && detail != read {
                story
                    .told
                    .failed(&format!("{name}: refused for {refusal}, where {read:?} was expected"))?;
            }
            refused(story, index, &refusal)?;
        }
    }
    Ok(())
}

fn set_refusal(story: &mut Story<'_>, index: usize, why: String) {
    if let Some(source) = story.sources.get_mut(index) {
        source.refusal = Some(why);
    }
}

fn refused(story: &mut Story<'_>, index: usize, refusal: &Refusal) -> Played {
    let name = story
        .sources
        .get(index)
        .map(|source| source.name.clone())
        .unwrap_or_default();
    if refusal.is_exact() {
        story
            .told
            .refused(&format!("{} {}", column(&name, 40), refusal.exact()))?;
        for field in refusal.fields.iter().skip(1) {
            story.told.because(&format!("also {field}"))?;
        }
    } else {
        story
            .told
            .failed(&format!("{name}: refused without an exact reason: {refusal}"))?;
    }
    set_refusal(story, index, refusal.exact());
    Ok(())
}

fn filed(
    story: &mut Story<'_>,
    index: usize,
    dmp_id: &str,
    depositor: &Claims,
    answer: Result<SubmitDocumentResponse, Refusal>,
) -> Played {
    let answer = match answer {
        Ok(answer) => answer,
        Err(refusal) => return refused(story, index, &refusal),
    };
    let Story {
        told,
        sources,
        evidence,
        names,
        entries,
        already_there,
        ..
    } = story;
    let Some(source) = sources.get_mut(index) else {
        return Ok(());
    };
    told.check(&source.name, evidence.keep(dmp_id, answer.receipt.as_ref()))?;
    if let Some(receipt) = &answer.receipt {
        entries
            .entry(depositor.professional.clone())
            .or_default()
            .push(receipt.entry_id.clone());
    }
    let Some(document) = answer.document else {
        told.failed(&format!("{}: filed, and the answer says nothing of it", source.name))?;
        return Ok(());
    };
    for missing in incomplete(&document, source, dmp_id) {
        told.failed(&format!("{}: {missing}", source.name))?;
    }
    told.done(&summary(&source.name, &document))?;
    if !document.findings.is_empty() {
        told.because(&format!("noted: {}", findings(&document)))?;
    }
    if !document.replaces.is_empty() {
        told.because(&format!("replaces {}", document.replaces))?;
    }
    names
        .documents
        .insert(document.unique_id.clone(), document.title.clone());
    source.filed = Some(document);
    *already_there += usize::from(answer.already_there);
    Ok(())
}

/// One line: what it is, of which class, by whom, of when, how large.
fn summary(name: &str, document: &Document) -> String {
    let label = |coding: &Option<Coding>| coding.as_ref().map(|coding| coding.label.clone()).unwrap_or_default();
    let author = document
        .authors
        .first()
        .map(|author| label(&author.specialty))
        .unwrap_or_default();
    // "Médecin - Biologie médicale (SM)": the specialty says it all.
    let specialty = without_diploma(author.split_once(" - ").map_or(author.as_str(), |(_profession, it)| it));
    format!(
        "{} {} {} {} {} {:>5} kB",
        column(name, 28),
        column(&label(&document.r#type), 30),
        column(&label(&document.class), 12),
        column(specialty, 18),
        day(document.service_start.as_ref()),
        document.size.max(0).cast_unsigned().div_ceil(1024),
    )
}

/// What checking let through, by reason: `RPPS_CHECK_DIGIT (2)`.
fn findings(document: &Document) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &document.findings {
        let reason = finding
            .rsplit_once(": ")
            .map_or(finding.as_str(), |(_place, reason)| reason);
        *reasons.entry(reason).or_default() += 1;
    }
    let counted = |(reason, count)| {
        if count == 1 {
            String::from(reason)
        } else {
            format!("{reason} ({count})")
        }
    };
    reasons.into_iter().map(counted).collect::<Vec<_>>().join(", ")
}

/// What an accepted document lacks or has wrong. Empty is complete.
fn incomplete(document: &Document, source: &Source, dmp_id: &str) -> Vec<String> {
    let coded = |coding: &Option<Coding>| {
        coding
            .as_ref()
            .is_some_and(|it| ![&it.code, &it.system, &it.label].into_iter().any(String::is_empty))
    };
    let header = source.header.as_ref().ok();
    let unique_id = header.map(|header| header.unique_id()).unwrap_or_default();
    let size = i64::try_from(source.content.len()).unwrap_or(i64::MAX);
    let expected = [
        ("entry_uuid", !document.entry_uuid.is_empty()),
        ("logical_id", !document.logical_id.is_empty()),
        ("unique_id of the header", document.unique_id == unique_id),
        ("dmp_id", document.dmp_id == dmp_id),
        (
            "status",
            matches!(document.status(), DocumentStatus::Approved | DocumentStatus::Deprecated),
        ),
        ("type", coded(&document.r#type)),
        ("class", coded(&document.class)),
        ("template_ids", !document.template_ids.is_empty()),
        ("practice_setting", coded(&document.practice_setting)),
        ("healthcare_facility_type", coded(&document.healthcare_facility_type)),
        ("confidentiality", coded(&document.confidentiality)),
        ("title", !document.title.is_empty()),
        ("language", !document.language.is_empty()),
        ("authors", !document.authors.is_empty()),
        ("legal_authenticator", document.legal_authenticator.is_some()),
        ("creation_time", document.creation_time.is_some()),
        ("service_start", document.service_start.is_some()),
        ("media_type", document.media_type == "text/xml"),
        ("size of the file", document.size == size),
        ("sha256 of the file", document.sha256 == source.sha256),
        ("submitted_by", !document.submitted_by.is_empty()),
        ("submitted_at", document.submitted_at.is_some()),
        ("etag", !document.etag.is_empty()),
    ];
    let wrong = expected.into_iter().filter(|(_, holds)| !holds);
    wrong.map(|(field, _)| format!("filed without the {field}")).collect()
}

/// The same document again is one document, whoever sends it under whatever request.
async fn same_again(story: &mut Story<'_>) -> Played {
    let Some((source, depositor)) = first_filed(story) else {
        return Ok(());
    };
    let dmp_id = source
        .filed
        .as_ref()
        .map(|document| document.dmp_id.clone())
        .unwrap_or_default();
    let answered = submit(&story.clients, &depositor, cda(source, &dmp_id, &story.clients)).await?;
    let what = format!("{} a second time", source.name);
    let answer = granted(&what, answered)?;
    story
        .told
        .check(&what, story.evidence.keep(&dmp_id, answer.receipt.as_ref()))?;
    if answer.already_there {
        story.told.done(&format!("{what}: there already, one document."))?;
    } else {
        story.told.failed(&format!("{what}: filed twice"))?;
    }
    Ok(())
}

/// Another content under the same identifier is not taken for it.
async fn changed(story: &mut Story<'_>) -> Played {
    let Some((source, depositor)) = first_filed(story) else {
        return Ok(());
    };
    let dmp_id = source
        .filed
        .as_ref()
        .map(|document| document.dmp_id.clone())
        .unwrap_or_default();
    let mut content = source.content.clone();
    content.extend_from_slice(b"<!-- changed -->\n");
    let upload = upload(header(&story.clients, &dmp_id, "text/xml", &content), &content);
    let what = format!("{} with other content under its identifier", source.name);
    let answered = submit(&story.clients, &depositor, upload).await?;
    story.must_refuse(&what, answered, &["ALREADY_EXISTS"])?;
    Ok(())
}

fn first_filed<'a>(story: &'a Story<'_>) -> Option<(&'a Source, Claims)> {
    let source = story.sources.iter().find(|source| source.filed.is_some())?;
    let depositor = source
        .professional()
        .unwrap_or_else(|| story.cast.depositor.claims.clone());
    Some((source, depositor))
}

/// A note without a header of its own: its depositor gives the metadata.
async fn plain_text(story: &mut Story<'_>) -> Played {
    let content = "Compte rendu de consultation (visite) : tout va bien.\n".as_bytes();
    let depositor = story.cast.depositor.claims.clone();
    let dmp_id = story.cast.opener.dmp_id.clone().unwrap_or_default();
    let mut header = header(&story.clients, &dmp_id, "text/plain", content);
    header.given = Some(GivenMetadata {
        unique_id: format!("urn:uuid:{}", story.clients.request_id()),
        type_code: "11488-4".to_owned(),
        title: "Note de consultation".to_owned(),
        creation_time: Some(to_proto(story.began)),
        practice_setting_code: "AMBULATOIRE".to_owned(),
        healthcare_facility_type_code: "SA07".to_owned(),
        ..GivenMetadata::default()
    });
    let answered = submit(&story.clients, &depositor, upload(header, content)).await?;
    let answer = granted("depositing a text with given metadata", answered)?;
    let Story {
        told,
        evidence,
        names,
        entries,
        cast,
        ..
    } = story;
    told.check(
        "depositing a text with given metadata",
        evidence.keep(&dmp_id, answer.receipt.as_ref()),
    )?;
    if let Some(receipt) = answer.receipt {
        entries
            .entry(cast.depositor.id.clone())
            .or_default()
            .push(receipt.entry_id);
    }
    let document = answer.document.unwrap_or_default();
    told.done(&summary("a text with given metadata", &document))?;
    names.documents.insert(document.unique_id, document.title);
    Ok(())
}

fn cda(source: &Source, dmp_id: &str, clients: &Clients<'_>) -> Vec<SubmitDocumentRequest> {
    upload(header(clients, dmp_id, "text/xml", &source.content), &source.content)
}

fn header(clients: &Clients<'_>, dmp_id: &str, media_type: &str, content: &[u8]) -> SubmitDocumentHeader {
    SubmitDocumentHeader {
        request_id: clients.request_id(),
        dmp_id: dmp_id.to_owned(),
        media_type: media_type.to_owned(),
        sha256: digest::digest(&digest::SHA256, content).as_ref().to_vec(),
        size: i64::try_from(content.len()).unwrap_or(i64::MAX),
        visibility: Some(Visibility::default()),
        given: None,
        context: None,
    }
}

fn upload(header: SubmitDocumentHeader, content: &[u8]) -> Vec<SubmitDocumentRequest> {
    let chunks = content.chunks(CHUNK_BYTES).map(|chunk| Part::Chunk(chunk.to_vec()));
    let parts = std::iter::once(Part::Header(header)).chain(chunks);
    parts.map(|part| SubmitDocumentRequest { part: Some(part) }).collect()
}

async fn submit(
    clients: &Clients<'_>,
    who: &Claims,
    upload: Vec<SubmitDocumentRequest>,
) -> Result<Answered<SubmitDocumentResponse>, Halt> {
    Ok(clients
        .documents()
        .submit_document(clients.ask(who, stream::iter(upload))?)
        .await)
}
