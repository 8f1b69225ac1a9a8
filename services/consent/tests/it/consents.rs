//! ConsentService.

use api::consent::v1::*;
use jiff::SignedDuration;
use std::collections::BTreeSet;
use testkit::{Bench, actor};
use tonic::Code;

use crate::scene::{Answer, Scene, answer, assert_failed, assert_not_found, assert_not_live, assert_refused, time};

testkit::on_both_engines! {
    a_consent_is_recorded_read_and_withdrawn,
    a_repeated_request_is_answered_as_before,
    a_second_live_consent_for_a_purpose_is_refused,
    each_purpose_is_given_and_withdrawn_by_itself,
    revisions_rise_strictly_and_a_refusal_uses_none,
    concurrent_writes_on_one_dossier_have_revisions_of_their_own,
    of_concurrent_consents_to_one_purpose_one_is_recorded,
    whoever_collects_a_consent_is_named,
    who_has_no_part_records_nothing,
    only_the_person_withdraws,
    a_representatives_consent_rests_on_a_live_representation,
    who_speaks_for_the_person_alone_reads_consents,
    consents_are_listed_newest_first_in_pages,
    the_two_oppositions_are_recorded_and_withdrawn_apart,
    every_field_that_is_wrong_is_listed,
    mode_capacity_and_evidence_must_fit_together,
}

/// L1111-14, third sentence: an express consent, naming giver and capacity; withdrawn at any time.
async fn a_consent_is_recorded_read_and_withdrawn(bench: Bench) {
    let scene = Scene::new(bench).await;
    let recorded = scene.consent(Purpose::Creation).await.unwrap();
    let asked = scene.online(Purpose::Creation);
    assert_eq!(recorded.dmp_id, scene.dmp_id);
    assert_eq!((recorded.purpose, recorded.mode), (asked.purpose, asked.mode));
    assert_eq!((&recorded.giver, &recorded.evidence), (&asked.giver, &asked.evidence));
    assert_eq!((recorded.collector.as_str(), recorded.revision), ("", 1));
    assert_eq!(
        (recorded.recorded_at, recorded.withdrawn_at),
        (Some(time(scene.now())), None)
    );
    assert_eq!(
        get(&scene, &scene.holder(), &recorded.consent_id).await.unwrap(),
        recorded
    );

    scene.bench.time.advance(SignedDuration::from_secs(5));
    let withdrawn = scene.withdraw(&scene.holder(), &recorded.consent_id).await.unwrap();
    let expected = Consent {
        withdrawn_at: Some(time(scene.now())),
        revision: 2,
        receipt: withdrawn.receipt.clone(),
        ..recorded.clone()
    };
    assert_eq!(withdrawn, expected);
    assert_eq!(
        get(&scene, &scene.holder(), &recorded.consent_id).await.unwrap(),
        expected
    );
    assert_not_live(scene.withdraw(&scene.holder(), &recorded.consent_id).await, "ENDED");
}

pub(crate) async fn get(scene: &Scene, claims: &serve::Claims, consent_id: &str) -> Answer<Consent> {
    let request = GetConsentRequest {
        dmp_id: scene.dmp_id.clone(),
        consent_id: consent_id.to_owned(),
    };
    answer(scene.consents().get_consent(scene.bench.request(claims, request)).await)
}

/// AIP-155.
async fn a_repeated_request_is_answered_as_before(bench: Bench) {
    let scene = Scene::new(bench).await;
    let request = scene.online(Purpose::Creation);
    let first = scene.record(&scene.holder(), request.clone()).await.unwrap();
    scene.bench.time.advance(SignedDuration::from_secs(60));
    assert_eq!(scene.record(&scene.holder(), request.clone()).await.unwrap(), first);
    // Even when the consent has been withdrawn meanwhile: it is the answer of then.
    scene.withdraw(&scene.holder(), &first.consent_id).await.unwrap();
    assert_eq!(scene.record(&scene.holder(), request.clone()).await.unwrap(), first);
    let other = RecordConsentRequest {
        purpose: Purpose::Hosting.into(),
        ..request
    };
    assert_failed(
        scene.record(&scene.holder(), other).await,
        Code::InvalidArgument,
        "REQUEST_ID_REUSED",
    );
    assert_eq!(scene.consent(Purpose::Creation).await.unwrap().revision, 3);
}

