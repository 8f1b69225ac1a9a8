//! AccessService.

use api::common::v1::{AccessContext, AccessMode};
use api::consent::v1::decision::Outcome;
use api::consent::v1::*;
use consent::Config;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::{Bench, actor};
use tonic::Code;

use crate::scene::{Scene, answer, assert_failed, config, granted, time};

testkit::on_both_engines! {
    a_decision_says_all_that_it_stands_on,
    a_grant_names_the_types_of_the_matrix,
    a_refusal_is_an_answer_with_alternatives,
    break_glass_and_centre_15_oblige_to_tell,
    outside_of_the_normal_mode_a_reason_is_demanded,
    a_service_asks_for_whom_it_acts,
    an_acknowledged_withdrawal_governs_the_next_access,
    a_withdrawal_on_one_instance_governs_another,
    an_emergency_call_centre_can_be_listed,
    a_restart_forgets_nothing,
    the_rules_are_printed,
}

async fn a_decision_says_all_that_it_stands_on(bench: Bench) {
    let scene = Scene::new(bench).await;
    let ask = |operation| scene.asking(operation, AccessMode::Normal);
    let nothing = scene.ask(&scene.physician(), ask(Operation::SeeStatus)).await.unwrap();
    assert!(granted(&nothing));
    assert_eq!(
        (nothing.revision, nothing.authorization_state()),
        (0, AuthorizationState::Absent)
    );
    assert!(!nothing.creation_consented && !nothing.treating_physician);

    scene.consent(Purpose::Creation).await.unwrap();
    let authorization = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    scene.designate(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let decision = scene
        .ask(&scene.physician(), ask(Operation::ReadDocuments))
        .await
        .unwrap();
    let rules: Vec<&str> = decision.bases.iter().map(|basis| basis.rule.as_str()).collect();
    assert_eq!(rules, ["treating-physician", "authorised-professional"]);
    assert!(
        decision
            .bases
            .iter()
            .all(|basis| !basis.article.is_empty() && !basis.summary.is_empty())
    );
    assert_eq!((decision.revision, decision.matrix_version.as_str()), (3, "2026-1"));
    assert_eq!(
        (decision.decided_at, decision.mode()),
        (Some(time(scene.now())), AccessMode::Normal)
    );
    assert_eq!(decision.authorization_state(), AuthorizationState::Valid);
    assert!(decision.creation_consented && decision.treating_physician);
    let Some(Outcome::Grant(grant)) = decision.outcome else {
        panic!("refused")
    };
    assert_eq!(grant.valid_until, authorization.valid_until);
    assert!(grant.sees_masked && grant.sees_hidden_from_holder && grant.sees_hidden_from_representatives);
    assert_eq!(grant.obligations, Vec::<i32>::new());
}

/// R1111-46; annex to the arrêté of 26 October 2023: a podiatrist reads no delivery report.
async fn a_grant_names_the_types_of_the_matrix(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let podiatrist = actor::professional(actor::PHYSICIAN, "80", "");
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let asked = scene.asking(Operation::ReadDocuments, AccessMode::Normal);
    let decision = scene.ask(&podiatrist, asked).await.unwrap();
    let Some(Outcome::Grant(grant)) = decision.outcome else {
        panic!("refused")
    };
    let read = types(&grant, Operation::ReadDocuments);
    assert!(holds(&read, "11488-4") && !holds(&read, "15508-5"));
    assert!(!grant.sees_masked);

    let asked = scene.asking(Operation::ReadDocuments, AccessMode::Normal);
    let Some(Outcome::Grant(grant)) = scene.ask(&scene.holder(), asked).await.unwrap().outcome else {
        panic!("refused")
    };
    assert_eq!(
        types(&grant, Operation::ReadDocuments),
        DocumentTypes {
            all_but: true,
            type_codes: vec![]
        }
    );
    assert!(grant.sees_masked && !grant.sees_hidden_from_holder && grant.valid_until.is_none());
}

fn types(grant: &Grant, operation: Operation) -> DocumentTypes {
    let permission = grant
        .permissions
        .iter()
        .find(|permission| permission.operation() == operation);
    permission.unwrap().document_types.clone().unwrap()
}

fn holds(types: &DocumentTypes, code: &str) -> bool {
    types.type_codes.iter().any(|listed| listed == code) != types.all_but
}

async fn a_refusal_is_an_answer_with_alternatives(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.oppose(&scene.holder(), OppositionKind::Centre15).await.unwrap();
    let asked = scene.asking(Operation::ReadDocuments, AccessMode::Normal);
    let regulator = actor::professional(actor::PHYSICIAN, "10", "SM59");
    let decision = scene.ask(&regulator, asked).await.unwrap();
    assert_eq!(
        decision
            .bases
            .iter()
            .map(|basis| basis.rule.as_str())
            .collect::<Vec<_>>(),
        ["default-refuse"]
    );
    let Some(Outcome::Refusal(refusal)) = decision.outcome else {
        panic!("granted")
    };
    let [break_glass, centre_15] = refusal.alternatives.as_slice() else {
        panic!("{refusal:?}")
    };
    assert_eq!(
        (break_glass.mode(), break_glass.opens, break_glass.obligations.len()),
        (AccessMode::BreakGlass, true, 3)
    );
    assert_eq!(
        (centre_15.mode(), centre_15.opens, centre_15.obligations.len()),
        (AccessMode::Centre15, false, 0)
    );
    assert_eq!(centre_15.refused_by.as_ref().unwrap().rule, "centre-15-opposed");
}

/// L1111-17 I, R1111-48.
async fn break_glass_and_centre_15_oblige_to_tell(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let regulator = actor::professional(actor::PHYSICIAN, "10", "SM59");
    for mode in [AccessMode::BreakGlass, AccessMode::Centre15] {
        let decision = scene
            .ask(&regulator, scene.asking(Operation::ReadDocuments, mode))
            .await
            .unwrap();
        assert_eq!(decision.mode(), mode);
        let Some(Outcome::Grant(grant)) = decision.outcome else {
            panic!("refused")
        };
        let obligations: Vec<Obligation> = grant.obligations().collect();
        let all = [
            Obligation::NotifyHolder,
            Obligation::NotifyTreatingPhysicians,
            Obligation::SecondLook,
        ];
        assert_eq!(obligations, all);
    }
    let mut without_card = regulator;
    without_card.amr = "PWD".into();
    let decision = scene
        .ask(
            &without_card,
            scene.asking(Operation::ReadDocuments, AccessMode::BreakGlass),
        )
        .await;
    assert_eq!(decision.unwrap().bases[0].rule, "break-glass-personal-card");
}

async fn outside_of_the_normal_mode_a_reason_is_demanded(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let with = |mode: i32, reason: String| AuthorizeRequest {
        context: Some(AccessContext {
            mode,
            reason,
            ..AccessContext::default()
        }),
        ..scene.asking(Operation::ReadDocuments, AccessMode::Normal)
    };
    let break_glass = i32::from(AccessMode::BreakGlass);
    for (reason, why) in [
        (String::new(), "REQUIRED"),
        ("too short".to_owned(), "LENGTH"),
        (" ".repeat(20), "REQUIRED"),
        ("x".repeat(1001), "LENGTH"),
    ] {
        let refusal = scene
            .ask(&scene.physician(), with(break_glass, reason))
            .await
            .unwrap_err();
        assert!(refusal.has_field("context.reason", why), "{refusal:?}");
    }
    for reason in ["x".repeat(10), "é".repeat(1000)] {
        scene.ask(&scene.physician(), with(break_glass, reason)).await.unwrap();
    }
    let unknown = scene.ask(&scene.physician(), with(9, String::new())).await.unwrap_err();
    assert!(unknown.has_field("context.mode", "UNKNOWN_VALUE"));
    let bare = AuthorizeRequest {
        context: None,
        ..scene.asking(Operation::SeeStatus, AccessMode::Normal)
    };
    assert_eq!(
        scene.ask(&scene.physician(), bare).await.unwrap().mode(),
        AccessMode::Normal
    );
    let wrong = AuthorizeRequest {
        dmp_id: "1".into(),
        operation: 0,
        context: None,
    };
    let refusal = assert_failed(
        scene.ask(&scene.physician(), wrong).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
    );
    assert_eq!(refusal.fields.len(), 2);
}

/// The actor is who the service acts for, never the service.
async fn a_service_asks_for_whom_it_acts(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let asked = || scene.asking(Operation::ReadDocuments, AccessMode::Normal);
    let holder = scene.holder();
    let forwarded = scene.bench.service_request("dossier", Some(&holder), asked());
    assert!(granted(&answer(scene.access().authorize(forwarded).await).unwrap()));
    let alone = scene.bench.service_request("dossier", None, asked());
    assert_failed(
        answer(scene.access().authorize(alone).await),
        Code::PermissionDenied,
        "ROLE_FORBIDDEN",
    );
    let mutation = scene
        .bench
        .service_request("dossier", Some(&holder), scene.authorization(actor::PHYSICIAN));
    let recorded = answer(scene.authorizations().authorize_professional(mutation).await).unwrap();
    assert_eq!(recorded.recorded_by, "holder");
}

/// Design §6, freshness: what was acknowledged governs every access that starts afterwards, under concurrency.
async fn an_acknowledged_withdrawal_governs_the_next_access(bench: Bench) {
    const READERS: usize = 4;
    const AFTERWARDS: usize = 5;
    let scene = Arc::new(Scene::new(bench).await);
    for round in 0..4 {
        scene.consent(Purpose::Creation).await.unwrap();
        let authorization = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
        let acknowledged = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (scene, acknowledged) = (scene.clone(), acknowledged.clone());
                tokio::spawn(async move {
                    let (mut before, mut after) = (0, 0);
                    while after < AFTERWARDS {
                        let ended = acknowledged.load(Ordering::SeqCst);
                        let reads = scene.reads(&scene.physician()).await;
                        assert!(
                            !(ended && reads),
                            "an access that started after the acknowledgement was let in"
                        );
                        after += usize::from(ended);
                        before += usize::from(reads);
                    }
                    before
                })
            })
            .collect();
        // The narrowing comes while the readers are at it: once they have been let in.
        while !scene.reads(&scene.physician()).await {}
        match round % 3 {
            0 => drop(scene.withdraw_creation().await),
            1 => drop(
                scene
                    .revoke(&scene.holder(), &authorization.authorization_id)
                    .await
                    .unwrap(),
            ),
            _ => drop(scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap()),
        }
        acknowledged.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
        if round % 3 != 0 {
            scene.withdraw_creation().await;
        }
        if round % 3 == 2 {
            let block = scene.professionals(&scene.holder(), false).await.unwrap();
            scene
                .unblock(&scene.holder(), &block[0].authorization_id)
                .await
                .unwrap();
        }
    }
}

