//! Checks offline what a journal claims: `dmp verify`.
//!
//! Takes a file of proofs as any gRPC client prints them (proto3 JSON, one object after another: pages of
//! `GetCompletenessProof`, saved checkpoints, consistency and inclusion proofs), receipts that somebody kept, and the
//! log's public key. No server is asked and nobody is trusted. [`verify`] gives `Ok` only when everything in the files
//! holds; it prints what was proved and, as plainly, what such files can never prove ([`journal::history`]).

pub mod agreement;
mod file;
pub(crate) mod sentence;

use api::common::v1 as pb;
use api::dossier::v1::Access;
use api::messaging::v1::Proof;
use journal::checkpoint::{CheckpointError, Fork};
use journal::entry::{Content, Link, Recorded};
use journal::proof::{ProofError, verify_inclusion};
use journal::{Checkpoint, Hash, History, Malformed, Receipt, Verified, VerifierKey, VerifyError, hashes_of};
use prost::Message;
use std::collections::BTreeMap;
use std::io::{self, Write};

use file::{Page, Proofs};
use sentence::{Names, many};

/// What was proved, in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries of the chain, from the first on, without a gap.
    pub entries: u64,
    /// Of those, how many are erased: their place is proved, their content is gone.
    pub erased: usize,
    /// Pages they came in.
    pub pages: usize,
    /// Receipts whose entry is the one shown at its place.
    pub receipts_found: usize,
    /// Receipts that hold by themselves, of entries recorded after the history was made or without a history to look in.
    pub receipts_alone: usize,
    /// Entries proved to be in the tree by a proof of their own.
    pub inclusions: usize,
    /// Pairs of checkpoints of which the later is proved to extend the earlier.
    pub extensions: usize,
    /// Different checkpoints seen.
    pub checkpoints: usize,
}

