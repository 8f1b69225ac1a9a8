//! A receipt to keep: what was agreed to, by whom, in which capacity and when, and its withdrawal (L1111-14).
//!
//! It is a text for people that the service has signed (C2SP signed note): whoever has the service's verifier key checks
//! it offline, for ever, and needs no trust in the operator's database. Ed25519 is deterministic, so that the same fact
//! gives the same receipt whenever it is asked for.
//!
//! `dmp-consent-receipt/v1` never changes: a first line with that name, then one line `name: value` for each of
//! `consent`, `dossier`, `purpose`, `capacity`, `representation` (a representative's), `mode`, `evidence`, `sha256`
//! (unless a collector attests what was said), `collector` (when there was one), `recorded`, `revision` and `withdrawn`
//! (once it is), in this order. In values a backslash, a line break, a carriage return and a tab are written `\\`, `\n`,
//! `\r` and `\t`.

use api::consent::v1::{Capacity, ConsentMode, Purpose};
use api::identity::{Check, DmpId};
use journal::note::{Note, NoteError};
use journal::{LogKey, VerifierKey};
use std::fmt::{self, Write};
use std::str::Lines;
use store::time::Timestamp;
use uuid::Uuid;

use crate::fact::{Consent, Evidence, Fact, What};

/// Its first line.
pub const FORMAT: &str = "dmp-consent-receipt/v1";

/// Why a receipt is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It is not a note that this key has signed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The key signed it, and it is no receipt of this version.
    #[error("not a receipt in the form {FORMAT}")]
    Malformed,
}

/// What a receipt says.
#[derive(Clone, PartialEq)]
pub struct Receipt {
    /// The consent's identifier.
    pub consent_id: Uuid,
    /// The dossier.
    pub dmp_id: DmpId,
    /// What was agreed to, by whom, how, and on which evidence.
    pub consent: Consent,
    /// Who collected it, as `role:identifier`.
    pub collector: Option<String>,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Revision of the dossier's facts: the one that recorded it, or that ended it.
    pub revision: i64,
    /// When it was withdrawn.
    pub withdrawn_at: Option<Timestamp>,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Receipt({}, …)", self.consent_id)
    }
}

impl Receipt {
    /// The receipt of a consent; `None` for a fact of another kind.
    pub fn of(fact: &Fact) -> Option<Self> {
        let What::Consent(consent) = &fact.what else {
            return None;
        };
        Some(Self {
            consent_id: fact.id,
            dmp_id: fact.dmp_id.clone(),
            consent: consent.clone(),
            collector: fact.recorded_by.collector().map(str::to_owned),
            recorded_at: fact.recorded_at,
            revision: fact.last_revision(),
            withdrawn_at: fact.end.as_ref().map(|end| end.at),
        })
    }

    /// The signed text.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] for a value with a control character that no request can bring.
    pub fn sign(&self, key: &LogKey) -> Result<String, NoteError> {
        key.sign(&self.text())
    }

