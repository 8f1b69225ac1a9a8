//! What a minor keeps secret from representatives (L1111-5, R1111-33, R1111-50).

use api::common::v1::{AccessContext, AccessMode};
use api::consent::v1::*;
use jiff::SignedDuration;
use prost::Message;
use serve::Claims;
use std::fmt::Debug;
use testkit::{Bench, actor};

use crate::scene::{Answer, Scene, answer, assert_not_found, assert_refused, granted, time};

testkit::on_both_engines! {
    a_secret_connection_is_for_professionals,
    nothing_is_deposited_in_secret_while_the_minor_opposes_it,
    the_minor_alone_opposes_the_recording_of_secret_acts,
    a_representative_keeps_no_secrets,
    a_secret_authorisation_is_told_to_all_but_representatives,
    a_representatives_view_is_the_same_with_and_without_secrets,
    a_representative_does_not_learn_when_a_secret_was_said,
    what_is_secret_is_not_found_by_a_representative,
    a_representative_touches_no_secret_authorisation_unknowingly,
    a_block_and_a_withdrawal_by_a_representative_end_secret_grants_too,
}

impl Scene {
    fn secretly(&self, operation: Operation) -> AuthorizeRequest {
        let asked = self.asking(operation, AccessMode::Normal);
        AuthorizeRequest {
            context: asked.context.map(|context| AccessContext {
                secret_connection: true,
                ..context
            }),
            ..asked
        }
    }

    async fn reads_secretly(&self, claims: &Claims) -> bool {
        granted(&self.ask(claims, self.secretly(Operation::ReadDocuments)).await.unwrap())
    }

    async fn authorize_secretly(&self, claims: &Claims, professional: &str) -> Answer<Authorization> {
        let request = AuthorizeProfessionalRequest {
            secret: true,
            ..self.authorization(professional)
        };
        self.authorize_with(claims, request).await
    }

    /// A dossier with a parent, who has authorised somebody.
    async fn of_a_minor(bench: Bench) -> (Self, Claims) {
        let scene = Self::consented(bench).await;
        scene.register("parent").await.unwrap();
        let parent = actor::representative("parent");
        scene.authorize(&parent, actor::OTHER_PHYSICIAN).await.unwrap();
        (scene, parent)
    }
}

/// L1111-5, R1111-33: it is the professional who connects secretly, on the minor's demand.
async fn a_secret_connection_is_for_professionals(bench: Bench) {
    let (scene, parent) = Scene::of_a_minor(bench).await;
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let asked = || scene.secretly(Operation::ReadDocuments);
    let decision = scene.ask(&scene.physician(), asked()).await.unwrap();
    assert!(granted(&decision) && decision.secret_connection);
    let open = scene.asking(Operation::ReadDocuments, AccessMode::Normal);
    assert!(!scene.ask(&scene.physician(), open).await.unwrap().secret_connection);
    for claims in [
        scene.holder(),
        parent,
        actor::establishment_system(),
        actor::administrator(),
    ] {
        for operation in [Operation::SeeStatus, Operation::ManageConsents] {
            let decision = scene.ask(&claims, scene.secretly(operation)).await.unwrap();
            assert!(!granted(&decision) && decision.secret_connection);
            let [basis] = decision.bases.as_slice() else {
                panic!("{:?}", decision.bases);
            };
            assert_eq!(basis.rule, "secret-connections-are-for-professionals");
        }
    }
}

/// R1111-50: the minor may oppose that such acts be recorded.
async fn nothing_is_deposited_in_secret_while_the_minor_opposes_it(bench: Bench) {
    let (scene, _) = Scene::of_a_minor(bench).await;
    let (holder, physician) = (scene.holder(), scene.physician());
    scene.authorize(&holder, actor::PHYSICIAN).await.unwrap();
    let submits = || scene.ask(&physician, scene.secretly(Operation::SubmitDocuments));
    assert!(granted(&submits().await.unwrap()));
    let opposed = scene.oppose(&holder, OppositionKind::SecretActs).await.unwrap();
    let refused = submits().await.unwrap();
    assert!(!granted(&refused));
    assert_eq!(
        (refused.bases[0].rule.as_str(), refused.bases[0].article.as_str()),
        ("secret-acts-opposed", "R1111-50")
    );
    let open = scene.asking(Operation::SubmitDocuments, AccessMode::Normal);
    assert!(granted(&scene.ask(&physician, open).await.unwrap()));
    let reads = scene
        .ask(&physician, scene.secretly(Operation::ReadDocuments))
        .await
        .unwrap();
    let Some(decision::Outcome::Grant(grant)) = reads.outcome else {
        panic!("refused");
    };
    let submit = |permission: &Permission| permission.operation() == Operation::SubmitDocuments;
    assert!(!grant.permissions.iter().any(submit));
    scene
        .withdraw_opposition(&holder, &opposed.opposition_id)
        .await
        .unwrap();
    assert!(granted(&submits().await.unwrap()));
}

