//! Who reads, by which rule, and who does not.

use api::consent::v1::decision::Outcome;
use api::consent::v1::{
    AuthorizeProfessionalRequest, AuthorizeRequest, BlockProfessionalRequest, ListProfessionalsRequest, Operation,
};
use api::dossier::v1::read_document_response::Part;
use api::dossier::v1::{Document, ListDocumentsRequest, ReadDocumentRequest, ReadDocumentResponse};
use serve::Claims;
use std::collections::BTreeSet;
use tonic::Streaming;

use super::Played;
use super::answer::{Answered, Halt, granted, refusal};
use super::cast;
use super::clients::Clients;
use super::story::Story;
use crate::verify::sentence::many;

/// Small, so that listings of real dossiers come in several pages.
const PAGE: i32 = 10;

pub(super) async fn play(story: &mut Story<'_>) -> Played {
    story.told.chapter(
        "5 · Consultation, by an explained right",
        "… dans les conditions et sous les garanties prévues aux articles L. 1110-4 et L. 1110-4-1 et dans le respect du \
         secret médical …",
    )?;
    story
        .told
        .because("L1111-19: the holder sees who may come in, and changes that list at any time.")?;
    outsider_refused(story).await?;
    reads_everything(story).await?;
    unwanted_refused(story).await?;
    administrator_refused(story).await
}

async fn list(
    clients: &Clients<'_>,
    who: &Claims,
    dmp_id: &str,
    page_token: String,
) -> Result<Answered<api::dossier::v1::ListDocumentsResponse>, Halt> {
    let request = ListDocumentsRequest {
        dmp_id: dmp_id.to_owned(),
        page_size: PAGE,
        page_token,
        ..ListDocumentsRequest::default()
    };
    Ok(clients.documents().list_documents(clients.ask(who, request)?).await)
}

/// A physician whom nobody authorised.
async fn outsider_refused(story: &mut Story<'_>) -> Played {
    let (reader, name) = (story.cast.reader.claims.clone(), story.cast.reader.name());
    let patient = story.main_patient();
    let dmp_id = patient.dmp_id.clone().unwrap_or_default();
    let what = format!("{name} asks for the documents of {}, unauthorised", patient.name());
    let answered = list(&story.clients, &reader, &dmp_id, String::new()).await?;
    let Some(refusal) = story.must_refuse(&what, answered, &["ACCESS_REFUSED"])? else {
        return Ok(());
    };
    story.told.because(&refusal.message)?;
    let modes = refusal.other_modes();
    if refusal.says("mode_break_glass").is_none() {
        story
            .told
            .failed("the refusal does not say what break-glass would open")?;
    }
    for mode in modes {
        story.told.because(&mode)?;
    }
    Ok(())
}

/// Authorised by each holder, the physician lists and reads every document of the tour, byte for byte.
async fn reads_everything(story: &mut Story<'_>) -> Played {
    let dossiers: Vec<(String, String, Claims)> = story.open_patients().filter_map(|it| dossier(story, it)).collect();
    for (dmp_id, name, voice) in dossiers {
        authorise(story, &dmp_id, &name, &voice).await?;
        explain(story, &dmp_id).await?;
        let listed = list_all(story, &dmp_id).await?;
        read_all(story, &dmp_id, &name, &listed).await?;
    }
    Ok(())
}

fn dossier(story: &Story<'_>, patient: &super::patient::Patient) -> Option<(String, String, Claims)> {
    let filed = |index: &usize| story.sources.get(*index).is_some_and(|source| source.filed.is_some());
    let worth_reading = patient.documents.iter().any(filed);
    let voice = patient.voice(story.clients.now()).filter(|_| worth_reading)?;
    Some((patient.dmp_id.clone()?, patient.name(), voice))
}

