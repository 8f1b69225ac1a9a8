//! AccessService: many questions at once, and questions about the past.

use api::common::v1::AccessMode;
use api::consent::v1::list_who_can_access_response::{Party, PartyKind};
use api::consent::v1::*;
use jiff::SignedDuration;
use prost::Message;
use serve::Claims;
use testkit::{Bench, actor};
use tonic::Code;

use crate::scene::{Answer, Scene, answer, assert_failed, assert_refused, granted, time};

testkit::on_both_engines! {
    a_batch_is_answered_in_its_order,
    a_batch_with_a_wrong_question_fails_and_names_it,
    an_explanation_names_every_rule_that_held_and_its_facts,
    an_explanation_goes_back_to_any_moment_and_revision,
    an_explanation_is_for_those_whom_it_concerns,
    what_has_not_come_is_not_explained,
    a_decision_is_made_again_byte_for_byte,
    a_decision_before_the_first_fact_is_made_again,
    who_can_read_is_listed_with_rules_and_ends,
    who_could_read_is_listed_for_the_past_in_pages,
}

// --- Batches.

async fn ask_all(scene: &Scene, claims: &Claims, requests: Vec<AuthorizeRequest>) -> Answer<Vec<Decision>> {
    let request = scene.bench.request(claims, BatchAuthorizeRequest { requests });
    answer(scene.access().batch_authorize(request).await).map(|answered| answered.decisions)
}

async fn a_batch_is_answered_in_its_order(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let elsewhere = AuthorizeRequest {
        dmp_id: scene.another_dossier(),
        ..scene.asking(Operation::ReadDocuments, AccessMode::Normal)
    };
    let questions = vec![
        scene.asking(Operation::ReadDocuments, AccessMode::Normal),
        elsewhere,
        scene.asking(Operation::WithdrawConsents, AccessMode::Normal),
        scene.asking(Operation::ReadDocuments, AccessMode::BreakGlass),
    ];
    let answers = ask_all(&scene, &scene.physician(), questions.clone()).await.unwrap();
    assert_eq!(
        answers.iter().map(granted).collect::<Vec<_>>(),
        [true, false, false, true]
    );
    for (question, answer) in questions.into_iter().zip(answers) {
        assert_eq!(scene.ask(&scene.physician(), question).await.unwrap(), answer);
    }
    let many = vec![scene.asking(Operation::SeeStatus, AccessMode::Normal); 100];
    assert_eq!(ask_all(&scene, &scene.physician(), many).await.unwrap().len(), 100);
}

async fn a_batch_with_a_wrong_question_fails_and_names_it(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let right = scene.asking(Operation::ReadDocuments, AccessMode::Normal);
    let wrong = AuthorizeRequest {
        dmp_id: "1".into(),
        operation: 0,
        context: scene
            .asking(Operation::SeeStatus, AccessMode::BreakGlass)
            .context
            .map(|context| api::common::v1::AccessContext {
                reason: String::new(),
                ..context
            }),
    };
    let refusal = ask_all(&scene, &scene.physician(), vec![right.clone(), wrong])
        .await
        .unwrap_err();
    let fields: Vec<&str> = refusal.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "requests[1].dmp_id",
            "requests[1].operation",
            "requests[1].context.reason"
        ]
    );
    for wrong in [vec![], vec![right; 101]] {
        let refusal = ask_all(&scene, &scene.physician(), wrong).await.unwrap_err();
        assert!(refusal.has_field("requests", "LENGTH"));
    }
}

// --- Explanations.

/// Rule, whether it decided, and the ids of its facts.
fn told(explained: &ExplainAccessResponse) -> Vec<(String, bool, Vec<String>)> {
    let rules = explained.rules.iter();
    rules
        .map(|spoken| {
            let facts = spoken.facts.iter().map(|fact| fact.fact_id.clone()).collect();
            (spoken.basis.clone().unwrap().rule, spoken.decides, facts)
        })
        .collect()
}

