//! A log made up from the journal's pure parts, and every lie that somebody might tell with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use super::*;
use api::common::v1::{Actor, ConsistencyProof, InclusionProof, Role};
use api::dossier::v1::{AccessAction, AccessOutcome, Checkpoint as CheckpointAnswer, CompletenessProof};
use journal::history::{Fault, Proven};
use journal::tree::{self, Element, Frontier, Node};
use journal::{LogKey, bytes_of};
use prost_reflect::{DescriptorPool, DynamicMessage};
use std::collections::HashMap;
use std::sync::LazyLock;
use store::random::Random;
use store::time::{Timestamp, to_proto};

const ORIGIN: &str = "dmp.localhost/dossier";
const OURS: &str = "412345678901234567";
const OTHERS: &str = "912345678901234567";
const START_MICROS: i64 = 1_772_438_400_000_000;

/// A whole log in memory.
struct Log {
    key: LogKey,
    random: Random,
    frontier: Frontier,
    nodes: HashMap<Node, Hash>,
    entries: Vec<Recorded>,
}

impl Log {
    fn new(seed: u8) -> Self {
        Self {
            key: LogKey::from_seed(ORIGIN, [seed; 32]).unwrap(),
            random: Random::seeded(7),
            frontier: Frontier::empty(),
            nodes: HashMap::new(),
            entries: Vec::new(),
        }
    }

    /// A log in which two dossiers take turns.
    fn of(count: usize) -> Self {
        let mut log = Self::new(1);
        for index in 0..count {
            log.append(if index % 3 == 1 { OTHERS } else { OURS });
        }
        log
    }

    fn append(&mut self, subject: &str) {
        let entry_id = self.random.uuid();
        let micros = START_MICROS + 1_000_000 * i64::try_from(self.entries.len()).unwrap();
        let recorded_at = Timestamp::from_microsecond(micros).unwrap();
        let access = Access {
            entry_id: entry_id.to_string(),
            dmp_id: subject.to_owned(),
            actor: Some(Actor {
                role: Role::Holder.into(),
                ..Actor::default()
            }),
            action: AccessAction::ListDocuments.into(),
            outcome: AccessOutcome::Granted.into(),
            occurred_at: Some(to_proto(recorded_at)),
            ..Access::default()
        };
        self.append_payload(subject, entry_id, recorded_at, access.encode_to_vec());
    }

    fn append_payload(&mut self, subject: &str, entry_id: uuid::Uuid, recorded_at: Timestamp, payload: Vec<u8>) {
        let previous = self.chain(subject).last().map_or(Link::BEGINNING, Recorded::link);
        let mut entry = Recorded {
            entry_id,
            subject: subject.to_owned(),
            sequence: previous.sequence + 1,
            previous: previous.leaf_hash,
            recorded_at,
            leaf_index: self.frontier.size(),
            leaf_hash: Hash::ZERO,
            content: Content::Present {
                salt: self.random.bytes(),
                payload,
            },
        };
        entry.leaf_hash = entry.computed_leaf();
        self.nodes.extend(self.frontier.append(entry.leaf_hash));
        self.entries.push(entry);
    }

    fn chain(&self, subject: &str) -> Vec<Recorded> {
        self.entries
            .iter()
            .filter(|entry| entry.subject == subject)
            .cloned()
            .collect()
    }

    fn fold(&self, elements: Vec<Element>) -> Vec<Hash> {
        let fold = |element: Element| tree::fold(&element.iter().map(|node| self.nodes[node]).collect::<Vec<_>>());
        elements.into_iter().map(|element| fold(element).unwrap()).collect()
    }

    fn root(&self, size: u64) -> Hash {
        let roots: Vec<Hash> = tree::frontier_nodes(size).iter().map(|node| self.nodes[node]).collect();
        Frontier::restore(size, roots).unwrap().root()
    }

    fn checkpoint(&self, size: u64) -> String {
        let checkpoint = Checkpoint {
            origin: ORIGIN.to_owned(),
            size,
            root: self.root(size),
            extensions: Vec::new(),
        };
        checkpoint.sign(&self.key).unwrap()
    }

    fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        self.fold(tree::inclusion(index, size).unwrap())
    }

    /// The pages of our chain, `per_page` entries each, each page under the checkpoint of the whole log.
    fn pages(&self, per_page: usize) -> Vec<CompletenessProof> {
        let size = self.frontier.size();
        let chain = self.chain(OURS);
        let head_sequence = chain.last().unwrap().sequence;
        let proven = |entry: &Recorded| Proven {
            entry: entry.clone(),
            inclusion: self.inclusion(entry.leaf_index, size),
        };
        let page = |entries: &[Recorded]| CompletenessProof {
            more: entries.last().unwrap().sequence < head_sequence,
            history: Some(
                History {
                    checkpoint: self.checkpoint(size),
                    entries: entries.iter().map(proven).collect(),
                }
                .to_proto(OURS, ORIGIN),
            ),
            head_sequence,
        };
        chain.chunks(per_page).map(page).collect()
    }

    fn receipt(&self, entry: &Recorded, size: u64) -> pb::Receipt {
        pb::Receipt::from(&Receipt {
            entry_id: entry.entry_id,
            origin: ORIGIN.to_owned(),
            leaf_index: entry.leaf_index,
            leaf_hash: entry.leaf_hash,
            sequence: entry.sequence,
            recorded_at: entry.recorded_at,
            checkpoint: self.checkpoint(size),
            inclusion: self.inclusion(entry.leaf_index, size),
        })
    }

    fn consistency(&self, from_size: u64, to_size: u64) -> ConsistencyProof {
        let hashes = bytes_of(&self.fold(tree::consistency(from_size, to_size).unwrap()));
        ConsistencyProof {
            from_size,
            to_size,
            hashes,
            checkpoint: self.checkpoint(to_size),
        }
    }

    fn saved(&self, size: u64) -> CheckpointAnswer {
        CheckpointAnswer {
            checkpoint: self.checkpoint(size),
            verifier_key: self.key.verifier().to_string(),
            tree_size: size,
        }
    }
}

/// As a gRPC client prints it.
fn json<T: Message>(name: &str, message: &T) -> String {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(api::DESCRIPTOR_SET).unwrap());
    let mut dynamic = DynamicMessage::new(POOL.get_message_by_name(name).unwrap());
    dynamic.transcode_from(message).unwrap();
    serde_json::to_string_pretty(&dynamic).unwrap()
}

fn pages_json(pages: &[CompletenessProof]) -> String {
    pages
        .iter()
        .map(|page| json("dmp.dossier.v1.CompletenessProof", page))
        .collect::<Vec<_>>()
        .join("\n")
}

fn receipt_json(receipt: &pb::Receipt) -> String {
    json("dmp.common.v1.Receipt", receipt)
}

fn check(log: &Log, history: &str, receipts: &[String]) -> Result<Summary, VerifyFileError> {
    verify(history, receipts, log.key.verifier(), &mut Vec::new())
}

/// What a change to the pages is answered with.
fn after(change: impl FnOnce(&mut Vec<CompletenessProof>)) -> VerifyFileError {
    let log = Log::of(13);
    let mut pages = log.pages(4);
    change(&mut pages);
    check(&log, &pages_json(&pages), &[]).unwrap_err()
}

fn entry(pages: &mut [CompletenessProof], page: usize, place: usize) -> &mut pb::HistoryEntry {
    &mut pages[page].history.as_mut().unwrap().entries[place]
}

fn fault(error: &VerifyFileError) -> Option<Fault> {
    match error {
        VerifyFileError::Page {
            fault: VerifyError::Entry { fault, .. },
            ..
        } => Some(*fault),
        _ => None,
    }
}

/// L1111-19: the holder checks a whole history, page by page, with nothing but the log's public key.
#[test]
fn a_whole_history_in_pages_is_proved() {
    let log = Log::of(13);
    let mut out = Vec::new();
    let summary = verify(&pages_json(&log.pages(4)), &[], log.key.verifier(), &mut out).unwrap();
    assert_eq!((summary.entries, summary.pages, summary.checkpoints), (9, 3, 1));
    let told = String::from_utf8(out).unwrap();
    assert_eq!(
        told.matches("le titulaire a consulté la liste des documents").count(),
        9,
        "{told}"
    );
    assert!(told.contains("le 2 mars 2026 à 08:00:00 UTC"), "{told}");
    assert!(told.contains("the last entry shown is the last there is"), "{told}");
}

