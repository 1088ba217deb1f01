//! Waiting for a number to grow, from tasks ([`WaitList`]) and from threads ([`Signal`]).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Tasks that wait until a number is at least what each of them needs.
///
/// Use: the waiter registers, then looks at the number again; the publisher changes the number, then
/// takes the waiters. One of them sees the other.
#[derive(Debug, Default)]
pub(crate) struct WaitList {
    /// Lets the publisher pass without a lock while nobody waits.
    count: AtomicUsize,
    list: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    next_id: u64,
    waiting: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    need: u64,
    waker: Waker,
}

/// A place in a [`WaitList`].
#[derive(Debug)]
pub(crate) struct Ticket(u64);

impl WaitList {
    /// Registers a task, or renews its registration.
    pub(crate) fn register(&self, ticket: &mut Option<Ticket>, need: u64, waker: &Waker) {
        let mut list = self.list.lock();
        let known = ticket.as_ref().map(|ticket| ticket.0);
        match list.waiting.iter_mut().find(|waiter| Some(waiter.id) == known) {
            Some(waiter) => waiter.waker.clone_from(waker),
            None => {
                let id = list.next_id;
                list.next_id += 1;
                list.waiting.push(Waiter { id, need, waker: waker.clone() });
                *ticket = Some(Ticket(id));
            }
        }
        self.count.store(list.waiting.len(), Ordering::SeqCst);
    }

    /// Gives a place up.
    pub(crate) fn leave(&self, ticket: &Ticket) {
        let mut list = self.list.lock();
        list.waiting.retain(|waiter| waiter.id != ticket.0);
        self.count.store(list.waiting.len(), Ordering::SeqCst);
    }

    /// Moves the wakers of those who need at most `reached` to `out`.
    pub(crate) fn take(&self, reached: u64, out: &mut Vec<Waker>) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut list = self.list.lock();
        out.extend(list.waiting.extract_if(.., |w| w.need <= reached).map(|w| w.waker));
        self.count.store(list.waiting.len(), Ordering::SeqCst);
    }

    /// Wakes everyone, for a reason other than the number.
    pub(crate) fn wake_all(&self) {
        let mut wakers = Vec::new();
        self.take(u64::MAX, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Tells one thread that there is work. Telling it twice before it looks is telling it once.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: AtomicBool,
    lock: Mutex<()>,
    condition: Condvar,
}

impl Signal {
    pub(crate) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            let _guard = self.lock.lock();
            self.condition.notify_one();
        }
    }

    /// Waits until raised, and lowers it.
    pub(crate) fn wait_raised(&self) {
        let mut guard = self.lock.lock();
        self.condition.wait_while(&mut guard, |()| !self.raised.swap(false, Ordering::AcqRel));
    }

    /// Waits until raised, at most `limit`, and lowers it. Returns whether it was raised.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        if !self.raised.load(Ordering::Acquire) {
            let mut guard = self.lock.lock();
            let idle = |_: &mut ()| !self.raised.load(Ordering::Acquire);
            self.condition.wait_while_for(&mut guard, idle, limit);
        }
        self.raised.swap(false, Ordering::AcqRel)
    }
}

/// A value that one side fills and a task on the other side waits for.
#[derive(Debug)]
pub(crate) struct Slot<T>(Mutex<SlotState<T>>);

#[derive(Debug)]
struct SlotState<T> {
    value: Option<T>,
    abandoned: bool,
    waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot(Mutex::new(SlotState { value: None, abandoned: false, waker: None }))
    }
}

impl<T> Slot<T> {
    /// Fills it and moves the waker of who waits to `wakers`.
    pub(crate) fn fill(&self, value: T, wakers: &mut Vec<Waker>) {
        let mut state = self.0.lock();
        state.value = Some(value);
        wakers.extend(state.waker.take());
    }

    /// Says that it will not be filled, if it has not been.
    pub(crate) fn abandon(&self) {
        let waker = {
            let mut state = self.0.lock();
            state.abandoned = true;
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// The value, if it is there.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().value.take()
    }

    /// The value when it is there; `None` when it never will be.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        if let Some(value) = state.value.take() {
            return Poll::Ready(Some(value));
        }
        if state.abandoned {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
