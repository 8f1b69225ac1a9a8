//! Every SQL statement about versions of the habilitation matrix, and the shelf of those already read.
//!
//! A version is never changed nor deleted, so one that was read once is good for ever; which of them is in force is
//! asked of the database each time, so that a publication counts on every instance.

use sqlx::Row;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use store::time::{Timestamp, from_micros, to_micros};
use store::{Db, Engine, Error, Result};

use crate::matrix::{self, EMBEDDED, Matrix, NOTHING, Term};

/// Who published the versions that the program carries.
const PROGRAM: &str = "program";

const CORRUPT: Error = Error::Corrupt("matrices");

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

/// Versions already read. It holds as many as were published: a few a year.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    versions: RwLock<BTreeMap<String, Arc<Matrix>>>,
}

impl Shelf {
    /// The version in force at a moment; one that gives nothing where there is none.
    pub(crate) async fn at<DB: Engine>(
        &self,
        connection: &mut DB::Connection,
        moment: Timestamp,
    ) -> Result<Arc<Matrix>> {
        let name = in_force::<DB>(connection, moment).await?;
        let name = name.as_deref().unwrap_or(NOTHING);
        self.version::<DB>(connection, name).await?.ok_or(CORRUPT)
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