/// Why files prove nothing, or prove a fault. Names no person; places in files are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFileError {
    /// Not JSON.
    #[error("{file}: not JSON at line {line}, column {column}")]
    Json {
        /// Which file.
        file: String,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// Not the message it looks like.
    #[error("{file}, object {object}: cannot be read as {message}")]
    Unreadable {
        /// Which file.
        file: String,
        /// Which object of it.
        object: usize,
        /// What it looks like.
        message: &'static str,
    },
    /// Nothing that proves anything.
    #[error("{file}, object {object}: neither a history, a receipt, a checkpoint nor a proof")]
    Unknown {
        /// Which file.
        file: String,
        /// Which object of it.
        object: usize,
    },
    /// No object at all that could be verified.
    #[error("there is nothing to verify: no history, no receipt, no proof")]
    Nothing,
    /// A field is missing or has the wrong length.
    #[error("{what}: {fault}")]
    Malformed {
        /// Of what.
        what: String,
        /// Which field.
        fault: Malformed,
    },
    /// Pages of several chains.
    #[error("page {page} is of another subject than the first")]
    OtherSubject {
        /// Which page.
        page: usize,
    },
    /// A message names another log than the key's.
    #[error("{what} says it is of another log than the key's")]
    OtherLog {
        /// Which message.
        what: String,
    },
    /// A page does not hold.
    #[error("page {page}: {fault}")]
    Page {
        /// Which page.
        page: usize,
        /// What is wrong with it.
        fault: VerifyError,
    },
    /// The file ends before the chain's end, by the server's own words.
    #[error("the history is not whole: it ends at sequence {shown}, and the server itself said that more follow")]
    Incomplete {
        /// Last sequence in the file.
        shown: u64,
    },
    /// The server named another end of the chain than the one it showed.
    #[error("the history ends at sequence {shown}, but the server said that the chain's end is {head}")]
    Head {
        /// Last sequence in the file.
        shown: u64,
        /// The end as claimed.
        head: u64,
    },
    /// An entry's content is of another entry.
    #[error("the content of sequence {sequence} says that it is of another entry or dossier")]
    Content {
        /// Which entry.
        sequence: u64,
    },
    /// A receipt does not hold, or holds against the history.
    #[error("receipt {receipt}: {fault}")]
    Receipt {
        /// Which receipt.
        receipt: usize,
        /// What is wrong with it.
        fault: VerifyError,
    },
    /// A checkpoint is not one of the log's.
    #[error("{what}: {fault}")]
    Checkpoint {
        /// Whose checkpoint.
        what: String,
        /// What is wrong with it.
        fault: CheckpointError,
    },
    /// The sizes a message claims are not those of its checkpoint.
    #[error("{what} is not about the checkpoint it carries")]
    Size {
        /// Which message.
        what: String,
    },
    /// Two checkpoints of one size with different roots: the log told two stories.
    #[error("the log signed two different trees of {size} entries: it has told different people different things")]
    TwoStories {
        /// Size of both.
        size: u64,
    },
    /// A proof is about a tree whose checkpoint is neither in it nor elsewhere in the files.
    #[error("{what} needs the checkpoint of {size} entries, which is not in the files")]
    NoCheckpoint {
        /// Which proof.
        what: String,
        /// Size of the missing checkpoint.
        size: u64,
    },
    /// A later checkpoint does not extend an earlier one.
    #[error("consistency proof {proof}: {fault}")]
    Consistency {
        /// Which proof.
        proof: usize,
        /// What is wrong with it.
        fault: Fork,
    },
    /// An inclusion proof does not hold.
    #[error("inclusion proof {proof}: {fault}")]
    Inclusion {
        /// Which proof.
        proof: usize,
        /// What is wrong with it.
        fault: ProofError,
    },
    /// An inclusion proof is for another entry than the one shown at that place.
    #[error("inclusion proof {proof} is of another entry than the one shown at leaf {leaf}")]
    OtherLeaf {
        /// Which proof.
        proof: usize,
        /// Which leaf.
        leaf: u64,
    },
    /// The answer cannot be written.
    #[error("cannot write")]
    Output(#[from] io::Error),
}

/// Verifies a file of proofs, and receipts kept apart, against the log's public key; prints each entry as a sentence,
/// then what was proved and what was not.
///
/// # Errors
/// The first [`VerifyFileError`]: then the files prove nothing, or prove that somebody was lied to.
pub fn verify(
    history_json: &str,
    receipts: &[String],
    key: &VerifierKey,
    out: &mut dyn Write,
) -> Result<Summary, VerifyFileError> {
    let mut proofs = Proofs::read(history_json, "the history")?;
    for (index, json) in receipts.iter().enumerate() {
        let kept = Proofs::read(json, &format!("receipt file {}", index + 1))?;
        proofs.receipts.extend(kept.receipts);
    }
    if proofs.is_empty() {
        return Err(VerifyFileError::Nothing);
    }
    let mut check = Check {
        key,
        checkpoints: BTreeMap::new(),
        summary: Summary::default(),
    };
    let chain = check.chain(&proofs.pages)?;
    check.saved_checkpoints(&proofs)?;
    check.receipts(&proofs.receipts, chain.as_ref())?;
    check.inclusions(&proofs.inclusions, chain.as_ref())?;
    check.consistencies(&proofs.consistencies)?;
    check.summary.checkpoints = check.checkpoints.len();
    tell(&check.summary, chain.as_ref(), key, out)?;
    Ok(check.summary)
}

/// A chain that holds from its first entry on.
struct Chain {
    subject: String,
    verified: Verified,
    sentences: Vec<String>,
}

struct Check<'a> {
    key: &'a VerifierKey,
    /// Every checkpoint that the log signed, by size: there can be one of each only.
    checkpoints: BTreeMap<u64, Checkpoint>,
    summary: Summary,
}

