//! AuthorizationService: care teams, and equal rights.

use api::common::v1::AccessMode;
use api::consent::v1::*;
use jiff::SignedDuration;
use serve::Claims;
use testkit::{Bench, actor};
use tonic::Code;

use crate::scene::{Answer, Scene, answer, assert_failed, assert_not_found, assert_not_live, assert_refused};

testkit::on_both_engines! {
    a_team_by_name_reads_until_its_date,
    a_structure_takes_care_through_those_who_act_in_it,
    a_member_authorises_a_colleague,
    equal_rights_stand_beside_an_authorisation,
    a_block_and_a_withdrawal_end_memberships_and_rights,
    memberships_are_listed_and_explained,
    every_field_that_is_wrong_is_listed,
}

impl Scene {
    fn team(&self, professionals: &[&str]) -> JoinCareTeamRequest {
        JoinCareTeamRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            structure_id: String::new(),
            professional_ids: professionals.iter().map(|id| (*id).to_owned()).collect(),
            valid_until: Some(self.later(10)),
        }
    }

    fn structure_team(&self) -> JoinCareTeamRequest {
        JoinCareTeamRequest {
            structure_id: actor::HOSPITAL.into(),
            ..self.team(&[])
        }
    }

    async fn join(&self, claims: &Claims, request: JoinCareTeamRequest) -> Answer<Vec<Authorization>> {
        let request = self.bench.request(claims, request);
        let joined = answer(self.authorizations().join_care_team(request).await);
        joined.map(|joined| joined.members)
    }

    async fn leave(&self, claims: &Claims, id: &str) -> Answer<Authorization> {
        let request = LeaveCareTeamRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            authorization_id: id.to_owned(),
        };
        answer(
            self.authorizations()
                .leave_care_team(self.bench.request(claims, request))
                .await,
        )
    }

    async fn equal_rights(&self, claims: &Claims, professional: &str) -> Answer<Authorization> {
        let request = GrantEqualRightsRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            professional_id: professional.to_owned(),
        };
        answer(
            self.authorizations()
                .grant_equal_rights(self.bench.request(claims, request))
                .await,
        )
    }

    async fn end_rights(&self, claims: &Claims, id: &str) -> Answer<Authorization> {
        let request = EndEqualRightsRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            authorization_id: id.to_owned(),
        };
        answer(
            self.authorizations()
                .end_equal_rights(self.bench.request(claims, request))
                .await,
        )
    }

    async fn reads_journal(&self, claims: &Claims) -> bool {
        let asked = self.asking(Operation::ReadJournal, AccessMode::Normal);
        crate::scene::granted(&self.ask(claims, asked).await.unwrap())
    }
}

fn colleague() -> Claims {
    actor::physician(actor::OTHER_PHYSICIAN)
}

/// L1110-12, L1111-17 II: the whole team, during the care.
async fn a_team_by_name_reads_until_its_date(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let members = scene
        .join(&scene.holder(), scene.team(&[actor::PHYSICIAN, actor::OTHER_PHYSICIAN]))
        .await
        .unwrap();
    let [one, other] = members.as_slice() else {
        panic!("{members:?}")
    };
    assert_eq!(
        (one.kind(), one.grantee.as_str()),
        (AuthorizationKind::CareTeam, actor::PHYSICIAN)
    );
    assert_eq!((one.revision, other.revision), (2, 2));
    assert!(scene.reads(&scene.physician()).await && scene.reads(&colleague()).await);
    assert_eq!(scene.state(&colleague()).await, AuthorizationState::Valid);
    // Professionals by name are the person's to choose, but for oneself.
    let named = scene
        .join(&scene.physician(), scene.team(&[actor::OTHER_PHYSICIAN]))
        .await;
    assert_refused(named, "default-refuse", "L1110-4");
    scene.leave(&colleague(), &other.authorization_id).await.unwrap();
    assert!(!scene.reads(&colleague()).await);
    assert_refused(
        scene.leave(&colleague(), &one.authorization_id).await,
        "default-refuse",
        "L1110-4",
    );
    scene
        .join(&colleague(), scene.team(&[actor::OTHER_PHYSICIAN]))
        .await
        .unwrap();
    assert!(scene.reads(&colleague()).await);
    scene.bench.time.advance(SignedDuration::from_hours(10));
    assert!(!scene.reads(&scene.physician()).await && !scene.reads(&colleague()).await);
    assert_not_live(scene.leave(&scene.holder(), &one.authorization_id).await, "EXPIRED");
}

