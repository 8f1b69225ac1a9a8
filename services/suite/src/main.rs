//! `dmp`: the suite's command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use dmp::endpoints::Endpoints;
use dmp::home::{self, Home};
use dmp::register::{Host, Register};
use dmp::suite::{Plan, Suite};
use dmp::tour::{SourceDocument, Visit};
use dmp::{health, matrix, rules, status, tour, verify};
use journal::VerifierKey;
use load::Load;
use serve::config::{Common, ConfigError, Settings, TelemetrySettings};
use serve::{Claims, telemetry, without};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use store::random::Random;
use store::time::Clock;

/// The dossier médical partagé of article L1111-14: four gRPC services, and what an operator needs around them.
#[derive(Debug, Parser)]
#[command(version = VERSION, about, max_term_width = 110)]
struct CommandLine {
    /// Folder of keys and databases; made when it is not there
    #[arg(long, default_value = "data", global = true)]
    data: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: Up,
}

/// The version, and of a build for measuring that it is one.
const VERSION: &str = if without::POSSIBLE {
    concat!(env!("CARGO_PKG_VERSION"), " without-guarantees: NOT FOR PRODUCTION")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Home, and nothing on the screen (ECMA-48).
const CLEAR_SCREEN: &[u8] = b"\x1b[H\x1b[2J";

/// How often `dmp status --watch` asks.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the four services on loopback ports, with keys and databases in a folder (the default)
    Up(Up),
    /// Print an access token for the suite of a folder
    Token(Token),
    /// Play the article, sentence by sentence, through real clients, on a suite of its own
    Tour(Tour),
    /// Check offline what a journal claims: a history, the receipts that somebody kept; or a consent's receipt
    Verify(Verify),
    /// Print the rules of access: effect, name, article, and what each says
    Rules,
    /// See what a version of the habilitation matrix changes, before it is published
    #[command(subcommand)]
    Matrix(Matrix),
    /// Put the suite that runs on the folder under load, and say what it bears
    #[command(subcommand)]
    Load(Load),
    /// Show at a glance how the suite of a folder is: services, databases, feeds, journals, certificates. Fails when
    /// something is not healthy
    Status(Status),
    /// Run one service with its own configuration, as in production
    Serve(Serve),
    /// Ask whether the service of a configuration serves on this machine; ends with 0 only then
    Health(Service),
    /// Register a host of dossiers and accredit it, or find it, and write its UUID into a file (dossier.host_id_file)
    Host(RegisterHost),
    /// Make the keys that a folder lacks, and write the public ones that services verify tokens with
    Keys(Keys),
}

#[derive(Debug, Args)]
struct Up {
    /// Port of the identifier service; consent, dossier and messaging follow
    #[arg(long, default_value_t = 7001)]
    base_port: u16,
    /// Database of a service instead of the embedded one, as consent=postgres://user:password@host/database
    #[arg(long = "database", value_parser = database, value_name = "SERVICE=URL")]
    databases: Vec<(String, String)>,
    /// Refuse test and demonstration identities (OIDs .10 and .11), as production does
    #[arg(long)]
    real_identities_only: bool,
    /// Refuse wrong check digits of professionals and structures too
    #[arg(long)]
    strict: bool,
    /// An OTLP/gRPC collector for traces, metrics and logs, as http://127.0.0.1:4317
    #[arg(long)]
    otlp: Option<String>,
}

#[derive(Debug, Args)]
struct Token {
    /// What the bearer is
    #[arg(long = "as", value_name = "ROLE")]
    role: Role,
    /// Who the bearer is, to its issuer; any text that means the same person every time
    #[arg(long)]
    subject: Option<String>,
    /// A holder's own identifier
    #[arg(long, required_if_eq("role", "holder"))]
    dmp_id: Option<String>,
    /// Ps_idNat of a professional
    #[arg(long, required_if_eq("role", "professional"))]
    professional_id: Option<String>,
    /// Profession code (TRE_G15)
    #[arg(long, default_value = "10")]
    profession: String,
    /// Specialty code (TRE_R38)
    #[arg(long)]
    specialty: Option<String>,
    /// Struct_idNat of the structure in which the bearer acts
    #[arg(long)]
    structure_id: Option<String>,
    /// With the personal card, which break-glass demands
    #[arg(long)]
    card: bool,
    /// For how long, in seconds; the suite takes at most 3600
    #[arg(long, default_value_t = 3600)]
    lifetime: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Holder,
    Representative,
    Professional,
    EstablishmentSystem,
    Administrator,
    Auditor,
    ExcludedParty,
}

