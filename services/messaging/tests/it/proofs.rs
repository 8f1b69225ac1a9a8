//! Three proofs: the deposit, each recipient's retrieval, each reading.

use api::common::v1 as common;
use api::messaging::v1 as pb;
use journal::Receipt;
use std::collections::BTreeSet;
use testkit::actor::{self, OTHER_PHYSICIAN};
use testkit::{Bench, on_both_engines, refusal};
use tonic::Code;

use crate::world::{ANNE, BRUNO, TEAM, World, anne, bruno, verifier};

on_both_engines! {
    deposit_retrieval_and_reading_are_proved_in_this_order,
    a_recipient_sees_its_own_proofs_only,
    a_retrieval_is_proved_once_however_many_ask,
    a_reading_is_proved_once,
    what_was_not_retrieved_cannot_be_read,
    no_body_is_shown_that_cannot_be_proved,
    a_deposit_whose_process_died_is_proved_after_its_restart,
}

/// Checked offline, with the log's public key and nothing else.
pub(crate) fn checked(receipt: Option<&common::Receipt>) -> Receipt {
    let receipt = Receipt::try_from(receipt.expect("a receipt")).unwrap();
    receipt.verify(&verifier()).unwrap();
    receipt
}

async fn deposit_retrieval_and_reading_are_proved_in_this_order(bench: Bench) {
    let world = World::new(bench).await;
    let sent = world.send(&anne(), world.draft(&[BRUNO])).await.unwrap();
    let message_id = sent.message.unwrap().message_id;
    let deposit = checked(sent.receipt.as_ref());
    let got = world.get(&bruno(), &world.bruno_box, &message_id).await.unwrap();
    assert_eq!(
        got.message.unwrap().retrieved_at,
        Some(store::time::to_proto(world.bench.clock.now()))
    );
    let retrieval = checked(got.receipt.as_ref());
    let reading = checked(
        world
            .mark_read(&bruno(), &world.bruno_box, &message_id)
            .await
            .unwrap()
            .receipt
            .as_ref(),
    );
    assert_eq!([deposit.sequence, retrieval.sequence, reading.sequence], [1, 2, 3]);

    let entries = world.receipts(&anne(), &world.anne_box, &message_id).await.unwrap();
    let expected = [
        (pb::ProofKind::Deposit, &deposit, &world.anne_box, ANNE),
        (pb::ProofKind::Retrieval, &retrieval, &world.bruno_box, BRUNO),
        (pb::ProofKind::Reading, &reading, &world.bruno_box, BRUNO),
    ];
    assert_eq!(entries.len(), expected.len());
    for (entry, (kind, receipt, mailbox, address)) in entries.iter().zip(expected) {
        let proof = entry.proof.as_ref().unwrap();
        assert_eq!(
            (proof.kind(), &proof.mailbox_id, proof.address.as_str()),
            (kind, mailbox, address)
        );
        assert_eq!(
            (&proof.message_id, proof.entry_id.as_str()),
            (&message_id, receipt.entry_id.to_string().as_str())
        );
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, got.body.as_bytes());
        assert_eq!(proof.body_sha256, hash.as_ref());
        let listed = checked(entry.receipt.as_ref());
        assert_eq!(
            (listed.leaf_index, listed.leaf_hash),
            (receipt.leaf_index, receipt.leaf_hash)
        );
    }
    let reader = entries[2].proof.as_ref().unwrap().actor.as_ref().unwrap();
    assert_eq!(
        (reader.role(), reader.professional_id.as_str()),
        (common::Role::Professional, OTHER_PHYSICIAN)
    );
}

async fn a_recipient_sees_its_own_proofs_only(bench: Bench) {
    let world = World::new(bench).await;
    let message = world.anne_writes(&[BRUNO, TEAM]).await;
    world.get(&bruno(), &world.bruno_box, &message).await.unwrap();
    world
        .get(&actor::establishment_system(), &world.team_box, &message)
        .await
        .unwrap();
    let own = world.receipts(&bruno(), &world.bruno_box, &message).await.unwrap();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].proof.as_ref().unwrap().mailbox_id, world.bruno_box);
    assert_eq!(
        world.receipts(&anne(), &world.anne_box, &message).await.unwrap().len(),
        3
    );
}