async fn a_structure_takes_care_through_those_who_act_in_it(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let mut elsewhere = colleague();
    elsewhere.structure = String::new();
    let from_elsewhere = scene.join(&elsewhere, scene.structure_team()).await;
    assert_refused(from_elsewhere, "default-refuse", "L1110-4");
    let joined = scene.join(&scene.physician(), scene.structure_team()).await.unwrap();
    assert!(scene.reads(&colleague()).await && !scene.reads(&elsewhere).await);
    let id = &joined[0].authorization_id;
    assert_refused(scene.leave(&elsewhere, id).await, "default-refuse", "L1110-4");
    // A membership is no authorisation, and none of the other ends ends it.
    assert_not_found(scene.revoke(&scene.holder(), id).await, "authorization");
    scene.leave(&colleague(), id).await.unwrap();
    assert!(!scene.reads(&colleague()).await);
}

/// R1111-46: a member may collect the person's consent for another professional.
async fn a_member_authorises_a_colleague(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let physician = scene.physician();
    let other = || scene.authorize(&physician, actor::OTHER_PHYSICIAN);
    assert_refused(other().await, "default-refuse", "L1110-4");
    scene
        .join(&scene.physician(), scene.team(&[actor::PHYSICIAN]))
        .await
        .unwrap();
    let given = other().await.unwrap();
    assert_eq!(given.recorded_by, format!("professional:{}", actor::PHYSICIAN));
    assert!(scene.reads(&colleague()).await);
    // It collects consents; it neither blocks nor designates, nor takes away.
    let refused = [
        scene.block(&scene.physician(), actor::OTHER_PHYSICIAN).await,
        scene.designate(&scene.physician(), actor::OTHER_PHYSICIAN).await,
        scene.revoke(&scene.physician(), &given.authorization_id).await,
        scene
            .authorize_with(
                &scene.physician(),
                AuthorizeProfessionalRequest {
                    structure_id: "1750000028".into(),
                    ..scene.authorization("")
                },
            )
            .await,
    ];
    for refusal in refused {
        assert_refused(refusal, "default-refuse", "L1110-4");
    }
}

