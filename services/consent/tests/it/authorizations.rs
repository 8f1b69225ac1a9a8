//! AuthorizationService.

use api::consent::v1::*;
use jiff::SignedDuration;
use testkit::{Bench, actor};
use tonic::Code;

use crate::scene::{Scene, answer, assert_failed, assert_not_found, assert_not_live, assert_refused, time};

testkit::on_both_engines! {
    an_authorised_professional_comes_in_until_it_is_revoked,
    an_authorisation_lasts_a_year_at_the_most,
    an_authorisation_ends_by_itself_and_can_be_renewed,
    a_repeated_request_is_answered_as_before_even_after_its_term,
    a_structure_lets_in_those_who_act_in_it,
    a_professional_enters_itself_and_nobody_else,
    a_block_ends_what_was_granted_and_its_end_revives_nothing,
    an_authorisation_recorded_during_a_block_does_not_wake_up,
    several_treating_physicians_can_be_designated_and_ended,
    withdrawing_and_giving_consent_again_revives_nothing,
    consent_to_occupational_medicine_given_again_revives_nothing,
    who_may_come_in_is_listed_for_the_person_and_its_treating_physicians,
    professionals_are_listed_in_pages,
    an_entry_is_ended_by_its_own_method,
    every_field_that_is_wrong_is_listed,
}

/// L1111-19.
async fn an_authorised_professional_comes_in_until_it_is_revoked(bench: Bench) {
    let scene = Scene::consented(bench).await;
    assert!(!scene.reads(&scene.physician()).await);
    let given = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert_eq!(
        (given.grantee.as_str(), given.kind()),
        (actor::PHYSICIAN, AuthorizationKind::Authorized)
    );
    assert_eq!(
        (given.recorded_by.as_str(), given.revision, given.ended_at),
        ("holder", 2, None)
    );
    assert!(scene.reads(&scene.physician()).await);
    assert!(!scene.reads(&actor::physician(actor::OTHER_PHYSICIAN)).await);

    scene.bench.time.advance(SignedDuration::from_secs(1));
    let revoked = scene.revoke(&scene.holder(), &given.authorization_id).await.unwrap();
    assert_eq!(
        revoked,
        Authorization {
            ended_at: Some(time(scene.now())),
            revision: 3,
            ..given.clone()
        }
    );
    assert!(!scene.reads(&scene.physician()).await);
    assert_eq!(scene.state(&scene.physician()).await, AuthorizationState::Absent);
    assert_not_live(scene.revoke(&scene.holder(), &given.authorization_id).await, "ENDED");
}

/// DMP1: one year.
async fn an_authorisation_lasts_a_year_at_the_most(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let year = "2027-03-02T08:00:00Z".parse().unwrap();
    let given = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert_eq!(given.valid_until, Some(time(year)));
    let until = |until| AuthorizeProfessionalRequest {
        valid_until: Some(time(until)),
        ..scene.authorization(actor::PHYSICIAN)
    };
    let exact = scene.authorize_with(&scene.holder(), until(year)).await.unwrap();
    assert_eq!(exact.valid_until, Some(time(year)));
    let longer = until(year + SignedDuration::from_micros(1));
    assert!(
        scene
            .authorize_with(&scene.holder(), longer)
            .await
            .unwrap_err()
            .has_field("valid_until", "TOO_LONG")
    );
    let past = scene
        .authorize_with(&scene.holder(), until(scene.now()))
        .await
        .unwrap_err();
    assert!(past.has_field("valid_until", "NOT_IN_THE_FUTURE"));
}

/// TD 0.2: EXPIRE; DMP1: renewable.
async fn an_authorisation_ends_by_itself_and_can_be_renewed(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let request = AuthorizeProfessionalRequest {
        valid_until: Some(scene.later(1)),
        ..scene.authorization(actor::PHYSICIAN)
    };
    let first = scene.authorize_with(&scene.holder(), request).await.unwrap();
    scene
        .bench
        .time
        .advance(SignedDuration::from_hours(1) - SignedDuration::from_micros(1));
    assert_eq!(scene.state(&scene.physician()).await, AuthorizationState::Valid);
    scene.bench.time.advance(SignedDuration::from_micros(1));
    assert_eq!(scene.state(&scene.physician()).await, AuthorizationState::Expired);
    assert!(!scene.reads(&scene.physician()).await);
    assert_not_live(scene.revoke(&scene.holder(), &first.authorization_id).await, "EXPIRED");
    assert_eq!(scene.professionals(&scene.holder(), false).await.unwrap(), vec![]);

    let second = scene.authorize(&scene.physician(), actor::PHYSICIAN).await.unwrap();
    assert_eq!(second.revision, first.revision + 1);
    assert!(scene.reads(&scene.physician()).await);
    let listed = scene.professionals(&scene.holder(), true).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0], listed[1].ended_at), (&second, Some(time(scene.now()))));
}

