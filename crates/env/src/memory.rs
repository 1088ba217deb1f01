//! The memory that others can make this process hold, in named pools, each with a limit and a gauge.
//!
//! A [`Hold`] is one owner's part of a pool. It is counted when it changes size, which is at most once
//! per read of a connection, never per message.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::limits;

/// The key that sets the sum of all pools.
pub const KEY: &str = "memoryLimitBytes";

/// Holds up to this many bytes may use all of a pool, larger ones only three quarters of it: who sends
/// little gets on beside those who send much.
pub const SMALL_BYTES: usize = 16 << 10;

/// Share of a pool that holds above [`SMALL_BYTES`] may use: three in four.
const LARGE_SHARE: (usize, usize) = (3, 4);

/// The pools of one process.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Requests that have arrived in part.
    pub requests: Arc<Pool>,
    /// Answers that their peers have not read.
    pub answers: Arc<Pool>,
    /// Requests that wait for their answer: sends for the disk, pulls for messages or the disk.
    pub waiting: Arc<Pool>,
    /// What clients have announced: groups and subscriptions.
    pub clients: Arc<Pool>,
}

/// A share of the memory.
#[derive(Debug)]
pub struct Pool {
    name: &'static str,
    what: &'static str,
    limit: usize,
    used: AtomicUsize,
    refused: AtomicU64,
}

/// A pool that has no room for what should be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} would hold {value} bytes, the limit is {limit} (a share of {KEY})")]
pub struct Full {
    /// What the pool is for.
    pub what: &'static str,
    /// Bytes it would hold.
    pub value: usize,
    /// Bytes it may hold.
    pub limit: usize,
}

/// One owner's part of a pool; given back when it is dropped.
pub struct Hold {
    pool: Arc<Pool>,
    bytes: usize,
}

impl Memory {
    /// Pools that hold `limit` bytes together, but never less than [`limits::MEMORY_MIN`].
    pub fn new(limit: u64) -> Memory {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(limits::MEMORY_MIN);
        let pool = |name, what, eighths: usize| {
            Arc::new(Pool {
                name,
                what,
                limit: limit / 8 * eighths,
                used: AtomicUsize::new(0),
                refused: AtomicU64::new(0),
            })
        };
        Memory {
            requests: pool("requests", "requests that have arrived in part", 3),
            answers: pool("answers", "answers that wait to be read", 2),
            waiting: pool("waiting", "requests that wait for their answer", 2),
            clients: pool("clients", "what clients have announced", 1),
        }
    }

    /// Pools of the default size: a quarter of what the process may use. The rest is for the page cache,
    /// which readers live off, and for tables that have limits of their own.
    pub fn for_machine() -> Memory {
        Memory::new(limits::memory_limit() / 4)
    }

    /// Every pool, for whoever shows their gauges.
    pub fn pools(&self) -> [&Pool; 4] {
        [&self.requests, &self.answers, &self.waiting, &self.clients]
    }
}

impl Pool {
    /// Its name in metrics.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How often something was refused for lack of room.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Whether more than half of it is used.
    pub fn is_pressed(&self) -> bool {
        self.used() > self.limit / 2
    }

    /// Whether `bytes` more fit now, for what is counted only when it is there.
    ///
    /// # Errors
    /// When they do not.
    pub fn check(&self, bytes: usize) -> Result<(), Full> {
        self.check_below(bytes, self.limit)
    }

    /// The same for what may use three quarters only: what is large, or may wait for long.
    ///
    /// # Errors
    /// When they do not.
    pub fn check_patient(&self, bytes: usize) -> Result<(), Full> {
        self.check_below(bytes, self.large_limit())
    }

    fn check_below(&self, bytes: usize, limit: usize) -> Result<(), Full> {
        let value = self.used().saturating_add(bytes);
        if value <= limit { Ok(()) } else { Err(Full { what: self.what, value, limit }) }
    }

    /// Notes that something was refused for lack of room.
    pub fn count_refusal(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    fn large_limit(&self) -> usize {
        let (part, whole) = LARGE_SHARE;
        self.limit / whole * part
    }

    fn limit_for(&self, bytes: usize) -> usize {
        if bytes <= SMALL_BYTES { self.limit } else { self.large_limit() }
    }
}

impl Hold {
    /// Holds nothing yet.
    pub fn new(pool: &Arc<Pool>) -> Hold {
        Hold { pool: Arc::clone(pool), bytes: 0 }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds `bytes` from now on, whether there is room or not: for what is bounded otherwise, or there
    /// already.
    pub fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.pool.used.fetch_add(bytes - self.bytes, Relaxed);
        } else if bytes < self.bytes {
            self.pool.used.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
    }

    /// Holds `bytes` from now on if there is room.
    ///
    /// # Errors
    /// When there is not: it goes on holding what it held.
    pub fn try_set(&mut self, bytes: usize) -> Result<(), Full> {
        if bytes <= self.bytes {
            self.set(bytes);
            return Ok(());
        }
        let more = bytes - self.bytes;
        let (value, limit) =
            (self.pool.used.fetch_add(more, Relaxed) + more, self.pool.limit_for(bytes));
        if value > limit {
            self.pool.used.fetch_sub(more, Relaxed);
            self.pool.count_refusal();
            return Err(Full { what: self.pool.what, value, limit });
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {}", self.bytes, self.pool.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pools share the limit among them, and none is useless on a small machine.
    #[test]
    fn shares() {
        for (limit, sum) in [(1 << 30, 1 << 30), (0, limits::MEMORY_MIN), (u64::MAX, usize::MAX)] {
            let memory = Memory::new(limit);
            let shares: usize = memory.pools().iter().map(|pool| pool.limit()).sum();
            assert!(shares <= sum && shares > sum - 64, "{shares}");
            assert!(memory.pools().iter().all(|pool| pool.limit() >= 8 << 20));
        }
    }

    /// What does not fit is refused with numbers and key, and changes nothing; dropping gives back.
    #[test]
    fn holds() {
        let memory = Memory::new(0);
        let pool = &memory.clients;
        let large = pool.limit() / 4 * 3;
        let mut first = Hold::new(pool);
        first.try_set(large).unwrap();
        let mut second = Hold::new(pool);
        let full = second.try_set(SMALL_BYTES + 1).unwrap_err();
        assert_eq!((full.value, full.limit), (large + SMALL_BYTES + 1, large));
        assert!(full.to_string().ends_with("the limit is 6291456 (a share of memoryLimitBytes)"));
        assert_eq!((pool.used(), second.bytes(), pool.refused()), (large, 0, 1));
        // Little things still fit.
        second.try_set(SMALL_BYTES).unwrap();
        assert!(pool.check(SMALL_BYTES).is_ok() && pool.check_patient(1).is_err());
        assert!(pool.is_pressed());
        drop(first);
        assert_eq!(pool.used(), SMALL_BYTES);
        second.set(pool.limit() + 1);
        assert!(pool.check(1).is_err());
        drop(second);
        assert_eq!(pool.used(), 0);
    }
}
