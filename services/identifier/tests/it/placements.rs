//! Where each beneficiary's single dossier lives.

use std::collections::HashSet;

use api::identifier::v1 as pb;
use api::identity::DmpId;
use identifier::Identifier;
use jiff::SignedDuration;
use testkit::{Bench, actor, on_both_engines, refusal};
use tonic::Code;

use crate::people::{Hosts, Stage};

on_both_engines! {
    a_dossier_is_placed_and_found,
    placing_it_again_answers_the_same_placement,
    a_dossier_has_one_place,
    of_hosts_asked_at_once_exactly_one_gets_the_dossier,
    a_dossier_is_placed_only_at_an_accredited_host,
    a_placement_outlives_the_accreditation_and_says_so,
    what_is_not_there_is_not_found,
    every_violation_is_reported_at_once,
    placing_and_finding_have_their_roles,
    a_holder_finds_its_own_placement_only,
    two_instances_place_a_dossier_once,
}

async fn find(stage: &Stage, dmp_id: &str) -> Result<pb::Placement, tonic::Status> {
    let request = stage.asked(pb::GetPlacementRequest {
        dmp_id: dmp_id.to_owned(),
    });
    stage
        .hosts()
        .get_placement(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn a_dossier_is_placed_and_found(bench: Bench) {
    let stage = Stage::new(bench).await;
    let (host, dmp_id) = (stage.accredited_host(1).await, stage.enrolled(1).await);
    assert_eq!(
        refusal(&find(&stage, &dmp_id).await.unwrap_err()).metadata["resource"],
        "placement"
    );
    let placed = stage.place(&dmp_id, &host.host_id).await.unwrap();
    let expected = pb::Placement {
        dmp_id: dmp_id.clone(),
        host_id: host.host_id,
        placed_at: Some(stage.in_seconds(0)),
        host_accredited: true,
    };
    assert_eq!(placed, expected);
    stage.bench.time.advance(SignedDuration::from_mins(1));
    assert_eq!(find(&stage, &dmp_id).await.unwrap(), expected);
}

async fn placing_it_again_answers_the_same_placement(bench: Bench) {
    let stage = Stage::new(bench).await;
    let (host, dmp_id) = (stage.accredited_host(1).await, stage.enrolled(1).await);
    let placed = stage.place(&dmp_id, &host.host_id).await.unwrap();
    stage.bench.time.advance(SignedDuration::from_mins(1));
    assert_eq!(stage.place(&dmp_id, &host.host_id).await.unwrap(), placed);
}

/// L1111-14, fifth sentence: one dossier, one host.
async fn a_dossier_has_one_place(bench: Bench) {
    let stage = Stage::new(bench).await;
    let (one, other) = (stage.accredited_host(1).await, stage.accredited_host(2).await);
    let dmp_id = stage.enrolled(1).await;
    let placed = stage.place(&dmp_id, &one.host_id).await.unwrap();
    let refused = refusal(&stage.place(&dmp_id, &other.host_id).await.unwrap_err());
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::FailedPrecondition, "PLACED_ELSEWHERE")
    );
    assert_eq!(refused.metadata["host_id"], one.host_id);
    assert_eq!(find(&stage, &dmp_id).await.unwrap(), placed);
}

