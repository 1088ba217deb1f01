//! Counters since the start of the process, rates over the last seconds and minutes (28), and what came and went in
//! the last minute, hour and day (315).
//!
//! A task takes a sample of the counters each second; a rate is the difference of two samples. Days are those of
//! UTC. Nothing here outlives the process.

mod windows;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::Stop;
use parking_lot::Mutex;
use store::Appended;
use wire::body::BrokerStatsData;

pub use crate::stats::windows::{Amount, Windows};
use crate::{Broker, limits};

/// Time between samples.
const PERIOD: Duration = Duration::from_secs(1);
/// Samples apart that rates are told of, in the order in which tools expect them.
const WINDOWS: [usize; 3] = [10, 60, 600];
const DAY_MS: i64 = 86_400_000;

/// The counters. Every read of a connection adds to them, so nothing else lies beside them.
#[derive(Default)]
#[repr(align(64))]
pub struct Stats {
    sent: AtomicU64,
    refused: AtomicU64,
    found: AtomicU64,
    missed: AtomicU64,
    transferred: AtomicU64,
    fetched: AtomicU64,
    history: Mutex<History>,
    /// What was stored in each topic.
    stored: Mutex<HashMap<String, Box<Windows>>>,
}

#[derive(Default)]
struct History {
    samples: VecDeque<Sample>,
    /// What of all topics is counted over time, by [`Total`].
    windows: [Windows; Total::ALL.len()],
    /// Days since 1970 of the last sample.
    day: i64,
    /// The totals when this day began, and the one before.
    mornings: [Totals; 2],
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// When.
    at: Duration,
    /// Records appended.
    pub appended: u64,
    /// Pulls answered with messages.
    pub found: u64,
    /// Pulls answered without.
    pub missed: u64,
    /// Messages in answers to pulls.
    pub transferred: u64,
    /// What of it was not for topics of the system.
    totals: Totals,
}

/// What of all topics is counted over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Records that were stored.
    Stored,
    /// Messages that clients sent, but for topics of the system.
    Sent,
    /// Messages in answers to pulls.
    Transferred,
    /// The same, but for topics of the system.
    Fetched,
}

impl Total {
    const ALL: [Total; 4] = [Total::Stored, Total::Sent, Total::Transferred, Total::Fetched];

    fn of(self, sample: &Sample) -> u64 {
        match self {
            Total::Stored => sample.appended,
            Total::Sent => sample.totals.sent,
            Total::Transferred => sample.transferred,
            Total::Fetched => sample.totals.fetched,
        }
    }
}

/// Pulls that were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulls {
    /// With messages.
    pub found: u64,
    /// Without.
    pub missed: u64,
}

/// What clients sent and got, topics of the system left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that clients sent.
    pub sent: u64,
    /// Messages that consumers got.
    pub fetched: u64,
}

/// The totals at three moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Days {
    /// When yesterday began.
    pub yesterday: Totals,
    /// When today began.
    pub today: Totals,
    /// Now.
    pub now: Totals,
}

