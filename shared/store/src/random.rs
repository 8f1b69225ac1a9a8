//! The one place for randomness: handed over like the clock, so that a test or a simulation can repeat itself.

use aws_lc_rs::digest;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

/// Gives random bytes. Cheap to clone.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

impl Random {
    /// The operating system's generator, through the cryptographic library.
    ///
    /// # Panics
    /// When the system has no randomness to give: nothing safe can be done then.
    pub fn system() -> Self {
        Self(Arc::new(|bytes| {
            #[expect(
                clippy::expect_used,
                reason = "without randomness no key, salt or identifier may be made"
            )]
            aws_lc_rs::rand::fill(bytes).expect("the system's random generator failed");
        }))
    }

    /// A repeatable stream, for tests and simulations only.
    pub fn seeded(seed: u64) -> Self {
        let counter = AtomicU64::new(0);
        Self(Arc::new(move |bytes| {
            for chunk in bytes.chunks_mut(32) {
                let block = counter.fetch_add(1, Ordering::SeqCst);
                let input = [seed.to_be_bytes(), block.to_be_bytes()].concat();
                let hash = digest::digest(&digest::SHA256, &input);
                chunk.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
            }
        }))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }

    /// A random UUID (RFC 9562, version 4).
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Random")
    }
}