/// AIP-155: what was answered is answered again, whatever the clock says now.
async fn a_repeated_request_is_answered_as_before_even_after_its_term(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let request = AuthorizeProfessionalRequest {
        valid_until: Some(scene.later(1)),
        ..scene.authorization(actor::PHYSICIAN)
    };
    let first = scene.authorize_with(&scene.holder(), request.clone()).await.unwrap();
    scene.bench.time.advance(SignedDuration::from_hours(2));
    assert_eq!(scene.authorize_with(&scene.holder(), request).await.unwrap(), first);
    assert_eq!(scene.state(&scene.physician()).await, AuthorizationState::Expired);
}

/// L1110-4, older text: information is entrusted to the whole team of an establishment.
async fn a_structure_lets_in_those_who_act_in_it(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let given = scene.authorize_structure(actor::HOSPITAL).await.unwrap();
    assert_eq!(given.grantee, actor::HOSPITAL);
    assert!(scene.reads(&scene.physician()).await);
    let mut elsewhere = scene.physician();
    elsewhere.structure = String::new();
    assert!(!scene.reads(&elsewhere).await);
    // Its system acts there too, and never reads.
    assert!(!scene.reads(&actor::establishment_system()).await);
    scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert!(!scene.reads(&scene.physician()).await);
    assert!(scene.reads(&actor::physician(actor::OTHER_PHYSICIAN)).await);
}

/// TD 0.3; #35: never silently.
async fn a_professional_enters_itself_and_nobody_else(bench: Bench) {
    let scene = Scene::new(bench).await;
    let physician = scene.physician();
    let without = scene.authorize(&physician, actor::PHYSICIAN).await;
    assert_refused(without, "default-refuse", "L1110-4");
    scene.consent(Purpose::Creation).await.unwrap();
    let own = scene.authorize(&physician, actor::PHYSICIAN).await.unwrap();
    assert_eq!(own.recorded_by, format!("professional:{}", actor::PHYSICIAN));
    assert_eq!(
        scene.professionals(&scene.holder(), false).await.unwrap(),
        vec![own.clone()]
    );

    let refused = [
        scene.authorize(&physician, actor::OTHER_PHYSICIAN).await,
        scene.block(&physician, actor::OTHER_PHYSICIAN).await,
        scene.block(&physician, actor::PHYSICIAN).await,
        scene.designate(&physician, actor::OTHER_PHYSICIAN).await,
        scene
            .revoke(&actor::physician(actor::OTHER_PHYSICIAN), &own.authorization_id)
            .await,
        scene.revoke(&physician, &scene.bench.request_id()).await,
    ];
    for answer in refused {
        assert_refused(answer, "default-refuse", "L1110-4");
    }
    let hospital = AuthorizeProfessionalRequest {
        structure_id: actor::HOSPITAL.into(),
        ..scene.authorization("")
    };
    assert_refused(
        scene.authorize_with(&physician, hospital).await,
        "default-refuse",
        "L1110-4",
    );
    let nurse = actor::professional(actor::OTHER_PHYSICIAN, "60", "");
    assert_refused(
        scene.designate(&nurse, actor::OTHER_PHYSICIAN).await,
        "default-refuse",
        "L1110-4",
    );
    assert_refused(
        scene.authorize(&actor::administrator(), actor::PHYSICIAN).await,
        "default-refuse",
        "L1110-4",
    );
    scene.revoke(&physician, &own.authorization_id).await.unwrap();
    assert!(!scene.reads(&physician).await);
}

