//! Who came in, and how anybody checks the answer offline (L1111-19, R1111-43).

use crate::house::{House, ORIGIN, physician, refused};
use api::common::v1 as common;
use api::dossier::v1 as pb;
use api::dossier::v1::{AccessAction, AccessOutcome};
use journal::{Checkpoint, Hash, History, Link, Receipt, hashes_of, proof};
use prost::Message;
use testkit::{Bench, actor, on_both_engines};
use tonic::Code;

on_both_engines! {
    accesses_are_listed_newest_first_page_by_page_with_receipts_that_hold,
    a_listing_of_accesses_is_an_access_that_the_next_one_shows,
    a_history_is_whole_and_checked_offline,
    a_receipt_is_read_again_by_those_whose_chain_it_is_in,
    proofs_hold_under_the_checkpoint_and_tell_nothing,
    who_may_not_read_the_journal_is_refused_and_written_in_it,
}

async fn page(house: &House, page_size: i32, page_token: String) -> pb::ListAccessesResponse {
    let request = pb::ListAccessesRequest {
        dmp_id: house.dmp_id.clone(),
        page_size,
        page_token,
        secret: false,
    };
    let request = house.bench.request(&house.holder(), request);
    house.journal().list_accesses(request).await.unwrap().into_inner()
}

async fn some_accesses(bench: Bench) -> House {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    house.get(&physician(), "2.25.1").await.unwrap();
    house.get(&physician(), "2.25.2").await.unwrap_err();
    house.read(&house.holder(), "2.25.1").await.unwrap();
    house
}

async fn accesses_are_listed_newest_first_page_by_page_with_receipts_that_hold(bench: Bench) {
    let house = some_accesses(bench).await;
    let verifier = house.verifier().await;
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let page = page(&house, 2, token).await;
        assert!(page.entries.len() <= 2);
        listed.extend(page.entries);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    for entry in &listed {
        let receipt = Receipt::try_from(entry.receipt.as_ref().unwrap()).unwrap();
        receipt.verify(&verifier).unwrap();
        assert_eq!(entry.access.as_ref().unwrap().entry_id, receipt.entry_id.to_string());
    }
    let sequences: Vec<u64> = listed
        .iter()
        .map(|entry| entry.receipt.as_ref().unwrap().chain_sequence)
        .collect();
    assert_eq!(
        sequences,
        [5, 4, 3, 2, 1],
        "what came in while paging is newer than the first page"
    );
    let accesses: Vec<_> = listed.iter().map(|entry| entry.access.clone().unwrap()).collect();
    let actions: Vec<_> = accesses
        .iter()
        .map(|access| (access.action(), access.outcome()))
        .collect();
    let (granted, refused) = (AccessOutcome::Granted, AccessOutcome::Refused);
    let expected = [
        (AccessAction::ReadDocument, granted),
        (AccessAction::GetDocument, refused),
        (AccessAction::GetDocument, granted),
        (AccessAction::SubmitDocument, granted),
        (AccessAction::OpenDossier, granted),
    ];
    assert_eq!(actions, expected);
    let who = accesses[2].actor.as_ref().unwrap();
    assert_eq!(
        (who.role(), who.professional_id.as_str()),
        (common::Role::Professional, actor::PHYSICIAN)
    );
    assert_eq!(accesses[0].actor.as_ref().unwrap().role(), common::Role::Holder);
}

async fn a_listing_of_accesses_is_an_access_that_the_next_one_shows(bench: Bench) {
    let house = House::open(bench).await;
    let first = page(&house, 0, String::new()).await;
    assert_eq!(first.entries.len(), 1);
    let second = page(&house, 0, String::new()).await;
    let listing = &second.entries[0];
    assert_eq!(listing.access.as_ref().unwrap().action(), AccessAction::ListAccesses);
    assert_eq!(
        listing.receipt.as_ref().unwrap().entry_id,
        first.receipt.unwrap().entry_id
    );
    let request = pb::ListAccessesRequest {
        dmp_id: house.dmp_id.clone(),
        page_size: -1,
        ..Default::default()
    };
    let refusal = refused(
        house
            .journal()
            .list_accesses(house.bench.request(&house.holder(), request))
            .await,
    );
    assert!(refusal.has_field("page_size", "NEGATIVE"));
}

/// journal_service.proto: everything an answer claims can be checked offline.
async fn a_history_is_whole_and_checked_offline(bench: Bench) {
    let house = some_accesses(bench).await;
    let verifier = house.verifier().await;
    let (mut after, mut seen, mut more) = (Link::BEGINNING, 0, true);
    while more {
        let request = pb::GetCompletenessProofRequest {
            dmp_id: house.dmp_id.clone(),
            from_sequence: after.sequence + 1,
            page_size: 2,
            secret: false,
        };
        let request = house.bench.request(&house.holder(), request);
        let proof = house
            .journal()
            .get_completeness_proof(request)
            .await
            .unwrap()
            .into_inner();
        let sent = proof.history.unwrap();
        assert_eq!(
            (sent.subject.as_str(), sent.log_origin.as_str()),
            (house.dmp_id.as_str(), ORIGIN)
        );
        let history = History::from_proto(&sent).unwrap();
        let verified = history.verify(&verifier, &house.dmp_id, after).unwrap();
        for entry in &history.entries {
            let access = pb::Access::decode(entry.entry.content.payload().unwrap()).unwrap();
            assert_eq!(access.entry_id, entry.entry.entry_id.to_string());
        }
        seen += history.entries.len();
        after = verified.head();
        more = proof.more;
        assert_eq!(more, after.sequence < proof.head_sequence);
        if seen > 20 {
            panic!("each proof is an access too, but the pages catch up with them");
        }
    }
    assert!(seen >= 5, "{seen}");
}

