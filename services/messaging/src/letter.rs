//! A stored message as its reader sees it.

use api::messaging::v1 as pb;
use prost::Message;
use store::time::to_proto;

use crate::error::Error;
use crate::messages::{Body, Held};
use crate::vault::{Part, Vault};

/// The header, with what has become of the message in this mailbox.
pub(crate) fn open_header(vault: &Vault, held: &Held) -> Result<pb::MessageHeader, Error> {
    let clear = vault.open(Part::Header, held.message_id, &held.header)?;
    let mut header =
        pb::MessageHeader::decode(clear.as_slice()).map_err(|_| store::Error::Corrupt("messages.header"))?;
    if let Some(delivery) = &held.delivery {
        header.retrieved_at = delivery.retrieval.map(|retrieval| to_proto(retrieval.at));
        header.read_at = delivery.reading.map(|reading| to_proto(reading.at));
    }
    Ok(header)
}

/// The headers of a page, cut short where they would no longer fit into one answer: 50 long addresses each make 500
/// headers larger than a message of gRPC may be. At least one, whatever its size.
pub(crate) fn open_page(vault: &Vault, held: &[Held], bytes_max: usize) -> Result<Vec<pb::MessageHeader>, Error> {
    let (mut headers, mut bytes) = (Vec::with_capacity(held.len()), 0);
    for held in held {
        let header = open_header(vault, held)?;
        bytes += header.encoded_len();
        if bytes > bytes_max && !headers.is_empty() {
            break;
        }
        headers.push(header);
    }
    Ok(headers)
}

/// The text.
pub(crate) fn open_body(vault: &Vault, held: &Held, body: &Body) -> Result<String, Error> {
    let clear = vault.open(Part::Body, held.message_id, &body.sealed)?;
    Ok(String::from_utf8(clear).map_err(|_| store::Error::Corrupt("bodies.body"))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use store::random::Random;
    use store::sealed::Key;

    fn held(vault: &Vault, random: &Random, bytes: usize) -> Held {
        let id = random.uuid();
        let header = pb::MessageHeader {
            subject: "a".repeat(bytes),
            ..pb::MessageHeader::default()
        };
        Held {
            message_id: id,
            sender_id: id,
            sent_sequence: 1,
            deposit_id: id,
            reading_wanted: false,
            header: vault.seal(Part::Header, id, &header.encode_to_vec()).unwrap(),
            delivery: None,
        }
    }

    #[test]
    fn a_page_ends_where_an_answer_would_grow_too_large() {
        let random = Random::seeded(1);
        let vault = Vault::new(Key::generate(&random), random.clone());
        let held: Vec<Held> = [1000, 1000, 1000].map(|bytes| held(&vault, &random, bytes)).into();
        let pages = [(10_000, 3), (2_500, 2), (1_500, 1), (10, 1)];
        for (bytes_max, length) in pages {
            assert_eq!(
                open_page(&vault, &held, bytes_max).unwrap().len(),
                length,
                "{bytes_max}"
            );
        }
    }
}
