//! Random numbers: SplitMix64, seeded by the kernel or by a test.
//!
//! Good for spreading, jitter and identifiers; not for secrets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The golden ratio step of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A generator. Clones share one sequence; [`Rng::child`] starts another.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: u64,
    state: Arc<AtomicU64>,
}

impl Rng {
    /// A generator with a seed from the kernel.
    pub fn real() -> Rng {
        let mut seed = [0; 8];
        let flags = rustix::rand::GetRandomFlags::empty();
        let filled = rustix::rand::getrandom(&mut seed, flags);
        assert_eq!(filled, Ok(seed.len()), "getrandom(2) fills 8 bytes on every supported kernel");
        Rng::seeded(u64::from_ne_bytes(seed))
    }

    /// A generator whose sequence depends on `seed` alone.
    pub fn seeded(seed: u64) -> Rng {
        Rng { seed, state: Arc::new(AtomicU64::new(seed)) }
    }

    /// Another generator, whose sequence depends on this one's seed and on `name` only: not on what
    /// was drawn before.
    #[must_use]
    pub fn child(&self, name: &str) -> Rng {
        let seed = name.bytes().fold(mix(self.seed), |hash, byte| mix(hash ^ u64::from(byte)));
        Rng::seeded(seed)
    }

    /// The next 64 bits.
    pub fn u64(&self) -> u64 {
        mix(self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }

    /// A number in `0..n`, each equally likely.
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn below(&self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below 0");
        // Drawn again where a remainder would favor small numbers.
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let drawn = self.u64();
            if drawn < limit {
                return drawn % n;
            }
        }
    }

    /// True once in `n` calls on average; never when `n` is 0.
    pub fn one_in(&self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// Fills `buf`.
    pub fn fill(&self, buf: &mut [u8]) {
        for chunk in buf.chunks_mut(8) {
            chunk.copy_from_slice(&self.u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The sequence is SplitMix64's, so that a seed means the same in every version.
    #[test]
    fn known_sequence() {
        let rng = Rng::seeded(1_234_567);
        let drawn = [rng.u64(), rng.u64(), rng.u64()];
        let expected =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(drawn, expected);
    }

    // A child depends on seed and name alone.
    #[test]
    fn children() {
        let (a, b) = (Rng::seeded(5), Rng::seeded(5));
        b.u64();
        assert_eq!(a.child("x").u64(), b.child("x").u64());
        assert_ne!(a.child("x").u64(), a.child("y").u64());
    }

    // Numbers stay below the limit and reach every value; bytes are filled to the last.
    #[test]
    fn below_and_fill() {
        let rng = Rng::real();
        let mut seen = [false; 7];
        (0..1000).for_each(|_| seen[rng.below(7) as usize] = true);
        assert_eq!(seen, [true; 7]);
        let mut bytes = [0; 13];
        while bytes[12] == 0 {
            rng.fill(&mut bytes);
        }
    }
}
