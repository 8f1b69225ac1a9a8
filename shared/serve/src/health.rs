//! Whether a process can serve: its database answers, and it is not stopping (`grpc.health.v1`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// As last reported.
    serving: Arc<AtomicBool>,
}

impl Health {
    /// Nothing serves before the database has answered.
    pub(crate) async fn new(process: &'static str, mut names: Vec<Arc<str>>) -> Self {
        names.push(PROCESS.into());
        let health = Self {
            reporter: HealthReporter::new(),
            names,
            serving: Arc::default(),
        };
        health.show(process);
        health.report(ServingStatus::NotServing).await;
        health
    }

    /// Shows it in metrics: what is missing there is a process that is away.
    fn show(&self, process: &'static str) {
        let (serving, labels) = (Arc::downgrade(&self.serving), [store::observe::service(process)]);
        let _registered = opentelemetry::global::meter("serve")
            .i64_observable_gauge("dmp.health.serving")
            .with_description("1 while the process takes calls: its database answers, and it is not stopping; else 0")
            .with_callback(move |observer| {
                if let Some(serving) = serving.upgrade() {
                    observer.observe(serving.load(Ordering::Relaxed).into(), &labels);
                }
            })
            .build();
    }

    pub(crate) fn reporter(&self) -> HealthReporter {
        self.reporter.clone()
    }

    async fn report(&self, status: ServingStatus) {
        let serving = status == ServingStatus::Serving;
        self.serving.store(serving, Ordering::Relaxed);
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
