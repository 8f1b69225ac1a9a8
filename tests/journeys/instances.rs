//! Several instances of each service on one database, from the start: nothing in memory that another must know.

use api::dossier::v1 as dossier;
use journal::entry::Link;
use journal::{History, VerifierKey};
use journeys::{CONSULTATION, Clients, Stage};
use std::collections::BTreeSet;
use testkit::{Bench, actor, refusal};

testkit::on_both_engines! {
    instances_share_one_journal_and_lose_nothing_of_it,
    a_narrowing_at_one_instance_governs_the_other,
    a_use_of_break_glass_at_any_instance_is_told_once,
}

/// The dossier's whole chain as this instance gives it out, checked with the log's public key only.
async fn history(stage: &Stage, clients: &Clients, dmp_id: &str) -> BTreeSet<String> {
    let request = dossier::GetCompletenessProofRequest {
        dmp_id: dmp_id.to_owned(),
        page_size: 500,
        ..Default::default()
    };
    let request = clients.request(&actor::holder(dmp_id), request);
    let proof = clients
        .journal()
        .get_completeness_proof(request)
        .await
        .unwrap()
        .into_inner();
    assert!(!proof.more);
    let key = std::fs::read_to_string(stage.home.journal_verifier("dossier")).unwrap();
    let key = VerifierKey::parse(key.trim_end()).unwrap();
    let history = History::from_proto(&proof.history.unwrap()).unwrap();
    let verified = history.verify(&key, dmp_id, Link::BEGINNING).unwrap();
    assert_eq!(verified.head().sequence, proof.head_sequence);
    history
        .entries
        .iter()
        .map(|entry| entry.entry.entry_id.to_string())
        .collect()
}

/// L1111-19, R1111-43: whichever instance lets somebody in, the history is one, and whole.
async fn instances_share_one_journal_and_lose_nothing_of_it(bench: Bench) {
    let stage = Stage::on(bench).await;
    let second = stage.second_instances().await;
    let (dmp_id, _) = stage.open_dossier().await;
    let physician = actor::physician(actor::PHYSICIAN);
    stage.authorize(&dmp_id, actor::PHYSICIAN).await;
    let submitted = second.clients.submit(&physician, &dmp_id, CONSULTATION).await.unwrap();
    let unique_id = submitted.document.unwrap().unique_id;
    let reads = (0..40).map(async |number| {
        let clients: &Clients = if number % 2 == 0 { &stage } else { &second.clients };
        clients.read(&physician, &dmp_id, &unique_id).await.unwrap().1.entry_id
    });
    let receipts: BTreeSet<String> = futures::future::join_all(reads).await.into_iter().collect();
    assert_eq!(receipts.len(), 40);
    for clients in [&*stage, &second.clients] {
        assert!(history(&stage, clients, &dmp_id).await.is_superset(&receipts));
    }
    second.stop().await;
}

/// Promise P2, across instances: what one has acknowledged, the other obeys.
async fn a_narrowing_at_one_instance_governs_the_other(bench: Bench) {
    let stage = Stage::on(bench).await;
    let second = stage.second_instances().await;
    let (dmp_id, _) = stage.open_dossier().await;
    let physician = actor::physician(actor::PHYSICIAN);
    for (says, obeys) in [(&*stage, &second.clients), (&second.clients, &*stage)] {
        let authorization = says.authorize(&dmp_id, actor::PHYSICIAN).await;
        assert!(obeys.list(&physician, &dmp_id).await.is_ok());
        let request = api::consent::v1::RevokeAuthorizationRequest {
            request_id: says.request_id(),
            dmp_id: dmp_id.clone(),
            authorization_id: authorization.authorization_id,
        };
        let request = says.request(&actor::holder(&dmp_id), request);
        says.authorizations().revoke_authorization(request).await.unwrap();
        let refused = obeys.list(&physician, &dmp_id).await.unwrap_err();
        assert_eq!(refusal(&refused).reason, "ACCESS_REFUSED");
    }
    second.stop().await;
}

/// R1111-48, with two followers of each feed.
async fn a_use_of_break_glass_at_any_instance_is_told_once(bench: Bench) {
    let stage = Stage::on(bench).await;
    let second = stage.second_instances().await;
    let (dmp_id, _) = stage.open_dossier().await;
    let holder = actor::holder(&dmp_id);
    let watching = stage.request(&holder, api::messaging::v1::WatchNoticesRequest::default());
    let watch = stage.notice_service().watch_notices(watching).await.unwrap();
    let mut watch = watch.into_inner();
    for number in 0..10 {
        let stranger = actor::physician(&format!("81000000010{number}"));
        let clients: &Clients = if number % 2 == 0 { &stage } else { &second.clients };
        let reason = "unconscious, allergies unknown";
        clients.break_glass(&stranger, &dmp_id, reason).await.unwrap();
    }
    let mut told = BTreeSet::new();
    while told.len() < 10 {
        if let Some(notice) = watch.message().await.unwrap().unwrap().notice {
            assert!(told.insert(notice.exceptional_access_id), "told twice");
        }
    }
    for clients in [&*stage, &second.clients] {
        assert_eq!(clients.notices(&holder, "").await.len(), 10);
    }
    second.stop().await;
}
