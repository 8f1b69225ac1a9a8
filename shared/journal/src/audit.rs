//! The whole log read and recomputed: what an operator runs after an incident, a restore, or at night.

use store::Engine;

use crate::checkpoint::Checkpoint;
use crate::entries;
use crate::entry::{Content, Recorded};
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::log::Journal;
use crate::nodes;
use crate::tree::{Frontier, Node};

/// Flaws after which an audit stops: the first one already says that the database was tampered with or is broken.
pub const MAX_FLAWS: usize = 100;

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// Entries read.
    pub entries: u64,
    /// Of those, how many have been erased.
    pub erased: u64,
    /// Checkpoints checked.
    pub checkpoints: u64,
    /// What is wrong, at most [`MAX_FLAWS`]; empty when the log is whole.
    pub flaws: Vec<Flaw>,
}

/// What is wrong at one place of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The entry's fields do not give its leaf hash.
    Leaf {
        /// Which leaf.
        leaf_index: u64,
    },
    /// The entry at this leaf is missing, or stands elsewhere.
    Missing {
        /// Which leaf.
        leaf_index: u64,
    },
    /// The entry does not follow the one before it in its subject's chain.
    Chain {
        /// Which leaf.
        leaf_index: u64,
    },
    /// A stored hash of the tree is missing or wrong.
    Node(Node),
    /// A checkpoint is not one this log signed, or its tree is not the stored one.
    Checkpoint {
        /// Its number of leaves.
        tree_size: u64,
    },
}

/// An audit under way.
struct Walk<'c, DB: Engine> {
    journal: &'c Journal<DB>,
    connection: &'c mut DB::Connection,
    tree: Frontier,
    /// The next checkpoint to compare with.
    next: Option<(u64, String)>,
    audit: Audit,
}

impl<DB: Engine> Journal<DB> {
    /// Reads everything up to the newest checkpoint and recomputes it: each leaf from its entry, each stored hash, each
    /// checkpoint with its signature, each link of each chain. Takes O(n) rows, a page at a time, beside the log's work.
    pub async fn audit(&self) -> Result<Audit> {
        let mut connection = self.shared.db.read().await?;
        let log = self.shared.log;
        let last = nodes::last_checkpoint::<DB>(&mut connection, log).await?;
        let (size, _) = last.ok_or(Error::NoSuchTree)?;
        let next = nodes::checkpoint_from::<DB>(&mut connection, log, 1).await?;
        let connection = &mut *connection;
        let mut walk = Walk {
            journal: self,
            connection,
            tree: Frontier::empty(),
            next,
            audit: Audit::default(),
        };
        while walk.tree.size() < size && walk.audit.flaws.len() < MAX_FLAWS && walk.page(size).await? {}
        walk.audit.flaws.truncate(MAX_FLAWS);
        Ok(walk.audit)
    }
}

impl<DB: Engine> Walk<'_, DB> {
    /// Checks a page. False when a leaf is missing: without it nothing further can be computed.
    async fn page(&mut self, size: u64) -> Result<bool> {
        let (log, from) = (self.journal.shared.log, self.tree.size());
        let limit = self.journal.page(usize::try_from(size - from).unwrap_or(usize::MAX));
        let page = entries::from_leaf::<DB>(self.connection, log, from, limit).await?;
        let mut completed = Vec::new();
        for entry in &page {
            if entry.leaf_index != self.tree.size() {
                break;
            }
            completed.extend(self.entry(entry));
            self.checkpoint().await?;
        }
        self.nodes(&completed).await?;
        if let Some(leaf_index) = entries::broken_chain::<DB>(self.connection, log, from, self.tree.size()).await? {
            self.audit.flaws.push(Flaw::Chain { leaf_index });
        }
        if self.tree.size() < size && page.last().is_none_or(|last| last.leaf_index >= self.tree.size()) {
            self.audit.flaws.push(Flaw::Missing {
                leaf_index: self.tree.size(),
            });
            return Ok(false);
        }
        Ok(true)
    }

    fn entry(&mut self, entry: &Recorded) -> Vec<(Node, Hash)> {
        let leaf = entry.computed_leaf();
        if leaf != entry.leaf_hash {
            self.audit.flaws.push(Flaw::Leaf {
                leaf_index: entry.leaf_index,
            });
        }
        self.audit.entries += 1;
        self.audit.erased += u64::from(matches!(entry.content, Content::Erased { .. }));
        self.tree.append(leaf)
    }

    async fn checkpoint(&mut self) -> Result<()> {
        let Some((tree_size, note)) = self.next.as_ref().filter(|(size, _)| *size == self.tree.size()) else {
            return Ok(());
        };
        let opened = Checkpoint::open(note, &self.journal.shared.verifier).ok();
        let same = |it: &Checkpoint| it.size == self.tree.size() && it.root == self.tree.root();
        if !opened.as_ref().is_some_and(same) {
            self.audit.flaws.push(Flaw::Checkpoint { tree_size: *tree_size });
        }
        self.audit.checkpoints += 1;
        self.next =
            nodes::checkpoint_from::<DB>(self.connection, self.journal.shared.log, self.tree.size() + 1).await?;
        Ok(())
    }

    async fn nodes(&mut self, completed: &[(Node, Hash)]) -> Result<()> {
        let wanted = completed.iter().map(|(node, _)| *node).collect();
        let stored = nodes::hashes::<DB>(self.connection, self.journal.shared.log, &wanted).await?;
        let wrong = completed.iter().filter(|(node, hash)| stored.get(node) != Some(hash));
        self.audit.flaws.extend(wrong.map(|(node, _)| Flaw::Node(*node)));
        Ok(())
    }
}
