//! The services apart: a process each, with its own configuration, as in production.

use dmp::endpoints::Endpoints;
use dmp::home::Home;
use dmp::suite::{Layout, Plan, SERVICES};
use journeys::Clients;
use serve::InProcess;
use serve::config::Settings;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use store::random::Random;
use store::time::Clock;

use crate::authority::{Authority, DOMAIN};
use crate::process::dmp;
use crate::proxy::Proxy;

/// Four processes. The dossier service reaches the consent service through [`Apart::between`].
pub(crate) struct Apart {
    pub(crate) folder: PathBuf,
    children: BTreeMap<&'static str, Child>,
    pub(crate) clients: Clients,
    /// What lies between the dossier service and the consent service.
    pub(crate) between: Proxy,
}

impl Apart {
    pub(crate) async fn start(folder: &Path, databases: BTreeMap<String, String>) -> Self {
        Self::start_with(folder, databases, None).await
    }

    /// As [`Apart::start`], each with a certificate of its own.
    pub(crate) async fn start_secure(folder: &Path, authority: &Authority) -> Self {
        Self::start_with(folder, BTreeMap::new(), Some(authority)).await
    }

    async fn start_with(folder: &Path, databases: BTreeMap<String, String>, authority: Option<&Authority>) -> Self {
        let (clock, random) = (Clock::system(), Random::system());
        let home = Home::open(folder, &random).unwrap();
        let addresses = free_addresses();
        let between = Proxy::start(addresses["consent"]).await;
        let plan = Plan {
            databases,
            ..Plan::default()
        };
        let layout = |consent: SocketAddr| Layout {
            in_process: InProcess::default(),
            home: &home,
            plan: &plan,
            endpoints: endpoints(&addresses, consent, authority),
        };
        let (direct, slowed) = (layout(addresses["consent"]), layout(between.address));
        let files = Files {
            folder,
            addresses: &addresses,
            authority,
        };
        let mut dossier = slowed.dossier("").unwrap();
        dossier.service.host_id_file = Some(folder.join("host_id"));
        files.write::<identifier::Identifier>(direct.identifier().unwrap());
        files.write::<consent::Consent>(direct.consent().unwrap());
        files.write::<dossier::Dossier>(dossier);
        files.write::<messaging::Messaging>(direct.messaging().unwrap());
        home.write_endpoints(&direct.endpoints).unwrap();
        let mut apart = Self {
            folder: folder.to_owned(),
            children: BTreeMap::new(),
            clients: Clients::new(&direct.endpoints, &home, clock, random),
            between,
        };
        apart.run("identifier");
        apart.register_host();
        for name in ["consent", "dossier", "messaging"] {
            apart.run(name);
        }
        apart
    }

    /// Registers the dossier service's host, as the operator does; answers its UUID.
    pub(crate) fn register_host(&self) -> String {
        let mut command = dmp();
        command.arg("--data").arg(&self.folder).arg("host").arg("--out");
        command.arg(self.folder.join("host_id"));
        command.args(["--structure-id", "1750000010", "--name", "Here", "--decision", "a test"]);
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
        std::fs::read_to_string(self.folder.join("host_id")).unwrap()
    }

    /// What `dmp health` of a service's configuration says.
    pub(crate) fn health(&self, name: &str, config: &str) -> Output {
        let config = self.folder.join(format!("{config}.toml"));
        dmp().args(["health", name, "--config"]).arg(config).output().unwrap()
    }

    /// What a command of the operator says, on this suite's folder.
    pub(crate) fn dmp(&self, arguments: &[&str]) -> Output {
        let mut command = dmp();
        command.arg("--data").arg(&self.folder).args(arguments);
        // What lies between the services runs on this thread's runtime.
        tokio::task::block_in_place(|| command.output()).unwrap()
    }

    /// The number of a service's process.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.children[name].id()
    }

    /// Stops a service as a power cut would.
    pub(crate) fn stop(&mut self, name: &'static str) {
        let mut child = self.children.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Kills a service as a power cut would, and starts it again.
    pub(crate) fn kill(&mut self, name: &'static str) {
        self.stop(name);
        self.run(name);
    }

    /// Starts a service and waits until it says that it serves.
    fn run(&mut self, name: &'static str) {
        let config = self.folder.join(format!("{name}.toml"));
        let mut command = dmp();
        command.args(["serve", name, "--config"]).arg(config);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let says_so = lines.map_while(Result::ok).any(|line| line.contains("serving"));
        assert!(says_so, "{name} did not start");
        self.children.insert(name, child);
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        for child in self.children.values_mut() {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// An address for each service, which it can have again after it was killed.
fn free_addresses() -> BTreeMap<&'static str, SocketAddr> {
    let taken: Vec<TcpListener> = SERVICES
        .iter()
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
        .collect();
    let addresses = taken.iter().map(|listener| listener.local_addr().unwrap());
    SERVICES.into_iter().zip(addresses).collect()
}

fn endpoints(
    addresses: &BTreeMap<&'static str, SocketAddr>,
    consent: SocketAddr,
    authority: Option<&Authority>,
) -> Endpoints {
    let scheme = authority.map_or("http", |_| "https");
    let url = |address: SocketAddr| format!("{scheme}://{address}");
    Endpoints {
        identifier: url(addresses["identifier"]),
        consent: url(consent),
        dossier: url(addresses["dossier"]),
        messaging: url(addresses["messaging"]),
        trust: authority.map(Authority::trust),
        trust_domain: authority.map(|_| DOMAIN.to_owned()),
    }
}

/// The services' configurations, as files.
struct Files<'a> {
    folder: &'a Path,
    addresses: &'a BTreeMap<&'static str, SocketAddr>,
    authority: Option<&'a Authority>,
}

impl Files<'_> {
    fn write<S: serve::Service>(&self, mut settings: Settings<S::Config>) {
        settings.common.listen = self.addresses[S::NAME];
        settings.common.tls = self.authority.map(|authority| authority.tls(S::NAME));
        let path = self.folder.join(format!("{}.toml", S::NAME));
        std::fs::write(path, settings.render(S::NAME).unwrap()).unwrap();
    }
}