/// Issue of the house: every rule that allowed or forbade, and the facts it stood on.
async fn an_explanation_names_every_rule_that_held_and_its_facts(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let block = scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let given = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let treating = scene.designate(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let explained = scene
        .explain(&scene.holder(), scene.why(&scene.physician()))
        .await
        .unwrap();
    assert_eq!(
        told(&explained),
        [
            (
                "blocked-professional".to_owned(),
                true,
                vec![block.authorization_id.clone()]
            ),
            ("treating-physician".to_owned(), false, vec![treating.authorization_id]),
            (
                "authorised-professional".to_owned(),
                false,
                vec![given.authorization_id.clone()]
            ),
        ]
    );
    let effects: Vec<&str> = explained.rules.iter().map(|rule| rule.effect.as_str()).collect();
    assert_eq!(effects, ["forbid", "permit", "permit"]);
    assert_eq!(
        explained.rules[2].facts,
        [FactReference {
            fact_id: given.authorization_id,
            kind: "authorization".into(),
            recorded_at: given.recorded_at,
            revision: given.revision,
            valid_until: given.valid_until,
            holds: true,
        }]
    );
    let asked = scene.asking(Operation::ReadDocuments, AccessMode::Normal);
    assert_eq!(
        explained.decision,
        Some(scene.ask(&scene.physician(), asked).await.unwrap())
    );
}

/// Any past decision, for its moment or on its revision.
async fn an_explanation_goes_back_to_any_moment_and_revision(bench: Bench) {
    let scene = Scene::new(bench).await;
    let start = scene.now();
    scene.bench.time.advance(SignedDuration::from_hours(1));
    let consent = scene.consent(Purpose::Creation).await.unwrap();
    scene.bench.time.advance(SignedDuration::from_hours(1));
    let request = AuthorizeProfessionalRequest {
        valid_until: Some(scene.later(10)),
        ..scene.authorization(actor::PHYSICIAN)
    };
    let given = scene.authorize_with(&scene.holder(), request).await.unwrap();
    scene.bench.time.advance(SignedDuration::from_hours(1));
    scene.withdraw(&scene.holder(), &consent.consent_id).await.unwrap();
    scene.bench.time.advance(SignedDuration::from_hours(20));

    let hours = |hours| Some(time(start + SignedDuration::from_hours(hours)));
    let why = scene.why(&scene.physician());
    let at = |moment, revision| ExplainAccessRequest {
        moment,
        revision,
        ..why.clone()
    };
    let mut rules = Vec::new();
    for asked in [
        at(hours(0), 0),
        at(hours(1), 0),
        at(hours(2), 0),
        at(hours(3), 0),
        at(None, 2),
        at(hours(13), 2),
    ] {
        let explained = scene.explain(&scene.holder(), asked).await.unwrap();
        let decision = explained.decision.unwrap();
        rules.push((decision.revision, decision.bases[0].rule.clone()));
    }
    let expected = [
        (0, "creation-not-consented"),
        (1, "default-refuse"),
        (2, "authorised-professional"),
        (3, "creation-not-consented"),
        (2, "authorised-professional"),
        // On the facts of then, at a moment after the term of the authorisation.
        (2, "default-refuse"),
    ];
    assert_eq!(rules, expected.map(|(revision, rule)| (revision, rule.to_owned())));
    let then = scene.explain(&scene.holder(), at(None, 2)).await.unwrap();
    assert_eq!(then.decision.as_ref().unwrap().decided_at, given.recorded_at);
    assert_eq!(
        told(&then),
        [("authorised-professional".to_owned(), true, vec![given.authorization_id])]
    );
}

async fn an_explanation_is_for_those_whom_it_concerns(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.register("parent").await.unwrap();
    let (physician, other) = (scene.physician(), actor::physician(actor::OTHER_PHYSICIAN));
    scene.designate(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    for claims in [scene.holder(), actor::representative("parent"), actor::auditor()] {
        scene.explain(&claims, scene.why(&physician)).await.unwrap();
    }
    let own = ExplainAccessRequest {
        actor: None,
        ..scene.why(&physician)
    };
    let explained = scene.explain(&physician, own).await.unwrap();
    assert_eq!(
        explained,
        scene.explain(&physician, scene.why(&physician)).await.unwrap()
    );
    assert_refused(
        scene.explain(&physician, scene.why(&other)).await,
        "default-refuse",
        "L1110-4",
    );
    // Nor about itself in a structure where it does not act.
    let mut elsewhere = physician.clone();
    elsewhere.structure = String::new();
    assert_refused(
        scene.explain(&physician, scene.why(&elsewhere)).await,
        "default-refuse",
        "L1110-4",
    );
    let refused = [
        (actor::administrator(), "default-refuse", "L1110-4"),
        (actor::establishment_system(), "default-refuse", "L1110-4"),
        (actor::excluded_party(), "excluded-party", "L1111-18"),
        (actor::representative("stranger"), "representation-not-live", "L1111-14"),
        (actor::holder(&scene.another_dossier()), "default-refuse", "L1110-4"),
    ];
    for (claims, rule, article) in refused {
        assert_refused(scene.explain(&claims, scene.why(&physician)).await, rule, article);
    }
    let alone = scene.bench.service_request("dossier", None, scene.why(&physician));
    let alone = answer(scene.access().explain_access(alone).await);
    assert_failed(alone, Code::PermissionDenied, "ROLE_FORBIDDEN");
}

async fn what_has_not_come_is_not_explained(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let why = scene.why(&scene.physician());
    let late = ExplainAccessRequest {
        moment: Some(scene.later(1)),
        ..why.clone()
    };
    let refusal = scene.explain(&scene.holder(), late).await.unwrap_err();
    assert!(refusal.has_field("moment", "LATER_THAN_NOW"));
    for revision in [2, -1] {
        let unmade = ExplainAccessRequest {
            revision,
            ..why.clone()
        };
        let refusal = scene.explain(&scene.holder(), unmade).await.unwrap_err();
        assert!(refusal.has_field("revision", "NOT_MADE"));
    }
    let wrong = ExplainAccessRequest {
        dmp_id: "1".into(),
        actor: Some(api::common::v1::Actor::default()),
        operation: 99,
        mode: 9,
        moment: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        }),
        secret_connection: false,
        revision: 0,
    };
    let fields = scene.explain(&scene.holder(), wrong).await.unwrap_err().fields;
    let fields: Vec<&str> = fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["dmp_id", "actor", "operation", "mode", "moment"]);
}

