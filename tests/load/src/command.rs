//! The operator's command line: `dmp load …`.

use clap::{Args, Subcommand};
use journal::VerifierKey;
use serve::TokenIssuer;
use serve::tls::Client as Tls;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::random::Random;
use store::time::Clock;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use crate::export::export;
use crate::floor::echo::Serving;
use crate::operation::Operation;
use crate::population::Population;
use crate::ratios::{Measure, measure};
use crate::report::Report;
use crate::run::{Play, run};
use crate::scenario::Scenario;
use crate::target::{Clients, Endpoints, Target};
use crate::usage::Watched;
use crate::{LoadError, ledger, sink};

/// Lines told of each thing that is wrong; the rest is counted.
const TOLD_MAX: usize = 20;

/// What `dmp load` can do.
#[derive(Debug, Subcommand)]
pub enum Load {
    /// Play a scenario: calls that arrive whatever the services answer, and a report
    Run(Run),
    /// Write requests about the scenario's population as files for ghz, k6 and h2load
    Export(Export),
    /// Compare each kind of call to its floors, in turn: a bare gRPC call, and its SQL statements alone
    Ratios(Compare),
    /// Take telemetry (OTLP over gRPC) and throw it away, for a suite whose telemetry is to cost what it costs, until
    /// SIGTERM or SIGINT
    Sink(Sink),
    /// Serve E, the bare call that others are compared to, until the input ends
    #[command(hide = true)]
    Echo(Echo),
    /// Read back everything that a ledger says was acknowledged, and verify its dossiers' journals; fails when something is
    /// lost, unclear or late
    Check(Check),
}

/// Where the services answer, and how they are recognised.
#[derive(Debug, Args)]
pub struct Reach {
    /// Address of a service instead of the one in the folder's endpoints.toml, as consent=https://127.0.0.1:7002
    #[arg(long = "endpoint", value_parser = endpoint, value_name = "SERVICE=URL")]
    endpoints: Vec<(String, String)>,
    /// Authorities (PEM) that vouch for the services' certificates, for https:// addresses; by default the folder's
    #[arg(long, requires = "trust_domain")]
    trust: Option<PathBuf>,
    /// The trust domain in the services' certificates
    #[arg(long, requires = "trust")]
    trust_domain: Option<String>,
}

/// `dmp load run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The scenario (TOML); without one, a small one of a minute
    scenario: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    /// Client processes that share the load
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    processes: u16,
    /// Enter each acknowledged write into this file, and repeat refused ones until they are acknowledged
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Go on at the last rate until SIGTERM or SIGINT
    #[arg(long)]
    until_signal: bool,
    /// A process to look at, as consent=4711; by default the suite that runs on the folder
    #[arg(long = "pid", value_parser = Watched::parse, value_name = "NAME=PID")]
    pids: Vec<Watched>,
    /// Write the report as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the report as one page with plots
    #[arg(long)]
    html: Option<PathBuf>,
    /// Say nothing while it runs
    #[arg(long)]
    quiet: bool,
    /// Which client process this is; given by the first to the others
    #[arg(long, hide = true, value_parser = share, default_value = "0/1")]
    share: (usize, usize),
}

/// `dmp load export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Where to write; one token is among it
    folder: PathBuf,
    /// The scenario (TOML); without one, the small one
    #[arg(long)]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

/// `dmp load ratios`.
#[derive(Debug, Args)]
pub struct Compare {
    #[command(flatten)]
    reach: Reach,
    /// Calls under way at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    callers: u16,
    /// Connections to each service
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,
    /// Rounds, of which the median is told
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Milliseconds that each contender has in each round
    #[arg(long, default_value_t = 700, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    slot_ms: u64,
    /// Documents in each of the 64 dossiers
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    documents: u16,
    /// Only these kinds of calls, as resolve,list, and beside E alone, as fast as they are answered
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    only: Option<Vec<Operation>>,
    /// Let E be called in the clear also where the suite is called over TLS, which so shows in the ratios
    #[arg(long)]
    clear_echo: bool,
    /// For a suite on PostgreSQL: a database on the same server for the statements alone; its schemas load_… are made anew
    #[arg(long, value_name = "URL")]
    floor_database: Option<String>,
    /// Write the ratios as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the ratios as one page with plots
    #[arg(long)]
    html: Option<PathBuf>,
}