async fn a_second_live_consent_for_a_purpose_is_refused(bench: Bench) {
    let scene = Scene::new(bench).await;
    let first = scene.consent(Purpose::Creation).await.unwrap();
    let refusal = assert_failed(
        scene.consent(Purpose::Creation).await,
        Code::AlreadyExists,
        "ALREADY_EXISTS",
    );
    assert_eq!(refusal.metadata["resource"], "consent");
    assert_eq!(refusal.metadata["existing"], first.consent_id);
    // A collector may not read consents, so it is not told which one.
    let collected = scene
        .record(&scene.physician(), scene.collected(Purpose::Creation))
        .await;
    let refusal = assert_failed(collected, Code::AlreadyExists, "ALREADY_EXISTS");
    assert_eq!(refusal.metadata.get("existing"), None);
    scene.withdraw(&scene.holder(), &first.consent_id).await.unwrap();
    assert_ne!(
        scene.consent(Purpose::Creation).await.unwrap().consent_id,
        first.consent_id
    );
}

async fn each_purpose_is_given_and_withdrawn_by_itself(bench: Bench) {
    let scene = Scene::new(bench).await;
    let purposes = [
        Purpose::Creation,
        Purpose::Hosting,
        Purpose::Feeding,
        Purpose::OccupationalMedicine,
        Purpose::OutsideCareTeam,
    ];
    let mut given = Vec::new();
    for purpose in purposes {
        given.push(scene.consent(purpose).await.unwrap());
    }
    scene.withdraw(&scene.holder(), &given[0].consent_id).await.unwrap();
    let live: Vec<i32> = list(&scene, false)
        .await
        .iter()
        .map(|consent| consent.purpose)
        .collect();
    let expected: Vec<i32> = purposes[1..].iter().rev().map(|purpose| i32::from(*purpose)).collect();
    assert_eq!(live, expected);
}

async fn list(scene: &Scene, show_withdrawn: bool) -> Vec<Consent> {
    let request = ListConsentsRequest {
        dmp_id: scene.dmp_id.clone(),
        show_withdrawn,
        ..Default::default()
    };
    let listed = scene
        .consents()
        .list_consents(scene.bench.request(&scene.holder(), request))
        .await;
    answer(listed).unwrap().consents
}

/// Design §6: a total order per person; what changed nothing leaves no trace in it.
async fn revisions_rise_strictly_and_a_refusal_uses_none(bench: Bench) {
    let scene = Scene::new(bench).await;
    let first = scene.consent(Purpose::Creation).await.unwrap().revision;
    scene.consent(Purpose::Creation).await.unwrap_err();
    scene
        .record(&actor::auditor(), scene.collected(Purpose::Hosting))
        .await
        .unwrap_err();
    scene
        .withdraw(&scene.physician(), &scene.bench.request_id())
        .await
        .unwrap_err();
    let second = scene
        .authorize(&scene.holder(), actor::PHYSICIAN)
        .await
        .unwrap()
        .revision;
    let third = scene
        .oppose(&scene.holder(), OppositionKind::BreakGlass)
        .await
        .unwrap()
        .revision;
    let fourth = scene.register("parent").await.unwrap().revision;
    assert_eq!([first, second, third, fourth], [1, 2, 3, 4]);
}

async fn concurrent_writes_on_one_dossier_have_revisions_of_their_own(bench: Bench) {
    let scene = std::sync::Arc::new(Scene::consented(bench).await);
    let writes = (0..32).map(|number| {
        let scene = scene.clone();
        tokio::spawn(async move {
            let professional = format!("8{number:011}");
            scene.authorize(&scene.holder(), &professional).await.unwrap().revision
        })
    });
    let mut revisions = BTreeSet::new();
    for write in writes.collect::<Vec<_>>() {
        revisions.insert(write.await.unwrap());
    }
    assert_eq!(revisions, (2..34).collect());
    assert_eq!(scene.professionals(&scene.holder(), false).await.unwrap().len(), 32);
}

async fn of_concurrent_consents_to_one_purpose_one_is_recorded(bench: Bench) {
    let scene = std::sync::Arc::new(Scene::new(bench).await);
    let writes = (0..16).map(|_| {
        let scene = scene.clone();
        tokio::spawn(async move { scene.consent(Purpose::Creation).await })
    });
    let mut recorded = 0;
    for write in writes.collect::<Vec<_>>() {
        match write.await.unwrap() {
            Ok(_) => recorded += 1,
            Err(refusal) => assert_eq!(refusal.reason, "ALREADY_EXISTS"),
        }
    }
    assert_eq!((recorded, list(&scene, true).await.len()), (1, 1));
}

