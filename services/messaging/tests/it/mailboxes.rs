//! How mailboxes are opened, closed and listed.

use api::messaging::v1 as pb;
use testkit::actor::{self, HOSPITAL, OTHER_PHYSICIAN, PHYSICIAN};
use testkit::{Bench, on_both_engines, refusal};
use tonic::Code;

use crate::world::{ANNE, BRUNO, TEAM, World, anne, bruno, config, stranger};

on_both_engines! {
    an_address_is_opened_once_and_never_again,
    only_addresses_of_the_white_list_are_opened,
    patients_addresses_are_not_opened,
    a_mailbox_needs_a_registered_owner_of_its_kind,
    an_owner_has_a_bounded_number_of_mailboxes,
    a_mailbox_is_closed_once_by_its_owner_or_the_administrator,
    everybody_lists_their_own_mailboxes_and_the_administrator_all,
    a_repeated_opening_opens_once,
}

async fn an_address_is_opened_once_and_never_again(bench: Bench) {
    let world = World::new(bench).await;
    let taken = world
        .open_person("ANNE@Medecin.MSSante.fr", OTHER_PHYSICIAN)
        .await
        .unwrap_err();
    assert_eq!(
        (taken.code(), refusal(&taken).reason.as_str()),
        (Code::AlreadyExists, "ALREADY_EXISTS")
    );
    assert!(!taken.message().contains("anne"));
    world.close(&anne(), &world.anne_box).await.unwrap();
    let still_taken = world.open_person(ANNE, OTHER_PHYSICIAN).await.unwrap_err();
    assert_eq!(refusal(&still_taken).reason, "ALREADY_EXISTS");
}

async fn only_addresses_of_the_white_list_are_opened(bench: Bench) {
    let world = World::new(bench).await;
    let refused = world
        .open_person("anne@hopital.mssante.fr", PHYSICIAN)
        .await
        .unwrap_err();
    let refused = refusal(&refused);
    assert_eq!(
        (refused.code, refused.metadata["state"].as_str()),
        (Code::FailedPrecondition, "DOMAIN_NOT_ALLOWED")
    );
    let allowed = world.allow("Hopital.MSSante.fr").await.unwrap();
    assert_eq!(allowed.domain, "hopital.mssante.fr");
    assert_eq!(world.allow("hopital.mssante.fr").await.unwrap(), allowed);
    world.open_person("anne@hopital.mssante.fr", PHYSICIAN).await.unwrap();
}

async fn patients_addresses_are_not_opened(bench: Bench) {
    let world = World::new(bench).await;
    let refused = refusal(&world.allow("patient.mssante.fr").await.unwrap_err());
    assert!(refused.has_field("domain", "PATIENT_DOMAIN"));
    let refused = refusal(
        &world
            .open_person("279035121518989@patient.mssante.fr", PHYSICIAN)
            .await
            .unwrap_err(),
    );
    assert!(refused.has_field("address", "PATIENT_DOMAIN"));
}

async fn a_mailbox_needs_a_registered_owner_of_its_kind(bench: Bench) {
    let world = World::new(bench).await;
    let unknown = refusal(
        &world
            .open_person("x@medecin.mssante.fr", "810000000066")
            .await
            .unwrap_err(),
    );
    assert_eq!(
        (unknown.reason.as_str(), unknown.metadata["resource"].as_str()),
        ("NOT_FOUND", "owner")
    );
    for (kind, owner) in [
        (pb::MailboxType::Person, HOSPITAL),
        (pb::MailboxType::Practice, HOSPITAL),
        (pb::MailboxType::Organization, PHYSICIAN),
        (pb::MailboxType::Application, PHYSICIAN),
    ] {
        let refused = refusal(
            &world
                .open("x@medecin.mssante.fr", kind, owner, false)
                .await
                .unwrap_err(),
        );
        assert_eq!(refused.fields[0].0, "owner_id", "{kind:?}");
    }
    let refused = world
        .open("", pb::MailboxType::Unspecified, "", false)
        .await
        .unwrap_err();
    let fields: Vec<String> = refusal(&refused).fields.into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["address", "type"]);
}

