//! Time: what the machine says, or what a test says.
//!
//! The simulated clock stands still until [`Clock::advance`]; sleepers then wake in the order of
//! their deadlines.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

/// Wall time at which a simulated clock starts: 2024-01-01T00:00:00Z, in milliseconds.
const SIM_START_MS: i64 = 1_704_067_200_000;

/// A clock. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Real { start: Instant },
    Sim(Arc<Mutex<SimTime>>),
}

#[derive(Debug, Default)]
struct SimTime {
    now: Duration,
    next_sleeper: u64,
    sleepers: BTreeMap<(Duration, u64), Waker>,
}

/// A wait ended by its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadline has elapsed")]
pub struct Elapsed;

impl Clock {
    /// The machine's clock.
    pub fn real() -> Clock {
        Clock(Kind::Real { start: Instant::now() })
    }

    /// A clock that moves only by [`Clock::advance`].
    pub fn sim() -> Clock {
        Clock(Kind::Sim(Arc::default()))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// Reads `CLOCK_REALTIME` through the vDSO: no system call, 26 ns where `CLOCK_REALTIME_COARSE`
    /// costs 5 ns; but the latter moves by the kernel's tick, 4 ms on the usual kernels, and a
    /// store timestamp that is 4 ms old is visible as latency. Take it once per batch.
    pub fn wall_ms(&self) -> i64 {
        match &self.0 {
            Kind::Real { .. } => {
                let now = clock_gettime(ClockId::Realtime);
                now.tv_sec * 1000 + now.tv_nsec / 1_000_000
            }
            Kind::Sim(time) => SIM_START_MS + time.lock().now.as_millis() as i64,
        }
    }

    /// Hour of the day by the machine's time zone (`TZ`, `/etc/localtime`), 0 to 23; of a simulated clock
    /// in UTC.
    pub fn local_hour(&self) -> u32 {
        let seconds = self.wall_ms().div_euclid(1000);
        let hour = match &self.0 {
            Kind::Real { .. } => crate::local_time::hour(seconds),
            Kind::Sim(_) => None,
        };
        hour.unwrap_or(seconds.rem_euclid(86_400) as u32 / 3600)
    }

    /// Time since this clock was made; never goes back. No system call, 25 ns.
    pub fn mono(&self) -> Duration {
        match &self.0 {
            Kind::Real { start } => start.elapsed(),
            Kind::Sim(time) => time.lock().now,
        }
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::Real { .. } => tokio::time::sleep(duration).await,
            Kind::Sim(time) => {
                let deadline = time.lock().now.saturating_add(duration);
                SimSleep { time, deadline, key: None }.await;
            }
        }
    }

    /// The output of `future`, or [`Elapsed`] when `duration` passes first. The future is dropped then.
    pub async fn timeout<F: Future>(
        &self,
        duration: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut sleep = pin!(self.sleep(duration));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
        })
        .await
    }

    /// Ticks once per `period`, the first time after one period. Ticks that were missed are skipped.
    pub fn every(&self, period: Duration) -> Ticker {
        assert!(!period.is_zero(), "a ticker needs a period");
        Ticker { clock: self.clone(), period, next: self.mono() + period }
    }

    /// Whether time moves only by [`Clock::advance`].
    pub fn is_sim(&self) -> bool {
        matches!(self.0, Kind::Sim(_))
    }

    /// Moves a simulated clock forward and wakes the sleepers that are due.
    ///
    /// # Panics
    /// On the machine's clock.
    pub fn advance(&self, duration: Duration) {
        let Kind::Sim(time) = &self.0 else { panic!("only a simulated clock can be advanced") };
        let due = {
            let mut time = time.lock();
            time.now += duration;
            let first_later = (time.now + Duration::from_nanos(1), 0);
            let later = time.sleepers.split_off(&first_later);
            std::mem::replace(&mut time.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }
}

/// See [`Clock::every`].
#[derive(Debug)]
pub struct Ticker {
    clock: Clock,
    period: Duration,
    next: Duration,
}

impl Ticker {
    /// Waits for the next tick.
    pub async fn tick(&mut self) {
        let now = self.clock.mono();
        if let Some(wait) = self.next.checked_sub(now) {
            self.clock.sleep(wait).await;
        }
        let now = self.clock.mono();
        while self.next <= now {
            self.next += self.period;
        }
    }
}

struct SimSleep<'a> {
    time: &'a Mutex<SimTime>,
    deadline: Duration,
    key: Option<u64>,
}

impl Future for SimSleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut time = self.time.lock();
        if time.now >= self.deadline {
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or(time.next_sleeper);
        if self.key.is_none() {
            time.next_sleeper += 1;
        }
        time.sleepers.insert((self.deadline, key), cx.waker().clone());
        drop(time);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for SimSleep<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.time.lock().sleepers.remove(&(self.deadline, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    // A simulated sleep ends when the clock was advanced far enough, not before; a dropped one is forgotten.
    #[test]
    fn simulated_sleep() {
        let clock = Clock::sim();
        let start = clock.wall_ms();
        let mut sleep = pin!(clock.sleep(Duration::from_millis(10)));
        {
            let mut other =
                pin!(clock.timeout(Duration::from_millis(5), std::future::pending::<()>()));
            assert!(poll(other.as_mut()).is_pending());
            assert!(poll(sleep.as_mut()).is_pending());
            clock.advance(Duration::from_millis(5));
            assert_eq!(poll(other), Poll::Ready(Err(Elapsed)));
        }
        assert!(poll(sleep.as_mut()).is_pending());
        clock.advance(Duration::from_millis(5));
        assert!(poll(sleep).is_ready());
        assert_eq!((clock.wall_ms() - start, clock.mono()), (10, Duration::from_millis(10)));
        let Kind::Sim(time) = &clock.0 else { panic!("it is simulated") };
        assert!(time.lock().sleepers.is_empty());
    }

    // A ticker skips what was missed and keeps its phase.
    #[test]
    fn ticker_skips_missed_ticks() {
        let clock = Clock::sim();
        let mut ticker = clock.every(Duration::from_millis(10));
        assert!(poll(pin!(ticker.tick())).is_pending());
        clock.advance(Duration::from_millis(35));
        assert!(poll(pin!(ticker.tick())).is_ready());
        assert!(poll(pin!(ticker.tick())).is_pending());
        clock.advance(Duration::from_millis(5));
        assert!(poll(pin!(ticker.tick())).is_ready());
    }

    // The machine's clocks move forward, and the wall clock is that of the standard library.
    #[test]
    fn real_clock() {
        let clock = Clock::real();
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
        assert!((clock.wall_ms() - since_1970).abs() < 60_000);
        let before = clock.mono();
        assert!(clock.mono() >= before);
    }
}