/// Pages are taken one after another from a growing log, each under a newer checkpoint.
#[test]
fn pages_under_different_checkpoints_join() {
    let mut log = Log::of(13);
    let mut pages = log.pages(5);
    pages.truncate(1);
    log.append(OURS);
    pages.extend(log.pages(5).into_iter().skip(1));
    let summary = check(&log, &pages_json(&pages), &[]).unwrap();
    assert_eq!((summary.entries, summary.pages, summary.checkpoints), (10, 2, 2));
}

#[test]
fn any_changed_byte_of_an_entry_is_found() {
    let payload = after(|pages| match entry(pages, 1, 2).present_or_erased.as_mut().unwrap() {
        pb::history_entry::PresentOrErased::Content(content) => content.payload[3] ^= 1,
        pb::history_entry::PresentOrErased::ErasedCommitment(_) => unreachable!(),
    });
    assert_eq!(fault(&payload), Some(Fault::Content));
    let time = after(|pages| entry(pages, 1, 2).recorded_at.as_mut().unwrap().nanos += 1_000);
    assert_eq!(fault(&time), Some(Fault::Content));
    let finer = after(|pages| entry(pages, 1, 2).recorded_at.as_mut().unwrap().nanos += 1);
    assert_eq!(fault(&finer), Some(Fault::Content));
    let leaf = after(|pages| entry(pages, 0, 0).leaf_hash[0] ^= 1);
    assert_eq!(fault(&leaf), Some(Fault::Content));
    let path = after(|pages| entry(pages, 2, 0).inclusion[1][31] ^= 1);
    assert_eq!(fault(&path), Some(Fault::Inclusion(ProofError::WrongRoot)));
    let place = after(|pages| entry(pages, 2, 0).leaf_index += 1);
    assert!(matches!(fault(&place), Some(Fault::Inclusion(_))), "{place}");
}

#[test]
fn an_entry_left_out_put_in_or_moved_is_found() {
    let left_out = after(|pages| drop(pages[1].history.as_mut().unwrap().entries.remove(1)));
    assert_eq!(fault(&left_out), Some(Fault::Sequence { expected: 6, found: 7 }));
    let repeated = after(|pages| {
        let again = entry(pages, 1, 1).clone();
        pages[1].history.as_mut().unwrap().entries.insert(1, again);
    });
    assert_eq!(fault(&repeated), Some(Fault::Sequence { expected: 7, found: 6 }));
    let moved = after(|pages| pages[0].history.as_mut().unwrap().entries.swap(1, 2));
    assert_eq!(fault(&moved), Some(Fault::Sequence { expected: 2, found: 3 }));
    let page = after(|pages| drop(pages.remove(1)));
    assert_eq!(fault(&page), Some(Fault::Sequence { expected: 5, found: 9 }));
    let start = after(|pages| drop(pages.remove(0)));
    assert_eq!(fault(&start), Some(Fault::Sequence { expected: 1, found: 5 }));
}

/// An entry that never was, under a leaf hash that follows from its fields, still is not in the tree.
#[test]
fn an_invented_entry_is_found() {
    let invented = after(|pages| {
        let mut history = History::from_proto(pages[2].history.as_ref().unwrap()).unwrap();
        let last = history.entries.last_mut().unwrap();
        last.entry.content = Content::Present {
            salt: [9; 32],
            payload: b"nobody came".to_vec(),
        };
        last.entry.leaf_hash = last.entry.computed_leaf();
        pages[2].history = Some(history.to_proto(OURS, ORIGIN));
    });
    assert_eq!(fault(&invented), Some(Fault::Inclusion(ProofError::WrongRoot)));
}

