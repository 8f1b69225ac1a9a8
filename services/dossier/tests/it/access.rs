//! No access without a decision made for it, and none that is not taken down (reliability.md P1, P3, P7).

use crate::house::{House, break_glass, physician, refused};
use crate::peers::{everything, granted, refused as decided_against};
use api::common::v1::AccessMode;
use api::consent::v1 as consent;
use api::consent::v1::decision::Outcome;
use api::consent::v1::{Obligation, Operation};
use api::dossier::v1 as pb;
use api::dossier::v1::{AccessAction, AccessOutcome};
use testkit::{Bench, actor, on_both_engines};
use tonic::Code;

on_both_engines! {
    every_access_is_asked_for_and_a_withdrawal_governs_the_next_one,
    a_refusal_names_rule_article_and_what_each_mode_would_do,
    mode_and_reason_reach_consent_and_the_journal,
    consent_is_asked_on_behalf_of_the_caller_within_its_deadline_and_trace,
    an_answer_that_is_none_opens_nothing,
    nobody_comes_in_without_a_token,
}

/// reliability.md P2: an acknowledged withdrawal binds every access that starts afterwards.
async fn every_access_is_asked_for_and_a_withdrawal_governs_the_next_one(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    let before = house.script().authorize.seen().len();
    house.get(&physician(), "2.25.1").await.unwrap();
    house.read(&physician(), "2.25.1").await.unwrap();
    house.listed(&physician()).await;
    house.status().await;
    let asked: Vec<_> = house.script().authorize.seen()[before..]
        .iter()
        .map(|(asked, _)| asked.operation())
        .collect();
    let reading = Operation::ReadDocuments;
    assert_eq!(asked, [reading, reading, reading, Operation::SeeStatus]);

    house
        .script()
        .authorize
        .answer(|_| Ok(decided_against("no-authorisation", "L1111-17")));
    let physician = physician();
    let refusals = [
        refused(house.get(&physician, "2.25.1").await),
        refused(house.read(&physician, "2.25.1").await),
        refused(house.list(&physician, house.list_request()).await),
        refused(house.submit(&physician, &house.text("2.25.2", 1, "texte")).await),
        refused(house.close_dossier(&house.bench.request_id()).await),
    ];
    for refusal in refusals {
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::PermissionDenied, "ACCESS_REFUSED")
        );
    }
    house.script().authorize.answer(|_| Ok(granted(everything())));
    assert_eq!(house.listed(&physician).await, ["2.25.1"]);
    let accesses = house.accesses().await;
    let outcomes: Vec<_> = accesses[1..6]
        .iter()
        .map(|access| (access.action(), access.outcome()))
        .collect();
    let expected = [
        AccessAction::CloseDossier,
        AccessAction::SubmitDocument,
        AccessAction::ListDocuments,
        AccessAction::ReadDocument,
        AccessAction::GetDocument,
    ];
    assert_eq!(outcomes, expected.map(|action| (action, AccessOutcome::Refused)));
    assert_eq!(accesses[1].bases[0].article, "L1111-17");
    assert_eq!(accesses[1].actor.as_ref().unwrap().dmp_id, house.dmp_id);
}

/// design.md §6: a refusal says whether a mode would open what, and what it obliges to.
async fn a_refusal_names_rule_article_and_what_each_mode_would_do(bench: Bench) {
    let house = House::open(bench).await;
    house.script().authorize.answer(|_| {
        let opens = consent::refusal::Alternative {
            mode: AccessMode::BreakGlass.into(),
            opens: true,
            obligations: vec![Obligation::NotifyHolder.into(), Obligation::SecondLook.into()],
            refused_by: None,
        };
        let refuses = consent::refusal::Alternative {
            mode: AccessMode::Centre15.into(),
            opens: false,
            obligations: vec![],
            refused_by: Some(consent::Basis {
                rule: "centre-15-opposed".to_owned(),
                ..Default::default()
            }),
        };
        let refusal = consent::Refusal {
            alternatives: vec![opens, refuses],
        };
        let outcome = Some(Outcome::Refusal(refusal));
        Ok(consent::Decision {
            outcome,
            ..decided_against("no-authorisation", "L1111-17")
        })
    });
    let refusal = refused(house.get(&physician(), "2.25.1").await);
    assert_eq!(refusal.metadata["rule"], "no-authorisation");
    assert_eq!(refusal.metadata["article"], "L1111-17");
    assert_eq!(refusal.metadata["mode_break_glass"], "opens;NOTIFY_HOLDER,SECOND_LOOK");
    assert_eq!(refusal.metadata["mode_centre_15"], "refused_by=centre-15-opposed");
}

