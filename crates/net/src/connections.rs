//! The open connections of one server or client: their number, their silence and their end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use env::tasks::TaskHandle;
use env::{Env, Stop};
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
    stopping: AtomicBool,
    open: Mutex<BTreeMap<u64, Open>>,
}

struct Open {
    state: Arc<State>,
    silent_for: Duration,
    task: Option<TaskHandle>,
}

/// What a connection tells those who watch over it.
#[derive(Default)]
pub(crate) struct State {
    /// Bytes went in or out since the last look.
    pub(crate) active: AtomicBool,
    /// It owes answers: unsent bytes, or futures that are not done.
    pub(crate) busy: AtomicBool,
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
        open.insert(id, Open { state: state.clone(), silent_for: Duration::ZERO, task: None });
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
            self.end_silent(scan);
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

    fn end_silent(&self, passed: Duration) {
        for (id, connection) in self.open.lock().iter_mut() {
            if connection.state.active.swap(false, Ordering::Relaxed) {
                connection.silent_for = Duration::ZERO;
                continue;
            }
            connection.silent_for += passed;
            if connection.silent_for > self.limits.idle
                && let Some(task) = &connection.task
            {
                tracing::debug!(
                    listener = self.name,
                    connection = id,
                    "closing a connection silent for {:?}, the limit is {:?}",
                    connection.silent_for,
                    self.limits.idle
                );
                task.abort();
            }
        }
    }
}