/// R1111-50; the refusal is the same whether or not there is such an opposition.
async fn the_minor_alone_opposes_the_recording_of_secret_acts(bench: Bench) {
    let (scene, parent) = Scene::of_a_minor(bench).await;
    let others = [parent.clone(), scene.physician(), actor::administrator()];
    let refused = async || {
        let mut refusals = Vec::new();
        for claims in &others {
            let refusal = scene.oppose(claims, OppositionKind::SecretActs).await;
            assert_refused(refusal.clone(), "secret-acts-are-the-minors", "R1111-50");
            refusals.push(told(refusal));
        }
        refusals.push(told(
            scene.withdraw_opposition(&parent, &scene.bench.request_id()).await,
        ));
        refusals
    };
    let before = refused().await;
    let opposed = scene.oppose(&scene.holder(), OppositionKind::SecretActs).await.unwrap();
    assert_eq!(opposed.kind(), OppositionKind::SecretActs);
    assert_eq!(refused().await, before);
    let withdrawn = scene.withdraw_opposition(&parent, &opposed.opposition_id).await;
    assert_eq!(before.last(), Some(&told(withdrawn)));
    let by_another = scene
        .withdraw_opposition(&scene.physician(), &opposed.opposition_id)
        .await;
    assert_refused(by_another, "default-refuse", "L1110-4");
    scene
        .withdraw_opposition(&scene.holder(), &opposed.opposition_id)
        .await
        .unwrap();
    assert_eq!(refused().await, before);
}

/// All that a refusal says.
fn told<T: Debug>(answer: Answer<T>) -> String {
    format!("{:?}", answer.unwrap_err())
}

/// L1111-5: the secret is the minor's.
async fn a_representative_keeps_no_secrets(bench: Bench) {
    let (scene, parent) = Scene::of_a_minor(bench).await;
    let refusal = scene.authorize_secretly(&parent, actor::PHYSICIAN).await.unwrap_err();
    assert!(refusal.has_field("secret", "NOT_YOURS"));
    assert!(!scene.reads_secretly(&scene.physician()).await);
}

/// L1111-5, L1111-19: the minor has the whole list, and so has the treating physician.
async fn a_secret_authorisation_is_told_to_all_but_representatives(bench: Bench) {
    let (scene, parent) = Scene::of_a_minor(bench).await;
    let holder = scene.holder();
    let open = scene.professionals(&parent, true).await.unwrap();
    // The minor's own words, or collected by the professional.
    let own = scene
        .authorize_secretly(&scene.physician(), actor::PHYSICIAN)
        .await
        .unwrap();
    assert!(own.secret && scene.reads_secretly(&scene.physician()).await);
    // Openly it would stand in the chain that representatives read.
    assert!(!scene.reads(&scene.physician()).await);
    let renewed = scene.authorize_secretly(&holder, actor::PHYSICIAN).await.unwrap();
    assert!(renewed.secret);
    scene.designate(&holder, "810000000033").await.unwrap();
    let all = scene.professionals(&holder, false).await.unwrap();
    assert!(all.contains(&renewed) && all.len() == open.len() + 2);
    let treating = actor::physician("810000000033");
    assert_eq!(scene.professionals(&treating, false).await.unwrap(), all);
    let told = scene.professionals(&parent, true).await.unwrap();
    assert!(told.iter().all(|entry| !entry.secret) && told.len() == open.len() + 1);
    scene
        .revoke(&scene.physician(), &renewed.authorization_id)
        .await
        .unwrap();
    assert!(!scene.reads_secretly(&scene.physician()).await);
}

