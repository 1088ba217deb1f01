//! Messages of one queue between the pull and the end of their consumption.
//!
//! Invariants: offsets ascend; a message is *waiting*, *taken* or *done*, in that order, and only
//! [`ProcessQueue::put_back`] moves one backwards; the commit offset is the lowest that is not
//! done, so a crash redelivers and never skips.
//!
//! Pure: no clock, no locks, no tasks.

use std::collections::VecDeque;

/// What a queue may hold before pulling pauses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) span: u64,
}

/// What a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Messages not done.
    pub(crate) messages: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// Lowest and highest offset in memory; 0 if there is none.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

#[derive(Debug)]
struct Slot<M> {
    offset: u64,
    bytes: usize,
    state: State<M>,
}

#[derive(Debug)]
enum State<M> {
    Waiting(M),
    Taken,
    Done,
}

/// Pulled messages of one queue in offset order.
#[derive(Debug)]
pub(crate) struct ProcessQueue<M> {
    slots: VecDeque<Slot<M>>,
    /// Index of the first waiting slot.
    cursor: usize,
    /// Messages not done.
    messages: usize,
    /// Bytes of the messages not done.
    bytes: usize,
    /// Where the next pull starts; everything below it was pulled or filtered out.
    next: u64,
}

impl<M> ProcessQueue<M> {
    /// An empty queue that will be read from `next`.
    pub(crate) fn new(next: u64) -> ProcessQueue<M> {
        ProcessQueue { slots: VecDeque::new(), cursor: 0, messages: 0, bytes: 0, next }
    }

    /// Where the next pull starts.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Adds what one pull returned: messages as (offset, bytes, message), and where to go on.
    ///
    /// Offsets that were already pulled are dropped, and `next` never moves back: a broker that
    /// answers an old pull late must not cause a redelivery.
    pub(crate) fn extend(&mut self, pulled: impl Iterator<Item = (u64, usize, M)>, next: u64) {
        for (offset, bytes, message) in pulled {
            if offset < self.next {
                continue;
            }
            self.slots.push_back(Slot { offset, bytes, state: State::Waiting(message) });
            self.messages += 1;
            self.bytes += bytes;
            self.next = offset + 1;
        }
        self.next = self.next.max(next);
    }

    /// Takes up to `count` waiting messages, lowest offsets first.
    pub(crate) fn take(&mut self, count: usize) -> Vec<(u64, M)> {
        let mut taken = Vec::new();
        while taken.len() < count && self.cursor < self.slots.len() {
            let slot = &mut self.slots[self.cursor];
            self.cursor += 1;
            match std::mem::replace(&mut slot.state, State::Taken) {
                State::Waiting(message) => taken.push((slot.offset, message)),
                other => slot.state = other,
            }
        }
        while matches!(self.slots.get(self.cursor), Some(s) if !matches!(s.state, State::Waiting(_)))
        {
            self.cursor += 1;
        }
        taken
    }

    /// Returns a taken message so that it is handed out again.
    pub(crate) fn put_back(&mut self, offset: u64, message: M) {
        let Ok(index) = self.slots.binary_search_by_key(&offset, |slot| slot.offset) else {
            return;
        };
        if matches!(self.slots[index].state, State::Taken) {
            self.slots[index].state = State::Waiting(message);
            self.cursor = self.cursor.min(index);
        }
    }

