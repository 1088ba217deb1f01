//! What comes in, by topic and kind of message. A read's sends are counted apart and added at once, so that a message
//! costs no atomic operation.

use std::sync::{Arc, OnceLock};

use metrics::{Bounds, Counter, Histogram, Tally};

use crate::topic::Topic;

/// Bounds of `rocketmq_message_size`, in bytes.
static SIZES: Bounds<6> =
    Bounds { upper: [1 << 10, 4 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20], scale: 1.0 };

/// What a message is, for its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// Nothing else.
    Normal,
    /// With a sharding key.
    Fifo,
    /// To be delivered later.
    Delay,
}

impl MessageType {
    /// All of them.
    pub const ALL: [MessageType; 3] = [MessageType::Normal, MessageType::Fifo, MessageType::Delay];

    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            MessageType::Normal => "normal",
            MessageType::Fifo => "fifo",
            MessageType::Delay => "delay",
        }
    }
}

/// What has come into one topic.
#[derive(Debug, Default)]
pub struct Traffic {
    kinds: [OnceLock<Box<Incoming>>; 3],
}

/// Messages of one kind.
#[derive(Debug)]
pub struct Incoming {
    /// Messages.
    pub messages: Counter,
    /// Bytes of their records.
    pub bytes: Counter,
    /// Sizes of their records.
    pub sizes: Histogram<6>,
}

impl Traffic {
    /// What has come of one kind, if any has.
    pub fn get(&self, kind: MessageType) -> Option<&Incoming> {
        self.kinds[kind as usize].get().map(|incoming| &**incoming)
    }

    fn incoming(&self, kind: MessageType) -> &Incoming {
        self.kinds[kind as usize].get_or_init(|| {
            Box::new(Incoming {
                messages: Counter::default(),
                bytes: Counter::default(),
                sizes: Histogram::new(&SIZES),
            })
        })
    }
}

/// Messages that are counted once they are stored.
#[derive(Debug, Default)]
pub(crate) struct Arriving(Vec<Run>);

/// Messages of one topic and kind.
#[derive(Debug)]
struct Run {
    traffic: Arc<Traffic>,
    kind: MessageType,
    messages: u64,
    bytes: u64,
    sizes: Tally<6>,
}

impl Arriving {
    /// One request brought so many messages, whose records have so many bytes. Topics of retries and dead letters
    /// are not counted.
    pub(crate) fn add(&mut self, topic: &Topic, kind: MessageType, messages: usize, bytes: usize) {
        let Some(traffic) = &topic.traffic else { return };
        let is_same = |run: &Run| run.kind == kind && Arc::ptr_eq(&run.traffic, traffic);
        // Most reads carry one topic only; of many, one is found again if it is among the last few.
        let start = self.0.len().saturating_sub(4);
        let at = match self.0[start..].iter().position(is_same) {
            Some(at) => start + at,
            None => {
                let (traffic, sizes) = (Arc::clone(traffic), Tally::new(&SIZES));
                self.0.push(Run { traffic, kind, messages: 0, bytes: 0, sizes });
                self.0.len() - 1
            }
        };
        let run = &mut self.0[at];
        let (messages, bytes) = (messages as u64, bytes as u64);
        run.messages += messages;
        run.bytes += bytes;
        // A request counts once, as in the reference: with the mean of its messages.
        run.sizes.record_many(bytes / messages.max(1), 1);
    }

    /// They are stored.
    pub(crate) fn count(&mut self) {
        for run in self.0.drain(..) {
            let incoming = run.traffic.incoming(run.kind);
            incoming.messages.add(run.messages);
            incoming.bytes.add(run.bytes);
            incoming.sizes.merge(&run.sizes);
        }
    }

    /// They are not stored.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Hands out what topics count with. Beyond a limit, topics count together.
#[derive(Debug)]
pub(crate) struct TrafficLimit {
    topics: usize,
    others: Arc<Traffic>,
}

impl TrafficLimit {
    /// As many topics count by themselves.
    pub(crate) fn new(topics: usize) -> TrafficLimit {
        TrafficLimit { topics, others: Arc::default() }
    }

    /// What a new topic counts with, where so many exist already.
    pub(crate) fn of_new(&self, existing: usize) -> Arc<Traffic> {
        if existing < self.topics { Arc::default() } else { Arc::clone(&self.others) }
    }

    /// What topics beyond the limit count with.
    pub(crate) fn others(&self) -> &Arc<Traffic> {
        &self.others
    }
}