#[test]
fn a_history_of_somebody_else_is_no_page_of_this_one() {
    let other = after(|pages| pages[1].history.as_mut().unwrap().subject = OTHERS.to_owned());
    assert!(matches!(other, VerifyFileError::OtherSubject { page: 2 }), "{other}");
    let all = after(|pages| {
        pages
            .iter_mut()
            .for_each(|page| page.history.as_mut().unwrap().subject = OTHERS.to_owned());
    });
    assert_eq!(fault(&all), Some(Fault::Content));
}

#[test]
fn the_servers_own_words_about_the_end_are_held_against_it() {
    let stopped = after(|pages| drop(pages.pop()));
    assert!(matches!(stopped, VerifyFileError::Incomplete { shown: 8 }), "{stopped}");
    let short = after(|pages| {
        pages.pop();
        pages[1].more = false;
    });
    assert!(matches!(short, VerifyFileError::Head { shown: 8, head: 9 }), "{short}");
}

#[test]
fn a_checkpoint_that_the_log_did_not_sign_is_refused() {
    let forged = after(|pages| {
        let history = pages[0].history.as_mut().unwrap();
        history.checkpoint = history.checkpoint.replacen("13\n", "14\n", 1);
    });
    let VerifyFileError::Page {
        page: 1,
        fault: VerifyError::Checkpoint(_),
    } = forged
    else {
        panic!("{forged}")
    };
    let log = Log::of(13);
    let error = verify(
        &pages_json(&log.pages(4)),
        &[],
        Log::new(2).key.verifier(),
        &mut Vec::new(),
    )
    .unwrap_err();
    assert!(
        matches!(
            error,
            VerifyFileError::Page {
                page: 1,
                fault: VerifyError::Checkpoint(_)
            }
        ),
        "{error}"
    );
    let elsewhere = after(|pages| pages[0].history.as_mut().unwrap().log_origin = "other.example".to_owned());
    assert!(matches!(elsewhere, VerifyFileError::OtherLog { .. }), "{elsewhere}");
}

/// The sentence shown must be about the entry proved.
#[test]
fn content_that_speaks_of_another_entry_is_refused() {
    let mut log = Log::of(4);
    let access = Access {
        entry_id: "another".to_owned(),
        dmp_id: OURS.to_owned(),
        ..Access::default()
    };
    let (id, at) = (
        log.random.uuid(),
        Timestamp::from_microsecond(START_MICROS + 9_000_000).unwrap(),
    );
    log.append_payload(OURS, id, at, access.encode_to_vec());
    let error = check(&log, &pages_json(&log.pages(9)), &[]).unwrap_err();
    assert!(matches!(error, VerifyFileError::Content { sequence: 4 }), "{error}");
}

/// A receipt somebody kept is what gives away an end cut off.
#[test]
fn a_kept_receipt_finds_an_end_cut_off() {
    let log = Log::of(13);
    let last = log.chain(OURS).pop().unwrap();
    let receipts = [receipt_json(&log.receipt(&last, 13))];
    let whole = log.pages(20);
    assert_eq!(check(&log, &pages_json(&whole), &receipts).unwrap().receipts_found, 1);
    let mut cut = whole;
    let history = cut[0].history.as_mut().unwrap();
    history.entries.pop();
    cut[0].head_sequence -= 1;
    assert!(
        check(&log, &pages_json(&cut), &[]).is_ok(),
        "without a receipt nothing shows it"
    );
    let error = check(&log, &pages_json(&cut), &receipts).unwrap_err();
    let VerifyFileError::Receipt { receipt: 1, fault } = error else {
        panic!("{error}")
    };
    assert_eq!(fault, VerifyError::Truncated { receipt: 9, last: 8 });
}

/// A receipt newer than the history is no contradiction.
#[test]
fn a_receipt_of_a_later_entry_holds_by_itself() {
    let mut log = Log::of(13);
    let pages = pages_json(&log.pages(20));
    log.append(OURS);
    let later = receipt_json(&log.receipt(log.entries.last().unwrap(), 14));
    let summary = check(&log, &pages, &[later]).unwrap();
    assert_eq!((summary.receipts_found, summary.receipts_alone), (0, 1));
}

