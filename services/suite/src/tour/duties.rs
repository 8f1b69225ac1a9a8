//! Sixth and seventh sentences: the physicians' duty, in force once every territory is covered.

use api::dossier::v1::{
    CareEpisode, Duty, DutyForce, GetDutyRequest, ListTerritoriesRequest, ReportCareEpisodesRequest,
    SetTerritoryCoverageRequest, Territory,
};
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use serve::Claims;
use std::collections::BTreeSet;
use store::time::to_proto;

use super::Played;
use super::answer::{Halt, granted, refusal};
use super::cast::{self, Physician};
use super::clients::Clients;
use super::story::Story;

/// Territories a page, the most that the contract gives.
const PAGE: i32 = 500;

/// Before the tour and after this moment: an episode that surely holds what was done in between.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

pub(super) async fn play(story: &mut Story<'_>) -> Played {
    story.told.chapter(
        "8 · The physicians' duty",
        "L'adhésion aux conventions nationales […] et son maintien sont subordonnés à la consultation ou à la mise à jour \
         du dossier médical partagé de la personne prise en charge par le médecin. Les dispositions de l'alinéa précédent \
         sont applicables dès que l'utilisation du dossier médical partagé est possible sur l'ensemble des territoires \
         auxquels s'applique la présente section.",
    )?;
    let period = period(story)?;
    report(story, period).await?;
    let territories = territories(&story.clients).await?;
    not_yet_in_force(story, &territories, period).await?;
    in_force(story, &territories).await?;
    stands(story, period).await
}

/// From before the first access of the tour until after its last.
fn period(story: &Story<'_>) -> Result<(Timestamp, Timestamp), Halt> {
    let start = story.began.checked_sub(MARGIN);
    let end = story.clients.now().checked_add(MARGIN);
    start
        .and_then(|start| Ok((start, end?)))
        .map_err(|_| Halt::Chapter("the clock is at the end of time".into()))
}

/// The reader took care of one whose dossier it read, of one whose dossier it never opened, and of one who has none. The
/// depositor took care of one whose dossier it fed.
async fn report(story: &mut Story<'_>, period: (Timestamp, Timestamp)) -> Played {
    let id = |patient: &super::patient::Patient| patient.dmp_id.clone().unwrap_or_default();
    let (reader, depositor) = (&story.cast.reader, &story.cast.depositor);
    let seen = [
        id(story.main_patient()),
        id(&story.cast.neglected),
        id(&story.cast.abstainer),
    ];
    send(&story.clients, reader, &seen, period).await?;
    let fed = [id(&story.cast.opener)];
    send(&story.clients, depositor, &fed, period).await?;
    let again = send(&story.clients, depositor, &fed, period).await?;
    if again != (0, 1) {
        story
            .told
            .failed("the same care episode reported twice is not one episode")?;
    }
    let (reader, depositor) = (reader.name(), depositor.name());
    story.told.done(&format!(
        "{reader} reports three persons in care, {depositor} one; one of them twice, which is one."
    ))?;
    Ok(())
}

async fn send(
    clients: &Clients<'_>,
    physician: &Physician,
    dossiers: &[String],
    (start, end): (Timestamp, Timestamp),
) -> Result<(i64, i64), Halt> {
    let episode = |dmp_id: &String| CareEpisode {
        physician_id: physician.id.clone(),
        dmp_id: dmp_id.clone(),
        started_at: Some(to_proto(start)),
        ended_at: Some(to_proto(end)),
    };
    let batch = ReportCareEpisodesRequest {
        request_id: clients.request_id(),
        episodes: dossiers.iter().map(episode).collect(),
    };
    let request = clients.ask(&physician.claims, stream::iter([batch]))?;
    let mut answers = granted(
        "reporting care episodes",
        clients.duties().report_care_episodes(request).await,
    )?;
    let (mut recorded, mut known) = (0, 0);
    while let Some(answer) = answers.message().await.map_err(|status| broken(&status))? {
        recorded += answer.recorded;
        known += answer.already_known;
    }
    Ok((recorded, known))
}

fn broken(status: &tonic::Status) -> Halt {
    match refusal(status) {
        Ok(refusal) => Halt::Chapter(format!("reporting care episodes: {refusal}")),
        Err(halt) => halt,
    }
}

async fn territories(clients: &Clients<'_>) -> Result<Vec<Territory>, Halt> {
    let mut territories = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTerritoriesRequest {
            page_size: PAGE,
            page_token,
        };
        let answered = clients
            .duties()
            .list_territories(clients.ask(&cast::administrator(), request)?)
            .await;
        let page = granted("listing territories", answered)?;
        territories.extend(page.territories);
        if page.next_page_token.is_empty() {
            return Ok(territories);
        }
        page_token = page.next_page_token;
    }
}

