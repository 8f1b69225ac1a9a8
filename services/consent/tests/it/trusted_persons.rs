//! RepresentationService: the trusted person.

use api::consent::v1::*;
use jiff::SignedDuration;
use serve::Claims;
use testkit::{Bench, actor};
use tonic::Code;

use crate::scene::{Answer, Scene, answer, assert_failed, assert_not_found, assert_refused, time};

testkit::on_both_engines! {
    a_trusted_person_is_named_replaced_and_revoked,
    the_holder_alone_names_the_trusted_person,
    who_may_read_documents_is_told_whom_to_ask,
    a_trusted_person_opens_nothing,
    name_and_contact_are_never_kept_in_clear,
    a_repeated_designation_is_answered_as_before,
    a_watch_tells_nothing_of_a_trusted_person,
    every_field_that_is_wrong_is_listed,
}

const NAME: &str = "Zénobie Quatremère";
const CONTACT: &str = "+33 6 39 98 12 34";

fn designation(scene: &Scene) -> DesignateTrustedPersonRequest {
    DesignateTrustedPersonRequest {
        request_id: scene.bench.request_id(),
        dmp_id: scene.dmp_id.clone(),
        name: NAME.into(),
        contact: CONTACT.into(),
        evidence: Some(Evidence {
            kind: "signed-form".into(),
            sha256: vec![3; 32],
        }),
    }
}

async fn designate(scene: &Scene, claims: &Claims, request: DesignateTrustedPersonRequest) -> Answer<TrustedPerson> {
    let request = scene.bench.request(claims, request);
    answer(scene.representations().designate_trusted_person(request).await)
}

async fn revoke(scene: &Scene, claims: &Claims) -> Answer<TrustedPerson> {
    let request = RevokeTrustedPersonRequest {
        request_id: scene.bench.request_id(),
        dmp_id: scene.dmp_id.clone(),
    };
    let request = scene.bench.request(claims, request);
    answer(scene.representations().revoke_trusted_person(request).await)
}

async fn get(scene: &Scene, claims: &Claims) -> Answer<TrustedPerson> {
    let request = GetTrustedPersonRequest {
        dmp_id: scene.dmp_id.clone(),
    };
    let request = scene.bench.request(claims, request);
    answer(scene.representations().get_trusted_person(request).await)
}

/// L1111-6: designated in writing, revisable and revocable at any time.
async fn a_trusted_person_is_named_replaced_and_revoked(bench: Bench) {
    let scene = Scene::new(bench).await;
    let holder = scene.holder();
    assert_not_found(get(&scene, &holder).await, "trusted person");
    assert_not_found(revoke(&scene, &holder).await, "trusted person");
    let first = designate(&scene, &holder, designation(&scene)).await.unwrap();
    let asked = designation(&scene);
    assert_eq!((first.name.as_str(), first.contact.as_str()), (NAME, CONTACT));
    assert_eq!((&first.evidence, &first.dmp_id), (&asked.evidence, &scene.dmp_id));
    assert_eq!(
        (first.recorded_at, first.ended_at, first.revision),
        (Some(time(scene.now())), None, 1)
    );
    assert_eq!(get(&scene, &holder).await.unwrap(), first);
    scene.bench.time.advance(SignedDuration::from_secs(5));
    let other = DesignateTrustedPersonRequest {
        name: "Another".into(),
        ..designation(&scene)
    };
    let second = designate(&scene, &holder, other).await.unwrap();
    assert_eq!((second.name.as_str(), second.revision), ("Another", 2));
    assert_ne!(second.designation_id, first.designation_id);
    assert_eq!(get(&scene, &holder).await.unwrap(), second);
    let revoked = revoke(&scene, &holder).await.unwrap();
    let expected = TrustedPerson {
        ended_at: Some(time(scene.now())),
        revision: 3,
        ..second
    };
    assert_eq!(revoked, expected);
    assert_not_found(get(&scene, &holder).await, "trusted person");
}

