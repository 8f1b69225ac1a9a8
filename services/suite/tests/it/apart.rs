//! The services apart: a process each, with its own configuration, as in production.

use dmp::home::Home;
use dmp::suite::{Endpoints, Layout, Plan, SERVICES};
use journeys::Clients;
use serve::config::Settings;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use store::random::Random;
use store::time::Clock;

use crate::process::dmp;
use crate::proxy::Proxy;

/// Four processes. The dossier service reaches the consent service through [`Apart::between`].
pub(crate) struct Apart {
    folder: PathBuf,
    children: BTreeMap<&'static str, Child>,
    pub(crate) clients: Clients,
    /// What lies between the dossier service and the consent service.
    pub(crate) between: Proxy,
}

impl Apart {
    pub(crate) async fn start(folder: &Path, databases: BTreeMap<String, String>) -> Self {
        let (clock, random) = (Clock::system(), Random::system());
        let home = Home::open(folder, &random).unwrap();
        let addresses = free_addresses();
        let between = Proxy::start(addresses["consent"]).await;
        let plan = Plan {
            databases,
            ..Plan::default()
        };
        let layout = |consent: SocketAddr| Layout {
            home: &home,
            plan: &plan,
            endpoints: endpoints(&addresses, consent),
        };
        let (direct, slowed) = (layout(addresses["consent"]), layout(between.address));
        let write = |name: &str, settings: String| {
            std::fs::write(folder.join(format!("{name}.toml")), settings).unwrap();
        };
        write(
            "identifier",
            rendered::<identifier::Identifier>(&addresses, direct.identifier().unwrap()),
        );
        write(
            "consent",
            rendered::<consent::Consent>(&addresses, direct.consent().unwrap()),
        );
        write(
            "messaging",
            rendered::<messaging::Messaging>(&addresses, direct.messaging().unwrap()),
        );
        let mut apart = Self {
            folder: folder.to_owned(),
            children: BTreeMap::new(),
            clients: Clients::new(&direct.endpoints, &home, clock.clone(), random.clone()),
            between,
        };
        apart.run("identifier");
        let host_id = direct.local_host(&clock, &random).await.unwrap();
        write(
            "dossier",
            rendered::<dossier::Dossier>(&addresses, slowed.dossier(&host_id).unwrap()),
        );
        for name in ["consent", "dossier", "messaging"] {
            apart.run(name);
        }
        apart
    }

    /// Kills a service as a power cut would, and starts it again.
    pub(crate) fn kill(&mut self, name: &'static str) {
        let mut child = self.children.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
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

fn endpoints(addresses: &BTreeMap<&'static str, SocketAddr>, consent: SocketAddr) -> Endpoints {
    let url = |address: SocketAddr| format!("http://{address}");
    Endpoints {
        identifier: url(addresses["identifier"]),
        consent: url(consent),
        dossier: url(addresses["dossier"]),
        messaging: url(addresses["messaging"]),
    }
}

fn rendered<S: serve::Service>(
    addresses: &BTreeMap<&'static str, SocketAddr>,
    mut settings: Settings<S::Config>,
) -> String {
    settings.common.listen = addresses[S::NAME];
    settings.render(S::NAME).unwrap()
}