// --- Replays.

const OPERATIONS: [Operation; 4] = [
    Operation::ReadDocuments,
    Operation::SubmitDocuments,
    Operation::ReadJournal,
    Operation::SeeStatus,
];
const MODES: [AccessMode; 3] = [AccessMode::Normal, AccessMode::BreakGlass, AccessMode::Centre15];

/// One thing that somebody says, chosen by a byte; what cannot be said just now is refused, and changes nothing.
pub(crate) async fn something_is_said(scene: &Scene, choice: u8) {
    let holder = scene.holder();
    match choice % 11 {
        0 => drop(scene.consent(Purpose::Creation).await),
        1 => drop(scene.authorize(&holder, actor::PHYSICIAN).await),
        2 => drop(scene.authorize_structure(actor::HOSPITAL).await),
        3 => drop(scene.designate(&holder, actor::PHYSICIAN).await),
        4 => drop(scene.oppose(&holder, OppositionKind::BreakGlass).await),
        5 => drop(scene.register("parent").await),
        6 => drop(scene.block(&holder, actor::PHYSICIAN).await),
        7 => drop(scene.consent(Purpose::OccupationalMedicine).await),
        8 => {
            let secretly = AuthorizeProfessionalRequest {
                secret: true,
                ..scene.authorization(actor::PHYSICIAN)
            };
            drop(scene.authorize_with(&holder, secretly).await);
        }
        9 => drop(scene.oppose(&holder, OppositionKind::SecretActs).await),
        _ => {
            let listed = scene.professionals(&holder, false).await.unwrap();
            for entry in listed.iter().take(1) {
                drop(scene.revoke(&holder, &entry.authorization_id).await);
                drop(scene.unblock(&holder, &entry.authorization_id).await);
                drop(scene.end_treating(&holder, &entry.authorization_id).await);
            }
        }
    }
}

