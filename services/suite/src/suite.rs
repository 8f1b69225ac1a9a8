//! Four services in one process: each on its own port, with its own database and its own name, as they run apart.

use api::common::v1::Role;
use api::identifier::v1 as pb;
use api::identifier::v1::host_service_client::HostServiceClient;
use api::identity::Check;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serve::config::{DatabaseUrl, Settings};
use serve::{Claims, Failure, Running, StartError, TokenIssuer, bearer};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use store::random::Random;
use store::time::{self, Clock};
use tokio::net::TcpListener;
use tonic::Request;
use tonic::transport::Channel;

use crate::home::{Home, HomeError};

/// The services, in the order of the article, which is also the order of their ports.
pub const SERVICES: [&str; 4] = ["identifier", "consent", "dossier", "messaging"];

/// The host that an embedded suite registers for itself: a name and a structure that are nobody's.
const LOCAL_HOST: (&str, &str) = ("Local host of the embedded suite", "1750000010");

/// How long the local host's accreditation lasts: what the decree of 2018 gave to certified hosts.
const ACCREDITATION_YEARS: i64 = 3;

/// How long a call to ourselves may take while starting.
const OWN_CALL: Duration = Duration::from_secs(10);

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

/// Where the four services answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Endpoints {
    /// As `http://127.0.0.1:7001`.
    pub identifier: String,
    /// As `http://127.0.0.1:7002`.
    pub consent: String,
    /// As `http://127.0.0.1:7003`.
    pub dossier: String,
    /// As `http://127.0.0.1:7004`.
    pub messaging: String,
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
    #[error("the local host cannot be registered: {0}")]
    Host(String),
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
            return Err(SuiteError::Host("a port was lost".to_owned()));
        };
        let endpoints = Endpoints {
            identifier: identifier.clone(),
            consent: consent.clone(),
            dossier: dossier.clone(),
            messaging: messaging.clone(),
        };
        let layout = Layout { home, plan, endpoints };
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
        let mut common = self.home.common()?;
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
        Ok(Settings { common, service })
    }

    /// Finds or registers the host of an embedded suite, and renews its accreditation when it has none: what an
    /// administrator does for a real host, done here so that the first command of a stranger opens a dossier. Answers
    /// the host's identifier; the identifier service must be running.
    ///
    /// # Errors
    /// [`SuiteError::Host`].
    pub async fn local_host(&self, clock: &Clock, random: &Random) -> Result<String, SuiteError> {
        let register = Register::connect(&self.endpoints.identifier, self.home.people()?, clock)?;
        let registered = register.local_host(random).await;
        registered.map_err(|failure| SuiteError::Host(failure.message))
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
        let mut next = || {
            listeners
                .next()
                .ok_or_else(|| SuiteError::Host("a port was lost".to_owned()))
        };
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

/// The register of hosts, as the administrator uses it.
struct Register<'a> {
    channel: Channel,
    issuer: TokenIssuer,
    clock: &'a Clock,
}

impl<'a> Register<'a> {
    fn connect(url: &str, issuer: TokenIssuer, clock: &'a Clock) -> Result<Self, SuiteError> {
        let endpoint = Channel::from_shared(url.to_owned()).map_err(|error| SuiteError::Host(error.to_string()))?;
        Ok(Self {
            channel: endpoint.connect_lazy(),
            issuer,
            clock,
        })
    }

    async fn local_host(&self, random: &Random) -> Result<String, Failure> {
        let (name, structure_id) = LOCAL_HOST;
        let host = match self.find(structure_id).await? {
            Some(host) => host,
            None => {
                let request = pb::RegisterHostRequest {
                    request_id: random.uuid().to_string(),
                    name: name.to_owned(),
                    structure_id: structure_id.to_owned(),
                    endpoint: String::new(),
                };
                self.client()
                    .register_host(self.request(request)?)
                    .await
                    .map_err(failure)?
                    .into_inner()
            }
        };
        if !host.accredited_now.contains(&i32::from(pb::HostingScope::Dossier)) {
            self.accredit(&host.host_id, random).await?;
        }
        Ok(host.host_id)
    }

    async fn find(&self, structure_id: &str) -> Result<Option<pb::Host>, Failure> {
        let mut page_token = String::new();
        loop {
            let request = pb::ListHostsRequest {
                page_size: 500,
                page_token,
                ..pb::ListHostsRequest::default()
            };
            let page = self
                .client()
                .list_hosts(self.request(request)?)
                .await
                .map_err(failure)?
                .into_inner();
            let found = page.hosts.into_iter().find(|host| host.structure_id == structure_id);
            if found.is_some() || page.next_page_token.is_empty() {
                return Ok(found);
            }
            page_token = page.next_page_token;
        }
    }

    async fn accredit(&self, host_id: &str, random: &Random) -> Result<(), Failure> {
        let now = self.clock.now();
        let until = now
            .to_zoned(TimeZone::UTC)
            .saturating_add(ACCREDITATION_YEARS.years())
            .timestamp();
        let request = pb::AccreditHostRequest {
            request_id: random.uuid().to_string(),
            host_id: host_id.to_owned(),
            scopes: vec![pb::HostingScope::Dossier.into(), pb::HostingScope::Messaging.into()],
            valid_from: Some(time::to_proto(now)),
            valid_until: Some(time::to_proto(until)),
            decision_reference: "embedded suite, for trying and testing".to_owned(),
        };
        self.client()
            .accredit_host(self.request(request)?)
            .await
            .map_err(failure)?;
        Ok(())
    }

    fn client(&self) -> HostServiceClient<Channel> {
        HostServiceClient::new(self.channel.clone())
    }

    fn request<M>(&self, message: M) -> Result<Request<M>, Failure> {
        let claims = Claims::new("embedded-suite", Role::Administrator);
        let token = self.issuer.mint(&claims, OWN_CALL * 2, self.clock)?;
        let mut request = Request::new(message);
        request.set_timeout(OWN_CALL);
        request.metadata_mut().insert("authorization", bearer(&token)?);
        Ok(request)
    }
}

fn failure(status: tonic::Status) -> Failure {
    Failure::from_status("identifier", &status)
}
