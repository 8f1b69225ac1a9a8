//! Third sentence: no dossier without an express consent.

use api::consent::v1::{
    Capacity, ConsentMode, Evidence, Giver, ListRepresentativesRequest, Purpose, RecordConsentRequest,
    RegisterRepresentativeRequest, Representation,
};
use api::dossier::v1::OpenDossierRequest;
use aws_lc_rs::digest;
use serve::Claims;
use store::time::{Timestamp, to_proto};

use super::Played;
use super::answer::{Halt, either, granted};
use super::cast;
use super::clients::Clients;
use super::patient::Patient;
use super::story::Story;

/// More representatives of one person than a tour ever registers.
const REPRESENTATIVES: i32 = 500;

pub(super) async fn play(story: &mut Story<'_>) -> Played {
    story.told.chapter(
        "2 · Express consent",
        "Le dossier médical partagé est créé sous réserve du consentement exprès de la personne ou de son représentant \
         légal.",
    )?;
    refused_without(story).await?;
    let now = story.clients.now();
    let Story {
        clients,
        told,
        patients,
        cast,
        ..
    } = story;
    let wanting = patients
        .iter()
        .filter(|patient| patient.dmp_id.is_some())
        .chain([&cast.opener, &cast.neglected]);
    for patient in wanting {
        let said = consent(clients, patient, now).await?;
        told.done(&format!("{}: {said}", patient.name()))?;
    }
    told.because("Each consent stands by itself: to the dossier's creation (L1111-14), to its hosting (L1111-8).")?;
    Ok(())
}

/// Before anything was consented to.
async fn refused_without(story: &mut Story<'_>) -> Played {
    let opener = &story.cast.opener;
    let what = format!("{} asks for a dossier and has not consented", opener.name());
    let (Some(dmp_id), Some(voice)) = (opener.dmp_id.clone(), opener.voice(story.clients.now())) else {
        return Err(Halt::Chapter("an invented person was not enrolled".into()));
    };
    let request = OpenDossierRequest {
        request_id: story.clients.request_id(),
        dmp_id,
    };
    let answered = story
        .clients
        .dossiers()
        .open_dossier(story.clients.ask(&voice, request)?)
        .await;
    if let Some(refusal) = story.must_refuse(&what, answered, &["CONSENT_MISSING"])? {
        story.told.because(&refusal.message)?;
    }
    Ok(())
}

/// Who gives the consents, and on what they rest.
struct Speaker {
    claims: Claims,
    giver: Giver,
    words: &'static str,
}

async fn consent(clients: &Clients<'_>, patient: &Patient, now: Timestamp) -> Result<String, Halt> {
    let dmp_id = patient.dmp_id.clone().unwrap_or_default();
    let speaker = match patient.minor_until(now) {
        None => Speaker {
            claims: cast::holder(&dmp_id),
            giver: Giver {
                capacity: Capacity::Person.into(),
                representation_id: String::new(),
            },
            words: "the person consents",
        },
        Some(majority) => Speaker {
            claims: cast::parent(&dmp_id),
            giver: Giver {
                capacity: Capacity::Parent.into(),
                representation_id: represented(clients, &dmp_id, majority).await?,
            },
            words: "a minor: a parent consents, by a representation that ends at majority",
        },
    };
    let mut known = 0;
    for purpose in [Purpose::Creation, Purpose::Hosting] {
        known += usize::from(!record(clients, &dmp_id, &speaker, purpose).await?);
    }
    let already = if known == 2 { " (recorded before)" } else { "" };
    Ok(format!("{}{already}.", speaker.words))
}

/// Whether the consent is a new one.
async fn record(clients: &Clients<'_>, dmp_id: &str, speaker: &Speaker, purpose: Purpose) -> Result<bool, Halt> {
    let session = format!("session of {dmp_id} for {}", purpose.as_str_name());
    let sha256 = digest::digest(&digest::SHA256, session.as_bytes()).as_ref().to_vec();
    let request = RecordConsentRequest {
        request_id: clients.request_id(),
        dmp_id: dmp_id.to_owned(),
        purpose: purpose.into(),
        giver: Some(speaker.giver.clone()),
        mode: ConsentMode::Online.into(),
        evidence: Some(Evidence {
            kind: "online-session".to_owned(),
            sha256,
        }),
    };
    let answered = clients
        .consents()
        .record_consent(clients.ask(&speaker.claims, request)?)
        .await;
    match either(answered)? {
        Ok(_) => Ok(true),
        Err(refusal) if refusal.reason == "ALREADY_EXISTS" => Ok(false),
        Err(refusal) => Err(Halt::Chapter(format!("recording a consent: {refusal}"))),
    }
}

/// The representation on which a parent speaks: the one that is there, or a new one that the desk has seen proof of.
async fn represented(clients: &Clients<'_>, dmp_id: &str, majority: Timestamp) -> Result<String, Halt> {
    let desk = cast::administrator();
    let representative = format!("{}|{}", clients.issuer(), cast::parent(dmp_id).sub);
    let request = ListRepresentativesRequest {
        dmp_id: dmp_id.to_owned(),
        page_size: REPRESENTATIVES,
        page_token: String::new(),
    };
    let answered = clients
        .representations()
        .list_representatives(clients.ask(&desk, request)?)
        .await;
    let known = granted("listing representatives", answered)?.representations;
    let live = |known: &Representation| known.representative == representative && known.ended_at.is_none();
    if let Some(known) = known.into_iter().find(live) {
        return Ok(known.representation_id);
    }
    let request = RegisterRepresentativeRequest {
        request_id: clients.request_id(),
        dmp_id: dmp_id.to_owned(),
        representative,
        capacity: Capacity::Parent.into(),
        valid_until: Some(to_proto(majority)),
    };
    let answered = clients
        .representations()
        .register_representative(clients.ask(&desk, request)?)
        .await;
    Ok(granted("registering a representative", answered)?.representation_id)
}
