//! Break-glass: it opens at once, is told to those whom it concerns, and is looked at again.

use api::common::v1::{AccessContext, AccessMode, Role};
use api::consent::v1::{
    DesignateTreatingPhysicianRequest, ExceptionalAccess, Finding, ListExceptionalAccessesRequest,
    ReviewExceptionalAccessRequest,
};
use api::dossier::v1::{ListDocumentsRequest, ListDocumentsResponse};
use api::messaging::v1::{ListNoticesRequest, Notice, WatchNoticesRequest, WatchNoticesResponse};
use serve::Claims;
use std::time::Duration;
use tokio::time::timeout;
use tonic::Streaming;

use super::Played;
use super::answer::{Answered, Halt, granted};
use super::clients::Clients;
use super::narrator::day;
use super::story::Story;
use crate::verify::sentence::many;

const REASON: &str = "inconsciente, allergies inconnues";

/// News goes through two services before it is told; each takes a fraction of a second.
const NEWS_TAKES: Duration = Duration::from_secs(30);

pub(super) async fn play(story: &mut Story<'_>) -> Played {
    story
        .told
        .chapter("9 · In an emergency", "… dans le respect du secret médical …")?;
    story.told.because(
        "L1111-17 I, R1111-48: who cannot express a will and is at risk is helped at once; the holder and the treating \
         physicians are told, each once, and the use is looked at again.",
    )?;
    let opener = &story.cast.opener;
    let (Some(dmp_id), Some(voice)) = (opener.dmp_id.clone(), opener.voice(story.clients.now())) else {
        return Err(Halt::Chapter("an invented person was not enrolled".into()));
    };
    designate(story, &dmp_id, &voice).await?;
    let mut news = watch(&story.clients, &voice).await?;
    comes_in(story, &dmp_id).await?;
    let notice = told_once(story, &voice, &mut news).await?;
    looked_at_again(story, &dmp_id, &notice).await
}

/// Whom the holder has for a treating physician.
async fn designate(story: &Story<'_>, dmp_id: &str, voice: &Claims) -> Played {
    let clients = &story.clients;
    let request = DesignateTreatingPhysicianRequest {
        request_id: clients.request_id(),
        dmp_id: dmp_id.to_owned(),
        professional_id: story.cast.reader.id.clone(),
    };
    let answered = clients
        .authorizations()
        .designate_treating_physician(clients.ask(voice, request)?)
        .await;
    granted("designating a treating physician", answered)?;
    Ok(())
}

/// What will be told to the holder, from now on.
async fn watch(clients: &Clients<'_>, voice: &Claims) -> Result<Streaming<WatchNoticesResponse>, Halt> {
    let request = clients.ask(voice, WatchNoticesRequest::default())?;
    granted("watching notices", clients.notices().watch_notices(request).await)
}

async fn list(
    clients: &Clients<'_>,
    who: &Claims,
    dmp_id: &str,
    context: AccessContext,
) -> Result<Answered<ListDocumentsResponse>, Halt> {
    let request = ListDocumentsRequest {
        dmp_id: dmp_id.to_owned(),
        context: Some(context),
        ..ListDocumentsRequest::default()
    };
    Ok(clients.documents().list_documents(clients.ask(who, request)?).await)
}

/// A physician whom nobody authorised: refused as such, let in by break-glass.
async fn comes_in(story: &mut Story<'_>, dmp_id: &str) -> Played {
    let (rescuer, name) = (story.cast.rescuer.claims.clone(), story.cast.rescuer.name());
    let answered = list(&story.clients, &rescuer, dmp_id, AccessContext::default()).await?;
    story.must_refuse(
        &format!("{name}, whom nobody authorised, asks for the documents"),
        answered,
        &["ACCESS_REFUSED"],
    )?;
    let Story {
        clients,
        told,
        evidence,
        ..
    } = story;
    let context = AccessContext {
        mode: AccessMode::BreakGlass.into(),
        reason: REASON.to_owned(),
        ..AccessContext::default()
    };
    // Twice, as at a bedside: it is one use.
    for _ in 0..2 {
        let answered = list(clients, &rescuer, dmp_id, context.clone()).await?;
        let listed = granted("break-glass", answered)?;
        told.check("break-glass", evidence.keep(dmp_id, listed.receipt.as_ref()))?;
    }
    told.done(&format!("{name} breaks the glass with a personal card, and says why."))?;
    Ok(())
}

