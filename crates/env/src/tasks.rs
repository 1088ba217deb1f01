//! Tasks and threads: named, counted, told to stop, and waited for.
//!
//! One [`Tasks`] is one group: whoever shuts a component down stops its group and waits for it, so
//! that a process can stop front to back (listeners, handlers, store). Groups don't nest.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::Clock;

/// A group of tasks and threads. Clones are the same group.
#[derive(Clone, Debug)]
pub struct Tasks(Arc<Group>);

#[derive(Debug)]
struct Group {
    stop: Stop,
    running: Mutex<Running>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Running {
    next_id: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    /// Absent for threads, which can only be asked.
    abort: Option<tokio::task::AbortHandle>,
}

impl Tasks {
    /// An empty group.
    pub fn new(clock: Clock) -> Tasks {
        Tasks(Arc::new(Group {
            stop: Stop::new(clock),
            running: Mutex::default(),
            ended: Notify::new(),
        }))
    }

    /// Runs `future` on the current tokio runtime. Dropping the handle does not end the task.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> TaskHandle {
        let registered = self.register(name);
        let id = registered.id;
        let join = tokio::spawn(async move {
            let _registered = registered;
            future.await;
        });
        if let Some(entry) = self.0.running.lock().entries.get_mut(&id) {
            entry.abort = Some(join.abort_handle());
        }
        TaskHandle(join)
    }

    /// Runs `body` on a thread of its own; it must return soon after its [`Stop`] is stopped.
    ///
    /// # Panics
    /// When the system has no thread to give, as [`std::thread::spawn`] does.
    pub fn thread(
        &self,
        name: &'static str,
        body: impl FnOnce(Stop) + Send + 'static,
    ) -> ThreadHandle {
        let registered = self.register(name);
        let stop = self.stop_token();
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _registered = registered;
            body(stop);
        });
        match started {
            Ok(join) => ThreadHandle(join),
            Err(error) => panic!("cannot start thread {name}: {error}"),
        }
    }

    /// The token that [`Tasks::shutdown`] stops.
    pub fn stop_token(&self) -> Stop {
        self.0.stop.clone()
    }

    /// Names of what runs now, one per task or thread.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.running.lock().entries.values().map(|entry| entry.name).collect()
    }

    /// Stops the group and waits until everything has ended, at most `deadline`. Returns the names of
    /// what did not end: of these, tasks have been aborted and threads still run.
    pub async fn shutdown(&self, deadline: Duration) -> Vec<&'static str> {
        self.0.stop.stop();
        let all_ended = async {
            loop {
                let ended = self.0.ended.notified();
                if self.0.running.lock().entries.is_empty() {
                    return;
                }
                ended.await;
            }
        };
        if self.0.stop.clock.timeout(deadline, all_ended).await.is_ok() {
            return Vec::new();
        }
        let running = self.0.running.lock();
        running.entries.values().filter_map(|entry| entry.abort.as_ref()).for_each(|a| a.abort());
        running.entries.values().map(|entry| entry.name).collect()
    }

    fn register(&self, name: &'static str) -> Registered {
        let mut running = self.0.running.lock();
        let id = running.next_id;
        running.next_id += 1;
        running.entries.insert(id, Entry { name, abort: None });
        Registered { group: self.0.clone(), id }
    }
}

/// Takes a task out of its group however it ends: by return, panic or abort.
struct Registered {
    group: Arc<Group>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.group.running.lock().entries.remove(&self.id);
        self.group.ended.notify_waiters();
    }
}

/// A task started by [`Tasks::spawn`].
#[derive(Debug)]
pub struct TaskHandle(tokio::task::JoinHandle<()>);

impl TaskHandle {
    /// Ends the task at its next await.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the end, also by [`TaskHandle::abort`].
    ///
    /// # Panics
    /// With the task's panic.
    pub async fn join(self) {
        if let Err(error) = self.0.await
            && let Ok(panic) = error.try_into_panic()
        {
            resume_unwind(panic);
        }
    }
}

/// A thread started by [`Tasks::thread`].
#[derive(Debug)]
pub struct ThreadHandle(std::thread::JoinHandle<()>);

impl ThreadHandle {
    /// Wakes the thread from [`std::thread::park`].
    pub fn unpark(&self) {
        self.0.thread().unpark();
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// With the thread's panic.
    pub fn join(self) {
        if let Err(panic) = self.0.join() {
            resume_unwind(panic);
        }
    }
}

/// Says once that work shall end. Clones are the same token; usable from tasks and threads.
#[derive(Clone, Debug)]
pub struct Stop {
    shared: Arc<StopShared>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct StopShared {
    stopped: AtomicBool,
    tasks: Notify,
    lock: Mutex<()>,
    threads: Condvar,
}

impl Stop {
    /// A token that is not stopped.
    pub fn new(clock: Clock) -> Stop {
        Stop { shared: Arc::default(), clock }
    }

