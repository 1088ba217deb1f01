//! The queue writer: moves units from the tails of the queues to their files.
//!
//! One thread, a pass every 50 ms or when many units wait; one write per queue and pass, mostly. What
//! it cannot write stays in memory and is tried again; appends are refused when too much waits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Queue, Queues};
use crate::limits;
use crate::wait::Signal;

/// Longest time that a unit stays in memory only.
const PERIOD: Duration = Duration::from_millis(50);

/// Which queues have units to write, and how many there are.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    units: AtomicUsize,
    queues: Mutex<Vec<Arc<Queue>>>,
    /// Held during a pass: a topic's deletion makes one too.
    writing: Mutex<()>,
    signal: Signal,
}

impl Backlog {
    /// Counts a unit that is about to be pushed. Counted afterwards, it could be written and taken off
    /// before.
    pub(crate) fn count(&self) {
        if self.units.fetch_add(1, Ordering::Relaxed) == limits::UNITS_WAKE {
            self.signal.raise();
        }
    }

    /// Puts a queue that has units on the list of those to write.
    pub(super) fn list(&self, queue: &Arc<Queue>) {
        if !queue.listed.load(Ordering::Acquire) && !queue.listed.swap(true, Ordering::AcqRel) {
            self.queues.lock().push(Arc::clone(queue));
        }
    }

    /// Units that are not in a file yet.
    pub(crate) fn units(&self) -> usize {
        self.units.load(Ordering::Relaxed)
    }

    /// Whether there are so many that they are written before their time.
    pub(crate) fn is_much(&self) -> bool {
        self.units() > limits::UNITS_WAKE
    }

    /// Makes the writer start a pass now.
    pub(crate) fn wake(&self) {
        self.signal.raise();
    }

    /// Waits until the next pass is due.
    pub(crate) fn wait(&self) {
        self.signal.wait(PERIOD);
    }
}

impl Queues {
    /// Writes what is in memory now. Goes on with the other queues where one fails, and returns the last
    /// error.
    pub(crate) fn write_out(&self) -> io::Result<()> {
        let _writing = self.shared.backlog.writing.lock();
        let listed = std::mem::take(&mut *self.shared.backlog.queues.lock());
        let mut buf = Vec::new();
        let mut result = Ok(());
        for queue in listed {
            // Cleared first: what is added during the write puts the queue back on the list.
            queue.listed.store(false, Ordering::Release);
            if let Err(error) = queue.write_out(&mut buf) {
                tracing::error!(topic = queue.topic(), queue = queue.id(), %error, "cannot write the consume queue");
                self.shared.backlog.list(&queue);
                result = Err(error);
            }
            if self.shared.files.too_many_open() {
                queue.files.close();
            }
        }
        result
    }
}

impl Queue {
    /// Moves the units that are in its tail now to its files.
    fn write_out(&self, buf: &mut Vec<u8>) -> io::Result<()> {
        let end = {
            let tail = self.tail.lock();
            tail.base + tail.units.len() as u64
        };
        loop {
            buf.clear();
            let base = {
                let tail = self.tail.lock();
                let left = usize::try_from(end - tail.base).unwrap_or(usize::MAX);
                let units = tail.units.iter().take(left.min(limits::UNITS_PER_WRITE));
                buf.extend(units.flat_map(|unit| unit.encode()));
                tail.base
            };
            if buf.is_empty() {
                return Ok(());
            }
            let written = self.files.write(base, buf)?;
            self.shared.backlog.units.fetch_sub(written, Ordering::Relaxed);
            let mut tail = self.tail.lock();
            tail.units.drain(..written);
            tail.base += written as u64;
            if tail.units.is_empty() && tail.units.capacity() > limits::UNITS_PER_WRITE {
                tail.units.shrink_to(64);
            }
        }
    }
}
