//! What a minor keeps from its representatives (L1111-5, R1111-33, R1111-50; rules.md §2.1, #113): the secret chain.

use crate::deposits::{LABORATORY_1, LABORATORY_2};
use crate::house::{Deposit, House, break_glass, other_physician, physician, refused, sample, sample_with, secretly};
use crate::peers::{everything, explained, granted, refused as decided_against};
use api::common::v1 as common;
use api::common::v1::AccessContext;
use api::consent::v1::Grant;
use api::dossier::v1 as pb;
use api::dossier::v1::{AccessAction, AccessOutcome};
use journal::{History, Link};
use prost::Message;
use serve::Claims;
use testkit::{Bench, actor, on_both_engines};
use tonic::{Code, Status};

on_both_engines! {
    what_is_deposited_in_a_secret_connection_is_hidden_from_representatives,
    the_open_chain_is_what_it_would_be_without_secret_acts,
    a_representative_finds_no_trace,
    the_holder_and_the_treating_physician_read_both_chains,
    a_listing_stands_in_both_chains_and_each_names_its_own,
    refusals_about_secrets_stand_in_the_secret_chain,
    a_replacement_is_hidden_just_as_what_it_replaces,
}

const HIDDEN: &str = "2.25.77";

fn representative() -> Claims {
    actor::representative("parent")
}

fn visibility(hidden_from_representatives: bool) -> Option<pb::Visibility> {
    Some(pb::Visibility {
        hidden_from_representatives,
        ..Default::default()
    })
}

/// A text that is hidden from representatives.
fn hidden(house: &House, unique_id: &str) -> Deposit {
    let mut deposit = house.text(unique_id, 1, "texte");
    deposit.header.visibility = visibility(true);
    deposit
}

fn in_secret(mut deposit: Deposit) -> Deposit {
    deposit.header.context = Some(secretly());
    deposit
}

/// A laboratory report that says by its own codes that it is hidden.
fn hidden_by_itself(name: &str) -> Vec<u8> {
    let level = r#"<confidentialityCode code="N" displayName="Normal" codeSystem="2.16.840.1.113883.5.25"/>"#;
    let code = r#"<confidentialityCode code="INVISIBLE_REPRESENTANTS_LEGAUX" codeSystem="1.2.250.1.213.1.1.4.13"/>"#;
    sample_with(name, level, &format!("{level}{code}"))
}

/// Who acts next sees what is hidden from representatives, as holders and professionals do, and saw it in the past.
fn sees(house: &House) {
    let decision = granted(Grant {
        sees_hidden_from_representatives: true,
        ..everything()
    });
    let past = explained(decision.clone());
    house.script().authorize.answer(move |_| Ok(decision.clone()));
    house.script().explain.answer(move |_| Ok(past.clone()));
}

/// Who acts next does not, as representatives.
fn sees_not(house: &House) {
    house.script().authorize.answer(|_| Ok(granted(everything())));
}

async fn list_in(house: &House, claims: &Claims, context: Option<AccessContext>) -> pb::ListDocumentsResponse {
    let request = pb::ListDocumentsRequest {
        context,
        ..house.list_request()
    };
    house.list(claims, request).await.unwrap()
}

