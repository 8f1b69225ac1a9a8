//! Every SQL statement about versions of the habilitation matrix, and the shelf of those already read.
//!
//! A version is never changed nor deleted, so one that was read once is good for ever. Which of them is in force when is
//! a timetable that only grows, and only [`NOTICE`] ahead: a copy of it is good for [`KEPT`].

use jiff::SignedDuration;
use sqlx::Row;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use store::time::{Clock, Timestamp, from_micros, to_micros};
use store::{Db, Engine, Error, Result};

use crate::matrix::{self, EMBEDDED, Matrix, NOTHING, Term};

/// Who published the versions that the program carries.
const PROGRAM: &str = "program";

const CORRUPT: Error = Error::Corrupt("matrices");

/// How long before it takes over a version must be published: longer than an instance can be without knowing of it, and
/// than a decision that has looked for the version in force can still be under way.
pub(crate) const NOTICE: SignedDuration = SignedDuration::from_secs(60);

/// How long an instance goes by a timetable before it reads it again.
///
/// No takeover is missed: a version that is not in a timetable was published after it was read, so it takes over
/// [`NOTICE`] after that or later, when the timetable is no longer used. What is left of the notice, 30 s, is for clocks
/// that differ between instances and for the time that a publication takes to commit. A clock that is set forwards only
/// ages the timetable; one that is set back makes it a timetable of the future, which is read again.
///
/// A version that a newer program brings along knows no notice: other instances have it after this time.
const KEPT: SignedDuration = SignedDuration::from_secs(30);

/// A version as published.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Published {
    /// When it is in force.
    pub(crate) term: Term,
    /// The version in full.
    pub(crate) text: String,
    /// Who published it.
    pub(crate) by: String,
    /// When.
    pub(crate) at: Timestamp,
}

/// Versions already read, and when each is in force. It holds as many as were published: a few a year.
#[derive(Debug)]
pub(crate) struct Shelf {
    clock: Clock,
    versions: RwLock<BTreeMap<String, Arc<Matrix>>>,
    timetable: RwLock<Timetable>,
}

/// The terms of all versions, as they were read.
#[derive(Debug, Clone)]
struct Timetable {
    terms: Arc<[Term]>,
    /// Before the reading began.
    read_at: Timestamp,
}

impl Timetable {
    /// Whether it can be gone by at `now`, for a moment that may be later by the time that a clock was set back.
    fn is_good(&self, now: Timestamp, moment: Timestamp) -> bool {
        let latest = now.max(moment);
        self.read_at <= now && latest.duration_since(self.read_at) <= KEPT
    }
}

impl Shelf {
    /// Nothing read yet.
    pub(crate) fn new(clock: Clock) -> Self {
        let unread = Timetable {
            terms: Arc::new([]),
            read_at: Timestamp::MAX,
        };
        Self {
            clock,
            versions: RwLock::default(),
            timetable: RwLock::new(unread),
        }
    }

    /// The version in force at a moment; one that gives nothing where there is none.
    pub(crate) async fn at<DB: Engine>(
        &self,
        connection: &mut DB::Connection,
        moment: Timestamp,
    ) -> Result<Arc<Matrix>> {
        let terms = self.terms::<DB>(connection, moment).await?;
        let name = matrix::in_force(&terms, moment).map_or(NOTHING, |term| term.version.as_str());
        self.version::<DB>(connection, name).await?.ok_or(CORRUPT)
    }

    /// The terms of all versions that can be in force up to this moment.
    async fn terms<DB: Engine>(&self, connection: &mut DB::Connection, moment: Timestamp) -> Result<Arc<[Term]>> {
        let now = self.clock.now();
        let kept = self.kept();
        if kept.is_good(now, moment) {
            return Ok(kept.terms);
        }
        let terms: Arc<[Term]> = terms::<DB>(connection).await?.into();
        let mut timetable = self.timetable.write().unwrap_or_else(PoisonError::into_inner);
        *timetable = Timetable {
            terms: terms.clone(),
            read_at: now,
        };
        Ok(terms)
    }

    fn kept(&self) -> Timetable {
        self.timetable.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The version of this name, as decisions carry it.
    pub(crate) async fn version<DB: Engine>(
        &self,
        connection: &mut DB::Connection,
        name: &str,
    ) -> Result<Option<Arc<Matrix>>> {
        if let Some(matrix) = self.find(name) {
            return Ok(Some(matrix));
        }
        let matrix = match find::<DB>(connection, name).await? {
            Some(published) => Matrix::parse(&published.text).map_err(|_| CORRUPT)?,
            None if name == NOTHING => Matrix::nothing(),
            None => return Ok(None),
        };
        let matrix = Arc::new(matrix);
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        versions.insert(name.to_owned(), matrix.clone());
        Ok(Some(matrix))
    }

    fn find(&self, name: &str) -> Option<Arc<Matrix>> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        versions.get(name).cloned()
    }
}