impl Check<'_> {
    fn chain(&mut self, pages: &[Page]) -> Result<Option<Chain>, VerifyFileError> {
        let (Some(first), Some(last)) = (pages.first(), pages.last()) else {
            return Ok(None);
        };
        let subject = first.history.subject.clone();
        let mut entries = Vec::new();
        let mut sentences = Vec::new();
        let mut after = Link::BEGINNING;
        let mut checkpoint = None;
        for (index, page) in pages.iter().enumerate() {
            let number = index + 1;
            if page.history.subject != subject {
                return Err(VerifyFileError::OtherSubject { page: number });
            }
            let (verified, said) = self.page(page, number, &subject, after)?;
            after = verified.head();
            entries.extend(verified.entries);
            sentences.extend(said);
            checkpoint = Some(verified.checkpoint);
        }
        check_end(last, after.sequence)?;
        self.summary.pages = pages.len();
        self.summary.entries = after.sequence;
        self.summary.erased = entries.iter().filter(|entry| entry.erased).count();
        let whole = checkpoint.map(|checkpoint| Verified {
            checkpoint,
            after: Link::BEGINNING,
            entries,
        });
        Ok(whole.map(|verified| Chain {
            subject,
            verified,
            sentences,
        }))
    }

    fn page(
        &mut self,
        page: &Page,
        number: usize,
        subject: &str,
        after: Link,
    ) -> Result<(Verified, Vec<String>), VerifyFileError> {
        let what = || format!("page {number}");
        if page.history.log_origin != self.key.name() {
            return Err(VerifyFileError::OtherLog { what: what() });
        }
        let history =
            History::from_proto(&page.history).map_err(|fault| VerifyFileError::Malformed { what: what(), fault })?;
        let verified = history
            .verify(self.key, subject, after)
            .map_err(|fault| VerifyFileError::Page { page: number, fault })?;
        self.seen(&verified.checkpoint)?;
        let sentences = history
            .entries
            .iter()
            .map(|proven| said(&proven.entry))
            .collect::<Result<_, _>>()?;
        Ok((verified, sentences))
    }

    /// Remembers a checkpoint, and holds it against those seen before.
    fn seen(&mut self, checkpoint: &Checkpoint) -> Result<(), VerifyFileError> {
        let known = self
            .checkpoints
            .entry(checkpoint.size)
            .or_insert_with(|| checkpoint.clone());
        if known.root == checkpoint.root {
            Ok(())
        } else {
            Err(VerifyFileError::TwoStories { size: checkpoint.size })
        }
    }

    fn open(&mut self, note: &str, what: &str) -> Result<Checkpoint, VerifyFileError> {
        let opened = Checkpoint::open(note, self.key);
        let checkpoint = opened.map_err(|fault| VerifyFileError::Checkpoint {
            what: what.to_owned(),
            fault,
        })?;
        self.seen(&checkpoint)?;
        Ok(checkpoint)
    }

    fn saved_checkpoints(&mut self, proofs: &Proofs) -> Result<(), VerifyFileError> {
        for (index, saved) in proofs.checkpoints.iter().enumerate() {
            let what = format!("checkpoint {}", index + 1);
            let checkpoint = self.open(&saved.checkpoint, &what)?;
            if checkpoint.size != saved.tree_size {
                return Err(VerifyFileError::Size { what });
            }
        }
        Ok(())
    }

    fn receipts(&mut self, receipts: &[pb::Receipt], chain: Option<&Chain>) -> Result<(), VerifyFileError> {
        for (index, kept) in receipts.iter().enumerate() {
            let number = index + 1;
            let receipt = Receipt::try_from(kept).map_err(|fault| VerifyFileError::Malformed {
                what: format!("receipt {number}"),
                fault,
            })?;
            let wrong = |fault| VerifyFileError::Receipt { receipt: number, fault };
            let checkpoint = receipt.verify(self.key).map_err(wrong)?;
            self.seen(&checkpoint)?;
            match chain {
                Some(chain) if receipt.leaf_index < chain.verified.checkpoint.size => {
                    chain.verified.check_receipt(&receipt, self.key).map_err(wrong)?;
                    self.summary.receipts_found += 1;
                }
                // Recorded after the history's checkpoint was signed: the history can say nothing about it.
                _ => self.summary.receipts_alone += 1,
            }
        }
        Ok(())
    }

    fn inclusions(&mut self, proofs: &[pb::InclusionProof], chain: Option<&Chain>) -> Result<(), VerifyFileError> {
        for (index, given) in proofs.iter().enumerate() {
            let number = index + 1;
            let what = format!("inclusion proof {number}");
            self.carried(&given.checkpoint, given.tree_size, &what)?;
            let checkpoint = self.of_size(given.tree_size, &what)?;
            let malformed = |fault| VerifyFileError::Malformed {
                what: what.clone(),
                fault,
            };
            let leaf = Hash::from_slice(&given.leaf_hash).ok_or_else(|| malformed(Malformed("leaf_hash")))?;
            let hashes = hashes_of(&given.hashes, "hashes").map_err(malformed)?;
            verify_inclusion(&leaf, given.leaf_index, checkpoint.size, &hashes, &checkpoint.root)
                .map_err(|fault| VerifyFileError::Inclusion { proof: number, fault })?;
            let shown = chain.iter().flat_map(|chain| &chain.verified.entries);
            let mut shown = shown.filter(|entry| entry.leaf_index == given.leaf_index);
            if shown.any(|entry| entry.link.leaf_hash != leaf) {
                return Err(VerifyFileError::OtherLeaf {
                    proof: number,
                    leaf: given.leaf_index,
                });
            }
            self.summary.inclusions += 1;
        }
        Ok(())
    }

    fn consistencies(&mut self, proofs: &[pb::ConsistencyProof]) -> Result<(), VerifyFileError> {
        // All of them first: a proof's earlier checkpoint may be the later one of another proof.
        for (index, given) in proofs.iter().enumerate() {
            self.carried(
                &given.checkpoint,
                given.to_size,
                &format!("consistency proof {}", index + 1),
            )?;
        }
        for (index, given) in proofs.iter().enumerate() {
            self.consistency(given, index + 1)?;
            self.summary.extensions += 1;
        }
        Ok(())
    }

    fn consistency(&self, given: &pb::ConsistencyProof, number: usize) -> Result<(), VerifyFileError> {
        let what = format!("consistency proof {number}");
        let (earlier, later) = (
            self.of_size(given.from_size, &what)?,
            self.of_size(given.to_size, &what)?,
        );
        let hashes = hashes_of(&given.hashes, "hashes").map_err(|fault| VerifyFileError::Malformed { what, fault })?;
        later
            .extends(earlier, &hashes)
            .map_err(|fault| VerifyFileError::Consistency { proof: number, fault })
    }

    /// The checkpoint that a proof carries. A log keeps one for few sizes only, so a proof may come without.
    fn carried(&mut self, note: &str, size: u64, what: &str) -> Result<(), VerifyFileError> {
        if note.is_empty() || self.open(note, what)?.size == size {
            Ok(())
        } else {
            Err(VerifyFileError::Size { what: what.to_owned() })
        }
    }

    fn of_size(&self, size: u64, what: &str) -> Result<&Checkpoint, VerifyFileError> {
        self.checkpoints
            .get(&size)
            .ok_or_else(|| VerifyFileError::NoCheckpoint {
                what: what.to_owned(),
                size,
            })
    }
}