    /// What a signed text says, if `key` signed it.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn open(text: &str, key: &VerifierKey) -> Result<Self, ReceiptError> {
        let note = Note::parse(text)?;
        let text = note.verify(key)?;
        let receipt = Self::parse(text).ok_or(ReceiptError::Malformed)?;
        // One consent has one text: what is not written so is not of this version.
        if receipt.text() == text {
            Ok(receipt)
        } else {
            Err(ReceiptError::Malformed)
        }
    }

    fn text(&self) -> String {
        let Consent {
            purpose,
            capacity,
            representation,
            mode,
            evidence,
        } = &self.consent;
        let lines = [
            ("consent", Some(self.consent_id.to_string())),
            ("dossier", Some(self.dmp_id.to_string())),
            ("purpose", Some(short(purpose.as_str_name(), PURPOSE))),
            ("capacity", Some(short(capacity.as_str_name(), CAPACITY))),
            ("representation", representation.map(|id| id.to_string())),
            ("mode", Some(short(mode.as_str_name(), MODE))),
            ("evidence", Some(evidence.kind.clone())),
            ("sha256", evidence.sha256.map(hex::encode)),
            ("collector", self.collector.clone()),
            ("recorded", Some(self.recorded_at.to_string())),
            ("revision", Some(self.revision.to_string())),
            ("withdrawn", self.withdrawn_at.map(|at| at.to_string())),
        ];
        let mut text = format!("{FORMAT}\n");
        for (name, value) in lines {
            if let Some(value) = value {
                // Writing to a text does not fail.
                let _ = writeln!(text, "{name}: {}", escaped(&value));
            }
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = Fields(text.lines());
        if fields.0.next()? != FORMAT {
            return None;
        }
        let receipt = Self {
            consent_id: fields.take("consent")?.parse().ok()?,
            dmp_id: DmpId::parse(&fields.take("dossier")?, Check::Lenient).ok()?,
            consent: Consent {
                purpose: Purpose::from_str_name(&long(&fields.take("purpose")?, PURPOSE))?,
                capacity: Capacity::from_str_name(&long(&fields.take("capacity")?, CAPACITY))?,
                representation: fields.optional("representation")?,
                mode: ConsentMode::from_str_name(&long(&fields.take("mode")?, MODE))?,
                evidence: Evidence {
                    kind: fields.take("evidence")?,
                    sha256: fields.digest("sha256")?,
                },
            },
            collector: fields.optional("collector")?,
            recorded_at: fields.take("recorded")?.parse().ok()?,
            revision: fields.take("revision")?.parse().ok()?,
            withdrawn_at: fields.optional("withdrawn")?,
        };
        fields.0.next().is_none().then_some(receipt)
    }
}

const PURPOSE: &str = "PURPOSE_";
const CAPACITY: &str = "CAPACITY_";
const MODE: &str = "CONSENT_MODE_";

/// A name of the contract without what all names of its enumeration begin with.
fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

fn long(name: &str, prefix: &str) -> String {
    format!("{prefix}{name}")
}

/// The lines not yet read.
struct Fields<'a>(Lines<'a>);

impl Fields<'_> {
    /// The value of the next line, which must have this name.
    fn take(&mut self, name: &str) -> Option<String> {
        unescaped(self.0.next()?.strip_prefix(name)?.strip_prefix(": ")?)
    }

    /// The same for a line that may be missing: `Some(None)` then.
    fn optional<T: std::str::FromStr>(&mut self, name: &str) -> Option<Option<T>> {
        if !self.is_next(name) {
            return Some(None);
        }
        self.take(name)?.parse().ok().map(Some)
    }

    fn digest(&mut self, name: &str) -> Option<Option<[u8; 32]>> {
        if !self.is_next(name) {
            return Some(None);
        }
        let digest = hex::decode(self.take(name)?).ok()?;
        digest.try_into().ok().map(Some)
    }

    fn is_next(&self, name: &str) -> bool {
        let next = self.0.clone().next();
        next.and_then(|line| line.strip_prefix(name)).is_some()
    }
}

const ESCAPES: [(char, char); 4] = [('\\', '\\'), ('\n', 'n'), ('\r', 'r'), ('\t', 't')];

/// Nothing in a value can end its line, and so pass for another one.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        match ESCAPES.iter().find(|(special, _)| *special == letter) {
            Some((_, written)) => text.extend(['\\', *written]),
            None => text.push(letter),
        }
    }
    text
}