async fn cover(clients: &Clients<'_>, code: &str, covered: bool) -> Result<(), Halt> {
    let request = SetTerritoryCoverageRequest {
        request_id: clients.request_id(),
        code: code.to_owned(),
        covered,
    };
    let answered = clients
        .duties()
        .set_territory_coverage(clients.ask(&cast::administrator(), request)?)
        .await;
    granted("setting the coverage of a territory", answered)?;
    Ok(())
}

async fn duty(
    clients: &Clients<'_>,
    who: &Claims,
    physician: &str,
    (from, to): (Timestamp, Timestamp),
) -> Result<Duty, Halt> {
    let request = GetDutyRequest {
        physician_id: physician.to_owned(),
        from: Some(to_proto(from)),
        to: Some(to_proto(to)),
        page_size: 0,
        page_token: String::new(),
    };
    granted(
        "asking how a physician stands",
        clients.duties().get_duty(clients.ask(who, request)?).await,
    )
}

/// With one territory missing, the duty binds nobody.
async fn not_yet_in_force(story: &mut Story<'_>, territories: &[Territory], period: (Timestamp, Timestamp)) -> Played {
    let Some(last) = territories.last() else {
        return Err(Halt::Chapter("the register of territories is empty".into()));
    };
    cover(&story.clients, &last.code, false).await?;
    let Story {
        clients, told, cast, ..
    } = story;
    let duty = duty(clients, &cast.reader.claims, &cast.reader.id, period).await?;
    if duty.force() != DutyForce::NotYetInForce || duty.uncovered_territories < 1 {
        told.failed("a territory is not covered, and the duty is said to be in force")?;
        return Ok(());
    }
    told.refused(&format!(
        "{} of {} territories not covered, {} among them: the duty is not yet in force (seventh sentence).",
        duty.uncovered_territories,
        territories.len(),
        last.name
    ))?;
    Ok(())
}

async fn in_force(story: &mut Story<'_>, territories: &[Territory]) -> Played {
    let missing = territories.iter().filter(|territory| !territory.covered);
    let last = territories.last().into_iter().filter(|last| last.covered);
    for territory in missing.chain(last) {
        cover(&story.clients, &territory.code, true).await?;
    }
    story.told.done(&format!(
        "The administrator covers all {} territories.",
        territories.len()
    ))?;
    Ok(())
}

async fn stands(story: &mut Story<'_>, period: (Timestamp, Timestamp)) -> Played {
    let Story {
        clients,
        told,
        cast,
        entries,
        ..
    } = story;
    // Whom the reader met, and what it did: all three at once only when it read somebody's documents in this tour.
    let read = entries.contains_key(&cast.reader.id);
    let reader = (&cast.reader, [3, i64::from(read), 1], "consulting");
    let depositor = (&cast.depositor, [1, 1, 0], "updating");
    for (physician, expected, by) in [reader, depositor] {
        let duty = duty(clients, &physician.claims, &physician.id, period).await?;
        let name = physician.name();
        if duty.force() != DutyForce::InForce {
            told.failed("every territory is covered, and the duty is not in force")?;
        }
        if [duty.episodes, duty.met, duty.without_dossier] != expected {
            told.failed(&format!(
                "{name}: {} episodes, {} met, {} without dossier, where {expected:?} was expected",
                duty.episodes, duty.met, duty.without_dossier
            ))?;
        }
        let unmet = duty.unmet.len();
        told.done(&format!(
            "{name}: in force; {} met by {by}, {unmet} unmet, {} without a dossier to consult.",
            duty.met, duty.without_dossier
        ))?;
        let own: BTreeSet<&String> = entries.get(&physician.id).into_iter().flatten().collect();
        let evidence = duty.evidence_entry_ids;
        if !evidence.iter().all(|entry| own.contains(entry)) || i64::try_from(evidence.len()) != Ok(duty.met) {
            told.failed(&format!(
                "{name}: the evidence is not the journal entries of what was done"
            ))?;
        }
        for entry in evidence {
            told.because(&format!(
                "evidence: journal entry {entry}, of which the receipt was verified"
            ))?;
        }
        for episode in duty.unmet {
            let whom = if Some(&episode.dmp_id) == cast.neglected.dmp_id.as_ref() {
                cast.neglected.name()
            } else {
                episode.dmp_id
            };
            told.because(&format!(
                "unmet: {whom}, whose dossier was neither consulted nor updated"
            ))?;
        }
    }
    Ok(())
}
