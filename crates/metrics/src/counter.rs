//! One number.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows, or a level that goes up and down. Reads and writes are relaxed: each counter is exact,
/// two of them read together are not.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Takes `n` off again.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
