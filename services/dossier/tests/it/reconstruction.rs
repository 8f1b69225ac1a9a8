//! What an actor saw, or would have seen, at a past moment.

use crate::deposits::{LABORATORY_1, LABORATORY_2};
use crate::house::{Deposit, House, other_physician, physician, refused, sample};
use crate::peers::{everything, explained, granted, on_types, refused as decided_against};
use api::common::v1::{AccessContext, AccessMode, Actor, Role};
use api::consent::v1::decision::Outcome;
use api::consent::v1::{DocumentTypes, Grant, Operation};
use api::dossier::v1 as pb;
use api::dossier::v1::{AccessAction, AccessOutcome, DocumentStatus};
use jiff::{SignedDuration, Timestamp};
use serve::{Claims, Failure};
use store::time::to_proto;
use testkit::{Bench, actor, on_both_engines};
use tonic::{Code, Status};

on_both_engines! {
    a_document_is_shown_as_it_was_before_and_after_its_replacement,
    a_document_is_not_seen_before_its_deposit_nor_before_its_announcement,
    the_past_grant_says_what_was_seen_and_authors_saw_their_own,
    nothing_is_shown_that_the_caller_may_not_see_today,
    the_auditor_is_told_identifiers_and_nothing_else,
    what_was_seen_is_paged_and_a_token_is_good_for_its_question_only,
    consent_is_asked_what_the_caller_asks_and_its_errors_pass,
    a_closed_dossier_is_decided_about_and_shows_no_document,
    a_reconstruction_is_an_access_that_names_what_it_shows,
}

fn asked(house: &House) -> pb::ReconstructViewRequest {
    pb::ReconstructViewRequest {
        dmp_id: house.dmp_id.clone(),
        ..Default::default()
    }
}

fn at(house: &House, moment: Timestamp) -> pb::ReconstructViewRequest {
    pb::ReconstructViewRequest {
        moment: Some(to_proto(moment)),
        ..asked(house)
    }
}

async fn reconstruct(
    house: &House,
    claims: &Claims,
    request: pb::ReconstructViewRequest,
) -> Result<pb::ReconstructViewResponse, Status> {
    let request = house.bench.request(claims, request);
    let answer = house.journal().reconstruct_view(request).await;
    answer.map(tonic::Response::into_inner)
}

/// Ids and statuses of what the holder is told was seen at a moment.
async fn seen(house: &House, moment: Timestamp) -> Vec<(String, DocumentStatus)> {
    let answer = reconstruct(house, &house.holder(), at(house, moment)).await.unwrap();
    let documents = answer.documents.into_iter();
    documents
        .map(|document| (document.unique_id.clone(), document.status()))
        .collect()
}

fn ids(answer: &pb::ReconstructViewResponse) -> Vec<&str> {
    answer
        .documents
        .iter()
        .map(|document| document.unique_id.as_str())
        .collect()
}

/// What consent says of the past from now on.
fn then(house: &House, grant: Grant) {
    house
        .script()
        .explain
        .answer(move |_| Ok(explained(granted(grant.clone()))));
}

/// What the caller may today, from now on.
fn today(house: &House, grant: Grant) {
    house.script().authorize.answer(move |_| Ok(granted(grant.clone())));
}

fn of_sight(flags: [bool; 3]) -> Grant {
    Grant {
        sees_masked: flags[0],
        sees_hidden_from_holder: flags[1],
        sees_hidden_from_representatives: flags[2],
        ..everything()
    }
}

fn hidden(house: &House, unique_id: &str, flags: [bool; 3]) -> Deposit {
    let mut deposit = house.text(unique_id, 1, "texte");
    deposit.header.visibility = Some(pb::Visibility {
        masked_from_professionals: flags[0],
        hidden_from_holder: flags[1],
        hidden_from_representatives: flags[2],
    });
    deposit
}

fn an_hour_later(house: &House) -> Timestamp {
    house.bench.time.advance(SignedDuration::from_hours(1));
    house.bench.clock.now()
}