/// What the server itself said of the chain's end must be what it showed.
fn check_end(last: &Page, shown: u64) -> Result<(), VerifyFileError> {
    if last.more {
        return Err(VerifyFileError::Incomplete { shown });
    }
    if last.head != 0 && last.head != shown {
        return Err(VerifyFileError::Head { shown, head: last.head });
    }
    Ok(())
}

/// An entry in words. What its content says of itself must be what the log says of it, or the sentence would be about
/// something else than what was proved.
fn said(entry: &Recorded) -> Result<String, VerifyFileError> {
    let payload = match &entry.content {
        Content::Present { payload, .. } => payload.as_slice(),
        Content::Erased { .. } => return Ok("erased: that there was an entry is all that is left".to_owned()),
    };
    let wrong = VerifyFileError::Content {
        sequence: entry.sequence,
    };
    let entry_id = entry.entry_id.to_string();
    if let Ok(access) = Access::decode(payload) {
        let subject = if access.secret {
            format!("{}/secret", access.dmp_id)
        } else {
            access.dmp_id.clone()
        };
        let own = access.entry_id == entry_id && subject == entry.subject;
        return if own {
            Ok(sentence::of_access(&access, &Names::default()))
        } else {
            Err(wrong)
        };
    }
    if let Ok(proof) = Proof::decode(payload) {
        let own = proof.entry_id == entry_id && proof.message_id == entry.subject;
        return if own {
            Ok(sentence::of_proof(&proof, &Names::default()))
        } else {
            Err(wrong)
        };
    }
    Ok(format!(
        "{} bytes of a kind that this program does not know",
        payload.len()
    ))
}

