//! What the directory shows, and to whom.

use api::messaging::v1 as pb;
use pb::search_directory_response::found::Party;
use testkit::actor::{self, HOSPITAL, OTHER_PHYSICIAN, PHYSICIAN};
use testkit::{Bench, on_both_engines, refusal};
use tonic::{Code, Status};

use crate::world::{ANNE, TEAM, World, anne};

on_both_engines! {
    a_name_is_found_by_its_start_without_regard_to_case_or_accents,
    an_identifier_finds_its_bearer_only,
    unlisted_and_closed_mailboxes_are_never_shown,
    a_search_can_be_narrowed_to_a_profession,
    pages_are_complete_and_in_order,
    registering_again_brings_up_to_date,
    the_directory_is_kept_by_the_administrator_and_read_by_professionals,
    what_is_wrong_with_a_registration_is_told_together,
}

async fn search(world: &World, request: pb::SearchDirectoryRequest) -> Result<pb::SearchDirectoryResponse, Status> {
    Ok(world
        .directory()
        .search_directory(world.bench.request(&anne(), request))
        .await?
        .into_inner())
}

fn query(text: &str) -> pb::SearchDirectoryRequest {
    pb::SearchDirectoryRequest {
        query: text.to_owned(),
        ..Default::default()
    }
}

fn names(response: &pb::SearchDirectoryResponse) -> Vec<String> {
    let name = |found: &pb::search_directory_response::Found| match found.party.clone().unwrap() {
        Party::Professional(professional) => format!("{} {}", professional.family_name, professional.given_name),
        Party::Structure(structure) => structure.name,
    };
    response.found.iter().map(name).collect()
}

async fn a_name_is_found_by_its_start_without_regard_to_case_or_accents(bench: Bench) {
    let world = World::new(bench).await;
    world
        .register_physician("810000000041", "Lefèvre", "Éloïse")
        .await
        .unwrap();
    world
        .register_physician("810000000058", "Le Febvre", "Œdipe")
        .await
        .unwrap();
    world
        .register_structure("1750000034", "Pharmacie du 8 Mai")
        .await
        .unwrap();
    for (text, expected) in [
        ("LEFÈVRE", vec!["Lefèvre Éloïse"]),
        ("lef", vec!["Le Febvre Œdipe", "Lefèvre Éloïse"]),
        ("hopital saint", vec!["Hôpital Saint-Louis"]),
        ("Pharmacie du 8", vec!["Pharmacie du 8 Mai"]),
        ("efevre", vec![]),
        ("du%", vec!["Durand Anne"]),
    ] {
        assert_eq!(names(&search(&world, query(text)).await.unwrap()), expected, "{text}");
    }
    let refused = refusal(&search(&world, query("é")).await.unwrap_err());
    assert_eq!(refused.code, Code::InvalidArgument);
    assert!(refused.has_field("query", "LENGTH"));
}

async fn an_identifier_finds_its_bearer_only(bench: Bench) {
    let world = World::new(bench).await;
    let found = search(&world, query(PHYSICIAN)).await.unwrap();
    assert_eq!(names(&found), ["Durand Anne"]);
    assert_eq!(found.found[0].addresses, [ANNE]);
    let Some(Party::Professional(professional)) = found.found[0].party.clone() else {
        panic!("not a professional")
    };
    assert_eq!(professional.structure_ids, [HOSPITAL]);
    assert_eq!(
        (professional.profession.as_str(), professional.specialty.as_str()),
        ("10", "SM26")
    );
    let found = search(&world, query(HOSPITAL)).await.unwrap();
    assert_eq!(names(&found), ["Hôpital Saint-Louis"]);
    assert_eq!(found.found[0].addresses, [TEAM]);
    assert!(search(&world, query("810000000066")).await.unwrap().found.is_empty());
    // A part of an identifier is no identifier.
    assert!(search(&world, query("8100000000")).await.unwrap().found.is_empty());
}

async fn unlisted_and_closed_mailboxes_are_never_shown(bench: Bench) {
    let world = World::new(bench).await;
    let kind = pb::MailboxType::Practice;
    world
        .open("cabinet@medecin.mssante.fr", kind, PHYSICIAN, false)
        .await
        .unwrap();
    world
        .open("discret@medecin.mssante.fr", kind, PHYSICIAN, true)
        .await
        .unwrap();
    world.close(&anne(), &world.anne_box).await.unwrap();
    for text in ["durand", PHYSICIAN] {
        let found = search(&world, query(text)).await.unwrap();
        assert_eq!(found.found[0].addresses, ["cabinet@medecin.mssante.fr"], "{text}");
    }
}

async fn a_search_can_be_narrowed_to_a_profession(bench: Bench) {
    let world = World::new(bench).await;
    let nurse = pb::Professional {
        professional_id: "810000000074".to_owned(),
        family_name: "Durandal".to_owned(),
        profession: "60".to_owned(),
        ..Default::default()
    };
    world.register_professional(nurse).await.unwrap();
    world.register_structure("1750000034", "Durance Santé").await.unwrap();
    let of = |profession: &str, text: &str| pb::SearchDirectoryRequest {
        profession: profession.to_owned(),
        ..query(text)
    };
    assert_eq!(
        names(&search(&world, of("", "dura")).await.unwrap()),
        ["Durance Santé", "Durand Anne", "Durandal "]
    );
    assert_eq!(names(&search(&world, of("60", "dura")).await.unwrap()), ["Durandal "]);
    assert_eq!(
        names(&search(&world, of("10", PHYSICIAN)).await.unwrap()),
        ["Durand Anne"]
    );
    assert!(search(&world, of("60", PHYSICIAN)).await.unwrap().found.is_empty());
}

