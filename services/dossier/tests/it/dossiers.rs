//! The dossier's life (L1111-14, L1111-18).

use crate::house::{HOST_ID, House, refused};
use crate::peers::{everything, granted, refused as decided_against};
use api::common::v1::Reason;
use api::dossier::v1::{AccessAction, AccessOutcome, ClosureReason, DossierState};
use serve::Failure;
use testkit::{Bench, on_both_engines};
use tonic::{Code, Status};

on_both_engines! {
    no_dossier_without_a_live_express_consent,
    no_dossier_at_a_host_that_is_not_accredited_or_not_its_own,
    an_opened_dossier_is_open_once,
    opening_goes_on_where_it_was_interrupted,
    a_closed_dossier_is_kept_ten_years_and_shows_its_journal_only,
    the_status_tells_how_the_caller_stands,
}

/// L1111-14, third sentence.
async fn no_dossier_without_a_live_express_consent(bench: Bench) {
    let house = House::new(bench).await;
    let script = house.script();
    script.authorize.answer(|_| {
        Ok(api::consent::v1::Decision {
            creation_consented: false,
            ..decided_against("creation-not-consented", "L1111-14")
        })
    });
    let refusal = refused(house.open_dossier(&house.bench.request_id()).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::FailedPrecondition, "CONSENT_MISSING")
    );
    assert_eq!(refusal.metadata["purpose"], "CREATION");
    // Even if the rules were to grant.
    script.authorize.answer(|_| {
        Ok(api::consent::v1::Decision {
            creation_consented: false,
            ..granted(everything())
        })
    });
    assert_eq!(
        refused(house.open_dossier(&house.bench.request_id()).await).reason,
        "CONSENT_MISSING"
    );
    // Whom another rule keeps out is not told of consents.
    script.authorize.answer(|_| {
        Ok(api::consent::v1::Decision {
            creation_consented: false,
            ..decided_against("excluded-party", "L1111-18")
        })
    });
    let refusal = refused(house.open_dossier(&house.bench.request_id()).await);
    assert_eq!(
        (refusal.reason.as_str(), refusal.metadata["rule"].as_str()),
        ("ACCESS_REFUSED", "excluded-party")
    );

    script.authorize.answer(|_| Ok(granted(everything())));
    assert!(script.place.seen().is_empty(), "nothing was placed");
    assert_eq!(house.status().await.state(), DossierState::Absent);
    let refusals = house.accesses().await;
    let refusals = refusals
        .iter()
        .filter(|access| access.action() == AccessAction::OpenDossier);
    assert_eq!(
        refusals
            .filter(|access| access.outcome() == AccessOutcome::Refused)
            .count(),
        3
    );
}

/// L1111-14, fifth sentence; L1111-8.
async fn no_dossier_at_a_host_that_is_not_accredited_or_not_its_own(bench: Bench) {
    let house = House::new(bench).await;
    for reason in [Reason::HostNotAccredited, Reason::PlacedElsewhere] {
        house.script().place.answer(move |_| {
            Err(Status::from(
                Failure::precondition(reason, "no").with("host_id", HOST_ID),
            ))
        });
        let refusal = refused(house.open_dossier(&house.bench.request_id()).await);
        assert_eq!(refusal.code, Code::FailedPrecondition);
        assert_eq!(refusal.reason, serve::reason_name(reason));
        assert_eq!(refusal.metadata["host_id"], HOST_ID);
    }
    house.script().place.answer(|request| {
        let (dmp_id, host_id) = (request.dmp_id.clone(), request.host_id.clone());
        Ok(api::identifier::v1::Placement {
            dmp_id,
            host_id,
            placed_at: None,
            host_accredited: false,
        })
    });
    assert_eq!(
        refused(house.open_dossier(&house.bench.request_id()).await).reason,
        "HOST_NOT_ACCREDITED"
    );
    assert_eq!(house.status().await.state(), DossierState::Absent);
}

/// AIP-155: a repeated request is answered alike, whatever has changed around it; another one finds it open.
async fn an_opened_dossier_is_open_once(bench: Bench) {
    let house = House::new(bench).await;
    let request_id = house.bench.request_id();
    let opened = house.open_dossier(&request_id).await.unwrap();
    assert_eq!((opened.state(), opened.host_id.as_str()), (DossierState::Open, HOST_ID));
    let receipt = journal::Receipt::try_from(opened.receipt.as_ref().unwrap()).unwrap();
    receipt.verify(&house.verifier().await).unwrap();

    house
        .script()
        .place
        .answer(|_| Err(Status::from(Failure::precondition(Reason::HostNotAccredited, "no"))));
    house.bench.time.advance(jiff::SignedDuration::from_secs(60));
    assert_eq!(house.open_dossier(&request_id).await.unwrap(), opened);
    let refusal = refused(house.open_dossier(&house.bench.request_id()).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::AlreadyExists, "ALREADY_EXISTS")
    );
}

