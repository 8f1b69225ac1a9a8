//! Histories made by hand, without a database: what the offline verifier accepts and refuses.

use journal::checkpoint::Checkpoint;
use journal::entry::{Content, Link, Recorded};
use journal::hash::{self, Hash};
use journal::history::{Fault, History, Proven, VerifyError};
use journal::note::LogKey;
use journal::proof::ProofError;
use journal::receipt::Receipt;
use store::time::from_micros;
use uuid::Uuid;

use crate::naive;

pub(crate) const ORIGIN: &str = "dmp.example/journal";
pub(crate) const SUBJECT: &str = "10203040506070809010";

pub(crate) fn key() -> LogKey {
    LogKey::from_seed(ORIGIN, [7; 32]).unwrap()
}

/// A log of which every third entry is of our subject.
pub(crate) struct Written {
    pub(crate) entries: Vec<Recorded>,
    leaves: Vec<Hash>,
}

pub(crate) fn written(count: u64) -> Written {
    let mut written = Written {
        entries: Vec::new(),
        leaves: Vec::new(),
    };
    for index in 0..count {
        if index % 3 == 1 {
            let entry = following(&written, index);
            written.leaves.push(entry.leaf_hash);
            written.entries.push(entry);
        } else {
            written.leaves.push(hash::leaf(&index.to_be_bytes()));
        }
    }
    written
}

fn following(written: &Written, leaf_index: u64) -> Recorded {
    let head = written.entries.last().map_or(Link::BEGINNING, Recorded::link);
    let mut entry = Recorded {
        entry_id: Uuid::from_u128(u128::from(leaf_index) + 1),
        subject: SUBJECT.into(),
        sequence: head.sequence + 1,
        previous: head.leaf_hash,
        recorded_at: from_micros(1_790_000_000_000_000 + i64::try_from(leaf_index).unwrap()).unwrap(),
        leaf_index,
        leaf_hash: Hash::ZERO,
        content: Content::Present {
            salt: [leaf_index as u8; 32],
            payload: format!("access {leaf_index}").into(),
        },
    };
    entry.leaf_hash = entry.computed_leaf();
    entry
}

fn checkpoint(leaves: &[Hash]) -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.into(),
        size: leaves.len() as u64,
        root: naive::mth(leaves),
        extensions: Vec::new(),
    }
}

impl Written {
    pub(crate) fn history(&self) -> History {
        let prove = |entry: &Recorded| Proven {
            entry: entry.clone(),
            inclusion: naive::path(entry.leaf_index as usize, &self.leaves),
        };
        History {
            checkpoint: checkpoint(&self.leaves).sign(&key()).unwrap(),
            entries: self.entries.iter().map(prove).collect(),
        }
    }

    pub(crate) fn receipt(&self, sequence: usize) -> Receipt {
        let entry = &self.entries[sequence - 1];
        let leaves = &self.leaves[..=entry.leaf_index as usize];
        Receipt {
            entry_id: entry.entry_id,
            origin: ORIGIN.into(),
            leaf_index: entry.leaf_index,
            leaf_hash: entry.leaf_hash,
            sequence: entry.sequence,
            recorded_at: entry.recorded_at,
            checkpoint: checkpoint(leaves).sign(&key()).unwrap(),
            inclusion: naive::path(entry.leaf_index as usize, leaves),
        }
    }
}

fn verify(history: &History) -> Result<journal::Verified, VerifyError> {
    history.verify(key().verifier(), SUBJECT, Link::BEGINNING)
}

fn fault(history: &History) -> (usize, Fault) {
    match verify(history) {
        Err(VerifyError::Entry { position, fault }) => (position, fault),
        other => panic!("{other:?}"),
    }
}

