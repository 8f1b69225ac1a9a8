//! The log of one service: what can be read from it, and proved. Every proof costs O(log n) rows.

use store::Engine;
use uuid::Uuid;

use crate::batch;
use crate::entries;
use crate::entry::Recorded;
use crate::error::{Error, Refusal, Result};
use crate::hash::Hash;
use crate::history::{History, Proven};
use crate::log::Journal;
use crate::nodes;
use crate::receipt::Receipt;
use crate::tree::{self, Element, Node};

/// Hashes of a full tile, and levels of the tree between two tiles (C2SP tlog-tiles).
const TILE_WIDTH: u64 = 256;
const TILE_HEIGHT: u32 = 8;

impl<DB: Engine> Journal<DB> {
    /// At most `limit` entries of `subject` after a place in its chain (0 for the beginning), oldest first.
    pub async fn entries(&self, subject: &str, after_sequence: u64, limit: usize) -> Result<Vec<Recorded>> {
        let mut connection = self.shared.db.read().await?;
        let limit = self.page(limit);
        let all = tree::MAX_SIZE;
        Ok(entries::after::<DB>(&mut connection, self.shared.log, subject, after_sequence, all, limit).await?)
    }

    /// At most `limit` entries of `subject` before a place in its chain (`None` for its end), newest first.
    pub async fn entries_before(&self, subject: &str, before: Option<u64>, limit: usize) -> Result<Vec<Recorded>> {
        let mut connection = self.shared.db.read().await?;
        let (before, limit) = (before.unwrap_or(u64::MAX), self.page(limit));
        Ok(entries::before::<DB>(&mut connection, self.shared.log, subject, before, limit).await?)
    }

    /// The entry written under this id.
    pub async fn entry(&self, entry_id: Uuid) -> Result<Option<Recorded>> {
        let mut connection = self.shared.db.read().await?;
        Ok(entries::by_ids::<DB>(&mut connection, self.shared.log, &[entry_id])
            .await?
            .written
            .remove(&entry_id))
    }

    /// Whether an entry of this id is in the log.
    pub async fn holds(&self, entry_id: Uuid) -> Result<bool> {
        let mut connection = self.shared.db.read().await?;
        Ok(entries::is_written::<DB>(&mut connection, self.shared.log, entry_id).await?)
    }

    /// The receipt of the entry written under this id: the same one every time.
    pub async fn receipt(&self, entry_id: Uuid) -> Result<Option<Receipt>> {
        let mut connection = self.shared.db.read().await?;
        let entry = entries::by_ids::<DB>(&mut connection, self.shared.log, &[entry_id])
            .await?
            .written
            .remove(&entry_id);
        let Some(entry) = entry else { return Ok(None) };
        let origin = self.shared.verifier.name();
        stored_receipt::<DB>(&mut connection, self.shared.log, origin, &entry)
            .await
            .map(Some)
    }

    /// The newest signed checkpoint.
    pub async fn latest_checkpoint(&self) -> Result<String> {
        let mut connection = self.shared.db.read().await?;
        Ok(self.last(&mut connection).await?.1)
    }

    /// The first checkpoint which was signed of a tree of at least `size` leaves, with that tree's size; `None` past the
    /// newest. Trees between two checkpoints were never signed.
    pub async fn checkpoint_from(&self, size: u64) -> Result<Option<(u64, String)>> {
        let mut connection = self.shared.db.read().await?;
        Ok(nodes::checkpoint_from::<DB>(&mut connection, self.shared.log, size).await?)
    }

    /// Proof that the tree of `tree_size` leaves has the leaf at `leaf_index` (RFC 9162 §2.1.3).
    ///
    /// # Errors
    /// [`Error::NoSuchTree`] unless `leaf_index < tree_size <=` the newest checkpoint's size.
    pub async fn inclusion_proof(&self, leaf_index: u64, tree_size: u64) -> Result<Vec<Hash>> {
        self.prove(tree::inclusion(leaf_index, tree_size), tree_size).await
    }

    /// Proof that the tree of `to` leaves begins with the tree of `from` leaves (RFC 9162 §2.1.4).
    ///
    /// # Errors
    /// [`Error::NoSuchTree`] unless `from <= to <=` the newest checkpoint's size.
    pub async fn consistency_proof(&self, from: u64, to: u64) -> Result<Vec<Hash>> {
        self.prove(tree::consistency(from, to), to).await
    }

