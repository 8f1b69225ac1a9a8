//! RepresentationService.

use api::consent::v1::*;
use jiff::SignedDuration;
use serve::Claims;
use testkit::{Bench, actor};
use tonic::Code;

use crate::scene::{Answer, Scene, answer, assert_failed, assert_not_found, assert_not_live, assert_refused, time};

testkit::on_both_engines! {
    a_representative_speaks_for_the_person_until_majority,
    a_representation_is_ended_by_the_desk_or_by_the_representative,
    the_desk_alone_registers_representatives,
    one_live_representation_for_each_representative,
    representations_are_listed_for_those_they_concern,
    every_field_that_is_wrong_is_listed,
}

async fn end(scene: &Scene, claims: &Claims, id: &str) -> Answer<Representation> {
    let request = EndRepresentationRequest {
        request_id: scene.bench.request_id(),
        dmp_id: scene.dmp_id.clone(),
        representation_id: id.to_owned(),
    };
    answer(
        scene
            .representations()
            .end_representation(scene.bench.request(claims, request))
            .await,
    )
}

async fn list(scene: &Scene, claims: &Claims, page_size: i32, token: &str) -> Answer<ListRepresentativesResponse> {
    let request = ListRepresentativesRequest {
        dmp_id: scene.dmp_id.clone(),
        page_size,
        page_token: token.to_owned(),
    };
    answer(
        scene
            .representations()
            .list_representatives(scene.bench.request(claims, request))
            .await,
    )
}

/// Parental authority ends by itself: at its term, whatever the token still says.
async fn a_representative_speaks_for_the_person_until_majority(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let parent = actor::representative("parent");
    assert!(!scene.reads(&parent).await);
    let request = RegisterRepresentativeRequest {
        valid_until: Some(scene.later(10)),
        ..scene.registration("parent")
    };
    let held = scene.register_with(&actor::administrator(), request).await.unwrap();
    assert_eq!(
        (held.capacity(), held.representative.as_str()),
        (Capacity::Parent, scene.representative("parent").as_str())
    );
    assert_eq!(
        (held.revision, held.recorded_at, held.ended_at),
        (2, Some(time(scene.now())), None)
    );
    assert!(scene.reads(&parent).await);
    assert!(!scene.reads(&actor::representative("stranger")).await);
    scene
        .bench
        .time
        .advance(SignedDuration::from_hours(10) - SignedDuration::from_micros(1));
    assert!(scene.reads(&parent).await);
    scene.bench.time.advance(SignedDuration::from_micros(1));
    assert!(!scene.reads(&parent).await);
    assert_not_live(end(&scene, &parent, &held.representation_id).await, "EXPIRED");
}

async fn a_representation_is_ended_by_the_desk_or_by_the_representative(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let (first, second) = (
        scene.register("first").await.unwrap(),
        scene.register("second").await.unwrap(),
    );
    let claims = actor::representative("first");
    assert_not_found(end(&scene, &claims, &second.representation_id).await, "representation");
    let ended = end(&scene, &claims, &first.representation_id).await.unwrap();
    assert_eq!(
        ended,
        Representation {
            ended_at: Some(time(scene.now())),
            revision: 4,
            ..first.clone()
        }
    );
    assert!(!scene.reads(&claims).await);
    assert_not_live(end(&scene, &claims, &first.representation_id).await, "ENDED");
    end(&scene, &actor::administrator(), &second.representation_id)
        .await
        .unwrap();
    let by_holder = end(&scene, &scene.holder(), &second.representation_id).await;
    assert_failed(by_holder, Code::PermissionDenied, "ROLE_FORBIDDEN");
    assert_not_found(
        end(&scene, &actor::administrator(), &scene.bench.request_id()).await,
        "representation",
    );
}

/// The desk has seen the proof; nobody makes itself a representative.
async fn the_desk_alone_registers_representatives(bench: Bench) {
    let scene = Scene::new(bench).await;
    let claims = [
        scene.holder(),
        actor::representative("parent"),
        scene.physician(),
        actor::establishment_system(),
        actor::auditor(),
        actor::excluded_party(),
    ];
    for claims in claims {
        let registered = scene.register_with(&claims, scene.registration("parent")).await;
        assert_failed(registered, Code::PermissionDenied, "ROLE_FORBIDDEN");
    }
}

async fn one_live_representation_for_each_representative(bench: Bench) {
    let scene = Scene::new(bench).await;
    let request = RegisterRepresentativeRequest {
        valid_until: Some(scene.later(1)),
        ..scene.registration("parent")
    };
    let first = scene
        .register_with(&actor::administrator(), request.clone())
        .await
        .unwrap();
    assert_failed(scene.register("parent").await, Code::AlreadyExists, "ALREADY_EXISTS");
    scene.bench.time.advance(SignedDuration::from_hours(1));
    assert_eq!(
        scene.register_with(&actor::administrator(), request).await.unwrap(),
        first
    );
    let second = scene.register("parent").await.unwrap();
    let listed = list(&scene, &actor::administrator(), 0, "")
        .await
        .unwrap()
        .representations;
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0], listed[1].ended_at), (&second, Some(time(scene.now()))));
}

async fn representations_are_listed_for_those_they_concern(bench: Bench) {
    let scene = Scene::new(bench).await;
    for subject in ["one", "two", "three"] {
        scene.register(subject).await.unwrap();
    }
    for claims in [scene.holder(), actor::representative("two"), actor::administrator()] {
        let first = list(&scene, &claims, 2, "").await.unwrap();
        let second = list(&scene, &claims, 2, &first.next_page_token).await.unwrap();
        let all = [first.representations, second.representations].concat();
        let expected = ["three", "two", "one"].map(|subject| scene.representative(subject));
        assert_eq!(
            all.iter().map(|held| held.representative.clone()).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(second.next_page_token, "");
    }
    let stranger = list(&scene, &actor::representative("stranger"), 0, "").await;
    assert_refused(stranger, "representation-not-live", "L1111-14");
    let other = list(&scene, &actor::holder(&scene.another_dossier()), 0, "").await;
    assert_refused(other, "default-refuse", "L1110-4");
    assert_failed(
        list(&scene, &scene.physician(), 0, "").await,
        Code::PermissionDenied,
        "ROLE_FORBIDDEN",
    );
}

async fn every_field_that_is_wrong_is_listed(bench: Bench) {
    let scene = Scene::new(bench).await;
    let wrong = RegisterRepresentativeRequest {
        request_id: "x".into(),
        dmp_id: String::new(),
        representative: "nobody".into(),
        capacity: Capacity::Person.into(),
        valid_until: None,
    };
    let refusal = scene.register_with(&actor::administrator(), wrong).await.unwrap_err();
    let fields: Vec<&str> = refusal.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        ["request_id", "dmp_id", "representative", "capacity", "valid_until"]
    );
    let past = RegisterRepresentativeRequest {
        valid_until: Some(time(scene.now())),
        ..scene.registration("parent")
    };
    let past = scene.register_with(&actor::administrator(), past).await.unwrap_err();
    assert!(past.has_field("valid_until", "NOT_IN_THE_FUTURE"));
    let long = RegisterRepresentativeRequest {
        representative: format!("issuer|{}", "x".repeat(300)),
        ..scene.registration("parent")
    };
    let long = scene.register_with(&actor::administrator(), long).await.unwrap_err();
    assert!(long.has_field("representative", "LENGTH"));
}
