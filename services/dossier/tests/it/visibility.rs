//! Who sees a document beyond what the matrix says (JDV_J08; R1111-49, R1111-53, L1111-5).

use crate::house::{Deposit, House, other_physician, physician, refused, sample_with};
use crate::peers::{everything, granted};
use api::consent::v1::Grant;
use api::dossier::v1 as pb;
use api::dossier::v1::AccessOutcome;
use jiff::SignedDuration;
use testkit::{Bench, on_both_engines};
use tonic::Code;

on_both_engines! {
    each_is_shown_what_the_grant_lets_see_and_what_is_its_own,
    a_document_hidden_from_the_holder_is_visible_after_a_month,
    an_author_sees_what_is_masked,
    a_document_is_never_masked_and_hidden_from_the_holder_at_once,
    codes_in_the_header_hide_as_the_deposit_does,
    what_is_not_seen_is_not_there,
}

/// Which of three flags a deposit states: masked, hidden from the holder, hidden from representatives.
fn hidden(house: &House, unique_id: &str, flags: [bool; 3]) -> Deposit {
    let mut deposit = house.text(unique_id, 1, "texte");
    deposit.header.visibility = Some(pb::Visibility {
        masked_from_professionals: flags[0],
        hidden_from_holder: flags[1],
        hidden_from_representatives: flags[2],
    });
    deposit
}

/// Answers every call with a grant that sees these.
fn see(house: &House, flags: [bool; 3]) {
    house.script().authorize.answer(move |_| {
        Ok(granted(Grant {
            sees_masked: flags[0],
            sees_hidden_from_holder: flags[1],
            sees_hidden_from_representatives: flags[2],
            ..everything()
        }))
    });
}

const ALLOWED: [[bool; 3]; 6] = [
    [false, false, false],
    [true, false, false],
    [false, true, false],
    [false, false, true],
    [true, false, true],
    [false, true, true],
];

async fn each_is_shown_what_the_grant_lets_see_and_what_is_its_own(bench: Bench) {
    let house = House::open(bench).await;
    for (index, flags) in ALLOWED.iter().enumerate() {
        house.deposit(&hidden(&house, &format!("2.25.{index}"), *flags)).await;
    }
    let every_sight = (0..8).map(|bits| [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0]);
    for sight in every_sight {
        see(&house, sight);
        let seen = ALLOWED
            .iter()
            .enumerate()
            .filter(|(_, flags)| flags.iter().zip(&sight).all(|(hidden, sees)| !hidden || *sees));
        let expected: Vec<String> = seen.map(|(index, _)| format!("2.25.{index}")).collect();
        assert_eq!(house.listed(&other_physician()).await, expected, "{sight:?}");
        for index in 0..ALLOWED.len() {
            let unique_id = format!("2.25.{index}");
            let found = house.get(&other_physician(), &unique_id).await.is_ok();
            assert_eq!(found, expected.contains(&unique_id), "{sight:?} {unique_id}");
        }
        assert_eq!(
            house.listed(&physician()).await.len(),
            ALLOWED.len(),
            "what one deposited is seen"
        );
    }
}

/// R1111-53: at the latest a month after the deposit.
async fn a_document_hidden_from_the_holder_is_visible_after_a_month(bench: Bench) {
    let house = House::open(bench).await;
    let document = house.deposit(&hidden(&house, "2.25.1", [false, true, true])).await;
    assert!(document.visibility.unwrap().hidden_from_holder);
    see(&house, [false, false, true]);
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    // Deposited on 2 March at 08:00: visible from 2 April at 08:00 on.
    house.bench.time.advance(days(31) - SignedDuration::from_micros(1));
    assert!(house.listed(&house.holder()).await.is_empty());
    assert_eq!(
        refused(house.read(&house.holder(), "2.25.1").await).code,
        Code::NotFound
    );
    house.bench.time.advance(SignedDuration::from_micros(1));
    assert_eq!(house.listed(&house.holder()).await, ["2.25.1"]);
    let shown = house.get(&house.holder(), "2.25.1").await.unwrap().document.unwrap();
    let visibility = shown.visibility.unwrap();
    assert!(!visibility.hidden_from_holder && visibility.hidden_from_representatives);
}