/// Everything that a representative can ask about who comes in, as bytes. Revisions are taken out: the counter of a
/// dossier moves with each write, secret ones too.
async fn view(scene: &Scene, parent: &Claims, about: &[Claims]) -> Vec<Vec<u8>> {
    let mut told = Vec::new();
    for show_ended in [false, true] {
        for page_size in [0, 1] {
            let mut list = ListProfessionalsRequest {
                dmp_id: scene.dmp_id.clone(),
                show_ended,
                page_size,
                ..Default::default()
            };
            loop {
                let request = scene.bench.request(parent, list.clone());
                let page = answer(scene.authorizations().list_professionals(request).await).unwrap();
                told.push(page.encode_to_vec());
                if page.next_page_token.is_empty() {
                    break;
                }
                list.page_token = page.next_page_token;
            }
        }
    }
    for page_size in [0, 1] {
        let request = ListWhoCanAccessRequest {
            dmp_id: scene.dmp_id.clone(),
            page_size,
            ..Default::default()
        };
        let request = scene.bench.request(parent, request);
        let mut listed = answer(scene.access().list_who_can_access(request).await).unwrap();
        listed.revision = 0;
        told.push(listed.encode_to_vec());
    }
    for claims in about {
        for (operation, secret) in [
            (Operation::ReadDocuments, false),
            (Operation::ReadDocuments, true),
            (Operation::SubmitDocuments, true),
            (Operation::SeeStatus, false),
        ] {
            let why = ExplainAccessRequest {
                operation: operation.into(),
                secret_connection: secret,
                ..scene.why(claims)
            };
            let mut explained = scene.explain(parent, why).await.unwrap();
            let decision = explained.decision.as_mut().unwrap();
            let replayed = scene.replay(parent, scene.again(claims, operation, decision)).await;
            assert_eq!(replayed.as_ref(), Ok(&*decision));
            decision.revision = 0;
            told.push(explained.encode_to_vec());
        }
    }
    told
}

/// L1111-5, R1111-33: they "learn nothing of it": not the entry, not its end, not that there is one.
async fn a_representatives_view_is_the_same_with_and_without_secrets(bench: Bench) {
    let (scene, parent) = Scene::of_a_minor(bench).await;
    let holder = scene.holder();
    let about = [
        scene.physician(),
        actor::physician(actor::OTHER_PHYSICIAN),
        actor::professional("810000000033", "60", ""),
    ];
    let before = view(&scene, &parent, &about).await;
    let secret = scene.authorize_secretly(&holder, actor::PHYSICIAN).await.unwrap();
    // One who is known openly already, and everybody of a structure.
    scene.authorize_secretly(&holder, actor::OTHER_PHYSICIAN).await.unwrap();
    let hospital = AuthorizeProfessionalRequest {
        structure_id: actor::HOSPITAL.into(),
        secret: true,
        ..scene.authorization("")
    };
    scene.authorize_with(&holder, hospital).await.unwrap();
    scene.oppose(&holder, OppositionKind::SecretActs).await.unwrap();
    assert!(scene.reads_secretly(&about[2]).await);
    assert_eq!(view(&scene, &parent, &about).await, before);
    scene.revoke(&holder, &secret.authorization_id).await.unwrap();
    assert_eq!(view(&scene, &parent, &about).await, before);
    // The minor is shown what the parent is not.
    assert_ne!(view(&scene, &holder, &about).await, before);
}

/// L1111-5: nor by asking about the past, moment by moment or revision by revision.
async fn a_representative_does_not_learn_when_a_secret_was_said(bench: Bench) {
    let (scene, parent) = Scene::of_a_minor(bench).await;
    let said = scene.now();
    scene.bench.time.advance(SignedDuration::from_hours(1));
    let secret = scene
        .authorize_secretly(&scene.holder(), actor::PHYSICIAN)
        .await
        .unwrap();
    scene.bench.time.advance(SignedDuration::from_hours(1));
    let moments = [said, said + SignedDuration::from_hours(1), scene.now()];
    let decided = async |claims: &Claims, request| {
        let explained = scene.explain(claims, request).await.unwrap();
        let decision = explained.decision.unwrap();
        (decision.revision, decision.decided_at)
    };
    for moment in moments {
        let request = || ExplainAccessRequest {
            moment: Some(time(moment)),
            ..scene.why(&scene.physician())
        };
        assert_eq!(decided(&parent, request()).await.0, secret.revision - 1);
        let known = secret.revision - i64::from(moment == said);
        assert_eq!(decided(&scene.holder(), request()).await.0, known);
    }
    let by_revision = || ExplainAccessRequest {
        revision: secret.revision,
        ..scene.why(&scene.physician())
    };
    assert_eq!(decided(&parent, by_revision()).await.1, Some(time(said)));
    assert_eq!(decided(&scene.holder(), by_revision()).await.1, secret.recorded_at);
}

