//! What one generator thread counts, and when it counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::clock::{Clock, thread_cpu};
use crate::limits;
use crate::scan::{self, Head};

/// When a run counts, in nanoseconds of its clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub from_ns: u64,
    /// End of the window; `u64::MAX` for a run that ends by itself.
    pub to_ns: u64,
}

impl Window {
    pub(crate) fn new(warmup: Duration, length: Option<Duration>) -> Window {
        let from_ns = warmup.as_nanos() as u64;
        Window { from_ns, to_ns: length.map_or(u64::MAX, |l| from_ns + l.as_nanos() as u64) }
    }
}

/// Counters that the progress line reads while the threads run.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub messages: AtomicU64,
    pub requests: AtomicU64,
    pub failed: AtomicU64,
    pub latency_sum_ns: AtomicU64,
    pub latency_max_ns: AtomicU64,
    /// Set when a thread failed: the others end.
    pub stop: AtomicBool,
}

/// Failed answers by response code, each with the first remark.
pub(crate) type Errors = BTreeMap<i32, (u64, String)>;

/// What one thread measured inside the window.
#[derive(Debug)]
pub(crate) struct Tally {
    pub messages: u64,
    pub requests: u64,
    pub bytes: u64,
    pub latency: Histogram<u64>,
    /// How late requests left against their intended time; empty without a rate.
    pub lateness: Histogram<u64>,
    pub errors: Errors,
    pub unanswered: u64,
    pub cpu: Duration,
    pub window: Duration,
}

const LONGEST_SLEEP_MS: u64 = 100;

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, limits::LATENCY_NS, 3).expect("constant bounds are valid")
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            messages: 0,
            requests: 0,
            bytes: 0,
            latency: histogram(),
            lateness: histogram(),
            errors: Errors::new(),
            unanswered: 0,
            cpu: Duration::ZERO,
            window: Duration::ZERO,
        }
    }

    /// Adds another thread's figures to these.
    pub(crate) fn add(&mut self, other: Tally) {
        self.messages += other.messages;
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.latency += other.latency;
        self.lateness += other.lateness;
        self.unanswered += other.unanswered;
        self.cpu += other.cpu;
        self.window = self.window.max(other.window);
        for (code, (count, remark)) in other.errors {
            self.errors.entry(code).or_insert((0, remark)).0 += count;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Before,
    Inside,
    After,
}

/// One thread's stop watch: counts only what is answered inside the window.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    clock: Clock,
    window: Window,
    phase: Phase,
    began_ns: u64,
    began_cpu: Duration,
    live: &'a Live,
    pass: Pass,
    tally: Tally,
}

/// What one pass over the ready sockets adds to [`Live`].
#[derive(Debug, Default)]
struct Pass {
    messages: u64,
    requests: u64,
    failed: u64,
    latency_sum_ns: u64,
    latency_max_ns: u64,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(clock: Clock, window: Window, live: &'a Live) -> Meter<'a> {
        let (phase, pass) = (Phase::Before, Pass::default());
        let (began_ns, began_cpu) = (0, Duration::ZERO);
        Meter { clock, window, phase, began_ns, began_cpu, live, pass, tally: Tally::new() }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Ends a pass: publishes its counts and moves from one phase to the next when it is time.
    /// True once the window is over.
    pub(crate) fn tick(&mut self, now_ns: u64) -> bool {
        let pass = std::mem::take(&mut self.pass);
        if pass.requests + pass.failed > 0 {
            self.live.messages.fetch_add(pass.messages, Relaxed);
            self.live.requests.fetch_add(pass.requests, Relaxed);
            self.live.failed.fetch_add(pass.failed, Relaxed);
            self.live.latency_sum_ns.fetch_add(pass.latency_sum_ns, Relaxed);
            self.live.latency_max_ns.fetch_max(pass.latency_max_ns, Relaxed);
        }
        if self.phase == Phase::Before && now_ns >= self.window.from_ns {
            self.phase = Phase::Inside;
            self.began_ns = now_ns;
            self.began_cpu = thread_cpu();
        }
        if now_ns >= self.window.to_ns || self.live.stop.load(Relaxed) {
            self.close(now_ns);
        }
        self.phase == Phase::After
    }

    /// Ends the window; a run without a fixed end calls this when its work is done.
    pub(crate) fn close(&mut self, now_ns: u64) {
        if self.phase == Phase::Inside {
            self.tally.cpu = thread_cpu() - self.began_cpu;
            self.tally.window = Duration::from_nanos(now_ns - self.began_ns);
        }
        self.phase = Phase::After;
    }

    /// How long a thread may sleep that has to act at `due_ns`: exactly so long, else whole
    /// milliseconds until the next phase, but never long enough to overlook that others stopped.
    pub(crate) fn timeout(&self, now_ns: u64, due_ns: u64) -> Duration {
        let phase = match self.phase {
            Phase::Before => self.window.from_ns,
            Phase::Inside | Phase::After => self.window.to_ns,
        };
        let phase_ms = (phase.saturating_sub(now_ns) / 1_000_000 + 1).min(LONGEST_SLEEP_MS);
        let due = Duration::from_nanos(due_ns.saturating_sub(now_ns));
        due.min(Duration::from_millis(phase_ms))
    }

    /// Counts one good answer that carries `messages` messages with `bytes` bytes of bodies.
    pub(crate) fn answered(&mut self, latency_ns: u64, messages: u64, bytes: u64) {
        self.pass.messages += messages;
        self.pass.requests += 1;
        self.pass.latency_sum_ns += latency_ns;
        self.pass.latency_max_ns = self.pass.latency_max_ns.max(latency_ns);
        if self.phase == Phase::Inside {
            self.tally.messages += messages;
            self.tally.requests += 1;
            self.tally.bytes += bytes;
            self.tally.latency.saturating_record(latency_ns);
        }
    }

    /// Notes how late a request left against its intended time.
    pub(crate) fn late(&mut self, lateness_ns: u64) {
        if self.phase == Phase::Inside {
            self.tally.lateness.saturating_record(lateness_ns);
        }
    }

    /// Counts one failed answer, whatever the phase: a warm-up that fails is worth knowing.
    pub(crate) fn refused(&mut self, head: &Head<'_>) {
        self.failed(head.code, || scan::remark(head.header));
    }

    /// The same for whoever has no answer's head.
    pub(crate) fn failed(&mut self, code: i32, remark: impl FnOnce() -> String) {
        self.pass.failed += 1;
        let errors = &mut self.tally.errors;
        if errors.len() < limits::ERROR_CODES || errors.contains_key(&code) {
            errors.entry(code).or_insert_with(|| (0, remark())).0 += 1;
        } else if let Some(mut last) = errors.last_entry() {
            last.get_mut().0 += 1;
        }
    }

    /// The figures, with `unanswered` requests still open.
    pub(crate) fn finish(mut self, unanswered: usize) -> Tally {
        self.tally.unanswered = unanswered as u64;
        self.tally
    }
}