async fn of_hosts_asked_at_once_exactly_one_gets_the_dossier(bench: Bench) {
    let stage = Stage::new(bench).await;
    let mut hosts = Vec::new();
    for number in 0..8 {
        hosts.push(stage.accredited_host(number).await.host_id);
    }
    for number in 0..5 {
        let dmp_id = stage.enrolled(number).await;
        let answers = futures::future::join_all(hosts.iter().map(|host| stage.place(&dmp_id, host))).await;
        let (placed, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((placed.len(), refused.len()), (1, 7));
        let winner = &placed[0].as_ref().unwrap().host_id;
        for status in refused {
            let refused = refusal(&status.unwrap_err());
            assert_eq!(
                (refused.reason.as_str(), &refused.metadata["host_id"]),
                ("PLACED_ELSEWHERE", winner)
            );
        }
        assert_eq!(&find(&stage, &dmp_id).await.unwrap().host_id, winner);
    }
}

/// L1111-14, fifth sentence; L1111-8. Also when it has been placed there before: fail closed.
async fn a_dossier_is_placed_only_at_an_accredited_host(bench: Bench) {
    let stage = Stage::new(bench).await;
    let never = stage.host(1).await;
    let over = stage.host(2).await;
    let request = pb::AccreditHostRequest {
        valid_from: Some(stage.in_seconds(-100)),
        valid_until: Some(stage.in_seconds(0)),
        ..stage.accreditation_of(&over.host_id)
    };
    stage.accredit(request).await.unwrap();
    let suspended = stage.accredited_host(3).await;
    let before = stage.enrolled(1).await;
    stage.place(&before, &suspended.host_id).await.unwrap();
    stage.suspend(&suspended.host_id).await.unwrap();
    let withdrawn = stage.accredited_host(4).await;
    stage
        .withdraw(&withdrawn.host_id, &withdrawn.accreditations[0].accreditation_id)
        .await
        .unwrap();
    let dmp_id = stage.enrolled(2).await;
    for host in [&never, &over, &suspended, &withdrawn] {
        let refused = refusal(&stage.place(&dmp_id, &host.host_id).await.unwrap_err());
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::FailedPrecondition, "HOST_NOT_ACCREDITED")
        );
        assert_eq!(refused.metadata["host_id"], host.host_id);
    }
    assert_eq!(find(&stage, &dmp_id).await.unwrap_err().code(), Code::NotFound);
    let again = refusal(&stage.place(&before, &suspended.host_id).await.unwrap_err());
    assert_eq!(again.reason, "HOST_NOT_ACCREDITED");
}

async fn a_placement_outlives_the_accreditation_and_says_so(bench: Bench) {
    let stage = Stage::new(bench).await;
    let (host, dmp_id) = (stage.accredited_host(1).await, stage.enrolled(1).await);
    let placed = stage.place(&dmp_id, &host.host_id).await.unwrap();
    stage.suspend(&host.host_id).await.unwrap();
    let found = find(&stage, &dmp_id).await.unwrap();
    assert_eq!(
        found,
        pb::Placement {
            host_accredited: false,
            ..placed.clone()
        }
    );
    stage.accredit(stage.accreditation_of(&host.host_id)).await.unwrap();
    assert_eq!(find(&stage, &dmp_id).await.unwrap(), placed);
}

async fn what_is_not_there_is_not_found(bench: Bench) {
    let stage = Stage::new(bench).await;
    let (host, dmp_id) = (stage.accredited_host(1).await, stage.enrolled(1).await);
    let nobody = DmpId::generate([9; 16]);
    for (dmp_id, host_id, resource) in [
        (nobody.as_str(), host.host_id.clone(), "beneficiary"),
        (dmp_id.as_str(), stage.bench.request_id(), "host"),
    ] {
        let refused = refusal(&stage.place(dmp_id, &host_id).await.unwrap_err());
        assert_eq!(
            (refused.reason.as_str(), refused.metadata["resource"].as_str()),
            ("NOT_FOUND", resource)
        );
    }
    assert_eq!(find(&stage, nobody.as_str()).await.unwrap_err().code(), Code::NotFound);
}

async fn every_violation_is_reported_at_once(bench: Bench) {
    let stage = Stage::new(bench).await;
    let wrong = pb::PlaceDossierRequest {
        dmp_id: "10000000000000000082".to_owned(),
        ..Default::default()
    };
    let refused = refusal(&stage.hosts().place_dossier(stage.asked(wrong)).await.unwrap_err());
    let expected = [
        ("request_id", "NOT_A_UUID"),
        ("dmp_id", "WRONG_KEY"),
        ("host_id", "NOT_A_UUID"),
    ];
    assert_eq!(
        refused.fields,
        expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()))
    );
    assert!(refusal(&find(&stage, "1").await.unwrap_err()).has_field("dmp_id", "WRONG_LENGTH"));
}

