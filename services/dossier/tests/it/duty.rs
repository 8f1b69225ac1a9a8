//! The duty of L162-5 (L1111-14, sixth and seventh sentences).

use crate::house::{House, other_physician, physician, refused, secretly};
use api::dossier::v1 as pb;
use api::dossier::v1::{AccessAction, DutyForce};
use api::identity::DmpId;
use jiff::SignedDuration;
use testkit::{Bench, START, actor, on_both_engines};
use tonic::{Code, Status};

on_both_engines! {
    an_episode_is_met_by_consulting_or_by_updating_while_it_lasts,
    the_duty_pages_and_its_evidence_is_in_the_journal,
    what_is_kept_from_representatives_meets_the_duty_once,
    the_duty_is_not_in_force_until_every_territory_is_covered,
    episodes_are_reported_in_batches_each_durable_and_once,
    a_wrong_episode_is_told_with_its_place,
    only_some_report_and_only_some_read,
}

/// `hours` after the start of the test.
fn at(hours: i64) -> Option<prost_types::Timestamp> {
    let start: jiff::Timestamp = START.parse().unwrap();
    Some(store::time::to_proto(start + SignedDuration::from_hours(hours)))
}

fn episode(physician_id: &str, dmp_id: &str, from: i64, to: i64) -> pb::CareEpisode {
    pb::CareEpisode {
        physician_id: physician_id.to_owned(),
        dmp_id: dmp_id.to_owned(),
        started_at: at(from),
        ended_at: at(to),
    }
}

async fn report(
    house: &House,
    claims: &serve::Claims,
    batches: Vec<pb::ReportCareEpisodesRequest>,
) -> Result<Vec<pb::ReportCareEpisodesResponse>, Status> {
    let request = house.bench.request(claims, futures::stream::iter(batches));
    let mut stream = house.duties().report_care_episodes(request).await?.into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = stream.message().await? {
        answers.push(answer);
    }
    Ok(answers)
}

fn batch(house: &House, episodes: Vec<pb::CareEpisode>) -> pb::ReportCareEpisodesRequest {
    pb::ReportCareEpisodesRequest {
        request_id: house.bench.request_id(),
        episodes,
    }
}

fn period(physician_id: &str) -> pb::GetDutyRequest {
    pb::GetDutyRequest {
        physician_id: physician_id.to_owned(),
        from: at(0),
        to: at(24 * 365),
        ..Default::default()
    }
}

async fn duty(house: &House, request: pb::GetDutyRequest) -> pb::Duty {
    let request = house.bench.request(&actor::auditor(), request);
    house.duties().get_duty(request).await.unwrap().into_inner()
}

/// "consultation ou mise à jour": either suffices, by that physician, on that dossier, during the episode.
async fn an_episode_is_met_by_consulting_or_by_updating_while_it_lasts(bench: Bench) {
    let house = House::open(bench).await;
    let nobody = DmpId::generate([9; 16]).as_str().to_owned();
    let own = |from, to| episode(actor::PHYSICIAN, &house.dmp_id, from, to);
    let episodes = vec![
        own(1, 2),
        own(3, 4),
        own(5, 6),
        own(7, 8),
        episode(actor::PHYSICIAN, &nobody, 1, 2),
        episode(actor::OTHER_PHYSICIAN, &house.dmp_id, 1, 2),
    ];
    report(&house, &actor::administrator(), vec![batch(&house, episodes)])
        .await
        .unwrap();
    let hour = || house.bench.time.advance(SignedDuration::from_hours(1));
    // During the first episode: the dossier is consulted, empty as it is.
    hour();
    house.listed(&physician()).await;
    // After the first, before the second: counts for none.
    hour();
    house.listed(&physician()).await;
    // During the second: an update.
    hour();
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    // During the third: asking for the status, being refused, another physician's reading do not count; nor does what
    // a pharmacist does under the same number.
    hour();
    hour();
    house.status().await;
    house.get(&physician(), "2.25.9").await.unwrap_err();
    house.listed(&other_physician()).await;
    house.listed(&actor::professional(actor::PHYSICIAN, "21", "A")).await;
    let duty = duty(&house, period(actor::PHYSICIAN)).await;
    assert_eq!((duty.episodes, duty.met, duty.without_dossier), (5, 2, 1));
    let unmet: Vec<_> = duty.unmet.iter().map(|episode| episode.started_at).collect();
    assert_eq!(unmet, [at(5), at(7)]);
    assert_eq!(duty.evidence_entry_ids.len(), 2);
    assert!(duty.next_page_token.is_empty());
}