/// R1111-48: the holder is shown mode and reason afterwards.
async fn mode_and_reason_reach_consent_and_the_journal(bench: Bench) {
    let house = House::open(bench).await;
    let context = break_glass("inconsciente, traitement inconnu");
    let request = pb::ListDocumentsRequest {
        context: Some(context.clone()),
        ..house.list_request()
    };
    house.list(&physician(), request).await.unwrap();
    assert_eq!(
        house.script().authorize.seen().last().unwrap().0.context,
        Some(context.clone())
    );
    assert_eq!(house.last_access().await.context, Some(context));
    let silent = pb::ListDocumentsRequest {
        context: Some(break_glass("")),
        ..house.list_request()
    };
    let refusal = refused(house.list(&physician(), silent).await);
    assert!(refusal.has_field("context.reason", "REQUIRED"), "{refusal:?}");
}

async fn consent_is_asked_on_behalf_of_the_caller_within_its_deadline_and_trace(bench: Bench) {
    let house = House::open(bench).await;
    let mut request = house.bench.request(&physician(), house.list_request());
    let token = house.bench.token(&physician());
    request.set_timeout(std::time::Duration::from_secs(3));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.metadata_mut().insert("traceparent", trace.parse().unwrap());
    house.documents().list_documents(request).await.unwrap();
    let (_, metadata) = house.script().authorize.seen().pop().unwrap();
    let forwarded = metadata.get("dmp-on-behalf-of").unwrap().to_str().unwrap();
    assert_eq!(
        forwarded.split('.').nth(1),
        token.reveal().split('.').nth(1),
        "the caller's own token"
    );
    assert!(metadata.get("authorization").unwrap().to_str().unwrap() != format!("Bearer {forwarded}"));
    let traceparent = metadata.get("traceparent").unwrap().to_str().unwrap();
    assert_eq!(traceparent.split('-').nth(1), trace.split('-').nth(1));
    let timeout = metadata.get("grpc-timeout").unwrap().to_str().unwrap();
    let micros: u64 = timeout
        .trim_end_matches('u')
        .parse()
        .unwrap_or_else(|_| panic!("{timeout}"));
    assert!(micros < 3_000_000, "{timeout}");
}

/// reliability.md P7: unknown means refused.
async fn an_answer_that_is_none_opens_nothing(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    let without_reading = consent::Grant {
        permissions: everything()
            .permissions
            .into_iter()
            .filter(|it| it.operation() != Operation::ReadDocuments)
            .collect(),
        ..everything()
    };
    let empty = consent::Decision {
        outcome: None,
        ..granted(everything())
    };
    for decision in [empty, granted(without_reading)] {
        house.script().authorize.answer(move |_| Ok(decision.clone()));
        let refusal = refused(house.get(&physician(), "2.25.1").await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::Unavailable, "PEER_UNAVAILABLE")
        );
    }
    house.script().authorize.answer(|_| Ok(granted(everything())));
    assert_eq!(house.last_access().await.outcome(), AccessOutcome::Undecided);
}

async fn nobody_comes_in_without_a_token(bench: Bench) {
    let house = House::open(bench).await;
    let asked = house.script().authorize.seen().len();
    let refusal = refused(house.documents().list_documents(house.list_request()).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::Unauthenticated, "TOKEN_MISSING")
    );
    let mut tampered = house.bench.request(&actor::administrator(), house.list_request());
    let token = format!("Bearer {}x", house.bench.token(&physician()).reveal());
    tampered.metadata_mut().insert("authorization", token.parse().unwrap());
    let refusal = refused(house.documents().list_documents(tampered).await);
    assert_eq!(refusal.code, Code::Unauthenticated);
    let expired = house.bench.request(&physician(), house.list_request());
    house.bench.time.advance(jiff::SignedDuration::from_secs(3_600));
    let refusal = refused(house.documents().list_documents(expired).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::Unauthenticated, "TOKEN_EXPIRED")
    );
    assert_eq!(house.script().authorize.seen().len(), asked);
}
