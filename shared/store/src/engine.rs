//! What a database must be able to do, so that every repository is written once.
//!
//! `Engine` is a `sqlx::Database` whose usual page of `where` bounds is *implied*: bounds on the associated types of
//! supertraits hold wherever the trait holds, so `impl<DB: Engine> …` is all a repository says.

use futures::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ColumnIndex, Database, Decode, Encode, Executor, IntoArguments, Pool, Postgres, Sqlite, Type};
use std::str::FromStr;
use std::time::Duration;
use uuid::Uuid;

use crate::{Error, Options, Result};

/// Lets a trait say `X: Bound` about a type other than itself and have it known everywhere the trait is.
mod implied {
    pub trait Imply<T>: Equal<T, Is = T> {}
    impl<T, U> Imply<T> for U {}
    pub trait Equal<T> {
        type Is;
    }
    impl<T, U> Equal<T> for U {
        type Is = T;
    }
}
use implied::Imply;

/// The reader's and the writer's pool of one database.
pub(crate) struct Pools<DB: Database> {
    pub(crate) read: Pool<DB>,
    pub(crate) write: Pool<DB>,
}

macro_rules! engine {
    (scalars: $($scalar:ty),+) => {
        /// A database that this suite runs on: [`Sqlite`] (embedded default) or [`Postgres`] (production).
        ///
        /// The scalars bound here are the only types that a statement may bind or a row may give: `bool`, `i64`,
        /// `String`, `Vec<u8>` and `Uuid`, each also optional.
        pub trait Engine:
            Database<Arguments: IntoArguments<Self>>
            + for<'c> Imply<&'c mut <Self as Database>::Connection, Is: Executor<'c, Database = Self>>
            + for<'q> Imply<&'q str, Is: Encode<'q, Self> + Type<Self> + ColumnIndex<<Self as Database>::Row>>
            + for<'q> Imply<&'q [u8], Is: Encode<'q, Self> + Type<Self>>
            + Imply<usize, Is: ColumnIndex<<Self as Database>::Row>>
            $(
                + Imply<$scalar, Is: for<'q> Encode<'q, Self> + for<'r> Decode<'r, Self> + Type<Self>>
                + Imply<Option<$scalar>, Is: for<'q> Encode<'q, Self>>
            )+
        {
            /// The statement that begins a write transaction. SQLite must take its lock at once: a deferred
            /// transaction fails as soon as another one has written, whatever the busy timeout.
            const BEGIN_WRITE: &'static str;
            /// Whether writes are grouped under one commit by one writer (SQLite), or run side by side (PostgreSQL).
            const GROUPED: bool;
            /// Which folder of migrations is this engine's.
            const MIGRATIONS: &'static str;

            /// What stands after the last of several insertions that are one message.
            const AFTER_INSERTS: &'static str;

            /// What stands before an insertion at this place, from 0, of several that are one message.
            fn before_insert(place: usize) -> String;

            #[doc(hidden)]
            fn connect(options: &Options) -> BoxFuture<'_, Result<ConnectedPools<Self>>>;

            #[doc(hidden)]
            fn migrate<'a>(pool: &'a Pool<Self>, migrator: &'a Migrator) -> BoxFuture<'a, Result<()>>;
        }
    };
}
engine! { scalars: bool, i64, String, Vec<u8>, Uuid }

/// Pools, opaque outside of this crate.
#[doc(hidden)]
pub struct ConnectedPools<DB: Database>(pub(crate) Pools<DB>);

fn pool_options<DB: Database>(options: &Options, connections: u32) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(options.acquire_timeout)
        // A ping before every use costs more than half of a read; a broken connection is found by its first use.
        .test_before_acquire(false)
        .max_lifetime(Duration::from_secs(30 * 60))
        .idle_timeout(None)
}

/// Prepared statements that a connection keeps: those of a service, in each of the shapes that numbers of rows give them.
const STATEMENTS: usize = 512;

/// Page cache of one connection, in KiB (below 0) as SQLite wants it.
const SQLITE_CACHE: &str = "-8000";

/// Rows that may wait for whoever asked for them: a page's and one more, so that SQLite's thread does not stop for a page to
/// be taken.
const SQLITE_ROWS: usize = 256;