/// `dmp load sink`.
#[derive(Debug, Args)]
pub struct Sink {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:4317")]
    listen: SocketAddr,
}

/// `dmp load echo`: started by `dmp load ratios`.
#[derive(Debug, Args)]
pub struct Echo {
    /// Over TLS, with a certificate made for it
    #[arg(long)]
    tls: bool,
}

/// `dmp load check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The file that `dmp load run --ledger` wrote; its report is beside it
    #[arg(long)]
    ledger: PathBuf,
    #[command(flatten)]
    reach: Reach,
}

fn endpoint(text: &str) -> Result<(String, String), String> {
    let (service, url) = text.split_once('=').ok_or("must be SERVICE=URL")?;
    Ok((service.to_owned(), url.to_owned()))
}

fn kind(text: &str) -> Result<Operation, String> {
    Operation::named(text).ok_or_else(|| "there is no such kind of call".to_owned())
}

fn share(text: &str) -> Result<(usize, usize), String> {
    let parts = text
        .split_once('/')
        .and_then(|(own, all)| Some((own.parse().ok()?, all.parse().ok()?)));
    parts
        .filter(|(own, all)| own < all)
        .ok_or_else(|| "must be I/N".to_owned())
}

/// A suite's folder, as the command line knows it.
#[derive(Clone)]
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// Where its suite answered when it last started.
    pub endpoints: Option<Endpoints>,
    /// Who vouches for its services' certificates (a file of PEM), and in which trust domain; `None` without TLS.
    pub trust: Option<(PathBuf, String)>,
    /// Mints its tokens.
    pub issuer: TokenIssuer,
    /// The public key of its dossiers' journal, as a file.
    pub dossier_log: PathBuf,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Folder({})", self.path.display())
    }
}

impl Load {
    /// Does it. Answers whether all was as it must be.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot be done.
    pub async fn execute(self, folder: Folder) -> Result<bool, LoadError> {
        match self {
            Self::Run(asked) => asked.execute(folder).await,
            Self::Export(asked) => {
                let scenario = Scenario::load(asked.scenario.as_deref())?;
                export(&asked.reach.target(folder)?, &scenario, &asked.folder).await?;
                Ok(true)
            }
            Self::Ratios(asked) => asked.execute(folder).await,
            Self::Sink(asked) => asked.execute().await,
            Self::Echo(asked) => asked.execute().await,
            Self::Check(asked) => asked.execute(folder).await,
        }
    }
}

impl Reach {
    fn target(&self, folder: Folder) -> Result<Target, LoadError> {
        let mut endpoints = folder.endpoints.unwrap_or_else(|| Endpoints {
            identifier: String::new(),
            consent: String::new(),
            dossier: String::new(),
            messaging: String::new(),
        });
        for (service, url) in &self.endpoints {
            let place = match service.as_str() {
                "identifier" => &mut endpoints.identifier,
                "consent" => &mut endpoints.consent,
                "dossier" => &mut endpoints.dossier,
                "messaging" => &mut endpoints.messaging,
                _ => return Err(LoadError::Service(service.clone())),
            };
            place.clone_from(url);
        }
        let clock = Clock::system();
        let given = self.trust.clone().zip(self.trust_domain.clone());
        let tls = match given.or(folder.trust) {
            Some((trust, domain)) => Some(tls(&trust, &domain, clock.clone())?),
            None => None,
        };
        Ok(Target {
            endpoints,
            tls,
            issuer: folder.issuer,
            clock,
            random: Random::system(),
            folder: folder.path,
        })
    }
}

fn tls(trust: &Path, domain: &str, clock: Clock) -> Result<Tls, LoadError> {
    let authorities = std::fs::read(trust).map_err(|source| LoadError::file(trust, source))?;
    Tls::new(&authorities, domain, clock).map_err(|error| LoadError::Trust(error.to_string()))
}

impl Run {
    async fn execute(self, folder: Folder) -> Result<bool, LoadError> {
        let scenario = Scenario::load(self.scenario.as_deref())?;
        let target = self.reach.target(folder)?;
        let report = if self.processes > 1 {
            self.several(&target, scenario).await?
        } else {
            run(&target, scenario, self.play(&target, self.share), self.stop_requested()).await?
        };
        if let Some(path) = &self.json {
            write(path, &json(&report)?)?;
        }
        if let Some(path) = &self.html {
            write(path, &report.page())?;
        }
        if let (Some(ledger), 0) = (&self.ledger, self.share.0) {
            write(&beside(ledger), &json(&report)?)?;
        }
        if self.share.0 == 0 {
            say(&report.text());
        }
        Ok(true)
    }