/// The name of the version in force at a moment: as [`matrix::in_force`], without reading them all.
pub(crate) async fn in_force<DB: Engine>(connection: &mut DB::Connection, moment: Timestamp) -> Result<Option<String>> {
    let row = sqlx::query(
        "SELECT version, valid_from, valid_until FROM matrices WHERE valid_from <= $1 ORDER BY valid_from DESC LIMIT 1",
    )
    .bind(to_micros(moment))
    .fetch_optional(connection)
    .await?;
    let term = row.as_ref().map(term::<DB>).transpose()?;
    let term = matrix::in_force(term.as_slice(), moment);
    Ok(term.map(|term| term.version.clone()))
}

/// A version by its name.
pub(crate) async fn find<DB: Engine>(connection: &mut DB::Connection, version: &str) -> Result<Option<Published>> {
    let row = sqlx::query(
        "SELECT version, valid_from, valid_until, content, published_by, published_at FROM matrices WHERE version = $1",
    )
    .bind(version)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(published::<DB>).transpose()
}

/// The terms of all versions, in no order; publications wait for the caller's transaction, so that what is decided on
/// them still holds when it commits.
pub(crate) async fn terms_locked<DB: Engine>(connection: &mut DB::Connection) -> Result<Vec<Term>> {
    sqlx::query("UPDATE matrix_lock SET singleton = singleton")
        .execute(&mut *connection)
        .await?;
    terms::<DB>(connection).await
}

/// The terms of all versions, in no order.
async fn terms<DB: Engine>(connection: &mut DB::Connection) -> Result<Vec<Term>> {
    let rows = sqlx::query("SELECT version, valid_from, valid_until FROM matrices")
        .fetch_all(connection)
        .await?;
    rows.iter().map(term::<DB>).collect()
}

/// Adds a version.
pub(crate) async fn insert<DB: Engine>(connection: &mut DB::Connection, published: &Published) -> Result<()> {
    sqlx::query(
        "INSERT INTO matrices (version, valid_from, valid_until, content, published_by, published_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(published.term.version.as_str())
    .bind(to_micros(published.term.from))
    .bind(published.term.until.map(to_micros))
    .bind(published.text.as_str())
    .bind(published.by.as_str())
    .bind(to_micros(published.at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Why the versions that the program carries cannot be published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmbeddedError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("embedded matrix, {0}")]
    Wrong(matrix::MatrixError),
    #[error("embedded matrix {0}: another text was published under this name")]
    Changed(String),
    #[error("embedded matrix {0}: it would be in force at the same time as {1}")]
    Overlaps(String, String),
}

/// Publishes the versions that the program carries and the database does not have.
pub(crate) async fn publish_embedded<DB: Engine>(db: &Db<DB>, now: Timestamp) -> Result<(), EmbeddedError> {
    db.write(move |connection| {
        Box::pin(async move {
            for text in EMBEDDED {
                publish_one_embedded::<DB>(connection, text, now).await?;
            }
            Ok(())
        })
    })
    .await
}

async fn publish_one_embedded<DB: Engine>(
    connection: &mut DB::Connection,
    text: &str,
    now: Timestamp,
) -> Result<(), EmbeddedError> {
    let matrix = Matrix::parse(text).map_err(first_wrong)?;
    let terms = terms_locked::<DB>(connection).await?;
    let term = matrix.term();
    if let Some(standing) = find::<DB>(connection, &term.version).await? {
        let same = standing.text == text;
        return if same {
            Ok(())
        } else {
            Err(EmbeddedError::Changed(term.version))
        };
    }
    if let Err(other) = matrix::takes_over(&terms, &term) {
        return Err(EmbeddedError::Overlaps(term.version, other.version.clone()));
    }
    let published = Published {
        term,
        text: text.to_owned(),
        by: PROGRAM.to_owned(),
        at: now,
    };
    Ok(insert::<DB>(connection, &published).await?)
}

fn first_wrong(errors: Vec<matrix::MatrixError>) -> EmbeddedError {
    let whole = matrix::MatrixError {
        line: 0,
        problem: "it is empty".to_owned(),
    };
    EmbeddedError::Wrong(errors.into_iter().next().unwrap_or(whole))
}

fn term<DB: Engine>(row: &DB::Row) -> Result<Term> {
    let until: Option<i64> = row.try_get("valid_until")?;
    Ok(Term {
        version: row.try_get("version")?,
        from: from_micros(row.try_get("valid_from")?)?,
        until: until.map(from_micros).transpose()?,
    })
}

fn published<DB: Engine>(row: &DB::Row) -> Result<Published> {
    Ok(Published {
        term: term::<DB>(row)?,
        text: row.try_get("content")?,
        by: row.try_get("published_by")?,
        at: from_micros(row.try_get("published_at")?)?,
    })
}
