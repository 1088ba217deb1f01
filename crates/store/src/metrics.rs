//! What operators are told about appends and syncs, as histograms.

use std::time::Duration;

use metrics::{Bounds, Histogram, Kind, Page};

/// Bounds of the times that appends and syncs take, from 0.1 ms to 10 s; recorded in microseconds, told in seconds.
static TIMES: Bounds<15> = Bounds {
    upper: [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
        1_000_000, 2_500_000, 10_000_000,
    ],
    scale: 1e-6,
};

/// Histograms of a store since it was opened.
#[derive(Debug)]
pub struct Metrics {
    /// How long batches waited to be appended, those that did not included: with 0.
    append_wait: Histogram<15>,
    /// How long a sync of the log took.
    flush_duration: Histogram<15>,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        Metrics { append_wait: Histogram::new(&TIMES), flush_duration: Histogram::new(&TIMES) }
    }

    /// A batch was appended or refused after so long.
    pub(crate) fn append_waited(&self, waited: Duration) {
        self.append_wait.record(micros(waited));
    }

    /// The log was synced, which took so long.
    pub(crate) fn synced(&self, took: Duration) {
        self.flush_duration.record(micros(took));
    }

    /// Writes both.
    pub fn write(&self, page: &mut Page) {
        page.family(
            "apogee_store_append_wait_seconds",
            Kind::Histogram,
            "How long batches of messages waited to be appended to the log.",
        )
        .histogram(&[], &self.append_wait);
        page.family(
            "apogee_store_flush_duration_seconds",
            Kind::Histogram,
            "How long syncs of the log (fdatasync) took.",
        )
        .histogram(&[], &self.flush_duration);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