/// Nothing is kept in memory that another instance must know.
async fn a_withdrawal_on_one_instance_governs_another(bench: Bench) {
    let first = Scene::consented(bench).await;
    let second = first
        .bench
        .start_with::<consent::Consent>(first.service.settings.clone())
        .await;
    let mut other = access_service_client::AccessServiceClient::new(second.channel());
    for _ in 0..3 {
        let given = first.authorize(&first.holder(), actor::PHYSICIAN).await.unwrap();
        let asked = || {
            first.bench.request(
                &first.physician(),
                first.asking(Operation::ReadDocuments, AccessMode::Normal),
            )
        };
        let decision = answer(other.authorize(asked()).await).unwrap();
        assert!(granted(&decision));
        assert_eq!(decision.revision, given.revision);
        let revoked = first.revoke(&first.holder(), &given.authorization_id).await.unwrap();
        let decision = answer(other.authorize(asked()).await).unwrap();
        assert!(!granted(&decision));
        assert_eq!(decision.revision, revoked.revision);
    }
}

/// L1111-17 I (b): who regulates is known by the centre in which a physician acts.
async fn an_emergency_call_centre_can_be_listed(bench: Bench) {
    let config = Config {
        centre_15_structures: vec![actor::HOSPITAL.to_owned()],
        ..config(&bench)
    };
    let scene = Scene::with(bench, config).await;
    scene.consent(Purpose::Creation).await.unwrap();
    let asked = || scene.asking(Operation::ReadDocuments, AccessMode::Centre15);
    assert!(granted(&scene.ask(&scene.physician(), asked()).await.unwrap()));
    let mut elsewhere = actor::professional(actor::PHYSICIAN, "10", "SM59");
    elsewhere.structure = String::new();
    assert!(!granted(&scene.ask(&elsewhere, asked()).await.unwrap()));
}

