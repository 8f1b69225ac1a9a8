//! A repeated request is answered, not done again (AIP-155).

use aws_lc_rs::digest;
use futures::future::BoxFuture;
use prost::Message;
use sqlx::Row;
use uuid::Uuid;

use crate::time::{Timestamp, to_micros};
use crate::{Db, Engine, Error, Result};

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

/// Runs `work` in a write transaction unless this request was answered before; its answer is remembered in the same
/// transaction as its effect, so that either both are there or neither.
///
/// # Errors
/// [`Error::RequestIdReused`] when the id was used for another request; those of [`Db::write`]; the work's own.
pub async fn once<DB, R, E, F>(db: &Db<DB>, key: RequestKey, now: Timestamp, work: F) -> Result<Answered<R>, E>
where
    DB: Engine,
    R: Message + Default + 'static,
    E: From<Error> + Send + 'static,
    F: for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, Result<R, E>> + Send + 'static,
{
    db.write(move |connection| {
        Box::pin(async move {
            if !claim::<DB>(connection, &key, now).await? {
                let response = remembered::<DB, R>(connection, &key).await?;
                return Ok(Answered {
                    response,
                    replayed: true,
                });
            }
            let response = work(connection).await?;
            remember::<DB>(connection, &key, &response).await?;
            Ok(Answered {
                response,
                replayed: false,
            })
        })
    })
    .await
}

/// True when this transaction is the first to see the request. On PostgreSQL a twin in flight is waited for here.
async fn claim<DB: Engine>(connection: &mut DB::Connection, key: &RequestKey, now: Timestamp) -> Result<bool> {
    let claimed = sqlx::query(
        "INSERT INTO requests (caller, request_id, method, digest, response, recorded_at)
         VALUES ($1, $2, $3, $4, NULL, $5) ON CONFLICT DO NOTHING RETURNING request_id",
    )
    .bind(key.caller.as_str())
    .bind(key.request_id)
    .bind(key.method)
    .bind(key.digest.as_slice())
    .bind(to_micros(now))
    .fetch_optional(connection)
    .await?;
    Ok(claimed.is_some())
}

async fn remembered<DB: Engine, R: Message + Default>(connection: &mut DB::Connection, key: &RequestKey) -> Result<R> {
    let row = sqlx::query("SELECT method, digest, response FROM requests WHERE caller = $1 AND request_id = $2")
        .bind(key.caller.as_str())
        .bind(key.request_id)
        .fetch_one(connection)
        .await?;
    let (method, digest): (String, Vec<u8>) = (row.try_get("method")?, row.try_get("digest")?);
    if method != key.method || digest != key.digest {
        return Err(Error::RequestIdReused);
    }
    let response: Vec<u8> = row.try_get("response")?;
    R::decode(response.as_slice()).map_err(|_| Error::Corrupt("requests.response"))
}

async fn remember<DB: Engine>(
    connection: &mut DB::Connection,
    key: &RequestKey,
    response: &impl Message,
) -> Result<()> {
    sqlx::query("UPDATE requests SET response = $3 WHERE caller = $1 AND request_id = $2")
        .bind(key.caller.as_str())
        .bind(key.request_id)
        .bind(response.encode_to_vec())
        .execute(connection)
        .await?;
    Ok(())
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