    fn play(&self, target: &Target, share: (usize, usize)) -> Play {
        let watched = if self.pids.is_empty() {
            Watched::of_folder(&target.folder).into_iter().collect()
        } else {
            self.pids.clone()
        };
        Play {
            ledger: self.ledger.clone(),
            share,
            watched,
            progress: !self.quiet,
            endless: self.until_signal,
        }
    }

    /// Settles the population, then plays in several processes: this one is the first, and adds up what the others say.
    async fn several(&self, target: &Target, scenario: Scenario) -> Result<Report, LoadError> {
        let shares = usize::from(self.processes);
        let reports = tempfile::tempdir().map_err(|source| LoadError::file(Path::new("."), source))?;
        let clients = Clients::new(target, scenario.connections, scenario.deadline())?;
        // Once and before the others look for it.
        Population::settle(target, &clients, &scenario, (0, shares)).await?;
        let report_of = |share: usize| reports.path().join(format!("{share}.json"));
        let others = (1..shares).map(|share| self.start(share, &report_of(share)));
        let mut others = others.collect::<Result<Vec<Child>, _>>()?;
        let leashes: Vec<_> = others.iter_mut().filter_map(|other| other.stdin.take()).collect();
        let leashes = Mutex::new(leashes);
        let let_go = || leashes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let stop = async {
            stop_requested().await;
            let_go();
        };
        let mut report = run(target, scenario, self.play(target, (0, shares)), stop).await?;
        for (mut other, share) in others.into_iter().zip(1..) {
            let ended = other
                .wait()
                .await
                .map_err(|source| LoadError::file(Path::new("load"), source))?;
            if !ended.success() {
                return Err(LoadError::Panicked);
            }
            let path = report_of(share);
            let text = std::fs::read_to_string(&path).map_err(|source| LoadError::file(&path, source))?;
            report.add(&serde_json::from_str(&text).map_err(|error| LoadError::Report(error.to_string()))?);
        }
        Ok(report)
    }

    /// Completes when a signal asks for it, or, in a process that was started by another, when that one lets it go or ends.
    async fn stop_requested(&self) {
        if self.share.0 == 0 {
            return stop_requested().await;
        }
        tokio::select! {
            () = stop_requested() => {}
            () = input_ended() => {}
        }
    }

    /// Starts another client process, told what this one was told. It runs until it is done or its input ends.
    fn start(&self, share: usize, report: &Path) -> Result<Child, LoadError> {
        let failed = |source| LoadError::file(Path::new("load"), source);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command
            .args(without_processes(std::env::args_os().skip(1)))
            .args([
                "--share".to_owned(),
                format!("{share}/{}", self.processes),
                "--quiet".to_owned(),
            ])
            .arg("--json")
            .arg(report)
            .stdin(Stdio::piped())
            .kill_on_drop(true);
        command.spawn().map_err(failed)
    }
}

/// The arguments but `--processes`, `--json`, `--html` and what belongs to them, and `--quiet`.
fn without_processes(arguments: impl Iterator<Item = std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let mut kept = Vec::new();
    let mut skip = false;
    for argument in arguments {
        let text = argument.to_string_lossy();
        let belongs = std::mem::take(&mut skip);
        skip = matches!(text.as_ref(), "--processes" | "--json" | "--html");
        let joined = ["--processes=", "--json=", "--html="]
            .iter()
            .any(|name| text.starts_with(name));
        if !(belongs || skip || joined || text == "--quiet") {
            kept.push(argument);
        }
    }
    kept
}

impl Compare {
    async fn execute(self, folder: Folder) -> Result<bool, LoadError> {
        let target = self.reach.target(folder)?;
        let asked = Measure {
            callers: self.callers.into(),
            connections: self.connections.into(),
            rounds: self.rounds.into(),
            slot: Duration::from_millis(self.slot_ms),
            documents: self.documents.into(),
            calls: self.only,
            clear_echo: self.clear_echo,
            echo_apart: true,
            floor_database: self.floor_database,
            ..Measure::default()
        };
        let ratios = measure(&target, &asked).await?;
        if let Some(path) = &self.json {
            write(path, &json(&ratios)?)?;
        }
        if let Some(path) = &self.html {
            write(path, &ratios.page())?;
        }
        say(&ratios.text());
        Ok(true)
    }
}