/// The holder and the treating physician, each once, however often the documents were listed.
async fn told_once(
    story: &mut Story<'_>,
    voice: &Claims,
    news: &mut Streaming<WatchNoticesResponse>,
) -> Result<Notice, Halt> {
    let late = || Halt::Chapter("the holder was not told of break-glass".to_owned());
    let told = timeout(NEWS_TAKES, next(news)).await.map_err(|_late| late())?;
    let notice = told.ok_or_else(late)?;
    let own = notices(&story.clients, voice).await?;
    let reader = story.cast.reader.claims.clone();
    let physicians = notices(&story.clients, &reader).await?;
    let of_it = |all: &[Notice]| {
        let same = all
            .iter()
            .filter(|one| one.exceptional_access_id == notice.exceptional_access_id);
        same.count()
    };
    if (of_it(&own), of_it(&physicians)) != (1, 1) {
        story
            .told
            .failed("break-glass was not told once to the holder and once to the treating physician")?;
    }
    let names = (story.cast.opener.name(), story.cast.reader.name());
    story.told.done(&format!(
        "{} and {} are told, each once, with a proof.",
        names.0, names.1
    ))?;
    Ok(notice)
}

async fn next(news: &mut Streaming<WatchNoticesResponse>) -> Option<Notice> {
    loop {
        let message = news.message().await.ok()??;
        if message.notice.is_some() {
            return message.notice;
        }
    }
}

async fn notices(clients: &Clients<'_>, who: &Claims) -> Result<Vec<Notice>, Halt> {
    let request = clients.ask(who, ListNoticesRequest::default())?;
    let listed = granted("listing notices", clients.notices().list_notices(request).await)?;
    Ok(listed.notices)
}

/// The regulator finds the use in its queue, and says what it found: once.
async fn looked_at_again(story: &mut Story<'_>, dmp_id: &str, notice: &Notice) -> Played {
    let auditor = Claims::new("tour-auditor", Role::Auditor);
    let waiting = waiting(&story.clients, &auditor, dmp_id).await?;
    let found = waiting
        .iter()
        .find(|one| one.exceptional_access_id == notice.exceptional_access_id);
    let Some(found) = found.filter(|one| one.reason == REASON && one.accesses == 2) else {
        return Err(Halt::Chapter(
            "the use does not wait for a second look as one of two accesses".to_owned(),
        ));
    };
    story.told.done(&format!(
        "The regulator finds it in its queue: {}, to be looked at by {}.",
        many(waiting.len(), "use"),
        day(found.due_at.as_ref())
    ))?;
    let request = ReviewExceptionalAccessRequest {
        request_id: story.clients.request_id(),
        exceptional_access_id: found.exceptional_access_id.clone(),
        finding: Finding::Justified.into(),
        remark: "le service des urgences le confirme".to_owned(),
    };
    let asked = story.clients.ask(&auditor, request.clone())?;
    granted(
        "a second look",
        story.clients.reviews().review_exceptional_access(asked).await,
    )?;
    let again = ReviewExceptionalAccessRequest {
        request_id: story.clients.request_id(),
        finding: Finding::Unjustified.into(),
        ..request
    };
    let asked = story.clients.ask(&auditor, again)?;
    let answered = story.clients.reviews().review_exceptional_access(asked).await;
    story.must_refuse("To find something else afterwards", answered, &["STATE_CONFLICT"])?;
    Ok(())
}

async fn waiting(clients: &Clients<'_>, auditor: &Claims, dmp_id: &str) -> Result<Vec<ExceptionalAccess>, Halt> {
    let request = ListExceptionalAccessesRequest {
        dmp_id: dmp_id.to_owned(),
        ..ListExceptionalAccessesRequest::default()
    };
    let asked = clients.ask(auditor, request)?;
    let listed = granted("listing uses", clients.reviews().list_exceptional_accesses(asked).await)?;
    Ok(listed.exceptional_accesses)
}
