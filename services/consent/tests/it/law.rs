//! Sentences of the law about access that no other test has for its promise, each named and cited.

use api::common::v1::AccessMode;
use api::consent::v1::decision::Outcome;
use api::consent::v1::*;
use jiff::SignedDuration;
use serve::Claims;
use testkit::{Bench, actor};

use crate::past::something_is_said;
use crate::scene::{Scene, granted};

testkit::on_both_engines! {
    nobody_opens_a_dossier_again_without_a_fresh_consent,
    a_guardian_speaks_for_an_adult_under_protection_until_the_date,
    a_consent_in_general_lets_nobody_in_particular_in,
    a_later_feed_needs_no_new_consent,
    no_opposition_shuts_feeding_in_the_course_of_care,
    whoever_deposited_retires_it_without_being_authorised,
    whoever_may_read_masks_on_the_persons_request,
    a_pharmacist_opens_and_feeds_what_it_dispenses,
    establishments_and_laboratories_feed_what_the_law_names,
    a_blocked_professional_is_refused_with_and_without_consent,
    nothing_said_before_a_withdrawal_lets_anybody_in_after_it,
}

impl Scene {
    async fn decided(&self, claims: &Claims, operation: Operation) -> Decision {
        let asked = self.asking(operation, AccessMode::Normal);
        self.ask(claims, asked).await.unwrap()
    }

    async fn may(&self, claims: &Claims, operation: Operation) -> bool {
        granted(&self.decided(claims, operation).await)
    }

    /// Whether documents of this type may be submitted.
    async fn submits(&self, claims: &Claims, type_code: &str) -> bool {
        let Some(Outcome::Grant(grant)) = self.decided(claims, Operation::SubmitDocuments).await.outcome else {
            return false;
        };
        let mut permissions = grant.permissions.into_iter();
        let submit = permissions.find(|permission| permission.operation() == Operation::SubmitDocuments);
        let types = submit.unwrap().document_types.unwrap();
        types.type_codes.iter().any(|code| code == type_code) != types.all_but
    }
}

fn pharmacist() -> Claims {
    actor::professional(actor::OTHER_PHYSICIAN, "21", "")
}

/// R1111-26 of 2016; EX_1.1-1010: no consent collected, no creation; EX_1.2-1030: reactivation needs a fresh one.
async fn nobody_opens_a_dossier_again_without_a_fresh_consent(bench: Bench) {
    let scene = Scene::new(bench).await;
    scene.register("parent").await.unwrap();
    // Who creates: the insurer's desk, a pharmacy, an equipped professional, the adult online, a minor's parent.
    let creators = [
        actor::administrator(),
        pharmacist(),
        scene.physician(),
        actor::establishment_system(),
        scene.holder(),
        actor::representative("parent"),
    ];
    for _ in 0..2 {
        for claims in &creators {
            let refused = scene.decided(claims, Operation::OpenDossier).await;
            assert!(!granted(&refused), "{claims:?}");
            assert_eq!(refused.bases[0].rule, "creation-not-consented");
        }
        scene.consent(Purpose::Creation).await.unwrap();
        for claims in &creators {
            assert!(scene.may(claims, Operation::OpenDossier).await, "{claims:?}");
        }
        scene.withdraw_creation().await;
    }
}

/// R1111-40 with articles 425 and 458 to 459-1 of the Code civil.
async fn a_guardian_speaks_for_an_adult_under_protection_until_the_date(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let request = RegisterRepresentativeRequest {
        capacity: Capacity::Guardian.into(),
        valid_until: Some(scene.later(10)),
        ..scene.registration("guardian")
    };
    scene.register_with(&actor::administrator(), request).await.unwrap();
    let guardian = actor::representative("guardian");
    let operations = [
        Operation::ReadDocuments,
        Operation::ReadJournal,
        Operation::ManageProfessionals,
        Operation::WithdrawConsents,
    ];
    for operation in operations {
        assert!(scene.may(&guardian, operation).await, "{operation:?}");
    }
    // The adult has not lost its own access.
    assert!(scene.reads(&scene.holder()).await);
    scene.bench.time.advance(SignedDuration::from_hours(10));
    for operation in operations {
        assert!(!scene.may(&guardian, operation).await, "{operation:?}");
    }
}

/// L1111-17 III, R1111-46: outside of the care team the person's consent is to somebody; L1110-4: to nobody by default.
async fn a_consent_in_general_lets_nobody_in_particular_in(bench: Bench) {
    let scene = Scene::consented(bench).await;
    for purpose in [Purpose::Hosting, Purpose::Feeding, Purpose::OutsideCareTeam] {
        scene.consent(purpose).await.unwrap();
    }
    for claims in [scene.physician(), pharmacist(), actor::establishment_system()] {
        for operation in [
            Operation::ReadDocuments,
            Operation::ReadJournal,
            Operation::ChangeVisibility,
        ] {
            assert!(!scene.may(&claims, operation).await, "{operation:?}");
        }
    }
}

/// L1111-17 III: the consent covers the first feed, later ones need information only; TD 2.1.
async fn a_later_feed_needs_no_new_consent(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let given = scene.authorize(&scene.physician(), actor::PHYSICIAN).await.unwrap();
    assert!(scene.submits(&scene.physician(), "11488-4").await);
    scene.revoke(&scene.holder(), &given.authorization_id).await.unwrap();
    assert!(!scene.reads(&scene.physician()).await);
    assert!(scene.submits(&scene.physician(), "11488-4").await);
}

