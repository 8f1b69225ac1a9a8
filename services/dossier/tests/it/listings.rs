//! Listing: filtered, paged, and silent about the rest.

use crate::house::{House, other_physician, physician, refused};
use crate::peers::{granted, on_types};
use api::consent::v1::DocumentTypes;
use api::dossier::v1 as pb;
use api::dossier::v1::DocumentStatus;
use prost::Message;
use testkit::{Bench, on_both_engines};
use tonic::Code;

on_both_engines! {
    pages_are_complete_in_order_and_end,
    pages_and_their_ends_tell_nothing_of_what_is_hidden,
    a_listing_is_narrowed_by_each_filter,
    types_beyond_the_grant_are_not_listed,
    a_first_search_goes_back_as_far_as_the_operator_says,
    a_token_is_good_for_its_query_only,
    a_page_of_large_metadata_stays_below_the_largest_message,
}

/// Ids of every page of `size`, page by page.
async fn pages(house: &House, claims: &serve::Claims, size: i32) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListDocumentsRequest {
            page_size: size,
            page_token,
            ..house.list_request()
        };
        let listed = house.list(claims, request).await.unwrap();
        pages.push(
            listed
                .documents
                .into_iter()
                .map(|document| document.unique_id.clone())
                .collect(),
        );
        page_token = listed.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
    }
}

/// document_service.proto: newest act first.
async fn pages_are_complete_in_order_and_end(bench: Bench) {
    let house = House::open(bench).await;
    // Acts of one moment are ordered by id, so that none is shown twice or left out.
    for (unique_id, day) in [
        ("2.25.1", 1),
        ("2.25.5", 3),
        ("2.25.4", 3),
        ("2.25.3", 3),
        ("2.25.2", 2),
    ] {
        house.deposit(&house.text(unique_id, day, "texte")).await;
    }
    let expected = ["2.25.3", "2.25.4", "2.25.5", "2.25.2", "2.25.1"];
    for size in 1..=6 {
        let pages = pages(&house, &physician(), size).await;
        assert_eq!(pages.concat(), expected, "pages of {size}");
        assert_eq!(pages.len(), 5_usize.div_ceil(usize::try_from(size).unwrap()));
    }
}

async fn pages_and_their_ends_tell_nothing_of_what_is_hidden(bench: Bench) {
    let house = House::open(bench).await;
    for at in 1..=6_i64 {
        let mut deposit = house.text(&format!("2.25.{at}"), at, "texte");
        let masked = at % 2 == 0;
        deposit.header.visibility = Some(pb::Visibility {
            masked_from_professionals: masked,
            ..Default::default()
        });
        house.deposit(&deposit).await;
    }
    let seen = pages(&house, &other_physician(), 3).await;
    assert_eq!(
        seen,
        [["2.25.5", "2.25.3", "2.25.1"]],
        "a full page, and no token for what is not seen"
    );
}

async fn a_listing_is_narrowed_by_each_filter(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    house.deposit(&house.text("2.25.2", 2, "texte")).await;
    let mut prescription = house.text("2.25.3", 3, "texte");
    prescription.header.given.as_mut().unwrap().type_code = "57833-6".to_owned();
    house.submit(&other_physician(), &prescription).await.unwrap();
    let base = || house.list_request();
    let day = |day: i64| {
        Some(prost_types::Timestamp {
            seconds: 1_767_225_600 + day * 86_400,
            nanos: 0,
        })
    };
    let cases = [
        (
            pb::ListDocumentsRequest {
                type_codes: vec!["57833-6".to_owned()],
                ..base()
            },
            vec!["2.25.3"],
        ),
        (
            pb::ListDocumentsRequest {
                class_codes: vec!["10".to_owned()],
                ..base()
            },
            vec!["2.25.2", "2.25.1"],
        ),
        (
            pb::ListDocumentsRequest {
                service_from: day(2),
                ..base()
            },
            vec!["2.25.3", "2.25.2"],
        ),
        (
            pb::ListDocumentsRequest {
                service_to: day(2),
                ..base()
            },
            vec!["2.25.1"],
        ),
        (
            pb::ListDocumentsRequest {
                service_from: day(2),
                service_to: day(3),
                ..base()
            },
            vec!["2.25.2"],
        ),
        (
            pb::ListDocumentsRequest {
                author_id: testkit::actor::OTHER_PHYSICIAN.to_owned(),
                ..base()
            },
            vec!["2.25.3"],
        ),
        (
            pb::ListDocumentsRequest {
                statuses: vec![DocumentStatus::Deprecated.into()],
                ..base()
            },
            vec![],
        ),
        (base(), vec!["2.25.3", "2.25.2", "2.25.1"]),
    ];
    for (request, expected) in cases {
        let listed = house.list(&physician(), request.clone()).await.unwrap();
        let ids: Vec<_> = listed
            .documents
            .iter()
            .map(|document| document.unique_id.as_str())
            .collect();
        assert_eq!(ids, expected, "{request:?}");
    }
    let access = house.last_access().await;
    assert_eq!(
        access.document_ids,
        ["2.25.3", "2.25.2", "2.25.1"],
        "the journal names what was shown"
    );
}

