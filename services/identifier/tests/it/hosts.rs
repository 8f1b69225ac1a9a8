//! The register of hosts and their accreditations.

use api::identifier::v1 as pb;
use api::identity::Check;
use identifier::{Checks, Config, Identifier};
use jiff::SignedDuration;
use testkit::{Bench, actor, on_both_engines, refusal};
use tonic::Code;

use crate::people::{Hosts, Stage};

on_both_engines! {
    a_host_is_registered_without_accreditation,
    a_structure_is_registered_once,
    every_violation_of_a_registration_is_reported_at_once,
    a_wrong_check_digit_of_a_structure_is_a_setting,
    an_accreditation_holds_from_its_first_moment_until_before_its_last,
    an_accreditation_covers_its_scopes_only,
    accreditations_are_newest_first,
    every_violation_of_an_accreditation_is_reported_at_once,
    a_suspension_lasts_until_the_next_accreditation,
    a_withdrawal_is_for_good,
    what_is_not_there_is_not_found,
    every_change_changes_the_etag,
    repeated_requests_change_nothing,
    a_host_has_so_many_accreditations_and_no_more,
    changes_at_once_are_all_kept,
    pages_are_complete_and_in_order_while_hosts_are_added,
    a_listing_by_scope_holds_exactly_the_hosts_accredited_now,
    a_page_has_a_limit_and_a_negative_one_is_refused,
    a_page_token_is_good_for_its_query_only,
    each_method_has_its_roles,
}

const DOSSIER: i32 = pb::HostingScope::Dossier as i32;
const MESSAGING: i32 = pb::HostingScope::Messaging as i32;

async fn list(stage: &Stage, request: pb::ListHostsRequest) -> Result<pb::ListHostsResponse, tonic::Status> {
    stage
        .hosts()
        .list_hosts(stage.asked(request))
        .await
        .map(tonic::Response::into_inner)
}

/// All pages of a listing, and how many there were.
async fn listed(stage: &Stage, page_size: i32, accredited_for: i32) -> (Vec<pb::Host>, usize) {
    let (mut hosts, mut pages, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let request = pb::ListHostsRequest {
            page_size,
            page_token,
            accredited_for,
        };
        let page = list(stage, request).await.unwrap();
        assert!(page_size == 0 || page.hosts.len() <= usize::try_from(page_size).unwrap());
        hosts.extend(page.hosts);
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return (hosts, pages);
        }
    }
}

/// The host as the register shows it now.
async fn shown(stage: &Stage, host_id: &str) -> pb::Host {
    let (hosts, _) = listed(stage, 0, 0).await;
    hosts.into_iter().find(|host| host.host_id == host_id).unwrap()
}

async fn a_host_is_registered_without_accreditation(bench: Bench) {
    let stage = Stage::new(bench).await;
    let request = stage.registration_of(1);
    let host = stage.register(request.clone()).await.unwrap();
    assert_eq!(
        (&host.name, &host.structure_id, &host.endpoint),
        (&request.name, &request.structure_id, &request.endpoint)
    );
    assert!(host.accreditations.is_empty() && host.accredited_now.is_empty() && host.suspended_at.is_none());
    assert!(!host.etag.is_empty());
    assert_eq!(shown(&stage, &host.host_id).await, host);
    let without_endpoint = pb::RegisterHostRequest {
        endpoint: String::new(),
        ..stage.registration_of(2)
    };
    assert_eq!(stage.register(without_endpoint).await.unwrap().endpoint, "");
}

async fn a_structure_is_registered_once(bench: Bench) {
    let stage = Stage::new(bench).await;
    let host = stage.host(1).await;
    let again = pb::RegisterHostRequest {
        name: "Autre".to_owned(),
        ..stage.registration_of(1)
    };
    let refused = refusal(&stage.register(again).await.unwrap_err());
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::AlreadyExists, "ALREADY_EXISTS")
    );
    assert_eq!(
        (&refused.metadata["resource"], &refused.metadata["host_id"]),
        (&"host".to_owned(), &host.host_id)
    );
    let at_once: Vec<_> = (0..8).map(|_| stage.registration_of(2)).collect();
    let answers = futures::future::join_all(at_once.into_iter().map(|request| stage.register(request))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
}

