//! An acknowledged narrowing governs every access that starts afterwards (reliability promise P2).

use journeys::{CONSULTATION, Stage};
use testkit::{Bench, actor, refusal};

testkit::on_both_engines! {
    no_read_starts_after_an_acknowledged_withdrawal,
    no_read_starts_after_an_acknowledged_block,
    without_consent_nothing_is_shown_and_the_attempt_is_journaled,
}

/// L1111-14, third sentence: what the person withdraws is withdrawn, while others read as fast as they can.
async fn no_read_starts_after_an_acknowledged_withdrawal(bench: Bench) {
    let stage = Stage::on(bench).await;
    let physician = actor::physician(actor::PHYSICIAN);
    let (dmp_id, mut consent) = stage.open_dossier().await;
    for _ in 0..5 {
        stage.authorize(&dmp_id, actor::PHYSICIAN).await;
        assert!(stage.list(&physician, &dmp_id).await.is_ok());
        let racing = futures::future::join_all((0..8).map(|_| stage.list(&physician, &dmp_id)));
        let (_, _) = tokio::join!(racing, stage.withdraw(&consent));
        let after = futures::future::join_all((0..8).map(|_| stage.list(&physician, &dmp_id))).await;
        for refused in after {
            assert_eq!(refusal(&refused.unwrap_err()).reason, "ACCESS_REFUSED");
        }
        consent = stage.consent(&dmp_id).await;
        let revived = stage.list(&physician, &dmp_id).await;
        assert!(revived.is_err(), "a new consent revives no older authorisation");
    }
}

/// L1111-19: the holder's block is obeyed at once.
async fn no_read_starts_after_an_acknowledged_block(bench: Bench) {
    let stage = Stage::on(bench).await;
    let (dmp_id, _) = stage.open_dossier().await;
    let physician = actor::physician(actor::PHYSICIAN);
    stage.authorize(&dmp_id, actor::PHYSICIAN).await;
    let submitted = stage.submit(&physician, &dmp_id, CONSULTATION).await.unwrap();
    let unique_id = submitted.document.unwrap().unique_id;
    assert_eq!(
        stage.read(&physician, &dmp_id, &unique_id).await.unwrap().0,
        CONSULTATION
    );
    stage.block(&dmp_id, actor::PHYSICIAN).await;
    let refused = refusal(&stage.read(&physician, &dmp_id, &unique_id).await.unwrap_err());
    assert_eq!(refused.reason, "ACCESS_REFUSED");
    assert!(
        refused.metadata.contains_key("rule") && refused.metadata.contains_key("article"),
        "{refused:?}"
    );
}

/// Promises P1 and P3: no byte without a live consent, and no attempt without a trace.
async fn without_consent_nothing_is_shown_and_the_attempt_is_journaled(bench: Bench) {
    let stage = Stage::on(bench).await;
    let (dmp_id, consent) = stage.open_dossier().await;
    stage
        .submit(&actor::physician(actor::PHYSICIAN), &dmp_id, CONSULTATION)
        .await
        .unwrap();
    stage.withdraw(&consent).await;
    let before = stage.accesses(&dmp_id).await.len();
    let refused = stage
        .list(&actor::physician(actor::PHYSICIAN), &dmp_id)
        .await
        .unwrap_err();
    assert_eq!(refusal(&refused).reason, "ACCESS_REFUSED");
    let accesses = stage.accesses(&dmp_id).await;
    assert!(
        accesses.len() >= before + 2,
        "the refusal and the listing itself are there"
    );
    let traced = accesses
        .iter()
        .find(|access| access.outcome() == api::dossier::v1::AccessOutcome::Refused)
        .unwrap();
    assert_eq!(traced.actor.as_ref().unwrap().professional_id, actor::PHYSICIAN);
}