impl Sink {
    async fn execute(self) -> Result<bool, LoadError> {
        let sink = sink::start(self.listen).await?;
        // For whoever waits for it.
        say(&format!("taking telemetry on http://{}\n", sink.address));
        stop_requested().await;
        say(&format!("taken: {} calls, {} bytes\n", sink.calls(), sink.bytes()));
        Ok(true)
    }
}

impl Echo {
    async fn execute(self) -> Result<bool, LoadError> {
        let serving = Serving::start(self.tls.then(Clock::system)).await?;
        say(&format!("{}\n", json(&serving.place)?));
        input_ended().await;
        Ok(true)
    }
}

impl Check {
    async fn execute(self, folder: Folder) -> Result<bool, LoadError> {
        let key = verifier(&folder.dossier_log)?;
        let target = self.reach.target(folder)?;
        let found = ledger::check(&self.ledger, &target, &key).await?;
        let report = match std::fs::read_to_string(beside(&self.ledger)) {
            Ok(text) => {
                Some(serde_json::from_str::<Report>(&text).map_err(|error| LoadError::Report(error.to_string()))?)
            }
            // A load that was killed wrote none; what it acknowledged is in the ledger all the same.
            Err(_) => None,
        };
        for (kind, count) in &found.entries {
            say(&format!("acknowledged: {count} {kind}\n"));
        }
        for (heading, lines) in [
            ("LOST", &found.lost),
            ("NOT ANSWERED", &found.unanswered),
            ("NOT PROVED", &found.unproved),
        ] {
            let told = lines.iter().take(TOLD_MAX);
            told.for_each(|line| say(&format!("{heading} {line}\n")));
        }
        let calls_well = report.as_ref().is_none_or(tell_calls);
        let (lost, unanswered, unproved) = (found.lost.len(), found.unanswered.len(), found.unproved.len());
        say(&format!(
            "journals proved complete: {}, not: {unproved}; lost: {lost}, not answered: {unanswered}\n",
            found.proved
        ));
        Ok(calls_well && lost + unanswered + unproved == 0 && !found.entries.is_empty())
    }
}

/// Tells how the calls of a load ended, and whether all of them ended clearly and in time.
fn tell_calls(report: &Report) -> bool {
    let refused = report.refused();
    for (ending, count) in &refused {
        say(&format!("refused: {count} {ending}\n"));
    }
    let (unclear, late) = (report.unclear(), report.outlived());
    say(&format!(
        "requests: {}, refused: {}, unclear: {unclear}, late: {late}\n",
        report.tries(),
        refused.values().sum::<u64>()
    ));
    unclear + late == 0
}

/// The public key of a journal.
fn verifier(path: &Path) -> Result<VerifierKey, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::file(path, source))?;
    VerifierKey::parse(text.trim_end()).map_err(|error| LoadError::Key {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

/// The report of a load that kept a ledger.
fn beside(ledger: &Path) -> PathBuf {
    ledger.with_added_extension("json")
}

fn json(report: &impl serde::Serialize) -> Result<String, LoadError> {
    serde_json::to_string(report).map_err(|error| LoadError::Report(error.to_string()))
}

fn write(path: &Path, text: &str) -> Result<(), LoadError> {
    std::fs::write(path, text).map_err(|source| LoadError::file(path, source))
}

fn say(text: &str) {
    // Whoever has closed the pipe wants to read no more.
    let _closed = std::io::stdout().write_all(text.as_bytes());
}

/// Completes when whoever started this process lets it go, or ends.
async fn input_ended() {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let _end = std::io::stdin().read(&mut [0]);
        ended.send(())
    });
    let _either = end.await;
}

async fn stop_requested() {
    if serve::stop_requested().await.is_err() {
        // Signals cannot be listened for: the load ends by itself, or is killed.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_told_the_same_but_for_its_share() {
        let given = [
            "load",
            "run",
            "a.toml",
            "--processes",
            "3",
            "--json=x",
            "--quiet",
            "--html",
            "y",
            "--until-signal",
        ];
        let kept = without_processes(given.iter().map(Into::into));
        assert_eq!(kept, ["load", "run", "a.toml", "--until-signal"]);
        assert_eq!(share("1/2"), Ok((1, 2)));
        assert!(share("2/2").is_err() && share("x").is_err());
    }
}
