use journal::checkpoint::{Checkpoint, CheckpointError};
use journal::hash::{self, Hash};
use journal::note::{LogKey, MAX_SIGNATURES, Note, NoteError, VerifierKey};
use proptest::prelude::*;

/// The key and note of the reference implementation (Go, golang.org/x/mod/sumdb/note).
const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

const ORIGIN: &str = "dmp.example/journal";

fn reference_note() -> String {
    format!("{TEXT}\n{SIGNATURE}")
}

fn open(note: &str, key: &VerifierKey) -> Result<String, NoteError> {
    Note::parse(note)?.verify(key).map(str::to_owned)
}

fn key() -> LogKey {
    LogKey::from_seed(ORIGIN, [7; 32]).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.into(),
        size: 20_852_163,
        root: hash::leaf(b"root"),
        extensions: Vec::new(),
    }
}

/// A signature line of somebody else, as a witness adds it.
fn witness_line(text: &str) -> String {
    let note = LogKey::from_seed("witness.example/w1", [9; 32])
        .unwrap()
        .sign(text)
        .unwrap();
    note.rsplit_once("\n\n").unwrap().1.to_owned()
}

/// C2SP signed-note: our notes are those of the reference implementation, byte for byte (Ed25519 is deterministic, RFC 8032).
#[test]
fn the_reference_note_is_reproduced() {
    let key = LogKey::parse(PRIVATE).unwrap();
    assert_eq!(key.verifier().to_string(), VERIFIER);
    assert_eq!(key.to_private_text().as_str(), PRIVATE);
    assert_eq!(key.sign(TEXT).unwrap(), reference_note());
    assert_eq!(
        open(&reference_note(), &VerifierKey::parse(VERIFIER).unwrap()).unwrap(),
        TEXT
    );
}

/// The reference implementation's table of malformed notes is refused.
#[test]
fn malformed_notes_are_refused() {
    let bad = [
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        format!("{TEXT}\n{}", SIGNATURE.trim_end()),
        format!("\u{1}{TEXT}\n{SIGNATURE}"),
        format!("{TEXT}\n{}", SIGNATURE.replace("PeterNeumann", "Bad Name")),
        format!("{TEXT}\n{SIGNATURE}Unexpected line.\n"),
        format!("{TEXT}\n— PeterNeumann x08goA==\n"),
        format!("{TEXT}\n{}", SIGNATURE.repeat(MAX_SIGNATURES + 1)),
        format!("{}\n{SIGNATURE}", "x\n".repeat(200_000)),
    ];
    for note in bad {
        assert_eq!(Note::parse(&note), Err(NoteError::Malformed));
    }
    assert_eq!(key().sign("no newline"), Err(NoteError::Malformed));
    assert_eq!(key().sign("a\ttab\n"), Err(NoteError::Malformed));
}

/// No part and no change of a published key is a key.
#[test]
fn mangled_keys_are_refused() {
    for start in 0..VERIFIER.len() {
        for end in start + 1..=VERIFIER.len() {
            assert!((start, end) == (0, VERIFIER.len()) || VerifierKey::parse(&VERIFIER[start..end]).is_err());
        }
        let mut bytes = VERIFIER.as_bytes().to_vec();
        bytes[start] += 1;
        assert_eq!(
            VerifierKey::parse(&String::from_utf8(bytes).unwrap()),
            Err(NoteError::MalformedKey)
        );
    }
    let wrong_length = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==";
    let unknown_type = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    for bad in [wrong_length, unknown_type, "", "+", "++", "a++"] {
        assert_eq!(VerifierKey::parse(bad), Err(NoteError::MalformedKey));
    }
    for name in ["", "two words", "a+b", "line\nbreak", "no\u{a0}break"] {
        assert_eq!(LogKey::from_seed(name, [1; 32]).unwrap_err(), NoteError::MalformedKey);
    }
}

/// C2SP signed-note: signatures of unknown keys are ignored, wherever they stand; witnesses can cosign.
#[test]
fn unknown_signatures_are_ignored() {
    let (key, text) = (key(), "a text\n\nwith an empty line\n");
    let note = key.sign(text).unwrap();
    let (body, own) = note.rsplit_once("\n\n").unwrap();
    let witness = witness_line(text);
    // The same name with another id, and the same id under another name, are other keys.
    let namesake = LogKey::from_seed(ORIGIN, [8; 32])
        .unwrap()
        .sign("something else\n")
        .unwrap();
    let namesake = namesake.rsplit_once("\n\n").unwrap().1;
    let same_id = own.replace(ORIGIN, "elsewhere.example");
    let cosigned = format!("{body}\n\n{witness}{namesake}{own}{same_id}");
    assert_eq!(Note::parse(&cosigned).unwrap().signatures().len(), 4);
    assert_eq!(open(&cosigned, key.verifier()).unwrap(), text);
}

