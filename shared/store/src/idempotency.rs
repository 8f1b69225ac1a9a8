//! A repeated request is answered, not done again (AIP-155).

use aws_lc_rs::digest;
use futures::future::BoxFuture;
use prost::Message;
use sqlx::Row;
use uuid::Uuid;

use crate::time::{Timestamp, to_micros};
use crate::{Db, Engine, Error, NewRow, Result, Value, insert};

/// What makes a request the same request: who sent it, under which id, to which method, with which content.
#[derive(Debug, Clone)]
pub struct RequestKey {
    caller: String,
    method: &'static str,
    request_id: Uuid,
    digest: Vec<u8>,
}

impl RequestKey {
    /// `caller` is a pseudonym (issuer and subject), `method` the full gRPC name, `content` the request as decoded;
    /// for a stream, whatever stands for all of it.
    pub fn new(caller: impl Into<String>, method: &'static str, request_id: Uuid, content: &impl Message) -> Self {
        let digest = digest::digest(&digest::SHA256, &content.encode_to_vec())
            .as_ref()
            .to_vec();
        Self {
            caller: caller.into(),
            method,
            request_id,
            digest,
        }
    }
}

/// An answer, and whether it had been given before.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered<R> {
    /// The answer: byte for byte the first one when the request is repeated.
    pub response: R,
    /// Whether the effect had already taken place.
    pub replayed: bool,
}

/// What a piece of work comes to: its answer, and rows that it leaves to be written with the memory of the answer, in one
/// message. A bare answer leaves none.
#[derive(Debug)]
pub struct Effect<R> {
    /// The answer.
    pub response: R,
    /// New rows, beside what the work has written itself.
    pub rows: Vec<NewRow>,
}

impl<R> From<R> for Effect<R> {
    fn from(response: R) -> Self {
        let rows = Vec::new();
        Self { response, rows }
    }
}

/// Why a request had no effect.
enum Failed<E> {
    /// It cannot be told whether there was no effect, or there is none for a reason that an earlier one has nothing to do with.
    Store(Error),
    /// The work found, or wrote, what the same request may have put there before.
    Work(E),
}

impl<E> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Runs `work` in a write transaction; its answer is remembered in the same transaction as its effect, so that either both
/// are there or neither.
///
/// Nobody looks first whether the request was answered before, since hardly any was: a second one does its work again until
/// its answer cannot be remembered beside the first, or the work fails on what the first has done. Then what it did is
/// undone, and it gives the first answer. Whatever the work does must therefore be undone with its transaction.
///
/// # Errors
/// [`Error::RequestIdReused`] when the id was used for another request; those of [`Db::write`]; the work's own.
pub async fn once<DB, R, E, O, F>(db: &Db<DB>, key: RequestKey, now: Timestamp, work: F) -> Result<Answered<R>, E>
where
    DB: Engine,
    R: Message + Default + 'static,
    E: From<Error> + Send + 'static,
    O: Into<Effect<R>> + Send + 'static,
    F: for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, Result<O, E>> + Send + 'static,
{
    let asked = key.clone();
    let done = db.write(move |connection| {
        Box::pin(async move {
            let effect: Effect<R> = work(connection).await.map_err(Failed::Work)?.into();
            let mut rows = effect.rows;
            rows.push(row(&asked, &effect.response, now));
            match insert::<DB>(connection, rows).await {
                Err(error) if error.is_there_already() => return Err(Failed::Work(error.into())),
                inserted => inserted?,
            }
            Ok(Answered {
                response: effect.response,
                replayed: false,
            })
        })
    });
    let failure: E = match done.await {
        Ok(answered) => return Ok(answered),
        Err(Failed::Store(error)) => return Err(error.into()),
        Err(Failed::Work(failure)) => failure,
    };
    let first = remembered::<DB, R>(&mut *db.read().await?, &key)
        .await?
        .ok_or(failure)?;
    Ok(Answered {
        response: first,
        replayed: true,
    })
}

/// The answer that this request was given, if it was.
async fn remembered<DB: Engine, R: Message + Default>(
    connection: &mut DB::Connection,
    key: &RequestKey,
) -> Result<Option<R>> {
    let row = sqlx::query("SELECT method, digest, response FROM requests WHERE caller = $1 AND request_id = $2")
        .bind(key.caller.as_str())
        .bind(key.request_id)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let (method, digest): (String, Vec<u8>) = (row.try_get("method")?, row.try_get("digest")?);
    if method != key.method || digest != key.digest {
        return Err(Error::RequestIdReused);
    }
    let response: Vec<u8> = row.try_get("response")?;
    let response = R::decode(response.as_slice()).map_err(|_| Error::Corrupt("requests.response"))?;
    Ok(Some(response))
}

/// What is remembered of a request.
fn row(key: &RequestKey, response: &impl Message, now: Timestamp) -> NewRow {
    NewRow {
        columns: "requests (caller, request_id, method, digest, response, recorded_at)",
        values: vec![
            Value::Text(key.caller.clone()),
            Value::Id(key.request_id),
            Value::Text(key.method.to_owned()),
            Value::Bytes(key.digest.clone()),
            Value::Bytes(response.encode_to_vec()),
            Value::Number(to_micros(now)),
        ],
    }
}

/// Forgets at most `limit` requests answered before `before`; answers how many. Operators keep 30 days by default.
pub async fn forget_requests_before<DB: Engine>(db: &Db<DB>, before: Timestamp, limit: i64) -> Result<u64> {
    db.write(move |connection| {
        Box::pin(async move {
            let forgotten = sqlx::query(
                "DELETE FROM requests WHERE (caller, request_id) IN
                 (SELECT caller, request_id FROM requests WHERE recorded_at < $1 LIMIT $2) RETURNING recorded_at",
            )
            .bind(to_micros(before))
            .bind(limit)
            .fetch_all(connection)
            .await?;
            Ok(forgotten.len() as u64)
        })
    })
    .await
}
