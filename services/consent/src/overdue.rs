//! How many uses of an exceptional mode wait for a second look, and how many longer than they may: what somebody is
//! woken for. Counts name nobody.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Gauge;
use std::time::Duration;
use store::time::Clock;
use store::{Db, Engine, Result};
use tokio_util::sync::CancellationToken;

use crate::exceptionals;

/// Between two counts. Deadlines are hours.
const EVERY: Duration = Duration::from_secs(30);

/// Counts until `stop` is cancelled. A database that is away is told elsewhere; the last count stands meanwhile.
pub(crate) async fn watch<DB: Engine>(db: Db<DB>, clock: Clock, service: KeyValue, stop: CancellationToken) {
    let gauge = opentelemetry::global::meter("consent")
        .u64_gauge("dmp.review.waiting")
        .with_unit("{use}")
        .with_description("Uses of break-glass and of the emergency call centre that wait for a second look")
        .build();
    loop {
        let _away = record(&db, &clock, &service, &gauge).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn record<DB: Engine>(db: &Db<DB>, clock: &Clock, service: &KeyValue, gauge: &Gauge<u64>) -> Result<()> {
    let counted = {
        let mut connection = db.read().await?;
        exceptionals::waiting::<DB>(&mut connection, clock.now()).await?
    };
    for (overdue, count) in [(false, counted.in_time), (true, counted.overdue)] {
        gauge.record(count, &[service.clone(), KeyValue::new("dmp.overdue", overdue)]);
    }
    Ok(())
}