async fn a_document_is_shown_as_it_was_before_and_after_its_replacement(bench: Bench) {
    let house = House::open(bench).await;
    let before = an_hour_later(&house);
    let deposited = an_hour_later(&house);
    house.deposit(&house.cda(sample("laboratory.xml"))).await;
    let between = an_hour_later(&house);
    let replaced = an_hour_later(&house);
    house.deposit(&house.cda(sample("laboratory-replacement.xml"))).await;
    an_hour_later(&house);
    let first = |status| (LABORATORY_1.to_owned(), status);
    let second = (LABORATORY_2.to_owned(), DocumentStatus::Approved);
    assert_eq!(seen(&house, before).await, []);
    assert_eq!(
        seen(&house, deposited).await,
        [first(DocumentStatus::Approved)],
        "at its deposit"
    );
    assert_eq!(seen(&house, between).await, [first(DocumentStatus::Approved)]);
    let a_moment = SignedDuration::from_micros(1);
    assert_eq!(
        seen(&house, replaced - a_moment).await,
        [first(DocumentStatus::Approved)]
    );
    let after = [first(DocumentStatus::Deprecated), second];
    assert_eq!(seen(&house, replaced).await, after);
    let now = reconstruct(&house, &house.holder(), asked(&house)).await.unwrap();
    let now: Vec<_> = now.documents.iter().map(pb::PastDocument::status).collect();
    assert_eq!(
        now,
        [DocumentStatus::Deprecated, DocumentStatus::Approved],
        "now when no moment is named"
    );
}

/// R1111-53: at the latest a month after the deposit.
async fn a_document_is_not_seen_before_its_deposit_nor_before_its_announcement(bench: Bench) {
    let house = House::open(bench).await;
    let before = house.bench.clock.now();
    let deposited = an_hour_later(&house);
    house.deposit(&hidden(&house, "2.25.1", [false, true, false])).await;
    house.bench.time.advance(SignedDuration::from_hours(24 * 60));
    // Deposited on 2 March: announced by 2 April, 31 days later.
    let announced = deposited + SignedDuration::from_hours(24 * 31);
    assert_eq!(seen(&house, before).await, []);
    assert_eq!(seen(&house, announced - SignedDuration::from_micros(1)).await, []);
    assert_eq!(seen(&house, announced).await.len(), 1);
    // Who saw what was hidden from the holder saw it, and so does the holder by now.
    then(&house, of_sight([false, true, false]));
    let answer = reconstruct(&house, &house.holder(), at(&house, deposited))
        .await
        .unwrap();
    let document = &answer.documents[0];
    assert!(document.visibility.unwrap().hidden_from_holder, "as it was then");
    assert_eq!(document.submitted_at, Some(to_proto(deposited)));
    let coding = document.r#type.as_ref().unwrap();
    assert_eq!(
        (coding.code.as_str(), coding.system.as_str()),
        ("11488-4", "2.16.840.1.113883.6.1")
    );
    assert!(!coding.label.is_empty());
}

fn about(professional_id: &str) -> Option<Actor> {
    Some(Actor {
        role: Role::Professional.into(),
        subject: "someone".to_owned(),
        issuer: "https://issuer.test".to_owned(),
        professional_id: professional_id.to_owned(),
        profession: "10".to_owned(),
        ..Actor::default()
    })
}