async fn receipt(house: &House, claims: &serve::Claims, entry_id: &str) -> Result<common::Receipt, tonic::Status> {
    let request = pb::GetReceiptRequest {
        dmp_id: house.dmp_id.clone(),
        entry_id: entry_id.to_owned(),
    };
    let request = house.bench.request(claims, request);
    house
        .journal()
        .get_receipt(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn a_receipt_is_read_again_by_those_whose_chain_it_is_in(bench: Bench) {
    let house = House::open(bench).await;
    let answer = house
        .submit(&physician(), &house.text("2.25.1", 1, "texte"))
        .await
        .unwrap();
    let kept = answer.receipt.unwrap();
    assert_eq!(receipt(&house, &house.holder(), &kept.entry_id).await.unwrap(), kept);
    assert_eq!(house.last_access().await.action(), AccessAction::ProveAccesses);
    let unknown = refused(receipt(&house, &house.holder(), &house.bench.request_id()).await);
    assert_eq!(
        (unknown.code, unknown.metadata["resource"].as_str()),
        (Code::NotFound, "entry")
    );
    // Of another chain: as if it were not there.
    let other = api::identity::DmpId::generate([9; 16]).as_str().to_owned();
    let request = pb::GetReceiptRequest {
        dmp_id: other.clone(),
        entry_id: kept.entry_id,
    };
    let request = house.bench.request(&actor::holder(&other), request);
    assert_eq!(refused(house.journal().get_receipt(request).await), unknown);
}

/// RFC 9162 §2.1.3, §2.1.4.
async fn proofs_hold_under_the_checkpoint_and_tell_nothing(bench: Bench) {
    let house = some_accesses(bench).await;
    let auditor = actor::auditor();
    let request = house.bench.request(&auditor, pb::GetCheckpointRequest {});
    let newest = house.journal().get_checkpoint(request).await.unwrap().into_inner();
    let verifier = journal::VerifierKey::parse(&newest.verifier_key).unwrap();
    let checkpoint = Checkpoint::open(&newest.checkpoint, &verifier).unwrap();
    assert_eq!(
        (checkpoint.size, checkpoint.origin.as_str()),
        (newest.tree_size, ORIGIN)
    );
    assert_eq!(newest.tree_size, 5);
    for leaf_index in 0..newest.tree_size {
        let request = pb::GetInclusionProofRequest {
            leaf_index,
            tree_size: 0,
        };
        let request = house.bench.request(&auditor, request);
        let proven = house.journal().get_inclusion_proof(request).await.unwrap().into_inner();
        assert_eq!(proven.checkpoint, newest.checkpoint);
        let leaf = Hash::from_slice(&proven.leaf_hash).unwrap();
        let hashes = hashes_of(&proven.hashes, "hashes").unwrap();
        proof::verify_inclusion(&leaf, leaf_index, proven.tree_size, &hashes, &checkpoint.root).unwrap();
    }
    let old = Receipt::try_from(&page(&house, 0, String::new()).await.receipt.unwrap()).unwrap();
    let old = old.verify(&verifier).unwrap();
    house.status().await;
    let request = pb::GetConsistencyProofRequest {
        from_size: old.size,
        to_size: 0,
    };
    let request = house.bench.request(&auditor, request);
    let proven = house
        .journal()
        .get_consistency_proof(request)
        .await
        .unwrap()
        .into_inner();
    let new = Checkpoint::open(&proven.checkpoint, &verifier).unwrap();
    assert!(new.size > old.size);
    new.extends(&old, &hashes_of(&proven.hashes, "hashes").unwrap())
        .unwrap();

    let beyond = pb::GetInclusionProofRequest {
        leaf_index: 0,
        tree_size: 1_000,
    };
    let refusal = refused(
        house
            .journal()
            .get_inclusion_proof(house.bench.request(&auditor, beyond))
            .await,
    );
    assert!(refusal.has_field("tree_size", "NO_SUCH_TREE"));
    let zero = pb::GetConsistencyProofRequest {
        from_size: 0,
        to_size: 0,
    };
    let refusal = refused(
        house
            .journal()
            .get_consistency_proof(house.bench.request(&auditor, zero))
            .await,
    );
    assert!(refusal.has_field("from_size", "TOO_SMALL"));
}

async fn who_may_not_read_the_journal_is_refused_and_written_in_it(bench: Bench) {
    let house = House::open(bench).await;
    house
        .script()
        .authorize
        .answer(|_| Ok(crate::peers::refused("nobody-else", "L1111-19")));
    let request = pb::ListAccessesRequest {
        dmp_id: house.dmp_id.clone(),
        ..Default::default()
    };
    let refusal = refused(
        house
            .journal()
            .list_accesses(house.bench.request(&physician(), request))
            .await,
    );
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::PermissionDenied, "ACCESS_REFUSED")
    );
    let asked = house.script().authorize.seen().pop().unwrap().0;
    assert_eq!(asked.operation(), api::consent::v1::Operation::ReadJournal);
    house
        .script()
        .authorize
        .answer(|_| Ok(crate::peers::granted(crate::peers::everything())));
    let access = house.accesses().await.remove(0);
    assert_eq!(
        (access.action(), access.outcome()),
        (AccessAction::ListAccesses, AccessOutcome::Refused)
    );
}
