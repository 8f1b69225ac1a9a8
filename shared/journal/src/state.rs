//! Whether a stored log may be continued: what it holds must be exactly what it last signed.

use std::collections::BTreeSet;

use store::Engine;

use crate::checkpoint::{Checkpoint, Fork};
use crate::entries;
use crate::error::{Refusal, Result};
use crate::hash::{self, Hash};
use crate::nodes;
use crate::note::{LogKey, VerifierKey};
use crate::proof::ProofError;
use crate::tree::{self, Frontier};

/// The number of the log of `key`, which is begun, with a checkpoint of no entries, where there is none.
pub(crate) async fn find_or_begin<DB: Engine>(connection: &mut DB::Connection, key: &LogKey) -> Result<i64> {
    let verifier = key.verifier();
    let begun = nodes::insert_log::<DB>(connection, verifier.name(), &verifier.to_string()).await?;
    let log = nodes::find_log::<DB>(connection, verifier.name()).await?;
    let log = log.ok_or(store::Error::Corrupt("journal_logs"))?;
    if log.verifier_key != verifier.to_string() {
        return Err(Refusal::Key.into());
    }
    if begun {
        let origin = verifier.name().to_owned();
        let empty = Checkpoint {
            origin,
            size: 0,
            root: hash::empty_root(),
            extensions: Vec::new(),
        };
        let note = empty.sign(key).map_err(|error| Refusal::Checkpoint(error.into()))?;
        store::insert::<DB>(connection, vec![nodes::checkpoint(log.id, 0, &note)]).await?;
    }
    Ok(log.id)
}

/// The log's tree, held until the end of the transaction, if it is the one under its last checkpoint.
pub(crate) async fn load<DB: Engine>(connection: &mut DB::Connection, log: i64, key: &VerifierKey) -> Result<Frontier> {
    let size = nodes::lock_log::<DB>(connection, log).await?;
    let (signed, note) = nodes::last_checkpoint::<DB>(connection, log)
        .await?
        .ok_or(Refusal::NoCheckpoint)?;
    let checkpoint = Checkpoint::open(&note, key).map_err(Refusal::Checkpoint)?;
    let entries = entries::extent::<DB>(connection, log).await?;
    for stored in [size, entries, signed] {
        if stored != checkpoint.size {
            return Err(Refusal::Size {
                stored,
                signed: checkpoint.size,
            }
            .into());
        }
    }
    let tree = frontier::<DB>(connection, log, size).await?.ok_or(Refusal::Tree)?;
    if tree.root() == checkpoint.root {
        Ok(tree)
    } else {
        Err(Refusal::Root.into())
    }
}

/// Holds when the log extends a checkpoint which was kept outside of the database.
pub(crate) async fn check_witnessed<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    key: &VerifierKey,
    stored: u64,
    witnessed: &str,
) -> Result<()> {
    let checkpoint = Checkpoint::open(witnessed, key).map_err(Refusal::Witnessed)?;
    if checkpoint.size > stored {
        return Err(Refusal::Behind {
            stored,
            witnessed: checkpoint.size,
        }
        .into());
    }
    let tree = frontier::<DB>(connection, log, checkpoint.size)
        .await?
        .ok_or(Refusal::Tree)?;
    if tree.root() == checkpoint.root {
        return Ok(());
    }
    let fork = Fork {
        old: checkpoint.size,
        new: stored,
        reason: ProofError::WrongRoot,
    };
    Err(Refusal::Forked(fork).into())
}

/// The right edge of the log's tree when it had `size` leaves; `None` when hashes are missing.
async fn frontier<DB: Engine>(connection: &mut DB::Connection, log: i64, size: u64) -> Result<Option<Frontier>> {
    let wanted = tree::frontier_nodes(size);
    let set: BTreeSet<_> = wanted.iter().copied().collect();
    let known = nodes::hashes::<DB>(connection, log, &set).await?;
    let roots: Option<Vec<Hash>> = wanted.iter().map(|node| known.get(node).copied()).collect();
    Ok(roots.and_then(|roots| Frontier::restore(size, roots)))
}
