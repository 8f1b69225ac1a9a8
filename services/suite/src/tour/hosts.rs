//! Fifth sentence: the dossier is created at an accredited host.

use api::dossier::v1::{Dossier, GetCheckpointRequest, OpenDossierRequest};
use api::identifier::v1::{
    GetPlacementRequest, HostingScope, ListHostsRequest, PlaceDossierRequest, RegisterHostRequest,
};
use journal::Checkpoint;

use super::Played;
use super::answer::{Halt, either, granted};
use super::cast;
use super::clients::Clients;
use super::evidence::Evidence;
use super::patient::{Patient, spaced};
use super::story::Story;
use crate::verify::sentence::many;

/// A host that the tour registers once and never accredits: a FINESS number that nobody has.
const UNACCREDITED: (&str, &str) = ("Hébergeur sans agrément (visite)", "1990000788");

/// As many hosts as one page holds.
const PAGE: i32 = 500;

pub(super) async fn play(story: &mut Story<'_>) -> Played {
    story.told.chapter(
        "3 · An accredited host",
        "Ce dossier médical partagé est créé auprès d'un hébergeur de données de santé à caractère personnel agréé dans \
         les conditions prévues à l'article L. 1111-8.",
    )?;
    refused_elsewhere(story).await?;
    let now = story.clients.now();
    let Story {
        clients,
        told,
        patients,
        cast,
        evidence,
        ..
    } = story;
    let wanting = patients.iter_mut().filter(|patient| patient.dmp_id.is_some());
    for patient in wanting.chain([&mut cast.opener, &mut cast.neglected]) {
        let Some(voice) = patient.voice(now) else { continue };
        let dmp_id = patient.dmp_id.clone().unwrap_or_default();
        let request = OpenDossierRequest {
            request_id: clients.request_id(),
            dmp_id: dmp_id.clone(),
        };
        let answered = clients.dossiers().open_dossier(clients.ask(&voice, request)?).await;
        match either(answered)? {
            Ok(dossier) => {
                told.check("opening a dossier", check_opened(&dossier, &dmp_id, evidence))?;
                told.done(&format!("{}: dossier {} is open.", patient.name(), spaced(&dmp_id)))?;
                patient.open = true;
            }
            Err(refusal) if refusal.reason == "ALREADY_EXISTS" => {
                told.done(&format!(
                    "{}: dossier {} was open already.",
                    patient.name(),
                    spaced(&dmp_id)
                ))?;
                patient.open = true;
            }
            Err(refusal) if refusal.is_exact() => {
                told.refused(&format!("{}: {refusal}", patient.name()))?;
                patient.barred = Some(refusal.exact());
            }
            Err(refusal) => told.failed(&format!("opening a dossier: {refusal}"))?,
        }
    }
    placed(story).await?;
    first_checkpoint(story).await
}

fn check_opened(dossier: &Dossier, dmp_id: &str, evidence: &mut Evidence) -> Result<(), String> {
    if dossier.dmp_id != dmp_id || dossier.host_id.is_empty() || dossier.opened_at.is_none() {
        return Err("the answer lacks the identifier, the host or the moment".to_owned());
    }
    evidence.keep(dmp_id, dossier.receipt.as_ref())
}

/// At a host without accreditation nothing is placed.
async fn refused_elsewhere(story: &mut Story<'_>) -> Played {
    let host_id = unaccredited(&story.clients).await?;
    let dmp_id = story.cast.opener.dmp_id.clone().unwrap_or_default();
    let request = PlaceDossierRequest {
        request_id: story.clients.request_id(),
        dmp_id,
        host_id,
    };
    let request = story.clients.ask(&cast::administrator(), request)?;
    let answered = story.clients.hosts().place_dossier(request).await;
    let what = format!("A dossier is to live at \"{}\"", UNACCREDITED.0);
    story.must_refuse(&what, answered, &["HOST_NOT_ACCREDITED"])?;
    Ok(())
}

async fn unaccredited(clients: &Clients<'_>) -> Result<String, Halt> {
    let (name, structure_id) = UNACCREDITED;
    let mut page_token = String::new();
    loop {
        let request = ListHostsRequest {
            page_size: PAGE,
            page_token,
            ..ListHostsRequest::default()
        };
        let answered = clients
            .hosts()
            .list_hosts(clients.ask(&cast::administrator(), request)?)
            .await;
        let page = granted("listing hosts", answered)?;
        if let Some(host) = page.hosts.into_iter().find(|host| host.structure_id == structure_id) {
            return Ok(host.host_id);
        }
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    let request = RegisterHostRequest {
        request_id: clients.request_id(),
        name: name.to_owned(),
        structure_id: structure_id.to_owned(),
        endpoint: String::new(),
    };
    let answered = clients
        .hosts()
        .register_host(clients.ask(&cast::administrator(), request)?)
        .await;
    Ok(granted("registering a host", answered)?.host_id)
}

/// Every open dossier lives at one host, which is accredited at this moment.
async fn placed(story: &mut Story<'_>) -> Played {
    let Story {
        clients,
        told,
        patients,
        cast,
        ..
    } = story;
    let open: Vec<&Patient> = patients
        .iter()
        .chain([&cast.opener, &cast.neglected])
        .filter(|it| it.open)
        .collect();
    let mut hosts = std::collections::BTreeMap::<String, usize>::new();
    for patient in open {
        let request = GetPlacementRequest {
            dmp_id: patient.dmp_id.clone().unwrap_or_default(),
        };
        let answered = clients
            .hosts()
            .get_placement(clients.ask(&cast::administrator(), request)?)
            .await;
        let placement = granted("asking where a dossier lives", answered)?;
        if !placement.host_accredited {
            told.failed("an open dossier lives at a host that is not accredited")?;
        }
        *hosts.entry(placement.host_id).or_default() += 1;
    }
    for (host_id, dossiers) in hosts {
        let name = host_name(clients, &host_id).await?;
        told.done(&format!(
            "{} of this tour open at \"{name}\", accredited for dossiers at this moment.",
            many(dossiers, "dossier")
        ))?;
    }
    Ok(())
}

async fn host_name(clients: &Clients<'_>, host_id: &str) -> Result<String, Halt> {
    let request = ListHostsRequest {
        page_size: PAGE,
        accredited_for: HostingScope::Dossier.into(),
        ..ListHostsRequest::default()
    };
    let answered = clients
        .hosts()
        .list_hosts(clients.ask(&cast::administrator(), request)?)
        .await;
    let hosts = granted("listing accredited hosts", answered)?.hosts;
    let name = hosts
        .into_iter()
        .find(|host| host.host_id == host_id)
        .map(|host| host.name);
    Ok(name.unwrap_or_else(|| host_id.to_owned()))
}

/// Kept to be held against the log's later checkpoints.
async fn first_checkpoint(story: &mut Story<'_>) -> Played {
    let Story {
        clients,
        told,
        cast,
        evidence,
        first_checkpoint,
        ..
    } = story;
    let request = clients.ask(&cast.reader.claims, GetCheckpointRequest {})?;
    let answer = granted(
        "asking for a checkpoint",
        clients.journal().get_checkpoint(request).await,
    )?;
    match Checkpoint::open(&answer.checkpoint, evidence.key()) {
        Ok(checkpoint) => *first_checkpoint = Some(checkpoint),
        Err(error) => told.failed(&format!("the journal's checkpoint does not hold: {error}"))?,
    }
    Ok(())
}
