//! What a process is told: defaults in code < TOML file < environment < flags, all read before a port opens.
//!
//! Unknown keys are errors. An error names its key and says what would be right. Nothing secret is ever rendered: the
//! database's password, wherever it stands, becomes `…`.

pub use jsonwebtoken::jwk::JwkSet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::{Table, Value};

use api::common::v1::Role;

use crate::InProcess;
use crate::peers::instances;
use crate::without::check_listen;

/// Prefix of every variable of the environment: `DMP_LIMITS__CALLS` is `limits.calls`, `DMP_LISTEN` is `listen`.
pub const ENVIRONMENT_PREFIX: &str = "DMP_";

const SECTION_SEPARATOR: &str = "__";

/// A key whose value breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {expected}")]
pub struct Invalid {
    /// Path of the key, as `limits.calls`.
    pub key: String,
    /// What would be right.
    pub expected: String,
}

impl Invalid {
    /// `key` must be as `expected` says; never repeats the value.
    pub fn new(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            expected: expected.into(),
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{from}: {problem}")]
    Malformed {
        /// Where it stands: a file, a variable or the flags.
        from: String,
        /// What is wrong, with the key.
        problem: String,
    },
    /// A value that breaks its rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Rules that a section's types do not express.
pub trait Validate {
    /// Checks the section. Keys are relative to it.
    ///
    /// # Errors
    /// The first key that breaks its rule.
    fn validate(&self) -> Result<(), Invalid>;
}

/// For services without settings of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl Validate for NoSettings {
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// Everything a process is told.
#[derive(Debug, Clone, Default)]
pub struct Settings<C> {
    /// What all processes have in common.
    pub common: Common,
    /// The service's own section, under the service's name.
    pub service: C,
}

/// What all processes have in common.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Common {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether an address that others can reach may be served without `tls`: only where the network itself is trusted.
    /// Loopback may always.
    pub allow_cleartext: bool,
    /// TLS, for whoever calls and for calling peers. Without it both are cleartext.
    pub tls: Option<TlsSettings>,
    /// Whether reflection is served, and then without a token. Keep it off on public ports.
    pub reflection: bool,
    /// The database.
    pub database: Database,
    /// Whose tokens are taken.
    pub issuers: Vec<IssuerSettings>,
    /// How this service signs its own tokens; needed to call peers.
    pub identity: Option<Identity>,
    /// Addresses of the other services: `consent = "http://127.0.0.1:7002"`; with `tls`, all of them `https://`.
    ///
    /// Several instances of a peer are called in turn: `consent = "http://10.0.0.2:7002, http://10.0.0.3:7002"`.
    pub peers: BTreeMap<String, String>,
    /// The other services of this process, where there are some: never a setting of a file.
    #[serde(skip)]
    pub in_process: InProcess,
    /// Every limit.
    pub limits: Limits,
    /// Logs, traces and metrics.
    pub telemetry: TelemetrySettings,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            allow_cleartext: false,
            tls: None,
            reflection: false,
            database: Database::default(),
            issuers: Vec::new(),
            identity: None,
            peers: BTreeMap::new(),
            in_process: InProcess::default(),
            limits: Limits::default(),
            telemetry: TelemetrySettings::default(),
        }
    }
}

/// The database and its pools.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite:///path/to/file.db` or `postgres://user:password@host:5432/database`.
    pub url: DatabaseUrl,
    /// Connections for reading.
    pub readers: u32,
    /// Connections for writing (PostgreSQL; SQLite has one writer).
    pub writers: u32,
    /// Writes that may wait.
    pub write_queue: usize,
    /// How long a connection is waited for.
    pub acquire_timeout_ms: u64,
    /// How long one statement may take (PostgreSQL).
    pub statement_timeout_ms: u64,
}