async fn types_beyond_the_grant_are_not_listed(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    let mut prescription = house.text("2.25.2", 2, "texte");
    prescription.header.given.as_mut().unwrap().type_code = "57833-6".to_owned();
    house.deposit(&prescription).await;
    let codes = vec!["57833-6".to_owned()];
    let cases = [
        (
            DocumentTypes {
                all_but: false,
                type_codes: codes.clone(),
            },
            vec!["2.25.2"],
        ),
        (
            DocumentTypes {
                all_but: true,
                type_codes: codes,
            },
            vec!["2.25.1"],
        ),
        (
            DocumentTypes {
                all_but: true,
                type_codes: vec![],
            },
            vec!["2.25.2", "2.25.1"],
        ),
        (
            DocumentTypes {
                all_but: false,
                type_codes: vec![],
            },
            vec![],
        ),
    ];
    for (types, expected) in cases {
        let grant = on_types(types);
        house.script().authorize.answer(move |_| Ok(granted(grant.clone())));
        // Even of what the caller has deposited.
        assert_eq!(house.listed(&physician()).await, expected);
        assert_eq!(
            house.get(&physician(), "2.25.1").await.is_ok(),
            expected.contains(&"2.25.1")
        );
    }
}

/// "First automatic search: at most two years, current documents" (exemples_usage_dmp).
async fn a_first_search_goes_back_as_far_as_the_operator_says(bench: Bench) {
    let house = House::with(bench, |config| config.first_search_years = 2).await;
    house.open_dossier(&house.bench.request_id()).await.unwrap();
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    house.deposit(&house.text("2.25.2", -800, "texte")).await;
    assert_eq!(house.listed(&physician()).await, ["2.25.1"]);
    let named = pb::ListDocumentsRequest {
        type_codes: vec!["11488-4".to_owned()],
        ..house.list_request()
    };
    assert_eq!(house.list(&physician(), named).await.unwrap().documents.len(), 2);
}

/// AIP-158; error.proto: PAGE_TOKEN_INVALID.
async fn a_token_is_good_for_its_query_only(bench: Bench) {
    let house = House::open(bench).await;
    for at in 1..=3 {
        house.deposit(&house.text(&format!("2.25.{at}"), at, "texte")).await;
    }
    let first = pb::ListDocumentsRequest {
        page_size: 1,
        ..house.list_request()
    };
    let page_token = house.list(&physician(), first.clone()).await.unwrap().next_page_token;
    // Another size is the same query.
    let larger = pb::ListDocumentsRequest {
        page_token: page_token.clone(),
        page_size: 2,
        ..house.list_request()
    };
    assert_eq!(house.list(&physician(), larger).await.unwrap().documents.len(), 2);
    let other = pb::ListDocumentsRequest {
        page_token,
        class_codes: vec!["10".to_owned()],
        ..house.list_request()
    };
    let garbage = pb::ListDocumentsRequest {
        page_token: "x".to_owned(),
        ..house.list_request()
    };
    for request in [other, garbage] {
        let refusal = refused(house.list(&physician(), request).await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::InvalidArgument, "PAGE_TOKEN_INVALID")
        );
    }
}

/// reliability.md P12: metadata are bounded one by one, and a page by its bytes.
async fn a_page_of_large_metadata_stays_below_the_largest_message(bench: Bench) {
    let house = House::open(bench).await;
    let base = String::from_utf8(crate::house::sample("consultation.xml")).unwrap();
    let (head, rest) = base.split_once("<custodian>").unwrap();
    let author_start = head.find("<author>").unwrap();
    let author = head[author_start..].replace("Cabinet médical des Essais", &"É".repeat(900));
    let authored = |authors: usize, id: usize| {
        let document = format!("{}{}<custodian>{rest}", &head[..author_start], author.repeat(authors));
        document
            .replace("CONSULTATION-1.1", &format!("CONSULTATION-1.{id}"))
            .into_bytes()
    };
    let refusal = refused(house.submit(&physician(), &house.cda(authored(60, 0))).await);
    assert_eq!(
        (refusal.reason.as_str(), refusal.metadata["detail"].as_str()),
        ("DOCUMENT_INVALID", "METADATA_TOO_LARGE")
    );
    for id in 1..=45 {
        house.deposit(&house.cda(authored(30, id))).await;
    }
    let request = pb::ListDocumentsRequest {
        page_size: 500,
        ..house.list_request()
    };
    let listed = house.list(&physician(), request).await.unwrap();
    assert!(listed.encoded_len() < 3 << 20, "{} bytes", listed.encoded_len());
    assert!(!listed.next_page_token.is_empty());
    let rest = pb::ListDocumentsRequest {
        page_size: 500,
        page_token: listed.next_page_token,
        ..house.list_request()
    };
    let rest = house.list(&physician(), rest).await.unwrap();
    assert_eq!(listed.documents.len() + rest.documents.len(), 45);
}