    /// Stops it, for good.
    pub fn stop(&self) {
        let _guard = self.shared.lock.lock();
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.tasks.notify_waiters();
        self.shared.threads.notify_all();
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }

    /// Waits until it is stopped.
    pub async fn stopped(&self) {
        // `notified` counts from its creation, so a stop between the check and the await is not lost.
        let notified = self.shared.tasks.notified();
        if !self.is_stopped() {
            notified.await;
        }
    }

    /// Blocks this thread until `future` is ready; `None` if it was stopped before.
    pub fn block_on<F: Future>(&self, future: F) -> Option<F::Output> {
        let (mut future, mut stopped) = (pin!(future), pin!(self.stopped()));
        block_on(poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => stopped.as_mut().poll(cx).map(|()| None),
        }))
    }

    /// Blocks this thread until it is stopped, at most `duration` of its clock. Returns whether it was
    /// stopped.
    pub fn wait(&self, duration: Duration) -> bool {
        if self.clock.is_sim() {
            return block_on(self.clock.timeout(duration, self.stopped())).is_ok();
        }
        let mut guard = self.shared.lock.lock();
        if !self.is_stopped() {
            let condition = |_: &mut ()| !self.is_stopped();
            self.shared.threads.wait_while_for(&mut guard, condition, duration);
        }
        self.is_stopped()
    }
}

/// Polls `future` on this thread, which parks between wake-ups.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    // A thread that waits for a future is told of it, and of a stop; a future that is ready comes first.
    #[test]
    fn a_thread_waits_for_a_future_or_the_stop() {
        let stop = Stop::new(Clock::real());
        let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
        let waiting = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let first = stop.block_on(receiver.recv());
                (first, stop.block_on(receiver.recv()), stop.block_on(std::future::ready(2)))
            }
        });
        sender.try_send(1).unwrap();
        while sender.capacity() < 2 {
            std::thread::yield_now();
        }
        stop.stop();
        assert_eq!(waiting.join().unwrap(), (Some(Some(1)), None, Some(2)));
    }

    // Shutdown stops and waits for tasks and threads, whether they wait or poll.
    #[test]
    fn shutdown_joins_everything() {
        let tasks = Tasks::new(Clock::real());
        let ended = Arc::new(AtomicUsize::new(0));
        runtime().block_on(async {
            let (stop, count) = (tasks.stop_token(), ended.clone());
            tasks.spawn("task", async move {
                stop.stopped().await;
                count.fetch_add(1, Ordering::Relaxed);
            });
            let count = ended.clone();
            tasks.thread("thread", move |stop| {
                assert!(stop.wait(LONG));
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(tasks.names(), ["task", "thread"]);
            assert_eq!(tasks.shutdown(LONG).await, [""; 0]);
        });
        assert_eq!(ended.load(Ordering::Relaxed), 2);
    }

    // What does not stop in time is named; tasks are aborted then, and their end is seen.
    #[test]
    fn shutdown_names_what_hangs() {
        let tasks = Tasks::new(Clock::real());
        runtime().block_on(async {
            let hangs = tasks.spawn("hangs", std::future::pending());
            assert_eq!(tasks.shutdown(Duration::from_millis(1)).await, ["hangs"]);
            hangs.join().await;
            assert!(tasks.names().is_empty());
        });
    }

    // A panic leaves the group and reaches whoever joins.
    #[test]
    fn panics_are_passed_on() {
        let tasks = Tasks::new(Clock::real());
        let thread = tasks.thread("panics", |_| panic!("as planned"));
        let joined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| thread.join()));
        assert!(joined.is_err());
        assert!(tasks.names().is_empty());
    }

    // A thread's wait follows the simulated clock.
    #[test]
    fn wait_follows_the_simulated_clock() {
        let clock = Clock::sim();
        let stop = Stop::new(clock.clone());
        let waiter = stop.clone();
        let thread = std::thread::spawn(move || waiter.wait(Duration::from_secs(3600)));
        while !thread.is_finished() {
            clock.advance(Duration::from_secs(60));
            std::thread::yield_now();
        }
        assert!(!thread.join().unwrap());
        stop.stop();
        assert!(stop.wait(LONG));
    }
}
