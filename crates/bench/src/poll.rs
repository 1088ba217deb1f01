//! Readiness of sockets: edge-triggered epoll, each socket registered once for both directions.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};

/// A set of sockets and the events of the last wait.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

const EVENTS_PER_WAIT: usize = 256;
/// How long before an exact time to wake up: a halted virtual core was 35 to 50 µs late.
const SPIN: Duration = Duration::from_micros(60);

impl Poll {
    /// A new set. Makes timeouts of this thread exact: the kernel's default slack of 50 µs would show
    /// up in every latency of an open loop.
    pub(crate) fn new() -> io::Result<Poll> {
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Poll { epoll, events: Vec::with_capacity(EVENTS_PER_WAIT) })
    }

    /// Adds `socket` under `token`, for as long as it is open.
    pub(crate) fn add(&self, socket: impl AsFd, token: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token as u64), flags)?)
    }

    /// Waits until a socket changed or `timeout` passed, and gives the tokens of changed sockets.
    /// A timeout of whole milliseconds costs one system call; any other is kept exactly, its last
    /// part awake.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<Ready<'_>> {
        self.events.clear();
        let exact = !timeout.subsec_nanos().is_multiple_of(1_000_000);
        if exact {
            let deadline = Instant::now() + timeout;
            let sleep = timespec(timeout - SPIN.min(timeout / 4));
            let mut fds = [PollFd::new(&self.epoll, PollFlags::IN)];
            interrupted_is_fine(rustix::event::poll(&mut fds, Some(&sleep)).map(drop))?;
            let now = timespec(Duration::ZERO);
            while fds[0].revents().is_empty() && Instant::now() < deadline {
                interrupted_is_fine(rustix::event::poll(&mut fds, Some(&now)).map(drop))?;
            }
        }
        let limit = timespec(if exact { Duration::ZERO } else { timeout });
        let events = rustix::buffer::spare_capacity(&mut self.events);
        interrupted_is_fine(epoll::wait(&self.epoll, events, Some(&limit)).map(drop))?;
        Ok(Ready(self.events.iter()))
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}

fn interrupted_is_fine(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Tokens of the sockets that changed.
pub(crate) struct Ready<'a>(std::slice::Iter<'a, epoll::Event>);

impl Iterator for Ready<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.0.next().map(|event| event.data.u64() as usize)
    }
}
