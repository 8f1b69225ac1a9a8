//! Accesses by break-glass and by the emergency call centre, told to whoever looks at them again (L1111-17 I, R1111-48).

use crate::house::{House, break_glass, physician, refused};
use crate::peers::{everything, exceptional, granted, refused as decided_against};
use api::common::v1::{AccessContext, AccessMode};
use api::dossier::v1 as pb;
use api::dossier::v1::AccessOutcome;
use testkit::{Bench, Refusal, actor, on_both_engines, refusal};
use tonic::{Code, Streaming};

on_both_engines! {
    each_exceptional_access_is_told_once_and_in_order_across_a_restart,
    what_was_refused_or_normal_is_not_told,
    a_secret_access_is_told_as_one,
    nobody_but_a_service_watches,
    a_watch_ends_when_the_process_stops,
}

type Told = Streaming<pb::WatchExceptionalAccessesResponse>;

const REASON: &str = "inconsciente, allergies inconnues";

/// From now on the modes of last resort open and oblige; the normal one opens.
pub(crate) fn exceptional_modes(house: &House) {
    house.script().authorize.answer(|request| {
        let mode = request.context.as_ref().unwrap().mode();
        Ok(granted(match mode {
            AccessMode::BreakGlass | AccessMode::Centre15 => exceptional(),
            _ => everything(),
        }))
    });
}

pub(crate) async fn watch(house: &House, token: &str) -> Told {
    let request = pb::WatchExceptionalAccessesRequest {
        resume_token: token.to_owned(),
    };
    let request = house.bench.service_request("consent", None, request);
    let watch = house.journal().watch_exceptional_accesses(request).await;
    watch.unwrap().into_inner()
}

/// The next access and the token after it; answers without one are passed over.
pub(crate) async fn next(watch: &mut Told) -> (pb::Access, String) {
    loop {
        let response = watch.message().await.unwrap().expect("the watch goes on");
        if let Some(access) = response.access {
            return (access, response.resume_token);
        }
    }
}

async fn end(watch: &mut Told) -> Refusal {
    loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the watch ended without a status"),
            Err(status) => return refusal(&status),
        }
    }
}

/// Lists, as one looks for something at a bedside.
async fn list(house: &House, context: AccessContext) {
    let request = pb::ListDocumentsRequest {
        context: Some(context),
        ..house.list_request()
    };
    house.list(&physician(), request).await.unwrap();
}

async fn submit(house: &House, unique_id: &str, context: AccessContext) {
    let mut deposit = house.text(unique_id, 1, "texte");
    deposit.header.context = Some(context);
    house.submit(&physician(), &deposit).await.unwrap();
}

async fn each_exceptional_access_is_told_once_and_in_order_across_a_restart(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    exceptional_modes(&house);
    let centre_15 = AccessContext {
        mode: AccessMode::Centre15.into(),
        ..break_glass(REASON)
    };
    let mut watching = watch(&house, "").await;
    let context = || Some(break_glass(REASON));
    list(&house, break_glass(REASON)).await;
    house.get(&physician(), "2.25.1").await.unwrap();
    house.get_in(&physician(), "2.25.1", context()).await.unwrap();
    let (first, _) = next(&mut watching).await;
    let (second, token) = next(&mut watching).await;
    drop(watching);
    house.read_in(&physician(), "2.25.1", context()).await.unwrap();
    let house = house.restarted().await;
    submit(&house, "2.25.2", break_glass(REASON)).await;
    list(&house, centre_15).await;
    let mut watching = watch(&house, &token).await;
    let mut told = vec![first, second];
    while told.len() < 5 {
        told.push(next(&mut watching).await.0);
    }
    let mut again = watch(&house, "").await;
    for access in &told {
        assert_eq!(&next(&mut again).await.0, access, "from the beginning on, the same");
    }
    let exceptional = |access: &pb::Access| access.context.as_ref().unwrap().mode() != AccessMode::Normal;
    let mut journaled = house.accesses().await;
    journaled.retain(exceptional);
    journaled.reverse();
    assert_eq!(told, journaled, "as the journal has it");
    assert!(
        told.iter()
            .all(|access| access.context.as_ref().unwrap().reason == REASON)
    );
}

