//! The open connections of one server or client: their number, their silence and their end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use env::tasks::TaskHandle;
use env::{Clock, Env, Stop};
use parking_lot::Mutex;
use wire::Call;

use crate::limits::{self, Limits};
use crate::metrics::Metrics;

/// Gives every connection of the process an id of its own.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// How often a draining server looks whether its connections have finished.
const DRAIN_STEP: Duration = Duration::from_millis(5);

/// What the connections of one server or client share.
pub(crate) struct Connections {
    pub(crate) env: Env,
    /// Names the listener in logs.
    pub(crate) name: &'static str,
    pub(crate) call: Arc<dyn Call>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    /// Lines about connections that were closed for what they sent.
    pub(crate) fault_lines: Sparse,
    stopping: AtomicBool,
    open: Mutex<BTreeMap<u64, Open>>,
}

struct Open {
    state: Arc<State>,
    silent_for: Duration,
    /// The frame that it had sent in part at the last look, and for how long.
    partial: (u64, Duration),
    /// The same of the answers that it had not read.
    unsent: (u64, Duration),
    task: Option<TaskHandle>,
}

/// Lets a line of the log through once a second.
#[derive(Default)]
pub(crate) struct Sparse(AtomicU64);

impl Sparse {
    pub(crate) fn is_due(&self, clock: &Clock) -> bool {
        // Seconds since the start, counted from 1.
        let now = clock.mono().as_secs() + 1;
        self.0.fetch_max(now, Ordering::Relaxed) < now
    }
}

/// What a connection tells those who watch over it.
#[derive(Default)]
pub(crate) struct State {
    /// Bytes went in or out since the last look.
    pub(crate) active: AtomicBool,
    /// It owes answers: unsent bytes, or futures that are not done.
    pub(crate) busy: AtomicBool,
    /// A frame that has arrived in part.
    pub(crate) partial: Span,
    /// Answers that have not been read.
    pub(crate) unsent: Span,
}

/// Something that begins and ends, and may begin anew; written by the connection's task only. The lowest
/// bit says whether it lasts, the others count.
#[derive(Default)]
pub(crate) struct Span(AtomicU64);

impl Span {
    pub(crate) fn begin(&self) {
        self.0.store((self.0.load(Ordering::Relaxed) + 2) | 1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) & !1, Ordering::Relaxed);
    }

    /// How long it has lasted by what was seen at the last look, `passed` ago.
    fn age(&self, seen: &mut (u64, Duration), passed: Duration) -> Duration {
        let now = self.0.load(Ordering::Relaxed);
        let lasts = now & 1 == 1 && now == seen.0;
        *seen = (now, if lasts { seen.1 + passed } else { Duration::ZERO });
        seen.1
    }
}

/// Keeps a connection counted while it lives.
pub(crate) struct Registered {
    pub(crate) id: u64,
    pub(crate) state: Arc<State>,
    connections: Arc<Connections>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.id);
        self.connections.metrics.connections.sub(1);
    }
}

impl Connections {
    pub(crate) fn new(
        env: Env,
        name: &'static str,
        call: Arc<dyn Call>,
        limits: Limits,
    ) -> Arc<Connections> {
        Arc::new(Connections {
            env,
            name,
            call,
            limits,
            metrics: Metrics::default(),
            fault_lines: Sparse::default(),
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
        })
    }