/// Placement and opening are in two databases: whatever fails between, the same request goes on.
async fn opening_goes_on_where_it_was_interrupted(bench: Bench) {
    let house = House::new(bench).await;
    let request_id = house.bench.request_id();
    // The identifier service has placed the dossier; its answer is lost.
    house
        .script()
        .place
        .answer(|_| Err(Status::unavailable("connection lost")));
    let refusal = refused(house.open_dossier(&request_id).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::Unavailable, "PEER_UNAVAILABLE")
    );
    assert_eq!(refusal.metadata["service"], "identifier");
    assert_eq!(house.status().await.state(), DossierState::Absent);
    house.script().place.answer(|request| {
        let (dmp_id, host_id) = (request.dmp_id.clone(), request.host_id.clone());
        Ok(api::identifier::v1::Placement {
            dmp_id,
            host_id,
            placed_at: None,
            host_accredited: true,
        })
    });
    assert_eq!(
        house.open_dossier(&request_id).await.unwrap().state(),
        DossierState::Open
    );
    let seen = house.script().place.seen();
    assert_ne!(
        seen[0].0.request_id, seen[1].0.request_id,
        "a remembered answer could speak of an old accreditation"
    );
}

/// L1111-18: closed at any time, kept ten years from then; L1111-19: who came in, at any time.
async fn a_closed_dossier_is_kept_ten_years_and_shows_its_journal_only(bench: Bench) {
    let house = House::open(bench).await;
    let deposit = house.text("2.25.1", 1, "before");
    house.deposit(&deposit).await;
    let request_id = house.bench.request_id();
    let closed = house.close_dossier(&request_id).await.unwrap();
    assert_eq!(
        (closed.state(), closed.closure_reason()),
        (DossierState::Closed, ClosureReason::HolderRequest)
    );
    let kept_until = store::time::from_proto(closed.kept_until.as_ref().unwrap()).unwrap();
    assert_eq!(kept_until.to_string(), "2036-03-02T08:00:00Z");
    assert_eq!(
        house.close_dossier(&request_id).await.unwrap(),
        closed,
        "repeated, answered alike"
    );

    let physician = crate::house::physician();
    for refusal in [
        refused(house.close_dossier(&house.bench.request_id()).await),
        refused(house.open_dossier(&house.bench.request_id()).await),
        refused(house.get(&physician, "2.25.1").await),
        refused(house.read(&physician, "2.25.1").await),
        refused(house.list(&physician, house.list_request()).await),
        refused(house.submit(&physician, &house.text("2.25.2", 1, "after")).await),
    ] {
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::FailedPrecondition, "DOSSIER_NOT_OPEN")
        );
        assert_eq!(refusal.metadata["state"], "CLOSED");
    }
    let status = house.status().await;
    assert_eq!(
        (status.state(), status.closed_at),
        (DossierState::Closed, closed.closed_at)
    );
    let actions: Vec<_> = house
        .accesses()
        .await
        .iter()
        .map(|access| (access.action(), access.outcome()))
        .collect();
    assert_eq!(actions[0], (AccessAction::SeeStatus, AccessOutcome::Granted));
    assert_eq!(actions[1], (AccessAction::SubmitDocument, AccessOutcome::Refused));
    assert!(actions.contains(&(AccessAction::CloseDossier, AccessOutcome::Granted)));
}

/// TD 0.2.
async fn the_status_tells_how_the_caller_stands(bench: Bench) {
    let house = House::new(bench).await;
    house.script().authorize.answer(|_| {
        Ok(api::consent::v1::Decision {
            treating_physician: true,
            ..granted(everything())
        })
    });
    let absent = house.status().await;
    assert_eq!(absent.state(), DossierState::Absent);
    assert_eq!(
        absent.authorization_state(),
        api::consent::v1::AuthorizationState::Valid
    );
    assert!(absent.treating_physician && absent.receipt.is_some());
    house.open_dossier(&house.bench.request_id()).await.unwrap();
    assert_eq!(house.status().await.state(), DossierState::Open);
}