async fn every_violation_of_a_registration_is_reported_at_once(bench: Bench) {
    let stage = Stage::new(bench).await;
    let wrong = pb::RegisterHostRequest {
        request_id: String::new(),
        name: "N".repeat(201),
        structure_id: "1750100126".to_owned(),
        endpoint: "https://user:secret@host.example".to_owned(),
    };
    let refused = refusal(&stage.register(wrong).await.unwrap_err());
    let fields = ["request_id", "name", "structure_id", "endpoint"];
    assert_eq!(
        refused
            .fields
            .iter()
            .map(|(field, _)| field.as_str())
            .collect::<Vec<_>>(),
        fields
    );
    assert!(refused.has_field("structure_id", "WRONG_KEY"));
    // An office is a person's: no host.
    let office = pb::RegisterHostRequest {
        structure_id: "412345678901234".to_owned(),
        ..stage.registration_of(1)
    };
    let settings = Config {
        checks: Checks {
            structures: Check::Lenient,
            ..Checks::default()
        },
    };
    let lenient = stage.bench.start::<Identifier>(settings).await;
    let refused = Hosts::new(lenient.channel())
        .register_host(stage.asked(office))
        .await
        .unwrap_err();
    assert!(refusal(&refused).has_field("structure_id", "WRONG_KIND"));
}

async fn a_wrong_check_digit_of_a_structure_is_a_setting(bench: Bench) {
    let settings = Config {
        checks: Checks {
            structures: Check::Lenient,
            ..Checks::default()
        },
    };
    let stage = Stage::with(bench, settings).await;
    let wrong = pb::RegisterHostRequest {
        structure_id: "1750100126".to_owned(),
        ..stage.registration_of(1)
    };
    assert_eq!(stage.register(wrong).await.unwrap().structure_id, "1750100126");
}

/// L1111-8: accredited from the first moment on, no longer at the last.
async fn an_accreditation_holds_from_its_first_moment_until_before_its_last(bench: Bench) {
    let stage = Stage::new(bench).await;
    let host = stage.host(1).await;
    let (from, until) = (stage.in_seconds(100), stage.in_seconds(200));
    let request = pb::AccreditHostRequest {
        valid_from: Some(from),
        valid_until: Some(until),
        ..stage.accreditation_of(&host.host_id)
    };
    let accredited = stage.accredit(request).await.unwrap();
    assert_eq!(
        (
            accredited.accreditations[0].valid_from,
            accredited.accreditations[0].valid_until
        ),
        (Some(from), Some(until))
    );
    let mut now = 0;
    for (moment, holds) in [
        (0, false),
        (99, false),
        (100, true),
        (199, true),
        (200, false),
        (250, false),
    ] {
        stage.bench.time.advance(SignedDuration::from_secs(moment - now));
        now = moment;
        let expected = if holds { vec![DOSSIER] } else { vec![] };
        assert_eq!(shown(&stage, &host.host_id).await.accredited_now, expected, "{moment}");
        let dmp_id = stage.enrolled(usize::try_from(moment).unwrap()).await;
        let placed = stage.place(&dmp_id, &host.host_id).await;
        match placed {
            Ok(_) => assert!(holds, "{moment}"),
            Err(status) => {
                assert!(!holds, "{moment}");
                assert_eq!(refusal(&status).reason, "HOST_NOT_ACCREDITED");
            }
        }
    }
}

