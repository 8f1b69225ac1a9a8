//! A service on a real port, with an injected clock and tokens for whoever calls.

use jiff::Timestamp;
use serve::config::{Common, DatabaseUrl, Identity, IssuerSettings, Settings};
use serve::{BearerToken, Claims, Running, Service, TokenIssuer, bearer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use store::random::Random;
use store::time::{Clock, ManualClock};
use tempfile::TempDir;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};

use crate::{START, cluster};

const AUDIENCE: &str = "dmp";
const PEOPLE: &str = "https://issuer.test/people";
const SERVICES: &str = "https://issuer.test/services";

/// Which database a bench gives to its services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file in the bench's folder.
    Sqlite,
    /// A database of the throw-away cluster.
    Postgres,
}

/// Everything around the services under test.
#[derive(Debug)]
pub struct Bench {
    /// The clock of every service of this bench.
    pub clock: Clock,
    /// Moves that clock.
    pub time: ManualClock,
    /// The randomness of every service of this bench.
    pub random: Random,
    /// The engine of every service of this bench.
    pub engine: Engine,
    folder: TempDir,
    people: TokenIssuer,
    services: TokenIssuer,
    peers: Mutex<BTreeMap<String, String>>,
}

/// A service that runs.
#[derive(Debug)]
pub struct Started<S: Service> {
    /// Its settings, to start it again on the same database.
    pub settings: Settings<S::Config>,
    /// The process.
    pub running: Running,
    channel: Channel,
}

impl<S: Service> Started<S> {
    /// A channel for a generated client.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Its address, for instance as a peer's.
    pub fn url(&self) -> String {
        self.running.url()
    }

    /// Stops it and gives its settings back.
    pub async fn stop(self) -> Settings<S::Config> {
        self.running.stop().await;
        self.settings
    }
}

impl Bench {
    /// A bench for this engine; `None` where the machine does not have it.
    pub fn new(engine: Engine) -> Option<Self> {
        if engine == Engine::Postgres {
            cluster()?;
        }
        let folder = TempDir::new().unwrap();
        let start: Timestamp = START.parse().unwrap();
        let (clock, time) = Clock::manual(start);
        let random = Random::seeded(11);
        let issuer = |name: &str, file: &str| {
            let key = TokenIssuer::generate_key(&random).unwrap();
            std::fs::write(folder.path().join(file), key.as_bytes()).unwrap();
            TokenIssuer::new(name, AUDIENCE, key.as_bytes()).unwrap()
        };
        let (people, services) = (issuer(PEOPLE, "people.pem"), issuer(SERVICES, "services.pem"));
        let peers = Mutex::default();
        Some(Self {
            clock,
            time,
            random,
            engine,
            folder,
            people,
            services,
            peers,
        })
    }

    /// A folder that goes away with the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into that folder.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Tells the services started from now on where `name` answers.
    pub fn peer(&self, name: &str, url: impl Into<String>) {
        self.peers.lock().unwrap().insert(name.to_owned(), url.into());
    }

    /// Starts a service on an empty database.
    pub async fn start<S: Service>(&self, config: S::Config) -> Started<S> {
        self.start_with(self.settings::<S>(config).await).await
    }

    /// Starts a service with these settings, for instance again on the database of one that was stopped.
    pub async fn start_with<S: Service>(&self, settings: Settings<S::Config>) -> Started<S> {
        let running = serve::start::<S>(settings.clone(), self.clock.clone(), self.random.clone())
            .await
            .unwrap();
        let channel = Endpoint::from_shared(running.url()).unwrap().connect_lazy();
        Started {
            settings,
            running,
            channel,
        }
    }

    /// Settings on an empty database.
    pub async fn settings<S: Service>(&self, config: S::Config) -> Settings<S::Config> {
        let mut common = Common {
            issuers: vec![
                self.issuer(
                    &self.people,
                    &[
                        "HOLDER",
                        "REPRESENTATIVE",
                        "PROFESSIONAL",
                        "ESTABLISHMENT_SYSTEM",
                        "ADMINISTRATOR",
                        "AUDITOR",
                        "EXCLUDED_PARTY",
                    ],
                ),
                self.issuer(&self.services, &["SERVICE"]),
            ],
            identity: Some(Identity {
                issuer: SERVICES.to_owned(),
                audience: AUDIENCE.to_owned(),
                key: self.folder.path().join("services.pem"),
            }),
            peers: self.peers.lock().unwrap().clone(),
            reflection: true,
            ..Common::default()
        };
        common.database.url = DatabaseUrl::from(self.new_database::<S>().await);
        // Many services at once on one small machine.
        (common.database.readers, common.database.writers) = (4, 4);
        Settings {
            common,
            service: config,
        }
    }

    async fn new_database<S: Service>(&self) -> String {
        match self.engine {
            Engine::Sqlite => {
                let file = format!("{}-{}.db", S::NAME, self.random.uuid().simple());
                format!("sqlite://{}", self.folder.path().join(file).display())
            }
            Engine::Postgres => cluster().unwrap().new_database().await,
        }
    }

    fn issuer(&self, issuer: &TokenIssuer, roles: &[&str]) -> IssuerSettings {
        IssuerSettings {
            issuer: issuer.issuer().to_owned(),
            audience: AUDIENCE.to_owned(),
            jwks: Some(issuer.jwks()),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..IssuerSettings::default()
        }
    }

    /// A token good for ten minutes of the bench's clock.
    pub fn token(&self, claims: &Claims) -> BearerToken {
        self.people.mint(claims, Duration::from_secs(600), &self.clock).unwrap()
    }

    /// A request of the bearer of `claims`.
    pub fn request<M>(&self, claims: &Claims, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", bearer(&self.token(claims)).unwrap());
        request
    }

    /// A request that the service called `name` makes on behalf of the bearer of `claims`, or of nobody.
    pub fn service_request<M>(&self, name: &str, claims: Option<&Claims>, message: M) -> Request<M> {
        let own = Claims::new(name, api::common::v1::Role::Service);
        let own = self.services.mint(&own, Duration::from_secs(60), &self.clock).unwrap();
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", bearer(&own).unwrap());
        if let Some(claims) = claims {
            let token = MetadataValue::try_from(self.token(claims).reveal()).unwrap();
            request.metadata_mut().insert(serve::ON_BEHALF_OF, token);
        }
        request
    }

    /// How tokens name their issuer: with a subject, what the consent service knows a representative by.
    pub fn people_issuer(&self) -> &str {
        PEOPLE
    }

    /// A fresh `request_id`.
    pub fn request_id(&self) -> String {
        self.random.uuid().to_string()
    }
}

/// Runs promises of services on both engines: `on_both_engines! { a, b }` over `async fn a(bench: Bench)` makes the
/// tests `a::sqlite` and `a::postgres`.
#[macro_export]
macro_rules! on_both_engines {
    ($($promise:ident),+ $(,)?) => {
        $(mod $promise {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                if let Some(bench) = $crate::Bench::new($crate::Engine::Sqlite) {
                    super::$promise(bench).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                if let Some(bench) = $crate::Bench::new($crate::Engine::Postgres) {
                    super::$promise(bench).await;
                }
            }
        })+
    };
}
