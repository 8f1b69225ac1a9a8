//! Break-glass, from the bedside to the second look (L1111-17 I, R1111-48).

use api::consent::v1 as consent;
use api::dossier::v1 as dossier;
use api::messaging::v1 as messaging;
use journeys::{CONSULTATION, Stage};
use serve::Claims;
use testkit::{Bench, actor, refusal};
use tonic::Streaming;

testkit::on_both_engines! {
    a_use_of_break_glass_is_told_once_and_looked_at_again,
    what_was_seen_is_shown_again_as_it_was,
}

const REASON: &str = "unconscious, allergies unknown";

/// The next notice of a watch.
async fn next(watch: &mut Streaming<messaging::WatchNoticesResponse>) -> messaging::Notice {
    loop {
        let message = watch.message().await.unwrap().unwrap();
        if let Some(notice) = message.notice {
            return notice;
        }
    }
}

async fn watched(stage: &Stage, claims: &Claims) -> Streaming<messaging::WatchNoticesResponse> {
    let request = stage.request(claims, messaging::WatchNoticesRequest::default());
    stage
        .notice_service()
        .watch_notices(request)
        .await
        .unwrap()
        .into_inner()
}

async fn uses(stage: &Stage, show_reviewed: bool) -> Vec<consent::ExceptionalAccess> {
    let request = consent::ListExceptionalAccessesRequest {
        show_reviewed,
        ..Default::default()
    };
    let request = stage.request(&actor::auditor(), request);
    let listed = stage.reviews().list_exceptional_accesses(request).await.unwrap();
    listed.into_inner().exceptional_accesses
}

/// The holder and the treating physicians are told of each use, once; the regulator looks at each again.
async fn a_use_of_break_glass_is_told_once_and_looked_at_again(bench: Bench) {
    let stage = Stage::on(bench).await;
    let (dmp_id, _) = stage.open_dossier().await;
    let (stranger, treating) = (
        actor::physician("810000000033"),
        actor::physician(actor::OTHER_PHYSICIAN),
    );
    let feeder = actor::physician(actor::PHYSICIAN);
    let deposited = stage.submit(&feeder, &dmp_id, CONSULTATION).await.unwrap();
    let unique_id = deposited.document.unwrap().unique_id;
    stage.designate(&dmp_id, actor::OTHER_PHYSICIAN).await;
    let holder = actor::holder(&dmp_id);
    let mut told_holder = watched(&stage, &holder).await;

    let seen = stage.break_glass(&stranger, &dmp_id, REASON).await.unwrap();
    assert_eq!(seen.documents[0].unique_id, unique_id);
    stage.break_glass(&stranger, &dmp_id, REASON).await.unwrap();
    stage.break_glass(&feeder, &dmp_id, REASON).await.unwrap();
    let (first, second) = (next(&mut told_holder).await, next(&mut told_holder).await);
    let who = |notice: &messaging::Notice| notice.actor.as_ref().unwrap().professional_id.clone();
    assert_eq!(
        (who(&first), who(&second)),
        (stranger.professional.clone(), feeder.professional.clone())
    );

    // Events are taken in order: what was told of the third access had the second one before it.
    assert_eq!(stage.notices(&holder, "").await.len(), 2);
    assert_eq!(stage.notices(&treating, "").await.len(), 2);
    assert!(stage.notices(&stranger, "").await.is_empty());
    let accesses = stage.accesses(&dmp_id).await;
    let entry = accesses
        .iter()
        .find(|access| access.entry_id == first.first_entry_id)
        .unwrap();
    assert_eq!(entry.context.as_ref().unwrap().reason, REASON);

    let waiting = uses(&stage, false).await;
    let of_stranger = waiting
        .iter()
        .find(|it| it.exceptional_access_id == first.exceptional_access_id)
        .unwrap();
    assert_eq!(
        (waiting.len(), of_stranger.accesses, of_stranger.reason.as_str()),
        (2, 2, REASON)
    );
    let request = consent::ReviewExceptionalAccessRequest {
        request_id: stage.bench.request_id(),
        exceptional_access_id: first.exceptional_access_id.clone(),
        finding: consent::Finding::Justified.into(),
        remark: "the emergency department confirms it".to_owned(),
    };
    let request = stage.request(&actor::auditor(), request);
    stage.reviews().review_exceptional_access(request).await.unwrap();
    assert_eq!(
        (uses(&stage, false).await.len(), uses(&stage, true).await.len()),
        (1, 2)
    );
}

/// ReconstructView: what a physician saw before it was shut out, and what it would have seen after.
async fn what_was_seen_is_shown_again_as_it_was(bench: Bench) {
    let stage = Stage::on(bench).await;
    let (dmp_id, _) = stage.open_dossier().await;
    let physician = actor::physician(actor::PHYSICIAN);
    stage.submit(&physician, &dmp_id, CONSULTATION).await.unwrap();
    let before = stage.bench.clock.now();
    stage.bench.time.advance(jiff::SignedDuration::from_secs(60));
    stage.authorize(&dmp_id, actor::PHYSICIAN).await;
    let during = stage.bench.clock.now();
    stage.bench.time.advance(jiff::SignedDuration::from_secs(60));
    stage.block(&dmp_id, actor::PHYSICIAN).await;

    let about = actor::seen(&physician, stage.people().issuer());
    let view = async |asker: &Claims, moment| {
        let request = dossier::ReconstructViewRequest {
            dmp_id: dmp_id.clone(),
            actor: Some(about.clone()),
            moment: Some(store::time::to_proto(moment)),
            ..Default::default()
        };
        let request = stage.request(asker, request);
        stage
            .journal()
            .reconstruct_view(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let holder = actor::holder(&dmp_id);
    let rules = |view: &dossier::ReconstructViewResponse| {
        let bases = &view.decision.as_ref().unwrap().bases;
        bases.iter().map(|basis| basis.rule.clone()).collect::<Vec<_>>()
    };
    let seen = view(&holder, during).await.unwrap();
    assert_eq!(
        (rules(&seen), seen.documents.len()),
        (vec!["authorised-professional".to_owned()], 1)
    );
    let seen = view(&holder, before).await.unwrap();
    assert_eq!(
        (rules(&seen), seen.documents.len()),
        (vec!["default-refuse".to_owned()], 0)
    );
    let seen = view(&holder, stage.bench.clock.now()).await.unwrap();
    assert_eq!(
        (rules(&seen), seen.documents.len()),
        (vec!["blocked-professional".to_owned()], 0)
    );
    // The regulator is told which documents, and nothing of what they are.
    let seen = view(&actor::auditor(), during).await.unwrap();
    assert!(seen.documents.len() == 1 && seen.documents[0].r#type.is_none());
    let refused = view(&actor::administrator(), during).await.unwrap_err();
    assert_eq!(refusal(&refused).reason, "ACCESS_REFUSED");
}