async fn an_accreditation_covers_its_scopes_only(bench: Bench) {
    let stage = Stage::new(bench).await;
    for (number, scopes, covered) in [
        (1, vec![DOSSIER], vec![DOSSIER]),
        (2, vec![MESSAGING], vec![MESSAGING]),
        (3, vec![MESSAGING, DOSSIER, MESSAGING], vec![DOSSIER, MESSAGING]),
    ] {
        let host = stage.host(number).await;
        let request = pb::AccreditHostRequest {
            scopes,
            ..stage.accreditation_of(&host.host_id)
        };
        let accredited = stage.accredit(request).await.unwrap();
        assert_eq!(accredited.accreditations[0].scopes, covered);
        assert_eq!(accredited.accredited_now, covered);
        let dmp_id = stage.enrolled(number).await;
        assert_eq!(
            stage.place(&dmp_id, &host.host_id).await.is_ok(),
            covered.contains(&DOSSIER)
        );
    }
}

async fn accreditations_are_newest_first(bench: Bench) {
    let stage = Stage::new(bench).await;
    let host = stage.host(1).await;
    // Later begins first: newest is what was recorded last.
    for (number, begin) in [(0, 300), (1, 200), (2, 100)] {
        let request = pb::AccreditHostRequest {
            valid_from: Some(stage.in_seconds(begin)),
            decision_reference: format!("Décision {number}"),
            ..stage.accreditation_of(&host.host_id)
        };
        let accredited = stage.accredit(request).await.unwrap();
        assert_eq!(accredited, shown(&stage, &host.host_id).await);
        let references: Vec<String> = (0..=number).rev().map(|number| format!("Décision {number}")).collect();
        let shown = accredited
            .accreditations
            .iter()
            .map(|one| one.decision_reference.clone());
        assert_eq!(shown.collect::<Vec<_>>(), references);
    }
}

async fn every_violation_of_an_accreditation_is_reported_at_once(bench: Bench) {
    let stage = Stage::new(bench).await;
    let empty = refusal(&stage.accredit(pb::AccreditHostRequest::default()).await.unwrap_err());
    for (field, reason) in [
        ("request_id", "NOT_A_UUID"),
        ("host_id", "NOT_A_UUID"),
        ("scopes", "REQUIRED"),
        ("valid_until", "REQUIRED"),
        ("decision_reference", "REQUIRED"),
    ] {
        assert!(empty.has_field(field, reason), "{field} in {empty:?}");
    }
    let host = stage.host(1).await;
    let wrong = pb::AccreditHostRequest {
        scopes: vec![DOSSIER, 0, 9],
        // Until now, from now: never.
        valid_until: Some(stage.in_seconds(0)),
        ..stage.accreditation_of(&host.host_id)
    };
    let wrong = refusal(&stage.accredit(wrong).await.unwrap_err());
    let expected = [
        ("scopes[1]", "UNKNOWN_VALUE"),
        ("scopes[2]", "UNKNOWN_VALUE"),
        ("valid_until", "NOT_AFTER_VALID_FROM"),
    ];
    assert_eq!(
        wrong.fields,
        expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()))
    );
}

async fn a_suspension_lasts_until_the_next_accreditation(bench: Bench) {
    let stage = Stage::new(bench).await;
    let host = stage.accredited_host(1).await;
    let (before, after) = (stage.enrolled(1).await, stage.enrolled(2).await);
    stage.place(&before, &host.host_id).await.unwrap();
    stage.bench.time.advance(SignedDuration::from_secs(10));
    let suspended = stage.suspend(&host.host_id).await.unwrap();
    assert_eq!(suspended.suspended_at, Some(stage.in_seconds(0)));
    assert!(suspended.accredited_now.is_empty());
    assert_eq!(suspended.accreditations, host.accreditations);
    let refused = refusal(&stage.place(&after, &host.host_id).await.unwrap_err());
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::FailedPrecondition, "HOST_NOT_ACCREDITED")
    );
    assert_eq!(refused.metadata["host_id"], host.host_id);
    let again = refusal(&stage.suspend(&host.host_id).await.unwrap_err());
    assert_eq!(
        (again.reason.as_str(), again.metadata["state"].as_str()),
        ("STATE_CONFLICT", "SUSPENDED")
    );
    // One for messaging ends it, and with it the suspension of the one for dossiers.
    let messaging = pb::AccreditHostRequest {
        scopes: vec![MESSAGING],
        ..stage.accreditation_of(&host.host_id)
    };
    let accredited = stage.accredit(messaging).await.unwrap();
    assert_eq!(
        (accredited.suspended_at, accredited.accredited_now),
        (None, vec![DOSSIER, MESSAGING])
    );
    assert!(stage.place(&after, &host.host_id).await.is_ok());
}