async fn receipt(house: &House, claims: &Claims, entry_id: &str) -> Result<common::Receipt, Status> {
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

async fn proof(house: &House, claims: &Claims, secret: bool) -> Result<pb::CompletenessProof, Status> {
    let request = pb::GetCompletenessProofRequest {
        dmp_id: house.dmp_id.clone(),
        page_size: 500,
        secret,
        ..Default::default()
    };
    let request = house.bench.request(claims, request);
    let proof = house.journal().get_completeness_proof(request).await;
    proof.map(tonic::Response::into_inner)
}

/// A whole chain, oldest first, checked offline to be whole and of this subject.
async fn proven(house: &House, claims: &Claims, secret: bool, subject: &str) -> Vec<pb::Access> {
    let proof = proof(house, claims, secret).await.unwrap();
    assert!(!proof.more);
    let sent = proof.history.unwrap();
    assert_eq!(sent.subject, subject);
    let history = History::from_proto(&sent).unwrap();
    let verified = history
        .verify(&house.verifier().await, subject, Link::BEGINNING)
        .unwrap();
    assert_eq!(verified.head().sequence, proof.head_sequence);
    let payloads = history
        .entries
        .iter()
        .map(|entry| entry.entry.content.payload().unwrap());
    payloads.map(|payload| pb::Access::decode(payload).unwrap()).collect()
}

fn done(accesses: &[pb::Access]) -> Vec<(AccessAction, AccessOutcome)> {
    accesses
        .iter()
        .map(|access| (access.action(), access.outcome()))
        .collect()
}

async fn reconstruct(house: &House, claims: &Claims, context: AccessContext) -> Result<(), Status> {
    let request = pb::ReconstructViewRequest {
        dmp_id: house.dmp_id.clone(),
        context: Some(context),
        ..Default::default()
    };
    let request = house.bench.request(claims, request);
    house.journal().reconstruct_view(request).await.map(drop)
}

/// rules.md §2.1, #113.
async fn what_is_deposited_in_a_secret_connection_is_hidden_from_representatives(bench: Bench) {
    let house = House::open(bench).await;
    let asked = house.script().authorize.seen().len();
    let plain = in_secret(house.text("2.25.1", 1, "texte"));
    let refusal = refused(house.submit(&physician(), &plain).await);
    assert_eq!(refusal.reason, "INVALID_FIELDS");
    assert!(refusal.has_field("visibility", "SECRET_CONNECTION"));
    assert_eq!(
        house.script().authorize.seen().len(),
        asked,
        "told before anything is asked"
    );
    let refusal = refused(
        house
            .submit(&physician(), &in_secret(house.cda(sample("laboratory.xml"))))
            .await,
    );
    assert!(refusal.has_field("visibility", "SECRET_CONNECTION"));

    house
        .submit(&physician(), &in_secret(hidden(&house, HIDDEN)))
        .await
        .unwrap();
    let context = house.script().authorize.seen().pop().unwrap().0.context.unwrap();
    assert!(context.secret_connection, "it reaches consent");
    let by_itself = in_secret(house.cda(hidden_by_itself("laboratory.xml")));
    let document = house.submit(&physician(), &by_itself).await.unwrap().document.unwrap();
    assert!(document.visibility.unwrap().hidden_from_representatives);

    // Secret connections are a professional's, and representatives hide nothing from themselves.
    for claims in [house.holder(), representative(), actor::establishment_system()] {
        let refusal = refused(house.get_in(&claims, HIDDEN, Some(secretly())).await);
        assert!(refusal.has_field("context.secret_connection", "NOT_YOURS"));
    }
    for deposit in [
        hidden(&house, "2.25.3"),
        house.cda(hidden_by_itself("consultation.xml")),
    ] {
        let refusal = refused(house.submit(&representative(), &deposit).await);
        assert!(refusal.has_field("visibility", "NOT_YOURS"), "{refusal:?}");
    }
}

/// Everything that happens to a dossier; with `secrets`, much that no representative may know of in between.
async fn live(bench: Bench, secrets: bool) -> House {
    let house = House::open(bench).await;
    sees(&house);
    if secrets {
        house.deposit(&hidden(&house, HIDDEN)).await;
    }
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    if secrets {
        for _ in 0..2 {
            house
                .submit(&physician(), &in_secret(hidden(&house, "2.25.9")))
                .await
                .unwrap();
        }
        list_in(&house, &physician(), Some(secretly())).await;
    }
    list_in(&house, &physician(), None).await;
    house.get(&other_physician(), "2.25.1").await.unwrap();
    if secrets {
        all_that_is_secret(&house).await;
    }
    sees_not(&house);
    house.read(&representative(), "2.25.1").await.unwrap();
    house.get(&representative(), HIDDEN).await.unwrap_err();
    list_in(&house, &representative(), None).await;
    reconstruct(&house, &representative(), AccessContext::default())
        .await
        .unwrap();
    sees(&house);
    reconstruct(&house, &house.holder(), AccessContext::default())
        .await
        .unwrap();
    house.status().await;
    house.accesses().await;
    house
}

async fn all_that_is_secret(house: &House) {
    let physician = physician();
    house.get(&physician, HIDDEN).await.unwrap();
    let (head, _) = house.read(&physician, HIDDEN).await.unwrap();
    house.get_in(&physician, "2.25.1", Some(secretly())).await.unwrap();
    house
        .get_in(&physician, "2.25.404", Some(secretly()))
        .await
        .unwrap_err();
    let other = Deposit {
        content: b"autre".to_vec(),
        ..house.text(HIDDEN, 1, "")
    };
    house.submit(&physician, &other).await.unwrap_err();
    house.chain(&house.holder(), true).await;
    proof(house, &house.holder(), true).await.unwrap();
    let entry_id = head.receipt.unwrap().entry_id;
    receipt(house, &house.holder(), &entry_id).await.unwrap();
    reconstruct(house, &house.holder(), secretly()).await.unwrap();
    house
        .script()
        .authorize
        .answer(|_| Ok(decided_against("some-rule", "L1110-4")));
    house.get(&physician, HIDDEN).await.unwrap_err();
    house.get_in(&physician, "2.25.1", Some(secretly())).await.unwrap_err();
    house.submit(&physician, &hidden(house, "2.25.8")).await.unwrap_err();
    receipt(house, &physician, &entry_id).await.unwrap_err();
    house.script().authorize.answer(|_| Err(Status::unavailable("gone")));
    house.read(&physician, HIDDEN).await.unwrap_err();
    house.get_in(&physician, "2.25.1", Some(secretly())).await.unwrap_err();
}

/// What two lives may differ in: ids, times, whose dossier it is.
fn comparable(mut access: pb::Access) -> pb::Access {
    access.entry_id.clear();
    access.dmp_id.clear();
    (access.decided_at, access.occurred_at) = (None, None);
    let actor = access.actor.as_mut().unwrap();
    if actor.role() == common::Role::Holder {
        actor.subject.clear();
        actor.dmp_id.clear();
    }
    access
}

async fn the_open_chain_is_what_it_would_be_without_secret_acts(bench: Bench) {
    let plain = live(bench, false).await;
    let expected = proven(&plain, &representative(), false, &plain.dmp_id).await;
    let nothing = plain.chain(&plain.holder(), true).await;
    assert!(nothing.is_empty());
    let house = live(plain.bench, true).await;
    let open = proven(&house, &representative(), false, &house.dmp_id).await;
    assert!(expected.len() >= 11, "{}", expected.len());
    let comparable = |accesses: Vec<pb::Access>| accesses.into_iter().map(comparable).collect::<Vec<_>>();
    assert_eq!(comparable(open), comparable(expected));
}

/// R1111-50: not in any list, not in any answer, not in any error.
async fn a_representative_finds_no_trace(bench: Bench) {
    let house = live(bench, true).await;
    let secret = house.chain(&house.holder(), true).await;
    sees_not(&house);
    let parent = representative();
    assert_eq!(house.listed(&parent).await, ["2.25.1"]);
    let absent = refused(house.get(&parent, "2.25.404").await);
    assert_eq!(refused(house.get(&parent, HIDDEN).await), absent);
    assert_eq!(refused(house.read(&parent, HIDDEN).await), absent);
    let open = house.chain(&parent, false).await;
    let own = &open[..4];
    let (get, read) = (AccessAction::GetDocument, AccessAction::ReadDocument);
    let outcomes = done(own).into_iter().map(|(action, _)| action);
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        [read, get, get, AccessAction::ListDocuments],
        "its own attempts stand where any stands"
    );
    for access in &open {
        assert!(!access.secret && !format!("{access:?}").contains(HIDDEN), "{access:?}");
        assert!(secret.iter().all(|secret| secret.entry_id != access.entry_id));
    }
    let unknown = refused(receipt(&house, &parent, &house.bench.request_id()).await);
    for access in &secret {
        assert_eq!(refused(receipt(&house, &parent, &access.entry_id).await), unknown);
    }
    let request = pb::ListAccessesRequest {
        dmp_id: house.dmp_id.clone(),
        secret: true,
        ..Default::default()
    };
    let refusal = refused(
        house
            .journal()
            .list_accesses(house.bench.request(&parent, request))
            .await,
    );
    assert!(refusal.has_field("secret", "NOT_YOURS"));
    assert!(refused(proof(&house, &parent, true).await).has_field("secret", "NOT_YOURS"));
    let refusal = refused(reconstruct(&house, &parent, secretly()).await);
    assert!(refusal.has_field("context.secret_connection", "NOT_YOURS"));
    // Even who has the document is not told that it is here.
    let same = refused(house.submit(&parent, &house.text(HIDDEN, 1, "texte")).await);
    assert_eq!((same.reason.as_str(), same.metadata.len()), ("ALREADY_EXISTS", 1));
    house
        .submit(&physician(), &house.cda(hidden_by_itself("laboratory.xml")))
        .await
        .unwrap();
    let replacement = house.cda(sample("laboratory-replacement.xml"));
    let replacement = house.submit(&parent, &replacement).await.unwrap().document.unwrap();
    assert_eq!(replacement.findings, ["relatedDocument: REPLACED_DOCUMENT_ABSENT"]);
    // Nor does a page of one chain lead into the other.
    sees(&house);
    let page = |claims: Claims, secret: bool, page_token: String| {
        let request = pb::ListAccessesRequest {
            dmp_id: house.dmp_id.clone(),
            page_size: 1,
            page_token,
            secret,
        };
        let request = house.bench.request(&claims, request);
        let mut journal = house.journal();
        async move { journal.list_accesses(request).await.map(tonic::Response::into_inner) }
    };
    let token = page(house.holder(), true, String::new()).await.unwrap().next_page_token;
    assert!(!token.is_empty());
    let refusal = refused(page(parent.clone(), false, token).await);
    assert_eq!(refusal.reason, "PAGE_TOKEN_INVALID");
}