/// R1111-46: exactly what listings filter by.
async fn the_past_grant_says_what_was_seen_and_authors_saw_their_own(bench: Bench) {
    let house = House::open(bench).await;
    let flags = [
        [false, false, false],
        [true, false, false],
        [false, true, false],
        [false, false, true],
    ];
    for (index, flags) in flags.iter().enumerate() {
        house.deposit(&hidden(&house, &format!("2.25.{index}"), *flags)).await;
    }
    today(&house, of_sight([true; 3]));
    let question = |professional_id| pb::ReconstructViewRequest {
        actor: about(professional_id),
        ..asked(&house)
    };
    for bits in 0..8 {
        let sight = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
        then(&house, of_sight(sight));
        let answer = reconstruct(&house, &house.holder(), question(actor::OTHER_PHYSICIAN))
            .await
            .unwrap();
        let shown = flags.iter().enumerate();
        let shown = shown.filter(|(_, flags)| flags.iter().zip(&sight).all(|(hidden, sees)| !hidden || *sees));
        let expected: Vec<String> = shown.map(|(index, _)| format!("2.25.{index}")).collect();
        assert_eq!(ids(&answer), expected, "{sight:?}");
        let own = reconstruct(&house, &house.holder(), question(actor::PHYSICIAN))
            .await
            .unwrap();
        assert_eq!(own.documents.len(), flags.len(), "what one deposited was seen");
    }
    let mut masked = house.cda(sample("consultation.xml"));
    masked.header.visibility = hidden(&house, "2.25.9", [true, false, false]).header.visibility;
    let masked = house.deposit(&masked).await;
    then(&house, of_sight([false; 3]));
    let author = reconstruct(&house, &house.holder(), question("899900123458"))
        .await
        .unwrap();
    assert!(ids(&author).contains(&masked.unique_id.as_str()));
    let types = |all_but| DocumentTypes {
        all_but,
        type_codes: vec!["11488-4".to_owned()],
    };
    then(&house, on_types(types(true)));
    let answer = reconstruct(&house, &house.holder(), question(actor::PHYSICIAN))
        .await
        .unwrap();
    assert!(answer.documents.is_empty());
    then(&house, on_types(types(false)));
    let answer = reconstruct(&house, &house.holder(), question(actor::PHYSICIAN))
        .await
        .unwrap();
    assert_eq!(answer.documents.len(), 5);
    house
        .script()
        .explain
        .answer(|_| Ok(explained(decided_against("no-authorisation", "L1111-17"))));
    let answer = reconstruct(&house, &house.holder(), question(actor::PHYSICIAN))
        .await
        .unwrap();
    let decision = answer.decision.unwrap();
    assert!(matches!(decision.outcome, Some(Outcome::Refusal(_))));
    assert_eq!(decision.bases[0].rule, "no-authorisation");
    assert!(answer.documents.is_empty() && answer.next_page_token.is_empty() && answer.receipt.is_some());
}

async fn nothing_is_shown_that_the_caller_may_not_see_today(bench: Bench) {
    let house = House::open(bench).await;
    let flags = [
        [false; 3],
        [true, false, false],
        [false, true, false],
        [false, false, true],
    ];
    for (index, flags) in flags.iter().enumerate() {
        house.deposit(&hidden(&house, &format!("2.25.{index}"), *flags)).await;
    }
    then(&house, of_sight([true; 3]));
    for bits in 0..8 {
        let sight = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
        today(&house, of_sight(sight));
        for claims in [house.holder(), actor::representative("parent"), other_physician()] {
            let answer = reconstruct(&house, &claims, asked(&house)).await.unwrap();
            let shown = flags.iter().enumerate();
            let shown = shown.filter(|(_, flags)| flags.iter().zip(&sight).all(|(hidden, sees)| !hidden || *sees));
            let expected: Vec<String> = shown.map(|(index, _)| format!("2.25.{index}")).collect();
            assert_eq!(ids(&answer), expected, "{sight:?}");
            assert!(answer.next_page_token.is_empty());
        }
    }
    let explaining_only = Grant {
        permissions: everything()
            .permissions
            .into_iter()
            .filter(|it| it.operation() != Operation::ReadDocuments)
            .collect(),
        ..of_sight([true; 3])
    };
    today(&house, explaining_only);
    for claims in [house.holder(), physician()] {
        let answer = reconstruct(&house, &claims, asked(&house)).await.unwrap();
        assert!(answer.documents.is_empty() && answer.decision.is_some());
    }
}