/// design.md §8: the evidence is journal entries.
async fn the_duty_pages_and_its_evidence_is_in_the_journal(bench: Bench) {
    let house = House::open(bench).await;
    let episodes = (1..=6)
        .map(|hour| episode(actor::PHYSICIAN, &house.dmp_id, hour, hour + 1))
        .collect();
    report(&house, &physician(), vec![batch(&house, episodes)])
        .await
        .unwrap();
    for hour in 1..=6 {
        house.bench.time.advance(SignedDuration::from_hours(1));
        if hour % 2 == 0 {
            house.listed(&physician()).await;
        }
    }
    let (mut evidence, mut unmet, mut pages, mut page_token) = (Vec::new(), 0, 0, String::new());
    loop {
        let request = pb::GetDutyRequest {
            page_size: 2,
            page_token,
            ..period(actor::PHYSICIAN)
        };
        let page = duty(&house, request).await;
        assert_eq!((page.episodes, page.met), (6, 3), "of the whole period, on every page");
        evidence.extend(page.evidence_entry_ids);
        unmet += page.unmet.len();
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((evidence.len(), unmet, pages), (3, 3, 3));
    let accesses = house.accesses().await;
    for entry_id in evidence {
        let access = accesses
            .iter()
            .find(|access| access.entry_id == entry_id)
            .expect("in the journal");
        assert_eq!(access.action(), AccessAction::ListDocuments);
        assert_eq!(access.actor.as_ref().unwrap().professional_id, actor::PHYSICIAN);
    }
    let first = pb::GetDutyRequest {
        page_size: 2,
        ..period(actor::PHYSICIAN)
    };
    let page_token = duty(&house, first).await.next_page_token;
    let other = pb::GetDutyRequest {
        page_token,
        ..period(actor::OTHER_PHYSICIAN)
    };
    let refusal = refused(
        house
            .duties()
            .get_duty(house.bench.request(&actor::auditor(), other))
            .await,
    );
    assert_eq!(refusal.reason, "PAGE_TOKEN_INVALID");
}

async fn cover(house: &House, code: &str, covered: bool) -> Result<pb::Territory, Status> {
    let request = pb::SetTerritoryCoverageRequest {
        request_id: house.bench.request_id(),
        code: code.to_owned(),
        covered,
    };
    let request = house.bench.request(&actor::administrator(), request);
    house
        .duties()
        .set_territory_coverage(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn territories(house: &House) -> Vec<pb::Territory> {
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListTerritoriesRequest {
            page_size: 40,
            page_token,
        };
        let request = house.bench.request(&house.holder(), request);
        let page = house.duties().list_territories(request).await.unwrap().into_inner();
        listed.extend(page.territories);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return listed;
        }
    }
}

/// L1111-5: a physician who keeps a minor's secret has used the dossier all the same.
async fn what_is_kept_from_representatives_meets_the_duty_once(bench: Bench) {
    let house = House::open(bench).await;
    let own = |from| episode(actor::PHYSICIAN, &house.dmp_id, from, from + 1);
    report(
        &house,
        &actor::administrator(),
        vec![batch(&house, vec![own(1), own(2)])],
    )
    .await
    .unwrap();
    house.bench.time.advance(SignedDuration::from_hours(1));
    let mut hidden = house.text("2.25.1", 1, "texte");
    hidden.header.visibility = Some(pb::Visibility {
        hidden_from_representatives: true,
        ..Default::default()
    });
    hidden.header.context = Some(secretly());
    let deposited = house.submit(&physician(), &hidden).await.unwrap().receipt.unwrap();
    house.bench.time.advance(SignedDuration::from_hours(1));
    // In both chains: the document is the physician's own, and hidden.
    let listed = house.list(&physician(), house.list_request()).await.unwrap();
    assert_eq!(house.chain(&house.holder(), true).await.len(), 2);
    let duty = duty(&house, period(actor::PHYSICIAN)).await;
    assert_eq!((duty.episodes, duty.met), (2, 2));
    assert_eq!(
        duty.evidence_entry_ids,
        [deposited.entry_id, listed.receipt.unwrap().entry_id]
    );
}

/// L1111-14, seventh sentence: "sur l'ensemble des territoires".
async fn the_duty_is_not_in_force_until_every_territory_is_covered(bench: Bench) {
    let house = House::new(bench).await;
    let register = territories(&house).await;
    assert_eq!(register.len(), 104);
    assert!(register.is_sorted_by_key(|territory| territory.code.clone()));
    assert!(
        register
            .iter()
            .all(|territory| !territory.covered && territory.covered_since.is_none())
    );
    for territory in &register[1..] {
        cover(&house, &territory.code, true).await.unwrap();
    }
    let short = duty(&house, period(actor::PHYSICIAN)).await;
    assert_eq!(
        (short.force(), short.uncovered_territories),
        (DutyForce::NotYetInForce, 1)
    );
    let last = cover(&house, &register[0].code, true).await.unwrap();
    assert_eq!((last.covered, last.covered_since), (true, at(0)));
    assert_eq!(duty(&house, period(actor::PHYSICIAN)).await.force(), DutyForce::InForce);
    // Started again, the register is as it was.
    let House {
        bench,
        service,
        peers,
        dmp_id,
    } = house;
    let service = bench.start_with::<dossier::Dossier>(service.stop().await).await;
    let house = House {
        bench,
        service,
        peers,
        dmp_id,
    };
    assert_eq!(duty(&house, period(actor::PHYSICIAN)).await.force(), DutyForce::InForce);
    cover(&house, "2A", false).await.unwrap();
    assert_eq!(
        duty(&house, period(actor::PHYSICIAN)).await.force(),
        DutyForce::NotYetInForce
    );
    let unknown = refused(cover(&house, "20", true).await);
    assert_eq!(
        (unknown.code, unknown.metadata["resource"].as_str()),
        (Code::NotFound, "territory")
    );
}

/// duty_service.proto: the same episode twice is one episode; each batch is durable when answered.
async fn episodes_are_reported_in_batches_each_durable_and_once(bench: Bench) {
    let house = House::new(bench).await;
    let own = |from| episode(actor::PHYSICIAN, &house.dmp_id, from, from + 1);
    let first = batch(&house, vec![own(1), own(2), own(1)]);
    let second = batch(&house, vec![own(2), own(3)]);
    let system = actor::establishment_system();
    let answers = report(&house, &system, vec![first.clone(), second.clone()])
        .await
        .unwrap();
    let counts: Vec<_> = answers
        .iter()
        .map(|answer| (answer.recorded, answer.already_known))
        .collect();
    assert_eq!(counts, [(2, 1), (1, 1)]);
    assert_eq!(answers[0].request_id, first.request_id);
    // A stream that broke is sent again from its start.
    assert_eq!(
        report(&house, &system, vec![first.clone(), second]).await.unwrap(),
        answers
    );
    let other = pb::ReportCareEpisodesRequest {
        request_id: first.request_id,
        episodes: vec![own(9)],
    };
    assert_eq!(
        refused(report(&house, &system, vec![other]).await).reason,
        "REQUEST_ID_REUSED"
    );
    assert_eq!(duty(&house, period(actor::PHYSICIAN)).await.episodes, 3);
}

async fn a_wrong_episode_is_told_with_its_place(bench: Bench) {
    let house = House::new(bench).await;
    let good = episode(actor::PHYSICIAN, &house.dmp_id, 1, 2);
    let bad = pb::CareEpisode {
        physician_id: "8".to_owned(),
        dmp_id: "1".to_owned(),
        started_at: at(2),
        ended_at: at(2),
    };
    let accepted = batch(&house, vec![good.clone()]);
    let refusal = refused(
        report(
            &house,
            &actor::administrator(),
            vec![accepted, batch(&house, vec![good.clone(), bad])],
        )
        .await,
    );
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::InvalidArgument, "INVALID_FIELDS")
    );
    for (field, reason) in [
        ("episodes[1].physician_id", "WRONG_LENGTH"),
        ("episodes[1].dmp_id", "WRONG_LENGTH"),
        ("episodes[1].ended_at", "NOT_AFTER_START"),
    ] {
        assert!(refusal.has_field(field, reason), "{:?}", refusal.fields);
    }
    for episodes in [vec![], vec![good; 1_001]] {
        let refusal = refused(report(&house, &actor::administrator(), vec![batch(&house, episodes)]).await);
        assert!(refusal.has_field("episodes", "COUNT"));
    }
    assert_eq!(
        duty(&house, period(actor::PHYSICIAN)).await.episodes,
        1,
        "the batch before the wrong one is kept"
    );
    let backwards = pb::GetDutyRequest {
        from: at(2),
        to: at(1),
        page_size: -1,
        ..period("x")
    };
    let refusal = refused(
        house
            .duties()
            .get_duty(house.bench.request(&actor::auditor(), backwards))
            .await,
    );
    assert!(refusal.has_field("to", "NOT_AFTER_FROM") && refusal.has_field("page_size", "NEGATIVE"));
    assert!(
        refusal.has_field("physician_id", "WRONG_LEADING_DIGIT"),
        "{:?}",
        refusal.fields
    );
}