async fn a_withdrawal_is_for_good(bench: Bench) {
    let stage = Stage::new(bench).await;
    let host = stage.accredited_host(1).await;
    let accreditation = &host.accreditations[0].accreditation_id;
    let withdrawn = stage.withdraw(&host.host_id, accreditation).await.unwrap();
    assert!(withdrawn.accredited_now.is_empty());
    assert_eq!(withdrawn.accreditations[0].withdrawn_at, Some(stage.in_seconds(0)));
    assert_eq!(shown(&stage, &host.host_id).await, withdrawn);
    let again = refusal(&stage.withdraw(&host.host_id, accreditation).await.unwrap_err());
    assert_eq!(
        (again.code, again.metadata["state"].as_str()),
        (Code::FailedPrecondition, "WITHDRAWN")
    );
    let messaging = pb::AccreditHostRequest {
        scopes: vec![MESSAGING],
        ..stage.accreditation_of(&host.host_id)
    };
    assert_eq!(stage.accredit(messaging).await.unwrap().accredited_now, [MESSAGING]);
    // Nor does a clock that runs behind bring it back.
    stage.bench.time.advance(SignedDuration::from_secs(-5));
    assert_eq!(shown(&stage, &host.host_id).await.accredited_now, [] as [i32; 0]);
    let dmp_id = stage.enrolled(1).await;
    assert_eq!(
        refusal(&stage.place(&dmp_id, &host.host_id).await.unwrap_err()).reason,
        "HOST_NOT_ACCREDITED"
    );
}

async fn what_is_not_there_is_not_found(bench: Bench) {
    let stage = Stage::new(bench).await;
    let (one, other) = (stage.accredited_host(1).await, stage.accredited_host(2).await);
    let nowhere = stage.bench.request_id();
    let of_other = &other.accreditations[0].accreditation_id;
    let refusals = [
        (
            stage.accredit(stage.accreditation_of(&nowhere)).await.unwrap_err(),
            "host",
        ),
        (stage.suspend(&nowhere).await.unwrap_err(), "host"),
        (stage.withdraw(&nowhere, of_other).await.unwrap_err(), "host"),
        (
            stage.withdraw(&one.host_id, of_other).await.unwrap_err(),
            "accreditation",
        ),
    ];
    for (status, resource) in refusals {
        let refused = refusal(&status);
        assert_eq!(
            (refused.reason.as_str(), refused.metadata["resource"].as_str()),
            ("NOT_FOUND", resource)
        );
    }
    assert_eq!(shown(&stage, &other.host_id).await, other);
    assert_eq!(shown(&stage, &one.host_id).await, one);
}

async fn every_change_changes_the_etag(bench: Bench) {
    let stage = Stage::new(bench).await;
    let host = stage.host(1).await;
    let accredited = stage.accredit(stage.accreditation_of(&host.host_id)).await.unwrap();
    let suspended = stage.suspend(&host.host_id).await.unwrap();
    let withdrawn = stage
        .withdraw(&host.host_id, &accredited.accreditations[0].accreditation_id)
        .await
        .unwrap();
    let mut etags = vec![host.etag, accredited.etag, suspended.etag, withdrawn.etag.clone()];
    assert_eq!(shown(&stage, &host.host_id).await.etag, withdrawn.etag);
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 4);
}

