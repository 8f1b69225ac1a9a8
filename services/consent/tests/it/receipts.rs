//! Receipts of consents, which are checked without the service.

use api::consent::v1::*;
use consent::receipt::Receipt;
use jiff::SignedDuration;
use testkit::{Bench, actor};

use crate::consents::get;
use crate::scene::{Scene, answer, receipt_verifier};

testkit::on_both_engines! {
    a_receipt_says_what_was_agreed_to_and_its_withdrawal,
    a_receipt_names_the_collector,
    a_receipt_is_the_same_whenever_it_is_asked_for,
    lists_carry_no_receipt,
}

fn open(consent: &Consent) -> Receipt {
    Receipt::open(&consent.receipt, &receipt_verifier()).unwrap()
}

/// L1111-14, third sentence.
async fn a_receipt_says_what_was_agreed_to_and_its_withdrawal(bench: Bench) {
    let scene = Scene::new(bench).await;
    let recorded_at = scene.now();
    let given = scene.consent(Purpose::Creation).await.unwrap();
    let receipt = open(&given);
    assert_eq!(
        (receipt.consent_id.to_string(), receipt.dmp_id.to_string()),
        (given.consent_id.clone(), scene.dmp_id.clone())
    );
    let said = &receipt.consent;
    assert_eq!(
        (said.purpose, said.capacity, said.mode),
        (Purpose::Creation, Capacity::Person, ConsentMode::Online)
    );
    assert_eq!(
        (said.evidence.kind.as_str(), said.evidence.sha256),
        ("online-session", Some([7; 32]))
    );
    assert_eq!(
        (receipt.recorded_at, receipt.revision, receipt.withdrawn_at),
        (recorded_at, 1, None)
    );
    scene.bench.time.advance(SignedDuration::from_secs(5));
    let withdrawn = scene.withdraw(&scene.holder(), &given.consent_id).await.unwrap();
    let expected = Receipt {
        revision: 2,
        withdrawn_at: Some(scene.now()),
        ..receipt
    };
    assert_eq!(open(&withdrawn), expected);
}

async fn a_receipt_names_the_collector(bench: Bench) {
    let scene = Scene::new(bench).await;
    let collected = scene.collected(Purpose::Creation);
    let given = scene.record(&scene.physician(), collected).await.unwrap();
    let receipt = open(&given);
    let collector = format!("professional:{}", actor::PHYSICIAN);
    assert_eq!(receipt.collector, Some(collector));
    assert_eq!(receipt.consent.evidence.sha256, None);
}

async fn a_receipt_is_the_same_whenever_it_is_asked_for(bench: Bench) {
    let scene = Scene::new(bench).await;
    let request = scene.online(Purpose::Creation);
    let given = scene.record(&scene.holder(), request.clone()).await.unwrap();
    scene.bench.time.advance(SignedDuration::from_secs(60));
    let again = scene.record(&scene.holder(), request).await.unwrap();
    assert_eq!(again.receipt, given.receipt);
    let read = get(&scene, &scene.holder(), &given.consent_id).await.unwrap();
    assert_eq!(read.receipt, given.receipt);
    let withdrawn = scene.withdraw(&scene.holder(), &given.consent_id).await.unwrap();
    let read = get(&scene, &scene.holder(), &given.consent_id).await.unwrap();
    assert_eq!(read.receipt, withdrawn.receipt);
    assert_ne!(withdrawn.receipt, given.receipt);
}

async fn lists_carry_no_receipt(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let request = ListConsentsRequest {
        dmp_id: scene.dmp_id.clone(),
        ..Default::default()
    };
    let request = scene.bench.request(&scene.holder(), request);
    let listed = answer(scene.consents().list_consents(request).await).unwrap().consents;
    assert!(listed.len() == 1 && listed[0].receipt.is_empty());
}
