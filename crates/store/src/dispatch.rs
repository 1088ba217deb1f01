//! What follows from a record: its consume queue unit and its index entries.
//!
//! [`Deriving::step`] is the only place that derives anything. Appending calls it with what the batch
//! knows; recovery with what it reads in the log, through [`Derivation::of`].

use std::io;
use std::sync::Arc;

use wire::flags::message;
use wire::java_hash;
use wire::props::{self, names};
use wire::record::RecordView;

use crate::batch::is_queued;
use crate::delay::{DelayLevels, SCHEDULE_TOPIC};
use crate::index::{Index, Keys, Staging, hash_keys};
use crate::limits;
use crate::queue::{Queue, Queues, Unit};

/// What the consume queue unit of a message carries besides its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tags {
    /// The hash of its tag ([`wire::java_hash::tags_code`]), or 0.
    Code(i64),
    /// The time when this delay level, counted from storing, is over (`SCHEDULE_TOPIC_XXXX`).
    Delay(i32),
}

impl Tags {
    /// The number that the unit carries.
    pub(crate) fn resolve(self, levels: &DelayLevels, store_timestamp: i64) -> i64 {
        match self {
            Tags::Code(code) => code,
            Tags::Delay(level) => levels.due_ms(level, store_timestamp),
        }
    }

    /// Tags of a message of `topic` with these properties.
    pub fn of(topic: &[u8], properties: &[u8]) -> Tags {
        if topic == SCHEDULE_TOPIC.as_bytes()
            && let Some(level) = props::get(properties, names::DELAY)
        {
            let level = std::str::from_utf8(level).ok().and_then(|text| text.parse().ok());
            return Tags::Delay(level.unwrap_or(0));
        }
        Tags::Code(props::get(properties, names::TAGS).map_or(0, java_hash::tags_code))
    }
}

/// The topic and the queue that a record in the log names. `None` where no queue can be meant: a body's
/// checksum does not cover them, and what is damaged must not become the name of a directory elsewhere.
pub(crate) fn queue_of<'a>(view: &RecordView<'a>) -> Option<(&'a str, u32)> {
    let topic = std::str::from_utf8(view.topic()).ok()?;
    let is_name = topic.len() <= limits::TOPIC_BYTES
        && !matches!(topic, "" | "." | "..")
        && !topic.contains(['/', '\0']);
    let has_unit = view.queue_offset() < limits::QUEUE_OFFSETS;
    let id = u32::try_from(view.queue_id()).ok()?;
    (is_name && has_unit).then_some((topic, id))
}

/// One record, as far as what is derived from it is concerned.
#[derive(Debug)]
pub(crate) struct Derivation<'a> {
    pub(crate) queue: &'a Arc<Queue>,
    /// Whether it gets a consume queue unit.
    pub(crate) queued: bool,
    pub(crate) queue_offset: u64,
    pub(crate) unit: Unit,
    pub(crate) store_timestamp: i64,
    /// Hashes of its keys.
    pub(crate) hashes: &'a [u32],
}

impl<'a> Derivation<'a> {
    /// Derives from a record in the log; `hashes` is a buffer for its hashes.
    pub(crate) fn of(
        view: &RecordView<'_>,
        queue: &'a Arc<Queue>,
        levels: &DelayLevels,
        hashes: &'a mut Vec<u32>,
    ) -> Derivation<'a> {
        let transaction = view.sys_flag() & message::TRANSACTION;
        let properties = view.properties();
        hashes.clear();
        if transaction != message::ROLLBACK {
            let get = |name| props::get(properties, name);
            let (unique, keys, tag) = (get(names::UNIQ_KEY), get(names::KEYS), get(names::TAGS));
            hash_keys(&Keys { unique, keys, tag }, queue.key_prefix(), hashes);
        }
        let store_timestamp = view.store_timestamp();
        let tags = Tags::of(view.topic(), properties).resolve(levels, store_timestamp);
        let size = u32::try_from(view.size()).expect("a record's size is a 31-bit number");
        Derivation {
            queue,
            queued: is_queued(transaction),
            queue_offset: view.queue_offset(),
            unit: Unit { physical: view.physical_offset(), size, tags },
            store_timestamp,
            hashes,
        }
    }
}

/// What is derived from the log.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) index: Option<Index>,
}

/// The derivation of some records, one after the other.
#[derive(Debug)]
pub(crate) struct Deriving<'a> {
    index: Option<Staging<'a>>,
}

impl Derived {
    /// Starts taking records over.
    pub(crate) fn begin(&self) -> Deriving<'_> {
        Deriving { index: self.index.as_ref().map(Index::staging) }
    }

    /// Moves what is in memory to the files, if it is much.
    pub(crate) fn write_out_if_much(&self, queues: &Queues) -> io::Result<()> {
        if queues.shared.backlog.is_much() {
            queues.write_out()?;
        }
        self.index.as_ref().map_or(Ok(()), Index::write_out_if_much)
    }
}

impl Deriving<'_> {
    /// Takes one record over, in log order.
    pub(crate) fn step(&mut self, record: &Derivation<'_>) {
        if record.queued {
            record.queue.push(record.queue_offset, record.unit);
        }
        if let Some(index) = &mut self.index
            && !record.hashes.is_empty()
        {
            index.add(record.unit.physical, record.store_timestamp, record.hashes);
        }
    }
}