/// AIP-155, for each of the five changes.
async fn repeated_requests_change_nothing(bench: Bench) {
    let stage = Stage::new(bench).await;
    let dmp_id = stage.enrolled(1).await;
    let registration = stage.registration_of(1);
    let host = stage.register(registration.clone()).await.unwrap();
    let accreditation = stage.accreditation_of(&host.host_id);
    let accredited = stage.accredit(accreditation.clone()).await.unwrap();
    let placement = stage.placement_of(&dmp_id, &host.host_id);
    let placed = stage
        .hosts()
        .place_dossier(stage.asked(placement.clone()))
        .await
        .unwrap()
        .into_inner();
    let (host_id, request_id) = (host.host_id.clone(), stage.bench.request_id());
    let suspension = pb::SuspendAccreditationRequest { request_id, host_id };
    let suspended = stage
        .hosts()
        .suspend_accreditation(stage.asked(suspension.clone()))
        .await
        .unwrap()
        .into_inner();
    let withdrawal = pb::WithdrawAccreditationRequest {
        request_id: stage.bench.request_id(),
        host_id: host.host_id.clone(),
        accreditation_id: accredited.accreditations[0].accreditation_id.clone(),
    };
    let withdrawn = stage
        .hosts()
        .withdraw_accreditation(stage.asked(withdrawal.clone()))
        .await
        .unwrap()
        .into_inner();

    stage.bench.time.advance(SignedDuration::from_mins(3));
    let mut client = stage.hosts();
    assert_eq!(stage.register(registration.clone()).await.unwrap(), host);
    assert_eq!(stage.accredit(accreditation).await.unwrap(), accredited);
    assert_eq!(
        client.place_dossier(stage.asked(placement)).await.unwrap().into_inner(),
        placed
    );
    assert_eq!(
        client
            .suspend_accreditation(stage.asked(suspension))
            .await
            .unwrap()
            .into_inner(),
        suspended
    );
    assert_eq!(
        client
            .withdraw_accreditation(stage.asked(withdrawal))
            .await
            .unwrap()
            .into_inner(),
        withdrawn
    );
    assert_eq!(shown(&stage, &host.host_id).await, withdrawn);

    let other = pb::RegisterHostRequest {
        request_id: registration.request_id,
        ..stage.registration_of(2)
    };
    assert_eq!(
        refusal(&stage.register(other).await.unwrap_err()).reason,
        "REQUEST_ID_REUSED"
    );
}

async fn a_host_has_so_many_accreditations_and_no_more(bench: Bench) {
    let stage = Stage::new(bench).await;
    let host = stage.host(1).await;
    for _ in 0..64 {
        stage.accredit(stage.accreditation_of(&host.host_id)).await.unwrap();
    }
    let refused = refusal(&stage.accredit(stage.accreditation_of(&host.host_id)).await.unwrap_err());
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::ResourceExhausted, "TOO_LARGE")
    );
    assert_eq!(
        (refused.metadata["limit"].as_str(), refused.metadata["unit"].as_str()),
        ("64", "accreditations")
    );
}

async fn changes_at_once_are_all_kept(bench: Bench) {
    let stage = Stage::new(bench).await;
    let host = stage.host(1).await;
    let requests: Vec<_> = (0..8).map(|_| stage.accreditation_of(&host.host_id)).collect();
    let answers = futures::future::join_all(requests.into_iter().map(|request| stage.accredit(request))).await;
    let mut etags: Vec<String> = answers.into_iter().map(|answer| answer.unwrap().etag).collect();
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 8);
    assert_eq!(shown(&stage, &host.host_id).await.accreditations.len(), 8);
}