fn tell(summary: &Summary, chain: Option<&Chain>, key: &VerifierKey, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Log {}", key.name())?;
    if let Some(chain) = chain {
        tell_chain(chain, out)?;
    }
    writeln!(out, "\nProved")?;
    for line in proved(summary, chain) {
        writeln!(out, "  ✓ {line}")?;
    }
    writeln!(out, "\nNot proved by such files, whatever they hold")?;
    for line in not_proved(summary, chain) {
        writeln!(out, "  · {line}")?;
    }
    out.flush()
}

fn tell_chain(chain: &Chain, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "History of {}\n", chain.subject)?;
    for (entry, sentence) in chain.verified.entries.iter().zip(&chain.sentences) {
        writeln!(out, "  {:>5}  {sentence}", entry.link.sequence)?;
    }
    Ok(())
}

fn proved(summary: &Summary, chain: Option<&Chain>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(chain) = chain {
        let entries = many(chain.verified.entries.len(), "entry");
        let pages = many(summary.pages, "page");
        let size = chain.verified.checkpoint.size;
        lines.push(format!(
            "{entries} in {pages}, from the first on: each is in the signed log exactly as shown, and none between them \
             was left out, put in or moved."
        ));
        lines.push(format!(
            "The log signed the tree of {size} entries in which they stand."
        ));
    }
    let figures = [
        (
            summary.erased,
            "erased entry",
            "place and time are proved; what was said is gone.",
        ),
        (
            summary.receipts_found,
            "kept receipt",
            "each is of an entry shown here, unchanged.",
        ),
        (
            summary.receipts_alone,
            "kept receipt",
            "each holds by itself; the log has its entry, now and for ever.",
        ),
        (
            summary.inclusions,
            "inclusion proof",
            "each leaf is in the tree, at its place.",
        ),
        (
            summary.extensions,
            "consistency proof",
            "each later tree begins with the earlier one, unchanged.",
        ),
    ];
    let figures = figures.into_iter().filter(|(count, ..)| *count > 0);
    lines.extend(figures.map(|(count, thing, text)| format!("{}: {text}", many(count, thing))));
    lines
}

fn not_proved(summary: &Summary, chain: Option<&Chain>) -> Vec<String> {
    let mut lines = Vec::new();
    if chain.is_some() {
        lines.push(
            "That the last entry shown is the last there is: a server could stop early. Any receipt kept of a later \
             entry gives it away (--receipt)."
                .to_owned(),
        );
    }
    let unconnected = summary.checkpoints.saturating_sub(1).saturating_sub(summary.extensions);
    if unconnected > 0 {
        lines.push(format!(
            "That the {} checkpoints in these files are of one growing log: {} more would show it.",
            summary.checkpoints,
            many(unconnected, "consistency proof")
        ));
    }
    lines.push("That everybody is shown the same log: compare checkpoints with others, or ask a witness.".to_owned());
    lines.push("That the log's clock was right, or that people did what their tokens say.".to_owned());
    lines
}

#[cfg(test)]
mod tests;
