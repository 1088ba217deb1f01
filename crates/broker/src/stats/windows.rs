//! How much came or went in the last minute, hour and day. Time moves on with the next look or addition, so that
//! nobody has to sample.

use std::time::Duration;

use wire::body::{BrokerStatsData, StatsSnapshot};

/// What is counted: both numbers of tools (`…_NUMS` and `…_SIZE`) come from the same events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Sends that were stored together, or answers to pulls.
    pub times: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

/// One thing that is counted.
#[derive(Debug)]
pub struct Windows {
    minute: Ring<7>,
    hour: Ring<7>,
    day: Ring<25>,
}

/// Periods in a row: the one that fills, and the full ones before it.
#[derive(Debug)]
struct Ring<const N: usize> {
    period: Duration,
    periods: [Amount; N],
    /// Number of the period that fills.
    now: u64,
}

impl Default for Windows {
    fn default() -> Windows {
        const MINUTE: u64 = 60;
        Windows {
            minute: Ring::new(Duration::from_secs(10)),
            hour: Ring::new(Duration::from_secs(10 * MINUTE)),
            day: Ring::new(Duration::from_secs(60 * MINUTE)),
        }
    }
}

impl Windows {
    /// Counts; `now` is monotonic.
    pub fn add(&mut self, now: Duration, amount: Amount) {
        self.minute.add(now, amount);
        self.hour.add(now, amount);
        self.day.add(now, amount);
    }

    /// Messages a second in the last six full periods of ten seconds.
    pub fn per_second(&mut self, now: Duration) -> f64 {
        self.minute.full(now, |amount| amount.messages).tps
    }

    /// What tools are told: of the minute its full periods, as a rate needs them, of hour and day all up to now.
    pub fn view(&mut self, now: Duration, of: fn(&Amount) -> u64) -> BrokerStatsData {
        BrokerStatsData {
            stats_minute: self.minute.full(now, of),
            stats_hour: self.hour.all(now, of),
            stats_day: self.day.all(now, of),
        }
    }
}

impl<const N: usize> Ring<N> {
    fn new(period: Duration) -> Ring<N> {
        Ring { period, periods: [Amount::default(); N], now: 0 }
    }

    fn add(&mut self, now: Duration, amount: Amount) {
        let filling = self.turn(now);
        filling.times += amount.times;
        filling.messages += amount.messages;
        filling.bytes += amount.bytes;
    }

    fn full(&mut self, now: Duration, of: fn(&Amount) -> u64) -> StatsSnapshot {
        let filling = *self.turn(now);
        let (sum, times) = self.sums(of);
        let length = self.period * (N as u32 - 1);
        snapshot(sum - of(&filling), times - filling.times, length)
    }

    fn all(&mut self, now: Duration, of: fn(&Amount) -> u64) -> StatsSnapshot {
        self.turn(now);
        let (sum, times) = self.sums(of);
        let into = now.as_secs() % self.period.as_secs();
        let length = self.period * (N as u32 - 1) + Duration::from_secs(into);
        snapshot(sum, times, length)
    }

    fn sums(&self, of: fn(&Amount) -> u64) -> (u64, u64) {
        (self.periods.iter().map(of).sum(), self.periods.iter().map(|period| period.times).sum())
    }

    /// Empties the periods that have passed; the one that fills.
    fn turn(&mut self, now: Duration) -> &mut Amount {
        let count = N as u64;
        let (now, period) = (now.as_secs(), self.period.as_secs());
        // Most additions are to the period that fills: no division for it.
        if now < (self.now + 1) * period {
            return &mut self.periods[(self.now % count) as usize];
        }
        let now = now / period;
        let passed = now.saturating_sub(self.now).min(count);
        for period in now + 1 - passed..=now {
            self.periods[(period % count) as usize] = Amount::default();
        }
        self.now = self.now.max(now);
        &mut self.periods[(self.now % count) as usize]
    }
}

fn snapshot(sum: u64, times: u64, length: Duration) -> StatsSnapshot {
    StatsSnapshot {
        sum: i64::try_from(sum).unwrap_or(i64::MAX),
        tps: sum as f64 / length.as_secs_f64(),
        avgpt: sum as f64 / times.max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn amount(messages: u64, bytes: u64) -> Amount {
        Amount { times: 1, messages, bytes }
    }

    /// Shows that a rate is that of the last full minute: nothing before its first ten seconds are over, the true
    /// rate after a minute, and nothing again a minute after the last addition.
    #[test]
    fn the_rate_is_that_of_the_last_minute() {
        let mut windows = Windows::default();
        for second in 0..120 {
            windows.add(at(1000 + second), amount(5, 0));
        }
        assert_eq!(windows.per_second(at(1120)), 5.0);
        assert_eq!(windows.per_second(at(1150)), 2.5);
        assert_eq!(windows.per_second(at(1200)), 0.0);
        let mut windows = Windows::default();
        windows.add(at(2000), amount(60, 0));
        assert_eq!(windows.per_second(at(2009)), 0.0);
        assert_eq!(windows.per_second(at(2010)), 1.0);
    }

    /// Shows that after two minutes of traffic each window holds what was sent in it, to the period, that an addition
    /// counts once for the mean, and that hours and days are left behind.
    #[test]
    fn sums_are_what_was_sent() {
        let mut windows = Windows::default();
        for second in 0..120 {
            windows.add(at(36_000 + second), amount(10, 1000));
        }
        let view = windows.view(at(36_120), |amount| amount.messages);
        assert_eq!(
            (view.stats_minute.sum, view.stats_hour.sum, view.stats_day.sum),
            (600, 1200, 1200)
        );
        assert_eq!((view.stats_minute.tps, view.stats_minute.avgpt), (10.0, 10.0));
        let view = windows.view(at(36_120), |amount| amount.bytes);
        assert_eq!((view.stats_minute.sum, view.stats_minute.avgpt), (60_000, 1000.0));
        let sums = |windows: &mut Windows, now| {
            let view = windows.view(at(now), |amount| amount.messages);
            (view.stats_minute.sum, view.stats_hour.sum, view.stats_day.sum)
        };
        assert_eq!(sums(&mut windows, 36_000 + 4_200), (0, 0, 1200));
        assert_eq!(sums(&mut windows, 36_000 + 25 * 3_600), (0, 0, 0));
    }

    /// Shows that a clock which jumps ahead, or is read late, harms nothing.
    #[test]
    fn late_looks_count_where_time_is() {
        let mut windows = Windows::default();
        windows.add(at(100), amount(1, 1));
        windows.add(at(95), amount(1, 1));
        let view = windows.view(Duration::from_secs(u64::MAX / 4), |amount| amount.messages);
        assert_eq!(view.stats_day.sum, 0);
        windows.add(at(5), amount(1, 1));
    }
}