/// EX_1.1-1010: the creator ticks "consent collected", and the tick is kept with who ticked.
async fn whoever_collects_a_consent_is_named(bench: Bench) {
    let scene = Scene::new(bench).await;
    let collectors = [
        (
            scene.physician(),
            Purpose::Creation,
            format!("professional:{}", actor::PHYSICIAN),
        ),
        (
            actor::establishment_system(),
            Purpose::Hosting,
            format!("establishment_system:{}", actor::HOSPITAL),
        ),
        (
            actor::administrator(),
            Purpose::Feeding,
            "administrator:administrator".to_owned(),
        ),
    ];
    for (collector, purpose, name) in collectors {
        let consent = scene.record(&collector, scene.collected(purpose)).await.unwrap();
        assert_eq!(consent.collector, name);
    }
    let written = RecordConsentRequest {
        mode: ConsentMode::Written.into(),
        evidence: Some(Evidence {
            kind: "signed-form".into(),
            sha256: vec![1; 32],
        }),
        ..scene.collected(Purpose::OccupationalMedicine)
    };
    scene.record(&actor::administrator(), written).await.unwrap();
}

/// L1111-18, L1110-4, L1111-19.
async fn who_has_no_part_records_nothing(bench: Bench) {
    let scene = Scene::new(bench).await;
    let collected = || scene.collected(Purpose::Creation);
    assert_refused(
        scene.record(&actor::excluded_party(), collected()).await,
        "excluded-party",
        "L1111-18",
    );
    assert_refused(
        scene.record(&actor::auditor(), collected()).await,
        "auditor-never-content",
        "L1110-4",
    );
    let stranger = actor::holder(&scene.another_dossier());
    let online = scene.online(Purpose::Creation);
    assert_refused(scene.record(&stranger, online).await, "default-refuse", "L1110-4");
    scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert_refused(
        scene.record(&scene.physician(), collected()).await,
        "blocked-professional",
        "L1111-19",
    );
    let request = scene.bench.service_request("dossier", None, collected());
    let refusal = assert_failed(
        answer(scene.consents().record_consent(request).await),
        Code::PermissionDenied,
        "ROLE_FORBIDDEN",
    );
    assert_eq!(refusal.metadata["role"], "SERVICE");
    assert_eq!(list(&scene, true).await, vec![]);
}

/// L1111-14: given by the person, withdrawn by the person.
async fn only_the_person_withdraws(bench: Bench) {
    let scene = Scene::new(bench).await;
    let consent = scene
        .record(&scene.physician(), scene.collected(Purpose::Creation))
        .await
        .unwrap();
    scene.register("parent").await.unwrap();
    for claims in [scene.physician(), actor::administrator(), actor::establishment_system()] {
        assert_refused(
            scene.withdraw(&claims, &consent.consent_id).await,
            "default-refuse",
            "L1110-4",
        );
    }
    let nobody = actor::representative("nobody");
    assert_refused(
        scene.withdraw(&nobody, &consent.consent_id).await,
        "representation-not-live",
        "L1111-14",
    );
    let opposition = scene
        .oppose(&scene.physician(), OppositionKind::Centre15)
        .await
        .unwrap();
    assert_not_found(
        scene.withdraw(&scene.holder(), &opposition.opposition_id).await,
        "consent",
    );
    assert_not_found(
        scene.withdraw(&scene.holder(), &scene.bench.request_id()).await,
        "consent",
    );
    scene
        .withdraw(&actor::representative("parent"), &consent.consent_id)
        .await
        .unwrap();
}

