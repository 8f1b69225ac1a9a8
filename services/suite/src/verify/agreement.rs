//! A consent's receipt as a sentence, in French, for the person who kept it.

use api::consent::v1::{Capacity, ConsentMode, Purpose};
use consent::receipt::{Receipt, ReceiptError};
use journal::VerifierKey;
use store::time::to_proto;

use super::sentence::moment;

/// The receipts in a text: the signed text itself, or the answers of RecordConsent, WithdrawConsent and GetConsent as a
/// client prints them, one after another. Empty when it is neither.
pub fn receipts(text: &str) -> Vec<String> {
    if text.starts_with(consent::receipt::FORMAT) {
        return vec![text.to_owned()];
    }
    let objects = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let receipts = objects.map_while(Result::ok).filter_map(|object| {
        let receipt = object.get("receipt")?.as_str()?.to_owned();
        receipt.starts_with(consent::receipt::FORMAT).then_some(receipt)
    });
    receipts.collect()
}

/// What a receipt says, if `key` signed it.
///
/// # Errors
/// [`ReceiptError`].
pub fn said(receipt: &str, key: &VerifierKey) -> Result<String, ReceiptError> {
    let receipt = Receipt::open(receipt, key)?;
    let given = &receipt.consent;
    let mut said = format!(
        "{}, {} a consenti {}, {} ; dossier {}, consentement {}, révision {}",
        moment(Some(&to_proto(receipt.recorded_at))),
        giver(given.capacity),
        purpose(given.purpose),
        mode(given.mode),
        receipt.dmp_id,
        receipt.consent_id,
        receipt.revision,
    );
    if let Some(collector) = &receipt.collector {
        said.push_str(&format!(" ; recueilli par {collector}"));
    }
    if let Some(withdrawn_at) = receipt.withdrawn_at {
        said.push_str(&format!(" ; retiré {}", moment(Some(&to_proto(withdrawn_at)))));
    }
    Ok(said)
}

fn giver(capacity: Capacity) -> &'static str {
    match capacity {
        Capacity::Person => "la personne",
        Capacity::Parent => "un titulaire de l'autorité parentale",
        Capacity::Guardian => "le tuteur",
        Capacity::AssistedPerson => "la personne, assistée",
        Capacity::Unspecified => "quelqu'un",
    }
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Creation => "à la création du dossier",
        Purpose::Hosting => "à l'hébergement du dossier",
        Purpose::Feeding => "à l'alimentation du dossier",
        Purpose::OccupationalMedicine => "à l'accès de la médecine du travail",
        Purpose::OutsideCareTeam => "à l'accès de professionnels hors de l'équipe de soins",
        Purpose::Unspecified => "à une fin inconnue",
    }
}

fn mode(mode: ConsentMode) -> &'static str {
    match mode {
        ConsentMode::Online => "en ligne",
        ConsentMode::Written => "par écrit",
        ConsentMode::OralCollected => "de vive voix",
        ConsentMode::Unspecified => "d'une manière inconnue",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use api::identity::DmpId;
    use consent::fact::{Consent, Evidence};
    use journal::LogKey;
    use store::time::Timestamp;
    use uuid::Uuid;

    fn signed(key: &LogKey) -> String {
        let receipt = Receipt {
            consent_id: Uuid::nil(),
            dmp_id: DmpId::generate([1; 16]),
            consent: Consent {
                purpose: Purpose::Creation,
                capacity: Capacity::Parent,
                representation: None,
                mode: ConsentMode::OralCollected,
                evidence: Evidence {
                    kind: "collector-attestation".to_owned(),
                    sha256: None,
                },
            },
            collector: Some("professional:810000000017".to_owned()),
            recorded_at: Timestamp::UNIX_EPOCH,
            revision: 3,
            withdrawn_at: None,
        };
        receipt.sign(key).unwrap()
    }

    /// L1111-14: the person keeps what proves the consent, and anybody can read it.
    #[test]
    fn a_kept_receipt_says_who_agreed_to_what() {
        let key = LogKey::from_seed("receipts", [1; 32]).unwrap();
        let text = signed(&key);
        let answer = serde_json::json!({ "consentId": "x", "receipt": text }).to_string();
        for kept in [text.clone(), answer.repeat(2)] {
            for receipt in receipts(&kept) {
                let said = said(&receipt, key.verifier()).unwrap();
                assert!(
                    said.contains("autorité parentale a consenti à la création du dossier"),
                    "{said}"
                );
                assert!(said.contains("recueilli par professional:810000000017"), "{said}");
            }
        }
        assert_eq!((receipts(&text).len(), receipts(&answer.repeat(2)).len()), (1, 2));
    }

    #[test]
    fn a_receipt_of_another_key_or_another_word_is_refused() {
        let (key, other) = (
            LogKey::from_seed("receipts", [1; 32]).unwrap(),
            LogKey::from_seed("receipts", [2; 32]).unwrap(),
        );
        let text = signed(&key);
        assert!(said(&text, other.verifier()).is_err());
        assert!(said(&text.replace("CREATION", "HOSTING"), key.verifier()).is_err());
        assert!(receipts("{\"history\": {}}").is_empty() && receipts("anything").is_empty());
    }
}