/// L1111-19: whatever else holds; and older authorisations do not come back.
async fn a_block_ends_what_was_granted_and_its_end_revives_nothing(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    scene.designate(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let kept = scene.authorize(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    let block = scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert_eq!((block.kind(), block.valid_until), (AuthorizationKind::Blocked, None));
    assert_eq!(scene.state(&scene.physician()).await, AuthorizationState::Blocked);
    assert!(!scene.reads(&scene.physician()).await);
    let again = scene.block(&scene.holder(), actor::PHYSICIAN).await;
    assert_failed(again, Code::AlreadyExists, "ALREADY_EXISTS");
    assert_eq!(
        scene.professionals(&scene.holder(), false).await.unwrap(),
        vec![block.clone(), kept]
    );
    let ended = scene.professionals(&scene.holder(), true).await.unwrap();
    let at_once = ended
        .iter()
        .filter(|entry| entry.ended_at.is_some() && entry.revision == block.revision)
        .count();
    assert_eq!(at_once, 2);

    let by_itself = scene.unblock(&scene.physician(), &block.authorization_id).await;
    assert_refused(by_itself, "blocked-professional", "L1111-19");
    scene.unblock(&scene.holder(), &block.authorization_id).await.unwrap();
    assert_eq!(scene.state(&scene.physician()).await, AuthorizationState::Absent);
    assert!(!scene.reads(&scene.physician()).await);
}

/// A blocked professional stays refused whatever is authorised, and unblocking is not authorising.
async fn an_authorisation_recorded_during_a_block_does_not_wake_up(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let block = scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    scene.designate(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert!(!scene.reads(&scene.physician()).await);
    let itself = scene.authorize(&scene.physician(), actor::PHYSICIAN).await;
    assert_refused(itself, "blocked-professional", "L1111-19");
    scene.unblock(&scene.holder(), &block.authorization_id).await.unwrap();
    assert!(!scene.reads(&scene.physician()).await);
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert!(scene.reads(&scene.physician()).await);
}

/// R1111-38; "MT": several per record.
async fn several_treating_physicians_can_be_designated_and_ended(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let other = actor::physician(actor::OTHER_PHYSICIAN);
    let first = scene.designate(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let second = scene.designate(&other, actor::OTHER_PHYSICIAN).await.unwrap();
    assert_eq!(
        (first.kind(), first.valid_until),
        (AuthorizationKind::TreatingPhysician, None)
    );
    assert_failed(
        scene.designate(&other, actor::OTHER_PHYSICIAN).await,
        Code::AlreadyExists,
        "ALREADY_EXISTS",
    );
    assert!(scene.reads(&scene.physician()).await && scene.reads(&other).await);
    let foreign = scene.end_treating(&scene.physician(), &second.authorization_id).await;
    assert_refused(foreign, "default-refuse", "L1110-4");
    scene.end_treating(&other, &second.authorization_id).await.unwrap();
    scene
        .end_treating(&scene.holder(), &first.authorization_id)
        .await
        .unwrap();
    assert!(!scene.reads(&scene.physician()).await && !scene.reads(&other).await);
}

/// EX_1.2-1030: reactivation needs fresh consent, and fresh consent revives no older grant; blocks and oppositions stay.
async fn withdrawing_and_giving_consent_again_revives_nothing(bench: Bench) {
    let scene = Scene::new(bench).await;
    for grants in 1..8_u8 {
        scene.consent(Purpose::Creation).await.unwrap();
        if grants & 1 != 0 {
            scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
        }
        if grants & 2 != 0 {
            scene.authorize_structure(actor::HOSPITAL).await.unwrap();
        }
        if grants & 4 != 0 {
            scene.designate(&scene.physician(), actor::PHYSICIAN).await.unwrap();
        }
        assert!(scene.reads(&scene.physician()).await, "{grants}");
        let withdrawn = scene.withdraw_creation().await;
        assert!(!scene.reads(&scene.physician()).await, "{grants}");
        let entries = scene.professionals(&scene.holder(), true).await.unwrap();
        let ended = entries
            .iter()
            .filter(|entry| entry.revision == withdrawn.revision)
            .count();
        assert_eq!(ended, grants.count_ones() as usize);
        scene.consent(Purpose::Creation).await.unwrap();
        assert!(!scene.reads(&scene.physician()).await, "{grants}");
        assert_eq!(scene.state(&scene.physician()).await, AuthorizationState::Absent);
        scene.withdraw_creation().await;
    }
    scene.consent(Purpose::Creation).await.unwrap();
    scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    scene.oppose(&scene.holder(), OppositionKind::BreakGlass).await.unwrap();
    scene.withdraw_creation().await;
    scene.consent(Purpose::Creation).await.unwrap();
    assert_eq!(scene.state(&scene.physician()).await, AuthorizationState::Blocked);
    let again = scene.oppose(&scene.holder(), OppositionKind::BreakGlass).await;
    assert_failed(again, Code::AlreadyExists, "ALREADY_EXISTS");
}

/// L1111-18 (2016), L1111-17 IV (today).
async fn consent_to_occupational_medicine_given_again_revives_nothing(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let occupational = actor::professional(actor::PHYSICIAN, "10", "SM25");
    let itself = scene.authorize(&occupational, actor::PHYSICIAN).await;
    assert_refused(itself, "occupational-medicine", "L1111-18, L1111-17 IV");
    for _ in 0..2 {
        let consent = scene.consent(Purpose::OccupationalMedicine).await.unwrap();
        assert!(!scene.reads(&occupational).await);
        scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
        assert!(scene.reads(&occupational).await);
        scene.withdraw(&scene.holder(), &consent.consent_id).await.unwrap();
        assert!(!scene.reads(&occupational).await);
    }
}

/// L1111-19; TD 1.6.
async fn who_may_come_in_is_listed_for_the_person_and_its_treating_physicians(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    scene.register("parent").await.unwrap();
    assert_refused(
        scene.professionals(&scene.physician(), false).await,
        "default-refuse",
        "L1110-4",
    );
    let administrator = scene.professionals(&actor::administrator(), false).await;
    assert_refused(administrator, "administrator-never-content", "L1111-14");
    scene.designate(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    for claims in [scene.holder(), actor::representative("parent"), scene.physician()] {
        assert_eq!(scene.professionals(&claims, false).await.unwrap().len(), 2);
    }
    let request = ListProfessionalsRequest {
        dmp_id: scene.dmp_id.clone(),
        kind: AuthorizationKind::TreatingPhysician.into(),
        ..Default::default()
    };
    let treating = scene
        .authorizations()
        .list_professionals(scene.bench.request(&scene.holder(), request))
        .await;
    let treating = answer(treating).unwrap().authorizations;
    assert_eq!(
        treating.iter().map(|entry| entry.kind()).collect::<Vec<_>>(),
        [AuthorizationKind::TreatingPhysician]
    );
}

/// AIP-158.
async fn professionals_are_listed_in_pages(bench: Bench) {
    let scene = Scene::consented(bench).await;
    for number in 0..5 {
        scene
            .authorize(&scene.holder(), &format!("8{number:011}"))
            .await
            .unwrap();
    }
    let mut request = ListProfessionalsRequest {
        dmp_id: scene.dmp_id.clone(),
        page_size: 2,
        ..Default::default()
    };
    let mut listed = Vec::new();
    loop {
        let page = scene.bench.request(&scene.holder(), request.clone());
        let page = answer(scene.authorizations().list_professionals(page).await).unwrap();
        assert!(page.authorizations.len() <= 2);
        listed.extend(page.authorizations);
        // What is recorded meanwhile is newer, and moves nothing on the pages to come.
        scene
            .authorize(&scene.holder(), &format!("8{:011}", 100 + listed.len()))
            .await
            .unwrap();
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let grantees: Vec<String> = listed.into_iter().map(|entry| entry.grantee).collect();
    assert_eq!(
        grantees,
        (0..5).rev().map(|number| format!("8{number:011}")).collect::<Vec<_>>()
    );
    let forged = ListProfessionalsRequest {
        page_token: "AAAA".into(),
        ..request
    };
    let forged = answer(
        scene
            .authorizations()
            .list_professionals(scene.bench.request(&scene.holder(), forged))
            .await,
    );
    assert_failed(forged, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
}

/// Unblocking must not end an authorisation by mistake, nor revoking a block.
async fn an_entry_is_ended_by_its_own_method(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let given = scene
        .authorize(&scene.holder(), actor::PHYSICIAN)
        .await
        .unwrap()
        .authorization_id;
    let block = scene
        .block(&scene.holder(), actor::OTHER_PHYSICIAN)
        .await
        .unwrap()
        .authorization_id;
    let consent = scene.consent(Purpose::Hosting).await.unwrap().consent_id;
    for id in [block.as_str(), consent.as_str()] {
        assert_not_found(scene.revoke(&scene.holder(), id).await, "authorization");
    }
    assert_not_found(scene.unblock(&scene.holder(), &given).await, "authorization");
    assert_not_found(scene.end_treating(&scene.holder(), &given).await, "authorization");
}

async fn every_field_that_is_wrong_is_listed(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let wrong = AuthorizeProfessionalRequest {
        request_id: String::new(),
        dmp_id: scene.dmp_id.clone(),
        professional_id: "81".into(),
        structure_id: String::new(),
        valid_until: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        }),
        profession: "11".into(),
        secret: false,
    };
    let refusal = scene.authorize_with(&scene.holder(), wrong).await.unwrap_err();
    let fields: Vec<&str> = refusal.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["request_id", "professional_id", "valid_until", "profession"]);
    let both = AuthorizeProfessionalRequest {
        structure_id: actor::HOSPITAL.into(),
        ..scene.authorization(actor::PHYSICIAN)
    };
    let both = scene.authorize_with(&scene.holder(), both).await.unwrap_err();
    assert!(both.has_field("structure_id", "NOT_EXPECTED"));
    let neither = scene.authorize(&scene.holder(), "").await.unwrap_err();
    assert!(neither.has_field("professional_id", "WRONG_LENGTH"));
    assert!(
        scene
            .block(&scene.holder(), "")
            .await
            .unwrap_err()
            .has_field("professional_id", "WRONG_LENGTH")
    );
    assert!(
        scene
            .revoke(&scene.holder(), "x")
            .await
            .unwrap_err()
            .has_field("authorization_id", "NOT_A_UUID")
    );
    let request = ListProfessionalsRequest {
        dmp_id: scene.dmp_id.clone(),
        kind: 9,
        page_size: -1,
        ..Default::default()
    };
    let listed = answer(
        scene
            .authorizations()
            .list_professionals(scene.bench.request(&scene.holder(), request))
            .await,
    );
    assert_eq!(listed.unwrap_err().fields.len(), 2);
}