async fn pages_are_complete_and_in_order_while_hosts_are_added(bench: Bench) {
    let stage = Stage::new(bench).await;
    let mut expected = Vec::new();
    for number in (0..23).rev() {
        // Some have the same name: the order must not depend on it alone.
        let name = format!("Hôte {:02}", number / 3);
        let host = stage
            .register(pb::RegisterHostRequest {
                name,
                ..stage.registration_of(number)
            })
            .await
            .unwrap();
        expected.push((host.name, host.host_id));
    }
    expected.sort();
    for (page_size, expected_pages) in [(1, 23), (5, 5), (22, 2), (23, 1), (100, 1), (0, 1)] {
        let (hosts, pages) = listed(&stage, page_size, 0).await;
        let found: Vec<_> = hosts.into_iter().map(|host| (host.name, host.host_id)).collect();
        assert_eq!(found, expected);
        assert_eq!(pages, expected_pages, "{page_size}");
    }
    // A host registered behind the reader shows on no later page and shifts none.
    let first = list(
        &stage,
        pb::ListHostsRequest {
            page_size: 10,
            ..Default::default()
        },
    )
    .await
    .unwrap();
    stage
        .register(pb::RegisterHostRequest {
            name: "A".to_owned(),
            ..stage.registration_of(500)
        })
        .await
        .unwrap();
    let rest = pb::ListHostsRequest {
        page_token: first.next_page_token,
        ..Default::default()
    };
    let rest = list(&stage, rest).await.unwrap();
    let found = first
        .hosts
        .into_iter()
        .chain(rest.hosts)
        .map(|host| (host.name, host.host_id));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

/// The listing's condition is SQL's, a host's is the domain's: they must say the same at every edge.
async fn a_listing_by_scope_holds_exactly_the_hosts_accredited_now(bench: Bench) {
    let stage = Stage::new(bench).await;
    let windows = [(0, 50), (50, 100), (0, 100), (100, 150), (49, 51)];
    for (number, (from, until)) in windows.iter().cycle().take(15).enumerate() {
        let host = stage.host(number).await;
        let scopes = [vec![DOSSIER], vec![MESSAGING], vec![DOSSIER, MESSAGING]][number / 5].clone();
        let (from, until) = (Some(stage.in_seconds(*from)), Some(stage.in_seconds(*until)));
        let base = stage.accreditation_of(&host.host_id);
        let request = pb::AccreditHostRequest {
            scopes,
            valid_from: from,
            valid_until: until,
            ..base
        };
        let accredited = stage.accredit(request).await.unwrap();
        match number % 4 {
            2 => drop(stage.suspend(&host.host_id).await.unwrap()),
            3 => drop(
                stage
                    .withdraw(&host.host_id, &accredited.accreditations[0].accreditation_id)
                    .await
                    .unwrap(),
            ),
            _ => {}
        }
    }
    let (mut now, mut seen) = (0, 0);
    for moment in [0, 48, 49, 50, 51, 99, 100, 149, 150] {
        stage.bench.time.advance(SignedDuration::from_secs(moment - now));
        now = moment;
        let (all, _) = listed(&stage, 0, 0).await;
        for scope in [DOSSIER, MESSAGING] {
            let expected: Vec<_> = all
                .iter()
                .filter(|host| host.accredited_now.contains(&scope))
                .cloned()
                .collect();
            let (found, pages) = listed(&stage, 2, scope).await;
            assert_eq!(found, expected, "{moment}");
            assert_eq!(
                pages,
                expected.len().div_ceil(2).max(1),
                "pages are cut after the condition"
            );
            seen += found.len();
        }
    }
    assert!(seen > 20, "the edges must show hosts at all: {seen}");
}

async fn a_page_has_a_limit_and_a_negative_one_is_refused(bench: Bench) {
    let stage = Stage::new(bench).await;
    let hosts: Vec<_> = (0..60).map(|number| stage.registration_of(number)).collect();
    for answer in futures::future::join_all(hosts.into_iter().map(|host| stage.register(host))).await {
        answer.unwrap();
    }
    assert_eq!(
        list(&stage, pb::ListHostsRequest::default()).await.unwrap().hosts.len(),
        50
    );
    let large = pb::ListHostsRequest {
        page_size: i32::MAX,
        ..Default::default()
    };
    assert_eq!(list(&stage, large).await.unwrap().hosts.len(), 60);
    let wrong = pb::ListHostsRequest {
        page_size: -1,
        accredited_for: 9,
        ..Default::default()
    };
    let refused = refusal(&list(&stage, wrong).await.unwrap_err());
    assert!(refused.has_field("page_size", "NEGATIVE"));
    assert!(refused.has_field("accredited_for", "UNKNOWN_VALUE"));
}

async fn a_page_token_is_good_for_its_query_only(bench: Bench) {
    let stage = Stage::new(bench).await;
    for number in 0..3 {
        stage.accredited_host(number).await;
    }
    let first = pb::ListHostsRequest {
        page_size: 1,
        ..Default::default()
    };
    let page_token = list(&stage, first).await.unwrap().next_page_token;
    let foreign = [
        pb::ListHostsRequest {
            page_token: page_token.clone(),
            accredited_for: DOSSIER,
            ..Default::default()
        },
        pb::ListHostsRequest {
            page_token: "nonsense".to_owned(),
            ..Default::default()
        },
        pb::ListHostsRequest {
            page_token: format!("{page_token}AAAA")[4..].to_owned(),
            ..Default::default()
        },
    ];
    for request in foreign {
        let refused = refusal(&list(&stage, request).await.unwrap_err());
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::InvalidArgument, "PAGE_TOKEN_INVALID")
        );
    }
    // The page's size may change on the way.
    let rest = pb::ListHostsRequest {
        page_size: 9,
        page_token,
        ..Default::default()
    };
    assert_eq!(list(&stage, rest).await.unwrap().hosts.len(), 2);
}