/// R1111-47: no veto on what an authorised professional deposits; the oppositions are to other ways in.
async fn no_opposition_shuts_feeding_in_the_course_of_care(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    for kind in [
        OppositionKind::BreakGlass,
        OppositionKind::Centre15,
        OppositionKind::SecretActs,
    ] {
        scene.oppose(&scene.holder(), kind).await.unwrap();
        assert!(scene.submits(&scene.physician(), "11488-4").await, "{kind:?}");
        assert!(scene.reads(&scene.physician()).await, "{kind:?}");
    }
}

/// TD 3.3c, 3.3d: the author alone, authorised or not; L1111-19: unless it is blocked.
async fn whoever_deposited_retires_it_without_being_authorised(bench: Bench) {
    let scene = Scene::consented(bench).await;
    for claims in [scene.holder(), scene.physician(), actor::establishment_system()] {
        assert!(scene.may(&claims, Operation::RetireDocuments).await);
    }
    for claims in [actor::administrator(), actor::auditor(), actor::excluded_party()] {
        assert!(!scene.may(&claims, Operation::RetireDocuments).await);
    }
    scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert!(!scene.may(&scene.physician(), Operation::RetireDocuments).await);
}

/// R1111-49: masks are the person's, and any professional who may read sets them on request.
async fn whoever_may_read_masks_on_the_persons_request(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let pharmacist = pharmacist();
    let masks = || scene.decided(&pharmacist, Operation::ChangeVisibility);
    assert!(!granted(&masks().await));
    let given = scene.authorize(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    assert!(granted(&masks().await));
    scene.revoke(&scene.holder(), &given.authorization_id).await.unwrap();
    assert!(!granted(&masks().await));
    assert!(scene.may(&scene.holder(), Operation::ChangeVisibility).await);
    assert!(
        !scene
            .may(&actor::establishment_system(), Operation::ChangeVisibility)
            .await
    );
}

/// R1111-20-5, L1111-23: a pharmacist creates, and what it dispenses goes into the dossier.
async fn a_pharmacist_opens_and_feeds_what_it_dispenses(bench: Bench) {
    let scene = Scene::new(bench).await;
    let collected = scene.collected(Purpose::Creation);
    let consent = scene.record(&pharmacist(), collected).await.unwrap();
    assert_eq!(consent.collector, format!("professional:{}", actor::OTHER_PHYSICIAN));
    assert!(scene.may(&pharmacist(), Operation::OpenDossier).await);
    assert!(scene.submits(&pharmacist(), "60593-1").await);
    assert!(!scene.submits(&pharmacist(), "34112-3").await);
    assert!(!scene.reads(&pharmacist()).await);
}

/// L1111-15: the stay's summary; R6211-4: the laboratory's report. Reimbursements are the insurer's to pay in.
async fn establishments_and_laboratories_feed_what_the_law_names(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let system = actor::establishment_system();
    for type_code in ["34112-3", "11490-0", "11502-2"] {
        assert!(scene.submits(&system, type_code).await, "{type_code}");
    }
    assert!(scene.submits(&pharmacist(), "11502-2").await);
    for claims in [&system, &pharmacist(), &scene.physician()] {
        assert!(!scene.submits(claims, "REMB").await);
    }
}

/// TD 0.2, notes 1 and 2.
async fn a_blocked_professional_is_refused_with_and_without_consent(bench: Bench) {
    let scene = Scene::new(bench).await;
    scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let physician = scene.physician();
    for consented in [false, true] {
        if consented {
            scene.consent(Purpose::Creation).await.unwrap();
            scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
        }
        for mode in [AccessMode::Normal, AccessMode::BreakGlass] {
            let asked = scene.asking(Operation::ReadDocuments, mode);
            let decision = scene.ask(&physician, asked).await.unwrap();
            assert!(!granted(&decision));
            assert_eq!(decision.bases[0].rule, "blocked-professional");
        }
        assert_eq!(scene.state(&physician).await, AuthorizationState::Blocked);
    }
}

/// EX_1.2-1030, L1111-17 IV: whatever was said, openly or in secret, a withdrawal ends it for good.
async fn nothing_said_before_a_withdrawal_lets_anybody_in_after_it(bench: Bench) {
    let scene = Scene::new(bench).await;
    let professionals = [
        scene.physician(),
        actor::physician(actor::OTHER_PHYSICIAN),
        actor::professional("810000000033", "60", ""),
    ];
    let occupational = actor::professional(actor::PHYSICIAN, "10", "SM25");
    let mut agreed = scene.consent(Purpose::OccupationalMedicine).await.unwrap();
    let mut readers = 0;
    for _ in 0..6 {
        scene.consent(Purpose::Creation).await.unwrap();
        let choices: [u8; 8] = scene.bench.random.bytes();
        for choice in choices {
            something_is_said(&scene, choice).await;
        }
        for claims in &professionals {
            readers += usize::from(scene.reads(claims).await);
        }
        scene.withdraw(&scene.holder(), &agreed.consent_id).await.unwrap();
        agreed = scene.consent(Purpose::OccupationalMedicine).await.unwrap();
        assert!(!scene.reads(&occupational).await);
        scene.withdraw_creation().await;
        scene.consent(Purpose::Creation).await.unwrap();
        for claims in &professionals {
            assert!(!scene.reads(claims).await);
        }
        scene.withdraw_creation().await;
    }
    assert!(readers > 0, "nothing was ever granted");
}