impl Engine for Sqlite {
    const BEGIN_WRITE: &'static str = "BEGIN IMMEDIATE";
    const GROUPED: bool = true;
    const MIGRATIONS: &'static str = "sqlite";
    const AFTER_INSERTS: &'static str = "";

    fn before_insert(place: usize) -> String {
        if place == 0 { String::new() } else { "; ".to_owned() }
    }

    fn connect(options: &Options) -> BoxFuture<'_, Result<ConnectedPools<Self>>> {
        Box::pin(async move {
            let connect = SqliteConnectOptions::from_str(&options.url)
                .map_err(|_| Error::Url("an SQLite address looks like sqlite:///path/to/file.db"))?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .pragma("cache_size", SQLITE_CACHE)
                // What a savepoint would undo is kept in memory, not in a file: a job is not larger than what it writes.
                .pragma("temp_store", "memory")
                .row_buffer_size(SQLITE_ROWS)
                .statement_cache_capacity(STATEMENTS)
                .busy_timeout(options.acquire_timeout);
            let write: SqlitePoolOptions = pool_options(options, 1);
            let write = write.max_lifetime(None).connect_with(connect.clone()).await?;
            let read: SqlitePoolOptions = pool_options(options, options.readers);
            let read = read
                .connect_with(connect.read_only(true).create_if_missing(false))
                .await?;
            Ok(ConnectedPools(Pools { read, write }))
        })
    }

    fn migrate<'a>(pool: &'a Pool<Self>, migrator: &'a Migrator) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { migrator.run(pool).await.map_err(Error::Migration) })
    }
}

/// How PostgreSQL plans: each statement once for a connection, by the index that a test has seen it use, and as the tests
/// explain it. Left to itself it reads a new and still small table as a whole, and goes on so while the table grows, until
/// the server looks at it again; and it plans long lists of values anew at each call. Without indexes what a plan costs is no
/// measure any more, and would only call the compiler.
///
/// Joins go row by row, each by an index: to join by a hash, in order, or with what was set aside reads all that there is,
/// which looks cheap as long as it is little, and the plan is kept. So a statement must not leave the order of its joins
/// open: the wrong one is quadratic.
pub const PLANS: [(&str, &str); 7] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
    ("enable_memoize", "off"),
    ("jit", "off"),
];

impl Engine for Postgres {
    const BEGIN_WRITE: &'static str = "BEGIN";
    const GROUPED: bool = false;
    const MIGRATIONS: &'static str = "postgres";
    const AFTER_INSERTS: &'static str = ") SELECT 1";

    fn before_insert(place: usize) -> String {
        if place == 0 {
            "WITH part_0 AS (".to_owned()
        } else {
            format!("), part_{place} AS (")
        }
    }

    fn connect(options: &Options) -> BoxFuture<'_, Result<ConnectedPools<Self>>> {
        Box::pin(async move {
            let milliseconds = options.statement_timeout.as_millis().to_string();
            let connect = PgConnectOptions::from_str(&options.url)
                .map_err(|_| Error::Url("a PostgreSQL address looks like postgres://user:password@host:5432/database"))?
                .options(PLANS)
                .statement_cache_capacity(STATEMENTS)
                .options([
                    ("synchronous_commit", "on"),
                    ("statement_timeout", &milliseconds),
                    ("lock_timeout", &milliseconds),
                    ("idle_in_transaction_session_timeout", &milliseconds),
                ]);
            let write: PgPoolOptions = pool_options(options, options.writers);
            let write = write.connect_with(connect.clone()).await?;
            let read: PgPoolOptions = pool_options(options, options.readers);
            let read = read.connect_with(connect).await?;
            refuse_unsafe_postgres(&write).await?;
            Ok(ConnectedPools(Pools { read, write }))
        })
    }

    fn migrate<'a>(pool: &'a Pool<Self>, migrator: &'a Migrator) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { migrator.run(pool).await.map_err(Error::Migration) })
    }
}

/// A server that does not sync its log would make every durability promise of the suite a lie.
async fn refuse_unsafe_postgres(pool: &Pool<Postgres>) -> Result<()> {
    for setting in ["fsync", "full_page_writes"] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(pool)
            .await?;
        if value != "on" {
            return Err(Error::UnsafeSetting(setting));
        }
    }
    Ok(())
}