async fn a_retrieval_is_proved_once_however_many_ask(bench: Bench) {
    let world = World::new(bench).await;
    let message = world.anne_writes(&[BRUNO]).await;
    let reader = bruno();
    let reading = (0..16).map(|_| world.get(&reader, &world.bruno_box, &message));
    let read: Vec<_> = futures::future::join_all(reading)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let entries: BTreeSet<_> = read
        .iter()
        .map(|read| checked(read.receipt.as_ref()).entry_id)
        .collect();
    assert_eq!(entries.len(), 1);
    let again = world.get(&reader, &world.bruno_box, &message).await.unwrap();
    assert_eq!(again, read[0]);
    assert_eq!(
        world.receipts(&anne(), &world.anne_box, &message).await.unwrap().len(),
        2
    );
}

async fn a_reading_is_proved_once(bench: Bench) {
    let world = World::new(bench).await;
    let message = world.anne_writes(&[BRUNO]).await;
    let reader = bruno();
    world.get(&reader, &world.bruno_box, &message).await.unwrap();
    // Each with a request_id of its own.
    let reading = (0..8).map(|_| world.mark_read(&reader, &world.bruno_box, &message));
    let read: Vec<_> = futures::future::join_all(reading)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(read.iter().all(|answer| *answer == read[0]));
    assert_eq!(
        world.receipts(&anne(), &world.anne_box, &message).await.unwrap().len(),
        3
    );
}

/// Reading is not retrieval, and follows it.
async fn what_was_not_retrieved_cannot_be_read(bench: Bench) {
    let world = World::new(bench).await;
    let message = world.anne_writes(&[BRUNO]).await;
    let refused = refusal(&world.mark_read(&bruno(), &world.bruno_box, &message).await.unwrap_err());
    assert_eq!(
        (refused.reason.as_str(), refused.metadata["state"].as_str()),
        ("STATE_CONFLICT", "NOT_RETRIEVED")
    );
    assert_eq!(
        world.receipts(&anne(), &world.anne_box, &message).await.unwrap().len(),
        1
    );
}

/// Every access is durably traced before the first byte leaves: over-tracing possible, under-tracing never.
async fn no_body_is_shown_that_cannot_be_proved(bench: Bench) {
    let world = World::new(bench).await;
    let message = world.anne_writes(&[BRUNO]).await;
    world.block_journal().await;
    for _ in 0..2 {
        let refused = refusal(&world.get(&bruno(), &world.bruno_box, &message).await.unwrap_err());
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Unavailable, "JOURNAL_UNAVAILABLE")
        );
    }
    assert_eq!(
        world.receipts(&anne(), &world.anne_box, &message).await.unwrap().len(),
        1
    );
    world.unblock_journal().await;
    let got = world.get(&bruno(), &world.bruno_box, &message).await.unwrap();
    checked(got.receipt.as_ref());
    assert_eq!(
        world.receipts(&anne(), &world.anne_box, &message).await.unwrap().len(),
        2
    );
}

async fn a_deposit_whose_process_died_is_proved_after_its_restart(bench: Bench) {
    let world = World::new(bench).await;
    let request = world.draft(&[BRUNO]);
    // The message is committed, and its deposit staged; then it is as if the process had died.
    world.block_journal().await;
    let refused = refusal(&world.send(&anne(), request.clone()).await.unwrap_err());
    assert_eq!(refused.reason, "JOURNAL_UNAVAILABLE");
    world.unblock_journal().await;
    let world = world.restarted().await;
    let entries = world
        .receipts(&anne(), &world.anne_box, &only_message(&world).await)
        .await
        .unwrap();
    assert_eq!(entries[0].proof.as_ref().unwrap().kind(), pb::ProofKind::Deposit);
    let sent = world.send(&anne(), request).await.unwrap();
    let deposit = checked(sent.receipt.as_ref());
    let listed = checked(entries[0].receipt.as_ref());
    assert_eq!(
        (deposit.sequence, deposit.leaf_index, deposit.leaf_hash),
        (1, listed.leaf_index, listed.leaf_hash)
    );
    assert_eq!(only_message(&world).await, sent.message.unwrap().message_id);
}

async fn only_message(world: &World) -> String {
    let listed = world.inbox(&bruno(), &world.bruno_box).await;
    assert_eq!(listed.messages.len(), 1);
    listed.messages[0].message_id.clone()
}