/// The grant's obligations say what is looked at again, not the mode.
async fn what_was_refused_or_normal_is_not_told(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    let context = || Some(break_glass(REASON));
    house
        .script()
        .authorize
        .answer(|_| Ok(decided_against("break-glass-opposed", "L1111-17")));
    house.get_in(&physician(), "2.25.1", context()).await.unwrap_err();
    house.script().authorize.answer(|_| Ok(granted(everything())));
    house.get_in(&physician(), "2.25.1", context()).await.unwrap();
    exceptional_modes(&house);
    house.get_in(&physician(), "2.25.404", context()).await.unwrap_err();
    house.listed(&physician()).await;
    house.status().await;
    let last = house.read_in(&physician(), "2.25.1", context()).await.unwrap().0;
    let (told, _) = next(&mut watch(&house, "").await).await;
    assert_eq!(told.entry_id, last.receipt.unwrap().entry_id, "the first told");
    assert_eq!(told.outcome(), AccessOutcome::Granted);
}

/// R1111-50: what becomes of it is for no representative, and the event says so.
async fn a_secret_access_is_told_as_one(bench: Bench) {
    let house = House::open(bench).await;
    for (unique_id, hidden) in [("2.25.1", false), ("2.25.2", true)] {
        let mut deposit = house.text(unique_id, 1, "texte");
        deposit.header.visibility = Some(pb::Visibility {
            hidden_from_representatives: hidden,
            ..Default::default()
        });
        house.deposit(&deposit).await;
    }
    exceptional_modes(&house);
    list(&house, break_glass(REASON)).await;
    house
        .get_in(&physician(), "2.25.2", Some(break_glass(REASON)))
        .await
        .unwrap();
    let secretly = AccessContext {
        secret_connection: true,
        ..break_glass(REASON)
    };
    list(&house, secretly).await;
    let mut watching = watch(&house, "").await;
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(next(&mut watching).await.0);
    }
    let said: Vec<_> = told
        .iter()
        .map(|access| (access.secret, access.document_ids.len()))
        .collect();
    assert_eq!(
        said,
        [(false, 1), (true, 1), (true, 2)],
        "the listing in both chains is told once"
    );
    assert_eq!(told[0].document_ids, ["2.25.1"]);
}

async fn nobody_but_a_service_watches(bench: Bench) {
    let house = House::open(bench).await;
    let all = pb::WatchExceptionalAccessesRequest::default();
    let people = [
        house.holder(),
        actor::representative("parent"),
        physician(),
        actor::establishment_system(),
        actor::administrator(),
        actor::auditor(),
        actor::excluded_party(),
    ];
    for claims in people {
        for request in [
            house.bench.request(&claims, all.clone()),
            house.bench.service_request("consent", Some(&claims), all.clone()),
        ] {
            let refusal = refused(house.journal().watch_exceptional_accesses(request).await);
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::PermissionDenied, "ROLE_FORBIDDEN")
            );
        }
    }
    let wrong = pb::WatchExceptionalAccessesRequest {
        resume_token: "AAAA".to_owned(),
    };
    let request = house.bench.service_request("consent", None, wrong);
    let refusal = refused(house.journal().watch_exceptional_accesses(request).await);
    assert!(refusal.has_field("resume_token", "NOT_A_TOKEN"));
}

async fn a_watch_ends_when_the_process_stops(bench: Bench) {
    let house = House::open(bench).await;
    let mut watching = watch(&house, "").await;
    let first = watching.message().await.unwrap().unwrap();
    assert!(first.access.is_none() && !first.resume_token.is_empty());
    house.service.running.shutdown();
    let ended = end(&mut watching).await;
    assert_eq!((ended.code, ended.reason.as_str()), (Code::Unavailable, "DRAINING"));
}