/// FAQ of the DMP: masked stays visible to its author.
async fn an_author_sees_what_is_masked(bench: Bench) {
    let house = House::open(bench).await;
    let mut deposit = house.cda(crate::house::sample("consultation.xml"));
    deposit.header.visibility = Some(pb::Visibility {
        masked_from_professionals: true,
        ..Default::default()
    });
    house.deposit(&deposit).await;
    let author = testkit::actor::physician("899900123458");
    assert_eq!(house.listed(&author).await.len(), 1);
    assert!(house.listed(&other_physician()).await.is_empty());
}

/// `cumul-invisible_patient-masque_ps` = false.
async fn a_document_is_never_masked_and_hidden_from_the_holder_at_once(bench: Bench) {
    let house = House::open(bench).await;
    let refusal = refused(
        house
            .submit(&physician(), &hidden(&house, "2.25.1", [true, true, false]))
            .await,
    );
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::InvalidArgument, "INVALID_FIELDS")
    );
    assert!(refusal.has_field("visibility", "MASKED_AND_HIDDEN_FROM_HOLDER"));
    // Nor by its own header.
    let level = r#"<confidentialityCode code="N" displayName="Normal" codeSystem="2.16.840.1.113883.5.25"/>"#;
    let masked = format!(r#"{level}<confidentialityCode code="MASQUE_PS" codeSystem="1.2.250.1.213.1.1.4.13"/>"#);
    let mut deposit = house.cda(sample_with("consultation.xml", level, &masked));
    deposit.header.visibility = Some(pb::Visibility {
        hidden_from_holder: true,
        ..Default::default()
    });
    let refusal = refused(house.submit(&physician(), &deposit).await);
    assert_eq!(
        (refusal.reason.as_str(), refusal.metadata["detail"].as_str()),
        ("DOCUMENT_INVALID", "MASKED_AND_HIDDEN_FROM_HOLDER")
    );
    assert!(house.listed(&physician()).await.is_empty());
}

/// JDV_J08: 1 to 4 codes a document.
async fn codes_in_the_header_hide_as_the_deposit_does(bench: Bench) {
    let house = House::open(bench).await;
    let level = r#"<confidentialityCode code="N" displayName="Normal" codeSystem="2.16.840.1.113883.5.25"/>"#;
    let codes = r#"<confidentialityCode code="R" codeSystem="2.16.840.1.113883.5.25"/><confidentialityCode code="INVISIBLE_PATIENT" codeSystem="1.2.250.1.213.1.1.4.13"/>"#;
    let document = house
        .deposit(&house.cda(sample_with("consultation.xml", level, codes)))
        .await;
    assert_eq!(document.confidentiality.as_ref().unwrap().code, "R");
    assert!(document.visibility.unwrap().hidden_from_holder);
    assert!(house.listed(&house.holder()).await.is_empty());
}

/// error.proto, NOT_FOUND: absent, or not visible to the caller; the two are not told apart.
async fn what_is_not_seen_is_not_there(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&hidden(&house, "2.25.1", [true, false, false])).await;
    let hidden = refused(house.get(&other_physician(), "2.25.1").await);
    let access = house.last_access().await;
    assert_eq!(
        (access.outcome(), access.bases[0].rule.as_str()),
        (AccessOutcome::Refused, "NOT_FOUND")
    );
    assert!(access.document_ids.is_empty());
    let absent = refused(house.get(&other_physician(), "2.25.2").await);
    assert_eq!(hidden, absent);
    assert_eq!(
        (hidden.code, hidden.metadata["resource"].as_str()),
        (Code::NotFound, "document")
    );
    assert_eq!(refused(house.read(&other_physician(), "2.25.1").await), absent);
}