/// journal_service.proto: completeness of each chain holds by itself.
async fn the_holder_and_the_treating_physician_read_both_chains(bench: Bench) {
    let house = live(bench, true).await;
    sees(&house);
    let subject = format!("{}/secret", house.dmp_id);
    let (granted, refused, undecided) = (AccessOutcome::Granted, AccessOutcome::Refused, AccessOutcome::Undecided);
    use AccessAction::{
        GetDocument, ListAccesses, ListDocuments, ProveAccesses, ReadDocument, ReconstructView, SubmitDocument,
    };
    let expected = [
        (SubmitDocument, granted),
        (SubmitDocument, granted),
        (SubmitDocument, granted),
        (ListDocuments, granted),
        (ListDocuments, granted),
        (GetDocument, granted),
        (ReadDocument, granted),
        (GetDocument, granted),
        (GetDocument, refused),
        (SubmitDocument, refused),
        (ListAccesses, granted),
        (ProveAccesses, granted),
        (ProveAccesses, granted),
        (ReconstructView, granted),
        (GetDocument, refused),
        (GetDocument, refused),
        (SubmitDocument, refused),
        (ProveAccesses, refused),
        (ReadDocument, undecided),
        (GetDocument, undecided),
        (ReconstructView, granted),
    ];
    for claims in [house.holder(), physician()] {
        let secret = proven(&house, &claims, true, &subject).await;
        let (before, looking) = secret.split_at(expected.len());
        assert_eq!(done(before), expected);
        let looks = |access: &pb::Access| [ProveAccesses, ListAccesses].contains(&access.action());
        assert!(looking.iter().all(looks), "looking into it stands there too");
        assert!(
            secret
                .iter()
                .all(|access| access.secret && access.dmp_id == house.dmp_id)
        );
        let listed = house.chain(&claims, true).await;
        assert_eq!(listed.len(), secret.len() + 1);
        for access in &listed {
            let receipt = receipt(&house, &claims, &access.entry_id).await.unwrap();
            assert_eq!(receipt.entry_id, access.entry_id);
        }
        let open = proven(&house, &claims, false, &house.dmp_id).await;
        assert!(open.len() >= 11 && open.iter().all(|access| !access.secret));
    }
}

