//! When to send next.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::clock::Clock;
use crate::error::BenchError;
use crate::send::Schedule;

/// Tells the moments to send at: those of a schedule, or always at once.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Clock,
    schedule: Option<Schedule>,
    timer: Timer,
}

impl Pace {
    /// `rate` requests per second from now on, or as many as possible.
    pub(super) fn new(rate: Option<f64>, clock: Clock) -> Result<Pace, BenchError> {
        let schedule = rate.map(|rate| Schedule::new(rate, clock.now_ns()));
        Ok(Pace { clock, schedule, timer: Timer::new()? })
    }

    /// Waits until the next request is due; when that was to be. Dropping the future skips nothing.
    pub(super) async fn next(&mut self) -> Result<u64, BenchError> {
        let Some(schedule) = &mut self.schedule else { return Ok(self.clock.now_ns()) };
        let due_ns = schedule.due_ns();
        let wait_ns = due_ns.saturating_sub(self.clock.now_ns());
        self.timer.wait(Duration::from_nanos(wait_ns)).await?;
        schedule.issued();
        Ok(due_ns)
    }
}

/// A timer of the kernel: the runtime's counts whole milliseconds.
#[derive(Debug)]
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for types that lend their descriptor; this one owns it"
    )]
    fn new() -> Result<Timer, BenchError> {
        let open = || -> io::Result<_> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)
        };
        open().map(Timer).map_err(refused)
    }

    /// Waits so long; not at all for zero.
    async fn wait(&mut self, time: Duration) -> Result<(), BenchError> {
        if time.is_zero() {
            return Ok(());
        }
        let it_value = Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)
            .map_err(|error| refused(error.into()))?;
        loop {
            let mut ready = self.0.readable().await.map_err(refused)?;
            let mut expirations = [0; 8];
            let read =
                |timer: &AsyncFd<OwnedFd>| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?);
            if let Ok(read) = ready.try_io(read) {
                return read.map(drop).map_err(refused);
            }
        }
    }
}

fn refused(source: io::Error) -> BenchError {
    BenchError::System { what: "a timer", source }
}
