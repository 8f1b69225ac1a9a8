//! Whether a process can serve: its database answers, and it is not stopping (`grpc.health.v1`).

use std::sync::Arc;
use std::time::Duration;
use store::{Db, Engine};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How long the database may take to answer before it counts as away.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The whole process, by the health protocol's convention.
const PROCESS: &str = "";

/// Tells who asks.
pub(crate) struct Health {
    reporter: HealthReporter,
    names: Vec<Arc<str>>,
}

impl Health {
    /// Nothing serves before the database has answered.
    pub(crate) async fn new(mut names: Vec<Arc<str>>) -> Self {
        names.push(PROCESS.into());
        let health = Self {
            reporter: HealthReporter::new(),
            names,
        };
        health.report(ServingStatus::NotServing).await;
        health
    }

    pub(crate) fn reporter(&self) -> HealthReporter {
        self.reporter.clone()
    }

    async fn report(&self, status: ServingStatus) {
        for name in &self.names {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Asks the database every `every`, and reports each change, until `draining`; then NOT_SERVING, for good.
    pub(crate) async fn watch<DB: Engine>(self, db: Db<DB>, every: Duration, draining: CancellationToken) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut serving = false;
        loop {
            let asked = async {
                ticks.tick().await;
                matches!(timeout(PING_TIMEOUT, db.ping()).await, Ok(Ok(())))
            };
            let Some(answers) = draining.run_until_cancelled(asked).await else {
                break;
            };
            if answers == serving {
                continue;
            }
            serving = answers;
            tracing::info!(serving, "health changed");
            self.report(if serving {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            })
            .await;
        }
        self.report(ServingStatus::NotServing).await;
    }
}
