//! Whether a figure reaches its goal.

use super::rows::{Figure, Goal, SYNC_IN_FLIGHT};

/// The medians that a goal may refer to; None = not measured in this run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Medians {
    pub apogee: Option<f64>,
    pub java: Option<f64>,
    pub null: Option<f64>,
    /// The same figure of Apogee with asynchronous flush.
    pub own_async: Option<f64>,
    /// The disk's p50 of `fdatasync` in µs.
    pub fdatasync_us: Option<f64>,
    /// The disk's buffered write rate in MB/s.
    pub disk_mb_per_s: Option<f64>,
}

impl Goal {
    /// The value that Apogee must reach; None when there is no goal or what it refers to is missing.
    pub(crate) fn value(self, medians: &Medians) -> Option<f64> {
        match self {
            Goal::Open => None,
            Goal::Times(times) => Some(medians.java? * times),
            Goal::AtMost(value) => Some(value),
            Goal::Tail => {
                let fifth = medians.java? / 5.0;
                Some(medians.null.map_or(fifth, |null| fifth.max(1.5 * null)))
            }
            Goal::OverNull(more) => Some(medians.null? + more),
            Goal::ShareOfNull(share) => Some(medians.null? * share),
            Goal::OverFdatasync(more) => Some(medians.fdatasync_us? + more),
            Goal::SyncRate => {
                let disk = 0.8 * SYNC_IN_FLIGHT * 1e6 / medians.fdatasync_us?;
                let own = medians.own_async.map_or(f64::INFINITY, |rate| 0.7 * rate);
                Some(disk.min(5.0 * medians.java?).min(own))
            }
            Goal::ShareOfAsync(share) => Some(medians.own_async? * share),
            Goal::ShareOfDisk(share) => Some(medians.disk_mb_per_s? * share),
        }
    }

    /// Whether Apogee reaches it; None as in [`Goal::value`].
    pub(crate) fn reached(self, figure: Figure, medians: &Medians) -> Option<bool> {
        let (value, own) = (self.value(medians)?, medians.apogee?);
        Some(if figure.more_is_better() { own >= value } else { own <= value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Goals that depend on several yardsticks take the one that the table names.
    #[test]
    fn composed_goals() {
        let medians = Medians {
            apogee: Some(100_000.0),
            java: Some(50_000.0),
            null: Some(400.0),
            own_async: Some(200_000.0),
            fdatasync_us: Some(1000.0),
            disk_mb_per_s: None,
        };
        assert_eq!(Goal::SyncRate.value(&medians), Some(140_000.0));
        assert_eq!(Goal::SyncRate.reached(Figure::Rate, &medians), Some(false));
        assert_eq!(Goal::Tail.value(&Medians { java: Some(1000.0), ..medians }), Some(600.0));
        assert_eq!(Goal::Tail.value(&Medians { java: Some(9000.0), ..medians }), Some(1800.0));
        assert_eq!(Goal::ShareOfDisk(0.8).reached(Figure::Disk, &medians), None);
    }
}
