//! The one place for time: instants are UTC, to the microsecond, and come from a [`Clock`] that is handed over.

use jiff::SignedDuration;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub use jiff::Timestamp;

use crate::{Error, Result};

/// Microseconds since 1970, as stored.
pub fn to_micros(instant: Timestamp) -> i64 {
    instant.as_microsecond()
}

/// The instant of a stored number of microseconds.
///
/// # Errors
/// [`Error::Corrupt`] outside of the years −9999 to 9999.
pub fn from_micros(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| Error::Corrupt("a time"))
}

/// As the contracts carry it.
pub fn to_proto(instant: Timestamp) -> prost_types::Timestamp {
    let micros = instant.as_microsecond();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos,
    }
}

/// From the contracts, truncated to the microsecond; `None` outside of the calendar.
pub fn from_proto(instant: &prost_types::Timestamp) -> Option<Timestamp> {
    let exact = Timestamp::new(instant.seconds, instant.nanos).ok()?;
    Timestamp::from_microsecond(exact.as_microsecond()).ok()
}

/// Tells the time. Cheap to clone; the same everywhere in a process.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
        Self(Arc::new(|| truncate(Timestamp::now())))
    }

    /// A clock that stands still until it is told to move.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let manual = ManualClock(Arc::new(AtomicI64::new(start.as_microsecond())));
        let shared = manual.0.clone();
        let clock = Self(Arc::new(move || {
            Timestamp::from_microsecond(shared.load(Ordering::SeqCst)).unwrap_or(Timestamp::UNIX_EPOCH)
        }));
        (clock, manual)
    }

    /// Now, to the microsecond.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Clock({})", self.now())
    }
}

fn truncate(instant: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(instant.as_microsecond()).unwrap_or(instant)
}

/// Moves a manual [`Clock`].
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Moves the clock by `duration`, backwards when it is negative.
    pub fn advance(&self, duration: SignedDuration) {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets the clock.
    pub fn set(&self, instant: Timestamp) {
        self.0.store(instant.as_microsecond(), Ordering::SeqCst);
    }
}
