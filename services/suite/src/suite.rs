//! Four services in one process: each on its own port, with its own database and its own name, as they run apart.

use api::identity::Check;
use serve::config::{DatabaseUrl, Settings};
use serve::{InProcess, Running, StartError};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use store::random::Random;
use store::time::Clock;
use tokio::net::TcpListener;

use crate::endpoints::Endpoints;
use crate::home::{Home, HomeError};
use crate::register::{Host, Register, RegisterError};

/// The services, in the order of the article, which is also the order of their ports.
pub const SERVICES: [&str; 4] = ["identifier", "consent", "dossier", "messaging"];

/// The host that an embedded suite registers for itself: a name and a structure that are nobody's.
const LOCAL_HOST: Host<'static> = Host {
    name: "Local host of the embedded suite",
    structure_id: "1750000010",
    decision: "embedded suite, for trying and testing",
};

/// How an embedded suite is to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Port of the identifier service; the others follow. 0 takes free ones.
    pub base_port: u16,
    /// Databases by service; a service without one has a SQLite file in the folder.
    pub databases: BTreeMap<String, String>,
    /// How strictly keys of INS are checked.
    pub ins: Check,
    /// How strictly check digits of professionals and structures are checked.
    pub professional_id: Check,
    /// Whether test and demonstration identities are taken. Never in production.
    pub accept_test_identities: bool,
    /// Whether reflection is served.
    pub reflection: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            base_port: 7001,
            databases: BTreeMap::new(),
            ins: Check::Strict,
            professional_id: Check::Lenient,
            accept_test_identities: true,
            reflection: true,
        }
    }
}

/// Why the suite does not start.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A port.
    #[error("cannot listen on {address} (choose another with --base-port)")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A service.
    #[error("the {name} service does not start")]
    Start {
        /// Which one.
        name: &'static str,
        /// Why.
        source: StartError,
    },
    /// The local host could not be registered or accredited.
    #[error("the local host cannot be registered")]
    Host(#[from] RegisterError),
    /// A port was there and is not.
    #[error("a port was lost")]
    PortLost,
}

/// A suite that runs.
#[derive(Debug)]
pub struct Suite {
    services: Vec<Running>,
    /// Where the services answer.
    pub endpoints: Endpoints,
    /// The host at which dossiers are opened.
    pub host_id: String,
}

impl Suite {
    /// Starts the four services on a folder. The identifier service comes first: the dossier service runs for a host,
    /// which must be in the register and accredited.
    ///
    /// # Errors
    /// [`SuiteError`]; what had started is stopped.
    pub async fn start(home: &Home, plan: &Plan, clock: &Clock, random: &Random) -> Result<Self, SuiteError> {
        let mut listeners = Vec::new();
        for offset in 0..4 {
            listeners.push(
                listen(if plan.base_port == 0 {
                    0
                } else {
                    plan.base_port + offset
                })
                .await?,
            );
        }
        let urls: Vec<String> = listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .map(url)
            .collect();
        let [identifier, consent, dossier, messaging] = urls.as_slice() else {
            return Err(SuiteError::PortLost);
        };
        let endpoints = Endpoints {
            identifier: identifier.clone(),
            consent: consent.clone(),
            dossier: dossier.clone(),
            messaging: messaging.clone(),
            trust: None,
            trust_domain: None,
        };
        let layout = Layout {
            home,
            plan,
            endpoints,
            in_process: InProcess::default(),
        };
        let mut starting = Starting {
            layout: &layout,
            clock,
            random,
            services: Vec::new(),
        };
        match starting.run(listeners).await {
            Ok(host_id) => Ok(Self {
                services: starting.services,
                endpoints: layout.endpoints,
                host_id,
            }),
            Err(error) => {
                stop_all(starting.services).await;
                Err(error)
            }
        }
    }

    /// Stops the services, each within its drain limit.
    pub async fn stop(self) {
        stop_all(self.services).await;
    }

    /// Completes when one of the services has ended, which none should.
    pub async fn any_ended(&self) {
        let ended = self.services.iter().map(|service| Box::pin(service.ended()));
        futures::future::select_all(ended).await;
    }
}

async fn stop_all(services: Vec<Running>) {
    services.iter().for_each(Running::shutdown);
    futures::future::join_all(services.into_iter().map(Running::finished)).await;
}