#[test]
fn a_receipt_for_another_entry_at_its_place_is_found() {
    let log = Log::of(13);
    let theirs = receipt_json(&log.receipt(&log.chain(OTHERS)[0], 13));
    let error = check(&log, &pages_json(&log.pages(20)), &[theirs]).unwrap_err();
    let VerifyFileError::Receipt { fault, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(fault, VerifyError::Contradicted { receipt: 1 });
}

#[test]
fn a_changed_receipt_does_not_hold() {
    let log = Log::of(13);
    let honest = log.receipt(&log.chain(OURS)[3], 13);
    let changes: [fn(&mut pb::Receipt); 4] = [
        |receipt| receipt.leaf_hash[5] ^= 1,
        |receipt| receipt.leaf_index += 1,
        |receipt| receipt.inclusion[0][0] ^= 1,
        |receipt| receipt.log_origin.push('x'),
    ];
    for change in changes {
        let mut receipt = honest.clone();
        change(&mut receipt);
        let error = check(&log, &receipt_json(&receipt), &[]).unwrap_err();
        assert!(matches!(error, VerifyFileError::Receipt { .. }), "{error}");
    }
    let mut forged = honest;
    forged.chain_sequence += 1;
    let error = check(&log, &pages_json(&log.pages(20)), &[receipt_json(&forged)]).unwrap_err();
    assert!(matches!(error, VerifyFileError::Receipt { .. }), "{error}");
}

/// A receipt is found inside whatever answer carried it.
#[test]
fn a_receipt_is_found_inside_an_answer() {
    let log = Log::of(13);
    let receipt = receipt_json(&log.receipt(&log.chain(OURS)[0], 13));
    let answer = format!(r#"{{ "documents": [], "nextPageToken": "", "receipt": {receipt} }}"#);
    let listed =
        format!(r#"{{ "entries": [{{ "access": {{}}, "receipt": {receipt} }}, {{ "receipt": {receipt} }}] }}"#);
    let summary = check(&log, &pages_json(&log.pages(20)), &[answer, listed]).unwrap();
    assert_eq!(summary.receipts_found, 3);
}

/// RFC 9162 section 2.1.4: the log only grows.
#[test]
fn a_later_checkpoint_is_proved_to_extend_a_saved_one() {
    let log = Log::of(13);
    let saved = json("dmp.dossier.v1.Checkpoint", &log.saved(6));
    let proof = log.consistency(6, 13);
    let proved = format!("{saved}\n{}", json("dmp.common.v1.ConsistencyProof", &proof));
    let summary = check(&log, &proved, &[]).unwrap();
    assert_eq!((summary.extensions, summary.checkpoints), (1, 2));
    let mut forged = proof;
    forged.hashes[0][0] ^= 1;
    let forged_json = format!("{saved}{}", json("dmp.common.v1.ConsistencyProof", &forged));
    let error = check(&log, &forged_json, &[]).unwrap_err();
    assert!(
        matches!(error, VerifyFileError::Consistency { proof: 1, .. }),
        "{error}"
    );
    let alone = json("dmp.common.v1.ConsistencyProof", &log.consistency(6, 13));
    let error = check(&log, &alone, &[]).unwrap_err();
    assert!(
        matches!(error, VerifyFileError::NoCheckpoint { size: 6, .. }),
        "{error}"
    );
}

/// A proof against a tree whose checkpoint the log no longer keeps leans on one that somebody saved.
#[test]
fn a_proof_without_a_checkpoint_leans_on_a_saved_one() {
    let log = Log::of(13);
    let mut proof = log.consistency(6, 9);
    proof.checkpoint.clear();
    let proof = json("dmp.common.v1.ConsistencyProof", &proof);
    let saved = |size| json("dmp.dossier.v1.Checkpoint", &log.saved(size));
    let summary = check(&log, &format!("{}{}{proof}", saved(6), saved(9)), &[]).unwrap();
    assert_eq!(summary.extensions, 1);
    let error = check(&log, &format!("{}{proof}", saved(6)), &[]).unwrap_err();
    assert!(
        matches!(error, VerifyFileError::NoCheckpoint { size: 9, .. }),
        "{error}"
    );
}

/// Two stories under one key: the log itself is caught, with its own signatures.
#[test]
fn two_trees_of_one_size_are_found() {
    let log = Log::of(13);
    let mut other = Log::of(12);
    other.append(OTHERS);
    let both = format!(
        "{}{}",
        pages_json(&log.pages(20)),
        json("dmp.dossier.v1.Checkpoint", &other.saved(13))
    );
    let error = check(&log, &both, &[]).unwrap_err();
    assert!(matches!(error, VerifyFileError::TwoStories { size: 13 }), "{error}");
}

#[test]
fn an_inclusion_proof_holds_or_is_refused() {
    let log = Log::of(13);
    let proof = InclusionProof {
        leaf_index: 3,
        tree_size: 13,
        leaf_hash: log.entries[3].leaf_hash.as_bytes().to_vec(),
        hashes: bytes_of(&log.inclusion(3, 13)),
        checkpoint: log.checkpoint(13),
    };
    let pages = pages_json(&log.pages(20));
    let with = |proof: &InclusionProof| format!("{pages}{}", json("dmp.common.v1.InclusionProof", proof));
    assert_eq!(check(&log, &with(&proof), &[]).unwrap().inclusions, 1);
    let mut other = proof.clone();
    other.leaf_hash = log.entries[4].leaf_hash.as_bytes().to_vec();
    let error = check(&log, &with(&other), &[]).unwrap_err();
    assert!(matches!(error, VerifyFileError::Inclusion { proof: 1, .. }), "{error}");
    let mut sized = proof;
    sized.tree_size = 12;
    let error = check(&log, &with(&sized), &[]).unwrap_err();
    assert!(matches!(error, VerifyFileError::Size { .. }), "{error}");
}

/// An erased entry keeps its place in the chain, and the chain stays checkable.
#[test]
fn an_erased_entry_is_told_as_erased() {
    let log = Log::of(13);
    let mut pages = log.pages(20);
    let mut history = History::from_proto(pages[0].history.as_ref().unwrap()).unwrap();
    let erased = &mut history.entries[2].entry;
    erased.content = Content::Erased {
        commitment: erased.content.commitment(),
    };
    pages[0].history = Some(history.to_proto(OURS, ORIGIN));
    let mut out = Vec::new();
    let summary = verify(&pages_json(&pages), &[], log.key.verifier(), &mut out).unwrap();
    assert_eq!((summary.entries, summary.erased), (9, 1));
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("erased: that there was an entry")
    );
}

#[test]
fn files_that_are_not_proofs_are_refused_at_their_place() {
    let log = Log::of(3);
    let unreadable = [
        ("", "nothing"),
        ("{", "not JSON at line 1"),
        ("[]", "object 1: neither"),
        ("{}", "object 1: neither"),
        (
            r#"{"history": 3}"#,
            "object 1: cannot be read as dmp.dossier.v1.CompletenessProof",
        ),
        (
            r#"{"leafHash": "$$", "treeSize": "1"}"#,
            "object 1: cannot be read as dmp.common.v1.InclusionProof",
        ),
    ];
    for (text, expected) in unreadable {
        let error = check(&log, text, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let second = format!("{} {{}}", pages_json(&log.pages(9)));
    let error = check(&log, &second, &[]).unwrap_err();
    assert!(matches!(error, VerifyFileError::Unknown { object: 2, .. }), "{error}");
    let error = check(&log, &pages_json(&log.pages(9)), &["{".to_owned()]).unwrap_err();
    assert!(error.to_string().starts_with("receipt file 1"), "{error}");
}

/// Fields of a later contract are not shown, so they need no proof.
#[test]
fn unknown_fields_and_both_spellings_are_read() {
    let log = Log::of(5);
    let text = pages_json(&log.pages(9)).replacen('{', r#"{ "later": true, "#, 1);
    let snake = text
        .replace("leafHash", "leaf_hash")
        .replace("headSequence", "head_sequence");
    assert_eq!(check(&log, &snake, &[]).unwrap().entries, 3);
}
