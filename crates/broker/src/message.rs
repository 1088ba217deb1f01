//! From a message that somebody wants stored to a record in a batch: what its properties mean, what the broker adds
//! to them, and where a delayed message really goes (broker-semantics §3, §5).

use std::sync::Arc;

use bytes::BytesMut;
use smallvec::SmallVec;
use store::{Batch, Keys, NewRecord, Queue, Tags};
use wire::flags::message::{PREPARED, TRANSACTION};
use wire::java_hash;
use wire::props::{self, PropertiesMut, names};
use wire::record::{PropertyCrc, RecordHead, RecordWriter};

use crate::Broker;
use crate::metrics::MessageType;
use crate::reply::Refusal;
use crate::topic::Topic;

/// A message on its way into the log.
pub(crate) struct Outgoing<'a> {
    /// Topic that it is for; a delayed message is stored elsewhere until it is due.
    pub topic: &'a Arc<Topic>,
    /// Everything of the record besides topic, body and properties; its queue id is one of `topic`.
    pub head: RecordHead,
    /// Body as it will be stored.
    pub body: &'a [u8],
    /// Property block; names that only the broker may set are taken out.
    pub properties: &'a mut BytesMut,
    /// Whether it belongs to the batch of the record before it and must lie in the same segment.
    pub with_previous: bool,
}

/// What encoding a message decided.
pub(crate) struct Encoded {
    /// The message's unique key, given or made.
    pub unique_key: UniqueKey,
    /// Whether the sender waits for the message to be durable where that is asked for (`WAIT`).
    pub waits: bool,
    /// What it counts as.
    pub kind: MessageType,
    /// Whether it is stored in the topic of delayed messages.
    pub delayed: bool,
}

/// A unique key: 32 characters with an IPv4 address in it, 56 with IPv6.
pub(crate) type UniqueKey = SmallVec<[u8; 32]>;

/// What a property block says that the broker acts on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Meaning<'a> {
    /// The tag.
    pub tags: Option<&'a [u8]>,
    /// Business keys, separated by spaces.
    pub keys: Option<&'a [u8]>,
    /// The client's unique key.
    pub unique_key: Option<&'a [u8]>,
    /// Delay level; 0 or less is none.
    pub delay_level: i32,
    /// Whether a delay is named at all.
    pub names_delay: bool,
    /// Whether it has a sharding key.
    pub sharded: bool,
    /// Whether it is the half message of a transaction.
    pub transactional: bool,
    /// Whether it asks for an arbitrary delay.
    pub timed: bool,
    /// Whether the sender does not want to wait for durability.
    pub hasty: bool,
    /// Whether it has properties that only the broker may set.
    pub forged: bool,
}

/// Where a message comes from, which decides what the broker does to its properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client's send: it gets what every stored message carries, and cannot forge the broker's own properties.
    Client,
    /// A message sent back to be tried again: it keeps the key it has, if it has one.
    Retry,
    /// A delayed message that is due: its delay does not apply again.
    Due,
}

/// Properties that a client cannot set: they are the broker's own.
const OWN: [&str; 7] = [
    names::POP_CK,
    names::CRC32,
    names::MSG_REGION,
    names::TRACE_ON,
    names::CLUSTER,
    names::REAL_TOPIC,
    names::REAL_QUEUE_ID,
];

/// Properties that ask for an arbitrary delay. A delay level overrules them.
const TIMER: [&str; 3] = [names::TIMER_DELAY_SEC, names::TIMER_DELAY_MS, names::TIMER_DELIVER_MS];

impl<'a> Meaning<'a> {
    /// What the message counts as.
    fn kind(&self) -> MessageType {
        match self {
            Meaning { sharded: true, .. } => MessageType::Fifo,
            Meaning { names_delay: true, .. } | Meaning { timed: true, .. } => MessageType::Delay,
            _ => MessageType::Normal,
        }
    }