async fn an_owner_has_a_bounded_number_of_mailboxes(bench: Bench) {
    let mut config = config(&bench);
    config.limits.mailboxes_per_owner = 2;
    let world = World::with(bench, config).await;
    // Anne has one already: of eight opened at once, one more.
    let opening = (0..8).map(|number| {
        let world = &world;
        async move {
            world
                .open_person(&format!("anne{number}@medecin.mssante.fr"), PHYSICIAN)
                .await
        }
    });
    let opened = futures::future::join_all(opening).await;
    let (opened, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
    assert_eq!(opened.len(), 1);
    for refused in refused {
        let refused = refusal(&refused.unwrap_err());
        assert_eq!(
            (refused.reason.as_str(), refused.metadata["unit"].as_str()),
            ("TOO_LARGE", "mailboxes")
        );
    }
    // A closed one no longer counts.
    world.close(&anne(), &world.anne_box).await.unwrap();
    world.open_person("suite@medecin.mssante.fr", PHYSICIAN).await.unwrap();
}

async fn a_mailbox_is_closed_once_by_its_owner_or_the_administrator(bench: Bench) {
    let world = World::new(bench).await;
    for claims in [bruno(), stranger(), actor::establishment_system()] {
        let refused = world.close(&claims, &world.anne_box).await.unwrap_err();
        assert_eq!(refusal(&refused).reason, "NOT_FOUND");
    }
    let closed = world.close(&anne(), &world.anne_box).await.unwrap();
    assert_eq!(closed.state(), pb::MailboxState::Closed);
    assert_eq!(closed.closed_at, Some(store::time::to_proto(world.bench.clock.now())));
    let again = refusal(&world.close(&anne(), &world.anne_box).await.unwrap_err());
    assert_eq!(
        (again.reason.as_str(), again.metadata["state"].as_str()),
        ("STATE_CONFLICT", "CLOSED")
    );
    world.close(&actor::administrator(), &world.bruno_box).await.unwrap();
    world
        .close(&actor::establishment_system(), &world.team_box)
        .await
        .unwrap();
}

async fn everybody_lists_their_own_mailboxes_and_the_administrator_all(bench: Bench) {
    let world = World::new(bench).await;
    let list = async |claims: &serve::Claims, page_size: i32, page_token: &str| {
        let request = pb::ListMailboxesRequest {
            page_size,
            page_token: page_token.to_owned(),
        };
        world
            .mailboxes()
            .list_mailboxes(world.bench.request(claims, request))
            .await
            .map(tonic::Response::into_inner)
    };
    let addresses = |page: &pb::ListMailboxesResponse| -> Vec<String> {
        page.mailboxes.iter().map(|mailbox| mailbox.address.clone()).collect()
    };
    assert_eq!(addresses(&list(&anne(), 0, "").await.unwrap()), [ANNE, TEAM]);
    assert_eq!(addresses(&list(&bruno(), 0, "").await.unwrap()), [BRUNO, TEAM]);
    assert_eq!(
        addresses(&list(&actor::establishment_system(), 0, "").await.unwrap()),
        [TEAM]
    );
    assert!(list(&stranger(), 0, "").await.unwrap().mailboxes.is_empty());
    let first = list(&actor::administrator(), 2, "").await.unwrap();
    assert_eq!(addresses(&first), [ANNE, BRUNO]);
    let second = list(&actor::administrator(), 2, &first.next_page_token).await.unwrap();
    assert_eq!(
        (addresses(&second), second.next_page_token.as_str()),
        (vec![TEAM.to_owned()], "")
    );
    assert!(refusal(&list(&anne(), -1, "").await.unwrap_err()).has_field("page_size", "NEGATIVE"));
    assert_eq!(
        refusal(&list(&anne(), 0, "AAAA").await.unwrap_err()).reason,
        "PAGE_TOKEN_INVALID"
    );
    assert_eq!(
        refusal(&list(&actor::auditor(), 0, "").await.unwrap_err()).reason,
        "ROLE_FORBIDDEN"
    );
}

async fn a_repeated_opening_opens_once(bench: Bench) {
    let world = World::new(bench).await;
    let request = pb::OpenMailboxRequest {
        request_id: world.bench.request_id(),
        address: "cabinet@medecin.mssante.fr".to_owned(),
        r#type: pb::MailboxType::Practice.into(),
        owner_id: PHYSICIAN.to_owned(),
        unlisted: false,
        description: "Secrétariat".to_owned(),
    };
    let open = async |request: &pb::OpenMailboxRequest| {
        let request = world.bench.request(&actor::administrator(), request.clone());
        world
            .mailboxes()
            .open_mailbox(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let first = open(&request).await.unwrap();
    assert_eq!(
        (first.description.as_str(), first.state()),
        ("Secrétariat", pb::MailboxState::Open)
    );
    assert_eq!(open(&request).await.unwrap(), first);
    let changed = pb::OpenMailboxRequest {
        unlisted: true,
        ..request
    };
    assert_eq!(refusal(&open(&changed).await.unwrap_err()).reason, "REQUEST_ID_REUSED");
}