    /// Marks a taken message as consumed.
    pub(crate) fn done(&mut self, offset: u64) {
        let Ok(index) = self.slots.binary_search_by_key(&offset, |slot| slot.offset) else {
            return;
        };
        let slot = &mut self.slots[index];
        if matches!(slot.state, State::Done) {
            return;
        }
        slot.state = State::Done;
        self.messages -= 1;
        self.bytes -= slot.bytes;
        while matches!(self.slots.front(), Some(Slot { state: State::Done, .. })) {
            self.slots.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
    }

    /// The offset to commit: the lowest one that is not done.
    pub(crate) fn commit_offset(&self) -> u64 {
        self.slots.front().map_or(self.next, |slot| slot.offset)
    }

    /// What is in memory.
    pub(crate) fn held(&self) -> Held {
        let offset = |slot: Option<&Slot<M>>| slot.map_or(0, |slot| slot.offset);
        let (first, last) = (offset(self.slots.front()), offset(self.slots.back()));
        Held { messages: self.messages, bytes: self.bytes, first, last }
    }

    /// Whether a message waits to be taken.
    pub(crate) fn has_waiting(&self) -> bool {
        self.cursor < self.slots.len()
    }

    /// Whether pulling has to pause.
    pub(crate) fn is_full(&self, bounds: &Bounds) -> bool {
        self.messages >= bounds.messages
            || self.bytes >= bounds.bytes
            || self.next - self.commit_offset() > bounds.span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(offsets: std::ops::Range<u64>, next: u64) -> ProcessQueue<u64> {
        let mut queue = ProcessQueue::new(offsets.start);
        queue.extend(offsets.map(|offset| (offset, 10, offset)), next);
        queue
    }

    // Consumption out of order commits only up to the lowest message that is not done.
    #[test]
    fn commits_the_lowest_unconsumed_offset() {
        let mut queue = filled(5..9, 9);
        let taken: Vec<u64> = queue.take(10).into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(taken, [5, 6, 7, 8]);
        queue.done(6);
        queue.done(8);
        assert_eq!(queue.commit_offset(), 5);
        queue.done(5);
        assert_eq!(queue.commit_offset(), 7);
        queue.done(7);
        assert_eq!(queue.commit_offset(), 9);
        assert_eq!(queue.take(1), []);
    }

    // Messages filtered out by the broker count as consumed once nothing before them is pending.
    #[test]
    fn a_filtered_tail_is_committed_with_the_last_message() {
        let mut queue = filled(0..2, 50);
        queue.take(2);
        queue.done(0);
        assert_eq!(queue.commit_offset(), 1);
        queue.done(1);
        assert_eq!(queue.commit_offset(), 50);
        queue.extend(std::iter::empty(), 80);
        assert_eq!(queue.commit_offset(), 80);
    }

    // A message that is put back is taken again, in its place.
    #[test]
    fn a_returned_message_comes_first() {
        let mut queue = filled(0..4, 4);
        let taken = queue.take(2);
        queue.done(0);
        let (offset, message) = taken[1];
        queue.put_back(offset, message);
        assert_eq!(queue.take(10).iter().map(|(o, _)| *o).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!queue.has_waiting());
    }

    // A late answer to an older pull adds nothing and does not move the queue back.
    #[test]
    fn an_old_answer_is_dropped() {
        let mut queue = filled(0..4, 4);
        queue.extend([(2, 10, 2), (4, 10, 4)].into_iter(), 3);
        assert_eq!(queue.next(), 5);
        assert_eq!(queue.take(10).len(), 5);
    }

    // Each of the three bounds pauses pulling, and finishing messages lifts the pause.
    #[test]
    fn bounds_pause_pulling() {
        let bounds = Bounds { messages: 4, bytes: 1000, span: 100 };
        let mut queue = filled(0..4, 4);
        assert!(queue.is_full(&bounds));
        queue.take(1);
        queue.done(0);
        assert!(!queue.is_full(&bounds));
        assert!(queue.is_full(&Bounds { bytes: 30, ..bounds }));
        queue.extend(std::iter::empty(), 102);
        assert!(queue.is_full(&bounds));
        queue.take(3);
        (1..4).for_each(|offset| queue.done(offset));
        assert!(!queue.is_full(&bounds));
    }

    // Finishing an unknown or already finished message changes nothing.
    #[test]
    fn done_is_idempotent() {
        let mut queue = filled(0..2, 2);
        queue.take(2);
        queue.done(1);
        queue.done(1);
        queue.done(77);
        assert_eq!(queue.commit_offset(), 0);
    }
}
