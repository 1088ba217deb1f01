//! Requests in flight on one connection: which correlation number belongs to which start time.
//!
//! A correlation number is `FIRST + slot * GENERATIONS + generation`, seven decimal digits always, so
//! that it can be patched into an encoded header in place. The generation tells a late or doubled
//! answer from the one that is awaited.

use crate::limits;

const FIRST: u32 = 1_000_000;
const GENERATIONS: u32 = 1_000;

#[derive(Debug, Clone, Copy)]
struct Slot {
    generation: u32,
    busy: bool,
    started_ns: u64,
    tag: u32,
}

/// The table of one connection.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    /// A table of `capacity` requests, at most [`limits::IN_FLIGHT_PER_CONNECTION`].
    pub(crate) fn new(capacity: usize) -> Slots {
        assert!(capacity <= limits::IN_FLIGHT_PER_CONNECTION, "checked with the arguments");
        let slot = Slot { generation: 0, busy: false, started_ns: 0, tag: 0 };
        Slots { slots: vec![slot; capacity], free: (0..capacity as u32).rev().collect() }
    }

    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a slot for a request that starts (or was to start) at `started_ns`; `tag` comes back
    /// with the answer. None when all are taken.
    pub(crate) fn take(&mut self, started_ns: u64, tag: u32) -> Option<u32> {
        let index = self.free.pop()?;
        let slot = &mut self.slots[index as usize];
        slot.generation = (slot.generation + 1) % GENERATIONS;
        slot.busy = true;
        slot.started_ns = started_ns;
        slot.tag = tag;
        Some(FIRST + index * GENERATIONS + slot.generation)
    }

    /// Frees the slot of an answered request; None when nothing waits for this number.
    pub(crate) fn finish(&mut self, opaque: i32) -> Option<(u64, u32)> {
        let number = u32::try_from(opaque).ok()?.checked_sub(FIRST)?;
        let index = number / GENERATIONS;
        let slot = self.slots.get_mut(index as usize)?;
        if !slot.busy || slot.generation != number % GENERATIONS {
            return None;
        }
        slot.busy = false;
        self.free.push(index);
        Some((slot.started_ns, slot.tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // An answer frees exactly its own slot, once, whatever the order of answers.
    #[test]
    fn an_answer_counts_once() {
        let mut slots = Slots::new(2);
        let a = slots.take(10, 7).unwrap();
        let b = slots.take(20, 8).unwrap();
        assert!(slots.take(30, 0).is_none());
        assert_eq!(slots.finish(b as i32), Some((20, 8)));
        assert_eq!(slots.finish(b as i32), None);
        let c = slots.take(40, 9).unwrap();
        assert_ne!(b, c);
        assert_eq!(slots.finish(a as i32), Some((10, 7)));
        assert_eq!(slots.finish(c as i32), Some((40, 9)));
        assert_eq!(slots.in_flight(), 0);
    }

    // Every number has seven digits, so that it fits the place left for it in an encoded header.
    #[test]
    fn numbers_keep_their_width() {
        let mut slots = Slots::new(limits::IN_FLIGHT_PER_CONNECTION);
        while let Some(opaque) = slots.take(0, 0) {
            assert_eq!(opaque.to_string().len(), 7);
        }
    }
}