async fn placing_and_finding_have_their_roles(bench: Bench) {
    let stage = Stage::new(bench).await;
    let (host, dmp_id) = (stage.accredited_host(1).await, stage.enrolled(1).await);
    stage.place(&dmp_id, &host.host_id).await.unwrap();
    let mut client = stage.hosts();
    let find = pb::GetPlacementRequest { dmp_id: dmp_id.clone() };
    let callers = [
        (actor::physician(actor::PHYSICIAN), true),
        (actor::establishment_system(), true),
        (actor::auditor(), true),
        (actor::holder(&dmp_id), true),
        (actor::representative("parent"), false),
        (actor::excluded_party(), false),
    ];
    for (claims, finds) in &callers {
        let placement = stage.placement_of(&dmp_id, &host.host_id);
        let refused = client
            .place_dossier(stage.bench.request(claims, placement.clone()))
            .await
            .unwrap_err();
        assert_eq!(refusal(&refused).reason, "ROLE_FORBIDDEN");
        let found = client.get_placement(stage.bench.request(claims, find.clone())).await;
        assert_eq!(
            found.map_err(|status| refusal(&status).reason).err(),
            (!finds).then(|| "ROLE_FORBIDDEN".into())
        );
        // Through a service, which has decided on the call, everybody but whom L1111-18 keeps out.
        let through = stage.bench.service_request("dossier", Some(claims), placement);
        let kept_out = claims.dmp_role == "EXCLUDED_PARTY";
        assert_eq!(client.place_dossier(through).await.is_err(), kept_out);
        let through = stage.bench.service_request("dossier", Some(claims), find.clone());
        assert_eq!(client.get_placement(through).await.is_err(), kept_out);
    }
    let placement = stage.placement_of(&dmp_id, &host.host_id);
    assert!(
        client
            .place_dossier(stage.bench.service_request("dossier", None, placement))
            .await
            .is_ok()
    );
    assert!(
        client
            .get_placement(stage.bench.service_request("dossier", None, find))
            .await
            .is_ok()
    );
}

async fn a_holder_finds_its_own_placement_only(bench: Bench) {
    let stage = Stage::new(bench).await;
    let host = stage.accredited_host(1).await;
    let (own, other) = (stage.enrolled(1).await, stage.enrolled(2).await);
    stage.place(&other, &host.host_id).await.unwrap();
    let mut refusals = HashSet::new();
    for dmp_id in [own.clone(), other] {
        let request = stage
            .bench
            .request(&actor::holder(&own), pb::GetPlacementRequest { dmp_id });
        refusals.insert(format!(
            "{:?}",
            refusal(&stage.hosts().get_placement(request).await.unwrap_err())
        ));
    }
    assert_eq!(
        refusals.len(),
        1,
        "a placed dossier of somebody else's looks like none: {refusals:?}"
    );
}

async fn two_instances_place_a_dossier_once(bench: Bench) {
    let stage = Stage::new(bench).await;
    let (one, other) = (stage.accredited_host(1).await, stage.accredited_host(2).await);
    let second = stage
        .bench
        .start_with::<Identifier>(stage.service.settings.clone())
        .await;
    for number in 0..5 {
        let dmp_id = stage.enrolled(number).await;
        let there = stage.asked(stage.placement_of(&dmp_id, &other.host_id));
        let mut client = Hosts::new(second.channel());
        let (here, there) = tokio::join!(stage.place(&dmp_id, &one.host_id), client.place_dossier(there));
        assert!(here.is_ok() != there.is_ok(), "{here:?} {there:?}");
    }
}