impl Default for Database {
    fn default() -> Self {
        let options = store::Options::new("");
        Self {
            url: DatabaseUrl::default(),
            readers: options.readers,
            writers: options.writers,
            write_queue: options.write_queue,
            acquire_timeout_ms: millis(options.acquire_timeout),
            statement_timeout_ms: millis(options.statement_timeout),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Database {
    pub(crate) fn options(&self) -> store::Options {
        let mut options = store::Options::new(self.url.reveal());
        options.readers = self.readers;
        options.writers = self.writers;
        options.write_queue = self.write_queue;
        options.acquire_timeout = Duration::from_millis(self.acquire_timeout_ms);
        options.statement_timeout = Duration::from_millis(self.statement_timeout_ms);
        options
    }
}

/// Which engine a database's address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineKind {
    Sqlite,
    Postgres,
}

/// The address of a database. `Debug` and rendering hide the password.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// With its password: to connect, not to show.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn engine(&self) -> Result<EngineKind, Invalid> {
        match self.0.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Ok(EngineKind::Sqlite),
            Some("postgres" | "postgresql") => Ok(EngineKind::Postgres),
            _ => Err(Invalid::new(
                "database.url",
                "must be sqlite:///path/to/file.db or postgres://user:password@host:5432/database",
            )),
        }
    }
}

impl From<&str> for DatabaseUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&without_passwords(&self.0))
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&without_passwords(&self.0))
    }
}

/// `text` with every `user:password@` of a URL, and every `password=` parameter, cut out.
pub(crate) fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let authority_end = after.find(['/', '?', '#', ' ', '"', '\n']).unwrap_or(after.len());
        let (authority, remainder) = after.split_at_checked(authority_end).unwrap_or((after, ""));
        shown.push_str(before);
        shown.push_str("://");
        // The last `@` ends the user's part, whatever a password holds.
        shown.push_str(&match authority.rsplit_once('@') {
            Some((user, host)) => format!("{}@{host}", user.split_once(':').map_or(user, |(name, _)| name)),
            None => authority.to_owned(),
        });
        rest = remainder;
    }
    shown.push_str(rest);
    match shown.split_once("password=") {
        Some((before, after)) => {
            let end = after.find(['&', ' ', '"', '\n']).unwrap_or(after.len());
            format!("{before}password=…{}", after.get(end..).unwrap_or_default())
        }
        None => shown,
    }
}

/// TLS, in both directions. The files are read again every `limits.reload_interval_ms`, and new connections go by what
/// they hold then; files that cannot be used are refused with an error in the log, and what was read before stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// A file with this service's certificate, and the chain up to its authority (PEM, the service's first). Its one URI
    /// SAN is `spiffe://<trust_domain>/<service>`; it is usable by servers and by clients, and valid now.
    pub certificate: PathBuf,
    /// A file with the certificate's private key (PEM: PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// A file with the certificates of the authorities that count, for clients and for peers (PEM).
    pub trust: PathBuf,
    /// The domain in which the services have their names, as `dmp.example`. With TLS, a service's token is taken only from
    /// a connection that shows the certificate of that very service.
    pub trust_domain: String,
}

/// An issuer of tokens, its keys, and which roles it may give.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IssuerSettings {
    /// The `iss` of its tokens, exactly.
    pub issuer: String,
    /// The `aud` that its tokens must name.
    pub audience: String,
    /// A file with its public keys (JWKS, RFC 7517). Read again every `limits.reload_interval_ms`: tokens of a key that
    /// is gone are refused from then on. A file that cannot be used, or holds no key, leaves the former keys in use.
    pub jwks_file: Option<PathBuf>,
    /// Its public keys themselves, instead of a file.
    pub jwks: Option<JwkSet>,
    /// The roles its tokens may carry, as `PROFESSIONAL`.
    pub roles: Vec<String>,
}