async fn a_restart_forgets_nothing(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let before = scene
        .ask(
            &scene.physician(),
            scene.asking(Operation::ReadDocuments, AccessMode::Normal),
        )
        .await
        .unwrap();
    let scene = scene.restarted().await;
    let after = scene
        .ask(
            &scene.physician(),
            scene.asking(Operation::ReadDocuments, AccessMode::Normal),
        )
        .await
        .unwrap();
    assert_eq!(after, before);
    assert_eq!(
        scene
            .oppose(&scene.holder(), OppositionKind::Centre15)
            .await
            .unwrap()
            .revision,
        3
    );
}

/// `dmp rules` prints what is in force: every rule with its article and its words.
async fn the_rules_are_printed(bench: Bench) {
    let scene = Scene::new(bench).await;
    let listed = scene
        .access()
        .list_rules(scene.bench.request(&actor::auditor(), ListRulesRequest {}))
        .await;
    let listed = answer(listed).unwrap();
    assert_eq!(listed.matrix_version, "2026-1");
    let names: BTreeSet<&str> = listed.rules.iter().map(|rule| rule.rule.as_str()).collect();
    let all: BTreeSet<&str> = consent::rules::RULES
        .iter()
        .map(|rule| rule.id)
        .chain(["default-refuse"])
        .collect();
    assert_eq!((names, listed.rules.len()), (all.clone(), all.len()));
    assert!(
        listed
            .rules
            .iter()
            .all(|rule| !rule.article.is_empty() && !rule.summary.is_empty())
    );
    let effects: Vec<&str> = listed.rules.iter().map(|rule| rule.effect.as_str()).collect();
    let first_permit = effects.iter().position(|effect| *effect == "permit").unwrap();
    let last = effects.len() - 1;
    assert!(effects[..first_permit].iter().all(|effect| *effect == "forbid"));
    assert!(effects[first_permit..last].iter().all(|effect| *effect == "permit"));
    assert_eq!(
        (effects[last], listed.rules[last].rule.as_str()),
        ("forbid", "default-refuse")
    );
    let alone = scene.bench.service_request("dossier", None, ListRulesRequest {});
    answer(scene.access().list_rules(alone).await).unwrap();
    let unknown = answer(scene.access().list_rules(ListRulesRequest {}).await);
    assert_failed(unknown, Code::Unauthenticated, "TOKEN_MISSING");
}