async fn listen(port: u16) -> Result<TcpListener, SuiteError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .map_err(|source| SuiteError::Listen { address, source })
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// What each service of a suite is told: in one process or apart.
#[derive(Debug)]
pub struct Layout<'a> {
    /// Keys and embedded databases.
    pub home: &'a Home,
    /// How the suite is to run.
    pub plan: &'a Plan,
    /// Where the services answer.
    pub endpoints: Endpoints,
    /// Where they find each other, when they run in one process.
    pub in_process: InProcess,
}

impl Layout<'_> {
    /// The identifier service's settings.
    ///
    /// # Errors
    /// [`HomeError`], as for the others.
    pub fn identifier(&self) -> Result<Settings<identifier::Config>, HomeError> {
        let checks = identifier::Checks {
            ins: self.plan.ins,
            structures: self.plan.professional_id,
            accept_test_identities: self.plan.accept_test_identities,
        };
        self.settings("identifier", identifier::Config { checks })
    }

    /// The consent service's settings.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn consent(&self) -> Result<Settings<consent::Config>, HomeError> {
        let config = consent::Config {
            key_file: self.home.path("consent.key"),
            receipt_key_file: self.home.receipt_key(),
            ..consent::Config::default()
        };
        self.settings("consent", config)
    }

    /// The dossier service's settings, for a host of the register.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn dossier(&self, host_id: &str) -> Result<Settings<dossier::Config>, HomeError> {
        let config = dossier::Config {
            host_id: host_id.to_owned(),
            key_file: self.home.path("host.key"),
            log_key_file: self.home.journal_key("dossier"),
            checks: dossier::Checks {
                ins: self.plan.ins,
                professional_id: self.plan.professional_id,
                accept_test_identities: self.plan.accept_test_identities,
            },
            ..dossier::Config::default()
        };
        self.settings("dossier", config)
    }

    /// The messaging service's settings.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn messaging(&self) -> Result<Settings<messaging::Config>, HomeError> {
        let config = messaging::Config {
            key_file: self.home.path("messaging.key"),
            log_key_file: self.home.journal_key("messaging"),
            ..messaging::Config::default()
        };
        self.settings("messaging", config)
    }

    fn settings<C>(&self, name: &str, service: C) -> Result<Settings<C>, HomeError> {
        let mut common = self.home.common(name)?;
        let given = self.plan.databases.get(name);
        common.database.url = given.map_or_else(|| self.home.database(name), |url| DatabaseUrl::from(url.as_str()));
        common.reflection = self.plan.reflection;
        let peers = [
            ("identifier", &self.endpoints.identifier),
            ("consent", &self.endpoints.consent),
            ("dossier", &self.endpoints.dossier),
        ];
        let others = peers.into_iter().filter(|(peer, _)| *peer != name);
        common.peers = others.map(|(peer, url)| (peer.to_owned(), url.clone())).collect();
        common.in_process = self.in_process.clone();
        Ok(Settings { common, service })
    }

    /// Finds or registers the host of an embedded suite, and accredits it: what an administrator does for a real host,
    /// done here so that the first command of a stranger opens a dossier. Answers the host's identifier; the identifier
    /// service must be running.
    ///
    /// # Errors
    /// [`SuiteError::Host`].
    pub async fn local_host(&self, clock: &Clock, random: &Random) -> Result<String, SuiteError> {
        let register = Register::new(&self.endpoints, self.home.people()?, clock)?;
        Ok(register.host(&LOCAL_HOST, random).await?)
    }
}

struct Starting<'a> {
    layout: &'a Layout<'a>,
    clock: &'a Clock,
    random: &'a Random,
    services: Vec<Running>,
}

impl Starting<'_> {
    async fn run(&mut self, listeners: Vec<TcpListener>) -> Result<String, SuiteError> {
        let mut listeners = listeners.into_iter();
        let mut next = || listeners.next().ok_or(SuiteError::PortLost);
        let layout = self.layout;
        self.start::<identifier::Identifier>(next()?, layout.identifier()?)
            .await?;
        let host_id = layout.local_host(self.clock, self.random).await?;
        self.start::<consent::Consent>(next()?, layout.consent()?).await?;
        self.start::<dossier::Dossier>(next()?, layout.dossier(&host_id)?)
            .await?;
        self.start::<messaging::Messaging>(next()?, layout.messaging()?).await?;
        Ok(host_id)
    }

    async fn start<S: serve::Service>(
        &mut self,
        listener: TcpListener,
        settings: Settings<S::Config>,
    ) -> Result<(), SuiteError> {
        let failed = |source| SuiteError::Start { name: S::NAME, source };
        let running = S::start_on(listener, settings, self.clock.clone(), self.random.clone());
        self.services.push(running.await.map_err(failed)?);
        Ok(())
    }
}