/// R1111-43 of 2016.
async fn equal_rights_stand_beside_an_authorisation(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let rights = scene.equal_rights(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert_eq!(
        (rights.kind(), rights.valid_until),
        (AuthorizationKind::EqualRights, None)
    );
    assert!(!scene.reads(&scene.physician()).await && !scene.reads_journal(&scene.physician()).await);
    let given = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert!(scene.reads_journal(&scene.physician()).await);
    assert_failed(
        scene.equal_rights(&scene.holder(), actor::PHYSICIAN).await,
        Code::AlreadyExists,
        "ALREADY_EXISTS",
    );
    // Never one's own to take.
    let taken = scene.equal_rights(&colleague(), actor::OTHER_PHYSICIAN).await;
    assert_refused(taken, "default-refuse", "L1110-4");
    scene.revoke(&scene.holder(), &given.authorization_id).await.unwrap();
    assert!(!scene.reads_journal(&scene.physician()).await);
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    scene
        .end_rights(&scene.physician(), &rights.authorization_id)
        .await
        .unwrap();
    assert!(scene.reads(&scene.physician()).await && !scene.reads_journal(&scene.physician()).await);
}

/// L1111-19; L1111-14: what let somebody in ends with a block, and with the dossier's consent; and revives by nothing.
async fn a_block_and_a_withdrawal_end_memberships_and_rights(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let enter = async || {
        scene
            .join(&scene.holder(), scene.team(&[actor::PHYSICIAN]))
            .await
            .unwrap();
        scene.equal_rights(&scene.holder(), actor::PHYSICIAN).await.unwrap();
        assert!(scene.reads(&scene.physician()).await);
    };
    enter().await;
    let block = scene.block(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    assert!(!scene.reads(&scene.physician()).await);
    scene.unblock(&scene.holder(), &block.authorization_id).await.unwrap();
    assert!(!scene.reads(&scene.physician()).await);
    assert_eq!(scene.professionals(&scene.holder(), false).await.unwrap(), vec![]);
    enter().await;
    scene.join(&scene.holder(), scene.structure_team()).await.unwrap();
    scene.withdraw_creation().await;
    scene.consent(Purpose::Creation).await.unwrap();
    assert!(!scene.reads(&scene.physician()).await);
    assert_eq!(scene.professionals(&scene.holder(), false).await.unwrap(), vec![]);
}

async fn memberships_are_listed_and_explained(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let team = scene.join(&scene.holder(), scene.structure_team()).await.unwrap();
    scene
        .join(&scene.holder(), scene.team(&[actor::OTHER_PHYSICIAN]))
        .await
        .unwrap();
    let rights = scene.equal_rights(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let listed = scene.professionals(&scene.holder(), false).await.unwrap();
    assert_eq!((listed.len(), &listed[0], &listed[2]), (3, &rights, &team[0]));
    let explained = scene
        .explain(&scene.holder(), scene.why(&scene.physician()))
        .await
        .unwrap();
    let facts: Vec<_> = explained.rules.iter().flat_map(|rule| rule.facts.clone()).collect();
    assert_eq!((explained.rules.len(), facts.len()), (1, 1));
    assert_eq!(
        (facts[0].fact_id.as_str(), facts[0].kind.as_str()),
        (team[0].authorization_id.as_str(), "structure-care-team")
    );
    let request = ListWhoCanAccessRequest {
        dmp_id: scene.dmp_id.clone(),
        ..Default::default()
    };
    let request = scene.bench.request(&scene.holder(), request);
    let who = answer(scene.access().list_who_can_access(request).await).unwrap();
    let names: Vec<&str> = who.parties.iter().map(|party| party.name.as_str()).collect();
    assert_eq!(names, [actor::OTHER_PHYSICIAN, actor::HOSPITAL]);
}

async fn every_field_that_is_wrong_is_listed(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let holder = scene.holder();
    let wrong = JoinCareTeamRequest {
        valid_until: None,
        ..scene.team(&["81", actor::PHYSICIAN, actor::PHYSICIAN])
    };
    let fields = scene.join(&holder, wrong).await.unwrap_err().fields;
    let fields: Vec<&str> = fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["professional_ids[0]", "professional_ids[2]", "valid_until"]);
    let both = JoinCareTeamRequest {
        structure_id: actor::HOSPITAL.into(),
        ..scene.team(&[actor::PHYSICIAN])
    };
    let both = scene.join(&holder, both).await.unwrap_err();
    assert!(both.has_field("professional_ids", "NOT_EXPECTED"));
    for team in [vec![], vec![actor::PHYSICIAN; 21]] {
        let refusal = scene.join(&holder, scene.team(&team)).await.unwrap_err();
        assert!(refusal.has_field("professional_ids", "LENGTH"));
    }
    let long = JoinCareTeamRequest {
        valid_until: Some(scene.later(24 * 366)),
        ..scene.structure_team()
    };
    let long = scene.join(&holder, long).await.unwrap_err();
    assert!(long.has_field("valid_until", "TOO_LONG"));
}