async fn authorise(story: &mut Story<'_>, dmp_id: &str, name: &str, voice: &Claims) -> Played {
    let Story {
        clients, told, cast, ..
    } = story;
    let request = AuthorizeProfessionalRequest {
        request_id: clients.request_id(),
        dmp_id: dmp_id.to_owned(),
        professional_id: cast.reader.id.clone(),
        ..AuthorizeProfessionalRequest::default()
    };
    let answered = clients
        .authorizations()
        .authorize_professional(clients.ask(voice, request)?)
        .await;
    let authorization = granted("authorising a professional", answered)?;
    let request = ListProfessionalsRequest {
        dmp_id: dmp_id.to_owned(),
        ..ListProfessionalsRequest::default()
    };
    let answered = clients
        .authorizations()
        .list_professionals(clients.ask(voice, request)?)
        .await;
    let on_list = granted("listing who may come in", answered)?.authorizations;
    if !on_list
        .iter()
        .any(|it| it.authorization_id == authorization.authorization_id)
    {
        told.failed("an authorisation just given is not on the holder's list")?;
    }
    told.done(&format!("{name} authorises {}; the list shows it.", cast.reader.name()))?;
    Ok(())
}

/// By which rule the physician reads now.
async fn explain(story: &mut Story<'_>, dmp_id: &str) -> Played {
    let Story {
        clients, told, cast, ..
    } = story;
    let request = AuthorizeRequest {
        dmp_id: dmp_id.to_owned(),
        operation: Operation::ReadDocuments.into(),
        context: None,
    };
    let answered = clients
        .rights()
        .authorize(clients.ask(&cast.reader.claims, request)?)
        .await;
    let decision = granted("asking for the right to read", answered)?;
    if !matches!(decision.outcome, Some(Outcome::Grant(_))) || decision.bases.is_empty() {
        told.failed("an authorised physician has no right to read, or one without a rule")?;
    }
    for basis in decision.bases {
        told.because(&format!(
            "allowed by rule {} ({}): {}",
            basis.rule, basis.article, basis.summary
        ))?;
    }
    Ok(())
}

async fn list_all(story: &mut Story<'_>, dmp_id: &str) -> Result<Vec<Document>, Halt> {
    let Story {
        clients,
        told,
        cast,
        evidence,
        entries,
        ..
    } = story;
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let answered = list(clients, &cast.reader.claims, dmp_id, page_token).await?;
        let page = granted("listing documents", answered)?;
        told.check("listing documents", evidence.keep(dmp_id, page.receipt.as_ref()))?;
        entries
            .entry(cast.reader.id.clone())
            .or_default()
            .extend(page.receipt.map(|receipt| receipt.entry_id));
        listed.extend(page.documents.into_iter().map(Document::from));
        if page.next_page_token.is_empty() {
            return Ok(listed);
        }
        page_token = page.next_page_token;
    }
}

async fn read_all(story: &mut Story<'_>, dmp_id: &str, name: &str, listed: &[Document]) -> Played {
    let Story {
        clients,
        told,
        cast,
        evidence,
        entries,
        sources,
        ..
    } = story;
    let listed: BTreeSet<&str> = listed.iter().map(|document| document.unique_id.as_str()).collect();
    let mut replaced: BTreeSet<String> = BTreeSet::new();
    let (mut read, mut bytes) = (0, 0);
    let filed = sources
        .iter()
        .filter_map(|source| Some((source, source.filed.as_ref()?)));
    let filed: Vec<_> = filed.filter(|(_, document)| document.dmp_id == dmp_id).collect();
    replaced.extend(filed.iter().map(|(_, document)| document.replaces.clone()));
    for (source, document) in filed {
        let unique_id = &document.unique_id;
        if listed.contains(unique_id.as_str()) == replaced.contains(unique_id) {
            let fault = if replaced.contains(unique_id) {
                "is listed though replaced"
            } else {
                "is not listed"
            };
            told.failed(&format!("{}: {fault}", source.name))?;
        }
        let (head, content) = read_one(clients, &cast.reader.claims, dmp_id, unique_id).await?;
        told.check(&source.name, evidence.keep(dmp_id, head.receipt.as_ref()))?;
        entries
            .entry(cast.reader.id.clone())
            .or_default()
            .extend(head.receipt.map(|receipt| receipt.entry_id));
        if content != source.content {
            told.failed(&format!("{}: what was read is not what was deposited", source.name))?;
        }
        read += 1;
        bytes += content.len();
    }
    let reader = cast.reader.name();
    told.done(&format!(
        "{reader} lists {} of {name} and reads {read} of this tour: {bytes} bytes, the files byte for byte.",
        many(listed.len(), "document")
    ))?;
    Ok(())
}