/// Issue of the house: any past decision replayable, byte-identical, whatever was said after it.
async fn a_decision_is_made_again_byte_for_byte(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let actors = [
        scene.holder(),
        scene.physician(),
        actor::professional(actor::PHYSICIAN, "80", ""),
        actor::professional(actor::OTHER_PHYSICIAN, "10", "SM59"),
        actor::professional(actor::PHYSICIAN, "10", "SM25"),
        actor::representative("parent"),
        actor::establishment_system(),
        actor::excluded_party(),
    ];
    let choices: [u8; 32] = scene.bench.random.bytes();
    let mut decisions = Vec::new();
    for (step, choice) in choices.into_iter().enumerate() {
        something_is_said(&scene, choice).await;
        // Terms run out on the way.
        scene
            .bench
            .time
            .advance(SignedDuration::from_hours(24 * i64::from(choice % 20)));
        let claims = &actors[step % actors.len()];
        let another = MODES[usize::from(choice) % MODES.len()];
        for (operation, mode) in OPERATIONS
            .iter()
            .flat_map(|operation| [(*operation, AccessMode::Normal), (*operation, another)])
        {
            let mut asked = scene.asking(operation, mode);
            if let Some(context) = &mut asked.context {
                context.secret_connection = choice % 2 == 0;
            }
            let decision = scene.ask(claims, asked).await.unwrap();
            decisions.push((claims, operation, decision));
        }
    }
    let revisions: std::collections::BTreeSet<i64> = decisions.iter().map(|(_, _, made)| made.revision).collect();
    let open = decisions.iter().filter(|(_, _, made)| granted(made)).count();
    assert!(
        revisions.len() > 8 && open > 16 && open < decisions.len() - 16,
        "{revisions:?}, {open} of {} open",
        decisions.len()
    );
    for (claims, operation, decision) in &decisions {
        let request = scene.again(claims, *operation, decision);
        let replayed = scene.replay(&actor::auditor(), request).await.unwrap();
        assert_eq!(replayed.encode_to_vec(), decision.encode_to_vec());
    }
    // The facts have moved on meanwhile: decided today, some of them would differ.
    let mut differ = 0;
    for (claims, operation, decision) in &decisions {
        let today = scene
            .ask(claims, scene.asking(*operation, decision.mode()))
            .await
            .unwrap();
        differ += usize::from(today.outcome != decision.outcome);
    }
    assert!(differ > 0);
}

async fn a_decision_before_the_first_fact_is_made_again(bench: Bench) {
    let scene = Scene::new(bench).await;
    let asked = scene.asking(Operation::ReadDocuments, AccessMode::Normal);
    let decision = scene.ask(&scene.physician(), asked).await.unwrap();
    assert_eq!(decision.revision, 0);
    scene.consent(Purpose::Creation).await.unwrap();
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let again = || scene.again(&scene.physician(), Operation::ReadDocuments, &decision);
    assert_eq!(scene.replay(&scene.physician(), again()).await.unwrap(), decision);
    let wrong = ReplayDecisionRequest {
        matrix_version: "1999-1".into(),
        ..again()
    };
    let refusal = scene.replay(&scene.holder(), wrong).await.unwrap_err();
    assert!(refusal.has_field("matrix_version", "UNKNOWN_VALUE"));
    let unmade = ReplayDecisionRequest { revision: 3, ..again() };
    let refusal = scene.replay(&scene.holder(), unmade).await.unwrap_err();
    assert!(refusal.has_field("revision", "NOT_MADE"));
    let empty = scene
        .replay(&scene.holder(), ReplayDecisionRequest::default())
        .await
        .unwrap_err();
    assert_eq!(empty.fields.len(), 5);
    assert_refused(
        scene.replay(&actor::physician(actor::OTHER_PHYSICIAN), again()).await,
        "default-refuse",
        "L1110-4",
    );
}