fn unescaped(text: &str) -> Option<String> {
    let (mut value, mut letters) = (String::with_capacity(text.len()), text.chars());
    while let Some(letter) = letters.next() {
        value.push(match letter {
            '\\' => {
                let written = letters.next()?;
                ESCAPES.iter().find(|(_, known)| *known == written)?.0
            }
            plain => plain,
        });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::cases;

    fn key() -> LogKey {
        LogKey::from_seed("consent.test/receipts", [9; 32]).unwrap()
    }

    fn receipt() -> Receipt {
        Receipt::of(&cases::fact(cases::consent(Purpose::Creation))).unwrap()
    }

    fn full() -> Receipt {
        let mut receipt = receipt();
        receipt.consent.capacity = Capacity::Parent;
        receipt.consent.representation = Some(Uuid::from_u128(7));
        receipt.collector = Some("professional:810000000017".into());
        receipt.withdrawn_at = Some(cases::later(1));
        receipt
    }

    /// L1111-14, third sentence: express, by whom, in which capacity, and its withdrawal.
    #[test]
    fn a_receipt_names_everything() {
        let signed = full().sign(&key()).unwrap();
        let (text, signature) = signed.split_once("\n\n").unwrap();
        let expected = format!(
            "dmp-consent-receipt/v1\nconsent: {}\ndossier: {}\npurpose: CREATION\ncapacity: PARENT\n\
             representation: {}\nmode: ONLINE\nevidence: online-session\nsha256: {}\n\
             collector: professional:810000000017\nrecorded: 2026-10-23T10:00:00Z\nrevision: 1\n\
             withdrawn: 2026-11-23T10:00:00Z",
            Uuid::from_u128(1),
            cases::dmp_id(),
            Uuid::from_u128(7),
            "07".repeat(32)
        );
        assert_eq!(text, expected);
        assert!(signature.starts_with("— consent.test/receipts "), "{signature}");
    }

    #[test]
    fn a_receipt_opens_as_it_was_signed_and_is_always_the_same() {
        let mut said = receipt();
        said.consent.evidence.sha256 = None;
        for receipt in [receipt(), full(), said] {
            let signed = receipt.sign(&key()).unwrap();
            assert_eq!(Receipt::open(&signed, key().verifier()), Ok(receipt.clone()));
            assert_eq!(receipt.sign(&key()).unwrap(), signed);
        }
        let ended = cases::fact(cases::consent(Purpose::Creation)).ended();
        assert_eq!(Receipt::of(&ended).unwrap().withdrawn_at, Some(cases::later(-1)));
        assert_eq!(Receipt::of(&cases::fact(cases::block())), None);
    }

    #[test]
    fn any_change_of_a_character_is_seen() {
        let signed = full().sign(&key()).unwrap();
        for (at, letter) in signed.char_indices() {
            for other in ['0', 'A', 'z', '\n'] {
                let mut changed = signed.clone();
                changed.replace_range(at..at + letter.len_utf8(), &other.to_string());
                if changed != signed {
                    assert!(Receipt::open(&changed, key().verifier()).is_err(), "{changed}");
                }
            }
            assert!(Receipt::open(signed.get(..at).unwrap(), key().verifier()).is_err());
        }
        let stranger = LogKey::from_seed("consent.test/receipts", [8; 32]).unwrap();
        assert_eq!(
            Receipt::open(&signed, stranger.verifier()),
            Err(ReceiptError::Note(NoteError::Unsigned))
        );
    }

    /// The kind of an evidence is free text: whatever stands in it stays its value.
    #[test]
    fn no_value_passes_for_another_line() {
        let mut receipt = receipt();
        receipt.consent.evidence.kind = "form\nwithdrawn: 2026-11-23T10:00:00Z\r\t\\n\n\n— x".into();
        let signed = receipt.sign(&key()).unwrap();
        assert_eq!(Receipt::open(&signed, key().verifier()), Ok(receipt));
    }

    /// What the key signed for another purpose is no receipt.
    #[test]
    fn another_signed_text_is_no_receipt() {
        let text = receipt().text();
        for wrong in [
            "something else\n".to_owned(),
            text.replace("/v1", "/v2"),
            text.replace("revision: 1", "revision: +1"),
            format!("{text}more: 1\n"),
            text.replace("purpose: CREATION", "purpose: EVERYTHING"),
        ] {
            let signed = key().sign(&wrong).unwrap();
            assert_eq!(
                Receipt::open(&signed, key().verifier()),
                Err(ReceiptError::Malformed),
                "{wrong}"
            );
        }
    }
}
