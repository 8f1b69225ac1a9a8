//! Documents to deposit: CDA R2 level 1, whose body is filler of a chosen size.

use aws_lc_rs::digest;
use store::random::Random;

use crate::person::Person;

const TEMPLATE: &str = include_str!("../templates/consultation.xml");

/// The root of the identifiers of all documents that a load deposits (a UUID's, which is nobody else's).
const ROOT: &str = "2.25.202606482717155381104283791516410327641.7";

/// Characters of base64, which need no escape in XML.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes that look like a scanned letter, of which each document takes its own stretch.
#[derive(Debug)]
pub(crate) struct Filler(String);

impl Filler {
    /// Enough for documents of `bytes`. It cannot be compressed below three quarters, as what is scanned cannot.
    pub(crate) fn new(seed: u64, bytes: usize) -> Self {
        let random = Random::seeded(seed);
        let mut text = String::with_capacity(2 * bytes);
        while text.len() < 2 * bytes {
            let drawn: [u8; 1024] = random.bytes();
            let letters = drawn.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
            text.extend(letters.map(|letter| char::from(*letter)));
        }
        Self(text)
    }

    /// `bytes` of it, from a place that `number` chooses.
    fn stretch(&self, bytes: usize, number: usize) -> &str {
        let places = self.0.len().saturating_sub(bytes).max(1);
        let begin = number.wrapping_mul(97) % places;
        self.0.get(begin..begin + bytes).unwrap_or(&self.0)
    }
}

/// The identifier of a document whose own part is `extension`.
pub(crate) fn unique_id(extension: &str) -> String {
    format!("{ROOT}^{extension}")
}

/// The own part of the `number`-th document of a dossier, as it is before the first call.
pub(crate) fn first_extension(seed: u64, dossier: usize, number: usize) -> String {
    format!("CHARGE-{seed}-{dossier}-{number}")
}

/// A document of about `bytes` about `person`, written by a professional.
pub(crate) fn compose(
    person: &Person,
    professional_id: &str,
    extension: &str,
    bytes: usize,
    number: usize,
    filler: &Filler,
) -> Vec<u8> {
    // Base64 comes in groups of four.
    let content = filler.stretch((bytes.saturating_sub(TEMPLATE.len()) / 4).max(1) * 4, number);
    TEMPLATE
        .replace("{root}", ROOT)
        .replace("{extension}", extension)
        .replace("{matricule}", &person.matricule)
        .replace("{family}", Person::FAMILY)
        .replace("{given}", Person::GIVEN)
        .replace("{birth_date}", &person.birth_date)
        .replace("{commune}", &person.commune)
        .replace("{professional}", professional_id)
        .replace("{content}", content)
        .into_bytes()
}

/// SHA-256.
pub(crate) fn sha256(content: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, content).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_document_has_the_size_that_was_asked_for_and_no_gap_left() {
        let (person, filler) = (Person::invent(1, 1).unwrap(), Filler::new(1, 3_000_000));
        for bytes in [5_000, 20_000, 3_000_000] {
            let content = compose(&person, "899000000016", "X-1", bytes, 5, &filler);
            let difference = content.len().abs_diff(bytes);
            assert!(difference < 2_000, "{bytes}: {}", content.len());
            assert!(!content.contains(&b'{') && !content.contains(&b'}'));
        }
    }

    #[test]
    fn documents_differ() {
        let (person, filler) = (Person::invent(1, 1).unwrap(), Filler::new(1, 20_000));
        let composed = |number| compose(&person, "899000000016", "X", 20_000, number, &filler);
        assert_ne!(sha256(&composed(1)), sha256(&composed(2)));
        assert_eq!(composed(1), composed(1));
    }
}
