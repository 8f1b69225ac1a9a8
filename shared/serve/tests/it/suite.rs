//! Running probes, and tokens for them.

use api::common::v1 as pb;
use api::common::v1::{Reason, Role};
use serve::config::{Common, Identity, IssuerSettings, Limits, Settings};
use serve::{Claims, Failure, InProcess, Running, TokenIssuer, bearer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::random::Random;
use store::time::{Clock, ManualClock, Timestamp};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::probe::{Gate, Probe, ProbeConfig};

pub(crate) const PEOPLE: &str = "https://people.test";
pub(crate) const SERVICES: &str = "https://services.test";
pub(crate) const AUDIENCE: &str = "dmp";
/// Identifiers that must never show in telemetry.
pub(crate) const PROFESSIONAL: &str = "810002909371";
pub(crate) const SUBJECT: &str = "f7c1e2b0-camille-durand";
pub(crate) const DMP_ID: &str = "12345678901234567868";

/// What every probe of a test shares.
pub(crate) struct Suite {
    pub(crate) clock: Clock,
    pub(crate) manual: ManualClock,
    pub(crate) people: TokenIssuer,
    pub(crate) people_key: String,
    pub(crate) services: TokenIssuer,
    pub(crate) folder: TempDir,
    /// Whether its probes call each other as services of one process do.
    pub(crate) in_process: Option<InProcess>,
}

/// A probe that runs.
pub(crate) struct Process {
    pub(crate) running: Running,
    pub(crate) gate: Arc<Gate>,
}

impl Suite {
    pub(crate) fn new() -> Self {
        crate::observation::watch_everything();
        let start: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let (clock, manual) = Clock::manual(start);
        let folder = TempDir::new().unwrap();
        let people_key = TokenIssuer::generate_key(&Random::seeded(1)).unwrap().to_string();
        let services_key = TokenIssuer::generate_key(&Random::seeded(2)).unwrap();
        std::fs::write(folder.path().join("service.pem"), services_key.as_bytes()).unwrap();
        let people = TokenIssuer::new(PEOPLE, AUDIENCE, people_key.as_bytes()).unwrap();
        let services = TokenIssuer::new(SERVICES, AUDIENCE, services_key.as_bytes()).unwrap();
        Self {
            clock,
            manual,
            people,
            people_key,
            services,
            folder,
            in_process: None,
        }
    }

    /// One whose probes call each other without a network.
    pub(crate) fn of_one_process() -> Self {
        Self {
            in_process: Some(InProcess::default()),
            ..Self::new()
        }
    }

    /// One of each kind: what holds of calls to peers holds whichever way they go.
    pub(crate) fn of_both_kinds() -> [Self; 2] {
        [Self::new(), Self::of_one_process()]
    }

    pub(crate) fn settings(
        &self,
        limits: Limits,
        peers: BTreeMap<String, String>,
    ) -> (Settings<ProbeConfig>, Arc<Gate>) {
        let (id, gate) = Gate::register();
        let issuer = |issuer: &TokenIssuer, roles: &[&str]| IssuerSettings {
            issuer: issuer.issuer().to_owned(),
            audience: AUDIENCE.to_owned(),
            jwks: Some(issuer.jwks()),
            jwks_file: None,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        let mut common = Common {
            reflection: true,
            issuers: vec![
                issuer(&self.people, &["HOLDER", "PROFESSIONAL", "ADMINISTRATOR"]),
                issuer(&self.services, &["SERVICE"]),
            ],
            identity: Some(Identity {
                issuer: SERVICES.to_owned(),
                audience: AUDIENCE.to_owned(),
                key: self.folder.path().join("service.pem"),
            }),
            peers,
            limits,
            in_process: self.in_process.clone().unwrap_or_default(),
            ..Common::default()
        };
        common.database.url = format!("sqlite://{}/probe-{id}.db", self.folder.path().display()).into();
        (
            Settings {
                common,
                service: ProbeConfig { gate: id, share: 1 },
            },
            gate,
        )
    }

    pub(crate) async fn start(&self) -> Process {
        self.start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(&self, limits: Limits) -> Process {
        self.start_settings(self.settings(limits, BTreeMap::new())).await
    }

    /// A probe whose peer `other` is at `url`.
    pub(crate) async fn start_before(&self, url: &str) -> Process {
        let peers = BTreeMap::from([("other".to_owned(), url.to_owned())]);
        self.start_settings(self.settings(Limits::default(), peers)).await
    }

    pub(crate) async fn start_settings(&self, (settings, gate): (Settings<ProbeConfig>, Arc<Gate>)) -> Process {
        let random = Random::seeded(3);
        let running = serve::start::<Probe>(settings, self.clock.clone(), random)
            .await
            .unwrap();
        Process { running, gate }
    }

    pub(crate) fn professional(&self) -> Claims {
        let mut claims = Claims::new(SUBJECT, Role::Professional);
        claims.professional = PROFESSIONAL.to_owned();
        claims.profession = "10^1.2.250.1.213.1.1.5.5".into();
        claims.amr = "CARD".into();
        claims
    }

    pub(crate) fn token(&self, claims: &Claims) -> String {
        let token = self.people.mint(claims, Duration::from_secs(600), &self.clock).unwrap();
        token.reveal().to_owned()
    }

    pub(crate) fn service_token(&self, name: &str) -> String {
        let claims = Claims::new(name, Role::Service);
        self.services
            .mint(&claims, Duration::from_secs(300), &self.clock)
            .unwrap()
            .reveal()
            .to_owned()
    }

    /// A request of a physician.
    pub(crate) fn request(&self) -> Request<pb::Actor> {
        with_token(&self.token(&self.professional()))
    }
}

impl Process {
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(self.running.url()).unwrap().connect_lazy()
    }
}

pub(crate) fn with_token(token: &str) -> Request<pb::Actor> {
    with_metadata(&[("authorization", &format!("Bearer {token}"))])
}

pub(crate) fn with_metadata(metadata: &[(&'static str, &str)]) -> Request<pb::Actor> {
    let mut request = Request::new(pb::Actor::default());
    for (key, value) in metadata {
        request.metadata_mut().append(*key, value.parse().unwrap());
    }
    request
}

/// What a refusal says, for programs.
#[track_caller]
pub(crate) fn refusal(status: &Status) -> (Code, Reason) {
    let failure = Failure::of_ours(status).unwrap_or_else(|| panic!("a status without a reason: {status:?}"));
    (status.code(), failure.reason)
}

#[track_caller]
pub(crate) fn detail(status: &Status, key: &str) -> String {
    Failure::of_ours(status)
        .unwrap()
        .metadata
        .get(key)
        .cloned()
        .unwrap_or_default()
}

#[test]
fn tokens_are_sent_as_sensitive_metadata() {
    let suite = Suite::new();
    let token = suite
        .people
        .mint(&suite.professional(), Duration::from_secs(60), &suite.clock)
        .unwrap();
    let value = bearer(&token).unwrap();
    assert!(value.is_sensitive());
    assert!(!format!("{value:?} {token:?}").contains(token.reveal()));
}
