//! What the store must hold, from what it was sent and what it answered.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wire::record::RecordView;

/// Topic and queue number.
pub(crate) type QueueId = (&'static str, u32);

/// A message as it was sent. Its body starts with its number, so that it is recognized in the log.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) id: u64,
    pub(crate) queue: QueueId,
    pub(crate) body: Vec<u8>,
    pub(crate) tags_code: i64,
}

/// A message as a consumer finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) queue: QueueId,
    pub(crate) queue_offset: u64,
    /// The tags code that its consume queue unit carries.
    pub(crate) tags_code: i64,
    pub(crate) record: Bytes,
}

/// What happened before the store was opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It was closed, or its process was killed.
    Nothing,
    /// The power was cut: an end of the log that was not answered as durable may be gone.
    Tail,
}

/// A message that the store said it has.
#[derive(Debug)]
struct Kept {
    id: u64,
    queue: QueueId,
    queue_offset: u64,
    /// Whether it was answered at the level that survives a power cut.
    durable: bool,
    /// Its bytes, once they were read.
    record: Option<Bytes>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    sent: BTreeMap<u64, Sent>,
    /// By log offset.
    kept: BTreeMap<u64, Kept>,
    /// Sends that failed: each may turn out to be in the log, until the next recovery decides it.
    unknown: BTreeSet<u64>,
}

impl Oracle {
    /// A number for the next message.
    pub(crate) fn next_id(&self) -> u64 {
        self.sent.len() as u64
    }

    /// A message is about to be sent.
    pub(crate) fn sending(&mut self, sent: Sent) {
        self.unknown.insert(sent.id);
        self.sent.insert(sent.id, sent);
    }

    /// The store answered that it has the message there.
    pub(crate) fn appended(&mut self, id: u64, queue_offset: u64, physical: u64) {
        assert!(self.unknown.remove(&id), "message {id} is answered once");
        let queue = self.sent[&id].queue;
        let kept = Kept { id, queue, queue_offset, durable: false, record: None };
        let before = self.kept.insert(physical, kept);
        assert!(before.is_none(), "two messages at log offset {physical}: {before:?} and {id}");
    }

    /// The store answered that everything below this log offset is durable.
    pub(crate) fn durable(&mut self, end: u64) {
        self.kept.range_mut(..end).for_each(|(_, kept)| kept.durable = true);
    }

    /// Everything that is known to be in the log is durable.
    pub(crate) fn all_durable(&mut self) {
        self.durable(u64::MAX);
    }

    /// Checks what a running store shows. With `all`, it must show all that it has.
    pub(crate) fn check_running(&mut self, found: &[Found], all: bool) {
        let seen = self.check_found(found);
        for (physical, kept) in &self.kept {
            let must = all || kept.durable;
            assert!(!must || seen.contains(physical), "{kept:?} at {physical} is not shown");
        }
        for found in found {
            let (physical, id) = place(found);
            assert!(!self.unknown.contains(&id), "failed send {id} is shown at {physical}");
        }
    }

    /// Checks what a store shows that was opened after `loss`, and forgets what is gone for good.
    pub(crate) fn check_opened(&mut self, found: &[Found], loss: Loss) {
        let mut returned = BTreeSet::new();
        for found in found {
            let (physical, id) = place(found);
            if self.unknown.remove(&id) {
                returned.insert(physical);
                let (queue, queue_offset) = (found.queue, found.queue_offset);
                let kept = Kept { id, queue, queue_offset, durable: false, record: None };
                let before = self.kept.insert(physical, kept);
                // What a failed send left at a place may outlive the message that was written over it.
                let may_replace = |kept: &Kept| loss == Loss::Tail && !kept.durable;
                assert!(
                    before.as_ref().is_none_or(may_replace),
                    "failed send {id} replaced {before:?}"
                );
            }
        }
        self.unknown.clear();
        let seen = self.check_found(found);
        // What a failed send left may be longer than what was written over it and is lost.
        let last_seen = seen.iter().rfind(|physical| !returned.contains(physical)).copied();
        self.kept.retain(|physical, kept| {
            let is_seen = seen.contains(physical);
            let may_go = loss == Loss::Tail && !kept.durable && Some(*physical) > last_seen;
            assert!(is_seen || may_go, "{kept:?} at {physical} is lost, {last_seen:?} is not");
            is_seen
        });
    }

    /// Checks each message against what was sent and answered, and each queue for density and order.
    /// Returns the log offsets.
    fn check_found(&mut self, found: &[Found]) -> BTreeSet<u64> {
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<QueueId, (u64, u64)> = BTreeMap::new();
        for found in found {
            let (physical, id) = place(found);
            let Found { queue, queue_offset, .. } = *found;
            let kept = self.kept.get_mut(&physical);
            let kept =
                kept.unwrap_or_else(|| panic!("message {id} at {physical} came from nowhere"));
            let sent = &self.sent[&id];
            assert_eq!((kept.id, kept.queue, kept.queue_offset), (id, queue, queue_offset));
            let view = RecordView::parse(&found.record).expect("a record that is shown is whole");
            assert_eq!(view.body(), sent.body, "body of message {id}");
            assert_eq!((view.topic(), view.queue_id()), (queue.0.as_bytes(), queue.1 as i32));
            assert_eq!(view.queue_offset(), queue_offset, "the record agrees with its queue");
            assert_eq!(view.size(), found.record.len(), "the unit agrees with its record");
            assert_eq!(found.tags_code, sent.tags_code, "the unit agrees with the tags");
            let record = kept.record.get_or_insert_with(|| found.record.clone());
            assert_eq!(record, &found.record, "message {id} changed");
            let (next, after) = last.get(&queue).map_or((0, None), |(o, p)| (o + 1, Some(*p)));
            assert_eq!(queue_offset, next, "queue {queue:?} is dense");
            assert!(Some(physical) > after, "queue {queue:?} keeps the order of the log");
            last.insert(queue, (queue_offset, physical));
            assert!(seen.insert(physical), "{physical} is shown twice");
        }
        seen
    }
}

/// Log offset and number of a message.
fn place(found: &Found) -> (u64, u64) {
    let view = RecordView::parse(&found.record).expect("a record that is shown is whole");
    let id = view.body().first_chunk().expect("bodies start with their number");
    (view.physical_offset(), u64::from_be_bytes(*id))
}