/// A whole history holds, page by page or at once.
#[test]
fn a_true_history_holds() {
    let written = written(40);
    let history = written.history();
    let verified = verify(&history).unwrap();
    assert_eq!(verified.entries.len(), 13);
    assert_eq!(verified.head(), written.entries.last().unwrap().link());
    assert_eq!(verified.checkpoint.size, 40);

    let mut first = history.clone();
    let second = History {
        entries: first.entries.split_off(5),
        ..history.clone()
    };
    let head = verify(&first).unwrap().head();
    assert_eq!(
        second.verify(key().verifier(), SUBJECT, head).unwrap().head(),
        verified.head()
    );
    // The second page does not follow from the beginning, nor from anywhere else.
    assert!(verify(&second).is_err());
    let elsewhere = Link {
        leaf_hash: hash::leaf(b"?"),
        ..head
    };
    assert_eq!(
        second.verify(key().verifier(), SUBJECT, elsewhere),
        Err(VerifyError::Entry {
            position: 0,
            fault: Fault::Previous
        })
    );
}

/// dmp-journal/v1 never changes: the leaf of a known entry is this one for ever.
#[test]
fn the_format_of_a_leaf_is_fixed() {
    let entry = Recorded {
        entry_id: Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        subject: SUBJECT.into(),
        sequence: 2,
        previous: Hash([0x11; 32]),
        recorded_at: from_micros(1_790_000_000_123_456).unwrap(),
        leaf_index: 5,
        leaf_hash: Hash::ZERO,
        content: Content::Present {
            salt: [0x22; 32],
            payload: b"payload".to_vec(),
        },
    };
    // Computed with another implementation (Python's hmac and hashlib) from the specification's text.
    assert_eq!(
        entry.content.commitment().to_string(),
        "7dd9bbf002c8555f32a160649573b68f748838b7c6bf452dfffb4f8988cec059"
    );
    assert_eq!(
        entry.computed_leaf().to_string(),
        "225b34328a85d9d1b87d7fae691043254de5b15bd66e85638cb6a68569a840df"
    );
}

/// One bit of any field of any entry changed: refused, and the entry is named.
#[test]
fn every_change_of_an_entry_is_refused() {
    let history = written(20).history();
    let flips: [fn(&mut Recorded, usize); 9] = [
        |entry, bit| {
            let mut id = *entry.entry_id.as_bytes();
            id[bit % 16] ^= 1 << (bit % 8);
            entry.entry_id = Uuid::from_bytes(id);
        },
        |entry, bit| {
            let mut subject = entry.subject.clone().into_bytes();
            let at = bit % subject.len();
            subject[at] ^= 1;
            entry.subject = String::from_utf8(subject).unwrap();
        },
        |entry, bit| entry.sequence ^= 1 << (bit % 64),
        |entry, bit| entry.previous.0[bit / 8] ^= 1 << (bit % 8),
        |entry, bit| {
            let nanos = entry.recorded_at.as_nanosecond() ^ (1 << (bit % 50));
            entry.recorded_at = store::time::Timestamp::from_nanosecond(nanos).unwrap();
        },
        |entry, bit| entry.leaf_index ^= 1 << (bit % 64),
        |entry, bit| entry.leaf_hash.0[bit / 8] ^= 1 << (bit % 8),
        |entry, bit| {
            let Content::Present { salt, .. } = &mut entry.content else {
                panic!()
            };
            salt[bit / 8] ^= 1 << (bit % 8);
        },
        |entry, bit| {
            let Content::Present { payload, .. } = &mut entry.content else {
                panic!()
            };
            let at = bit % payload.len();
            payload[at] ^= 1;
        },
    ];
    for (field, flip) in flips.iter().enumerate() {
        for position in 0..history.entries.len() {
            for bit in 0..256 {
                let mut changed = history.clone();
                flip(&mut changed.entries[position].entry, bit);
                assert_eq!(fault(&changed).0, position, "field {field}, bit {bit}");
            }
        }
    }
}

/// A payload with bytes added, moved to the salt's side, or taken away is not the payload that was written.
#[test]
fn a_payload_of_another_length_is_refused() {
    let history = written(5).history();
    for payload in [&b""[..], b"access ", b"access 1\0", b"dmp-journal/v1 content\naccess 1"] {
        let mut changed = history.clone();
        changed.entries[0].entry.content = Content::Present {
            salt: [1; 32],
            payload: payload.to_vec(),
        };
        assert_eq!(fault(&changed), (0, Fault::Content));
    }
}