    /// The hashes of a tile (C2SP tlog-tiles): up to 256 complete subtrees of height `8 · level`, from
    /// `256 · index` on. The last tile of a level is partial, and one past the end empty. Tells nothing about any entry.
    pub async fn tile(&self, level: u32, index: u64) -> Result<Vec<Hash>> {
        let level = level
            .checked_mul(TILE_HEIGHT)
            .filter(|level| *level < u64::BITS)
            .ok_or(Error::NoSuchTree)?;
        let position = index.checked_mul(TILE_WIDTH).ok_or(Error::NoSuchTree)?;
        let mut connection = self.shared.db.read().await?;
        let from = Node { level, position };
        Ok(nodes::row_of_hashes::<DB>(&mut connection, self.shared.log, from, TILE_WIDTH).await?)
    }

    /// At most `limit` entries of `subject` after a place in its chain, oldest first, with everything needed to check them
    /// offline ([`History::verify`]) under the newest checkpoint.
    pub async fn history(&self, subject: &str, after_sequence: u64, limit: usize) -> Result<History> {
        let mut connection = self.shared.db.read().await?;
        let log = self.shared.log;
        let (size, checkpoint) = self.last(&mut connection).await?;
        let limit = self.page(limit);
        let entries = entries::after::<DB>(&mut connection, log, subject, after_sequence, size, limit).await?;
        let proofs = inclusions::<DB>(&mut connection, log, &entries, size).await?;
        let proven = entries
            .into_iter()
            .zip(proofs)
            .map(|(entry, inclusion)| Proven { entry, inclusion });
        Ok(History {
            checkpoint,
            entries: proven.collect(),
        })
    }

    /// The given entries, with their proofs under the newest checkpoint, for instance a page read newest first.
    pub async fn proven(&self, entries: Vec<Recorded>) -> Result<History> {
        let mut connection = self.shared.db.read().await?;
        let (size, checkpoint) = self.last(&mut connection).await?;
        let proofs = inclusions::<DB>(&mut connection, self.shared.log, &entries, size).await?;
        let proven = entries
            .into_iter()
            .zip(proofs)
            .map(|(entry, inclusion)| Proven { entry, inclusion });
        Ok(History {
            checkpoint,
            entries: proven.collect(),
        })
    }

    async fn prove(&self, elements: Option<Vec<Element>>, size: u64) -> Result<Vec<Hash>> {
        let elements = elements.ok_or(Error::NoSuchTree)?;
        let mut connection = self.shared.db.read().await?;
        if size > self.last(&mut connection).await?.0 {
            return Err(Error::NoSuchTree);
        }
        Ok(nodes::elements::<DB>(&mut connection, self.shared.log, &elements).await?)
    }

    async fn last(&self, connection: &mut DB::Connection) -> Result<(u64, String)> {
        let last = nodes::last_checkpoint::<DB>(connection, self.shared.log).await?;
        last.ok_or(Error::Refused(Refusal::NoCheckpoint))
    }
}

/// The receipt of an entry, under the first checkpoint that covers it.
pub(crate) async fn stored_receipt<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    origin: &str,
    entry: &Recorded,
) -> Result<Receipt> {
    let checkpoint = nodes::checkpoint_from::<DB>(connection, log, entry.leaf_index + 1).await?;
    let (size, note) = checkpoint.ok_or(Error::Refused(Refusal::NoCheckpoint))?;
    let elements = tree::inclusion(entry.leaf_index, size).ok_or(Error::NoSuchTree)?;
    let inclusion = nodes::elements::<DB>(connection, log, &elements).await?;
    Ok(batch::receipt(entry, origin, &note, inclusion))
}

/// The inclusion proofs of several entries, read together: neighbours share most of their hashes.
async fn inclusions<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    entries: &[Recorded],
    size: u64,
) -> Result<Vec<Vec<Hash>>> {
    let elements: Option<Vec<_>> = entries
        .iter()
        .map(|entry| tree::inclusion(entry.leaf_index, size))
        .collect();
    let elements = elements.ok_or(Error::NoSuchTree)?;
    let wanted = elements.iter().flatten().flatten().copied().collect();
    let known = nodes::hashes::<DB>(connection, log, &wanted).await?;
    let fold = |elements: &Vec<Element>| {
        elements
            .iter()
            .map(|element| nodes::element_hash(element, &known))
            .collect()
    };
    Ok(elements.iter().map(fold).collect::<Result<_, _>>()?)
}
