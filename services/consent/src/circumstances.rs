//! What a decision about the present rests on, read for all who ask at the same time.

use api::identity::DmpId;
use hashlink::LruCache;
use jiff::SignedDuration;
use serve::Actor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::time::Timestamp;
use store::{Db, Engine, Error, Gather, Result};

use crate::act::Means;
use crate::decision::Facts;
use crate::facts;
use crate::matrix::Matrix;

/// Who asks about which dossier.
pub(crate) type Asker = (DmpId, Arc<Actor>);

/// Askers whose facts are remembered: about a kilobyte each.
const ASKERS_MAX: usize = 16_384;

/// How long facts are remembered. Revisions would do without it, but for a database that an operator has brought back to
/// an earlier state, which counts the same revisions again with other facts.
const KEPT: SignedDuration = SignedDuration::from_secs(60);

/// The facts that can concern an asker, and the version of the matrix, as of a moment.
#[derive(Debug, Clone)]
pub(crate) struct Circumstances {
    pub(crate) facts: Arc<Facts>,
    /// After the facts were read: a term that ends meanwhile has ended.
    pub(crate) moment: Timestamp,
    pub(crate) matrix: Arc<Matrix>,
}

/// Facts as they were last read. Each change of what is said about a person advances the revision of the dossier, in its own
/// transaction, so facts of a revision never change: who asks again is told the remembered ones if the revision, read after
/// the question came, is still theirs. A narrowing on any instance thus governs as soon as it is acknowledged.
pub(crate) struct Memory {
    facts: Mutex<LruCache<Asker, Remembered>>,
}

struct Remembered {
    facts: Arc<Facts>,
    read_at: Timestamp,
}

impl Memory {
    /// Nothing read yet.
    pub(crate) fn new() -> Self {
        Self {
            facts: Mutex::new(LruCache::new(ASKERS_MAX)),
        }
    }

    fn find(&self, asker: &Asker, now: Timestamp) -> Option<Arc<Facts>> {
        let mut facts = self.facts();
        let remembered = facts.get(asker)?;
        // A clock that was set back makes it one of the future.
        let good = remembered.read_at <= now && now.duration_since(remembered.read_at) <= KEPT;
        good.then(|| remembered.facts.clone())
    }

    fn keep(&self, asker: Asker, facts: Arc<Facts>, read_at: Timestamp) {
        self.facts().insert(asker, Remembered { facts, read_at });
    }

    fn facts(&self) -> MutexGuard<'_, LruCache<Asker, Remembered>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what decisions for these askers rest on, in their order.
pub(crate) async fn read<DB: Engine>(
    connection: &mut DB::Connection,
    means: &Means,
    askers: &[Asker],
) -> Result<Vec<Circumstances>> {
    let facts = facts::<DB>(connection, means, askers).await?;
    let moment = means.clock.now();
    let matrix = means.matrices.at::<DB>(connection, moment).await?;
    let circumstances = |facts| Circumstances {
        facts,
        moment,
        matrix: matrix.clone(),
    };
    Ok(facts.into_iter().map(circumstances).collect())
}

/// The facts of these askers: the remembered ones where they still are those of the dossier's revision.
async fn facts<DB: Engine>(
    connection: &mut DB::Connection,
    means: &Means,
    askers: &[Asker],
) -> Result<Vec<Arc<Facts>>> {
    let now = means.clock.now();
    let remembered = askers.iter().map(|asker| means.memory.find(asker, now));
    let mut known: Vec<Option<Arc<Facts>>> = remembered.collect();
    let asked_again = askers.iter().zip(&known).filter(|(_, known)| known.is_some());
    let dossiers: Vec<_> = asked_again.map(|((dmp_id, _), _)| dmp_id).collect();
    let mut revisions = facts::revisions::<DB>(connection, &dossiers).await?.into_iter();
    for known in &mut known {
        known.take_if(|facts| revisions.next() != Some(facts.revision));
    }
    let unknown = askers.iter().zip(&known).filter(|(_, known)| known.is_none());
    let unknown: Vec<_> = unknown.map(|((dmp_id, actor), _)| (dmp_id, &**actor)).collect();
    let mut read = facts::of_actors::<DB>(connection, &unknown).await?.into_iter();
    let each = known.into_iter().zip(askers).map(|(known, asker)| {
        let remember = |facts: Facts| {
            let facts = Arc::new(facts);
            means.memory.keep(asker.clone(), facts.clone(), now);
            facts
        };
        known.or_else(|| read.next().map(remember))
    });
    each.collect::<Option<_>>().ok_or(Error::Corrupt("facts"))
}

/// Reads them for whoever asks while others do.
pub(crate) fn gather<DB: Engine>(db: &Db<DB>, means: Means) -> Gather<Asker, Circumstances> {
    Gather::start(db.clone(), move |connection, askers: Vec<Asker>| {
        let means = means.clone();
        Box::pin(async move { read::<DB>(connection, &means, &askers).await })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::cases::{authorization, dmp_id, fact, holder, moment, professional};

    /// Facts of a database that was brought back to an earlier state are forgotten in time.
    #[test]
    fn facts_are_remembered_for_a_minute_of_a_clock_that_goes_forwards() {
        let memory = Memory::new();
        let asker = (dmp_id(), Arc::new(professional("10", "SM26")));
        let facts = Facts {
            revision: 3,
            live: vec![fact(authorization())],
        };
        memory.keep(asker.clone(), Arc::new(facts.clone()), moment());
        let found = |asker: &Asker, after: SignedDuration| memory.find(asker, moment() + after);
        assert_eq!(*found(&asker, SignedDuration::ZERO).unwrap(), facts);
        assert_eq!(*found(&asker, KEPT).unwrap(), facts);
        assert_eq!(found(&asker, KEPT + SignedDuration::from_millis(1)), None);
        assert_eq!(found(&asker, SignedDuration::from_millis(-1)), None);
        let other = (dmp_id(), Arc::new(holder()));
        assert_eq!(found(&other, SignedDuration::ZERO), None, "facts are of one actor");
    }
}