/// L1110-4: the regulator never reads content.
async fn the_auditor_is_told_identifiers_and_nothing_else(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&hidden(&house, "2.25.1", [true, false, true])).await;
    let mut explaining_only = everything();
    explaining_only
        .permissions
        .retain(|it| it.operation() == Operation::ExplainAccess);
    today(&house, explaining_only);
    then(&house, of_sight([true; 3]));
    let question = pb::ReconstructViewRequest {
        actor: about(actor::OTHER_PHYSICIAN),
        ..asked(&house)
    };
    let answer = reconstruct(&house, &actor::auditor(), question).await.unwrap();
    let identifier = pb::PastDocument {
        unique_id: "2.25.1".to_owned(),
        ..Default::default()
    };
    assert_eq!(answer.documents, [identifier]);
}

async fn what_was_seen_is_paged_and_a_token_is_good_for_its_question_only(bench: Bench) {
    let house = House::open(bench).await;
    let mut expected = Vec::new();
    // Several at one moment, in an order that is not that of their deposit.
    for hour in 1..=3 {
        for id in [3, 1, 2] {
            let unique_id = format!("2.25.{hour}{id}");
            house.deposit(&house.text(&unique_id, 9 - hour, "texte")).await;
            expected.push(unique_id);
        }
        house
            .deposit(&hidden(&house, &format!("2.25.{hour}9"), [true, false, false]))
            .await;
        an_hour_later(&house);
    }
    expected.sort();
    let moment = house.bench.clock.now();
    let page = |page_size, page_token| pb::ReconstructViewRequest {
        page_size,
        page_token,
        ..at(&house, moment)
    };
    for size in [1, 2, 4, 9] {
        let (mut paged, mut token) = (Vec::new(), String::new());
        loop {
            let answer = reconstruct(&house, &house.holder(), page(size, token)).await.unwrap();
            assert!(!answer.documents.is_empty(), "no page tells of what is not shown");
            paged.extend(ids(&answer).into_iter().map(str::to_owned));
            token = answer.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(paged, expected, "pages of {size}");
    }
    let token = reconstruct(&house, &house.holder(), page(2, String::new()))
        .await
        .unwrap()
        .next_page_token;
    let others = [
        pb::ReconstructViewRequest {
            moment: None,
            ..page(2, token.clone())
        },
        pb::ReconstructViewRequest {
            actor: about(actor::PHYSICIAN),
            ..page(2, token)
        },
    ];
    for other in others {
        let refusal = refused(reconstruct(&house, &house.holder(), other).await);
        assert_eq!(refusal.reason, "PAGE_TOKEN_INVALID");
    }
    let refusal = refused(reconstruct(&house, &house.holder(), page(-1, String::new())).await);
    assert!(refusal.has_field("page_size", "NEGATIVE"));
}

async fn consent_is_asked_what_the_caller_asks_and_its_errors_pass(bench: Bench) {
    let house = House::open(bench).await;
    let moment = house.bench.clock.now();
    let question = pb::ReconstructViewRequest {
        actor: about(actor::OTHER_PHYSICIAN),
        context: Some(AccessContext {
            mode: AccessMode::BreakGlass.into(),
            secret_connection: true,
            ..AccessContext::default()
        }),
        ..at(&house, moment)
    };
    reconstruct(&house, &house.holder(), question.clone()).await.unwrap();
    let entered = house.script().authorize.seen().pop().unwrap().0;
    assert_eq!(entered.operation(), Operation::ExplainAccess);
    assert_eq!(entered.context.unwrap().mode(), AccessMode::Normal, "nothing is opened");
    let (asked_for, metadata) = house.script().explain.seen().pop().unwrap();
    assert_eq!(
        (asked_for.operation(), asked_for.mode(), asked_for.secret_connection),
        (Operation::ReadDocuments, AccessMode::BreakGlass, true)
    );
    assert_eq!(
        (asked_for.actor, asked_for.moment),
        (question.actor.clone(), question.moment)
    );
    assert_eq!(asked_for.dmp_id, house.dmp_id);
    let on_behalf = metadata.get(serve::ON_BEHALF_OF).unwrap().to_str().unwrap();
    assert_eq!(on_behalf.split('.').count(), 3, "the caller's own token");

    let explain = &house.script().explain;
    explain.answer(|_| {
        Err(Status::from(Failure::invalid_field(
            "moment",
            "LATER_THAN_NOW",
            "must not be later",
        )))
    });
    let refusal = refused(reconstruct(&house, &house.holder(), asked(&house)).await);
    assert!(refusal.has_field("moment", "LATER_THAN_NOW"));
    let outcomes = async || {
        let access = house.last_access().await;
        (access.action(), access.outcome())
    };
    assert_eq!(
        outcomes().await.0,
        AccessAction::OpenDossier,
        "a wrong question opens nothing"
    );
    explain.answer(|_| {
        let message = "a rule refuses this access";
        let failure = Failure::new(Code::PermissionDenied, api::common::v1::Reason::AccessRefused, message);
        Err(failure.with("rule", "default-refuse").with("article", "L1110-4").into())
    });
    let refusal = refused(reconstruct(&house, &physician(), asked(&house)).await);
    assert_eq!(
        (refusal.code, refusal.metadata["rule"].as_str()),
        (Code::PermissionDenied, "default-refuse")
    );
    assert_eq!(
        outcomes().await,
        (AccessAction::ReconstructView, AccessOutcome::Refused)
    );
    assert_eq!(house.last_access().await.bases[0].article, "L1110-4");
    explain.answer(|_| Err(Status::unavailable("gone")));
    let refusal = refused(reconstruct(&house, &physician(), asked(&house)).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::Unavailable, "PEER_UNAVAILABLE")
    );
    assert_eq!(
        outcomes().await,
        (AccessAction::ReconstructView, AccessOutcome::Undecided)
    );

    let wrong = pb::ReconstructViewRequest {
        actor: Some(Actor::default()),
        context: Some(AccessContext {
            mode: 99,
            ..AccessContext::default()
        }),
        ..asked(&house)
    };
    let refusal = refused(reconstruct(&house, &house.holder(), wrong).await);
    assert!(refusal.has_field("actor", "NOT_AN_ACTOR") && refusal.has_field("context.mode", "UNKNOWN_VALUE"));
}