/// Where an issuer's keys are.
pub(crate) enum KeySource<'a> {
    Here(&'a JwkSet),
    File(&'a Path),
}

impl IssuerSettings {
    pub(crate) fn source(&self) -> Result<KeySource<'_>, String> {
        match (&self.jwks, &self.jwks_file) {
            (Some(keys), None) if !keys.keys.is_empty() => Ok(KeySource::Here(keys)),
            (None, Some(path)) => Ok(KeySource::File(path)),
            _ => Err("must have keys, in either `jwks_file` or `jwks`".to_owned()),
        }
    }

    pub(crate) fn roles(&self) -> Result<Vec<Role>, String> {
        let role =
            |name: &String| Role::from_str_name(&format!("ROLE_{name}")).filter(|role| *role != Role::Unspecified);
        let roles: Option<Vec<Role>> = self.roles.iter().map(role).collect();
        roles
            .filter(|roles| !roles.is_empty())
            .ok_or_else(|| "`roles` must list roles of the contract, as [\"PROFESSIONAL\"]".to_owned())
    }

    fn validate(&self) -> Result<(), String> {
        if self.issuer.is_empty() || self.audience.is_empty() {
            return Err("`issuer` and `audience` must be given".to_owned());
        }
        self.roles().map(|_| ())
    }
}

/// How a service signs its own tokens.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` of its tokens: what its peers expect.
    pub audience: String,
    /// A file with its Ed25519 private key (PKCS#8, PEM or DER).
    pub key: PathBuf,
}

/// Every limit of a process. All are counts per process, and above what a healthy load reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls in flight.
    pub calls: usize,
    /// Calls waiting for one of those places, a quarter of their time at the most; one more is refused.
    pub waiting: usize,
    /// Watch streams at once.
    pub watches: usize,
    /// Connections; further ones wait in the listener's queue.
    pub connections: usize,
    /// Calls at once on one connection (HTTP/2 `SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub streams_per_connection: u32,
    /// After how long a connection is asked to be made anew, so that load spreads over new instances.
    pub connection_age_seconds: u64,
    /// How long a new connection may be silent; with `tls`, its handshake included.
    pub preface_timeout_ms: u64,
    /// Deadline of a call that names none.
    pub deadline_default_ms: u64,
    /// Longest deadline of a call.
    pub deadline_max_ms: u64,
    /// Longest life of a watch stream; its reader resumes it with its last token.
    pub watch_max_seconds: u64,
    /// How long calls in flight may take to end when the process stops.
    pub drain_ms: u64,
    /// How often the database is asked whether it is there.
    pub health_interval_ms: u64,
    /// How often certificates, their keys, and the keys of issuers are read again.
    pub reload_interval_ms: u64,
    /// Longest access token.
    pub token_bytes: usize,
    /// Longest life of an access token that is taken.
    pub token_lifetime_seconds: u64,
    /// By how much clocks may differ.
    pub clock_skew_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 256,
            waiting: 1024,
            watches: 1024,
            connections: 1024,
            streams_per_connection: 128,
            connection_age_seconds: 1800,
            preface_timeout_ms: 10_000,
            deadline_default_ms: 30_000,
            deadline_max_ms: 600_000,
            watch_max_seconds: 3600,
            drain_ms: 10_000,
            health_interval_ms: 2_000,
            reload_interval_ms: 5_000,
            token_bytes: 8192,
            token_lifetime_seconds: 3600,
            clock_skew_seconds: 30,
        }
    }
}

/// Largest count, and longest time in its unit, that a limit may be set to.
const LIMIT_MAX: u64 = 100_000_000;

impl Limits {
    pub(crate) fn deadline_default(&self) -> Duration {
        Duration::from_millis(self.deadline_default_ms)
    }

    pub(crate) fn deadline_max(&self) -> Duration {
        Duration::from_millis(self.deadline_max_ms)
    }

    pub(crate) fn watch_max(&self) -> Duration {
        Duration::from_secs(self.watch_max_seconds)
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }

