//! The holder closes the dossier, at any time.

use api::consent::v1::AuthorizeProfessionalRequest;
use api::dossier::v1::{
    CloseDossierRequest, ClosureReason, DossierState, ListDocumentsRequest, ListDocumentsResponse, OpenDossierRequest,
};
use serve::Claims;

use super::Played;
use super::answer::{Answered, Halt, granted};
use super::clients::Clients;
use super::narrator::day;
use super::story::Story;
use crate::verify::sentence::many;

pub(super) async fn play(story: &mut Story<'_>) -> Played {
    story.told.chapter(
        "10 · The holder closes the dossier",
        "… les bénéficiaires de l'assurance maladie peuvent disposer […] d'un dossier médical partagé.",
    )?;
    story
        .told
        .because("L1111-18: the holder closes it at any time, and it is kept ten years.")?;
    let opener = &story.cast.opener;
    let (Some(dmp_id), Some(voice)) = (opener.dmp_id.clone(), opener.voice(story.clients.now())) else {
        return Err(Halt::Chapter("an invented person was not enrolled".into()));
    };
    both_read(story, &dmp_id, &voice).await?;
    close(story, &dmp_id, &voice).await?;
    nobody_reads(story, &dmp_id, &voice).await
}

async fn list(clients: &Clients<'_>, who: &Claims, dmp_id: &str) -> Result<Answered<ListDocumentsResponse>, Halt> {
    let request = ListDocumentsRequest {
        dmp_id: dmp_id.to_owned(),
        ..ListDocumentsRequest::default()
    };
    Ok(clients.documents().list_documents(clients.ask(who, request)?).await)
}

/// Before: the holder and an authorised physician.
async fn both_read(story: &mut Story<'_>, dmp_id: &str, voice: &Claims) -> Played {
    let Story {
        clients,
        told,
        cast,
        evidence,
        ..
    } = story;
    let request = AuthorizeProfessionalRequest {
        request_id: clients.request_id(),
        dmp_id: dmp_id.to_owned(),
        professional_id: cast.depositor.id.clone(),
        ..AuthorizeProfessionalRequest::default()
    };
    let answered = clients
        .authorizations()
        .authorize_professional(clients.ask(voice, request)?)
        .await;
    granted("authorising a professional", answered)?;
    for (who, name) in [
        (voice, cast.opener.name()),
        (&cast.depositor.claims, cast.depositor.name()),
    ] {
        let listed = granted("listing documents", list(clients, who, dmp_id).await?)?;
        told.check("listing documents", evidence.keep(dmp_id, listed.receipt.as_ref()))?;
        told.done(&format!(
            "{name} sees the open dossier: {}.",
            many(listed.documents.len(), "document")
        ))?;
    }
    Ok(())
}

async fn close(story: &mut Story<'_>, dmp_id: &str, voice: &Claims) -> Played {
    let Story {
        clients,
        told,
        cast,
        evidence,
        ..
    } = story;
    let request = CloseDossierRequest {
        request_id: clients.request_id(),
        dmp_id: dmp_id.to_owned(),
        reason: ClosureReason::HolderRequest.into(),
    };
    let answered = clients.dossiers().close_dossier(clients.ask(voice, request)?).await;
    let closed = granted("closing a dossier", answered)?;
    told.check("closing a dossier", evidence.keep(dmp_id, closed.receipt.as_ref()))?;
    if closed.state() != DossierState::Closed || closed.kept_until.is_none() {
        told.failed("a closed dossier does not say that it is closed, and until when it is kept")?;
    }
    let until = day(closed.kept_until.as_ref());
    told.done(&format!(
        "{} closes it; its content is kept until {until}.",
        cast.opener.name()
    ))?;
    Ok(())
}

/// Afterwards: neither of them, and it is not opened again as if nothing had been.
async fn nobody_reads(story: &mut Story<'_>, dmp_id: &str, voice: &Claims) -> Played {
    let (depositor, name) = (story.cast.depositor.claims.clone(), story.cast.depositor.name());
    for (who, name) in [(voice, story.cast.opener.name()), (&depositor, name)] {
        let answered = list(&story.clients, who, dmp_id).await?;
        story.must_refuse(
            &format!("{name} asks for the documents"),
            answered,
            &["DOSSIER_NOT_OPEN"],
        )?;
    }
    let request = OpenDossierRequest {
        request_id: story.clients.request_id(),
        dmp_id: dmp_id.to_owned(),
    };
    let answered = story
        .clients
        .dossiers()
        .open_dossier(story.clients.ask(voice, request)?)
        .await;
    story.must_refuse(
        "To open it again as if nothing had been",
        answered,
        &["DOSSIER_NOT_OPEN"],
    )?;
    Ok(())
}
