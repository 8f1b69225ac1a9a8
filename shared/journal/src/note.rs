//! Signed notes (C2SP signed-note v1): a text, a blank line, and one line for each signature. Keys are Ed25519.
//!
//! The text of a note means nothing before [`Note::verify`] has returned it. Signatures of keys one does not know are ignored,
//! as the specification demands: that is where witnesses put theirs.

use std::fmt;

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::hash;

/// Longest note, in bytes. The specification wants room for 16 post-quantum signatures of nearly 5 kB.
pub const MAX_NOTE_BYTES: usize = 256 * 1024;
/// Most signatures on a note.
pub const MAX_SIGNATURES: usize = 100;
/// Longest key name, in bytes.
pub const MAX_NAME_BYTES: usize = 200;

/// Signature type of a plain Ed25519 signature (C2SP signed-note, "Signature types").
const TYPE_ED25519: u8 = 0x01;
const SIGNATURE_START: &str = "\u{2014} ";
const PRIVATE_START: &str = "PRIVATE+KEY+";

/// Why a note or a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a note: no text, no signature line, a control character, bad base64, or too long.
    #[error("not a signed note")]
    Malformed,
    /// Not a key: bad name, bad base64, unknown type, or an id which is not that of the key.
    #[error("not an Ed25519 note key")]
    MalformedKey,
    /// No signature of the key one asks for.
    #[error("the note carries no signature of this key")]
    Unsigned,
    /// A signature in the name of that key which the key did not make.
    #[error("a signature of this key is false")]
    BadSignature,
}

/// The public half of a key, by which anyone checks a note. Written `name+id+key`: id in hexadecimal, key in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// Reads the form `name+id+key` in which a log publishes its key.
    pub fn parse(text: &str) -> Result<VerifierKey, NoteError> {
        let (name, rest) = text.split_once('+').ok_or(NoteError::MalformedKey)?;
        let public = parse_key(name, rest)?;
        let key = VerifierKey {
            name: checked_name(name)?,
            public,
        };
        // The id is derived, and base64 and hexadecimal have one canonical form: what is not written so is not this key.
        if key.to_string() == text {
            Ok(key)
        } else {
            Err(NoteError::MalformedKey)
        }
    }

    /// Who signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key).
    fn id(&self) -> [u8; 4] {
        let hash = hash::sha256(&[self.name.as_bytes(), b"\n", &[TYPE_ED25519], &self.public]);
        let [a, b, c, d, ..] = hash.0;
        [a, b, c, d]
    }

    fn has_made(&self, signature: &[u8], text: &str) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(text.as_bytes(), signature)
            .is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex::encode(self.id()),
            encode_key(&self.public).as_str()
        )
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A log's private key. Its name is the log's origin.
pub struct LogKey {
    verifier: VerifierKey,
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl LogKey {
    /// The key named `name` which follows from 32 random bytes.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<LogKey, NoteError> {
        let seed = Zeroizing::new(seed);
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(malformed_key)?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| NoteError::MalformedKey)?;
        Ok(LogKey {
            verifier: VerifierKey {
                name: checked_name(name)?,
                public,
            },
            seed,
            pair,
        })
    }

    /// Reads the form written by [`LogKey::to_private_text`].
    pub fn parse(text: &str) -> Result<LogKey, NoteError> {
        let rest = text.strip_prefix(PRIVATE_START).ok_or(NoteError::MalformedKey)?;
        let (name, rest) = rest.split_once('+').ok_or(NoteError::MalformedKey)?;
        let key = LogKey::from_seed(name, parse_key(name, rest)?)?;
        if key.to_private_text().as_str() == text {
            Ok(key)
        } else {
            Err(NoteError::MalformedKey)
        }
    }

    /// The whole key as one line of text, to be kept as a secret: `PRIVATE+KEY+name+id+seed`, as Go's note package writes it.
    pub fn to_private_text(&self) -> Zeroizing<String> {
        let id = hex::encode(self.verifier.id());
        Zeroizing::new(format!(
            "{PRIVATE_START}{}+{id}+{}",
            self.verifier.name,
            encode_key(&self.seed).as_str()
        ))
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs `text`, which must end with a newline and hold no other control character.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        if !is_text(text) {
            return Err(NoteError::Malformed);
        }
        let mut signature = self.verifier.id().to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        Ok(format!(
            "{text}\n{SIGNATURE_START}{} {}\n",
            self.verifier.name,
            STANDARD.encode(signature)
        ))
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({}, …)", self.verifier)
    }
}