    fn validate(&self) -> Result<(), Invalid> {
        // `waiting` and `clock_skew_seconds` may be 0; whatever else is 0 would stop the process.
        let positive = [
            ("calls", self.calls as u64),
            ("watches", self.watches as u64),
            ("connections", self.connections as u64),
            ("streams_per_connection", self.streams_per_connection.into()),
            ("connection_age_seconds", self.connection_age_seconds),
            ("preface_timeout_ms", self.preface_timeout_ms),
            ("deadline_default_ms", self.deadline_default_ms),
            ("deadline_max_ms", self.deadline_max_ms),
            ("watch_max_seconds", self.watch_max_seconds),
            ("drain_ms", self.drain_ms),
            ("health_interval_ms", self.health_interval_ms),
            ("reload_interval_ms", self.reload_interval_ms),
            ("token_bytes", self.token_bytes as u64),
            ("token_lifetime_seconds", self.token_lifetime_seconds),
        ];
        let any = [
            ("waiting", self.waiting as u64),
            ("clock_skew_seconds", self.clock_skew_seconds),
        ];
        let too_small = positive.iter().find(|(_, value)| *value == 0);
        let too_large = positive.iter().chain(&any).find(|(_, value)| *value > LIMIT_MAX);
        if let Some((key, _)) = too_small.or(too_large) {
            return Err(Invalid::new(
                format!("limits.{key}"),
                format!("must be 1 to {LIMIT_MAX}"),
            ));
        }
        if self.deadline_default_ms > self.deadline_max_ms {
            return Err(Invalid::new(
                "limits.deadline_default_ms",
                "must not be more than limits.deadline_max_ms",
            ));
        }
        Ok(())
    }
}

/// Logs, traces and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// `human` or `json`, to standard error.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: LogLevel,
    /// An OTLP/gRPC collector, as `http://127.0.0.1:4317`. Without one no trace is made, and metrics stay inside.
    pub otlp: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Which log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Defects.
    Error,
    /// And what an operator should look at.
    Warn,
    /// And what changes in a process.
    #[default]
    Info,
    /// And each call.
    Debug,
    /// And whatever there is.
    Trace,
}

impl Common {
    fn validate(&self) -> Result<(), Invalid> {
        self.database.url.engine()?;
        if self.database.readers == 0 || self.database.writers == 0 || self.database.write_queue == 0 {
            let expected = "`readers`, `writers` and `write_queue` must be 1 or more";
            return Err(Invalid::new("database", expected));
        }
        for (index, issuer) in self.issuers.iter().enumerate() {
            issuer
                .validate()
                .map_err(|expected| Invalid::new(format!("issuers[{index}]"), expected))?;
        }
        if self.identity.is_none() && !self.peers.is_empty() {
            let expected = "must be given (issuer, audience, key) to call the peers listed under `peers`";
            return Err(Invalid::new("identity", expected));
        }
        self.check_schemes()?;
        self.check_address(self.listen)?;
        self.limits.validate()
    }

    /// Either everything between services goes over TLS, or nothing does.
    fn check_schemes(&self) -> Result<(), Invalid> {
        let (scheme, why) = match self.tls {
            Some(_) => ("https", "with `tls`, every peer is called over TLS"),
            None => ("http", "https:// needs `tls`"),
        };
        let fits = |address: &str| address.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://"));
        match self.peers.iter().find(|(_, addresses)| !instances(addresses).all(fits)) {
            None => Ok(()),
            Some((name, _)) => {
                let expected =
                    format!("must be the address of the {name} service, as {scheme}://127.0.0.1:7001 ({why})");
                Err(Invalid::new(format!("peers.{name}"), expected))
            }
        }
    }

    /// Tokens and documents never cross a network in the clear by oversight.
    pub(crate) fn check_address(&self, address: SocketAddr) -> Result<(), Invalid> {
        check_listen(address)?;
        if self.tls.is_some() || self.allow_cleartext || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        let expected = format!(
            "must be given to listen on {address}, which others can reach; or `allow_cleartext = true`, where the \
             network itself is trusted"
        );
        Err(Invalid::new("tls", expected))
    }
}

