//! What a decision about the present rests on, read for all who ask at the same time.

use api::identity::DmpId;
use serve::Actor;
use std::sync::Arc;
use store::time::Timestamp;
use store::{Db, Engine, Gather, Result};

use crate::act::Means;
use crate::decision::Facts;
use crate::facts;
use crate::matrix::Matrix;

/// Who asks about which dossier.
pub(crate) type Asker = (DmpId, Arc<Actor>);

/// The facts that can concern an asker, and the version of the matrix, as of a moment.
#[derive(Debug, Clone)]
pub(crate) struct Circumstances {
    pub(crate) facts: Facts,
    /// After the facts were read: a term that ends meanwhile has ended.
    pub(crate) moment: Timestamp,
    pub(crate) matrix: Arc<Matrix>,
}

/// Reads what decisions for these askers rest on, in their order.
pub(crate) async fn read<DB: Engine>(
    connection: &mut DB::Connection,
    means: &Means,
    askers: &[Asker],
) -> Result<Vec<Circumstances>> {
    let asked: Vec<_> = askers.iter().map(|(dmp_id, actor)| (dmp_id, &**actor)).collect();
    let facts = facts::of_actors::<DB>(connection, &asked).await?;
    let moment = means.clock.now();
    let matrix = means.matrices.at::<DB>(connection, moment).await?;
    let circumstances = |facts| Circumstances {
        facts,
        moment,
        matrix: matrix.clone(),
    };
    Ok(facts.into_iter().map(circumstances).collect())
}

/// Reads them for whoever asks while others do.
pub(crate) fn gather<DB: Engine>(db: &Db<DB>, means: Means) -> Gather<Asker, Circumstances> {
    Gather::start(db.clone(), move |connection, askers: Vec<Asker>| {
        let means = means.clone();
        Box::pin(async move { read::<DB>(connection, &means, &askers).await })
    })
}