/// L1111-18: closed, it shows nothing but its journal.
async fn a_closed_dossier_is_decided_about_and_shows_no_document(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    let open = an_hour_later(&house);
    assert_eq!(seen(&house, open).await.len(), 1);
    let closed = an_hour_later(&house);
    house.close_dossier(&house.bench.request_id()).await.unwrap();
    for claims in [house.holder(), physician()] {
        let answer = reconstruct(&house, &claims, at(&house, open)).await.unwrap();
        assert!(answer.documents.is_empty() && answer.decision.is_some());
    }
    let auditor = actor::auditor();
    let answer = reconstruct(&house, &auditor, at(&house, open)).await.unwrap();
    assert_eq!(ids(&answer), ["2.25.1"], "an identifier, as the journal names it");
    let answer = reconstruct(&house, &auditor, at(&house, closed)).await.unwrap();
    assert!(answer.documents.is_empty(), "nobody saw anything any more");
}

async fn a_reconstruction_is_an_access_that_names_what_it_shows(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    house.deposit(&hidden(&house, "2.25.2", [false, false, true])).await;
    today(&house, of_sight([false, false, true]));
    then(&house, of_sight([false, false, true]));
    let answer = reconstruct(&house, &house.holder(), asked(&house)).await.unwrap();
    assert_eq!(ids(&answer), ["2.25.1", "2.25.2"]);
    let open = house.last_access().await;
    assert_eq!(
        (open.action(), open.outcome()),
        (AccessAction::ReconstructView, AccessOutcome::Granted)
    );
    assert_eq!(open.document_ids, ["2.25.1"]);
    assert_eq!(answer.receipt.unwrap().entry_id, open.entry_id);
    let secret = house.chain(&house.holder(), true).await.remove(0);
    assert_eq!(
        (secret.action(), secret.document_ids),
        (AccessAction::ReconstructView, vec!["2.25.2".to_owned()])
    );
}
