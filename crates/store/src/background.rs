//! Work that may wait for the device, on threads of its own, so that no task does.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use env::Clock;
use parking_lot::{Condvar, Mutex};

use crate::error::ReadError;
use crate::limits;
use crate::wait::Slot;

type Job = Box<dyn FnOnce() + Send>;

/// The queue in front of the reader threads.
pub(crate) struct Background {
    clock: Clock,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    /// Since when each waits.
    jobs: VecDeque<(Duration, Job)>,
    closed: bool,
}

impl std::fmt::Debug for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Background").field("jobs", &self.state.lock().jobs.len()).finish()
    }
}

impl Background {
    /// An empty queue.
    pub(crate) fn new(clock: Clock) -> Background {
        Background { clock, state: Mutex::default(), work: Condvar::new() }
    }

    /// Jobs that wait for a thread, and since when the first of them does.
    pub(crate) fn waiting(&self) -> (usize, Option<Duration>) {
        let state = self.state.lock();
        (state.jobs.len(), state.jobs.front().map(|(since, _)| *since))
    }

    /// Runs `job` on a reader thread.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Task<T>, ReadError> {
        let slot = Arc::new(Slot::default());
        let promise = Promise(Arc::clone(&slot));
        let mut state = self.state.lock();
        if state.closed {
            return Err(ReadError::Closed);
        }
        let (waiting, limit) = (state.jobs.len(), limits::BACKGROUND_JOBS);
        if waiting >= limit {
            return Err(ReadError::Busy { waiting, limit });
        }
        state.jobs.push_back((self.clock.mono(), Box::new(move || promise.keep(job()))));
        self.work.notify_one();
        Ok(Task(slot))
    }

    /// Body of a reader thread.
    pub(crate) fn work_until_closed(&self) {
        loop {
            let mut state = self.state.lock();
            self.work.wait_while(&mut state, |state| state.jobs.is_empty() && !state.closed);
            let Some((_, job)) = state.jobs.pop_front() else { return };
            drop(state);
            job();
        }
    }

    /// Ends the threads after what is queued.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_all();
    }
}

/// Fills a slot, or abandons it when the job is dropped.
struct Promise<T>(Arc<Slot<T>>);

impl<T> Promise<T> {
    fn keep(self, value: T) {
        let mut wakers = Vec::new();
        self.0.fill(value, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The result of work on a reader thread: `None` if the store was dropped before. Dropping it does not
/// end the work.
#[derive(Debug)]
pub struct Task<T>(Arc<Slot<T>>);

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll(cx)
    }
}