    /// Takes a place for a connection; `None` when all are taken or the server stops.
    pub(crate) fn register(self: &Arc<Self>) -> Option<Registered> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(State::default());
        let mut open = self.open.lock();
        if open.len() >= self.limits.connections || self.is_stopping() {
            return None;
        }
        open.insert(
            id,
            Open {
                state: state.clone(),
                silent_for: Duration::ZERO,
                partial: Default::default(),
                unsent: Default::default(),
                task: None,
            },
        );
        self.metrics.connections.add(1);
        Some(Registered { id, state, connections: self.clone() })
    }

    /// Makes the task that serves a connection known, so that it can be ended.
    pub(crate) fn attach(&self, id: u64, task: TaskHandle) {
        if let Some(open) = self.open.lock().get_mut(&id) {
            open.task = Some(task);
        }
    }

    /// Whether no more requests are read.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Ends silent connections until `stop`, then drains the rest: an idle connection is closed at
    /// once, one that owes answers gets [`limits::DRAIN`] to give them.
    pub(crate) async fn watch(self: Arc<Self>, stop: Stop) {
        let clock = &self.env.clock;
        let scan = limits::IDLE_SCAN.min(self.limits.idle);
        while clock.timeout(scan, stop.stopped()).await.is_err() {
            self.end_slow(scan);
        }
        self.stopping.store(true, Ordering::Release);
        let deadline = clock.mono() + limits::DRAIN;
        while !self.end_finished(clock.mono() >= deadline) {
            clock.sleep(DRAIN_STEP).await;
        }
    }

    /// Ends the connections that owe no answer, or all if it is late; true when none were left, or
    /// none are now.
    fn end_finished(&self, late: bool) -> bool {
        let mut open = self.open.lock();
        for connection in open.values_mut() {
            if (late || !connection.state.busy.load(Ordering::Acquire))
                && let Some(task) = &connection.task
            {
                task.abort();
            }
        }
        late || open.is_empty()
    }

    /// Closes connections that nothing moves on, frames that never become whole, and, while memory is
    /// short, those that use it slowly.
    fn end_slow(&self, passed: Duration) {
        let memory = &self.env.memory;
        let idle = self.limits.idle;
        let pressed = idle.min(limits::PRESSED);
        let max_partial = if memory.requests.is_pressed() { pressed } else { idle };
        let max_unsent = if memory.answers.is_pressed() { pressed } else { Duration::MAX };
        for (id, connection) in self.open.lock().iter_mut() {
            let state = &connection.state;
            let active = state.active.swap(false, Ordering::Relaxed);
            let silent = if active { Duration::ZERO } else { connection.silent_for + passed };
            connection.silent_for = silent;
            let partial = state.partial.age(&mut connection.partial, passed);
            let unsent = state.unsent.age(&mut connection.unsent, passed);
            let slow = [
                (silent, idle, "silent"),
                (partial, max_partial, "sending one frame"),
                (unsent, max_unsent, "not reading its answers"),
            ];
            let Some((age, limit, what)) = slow.into_iter().find(|(age, limit, _)| age > limit)
            else {
                continue;
            };
            let Some(task) = &connection.task else { continue };
            tracing::debug!(
                listener = self.name,
                connection = id,
                "closing a connection: {what} for {age:?}, the limit is {limit:?}"
            );
            if what != "silent" {
                self.metrics.slow.add(1);
            }
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A span grows old while it lasts, and is young again when it begins anew between two looks.
    #[test]
    fn spans_grow_old() {
        let (span, mut seen, step) = (Span::default(), Default::default(), Duration::from_secs(1));
        assert_eq!(span.age(&mut seen, step), Duration::ZERO);
        span.begin();
        assert_eq!(span.age(&mut seen, step), Duration::ZERO);
        assert_eq!(span.age(&mut seen, step), step);
        assert_eq!(span.age(&mut seen, step), 2 * step);
        span.end();
        span.begin();
        assert_eq!(span.age(&mut seen, step), Duration::ZERO);
        span.end();
        assert_eq!(span.age(&mut seen, step), Duration::ZERO);
        assert_eq!(span.age(&mut seen, step), Duration::ZERO);
    }

    /// Of many lines in a second one is let through.
    #[test]
    fn lines_are_sparse() {
        let (clock, sparse) = (Clock::sim(), Sparse::default());
        assert!(sparse.is_due(&clock) && !sparse.is_due(&clock));
        clock.advance(Duration::from_secs(1));
        assert!(sparse.is_due(&clock) && !sparse.is_due(&clock));
    }
}
