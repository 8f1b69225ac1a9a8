//! A dossier's life: created on a word, at a place, for a time.

use api::dossier::v1 as dossier;
use journeys::{CONSULTATION, Stage};
use testkit::{Bench, actor, refusal};

testkit::on_both_engines! {
    no_dossier_without_express_consent,
    no_dossier_at_a_host_without_accreditation,
    a_closed_dossier_shows_nothing_but_its_journal,
    what_was_acknowledged_is_there_after_a_restart,
}

/// L1111-14, third sentence.
async fn no_dossier_without_express_consent(bench: Bench) {
    let stage = Stage::on(bench).await;
    let dmp_id = stage.sample_patient().await;
    assert_eq!(
        refusal(&stage.open(&dmp_id).await.unwrap_err()).reason,
        "CONSENT_MISSING"
    );
    stage.consent(&dmp_id).await;
    assert_eq!(stage.open(&dmp_id).await.unwrap().state(), dossier::DossierState::Open);
}

/// L1111-14, fifth sentence; L1111-8: an accreditation ends.
async fn no_dossier_at_a_host_without_accreditation(bench: Bench) {
    let stage = Stage::on(bench).await;
    let dmp_id = stage.sample_patient().await;
    stage.consent(&dmp_id).await;
    stage.bench.time.advance(jiff::SignedDuration::from_hours(24 * 366 * 3));
    assert_eq!(
        refusal(&stage.open(&dmp_id).await.unwrap_err()).reason,
        "HOST_NOT_ACCREDITED"
    );
}

/// Closed at any time by its holder; the traces stay the holder's to read (L1111-19).
async fn a_closed_dossier_shows_nothing_but_its_journal(bench: Bench) {
    let stage = Stage::on(bench).await;
    let (dmp_id, _) = stage.open_dossier().await;
    let physician = actor::physician(actor::PHYSICIAN);
    stage.authorize(&dmp_id, actor::PHYSICIAN).await;
    stage.submit(&physician, &dmp_id, CONSULTATION).await.unwrap();
    let request = dossier::CloseDossierRequest {
        request_id: stage.bench.request_id(),
        dmp_id: dmp_id.clone(),
        reason: dossier::ClosureReason::HolderRequest.into(),
    };
    let closed = stage
        .dossiers()
        .close_dossier(stage.request(&actor::holder(&dmp_id), request))
        .await
        .unwrap();
    let closed = closed.into_inner();
    let (closed_at, kept_until) = (closed.closed_at.unwrap(), closed.kept_until.unwrap());
    assert!(
        kept_until.seconds - closed_at.seconds > 3651 * 24 * 3600,
        "ten years (L1111-18)"
    );
    for claims in [physician.clone(), actor::holder(&dmp_id)] {
        assert_eq!(
            refusal(&stage.list(&claims, &dmp_id).await.unwrap_err()).reason,
            "DOSSIER_NOT_OPEN"
        );
    }
    let refused = stage.submit(&physician, &dmp_id, CONSULTATION).await.unwrap_err();
    assert_eq!(refusal(&refused).reason, "DOSSIER_NOT_OPEN");
    assert!(!stage.accesses(&dmp_id).await.is_empty());
}

/// Promise P5, the gentle half: the whole suite stops and starts on the same databases.
async fn what_was_acknowledged_is_there_after_a_restart(bench: Bench) {
    let stage = Stage::on(bench).await;
    let (dmp_id, _) = stage.open_dossier().await;
    let physician = actor::physician(actor::PHYSICIAN);
    stage.authorize(&dmp_id, actor::PHYSICIAN).await;
    let submitted = stage
        .submit(&physician, &dmp_id, CONSULTATION)
        .await
        .unwrap()
        .document
        .unwrap();
    let accesses = stage.accesses(&dmp_id).await.len();
    let host = stage.suite.host_id.clone();
    let stage = stage.restart().await;
    assert_eq!(
        stage.suite.host_id, host,
        "the local host is found again, not registered twice"
    );
    assert_eq!(
        stage.read(&physician, &dmp_id, &submitted.unique_id).await.unwrap().0,
        CONSULTATION
    );
    assert_eq!(stage.accesses(&dmp_id).await.len(), accesses + 2);
}