impl Stats {
    /// Clients sent so many messages to topics that are not the system's.
    pub fn sent(&self, messages: usize) {
        self.sent.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// So many sends were not stored.
    pub fn refused(&self, sends: usize) {
        self.refused.fetch_add(sends as u64, Ordering::Relaxed);
    }

    /// A pull was answered with so many messages, of a topic of the system or not.
    pub fn pulled(&self, messages: u32, of_system: bool) {
        if messages == 0 {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.found.fetch_add(1, Ordering::Relaxed);
        self.transferred.fetch_add(u64::from(messages), Ordering::Relaxed);
        if !of_system {
            self.fetched.fetch_add(u64::from(messages), Ordering::Relaxed);
        }
    }

    /// So much was stored in topics.
    pub fn stored(&self, appended: &Appended, now: Duration) {
        let amounts = appended.amounts();
        let mut topics = self.stored.lock();
        // Most batches are of one topic, and its queues come one after the other.
        for same in amounts.chunk_by(|one, next| one.0.topic() == next.0.topic()) {
            let topic = same[0].0.topic();
            let sum = |of: fn(&(&store::Queue, u64, u64)) -> u64| same.iter().map(of).sum();
            let (messages, bytes) = (sum(|amount| amount.1), sum(|amount| amount.2));
            let amount = Amount { times: messages, messages, bytes };
            if let Some(windows) = topics.get_mut(topic) {
                windows.add(now, amount);
            } else if topics.len() < limits::WINDOWS {
                topics.entry(topic.to_owned()).or_default().add(now, amount);
            }
        }
    }

    /// What was stored in a topic; `None` if nothing was since the start.
    pub fn of_topic(
        &self,
        topic: &str,
        now: Duration,
        of: fn(&Amount) -> u64,
    ) -> Option<BrokerStatsData> {
        self.stored.lock().get_mut(topic).map(|windows| windows.view(now, of))
    }

    /// Forgets a topic.
    pub fn remove_topic(&self, topic: &str) {
        self.stored.lock().remove(topic);
    }

    /// What there was in all topics, a second late at most.
    pub fn of_all(&self, total: Total, now: Duration) -> BrokerStatsData {
        self.history.lock().windows[total as usize].view(now, |amount| amount.messages)
    }

    /// Pulls that were answered, with messages and without.
    pub fn pulls(&self) -> Pulls {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Pulls { found: load(&self.found), missed: load(&self.missed) }
    }

    /// Sends that were not stored.
    pub fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The totals now and when the last two days began.
    pub fn days(&self) -> Days {
        let now = self.totals();
        let [today, yesterday] = self.history.lock().mornings;
        Days { yesterday, today, now }
    }

    /// What `counter` gained a second, over each of the windows: three numbers and spaces, as tools split them. A
    /// window that is longer than the process runs has none.
    pub fn rates(&self, counter: impl Fn(&Sample) -> u64) -> String {
        let samples = &self.history.lock().samples;
        let rate = |window| match (samples.front(), samples.get(window)) {
            (Some(last), Some(before)) => {
                let seconds = last.at.saturating_sub(before.at).as_secs_f64().max(0.001);
                format!("{:?}", counter(last).saturating_sub(counter(before)) as f64 / seconds)
            }
            _ => String::new(),
        };
        WINDOWS.map(rate).join(" ")
    }

    fn totals(&self) -> Totals {
        Totals {
            sent: self.sent.load(Ordering::Relaxed),
            fetched: self.fetched.load(Ordering::Relaxed),
        }
    }

    /// Takes a sample; `at` is monotonic.
    fn sample(&self, at: Duration, now_ms: i64, appended: u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sample = Sample {
            at,
            appended,
            found: load(&self.found),
            missed: load(&self.missed),
            transferred: load(&self.transferred),
            totals: self.totals(),
        };
        let mut history = self.history.lock();
        let before = history.samples.front().copied().unwrap_or_default();
        for total in Total::ALL {
            let messages = total.of(&sample).saturating_sub(total.of(&before));
            let amount = Amount { times: messages, messages, bytes: 0 };
            history.windows[total as usize].add(at, amount);
        }
        history.samples.push_front(sample);
        history.samples.truncate(WINDOWS[2] + 1);
        let day = now_ms.div_euclid(DAY_MS);
        if history.day != day {
            let is_first = history.samples.len() == 1;
            history.day = day;
            if !is_first {
                history.mornings = [self.totals(), history.mornings[0]];
            }
        }
    }
}

/// The task: samples until told to stop.
pub(crate) async fn run(broker: Broker, stop: Stop) {
    while !stop.is_stopped() {
        let clock = &broker.env.clock;
        broker.stats.sample(clock.mono(), clock.wall_ms(), broker.store.counters().records);
        tokio::select! {
            () = clock.sleep(PERIOD) => {}
            () = stop.stopped() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows that a rate is the gain between two samples over their time, and missing until the window is over.
    #[test]
    fn rates_need_their_window() {
        let stats = Stats::default();
        for second in 0..=60 {
            stats.sample(Duration::from_secs(second), 0, second * 4);
            stats.pulled(32, false);
        }
        assert_eq!(stats.rates(|sample| sample.appended), "4.0 4.0 ");
        assert_eq!(stats.rates(|sample| sample.transferred), "32.0 32.0 ");
        assert_eq!(stats.rates(|sample| sample.missed), "0.0 0.0 ");
        assert_eq!(Stats::default().rates(|sample| sample.found), "  ");
    }

    /// Shows that what a sample gained is counted over time, of all topics and without those of the system.
    #[test]
    fn samples_are_counted_over_time() {
        let (stats, at) = (Stats::default(), Duration::from_secs);
        stats.sample(at(100), 0, 0);
        stats.sent(7);
        stats.pulled(3, false);
        stats.pulled(9, true);
        stats.sample(at(101), 0, 10);
        let sum = |total| stats.of_all(total, at(110)).stats_minute.sum;
        assert_eq!(Total::ALL.map(sum), [10, 7, 12, 3]);
        assert_eq!(stats.of_all(Total::Sent, at(110)).stats_minute.avgpt, 1.0);
    }

    /// Shows that totals are kept when a day begins, that the start of the process is none, and that topics of the
    /// system do not count.
    #[test]
    fn days_begin_at_midnight() {
        let stats = Stats::default();
        let sample = |day: i64| stats.sample(Duration::from_secs(1), day * DAY_MS, 0);
        stats.sent(5);
        sample(20_000);
        assert_eq!(stats.days().today, Totals::default());
        stats.pulled(3, false);
        stats.pulled(9, true);
        sample(20_001);
        stats.sent(1);
        let first = Totals { sent: 5, fetched: 3 };
        let now = Totals { sent: 6, fetched: 3 };
        assert_eq!(stats.days(), Days { yesterday: Totals::default(), today: first, now });
        sample(20_002);
        assert_eq!(stats.days(), Days { yesterday: first, today: now, now });
    }
}
