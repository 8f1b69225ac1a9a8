//! Second instances of services, on the databases and keys of the first: nothing in memory that another must know.

use dmp::endpoints::Endpoints;
use dmp::suite::Layout;
use serve::{InProcess, Running, Service};
use tokio::net::TcpListener;

use crate::{Clients, Stage};

/// Second instances of the services that keep something of a dossier; they run beside the first.
pub struct Second {
    /// Who calls them, and not the first.
    pub clients: Clients,
    services: Vec<Running>,
}

impl Second {
    /// Stops them.
    pub async fn stop(self) {
        futures::future::join_all(self.services.into_iter().map(Running::stop)).await;
    }
}

impl Stage {
    /// Starts second instances. Their peers are both instances in turn.
    pub async fn second_instances(&self) -> Second {
        let (consents, dossiers, messages) = (listener().await, listener().await, listener().await);
        let first = &self.suite.endpoints;
        let own = Endpoints {
            consent: url(&consents),
            dossier: url(&dossiers),
            messaging: url(&messages),
            ..first.clone()
        };
        let layout = Layout {
            in_process: InProcess::default(),
            home: &self.home,
            plan: &self.plan,
            endpoints: Endpoints {
                consent: format!("{}, {}", first.consent, own.consent),
                dossier: format!("{}, {}", first.dossier, own.dossier),
                ..first.clone()
            },
        };
        let (clock, random) = (|| self.bench.clock.clone(), || self.bench.random.clone());
        let (consent, messaging) = (layout.consent().unwrap(), layout.messaging().unwrap());
        let dossier = layout.dossier(&self.suite.host_id).unwrap();
        let services = [
            consent::Consent::start_on(consents, consent, clock(), random()),
            dossier::Dossier::start_on(dossiers, dossier, clock(), random()),
            messaging::Messaging::start_on(messages, messaging, clock(), random()),
        ];
        let services = futures::future::try_join_all(services).await.unwrap();
        Second {
            clients: Clients::new(&own, &self.home, clock(), random()),
            services,
        }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn url(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().unwrap())
}