/// L1111-5: whatever a representative names, it is not there.
async fn what_is_secret_is_not_found_by_a_representative(bench: Bench) {
    let (scene, parent) = Scene::of_a_minor(bench).await;
    let secret = scene
        .authorize_secretly(&scene.holder(), actor::PHYSICIAN)
        .await
        .unwrap();
    let opposed = scene.oppose(&scene.holder(), OppositionKind::SecretActs).await.unwrap();
    let read = async |id: &str| {
        let request = GetConsentRequest {
            dmp_id: scene.dmp_id.clone(),
            consent_id: id.to_owned(),
        };
        answer(
            scene
                .consents()
                .get_consent(scene.bench.request(&parent, request))
                .await,
        )
    };
    for id in [secret.authorization_id, opposed.opposition_id, scene.bench.request_id()] {
        assert_not_found(scene.revoke(&parent, &id).await, "authorization");
        assert_not_found(scene.unblock(&parent, &id).await, "authorization");
        assert_not_found(scene.end_treating(&parent, &id).await, "authorization");
        assert_not_found(scene.withdraw_opposition(&parent, &id).await, "opposition");
        assert_not_found(scene.withdraw(&parent, &id).await, "consent");
        assert_not_found(read(&id).await, "consent");
    }
    assert!(scene.reads_secretly(&scene.physician()).await);
}

/// Beside a secret authorisation an open one comes and goes.
async fn a_representative_touches_no_secret_authorisation_unknowingly(bench: Bench) {
    let (scene, parent) = Scene::of_a_minor(bench).await;
    let secret = scene
        .authorize_secretly(&scene.holder(), actor::PHYSICIAN)
        .await
        .unwrap();
    let open = scene.authorize(&parent, actor::PHYSICIAN).await.unwrap();
    assert!(!open.secret);
    let both = scene.professionals(&scene.holder(), false).await.unwrap();
    assert!(both.contains(&secret) && both.contains(&open));
    scene.revoke(&parent, &open.authorization_id).await.unwrap();
    assert!(scene.reads_secretly(&scene.physician()).await);
    assert!(
        scene
            .professionals(&scene.holder(), false)
            .await
            .unwrap()
            .contains(&secret)
    );
}

/// L1111-19, L1111-14: what shuts, shuts whatever was said in secret; the answers say nothing of it.
async fn a_block_and_a_withdrawal_by_a_representative_end_secret_grants_too(bench: Bench) {
    let (scene, parent) = Scene::of_a_minor(bench).await;
    let holder = scene.holder();
    let other = actor::professional("810000000033", "60", "");
    scene.authorize_secretly(&holder, actor::PHYSICIAN).await.unwrap();
    scene.authorize_secretly(&holder, "810000000033").await.unwrap();
    let block = scene.block(&parent, actor::PHYSICIAN).await.unwrap();
    assert!(!block.secret && !scene.reads_secretly(&scene.physician()).await);
    scene.unblock(&parent, &block.authorization_id).await.unwrap();
    assert!(!scene.reads_secretly(&scene.physician()).await);
    assert!(scene.reads_secretly(&other).await);

    let listed = ListConsentsRequest {
        dmp_id: scene.dmp_id.clone(),
        ..Default::default()
    };
    let listed = scene.bench.request(&parent, listed);
    let listed = answer(scene.consents().list_consents(listed).await).unwrap();
    scene.withdraw(&parent, &listed.consents[0].consent_id).await.unwrap();
    scene.consent(Purpose::Creation).await.unwrap();
    assert!(!scene.reads_secretly(&other).await);
    let held: Vec<Authorization> = scene.professionals(&holder, false).await.unwrap();
    assert_eq!(held, vec![]);
}