/// One line of signature, by whomever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub id: [u8; 4],
    /// What the key made, in the form its type says.
    pub bytes: Vec<u8>,
}

/// A note taken apart, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// Takes a note apart.
    pub fn parse(note: &str) -> Result<Note, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::Malformed);
        }
        // The last blank line is the one between text and signatures: the text may have others.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let text = format!("{text}\n");
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        if !is_text(&text) || lines.split('\n').count() > MAX_SIGNATURES {
            return Err(NoteError::Malformed);
        }
        let signatures = lines.split('\n').map(parse_signature).collect::<Result<_, _>>()?;
        Ok(Note { text, signatures })
    }

    /// The text, if `key` signed it. Every signature in the name and id of `key` must be good; all others are ignored.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let id = key.id();
        let mut signed = false;
        for signature in self.signatures.iter().filter(|it| it.name == key.name && it.id == id) {
            if !key.has_made(&signature.bytes, &self.text) {
                return Err(NoteError::BadSignature);
            }
            signed = true;
        }
        if signed {
            Ok(&self.text)
        } else {
            Err(NoteError::Unsigned)
        }
    }

    /// Every signature, known or not.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

fn parse_signature(line: &str) -> Result<Signature, NoteError> {
    let (name, encoded) = line
        .strip_prefix(SIGNATURE_START)
        .and_then(|rest| rest.split_once(' '))
        .ok_or(NoteError::Malformed)?;
    let decoded = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed)?;
    let (id, bytes) = decoded.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
    if !is_name(name) || bytes.is_empty() {
        return Err(NoteError::Malformed);
    }
    Ok(Signature {
        name: name.to_owned(),
        id: *id,
        bytes: bytes.to_vec(),
    })
}

/// The 32 bytes in `id+base64(type ‖ 32 bytes)`. The id is left to the caller, who can derive it.
fn parse_key(name: &str, rest: &str) -> Result<[u8; 32], NoteError> {
    let (_, encoded) = rest
        .split_once('+')
        .filter(|_| is_name(name))
        .ok_or(NoteError::MalformedKey)?;
    let decoded = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| NoteError::MalformedKey)?);
    let (kind, key) = decoded.split_first().ok_or(NoteError::MalformedKey)?;
    if *kind != TYPE_ED25519 {
        return Err(NoteError::MalformedKey);
    }
    key.try_into().map_err(|_| NoteError::MalformedKey)
}

fn encode_key(key: &[u8; 32]) -> Zeroizing<String> {
    let mut typed = Zeroizing::new([TYPE_ED25519; 33]);
    for (to, from) in typed.iter_mut().skip(1).zip(key) {
        *to = *from;
    }
    Zeroizing::new(STANDARD.encode(typed.as_slice()))
}

/// Text of a note: ends with a newline, and no other ASCII control character.
fn is_text(text: &str) -> bool {
    text.ends_with('\n') && !text.bytes().any(|byte| byte < 0x20 && byte != b'\n')
}

fn is_name(name: &str) -> bool {
    let forbidden = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(forbidden)
}

fn checked_name(name: &str) -> Result<String, NoteError> {
    if is_name(name) {
        Ok(name.to_owned())
    } else {
        Err(NoteError::MalformedKey)
    }
}

fn malformed_key(_: KeyRejected) -> NoteError {
    NoteError::MalformedKey
}
