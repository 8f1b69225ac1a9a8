//! One batch of entries taking their places in the log: pure, so that the writer only has to store the outcome.

use std::collections::HashMap;

use store::time::Timestamp;
use uuid::Uuid;

use crate::checkpoint::Checkpoint;
use crate::entry::{Content, Entry, Link, Recorded};
use crate::hash::Hash;
use crate::nodes::element_hash;
use crate::note::{LogKey, NoteError};
use crate::receipt::Receipt;
use crate::tree::{self, Frontier, Node};

/// An entry and the random key of its commitment.
pub(crate) struct Salted {
    pub(crate) entry: Entry,
    pub(crate) salt: [u8; 32],
}

/// A batch in its place, ready to be stored.
pub(crate) struct Batch {
    pub(crate) entries: Vec<Recorded>,
    /// Every subtree it completes, leaves included.
    pub(crate) nodes: Vec<(Node, Hash)>,
    /// The tree as it is with the batch.
    pub(crate) tree: Frontier,
    /// The signed checkpoint of that tree.
    pub(crate) note: String,
}

impl Batch {
    /// Gives each entry its place in the tree after `before`, and in its subject's chain after `heads`, in their order.
    pub(crate) fn assemble(
        before: &Frontier,
        mut heads: HashMap<String, Link>,
        entries: Vec<Salted>,
        now: Timestamp,
        key: &LogKey,
    ) -> Result<Batch, NoteError> {
        let mut batch = Batch {
            entries: Vec::with_capacity(entries.len()),
            nodes: Vec::new(),
            tree: before.clone(),
            note: String::new(),
        };
        for salted in entries {
            let head = heads.entry(salted.entry.subject.clone()).or_insert(Link::BEGINNING);
            *head = batch.place(salted, *head, now);
        }
        let (origin, size, root) = (key.verifier().name().to_owned(), batch.tree.size(), batch.tree.root());
        batch.note = Checkpoint {
            origin,
            size,
            root,
            extensions: Vec::new(),
        }
        .sign(key)?;
        Ok(batch)
    }

    fn place(&mut self, salted: Salted, head: Link, now: Timestamp) -> Link {
        let Salted { entry, salt } = salted;
        let mut recorded = Recorded {
            entry_id: entry.entry_id,
            subject: entry.subject,
            sequence: head.sequence + 1,
            previous: head.leaf_hash,
            recorded_at: now,
            leaf_index: self.tree.size(),
            leaf_hash: Hash::ZERO,
            content: Content::Present {
                salt,
                payload: entry.payload,
            },
        };
        recorded.leaf_hash = recorded.computed_leaf();
        self.nodes.extend(self.tree.append(recorded.leaf_hash));
        let link = recorded.link();
        self.entries.push(recorded);
        link
    }

    /// The receipts of the batch. Their proofs need no reading: what stands to the left of a new leaf's path is either in
    /// the batch or a largest complete subtree of the tree before it.
    pub(crate) fn receipts(&self, before: &Frontier, origin: &str) -> store::Result<HashMap<Uuid, Receipt>> {
        let known: HashMap<Node, Hash> = before.nodes().chain(self.nodes.iter().copied()).collect();
        let receipt = |entry: &Recorded| {
            let elements = tree::inclusion(entry.leaf_index, self.tree.size()).unwrap_or_default();
            let inclusion = elements
                .iter()
                .map(|element| element_hash(element, &known))
                .collect::<Result<_, _>>()?;
            Ok((entry.entry_id, receipt(entry, origin, &self.note, inclusion)))
        };
        self.entries.iter().map(receipt).collect()
    }
}

/// The receipt of an entry under a checkpoint.
pub(crate) fn receipt(entry: &Recorded, origin: &str, checkpoint: &str, inclusion: Vec<Hash>) -> Receipt {
    Receipt {
        entry_id: entry.entry_id,
        origin: origin.to_owned(),
        leaf_index: entry.leaf_index,
        leaf_hash: entry.leaf_hash,
        sequence: entry.sequence,
        recorded_at: entry.recorded_at,
        checkpoint: checkpoint.to_owned(),
        inclusion,
    }
}