/// L1111-14, third sentence: "ou de son représentant légal".
async fn a_representatives_consent_rests_on_a_live_representation(bench: Bench) {
    let scene = Scene::new(bench).await;
    let (parent, other) = (
        scene.register("parent").await.unwrap(),
        scene.register("other").await.unwrap(),
    );
    let by = |representation: &str, capacity: Capacity, request: RecordConsentRequest| RecordConsentRequest {
        giver: Some(Giver {
            capacity: capacity.into(),
            representation_id: representation.to_owned(),
        }),
        ..request
    };
    let (claims, own) = (actor::representative("parent"), parent.representation_id.as_str());
    let online = |representation: &str, capacity| by(representation, capacity, scene.online(Purpose::Creation));

    assert_not_found(
        scene
            .record(&claims, online(&other.representation_id, Capacity::Parent))
            .await,
        "representation",
    );
    assert_not_found(
        scene
            .record(&claims, online(&scene.bench.request_id(), Capacity::Parent))
            .await,
        "representation",
    );
    let guardian = scene.record(&claims, online(own, Capacity::Guardian)).await;
    let refusal = assert_failed(guardian, Code::InvalidArgument, "INVALID_FIELDS");
    assert!(refusal.has_field("giver.capacity", "NOT_THE_REPRESENTATIONS"));
    let consent = scene.record(&claims, online(own, Capacity::Parent)).await.unwrap();
    assert_eq!(consent.giver.unwrap().representation_id, own);
    assert_eq!(consent.collector, "");

    // A desk collects from a parent, whose representation must hold all the same.
    let collected = |purpose| by(own, Capacity::Parent, scene.collected(purpose));
    scene
        .record(&actor::administrator(), collected(Purpose::Hosting))
        .await
        .unwrap();
    scene.bench.time.advance(SignedDuration::from_hours(24 * 100));
    let late = scene.record(&actor::administrator(), collected(Purpose::Feeding)).await;
    assert_not_live(late, "EXPIRED");
    assert_refused(
        scene
            .record(&claims, by(own, Capacity::Parent, scene.online(Purpose::Feeding)))
            .await,
        "representation-not-live",
        "L1111-14",
    );
}

/// L1111-19: what was said is the person's to read.
async fn who_speaks_for_the_person_alone_reads_consents(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let id = list(&scene, false).await[0].consent_id.clone();
    scene.register("parent").await.unwrap();
    get(&scene, &actor::representative("parent"), &id).await.unwrap();
    assert_refused(get(&scene, &scene.physician(), &id).await, "default-refuse", "L1110-4");
    assert_refused(
        get(&scene, &actor::administrator(), &id).await,
        "administrator-never-content",
        "L1111-14",
    );
    assert_not_found(get(&scene, &scene.holder(), &scene.bench.request_id()).await, "consent");
    let request = ListConsentsRequest {
        dmp_id: scene.another_dossier(),
        ..Default::default()
    };
    let listed = answer(
        scene
            .consents()
            .list_consents(scene.bench.request(&scene.holder(), request))
            .await,
    );
    assert_refused(listed, "default-refuse", "L1110-4");
}