async fn each_method_has_its_roles(bench: Bench) {
    let stage = Stage::new(bench).await;
    let host = stage.accredited_host(1).await;
    let dmp_id = stage.enrolled(1).await;
    let callers = [
        actor::physician(actor::PHYSICIAN),
        actor::establishment_system(),
        actor::auditor(),
        actor::holder(&dmp_id),
        actor::representative("parent"),
        actor::excluded_party(),
    ];
    let suspension = pb::SuspendAccreditationRequest {
        request_id: stage.bench.request_id(),
        host_id: host.host_id.clone(),
    };
    let withdrawal = pb::WithdrawAccreditationRequest {
        request_id: stage.bench.request_id(),
        host_id: host.host_id.clone(),
        accreditation_id: host.accreditations[0].accreditation_id.clone(),
    };
    let mut client = stage.hosts();
    for claims in &callers {
        let refusals = [
            client
                .register_host(stage.bench.request(claims, stage.registration_of(9)))
                .await
                .unwrap_err(),
            client
                .accredit_host(stage.bench.request(claims, stage.accreditation_of(&host.host_id)))
                .await
                .unwrap_err(),
            client
                .suspend_accreditation(stage.bench.request(claims, suspension.clone()))
                .await
                .unwrap_err(),
            client
                .withdraw_accreditation(stage.bench.request(claims, withdrawal.clone()))
                .await
                .unwrap_err(),
        ];
        for status in refusals {
            let refused = refusal(&status);
            assert_eq!(
                (refused.code, refused.reason.as_str()),
                (Code::PermissionDenied, "ROLE_FORBIDDEN")
            );
        }
        let request = stage.bench.request(claims, pb::ListHostsRequest::default());
        assert_eq!(client.list_hosts(request).await.unwrap().into_inner().hosts.len(), 1);
    }
    let request = stage.bench.service_request("dossier", None, stage.registration_of(9));
    assert_eq!(
        client.register_host(request).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let nobody = client.list_hosts(pb::ListHostsRequest::default()).await.unwrap_err();
    assert_eq!(refusal(&nobody).reason, "TOKEN_MISSING");
    assert_eq!(shown(&stage, &host.host_id).await, host);
}