#[derive(Debug, Args)]
struct Tour {
    /// Documents to deposit; without any, the small ones that the tour carries
    files: Vec<PathBuf>,
    /// What a wrong check digit of a matricule or of a professional means; without it, matricules are checked strictly
    /// and professionals leniently, as published documents ask for
    #[arg(long)]
    checks: Option<Strictness>,
    /// Play on the suite that runs on the folder given with --data, instead of on one of its own
    #[arg(long)]
    running: bool,
    /// Database of a service of its own suite, as consent=postgres://user:password@host/database
    #[arg(long = "database", value_parser = database, value_name = "SERVICE=URL")]
    databases: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Strictness {
    Strict,
    Lenient,
}

#[derive(Debug, Args)]
struct Verify {
    /// What GetCompletenessProof answered, as JSON; several pages may follow each other. Or consents' receipts: as
    /// signed, or in what RecordConsent answered
    history: PathBuf,
    /// The public key of who signed; by default the dossier service's or, for consents, the consent service's, of the
    /// folder given with --data
    #[arg(long)]
    key: Option<PathBuf>,
    /// A receipt that somebody kept, as JSON: the history must contain it
    #[arg(long = "receipt")]
    receipts: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Matrix {
    /// Say who gains and loses what from one version to another
    Diff {
        /// A file, or a published version of the suite that runs on the folder given with --data
        from: String,
        /// The same
        to: String,
    },
    /// Count what publishing a file would change for the population of the suite that runs on the folder
    WhatIf {
        /// The version, as it would be published
        file: PathBuf,
    },
}

/// One service, and what it is told.
#[derive(Debug, Args)]
struct Status {
    /// Show it again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Args)]
struct Service {
    /// Which service
    #[arg(value_parser = dmp::suite::SERVICES)]
    name: String,
    /// Its configuration (TOML); the environment (DMP_…) goes before it
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RegisterHost {
    /// Struct_idNat by which the register knows the host
    #[arg(long)]
    structure_id: String,
    /// What it is called, when it is not registered yet
    #[arg(long)]
    name: String,
    /// The decision that its accreditation rests on
    #[arg(long)]
    decision: String,
    /// Where its UUID is written
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Keys {
    /// The folder; made when it is not there
    folder: PathBuf,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    service: Service,
    /// Print the configuration as read, without secrets, and end
    #[arg(long)]
    print_config: bool,
}

fn database(text: &str) -> Result<(String, String), String> {
    let (service, url) = text.split_once('=').ok_or("must be SERVICE=URL")?;
    if dmp::suite::SERVICES.contains(&service) {
        return Ok((service.to_owned(), url.to_owned()));
    }
    Err(format!("the services are {}", dmp::suite::SERVICES.join(", ")))
}

/// What the operator reads when something does not work.
type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let CommandLine {
        data,
        command,
        up: options,
    } = CommandLine::parse();
    if let Err(error) = without::declare(std::env::vars_os) {
        return failed(&error);
    }
    let done = match command {
        None => up(&data, options).await,
        Some(Command::Up(options)) => up(&data, options).await,
        Some(Command::Token(options)) => token(&data, options),
        Some(Command::Tour(options)) => play(&data, options).await,
        Some(Command::Verify(options)) => check(&data, &options),
        Some(Command::Rules) => print_rules(),
        Some(Command::Matrix(asked)) => compare(&data, asked).await,
        Some(Command::Load(asked)) => load(data, asked).await,
        Some(Command::Status(options)) => glance(&data, &options).await,
        Some(Command::Serve(options)) => run(options).await,
        Some(Command::Health(service)) => ask_health(service).await,
        Some(Command::Host(options)) => register(&data, options).await,
        Some(Command::Keys(options)) => keys(&options.folder),
    };
    done.unwrap_or_else(|error| failed(&*error))
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    let _closed = writeln!(std::io::stderr(), "dmp: {}", dmp::told(error));
    ExitCode::FAILURE
}

async fn up(data: &Path, options: Up) -> Outcome {
    let telemetry = TelemetrySettings {
        otlp: options.otlp.clone(),
        ..TelemetrySettings::default()
    };
    let _telemetry = telemetry::init(&telemetry, "dmp")?;
    let (clock, random) = (Clock::system(), Random::system());
    let home = Home::open(data, &random)?;
    let _lock = home.lock()?;
    let plan = Plan {
        base_port: options.base_port,
        databases: options.databases.into_iter().collect(),
        professional_id: if options.strict {
            api::identity::Check::Strict
        } else {
            api::identity::Check::Lenient
        },
        accept_test_identities: !options.real_identities_only,
        ..Plan::default()
    };
    let suite = Suite::start(&home, &plan, &clock, &random).await?;
    home.write_endpoints(&suite.endpoints)?;
    print!("{}", welcome(&suite, data));
    let stopped_by_itself = tokio::select! {
        asked = serve::stop_requested() => { asked?; false }
        () = suite.any_ended() => true,
    };
    suite.stop().await;
    Ok(if stopped_by_itself {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What a build for measuring says first.
const WARNING: &str = if without::POSSIBLE {
    "NOT FOR PRODUCTION: this build can leave guarantees out (DMP_WITHOUT).\n"
} else {
    ""
};

fn welcome(suite: &Suite, data: &Path) -> String {
    let Endpoints {
        identifier,
        consent,
        dossier,
        messaging,
        ..
    } = &suite.endpoints;
    let folder = data.display();
    format!(
        "\n{WARNING}The suite of article L1111-14 runs, with its keys and databases in {folder}.\n\n  \
         identifier  {identifier}\n  consent     {consent}\n  dossier     {dossier}\n  messaging   {messaging}\n\n\
         Every call wants a token:   dmp --data {folder} token --as administrator\n\
         The article, told:          dmp tour\n\
         Stop with Ctrl-C.\n\n"
    )
}

fn token(data: &Path, options: Token) -> Outcome {
    let role = match options.role {
        Role::Holder => api::common::v1::Role::Holder,
        Role::Representative => api::common::v1::Role::Representative,
        Role::Professional => api::common::v1::Role::Professional,
        Role::EstablishmentSystem => api::common::v1::Role::EstablishmentSystem,
        Role::Administrator => api::common::v1::Role::Administrator,
        Role::Auditor => api::common::v1::Role::Auditor,
        Role::ExcludedParty => api::common::v1::Role::ExcludedParty,
    };
    let professional_id = options.professional_id.unwrap_or_default();
    let dmp_id = options.dmp_id.unwrap_or_default();
    let subject = options.subject.unwrap_or_else(|| match role {
        api::common::v1::Role::Holder => format!("holder-{dmp_id}"),
        api::common::v1::Role::Professional => format!("professional-{professional_id}"),
        _ => serve::role_name(role).to_lowercase(),
    });
    let professional = matches!(options.role, Role::Professional);
    let claims = Claims {
        professional: professional_id,
        profession: if professional {
            options.profession.as_str().into()
        } else {
            Default::default()
        },
        specialty: options.specialty.unwrap_or_default(),
        structure: options.structure_id.unwrap_or_default(),
        acr: "eidas2".to_owned(),
        amr: if options.card {
            "CARD".into()
        } else {
            Default::default()
        },
        dmp_id,
        ..Claims::new(subject, role)
    };
    let home = Home::open(data, &Random::system())?;
    let minted = home
        .people()?
        .mint(&claims, Duration::from_secs(options.lifetime), &Clock::system());
    println!("{}", minted.map_err(|failure| failure.message)?.reveal());
    Ok(ExitCode::SUCCESS)
}

async fn play(data: &Path, options: Tour) -> Outcome {
    let (clock, random) = (Clock::system(), Random::system());
    let documents = documents(&options.files)?;
    let own_folder = tempfile::tempdir()?;
    let home = Home::open(if options.running { data } else { own_folder.path() }, &random)?;
    let suite = if options.running {
        None
    } else {
        Some(own_suite(&home, &options, &clock, &random).await?)
    };
    let endpoints = match &suite {
        Some(suite) => suite.endpoints.clone(),
        None => home.read_endpoints()?,
    };
    let issuer = home.people()?;
    let visit = Visit {
        endpoints: &endpoints,
        issuer: &issuer,
        clock: &clock,
        random: &random,
        dossier_log: verifier(&home.journal_verifier("dossier"))?,
        messaging_log: verifier(&home.journal_verifier("messaging"))?,
        colour: std::io::stdout().is_terminal(),
    };
    let told = tour::tour(visit, documents, &mut std::io::stdout()).await;
    if let Some(suite) = suite {
        suite.stop().await;
    }
    Ok(if told?.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn own_suite(
    home: &Home,
    options: &Tour,
    clock: &Clock,
    random: &Random,
) -> Result<Suite, dmp::suite::SuiteError> {
    let mut plan = Plan {
        base_port: 0,
        databases: options.databases.iter().cloned().collect(),
        ..Plan::default()
    };
    match options.checks {
        None => {}
        Some(Strictness::Strict) => (plan.ins, plan.professional_id) = both(api::identity::Check::Strict),
        Some(Strictness::Lenient) => (plan.ins, plan.professional_id) = both(api::identity::Check::Lenient),
    }
    Suite::start(home, &plan, clock, random).await
}

fn both<T: Copy>(value: T) -> (T, T) {
    (value, value)
}

fn documents(files: &[PathBuf]) -> Result<Vec<SourceDocument>, Box<dyn std::error::Error>> {
    let read = |path: &PathBuf| {
        let content = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        Ok(SourceDocument { name, content })
    };
    files.iter().map(read).collect()
}

fn verifier(path: &Path) -> Result<VerifierKey, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(VerifierKey::parse(text.trim_end()).map_err(|error| format!("{}: {error}", path.display()))?)
}

fn check(data: &Path, options: &Verify) -> Outcome {
    let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let signed_by = |name: &str| options.key.clone().unwrap_or_else(|| data.join(name));
    let text = read(&options.history)?;
    let agreements = verify::agreement::receipts(&text);
    if !agreements.is_empty() {
        let key = verifier(&signed_by("consent-receipts.vkey"))?;
        for receipt in &agreements {
            println!("✓ {}", verify::agreement::said(receipt, &key)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let receipts = options.receipts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    verify::verify(
        &text,
        &receipts,
        &verifier(&signed_by("dossier-journal.vkey"))?,
        &mut std::io::stdout(),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn print_rules() -> Outcome {
    rules::print(&mut std::io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

async fn compare(data: &Path, asked: Matrix) -> Outcome {
    let (clock, out) = (Clock::system(), &mut std::io::stdout());
    match asked {
        Matrix::Diff { from, to } => matrix::diff(data, &clock, &from, &to, out).await?,
        Matrix::WhatIf { file } => matrix::what_if(data, &clock, &file, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn load(data: PathBuf, asked: Load) -> Outcome {
    let home = Home::open(&data, &Random::system())?;
    let endpoints = home.read_endpoints().ok();
    let folder = load::Folder {
        trust: endpoints
            .as_ref()
            .and_then(|endpoints| endpoints.trust.clone().zip(endpoints.trust_domain.clone())),
        endpoints: endpoints.map(|endpoints| load::Endpoints {
            identifier: endpoints.identifier,
            consent: endpoints.consent,
            dossier: endpoints.dossier,
            messaging: endpoints.messaging,
        }),
        issuer: home.people()?,
        dossier_log: home.journal_verifier("dossier"),
        path: data,
    };
    Ok(if asked.execute(folder).await? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn glance(data: &Path, options: &Status) -> Outcome {
    let clock = Clock::system();
    loop {
        let report = status::Report::of(&status::ask(data, &clock).await?);
        let mut out = std::io::stdout().lock();
        if options.watch && out.is_terminal() {
            out.write_all(CLEAR_SCREEN)?;
        }
        out.write_all(report.text.as_bytes())?;
        drop(out);
        let ended = !options.watch
            || tokio::select! {
                asked = serve::stop_requested() => { asked?; true }
                () = tokio::time::sleep(LOOK_AGAIN) => false,
            };
        if ended {
            return Ok(if report.healthy {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
    }
}

async fn run(options: Serve) -> Outcome {
    match options.service.name.as_str() {
        "identifier" => run_one::<identifier::Identifier>(options).await,
        "consent" => run_one::<consent::Consent>(options).await,
        "dossier" => run_one::<dossier::Dossier>(options).await,
        _ => run_one::<messaging::Messaging>(options).await,
    }
}

/// What the service is told: its file, then the environment.
fn settings<S: serve::Service>(service: &Service) -> Result<Settings<S::Config>, ConfigError> {
    let environment = std::env::vars().filter(|(variable, _)| without::is_setting(variable));
    Settings::load(S::NAME, service.config.as_deref(), environment, [])
}

async fn run_one<S: serve::Service>(options: Serve) -> Outcome {
    let settings = settings::<S>(&options.service)?;
    if options.print_config {
        print!("{}", settings.render(S::NAME)?);
        return Ok(ExitCode::SUCCESS);
    }
    let _telemetry = telemetry::init(&settings.common.telemetry, S::NAME)?;
    let running = serve::start::<S>(settings, Clock::system(), Random::system()).await?;
    // For whoever waits for it: logs go elsewhere.
    println!("{} is serving on {}", running.name, running.url());
    let stopped_by_itself = tokio::select! {
        asked = serve::stop_requested() => { asked?; false }
        () = running.ended() => true,
    };
    running.stop().await;
    Ok(if stopped_by_itself {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn ask_health(service: Service) -> Outcome {
    let (name, common): (_, Common) = match service.name.as_str() {
        "identifier" => ("identifier", settings::<identifier::Identifier>(&service)?.common),
        "consent" => ("consent", settings::<consent::Consent>(&service)?.common),
        "dossier" => ("dossier", settings::<dossier::Dossier>(&service)?.common),
        _ => ("messaging", settings::<messaging::Messaging>(&service)?.common),
    };
    health::check(name, &common, &Clock::system()).await?;
    Ok(ExitCode::SUCCESS)
}

async fn register(data: &Path, options: RegisterHost) -> Outcome {
    // Only what is needed: the folder may hold the one key that signs as an administrator, and be read-only.
    let home = Home::existing(data)?;
    let clock = Clock::system();
    let register = Register::new(&home.read_endpoints()?, home.people()?, &clock)?;
    let host = Host {
        name: &options.name,
        structure_id: &options.structure_id,
        decision: &options.decision,
    };
    let id = register.host(&host, &Random::system()).await?;
    home::replace(&options.out, format!("{id}\n").as_bytes())
        .map_err(|error| format!("{}: {error}", options.out.display()))?;
    println!("{id}");
    Ok(ExitCode::SUCCESS)
}

fn keys(folder: &Path) -> Outcome {
    let home = Home::open(folder, &Random::system())?;
    for name in Home::private_keys() {
        let made = home.made().contains(&name);
        println!(
            "{} {}",
            if made { "made   " } else { "kept   " },
            home.path(&name).display()
        );
    }
    for name in home.write_jwks()? {
        println!("written {}", home.path(name).display());
    }
    Ok(ExitCode::SUCCESS)
}