    /// Reads a property block; of equal names the last counts.
    pub(crate) fn of(block: &'a [u8]) -> Meaning<'a> {
        let mut meaning = Meaning::default();
        for (name, value) in props::iter(block) {
            match name {
                b"TAGS" => meaning.tags = Some(value),
                b"KEYS" => meaning.keys = Some(value),
                b"UNIQ_KEY" => meaning.unique_key = Some(value),
                b"DELAY" => (meaning.delay_level, meaning.names_delay) = (number(value), true),
                b"__SHARDINGKEY" => meaning.sharded = true,
                b"WAIT" => meaning.hasty = value == b"false",
                b"TRAN_MSG" => meaning.transactional = value == b"true",
                b"TIMER_DELAY_SEC" | b"TIMER_DELAY_MS" | b"TIMER_DELIVER_MS" => {
                    meaning.timed = true;
                }
                _ => meaning.forged |= OWN.iter().any(|own| own.as_bytes() == name),
            }
        }
        meaning
    }
}

fn number(value: &[u8]) -> i32 {
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Sets one property of a block, replacing what it was.
pub(crate) fn set_property(block: &mut BytesMut, name: &str, value: &[u8]) {
    let mut properties = PropertiesMut::new(block, 0);
    properties.remove(name);
    properties.append(name, value);
}

/// Makes the message of a block one that is not delayed, whatever it asks for: a dead letter.
pub(crate) fn never_delay(block: &mut BytesMut) {
    remove(block, &TIMER);
    set_property(block, names::DELAY, b"-1");
}

fn remove(block: &mut BytesMut, names: &[&str]) {
    names.iter().for_each(|name| PropertiesMut::new(block, 0).remove(name));
}

/// Encodes a message at the end of `batch`. A delayed one goes to the schedule topic until it is due. On error the
/// batch is as it was.
pub(crate) fn encode(
    broker: &Broker,
    batch: &mut Batch,
    message: Outgoing<'_>,
    origin: Origin,
) -> Result<Encoded, Refusal> {
    let Outgoing { topic, mut head, body, properties, with_previous } = message;
    let mut meaning = Meaning::of(properties);
    let forged = meaning.forged && origin != Origin::Due;
    let overruled = meaning.timed && meaning.delay_level > 0;
    if forged || overruled {
        if forged {
            remove(properties, &OWN);
        }
        if overruled {
            remove(properties, &TIMER);
        }
        meaning = Meaning::of(properties);
    }
    check(&meaning, &head, origin)?;
    let mut added = Added::new();
    let mut unique_key = UniqueKey::from_slice(meaning.unique_key.unwrap_or_default());
    if unique_key.is_empty() && origin == Origin::Client {
        let made = broker.unique_keys.next(broker.env.clock.wall_ms());
        unique_key.extend_from_slice(made.as_str().as_bytes());
        add(&mut added, names::UNIQ_KEY, &unique_key);
    }
    let (schedule, tags);
    let stored_in = if meaning.delay_level > 0 && origin != Origin::Due {
        let level = broker.store.delays().clamp(meaning.delay_level);
        add(&mut added, names::REAL_TOPIC, topic.config.topic_name.as_bytes());
        add(&mut added, names::REAL_QUEUE_ID, itoa::Buffer::new().format(head.queue_id).as_bytes());
        head.queue_id = level - 1;
        schedule = broker.schedule_topic();
        tags = Tags::Delay(level);
        &schedule
    } else {
        tags = Tags::Code(meaning.tags.map_or(0, java_hash::tags_code));
        topic
    };
    let record = NewRecord {
        queue: queue(broker, stored_in, head.queue_id)?,
        tags,
        keys: Keys { unique: Some(&unique_key), keys: meaning.keys, tag: meaning.tags },
        with_previous,
    };
    let crc = if broker.store.settings().property_crc {
        PropertyCrc::Reserved
    } else {
        PropertyCrc::Absent
    };
    batch.push(record, |buf| {
        let name = stored_in.config.topic_name.as_bytes();
        let mut writer = RecordWriter::begin(buf, &head, name, body)?;
        let mut block = writer.properties();
        block.buf().extend_from_slice(properties);
        if origin != Origin::Due {
            block.end_segment();
            block.buf().extend_from_slice(&broker.stamp);
            block.buf().extend_from_slice(&added);
        }
        writer.finish(crc)
    })?;
    let delayed = matches!(tags, Tags::Delay(_));
    Ok(Encoded { unique_key, waits: !meaning.hasty, kind: meaning.kind(), delayed })
}

/// What the broker adds to a property block behind its stamp; nothing to most.
type Added = SmallVec<[u8; 256]>;

fn add(block: &mut Added, name: &str, value: &[u8]) {
    block.extend_from_slice(name.as_bytes());
    block.push(props::NAME_END);
    block.extend_from_slice(value);
    block.push(props::VALUE_END);
}

fn check(meaning: &Meaning<'_>, head: &RecordHead, origin: Origin) -> Result<(), Refusal> {
    if meaning.transactional || head.sys_flag & TRANSACTION == PREPARED {
        return Err(Refusal::Transaction);
    }
    if meaning.timed && meaning.delay_level <= 0 && origin == Origin::Client {
        return Err(Refusal::Timer);
    }
    Ok(())
}

fn queue<'t>(broker: &Broker, topic: &'t Topic, id: i32) -> Result<&'t Arc<Queue>, Refusal> {
    topic.queue(&broker.store, id).ok_or_else(|| Refusal::QueueId {
        queue: id,
        topic: topic.config.topic_name.clone(),
        count: topic.queue_count(),
        who: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows which properties the broker acts on, and that the last of two wins.
    #[test]
    fn properties_have_meanings() {
        let block = b"TAGS\x01a\x02TAGS\x01b\x02DELAY\x013\x02WAIT\x01false\x02KEYS\x01x y\x02CLUSTER\x01evil";
        let meaning = Meaning::of(block);
        assert_eq!((meaning.tags, meaning.keys), (Some(&b"b"[..]), Some(&b"x y"[..])));
        assert_eq!((meaning.delay_level, meaning.hasty, meaning.forged), (3, true, true));
        assert_eq!(Meaning::of(b""), Meaning::default());
        assert_eq!(Meaning::of(b"DELAY\x01x\x02").delay_level, 0);
    }

    /// Shows that setting a property replaces it and closes a block that lacks its last separator.
    #[test]
    fn a_property_is_replaced() {
        let mut block = BytesMut::from(&b"A\x011\x02DELAY\x015\x02B\x012"[..]);
        set_property(&mut block, "DELAY", b"-1");
        assert_eq!(&block[..], b"A\x011\x02B\x012\x02DELAY\x01-1\x02");
    }
}