/// AIP-158.
async fn consents_are_listed_newest_first_in_pages(bench: Bench) {
    let scene = Scene::new(bench).await;
    for _ in 0..4 {
        let consent = scene.consent(Purpose::Hosting).await.unwrap();
        scene.withdraw(&scene.holder(), &consent.consent_id).await.unwrap();
    }
    scene.consent(Purpose::Hosting).await.unwrap();
    let first = ListConsentsRequest {
        dmp_id: scene.dmp_id.clone(),
        page_size: 2,
        show_withdrawn: true,
        page_token: String::new(),
    };
    let (mut request, mut listed, mut pages) = (first.clone(), Vec::new(), 0);
    loop {
        let page = scene
            .consents()
            .list_consents(scene.bench.request(&scene.holder(), request.clone()))
            .await;
        let page = answer(page).unwrap();
        listed.extend(page.consents);
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!((pages, listed.len()), (3, 5));
    assert_eq!(listed, list(&scene, true).await);
    assert!(listed.is_sorted_by_key(|consent| std::cmp::Reverse(consent.revision)));
    assert_eq!(list(&scene, false).await.len(), 1);

    let other = ListConsentsRequest {
        show_withdrawn: false,
        ..request
    };
    let refused = answer(
        scene
            .consents()
            .list_consents(scene.bench.request(&scene.holder(), other))
            .await,
    );
    assert_failed(refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let negative = ListConsentsRequest { page_size: -1, ..first };
    let refused = answer(
        scene
            .consents()
            .list_consents(scene.bench.request(&scene.holder(), negative))
            .await,
    );
    assert!(refused.unwrap_err().has_field("page_size", "NEGATIVE"));
}

/// L1111-17 I: two oppositions, independent; TD 1.1: a collector records them with the consent.
async fn the_two_oppositions_are_recorded_and_withdrawn_apart(bench: Bench) {
    let scene = Scene::new(bench).await;
    let break_glass = scene
        .oppose(&scene.physician(), OppositionKind::BreakGlass)
        .await
        .unwrap();
    let centre_15 = scene.oppose(&scene.holder(), OppositionKind::Centre15).await.unwrap();
    assert_eq!((break_glass.revision, centre_15.revision), (1, 2));
    assert_eq!(
        (break_glass.kind(), break_glass.withdrawn_at),
        (OppositionKind::BreakGlass, None)
    );
    let again = scene.oppose(&scene.holder(), OppositionKind::BreakGlass).await;
    assert_failed(again, Code::AlreadyExists, "ALREADY_EXISTS");
    let by_physician = scene
        .withdraw_opposition(&scene.physician(), &break_glass.opposition_id)
        .await;
    assert_refused(by_physician, "default-refuse", "L1110-4");
    let withdrawn = scene
        .withdraw_opposition(&scene.holder(), &break_glass.opposition_id)
        .await
        .unwrap();
    assert_eq!(
        (withdrawn.withdrawn_at, withdrawn.revision),
        (Some(time(scene.now())), 3)
    );
    assert_not_live(
        scene
            .withdraw_opposition(&scene.holder(), &break_glass.opposition_id)
            .await,
        "ENDED",
    );
    scene.oppose(&scene.holder(), OppositionKind::BreakGlass).await.unwrap();
    assert_failed(
        scene.oppose(&scene.holder(), OppositionKind::Centre15).await,
        Code::AlreadyExists,
        "ALREADY_EXISTS",
    );
}

async fn every_field_that_is_wrong_is_listed(bench: Bench) {
    let scene = Scene::new(bench).await;
    let wrong = RecordConsentRequest {
        request_id: "1".into(),
        dmp_id: "12345678901234567890".into(),
        purpose: 99,
        giver: None,
        mode: 0,
        evidence: Some(Evidence {
            kind: "x".repeat(65),
            sha256: vec![1; 31],
        }),
    };
    let refusal = assert_failed(
        scene.record(&scene.holder(), wrong).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
    );
    let fields = [
        "request_id",
        "dmp_id",
        "purpose",
        "mode",
        "giver",
        "evidence.kind",
        "evidence.sha256",
    ];
    assert_eq!(
        refusal
            .fields
            .iter()
            .map(|(field, _)| field.as_str())
            .collect::<Vec<_>>(),
        fields
    );
    let empty = scene.withdraw(&scene.holder(), "").await.unwrap_err();
    assert!(empty.has_field("consent_id", "NOT_A_UUID"));
}

/// Who speaks for the person does so online, in its own capacity; a collector says how it knows.
async fn mode_capacity_and_evidence_must_fit_together(bench: Bench) {
    let scene = Scene::new(bench).await;
    let refused = async |claims: &serve::Claims, request| scene.record(claims, request).await.unwrap_err();
    let online = || scene.online(Purpose::Creation);
    let written = RecordConsentRequest {
        mode: ConsentMode::Written.into(),
        ..online()
    };
    assert!(
        refused(&scene.holder(), written)
            .await
            .has_field("mode", "NOT_THE_CALLERS")
    );
    assert!(
        refused(&scene.physician(), online())
            .await
            .has_field("mode", "NOT_THE_CALLERS")
    );
    let unproved = RecordConsentRequest {
        evidence: Some(Evidence {
            kind: "online-session".into(),
            sha256: vec![],
        }),
        ..online()
    };
    assert!(
        refused(&scene.holder(), unproved)
            .await
            .has_field("evidence.sha256", "REQUIRED")
    );
    let giver = |capacity: Capacity, id: &str| {
        Some(Giver {
            capacity: capacity.into(),
            representation_id: id.to_owned(),
        })
    };
    let id = scene.bench.request_id();
    let parent = RecordConsentRequest {
        giver: giver(Capacity::Parent, &id),
        ..online()
    };
    assert!(
        refused(&scene.holder(), parent)
            .await
            .has_field("giver.capacity", "NOT_THE_CALLERS")
    );
    let person = RecordConsentRequest {
        giver: giver(Capacity::Person, ""),
        ..online()
    };
    let claims = actor::representative("parent");
    assert!(
        refused(&claims, person)
            .await
            .has_field("giver.capacity", "NOT_THE_CALLERS")
    );
    let named = RecordConsentRequest {
        giver: giver(Capacity::Person, &id),
        ..online()
    };
    assert!(
        refused(&scene.holder(), named)
            .await
            .has_field("giver.representation_id", "NOT_EXPECTED")
    );
    let unnamed = RecordConsentRequest {
        giver: giver(Capacity::Guardian, ""),
        ..scene.collected(Purpose::Creation)
    };
    assert!(
        refused(&scene.physician(), unnamed)
            .await
            .has_field("giver.representation_id", "NOT_A_UUID")
    );
    let assisted = RecordConsentRequest {
        giver: giver(Capacity::AssistedPerson, ""),
        ..online()
    };
    scene.record(&scene.holder(), assisted).await.unwrap();
}