async fn pages_are_complete_and_in_order(bench: Bench) {
    let world = World::new(bench).await;
    for number in 0..7 {
        // The same name seven times: only the identifier tells them apart.
        world
            .register_physician(&format!("81000000010{number}"), "Martin", "Jean")
            .await
            .unwrap();
    }
    let (mut seen, mut request) = (
        Vec::new(),
        pb::SearchDirectoryRequest {
            page_size: 3,
            ..query("martin")
        },
    );
    loop {
        let page = search(&world, request.clone()).await.unwrap();
        assert!(page.found.len() <= 3);
        seen.extend(page.found.iter().map(|found| match found.party.clone().unwrap() {
            Party::Professional(professional) => professional.professional_id,
            Party::Structure(_) => panic!("no structure has this name"),
        }));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
        // A token is good for its own query only.
        let foreign = pb::SearchDirectoryRequest {
            query: "durand".to_owned(),
            ..request.clone()
        };
        assert_eq!(
            refusal(&search(&world, foreign).await.unwrap_err()).reason,
            "PAGE_TOKEN_INVALID"
        );
    }
    let expected: Vec<String> = (0..7).map(|number| format!("81000000010{number}")).collect();
    assert_eq!(seen, expected);
    let negative = search(
        &world,
        pb::SearchDirectoryRequest {
            page_size: -1,
            ..query("martin")
        },
    )
    .await
    .unwrap_err();
    assert!(refusal(&negative).has_field("page_size", "NEGATIVE"));
}

async fn registering_again_brings_up_to_date(bench: Bench) {
    let world = World::new(bench).await;
    let married = world.register_physician(PHYSICIAN, "Moreau", "Anne").await.unwrap();
    assert_eq!(married.family_name, "Moreau");
    assert!(search(&world, query("durand")).await.unwrap().found.is_empty());
    let found = search(&world, query("moreau")).await.unwrap();
    assert_eq!(
        (names(&found), found.found[0].addresses.clone()),
        (vec!["Moreau Anne".to_owned()], vec![ANNE.to_owned()])
    );
}

async fn the_directory_is_kept_by_the_administrator_and_read_by_professionals(bench: Bench) {
    let world = World::new(bench).await;
    let structure = pb::Structure {
        structure_id: HOSPITAL.to_owned(),
        name: "Autre".to_owned(),
        updated_at: None,
    };
    let request = pb::RegisterStructureRequest {
        request_id: world.bench.request_id(),
        structure: Some(structure),
    };
    let refused = world
        .directory()
        .register_structure(world.bench.request(&anne(), request))
        .await
        .unwrap_err();
    assert_eq!(refusal(&refused).reason, "ROLE_FORBIDDEN");
    for claims in [
        actor::auditor(),
        actor::excluded_party(),
        actor::representative("somebody"),
    ] {
        let refused = world
            .directory()
            .search_directory(world.bench.request(&claims, query("durand")))
            .await;
        assert_eq!(refusal(&refused.unwrap_err()).reason, "ROLE_FORBIDDEN");
    }
    for claims in [actor::administrator(), actor::establishment_system()] {
        let found = world
            .directory()
            .search_directory(world.bench.request(&claims, query("durand")))
            .await
            .unwrap();
        assert_eq!(found.into_inner().found.len(), 1);
    }
}

async fn what_is_wrong_with_a_registration_is_told_together(bench: Bench) {
    let world = World::new(bench).await;
    let wrong = pb::Professional {
        professional_id: "9".to_owned(),
        family_name: "--".to_owned(),
        profession: "1 0".to_owned(),
        structure_ids: vec![HOSPITAL.to_owned(), "x".to_owned()],
        ..Default::default()
    };
    let refused = refusal(&world.register_professional(wrong).await.unwrap_err());
    assert_eq!(refused.reason, "INVALID_FIELDS");
    let fields: Vec<&str> = refused.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "professional.professional_id",
            "professional.family_name",
            "professional.profession",
            "professional.structure_ids[1]"
        ]
    );
    let many = pb::Professional {
        structure_ids: vec![HOSPITAL.to_owned(); 21],
        ..Default::default()
    };
    let refused = refusal(&world.register_professional(many).await.unwrap_err());
    assert!(refused.has_field("professional.structure_ids", "TOO_MANY"));
    let strict = messaging::Config {
        checks: messaging::Checks {
            professional_id: api::identity::Check::Strict,
            ..Default::default()
        },
        ..world.started.settings.service.clone()
    };
    let strict = World {
        started: world.bench.start(strict).await,
        ..world
    };
    let refused = refusal(
        &strict
            .register_physician("810000000018", "Durand", "Anne")
            .await
            .unwrap_err(),
    );
    assert!(refused.has_field("professional.professional_id", "WRONG_KEY"));
    strict
        .register_physician(OTHER_PHYSICIAN, "Petit", "Bruno")
        .await
        .unwrap();
}