async fn only_some_report_and_only_some_read(bench: Bench) {
    let house = House::new(bench).await;
    let own = || batch(&house, vec![episode(actor::PHYSICIAN, &house.dmp_id, 1, 2)]);
    let pharmacist = actor::professional(actor::PHYSICIAN, "21", "A");
    for claims in [
        other_physician(),
        pharmacist.clone(),
        house.holder(),
        actor::auditor(),
        actor::excluded_party(),
    ] {
        let refusal = refused(report(&house, &claims, vec![own()]).await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::PermissionDenied, "ROLE_FORBIDDEN")
        );
    }
    assert_eq!(duty(&house, period(actor::PHYSICIAN)).await.episodes, 0);
    for claims in [physician(), actor::establishment_system(), actor::administrator()] {
        report(&house, &claims, vec![own()]).await.unwrap();
    }
    let read = |claims: serve::Claims| {
        let request = house.bench.request(&claims, period(actor::PHYSICIAN));
        let mut duties = house.duties();
        async move { duties.get_duty(request).await }
    };
    for claims in [physician(), actor::administrator(), actor::auditor()] {
        assert_eq!(read(claims).await.unwrap().into_inner().episodes, 1);
    }
    for claims in [
        other_physician(),
        pharmacist,
        house.holder(),
        actor::establishment_system(),
    ] {
        assert_eq!(refused(read(claims).await).reason, "ROLE_FORBIDDEN");
    }
    let request = pb::SetTerritoryCoverageRequest {
        request_id: house.bench.request_id(),
        code: "75".to_owned(),
        covered: true,
    };
    let refusal = refused(
        house
            .duties()
            .set_territory_coverage(house.bench.request(&physician(), request))
            .await,
    );
    assert_eq!(refusal.reason, "ROLE_FORBIDDEN");
}
