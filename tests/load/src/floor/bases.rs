//! The floors of every kind of call, on one engine.

use futures::future::BoxFuture;
use journal::{Entry, Journal, Limits, LogKey};
use serve::Service;
use std::path::Path;
use store::random::Random;
use store::time::Clock;
use store::{Db, Engine, Migrations, Options, Postgres, Sqlite};
use tempfile::TempDir;

use super::base::{Base, Frame};
use super::schemas;
use super::statement::Statement;
use super::supply::{Floored, Plan, Supply, Which};
use crate::LoadError;

/// The floors of one engine, and the journal that one of them is compared to.
pub(crate) trait Floors: Send + Sync {
    /// Runs the statements of one call.
    fn statements(&self, of: Floored) -> BoxFuture<'_, Result<(), String>>;
    /// Appends an entry to a journal in this process.
    fn append(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// Opens the floors: on PostgreSQL in schemas of the database at `url`, which are made anew; otherwise on SQLite in a
/// temporary folder.
pub(crate) async fn open(
    url: Option<&str>,
    documents: usize,
    clock: Clock,
    random: Random,
) -> Result<Box<dyn Floors>, LoadError> {
    match url {
        None => {
            let folder = TempDir::new().map_err(|source| LoadError::file(Path::new("a temporary folder"), source))?;
            let path = folder.path().to_owned();
            let place = move |name: &str| format!("sqlite://{}", path.join(format!("{name}.db")).display());
            Ok(Box::new(
                Bases::<Sqlite>::open(place, documents, clock, random, Some(folder)).await?,
            ))
        }
        Some(url) => {
            for name in NAMES {
                schemas::make(url, name).await.map_err(LoadError::Floor)?;
            }
            let place = |name: &str| {
                let separator = if url.contains('?') { '&' } else { '?' };
                format!("{url}{separator}options=-csearch_path%3Dload_{name}")
            };
            Ok(Box::new(
                Bases::<Postgres>::open(place, documents, clock, random, None).await?,
            ))
        }
    }
}

const NAMES: [&str; 6] = ["identifier", "consent", "dossier", "messaging", "plain", "journal"];

struct Bases<DB: Engine> {
    supply: Supply,
    identifier: Base<DB>,
    consent: Base<DB>,
    dossier: Base<DB>,
    messaging: Base<DB>,
    plain: Base<DB>,
    journal: Journal<DB>,
    random: Random,
    _folder: Option<TempDir>,
}

impl<DB: Engine> Bases<DB> {
    async fn open(
        place: impl Fn(&str) -> String,
        documents: usize,
        clock: Clock,
        random: Random,
        folder: Option<TempDir>,
    ) -> Result<Self, LoadError> {
        let supply = Supply::new(random.clone());
        let log = Migrations::new([store::own_migrations(), journal::own_migrations()]);
        let nothing = || -> Frame { Box::new(|| (Vec::new(), Vec::new())) };
        let base = async |name: &str, migrations: &Migrations, frame: Frame, rows: Vec<Statement>| {
            let base = Base::<DB>::open(&place(name), migrations, frame)
                .await
                .map_err(LoadError::Base)?;
            base.fill(rows).await.map_err(LoadError::Floor)?;
            Ok::<_, LoadError>(base)
        };
        let key = LogKey::from_seed("load.example/journal", random.bytes()).map_err(|_| LoadError::Panicked)?;
        let db = Db::<DB>::open(&Options::new(place("journal")), &log)
            .await
            .map_err(LoadError::Base)?;
        let journal = Journal::open(db, clock, random.clone(), key, Limits::default()).await;
        Ok(Self {
            identifier: base(
                "identifier",
                &identifier::Identifier::migrations(),
                nothing(),
                supply.people(),
            )
            .await?,
            consent: base("consent", &consent::Consent::migrations(), nothing(), supply.consents()).await?,
            dossier: base(
                "dossier",
                &dossier::Dossier::migrations(),
                supply.frame(),
                supply.dossiers(documents),
            )
            .await?,
            messaging: base(
                "messaging",
                &messaging::Messaging::migrations(),
                supply.frame(),
                supply.mailboxes(),
            )
            .await?,
            plain: base("plain", &log, nothing(), Vec::new()).await?,
            journal: journal.map_err(|error| LoadError::Measurement(error.to_string()))?,
            supply,
            random,
            _folder: folder,
        })
    }

    fn base(&self, which: Which) -> &Base<DB> {
        match which {
            Which::Identifier => &self.identifier,
            Which::Consent => &self.consent,
            Which::Dossier => &self.dossier,
            Which::Messaging => &self.messaging,
            Which::Plain => &self.plain,
        }
    }

    async fn run(&self, plan: Plan) -> sqlx::Result<()> {
        for (which, statements) in &plan.reads {
            self.base(*which).read(statements).await?;
        }
        match plan.writes {
            Some((which, writes)) => self.base(which).write(writes).await,
            None => Ok(()),
        }
    }
}

impl<DB: Engine> Floors for Bases<DB> {
    fn statements(&self, of: Floored) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let plan = self.supply.plan(of).ok_or("this call has no floor of statements")?;
            self.run(plan).await.map_err(|error| error.to_string())
        })
    }

    fn append(&self) -> BoxFuture<'_, Result<(), String>> {
        let entry = Entry {
            entry_id: self.random.uuid(),
            subject: self.supply.dossier(),
            payload: self.supply.payload(),
        };
        Box::pin(async move {
            self.journal
                .append(entry)
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        })
    }
}