impl<C> Settings<C>
where
    C: DeserializeOwned + Serialize + Default + Validate,
{
    /// Reads the settings of the service called `name`. `environment` is what the process was started with; the
    /// variables of [`ENVIRONMENT_PREFIX`] count, so hand over only those meant for this service. `flags` are pairs of
    /// a dotted key and its value.
    ///
    /// # Errors
    /// [`ConfigError`] names the key, and where it stands.
    pub fn load(
        name: &str,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Self, ConfigError> {
        let mut table = file.map_or_else(|| Ok(Table::new()), read_table)?;
        let source = file.map_or_else(|| "settings".to_owned(), |path| path.display().to_string());
        // The file alone first, so that an error says where it stands.
        Self::of_table(name, table.clone(), &source)?;
        for (variable, text) in environment {
            let Some(key) = variable.strip_prefix(ENVIRONMENT_PREFIX) else {
                continue;
            };
            let path: Vec<String> = key.split(SECTION_SEPARATOR).map(str::to_lowercase).collect();
            set(&mut table, &path, value_of(text), &variable)?;
        }
        Self::of_table(name, table.clone(), "environment")?;
        for (key, value) in flags {
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            set(&mut table, &path, value, &format!("flag {key}"))?;
        }
        let settings = Self::of_table(name, table, "flags")?;
        settings.validate(name)?;
        Ok(settings)
    }

    fn of_table(name: &str, mut table: Table, source: &str) -> Result<Self, ConfigError> {
        let malformed = |error: toml::de::Error, prefix: &str| ConfigError::Malformed {
            from: source.to_owned(),
            problem: without_passwords(&one_line(&error, prefix)),
        };
        let own = table.remove(name).unwrap_or_else(|| Value::Table(Table::new()));
        let service = own.try_into().map_err(|error| malformed(error, name))?;
        let common = table.try_into().map_err(|error| malformed(error, ""))?;
        Ok(Self { common, service })
    }

    /// Checks what types do not express. Called by [`Settings::load`], and again when a process starts.
    ///
    /// # Errors
    /// The first key that breaks its rule.
    pub fn validate(&self, name: &str) -> Result<(), Invalid> {
        self.common.validate()?;
        self.service
            .validate()
            .map_err(|error| Invalid::new(format!("{name}.{}", error.key), error.expected))
    }

    /// The settings as TOML, for `--print-config`: without secrets, with every default.
    ///
    /// # Errors
    /// When the service's section cannot be written as TOML.
    pub fn render(&self, name: &str) -> Result<String, toml::ser::Error> {
        let mut table = Table::try_from(&self.common)?;
        let own = Table::try_from(&self.service)?;
        if !own.is_empty() {
            table.insert(name.to_owned(), Value::Table(own));
        }
        toml::to_string_pretty(&table)
    }
}

fn read_table(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or(1, |before| before.lines().count().max(1));
        // The parser's own text shows the line, and that line may be the one with the password.
        let problem = format!("line {line}: {}", error.message());
        ConfigError::Malformed {
            from: path.display().to_string(),
            problem,
        }
    })
}

fn one_line(error: &toml::de::Error, prefix: &str) -> String {
    let text = error.to_string();
    let line = text
        .split('\n')
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    if prefix.is_empty() {
        line
    } else {
        format!("{line}, in section `{prefix}`")
    }
}

/// A variable's text as TOML (`8`, `true`, `["a"]`), or as the text that it is.
fn value_of(text: String) -> Value {
    let table: Result<Table, _> = format!("value = {text}").parse();
    let value = table
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    value.unwrap_or(Value::String(text))
}

fn set(table: &mut Table, path: &[String], value: Value, source: &str) -> Result<(), ConfigError> {
    let malformed = |problem: &str| ConfigError::Malformed {
        from: source.to_owned(),
        problem: problem.to_owned(),
    };
    match path {
        [] => Err(malformed("names no key")),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [section, rest @ ..] => {
            let inner = table
                .entry(section.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            match inner.as_table_mut() {
                Some(inner) => set(inner, rest, value, source),
                None => Err(malformed(&format!("`{section}` is no section"))),
            }
        }
    }
}
