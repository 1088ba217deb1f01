//! How values are distributed, over fixed bounds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the buckets, each included, rising; what is above the last is counted beyond them.
#[derive(Debug)]
pub struct Bounds<const N: usize> {
    /// The bounds, in the unit that is recorded.
    pub upper: [u64; N],
    /// What the unit that is recorded has of the unit that is told: 0.001 where microseconds are recorded and
    /// milliseconds are told.
    pub scale: f64,
}

impl<const N: usize> Bounds<N> {
    /// A value in the unit that is told, without the rest that binary fractions leave.
    fn told(&self, value: u64) -> f64 {
        (value as f64 * self.scale * 1e9).round() / 1e9
    }

    /// The bucket that a value belongs to; `N` is beyond all.
    #[inline]
    fn bucket(&self, value: u64) -> usize {
        self.upper.iter().position(|bound| value <= *bound).unwrap_or(N)
    }
}

/// A distribution that any thread adds to. The count is the sum of the buckets, so the two always agree.
///
/// It has cache lines of its own, and an addition to one of the first buckets touches one of them.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Histogram<const N: usize> {
    bounds: &'static Bounds<N>,
    sum: AtomicU64,
    buckets: [AtomicU64; N],
    beyond: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new(bounds: &'static Bounds<N>) -> Self {
        let buckets = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds, sum: AtomicU64::new(0), buckets, beyond: AtomicU64::new(0) }
    }

    /// Records one value.
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// Records the same value so many times.
    pub fn record_many(&self, value: u64, times: u64) {
        self.slot(self.bounds.bucket(value)).fetch_add(times, Relaxed);
        if value > 0 {
            self.sum.fetch_add(value.saturating_mul(times), Relaxed);
        }
    }

    /// Adds what was counted apart.
    pub fn merge(&self, tally: &Tally<N>) {
        for (bucket, count) in tally.buckets.iter().enumerate() {
            if *count > 0 {
                self.slot(bucket).fetch_add(*count, Relaxed);
            }
        }
        if tally.beyond > 0 {
            self.beyond.fetch_add(tally.beyond, Relaxed);
        }
        self.sum.fetch_add(tally.sum, Relaxed);
    }

    /// Values recorded.
    pub fn count(&self) -> u64 {
        let buckets = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum::<u64>();
        buckets + self.beyond.load(Relaxed)
    }

    /// Cumulative counts: of each bound in the unit that is told, and of all.
    pub(crate) fn cumulative(&self) -> (Vec<(f64, u64)>, u64) {
        let mut count = 0;
        let each = self.bounds.upper.iter().zip(&self.buckets).map(|(bound, bucket)| {
            count += bucket.load(Relaxed);
            (self.bounds.told(*bound), count)
        });
        let each = each.collect();
        (each, count + self.beyond.load(Relaxed))
    }

    /// Sum of the values, in the unit that is told.
    pub(crate) fn sum(&self) -> f64 {
        self.bounds.told(self.sum.load(Relaxed))
    }

    fn slot(&self, bucket: usize) -> &AtomicU64 {
        self.buckets.get(bucket).unwrap_or(&self.beyond)
    }
}

/// A distribution that one thread adds to, to be merged into a [`Histogram`] at once.
#[derive(Debug, Clone, Copy)]
pub struct Tally<const N: usize> {
    bounds: &'static Bounds<N>,
    buckets: [u64; N],
    beyond: u64,
    sum: u64,
}

impl<const N: usize> Tally<N> {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new(bounds: &'static Bounds<N>) -> Self {
        Self { bounds, buckets: [0; N], beyond: 0, sum: 0 }
    }

    /// Records the same value so many times.
    #[inline]
    pub fn record_many(&mut self, value: u64, times: u64) {
        *self.buckets.get_mut(self.bounds.bucket(value)).unwrap_or(&mut self.beyond) += times;
        self.sum += value * times;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static BOUNDS: Bounds<3> = Bounds { upper: [10, 100, 1000], scale: 0.001 };

    /// Shows that a bound is included, that what is above all bounds counts, and that the counts are cumulative.
    #[test]
    fn bounds_are_included() {
        let histogram = Histogram::new(&BOUNDS);
        for value in [0, 10, 11, 100, 1000, 1001, u64::from(u32::MAX)] {
            histogram.record(value);
        }
        let (each, all) = histogram.cumulative();
        assert_eq!(each, [(0.01, 2), (0.1, 4), (1.0, 5)]);
        assert_eq!((all, histogram.count()), (7, 7));
    }

    /// Shows that counting apart and merging gives what recording gives.
    #[test]
    fn a_tally_is_merged() {
        let (recorded, merged) = (Histogram::new(&BOUNDS), Histogram::new(&BOUNDS));
        let mut tally = Tally::new(&BOUNDS);
        for (value, times) in [(5, 3), (11, 1), (5000, 2)] {
            recorded.record_many(value, times);
            tally.record_many(value, times);
        }
        merged.merge(&tally);
        assert_eq!(recorded.cumulative(), merged.cumulative());
        assert_eq!((recorded.sum(), merged.sum()), (10.026, 10.026));
    }
}
