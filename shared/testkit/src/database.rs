//! A fresh database of either engine, and the macro that runs a promise on both.

use futures::future::BoxFuture;
use jiff::Timestamp;
use std::marker::PhantomData;
use store::random::Random;
use store::time::{Clock, ManualClock};
use store::{Db, Engine, Migrations, Options, Postgres, Sqlite};
use tempfile::TempDir;

use crate::cluster;

/// When every test begins, unless it says otherwise.
pub const START: &str = "2026-03-02T08:00:00Z";

/// An empty database, a clock that stands still and a repeatable source of randomness.
#[derive(Debug)]
pub struct Database<DB> {
    /// How to open it.
    pub options: Options,
    /// The clock to hand over.
    pub clock: Clock,
    /// Moves that clock.
    pub time: ManualClock,
    /// Randomness to hand over.
    pub random: Random,
    folder: TempDir,
    engine: PhantomData<DB>,
}

/// An engine of which a test can have an empty database.
pub trait TestEngine: Engine {
    /// The address of an empty database; `None` where this machine does not have the engine.
    fn new_database(folder: &TempDir) -> BoxFuture<'_, Option<String>>;
}

impl TestEngine for Sqlite {
    fn new_database(folder: &TempDir) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move { Some(format!("sqlite://{}/test.db", folder.path().display())) })
    }
}

impl TestEngine for Postgres {
    fn new_database(_: &TempDir) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move { Some(cluster()?.new_database().await) })
    }
}

impl<DB: TestEngine> Database<DB> {
    /// An empty database; `None` where this machine does not have the engine.
    pub async fn new() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let url = DB::new_database(&folder).await?;
        let start: Timestamp = START.parse().unwrap();
        let (clock, time) = Clock::manual(start);
        let random = Random::seeded(7);
        Some(Self {
            options: Options::new(url),
            clock,
            time,
            random,
            folder,
            engine: PhantomData,
        })
    }

    /// Opens it with these migrations.
    pub async fn open(&self, migrations: &Migrations) -> Db<DB> {
        Db::open(&self.options, migrations).await.unwrap()
    }

    /// A folder that goes away with the test.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// Runs promises about storage on both engines: `on_both_databases! { a, b }` over
/// `async fn a<DB: TestEngine>(database: Database<DB>)` makes the tests `a::sqlite` and `a::postgres`.
#[macro_export]
macro_rules! on_both_databases {
    ($($promise:ident),+ $(,)?) => {
        $(mod $promise {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                if let Some(database) = $crate::Database::<$crate::Sqlite>::new().await {
                    super::$promise(database).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                if let Some(database) = $crate::Database::<$crate::Postgres>::new().await {
                    super::$promise(database).await;
                }
            }
        })+
    };
}