/// L1111-6: nobody, a representative included, names the trusted person in the person's place.
async fn the_holder_alone_names_the_trusted_person(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.register("parent").await.unwrap();
    scene.designate(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    designate(&scene, &scene.holder(), designation(&scene)).await.unwrap();
    let others = [
        actor::representative("parent"),
        scene.physician(),
        actor::establishment_system(),
        actor::administrator(),
        actor::auditor(),
        actor::excluded_party(),
    ];
    for claims in others {
        let designated = designate(&scene, &claims, designation(&scene)).await;
        assert_failed(designated, Code::PermissionDenied, "ROLE_FORBIDDEN");
        assert_failed(revoke(&scene, &claims).await, Code::PermissionDenied, "ROLE_FORBIDDEN");
    }
    let stranger = actor::holder(&scene.another_dossier());
    let designated = designate(&scene, &stranger, designation(&scene)).await;
    assert_refused(designated, "default-refuse", "L1110-4");
    assert_refused(revoke(&scene, &stranger).await, "default-refuse", "L1110-4");
}

async fn who_may_read_documents_is_told_whom_to_ask(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let named = designate(&scene, &scene.holder(), designation(&scene)).await.unwrap();
    let physician = scene.physician();
    assert_refused(get(&scene, &physician).await, "default-refuse", "L1110-4");
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert_eq!(get(&scene, &physician).await.unwrap(), named);
    scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert_refused(get(&scene, &physician).await, "blocked-professional", "L1111-19");
    let stranger = actor::holder(&scene.another_dossier());
    assert_refused(get(&scene, &stranger).await, "default-refuse", "L1110-4");
    for claims in [
        actor::representative("parent"),
        actor::auditor(),
        actor::administrator(),
    ] {
        assert_failed(get(&scene, &claims).await, Code::PermissionDenied, "ROLE_FORBIDDEN");
    }
}

/// Being asked is no access: nobody's standing changes.
async fn a_trusted_person_opens_nothing(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let before = scene.professionals(&scene.holder(), true).await.unwrap();
    designate(&scene, &scene.holder(), designation(&scene)).await.unwrap();
    assert_eq!(scene.professionals(&scene.holder(), true).await.unwrap(), before);
    assert!(!scene.reads(&scene.physician()).await);
    assert!(!scene.reads(&actor::representative("trusted-person")).await);
    let asked = ListWhoCanAccessRequest {
        dmp_id: scene.dmp_id.clone(),
        ..Default::default()
    };
    let asked = scene.bench.request(&scene.holder(), asked);
    let listed = answer(scene.access().list_who_can_access(asked).await).unwrap();
    assert_eq!(listed.parties, []);
}

/// Tables, events and remembered answers, of all that was ever said.
async fn name_and_contact_are_never_kept_in_clear(bench: Bench) {
    let scene = Scene::consented(bench).await;
    designate(&scene, &scene.holder(), designation(&scene)).await.unwrap();
    designate(&scene, &scene.holder(), designation(&scene)).await.unwrap();
    get(&scene, &scene.holder()).await.unwrap();
    revoke(&scene, &scene.holder()).await.unwrap();
    for secret in [NAME, "Quatrem", CONTACT] {
        assert!(!scene.keeps_in_clear(secret).await, "{secret}");
    }
    // The search itself works.
    assert!(scene.keeps_in_clear(&scene.dmp_id).await);
}

/// AIP-155; also when another one is named meanwhile.
async fn a_repeated_designation_is_answered_as_before(bench: Bench) {
    let scene = Scene::new(bench).await;
    let request = designation(&scene);
    let first = designate(&scene, &scene.holder(), request.clone()).await.unwrap();
    let other = DesignateTrustedPersonRequest {
        name: "Another".into(),
        ..designation(&scene)
    };
    designate(&scene, &scene.holder(), other).await.unwrap();
    scene.bench.time.advance(SignedDuration::from_secs(60));
    assert_eq!(designate(&scene, &scene.holder(), request).await.unwrap(), first);
}

async fn a_watch_tells_nothing_of_a_trusted_person(bench: Bench) {
    let scene = Scene::new(bench).await;
    let request = WatchConsentRequest {
        dmp_id: scene.dmp_id.clone(),
        ..Default::default()
    };
    let request = scene.bench.request(&scene.holder(), request);
    let mut watch = scene.consents().watch_consent(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    designate(&scene, &scene.holder(), designation(&scene)).await.unwrap();
    revoke(&scene, &scene.holder()).await.unwrap();
    scene.consent(Purpose::Creation).await.unwrap();
    let told = loop {
        if let Some(event) = watch.message().await.unwrap().unwrap().event {
            break event;
        }
    };
    assert!(matches!(told, watch_consent_response::Event::Consent(_)), "{told:?}");
}

async fn every_field_that_is_wrong_is_listed(bench: Bench) {
    let scene = Scene::new(bench).await;
    let wrong = DesignateTrustedPersonRequest {
        request_id: "x".into(),
        dmp_id: String::new(),
        name: "  ".into(),
        contact: "x".repeat(201),
        evidence: None,
    };
    let refusal = designate(&scene, &scene.holder(), wrong).await.unwrap_err();
    let fields: Vec<&str> = refusal.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["request_id", "dmp_id", "name", "contact", "evidence"]);
    for (digest, reason) in [(Vec::new(), "REQUIRED"), (vec![3; 31], "LENGTH")] {
        let unsigned = DesignateTrustedPersonRequest {
            evidence: Some(Evidence {
                kind: "signed-form".into(),
                sha256: digest,
            }),
            ..designation(&scene)
        };
        let refusal = designate(&scene, &scene.holder(), unsigned).await.unwrap_err();
        assert!(refusal.has_field("evidence.sha256", reason), "{refusal:?}");
    }
}