/// C2SP signed-note: a note without a good signature of the key is refused, and so is one with a false one in its name.
#[test]
fn a_note_without_a_good_signature_is_refused() {
    let key = key();
    let text = "a text\n";
    let unsigned = format!("{text}\n{}", witness_line(text));
    assert_eq!(open(&unsigned, key.verifier()), Err(NoteError::Unsigned));
    let of_other_text = key.sign("another text\n").unwrap();
    let false_line = of_other_text.rsplit_once("\n\n").unwrap().1;
    assert_eq!(
        open(&format!("{text}\n{false_line}"), key.verifier()),
        Err(NoteError::BadSignature)
    );
    let both = format!("{}{false_line}", key.sign(text).unwrap());
    assert_eq!(open(&both, key.verifier()), Err(NoteError::BadSignature));
}

/// C2SP tlog-checkpoint: what is signed is read back, with extension lines and cosignatures.
#[test]
fn checkpoints_are_read_back() {
    let key = key();
    let plain = checkpoint();
    let note = plain.sign(&key).unwrap();
    assert!(note.starts_with("dmp.example/journal\n20852163\n"));
    assert_eq!(Checkpoint::open(&note, key.verifier()), Ok(plain.clone()));

    let extended = Checkpoint {
        extensions: vec!["heads".into(), "b2 c3".into()],
        ..plain.clone()
    };
    assert_eq!(
        Checkpoint::open(&extended.sign(&key).unwrap(), key.verifier()),
        Ok(extended)
    );
    let cosigned = format!(
        "{note}{}",
        witness_line(&format!("{}\n", note.rsplit_once("\n\n").unwrap().0))
    );
    assert_eq!(Checkpoint::open(&cosigned, key.verifier()), Ok(plain));
}

/// C2SP tlog-checkpoint: three lines at least, a canonical size, a root of 32 bytes, no empty extension, the key's origin.
#[test]
fn texts_which_are_no_checkpoints_are_refused() {
    let key = key();
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let bad = [
        format!("{ORIGIN}\n12\n"),
        format!("{ORIGIN}\n012\n{root}\n"),
        format!("{ORIGIN}\n+12\n{root}\n"),
        format!("{ORIGIN}\n-1\n{root}\n"),
        format!("{ORIGIN}\n99999999999999999999\n{root}\n"),
        format!("{ORIGIN}\n18446744073709551615\n{root}\n"),
        format!("{ORIGIN}\n12\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I\n"),
        format!("{ORIGIN}\n12\nCsUYapGGPo4=\n"),
        format!("{ORIGIN}\n12\n{root}\n\nextension\n"),
        format!("\n12\n{root}\n"),
    ];
    for text in bad {
        assert_eq!(
            Checkpoint::open(&key.sign(&text).unwrap(), key.verifier()),
            Err(CheckpointError::Malformed),
            "{text}"
        );
    }
    let foreign = key.sign(&format!("other.example\n12\n{root}\n")).unwrap();
    assert_eq!(Checkpoint::open(&foreign, key.verifier()), Err(CheckpointError::Origin));
}

/// Any one byte of a signed checkpoint changed in any way: refused.
#[test]
fn every_change_of_a_checkpoint_is_refused() {
    let key = key();
    let note = checkpoint().sign(&key).unwrap();
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            assert!(
                Checkpoint::open(&changed, key.verifier()).is_err(),
                "byte {at}, bit {bit}"
            );
        }
    }
    for end in 0..note.len() {
        assert!(
            note.get(..end)
                .is_none_or(|cut| Checkpoint::open(cut, key.verifier()).is_err())
        );
    }
}

/// A private key never shows in what might be logged.
#[test]
fn a_private_key_does_not_show_itself() {
    let shown = format!("{:?}", LogKey::parse(PRIVATE).unwrap());
    assert!(shown.contains("PeterNeumann") && !shown.contains("AYEKFALVFGy"));
}

proptest! {
    /// No text makes the reader of notes panic, and none passes as signed.
    #[test]
    fn no_text_is_signed_by_chance(text in "(?s).{0,200}", line in "(?s)(— )?[a-z.]{0,9} [A-Za-z0-9+/=]{0,120}\n?") {
        let key = key();
        prop_assert!(Checkpoint::open(&text, key.verifier()).is_err());
        let note = format!("{text}\n\n{line}");
        prop_assert!(Checkpoint::open(&note, key.verifier()).is_err());
        prop_assert!(VerifierKey::parse(&text).is_err());
    }

    /// Whatever a log signs is read back as it was.
    #[test]
    fn checkpoints_round_trip(size in 0..=journal::tree::MAX_SIZE, root in any::<[u8; 32]>(), lines in prop::collection::vec("[^\\x00-\\x1f]{1,40}", 0..4)) {
        let key = key();
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root: Hash(root), extensions: lines };
        prop_assert_eq!(Checkpoint::open(&checkpoint.sign(&key).unwrap(), key.verifier()), Ok(checkpoint));
    }
}