// --- Who can read.

async fn readers(scene: &Scene, claims: &Claims, request: ListWhoCanAccessRequest) -> Answer<ListWhoCanAccessResponse> {
    let request = ListWhoCanAccessRequest {
        dmp_id: scene.dmp_id.clone(),
        ..request
    };
    let request = scene.bench.request(claims, request);
    answer(scene.access().list_who_can_access(request).await)
}

fn entries(parties: &[Party]) -> Vec<(PartyKind, &str, Vec<&str>)> {
    parties
        .iter()
        .map(|party| {
            let rules = party.bases.iter().map(|basis| basis.rule.as_str()).collect();
            (party.kind(), party.name.as_str(), rules)
        })
        .collect()
}

/// L1111-19: the list of those who may come in; by which rule, until when.
async fn who_can_read_is_listed_with_rules_and_ends(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let given = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    scene.designate(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    scene.authorize(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    scene.authorize_structure(actor::HOSPITAL).await.unwrap();
    let held = scene.register("parent").await.unwrap();
    let listed = readers(&scene, &scene.holder(), ListWhoCanAccessRequest::default())
        .await
        .unwrap();
    let parent = scene.representative("parent");
    assert_eq!(
        entries(&listed.parties),
        [
            (
                PartyKind::Professional,
                actor::PHYSICIAN,
                vec!["authorised-professional"]
            ),
            (
                PartyKind::Professional,
                actor::OTHER_PHYSICIAN,
                vec!["treating-physician", "authorised-professional"]
            ),
            (PartyKind::Structure, actor::HOSPITAL, vec!["authorised-professional"]),
            (PartyKind::Representative, parent.as_str(), vec!["representative-reads"]),
        ]
    );
    let ends: Vec<_> = listed.parties.iter().map(|party| party.valid_until).collect();
    assert_eq!((ends[0], ends[1], ends[3]), (given.valid_until, None, held.valid_until));
    assert_eq!((listed.revision, listed.next_page_token.as_str()), (held.revision, ""));
    // Whom the holder blocks is no longer there.
    scene.block(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    scene.authorize(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    let listed = readers(&scene, &scene.holder(), ListWhoCanAccessRequest::default())
        .await
        .unwrap();
    assert!(listed.parties.iter().all(|party| party.name != actor::OTHER_PHYSICIAN));
    // Nor anybody, once there is no consent.
    scene.withdraw_creation().await;
    let listed = readers(&scene, &scene.holder(), ListWhoCanAccessRequest::default())
        .await
        .unwrap();
    assert_eq!(listed.parties, vec![]);
    let stranger = readers(&scene, &scene.physician(), ListWhoCanAccessRequest::default()).await;
    assert_refused(stranger, "default-refuse", "L1110-4");
}

async fn who_could_read_is_listed_for_the_past_in_pages(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    scene.authorize(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    scene.authorize_structure(actor::HOSPITAL).await.unwrap();
    let then = scene.now();
    scene.bench.time.advance(SignedDuration::from_hours(1));
    scene.withdraw_creation().await;
    scene.bench.time.advance(SignedDuration::from_hours(1));
    let mut token = String::new();
    let mut names = Vec::new();
    loop {
        let request = ListWhoCanAccessRequest {
            moment: Some(time(then)),
            page_size: 1,
            page_token: token,
            ..Default::default()
        };
        let page = readers(&scene, &scene.holder(), request).await.unwrap();
        assert_eq!((page.parties.len(), page.revision), (1, 4));
        names.extend(page.parties.into_iter().map(|party| party.name));
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!(names, [actor::PHYSICIAN, actor::OTHER_PHYSICIAN, actor::HOSPITAL]);
    let late = ListWhoCanAccessRequest {
        moment: Some(scene.later(1)),
        ..Default::default()
    };
    let refusal = readers(&scene, &scene.holder(), late).await.unwrap_err();
    assert!(refusal.has_field("moment", "LATER_THAN_NOW"));
}
