//! Connections on lease from a pool.
//!
//! A pool of sqlx asks a connection whether it is alive each time it is given back: a round trip, or a thread woken, for
//! every read, and a task to make it in. A lease is handed on from one user to the next instead, and given back after
//! [`TERM`]: a connection that broke is found by the next user, and by the pool within that time.

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::observe::PoolState;

/// How long a connection is handed on before the pool looks at it again: for so long may one that broke go on failing.
const TERM: Duration = Duration::from_millis(250);

/// A pool, and those of its connections that are on lease. Cheap to clone.
pub(crate) struct Leases<DB: Database>(Arc<Shared<DB>>);

struct Shared<DB: Database> {
    name: &'static str,
    pool: Pool<DB>,
    idle: Mutex<Vec<Leased<DB>>>,
    /// One for each connection that the pool may open, so that nobody waits at the pool while a lease lies idle.
    places: Arc<Semaphore>,
}

struct Leased<DB: Database> {
    connection: PoolConnection<DB>,
    until: Instant,
}

impl<DB: Database> Clone for Leases<DB> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<DB: Database> Leases<DB> {
    /// Leases of `pool`, which is called `name` to telemetry.
    pub(crate) fn new(name: &'static str, pool: Pool<DB>) -> Self {
        let places = usize::try_from(pool.options().get_max_connections()).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            name,
            pool,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(places)),
        }))
    }

    /// A connection, waited for as long as the pool's options say.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`], [`sqlx::Error::PoolClosed`], and what connecting fails with.
    pub(crate) async fn take(&self) -> sqlx::Result<Lease<DB>> {
        let Shared { pool, places, .. } = &*self.0;
        let place = timeout(pool.options().get_acquire_timeout(), places.clone().acquire_owned()).await;
        let place = place.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.0.idle().pop();
        let leased = match idle {
            Some(leased) => leased,
            None => Leased {
                connection: pool.acquire().await?,
                until: Instant::now() + TERM,
            },
        };
        Ok(Lease {
            leased: Some(leased),
            shared: self.0.clone(),
            _place: place,
        })
    }

    /// Gives every connection back and closes it, those in use when they are through.
    pub(crate) async fn close(&self) {
        // Closed from here on, so that no lease comes back among the idle ones behind us.
        let closed = self.0.pool.close();
        self.0.idle().clear();
        closed.await;
    }

    pub(crate) fn state(&self) -> PoolState {
        let (pool, lying) = (&self.0.pool, self.0.idle().len());
        let idle = u32::try_from(pool.num_idle() + lying).unwrap_or(u32::MAX);
        PoolState {
            name: self.0.name,
            idle,
            used: pool.size().saturating_sub(idle),
            max: pool.options().get_max_connections(),
        }
    }
}

impl<DB: Database> Shared<DB> {
    fn idle(&self) -> MutexGuard<'_, Vec<Leased<DB>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on lease, handed on when dropped.
pub(crate) struct Lease<DB: Database> {
    /// There until it is dropped.
    leased: Option<Leased<DB>>,
    shared: Arc<Shared<DB>>,
    _place: OwnedSemaphorePermit,
}

impl<DB: Database> Lease<DB> {
    /// Has the connection closed when dropped: nobody knows in which state it is.
    pub(crate) fn discard(&mut self) {
        if let Some(leased) = &mut self.leased {
            leased.connection.close_on_drop();
            leased.until = Instant::now();
        }
    }
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        let Some(leased) = self.leased.take() else { return };
        let mut idle = self.shared.idle();
        if Instant::now() < leased.until && !self.shared.pool.is_closed() {
            idle.push(leased);
        }
    }
}

const TAKEN: &str = "only `drop` takes the connection out";

impl<DB: Database> Deref for Lease<DB> {
    type Target = DB::Connection;

    #[expect(clippy::expect_used, reason = "nothing can use what has been dropped")]
    fn deref(&self) -> &DB::Connection {
        &self.leased.as_ref().expect(TAKEN).connection
    }
}

impl<DB: Database> DerefMut for Lease<DB> {
    #[expect(clippy::expect_used, reason = "nothing can use what has been dropped")]
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.leased.as_mut().expect(TAKEN).connection
    }
}