async fn read_one(
    clients: &Clients<'_>,
    who: &Claims,
    dmp_id: &str,
    unique_id: &str,
) -> Result<(api::dossier::v1::GetDocumentResponse, Vec<u8>), Halt> {
    let answered = read(clients, who, dmp_id, unique_id).await?;
    let mut parts = granted("reading a document", answered)?;
    let mut head = None;
    let mut content = Vec::new();
    while let Some(message) = parts.message().await.map_err(|status| broken(&status))? {
        match message.part {
            Some(Part::Head(first)) => head = Some(first),
            Some(Part::Chunk(_)) if head.is_none() => {
                return Err(Halt::Chapter("a document's bytes came before their receipt".into()));
            }
            Some(Part::Chunk(chunk)) => content.extend_from_slice(&chunk),
            None => {}
        }
    }
    Ok((head.unwrap_or_default(), content))
}

pub(super) async fn read(
    clients: &Clients<'_>,
    who: &Claims,
    dmp_id: &str,
    unique_id: &str,
) -> Result<Answered<Streaming<ReadDocumentResponse>>, Halt> {
    let request = ReadDocumentRequest {
        dmp_id: dmp_id.to_owned(),
        unique_id: unique_id.to_owned(),
        context: None,
    };
    Ok(clients.documents().read_document(clients.ask(who, request)?).await)
}

fn broken(status: &tonic::Status) -> Halt {
    match refusal(status) {
        Ok(refusal) => Halt::Chapter(format!("reading a document broke off: {refusal}")),
        Err(halt) => halt,
    }
}

/// Whom the holder has blocked stays out.
async fn unwanted_refused(story: &mut Story<'_>) -> Played {
    let patient = story.main_patient();
    let (dmp_id, holder) = (patient.dmp_id.clone().unwrap_or_default(), patient.name());
    let Some(voice) = patient.voice(story.clients.now()) else {
        return Ok(());
    };
    let request = BlockProfessionalRequest {
        request_id: story.clients.request_id(),
        dmp_id: dmp_id.clone(),
        professional_id: story.cast.unwanted.id.clone(),
    };
    let request = story.clients.ask(&voice, request)?;
    granted(
        "blocking a professional",
        story.clients.authorizations().block_professional(request).await,
    )?;
    let (unwanted, name) = (story.cast.unwanted.claims.clone(), story.cast.unwanted.name());
    let answered = list(&story.clients, &unwanted, &dmp_id, String::new()).await?;
    let what = format!("{name}, whom {holder} has blocked, asks for the documents");
    let Some(refusal) = story.must_refuse(&what, answered, &["ACCESS_REFUSED"])? else {
        return Ok(());
    };
    story.told.because(&refusal.message)?;
    for mode in refusal.other_modes() {
        story.told.because(&mode)?;
    }
    Ok(())
}

/// Fourth sentence: the Caisse nationale administers, and never reads.
async fn administrator_refused(story: &mut Story<'_>) -> Played {
    let dmp_id = story.main_patient().dmp_id.clone().unwrap_or_default();
    let answered = list(&story.clients, &cast::administrator(), &dmp_id, String::new()).await?;
    let what = "The Caisse nationale, which \"assure […] l'administration\", asks for the documents";
    story.must_refuse(what, answered, &["ACCESS_REFUSED", "ROLE_FORBIDDEN"])?;
    Ok(())
}