/// One bit of a proof changed, or the proof of another entry: refused.
#[test]
fn every_change_of_a_proof_is_refused() {
    let history = written(20).history();
    for position in 0..history.entries.len() {
        for at in 0..history.entries[position].inclusion.len() {
            for bit in 0..256 {
                let mut changed = history.clone();
                changed.entries[position].inclusion[at].0[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(fault(&changed), (position, Fault::Inclusion(ProofError::WrongRoot)));
            }
        }
    }
    let mut exchanged = history.clone();
    exchanged.entries[0].inclusion = history.entries[1].inclusion.clone();
    assert_eq!(fault(&exchanged).0, 0);
}

/// An entry left out, repeated, moved or slipped in: refused.
#[test]
fn a_chain_with_another_order_is_refused() {
    let written = written(20);
    let history = written.history();
    for position in 0..history.entries.len() - 1 {
        let mut without = history.clone();
        without.entries.remove(position);
        let (expected, found) = (position as u64 + 1, position as u64 + 2);
        assert_eq!(fault(&without), (position, Fault::Sequence { expected, found }));

        let mut exchanged = history.clone();
        exchanged.entries.swap(position, position + 1);
        assert_eq!(fault(&exchanged), (position, Fault::Sequence { expected, found }));

        let mut repeated = history.clone();
        repeated.entries.insert(position, history.entries[position].clone());
        assert_eq!(
            fault(&repeated),
            (
                position + 1,
                Fault::Sequence {
                    expected: found,
                    found: expected
                }
            )
        );
    }
}

/// An entry left out and the rest renumbered to hide it: the leaves betray it.
#[test]
fn a_renumbered_chain_is_refused() {
    let mut history = written(20).history();
    history.entries.remove(2);
    let before = history.entries[1].entry.link();
    let forged = &mut history.entries[2].entry;
    (forged.sequence, forged.previous) = (3, before.leaf_hash);
    assert_eq!(fault(&history), (2, Fault::Content));
    let forged = &mut history.entries[2].entry;
    forged.leaf_hash = forged.computed_leaf();
    assert_eq!(fault(&history), (2, Fault::Inclusion(ProofError::WrongRoot)));
}

/// Even a log that signs it cannot have an entry stand before the one it follows.
#[test]
fn a_chain_against_the_order_of_the_log_is_refused() {
    let mut written = written(9);
    let (first, second) = (
        written.entries[0].leaf_index as usize,
        written.entries[1].leaf_index as usize,
    );
    written.leaves.swap(first, second);
    written.entries[0].leaf_index = second as u64;
    written.entries[1].leaf_index = first as u64;
    assert_eq!(fault(&written.history()), (1, Fault::Order));
}

/// A history of somebody else, or under somebody else's key, is not this one.
#[test]
fn a_foreign_history_is_refused() {
    let history = written(9).history();
    let other = history.verify(key().verifier(), "another subject", Link::BEGINNING);
    assert_eq!(
        other,
        Err(VerifyError::Entry {
            position: 0,
            fault: Fault::Subject
        })
    );
    let forger = LogKey::from_seed(ORIGIN, [8; 32]).unwrap();
    assert!(matches!(
        history.verify(forger.verifier(), SUBJECT, Link::BEGINNING),
        Err(VerifyError::Checkpoint(_))
    ));
}

/// An erased entry leaves its history whole, and cannot be given another content.
#[test]
fn an_erased_entry_still_holds() {
    let written = written(20);
    let mut history = written.history();
    let whole = verify(&history).unwrap();
    let entry = &mut history.entries[2].entry;
    entry.content = Content::Erased {
        commitment: entry.content.commitment(),
    };
    let verified = verify(&history).unwrap();
    assert_eq!(verified.head(), whole.head());
    assert!(verified.entries[2].erased && !verified.entries[1].erased);
    verified.check_receipt(&written.receipt(3), key().verifier()).unwrap();

    history.entries[2].entry.content = Content::Erased {
        commitment: hash::leaf(b"?"),
    };
    assert_eq!(fault(&history), (2, Fault::Content));
}

/// A leaf does not betray its content: with all else known, two salts give two leaves (and the salt is 256 random bits).
#[test]
fn a_leaf_hides_its_content() {
    let mut entry = written(5).entries[0].clone();
    let before = entry.computed_leaf();
    entry.content = Content::Present {
        salt: [99; 32],
        payload: entry.content.payload().unwrap().to_vec(),
    };
    assert_ne!(entry.computed_leaf(), before);
}

/// A kept receipt finds out a history that stops early, and one that shows something else in its place.
#[test]
fn a_kept_receipt_finds_out_the_liar() {
    let truth = written(20);
    let verified = verify(&truth.history()).unwrap();
    for sequence in 1..=truth.entries.len() {
        verified
            .check_receipt(&truth.receipt(sequence), key().verifier())
            .unwrap();
    }
    let mut early = truth.history();
    early.entries.truncate(4);
    let early = verify(&early).unwrap();
    let caught = early.check_receipt(&truth.receipt(6), key().verifier());
    assert_eq!(caught, Err(VerifyError::Truncated { receipt: 6, last: 4 }));

    let mut forked = written(7);
    let mut other = following(&forked, 7);
    other.content = Content::Present {
        salt: [3; 32],
        payload: b"nothing happened".to_vec(),
    };
    other.leaf_hash = other.computed_leaf();
    forked.leaves.push(other.leaf_hash);
    forked.entries.push(other);
    let forked_history = verify(&forked.history()).unwrap();
    let caught = forked_history.check_receipt(&truth.receipt(3), key().verifier());
    assert_eq!(caught, Err(VerifyError::Contradicted { receipt: 3 }));
    // The receipt's own checkpoint and the forked one cannot both be of one log, whatever is offered as proof.
    let kept = truth.receipt(3).verify(key().verifier()).unwrap();
    assert!(
        forked_history
            .checkpoint
            .extends(&kept, &naive::proof(8, &forked.leaves))
            .is_err()
    );
}

/// A receipt changed in any way does not hold.
#[test]
fn a_changed_receipt_is_refused() {
    let truth = written(20);
    let verified = verify(&truth.history()).unwrap();
    let check = |change: fn(&mut Receipt)| {
        let mut receipt = truth.receipt(4);
        change(&mut receipt);
        assert!(verified.check_receipt(&receipt, key().verifier()).is_err());
    };
    check(|receipt| receipt.entry_id = Uuid::from_u128(77));
    check(|receipt| receipt.origin.push('x'));
    check(|receipt| receipt.leaf_index += 1);
    check(|receipt| receipt.leaf_hash = hash::leaf(b"?"));
    check(|receipt| receipt.sequence -= 1);
    check(|receipt| receipt.sequence = 0);
    check(|receipt| receipt.recorded_at = from_micros(5).unwrap());
    check(|receipt| receipt.checkpoint = receipt.checkpoint.replace('\n', " "));
    check(|receipt| receipt.inclusion.push(Hash::ZERO));
    check(|receipt| receipt.inclusion.truncate(1));
}

/// A log that grew is shown to have grown; one that was rewritten cannot be (C2SP tlog-checkpoint, RFC 9162 §2.1.4).
#[test]
fn a_fork_is_found() {
    let leaves = naive::leaves(50);
    let mut rewritten = leaves.clone();
    rewritten[20] = hash::leaf(b"rewritten");
    for (from, to) in [(1, 50), (21, 50), (32, 33), (49, 50), (50, 50), (0, 50)] {
        let (old, new) = (checkpoint(&leaves[..from]), checkpoint(&leaves[..to]));
        assert_eq!(new.extends(&old, &naive::proof(from, &leaves[..to])), Ok(()));
        assert!(to == from || old.extends(&new, &[]).is_err(), "a log does not shrink");
        if from > 20 {
            let fork = checkpoint(&rewritten[..to]);
            assert!(fork.extends(&old, &naive::proof(from, &rewritten[..to])).is_err());
            assert!(fork.extends(&old, &naive::proof(from, &leaves[..to])).is_err());
        }
    }
    let elsewhere = Checkpoint {
        origin: "other.example".into(),
        ..checkpoint(&leaves)
    };
    assert!(elsewhere.extends(&checkpoint(&leaves), &[]).is_err());
}

/// Nothing of a person shows in what might be logged.
#[test]
fn entries_do_not_show_themselves() {
    let written = written(5);
    let shown = format!("{:?} {:?}", written.history(), written.receipt(1));
    assert!(!shown.contains(SUBJECT) && !shown.contains("access"), "{shown}");
}