async fn a_listing_stands_in_both_chains_and_each_names_its_own(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 2, "texte")).await;
    house.deposit(&hidden(&house, HIDDEN)).await;
    sees(&house);
    let listed = list_in(&house, &physician(), None).await;
    assert_eq!(listed.documents.len(), 2);
    let open = house.accesses().await.remove(0);
    assert_eq!(
        listed.receipt.unwrap().entry_id,
        open.entry_id,
        "the receipt is the open one's"
    );
    assert_eq!(open.document_ids, ["2.25.1"]);
    let secret = house.chain(&house.holder(), true).await.remove(0);
    assert_eq!((secret.action(), secret.secret), (AccessAction::ListDocuments, true));
    assert_eq!(secret.document_ids, [HIDDEN]);
    assert_eq!(secret.context, open.context);

    let listed = list_in(&house, &physician(), Some(secretly())).await;
    let secret = house.chain(&house.holder(), true).await.remove(0);
    assert_eq!(
        secret.document_ids,
        ["2.25.1", HIDDEN],
        "in a secret connection it is one"
    );
    assert_eq!(listed.receipt.unwrap().entry_id, secret.entry_id);
    let read = house.read(&physician(), HIDDEN).await.unwrap().0.receipt.unwrap();
    let secret = house.chain(&house.holder(), true).await.remove(0);
    assert_eq!(
        (&secret.entry_id, secret.document_ids),
        (&read.entry_id, vec![HIDDEN.to_owned()])
    );
    // Without anything hidden nothing is said of it.
    sees_not(&house);
    let before = house.chain(&house.holder(), true).await.len();
    list_in(&house, &other_physician(), None).await;
    assert_eq!(
        house.chain(&house.holder(), true).await.len(),
        before + 1,
        "that listing itself"
    );
}

