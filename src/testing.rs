//! Deterministic doubles of [`crate::env`], for tests and for the generator of the spec's vectors.
//!
//! Only in test builds: a seedable source of keys in the shipped binary would repeat nonces.

use crate::env::{Clock, Entropy, EntropyError, Timestamp};
use std::sync::Mutex;

/// Entropy that anyone can repeat: BLAKE3's output stream over a seed.
///
/// fill(n) = the next n bytes of XOF(derive_key("icecore testing entropy", seed)), so the order of
/// the calls matters and their sizes do not.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<blake3::OutputReader>);

impl SeededEntropy {
    /// Starts the stream of `seed`.
    pub fn new(seed: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("icecore testing entropy");
        hasher.update(seed.as_bytes());
        Self(Mutex::new(hasher.finalize_xof()))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        let stream = self.0.lock();
        let mut stream = stream.unwrap_or_else(std::sync::PoisonError::into_inner);
        stream.fill(buffer);
        Ok(())
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct FixedClock(Mutex<Timestamp>);

impl FixedClock {
    /// Stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves it.
    pub fn set(&self, now: Timestamp) {
        *self.lock() = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Timestamp> {
        let now = self.0.lock();
        now.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.lock()
    }
}