async fn refusals_about_secrets_stand_in_the_secret_chain(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&hidden(&house, HIDDEN)).await;
    let open = house.accesses().await.len();
    let stranger = other_physician();
    // Hidden from who asks, by its own rights.
    refused(house.get(&stranger, HIDDEN).await);
    refused(house.read(&stranger, HIDDEN).await);
    refused(house.submit(&stranger, &house.text(HIDDEN, 1, "autre")).await);
    house
        .script()
        .authorize
        .answer(|_| Ok(decided_against("some-rule", "L1110-4")));
    refused(
        house
            .get_in(&stranger, HIDDEN, Some(break_glass("inconsciente, seule")))
            .await,
    );
    refused(
        house
            .list(
                &stranger,
                pb::ListDocumentsRequest {
                    context: Some(secretly()),
                    ..house.list_request()
                },
            )
            .await,
    );
    sees(&house);
    let secret = house.chain(&house.holder(), true).await;
    let rules: Vec<_> = secret[..5].iter().map(|access| access.bases[0].rule.as_str()).collect();
    assert_eq!(
        rules,
        ["some-rule", "some-rule", "ALREADY_EXISTS", "NOT_FOUND", "NOT_FOUND"]
    );
    assert!(
        secret[..5]
            .iter()
            .all(|access| access.outcome() == AccessOutcome::Refused)
    );
    assert!(secret[..5].iter().all(|access| access.document_ids.is_empty()));
    assert_eq!(
        house.accesses().await.len(),
        open + 1,
        "the listing before, and nothing else"
    );
}

/// Otherwise a status, or what is missing from a finding, would tell of what is hidden.
async fn a_replacement_is_hidden_just_as_what_it_replaces(bench: Bench) {
    for (old_is_hidden, new_is_hidden) in [(false, true), (true, false)] {
        let Some(bench) = Bench::new(bench.engine) else { return };
        let house = House::open(bench).await;
        let deposit = |name: &str, hidden: bool| {
            let mut deposit = house.cda(sample(name));
            deposit.header.visibility = visibility(hidden);
            deposit
        };
        house.deposit(&deposit("laboratory.xml", old_is_hidden)).await;
        let replacement = deposit("laboratory-replacement.xml", new_is_hidden);
        let refusal = refused(house.submit(&physician(), &replacement).await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::InvalidArgument, "DOCUMENT_INVALID")
        );
        assert_eq!(refusal.metadata["detail"], "HIDDEN_UNLIKE_REPLACED");
        let secret = house.chain(&house.holder(), true).await;
        assert_eq!(
            done(&secret[..1]),
            [(AccessAction::SubmitDocument, AccessOutcome::Refused)]
        );
        assert_eq!(house.listed(&physician()).await, [LABORATORY_1]);
        house
            .deposit(&deposit("laboratory-replacement.xml", old_is_hidden))
            .await;
        assert_eq!(house.listed(&physician()).await, [LABORATORY_2]);
    }
}
