//! Reset of a group's offsets (222): here, so that its members hear of it with their next pull, or through the members
//! themselves (220) where `useServerSideResetOffset` is off (broker-semantics §11.4).

use std::sync::Arc;

use store::{Bound, ReadError, Store};
use wire::body::{MessageQueue, QueueOffsets, ResetOffsets};
use wire::header::{Header, ResetOffsetHeader};
use wire::{Frame, Language, Peer, Replies, RequestCode};

use crate::Broker;
use crate::reply::{self, Refusal};

/// The version from which on clients know 220 and 221 (V3_0_7_SNAPSHOT).
pub(super) const KNOWS_RESET: i32 = 28;

/// Queue and offset.
type Found = Result<Vec<(i32, i64)>, ReadError>;

/// 222: sets the offsets of a group, to a time or to an offset.
pub(crate) fn reset(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ResetOffsetHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let (topic, group) = (header.topic.to_str().into_owned(), header.group.to_str().into_owned());
    tracing::info!(
        topic,
        group,
        queue = header.queue_id,
        timestamp = header.timestamp,
        "reset of offsets"
    );
    if broker.settings().server_side_reset {
        here(broker, frame, header, (topic, group), out)
    } else {
        through_members(broker, frame, header, (topic, group), out)
    }
}

/// Sets the offsets in the table of this broker.
fn here(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ResetOffsetHeader<'_>,
    (topic, group): (String, String),
    out: &mut Replies,
) -> Result<(), Refusal> {
    let Some(known) = broker.topics.get(&topic) else { return Err(Refusal::ResetTopic(topic)) };
    if broker.groups.get(&group).is_none() {
        return Err(Refusal::ResetGroup(group));
    }
    let asked = header.offset.filter(|offset| header.queue_id >= 0 && *offset != -1);
    let offsets = match (asked, header.queue_id) {
        (Some(offset), queue) => {
            check_range(broker, &topic, queue, offset)?;
            OffsetsAt::Ready(vec![(queue, offset)])
        }
        (None, 0..) => OffsetsAt::Time(header.queue_id..header.queue_id.saturating_add(1)),
        (None, _) => OffsetsAt::Time(0..known.config.read_queue_nums),
    };
    let timestamp = header.timestamp;
    let found = {
        let topic = topic.clone();
        broker.store.background(move |store| offsets.find(store, &topic, timestamp))?
    };
    let (to, broker) = ((!frame.is_oneway()).then(|| frame.reply_to()), broker.clone());
    out.later(Box::pin(async move {
        let found = found.await.unwrap_or(Err(ReadError::Closed));
        let set =
            found.map_err(Refusal::from).and_then(|found| set(&broker, &topic, &group, found));
        reply::outcome(to, set.map(|table| table.encode()))
    }));
    Ok(())
}

/// Which offsets are wanted.
enum OffsetsAt {
    Ready(Vec<(i32, i64)>),
    /// Those of a time, in these queues.
    Time(std::ops::Range<i32>),
}

impl OffsetsAt {
    fn find(self, store: &Store, topic: &str, timestamp: i64) -> Found {
        match self {
            OffsetsAt::Ready(offsets) => Ok(offsets),
            OffsetsAt::Time(queues) => {
                queues.map(|id| Ok((id, offset_at(store, topic, id, timestamp)?))).collect()
            }
        }
    }
}

/// The first offset of a queue that was stored at that time or later; the end of the queue for a negative time.
fn offset_at(store: &Store, topic: &str, id: i32, timestamp: i64) -> Result<i64, ReadError> {
    let queue = u32::try_from(id).ok().and_then(|id| store.find_queue(topic, id));
    match queue {
        None => Ok(0),
        Some(queue) if timestamp < 0 => Ok(queue.max_offset() as i64),
        Some(queue) => Ok(store.search_time(&queue, timestamp, Bound::Lower)? as i64),
    }
}

fn check_range(broker: &Broker, topic: &str, queue: i32, offset: i64) -> Result<(), Refusal> {
    let known = u32::try_from(queue).ok().and_then(|id| broker.store.find_queue(topic, id));
    let range = known.map(|queue| (queue.min_offset() as i64, queue.max_offset() as i64));
    let (min, max) = range.unwrap_or((0, 0));
    if offset < min || offset > max.saturating_add(1) {
        return Err(Refusal::ResetRange { offset, min, max });
    }
    Ok(())
}

fn set(
    broker: &Broker,
    topic: &str,
    group: &str,
    found: Vec<(i32, i64)>,
) -> Result<ResetOffsets, Refusal> {
    if found.is_empty() {
        return Err(Refusal::NoQueues);
    }
    for (queue, offset) in &found {
        broker.offsets.reset(topic, group, *queue, *offset)?;
    }
    Ok(table(broker, topic, found))
}

fn table(broker: &Broker, topic: &str, offsets: Vec<(i32, i64)>) -> ResetOffsets {
    let settings = broker.settings();
    let queue = |queue_id| MessageQueue {
        broker_name: settings.name.clone(),
        queue_id,
        topic: topic.to_owned(),
    };
    let offsets = offsets.into_iter().map(|(id, offset)| (queue(id), offset)).collect();
    ResetOffsets { offset_table: QueueOffsets(offsets) }
}

/// Tells the members of the group to set their offsets, which they commit then (220).
fn through_members(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ResetOffsetHeader<'_>,
    (topic, group): (String, String),
    out: &mut Replies,
) -> Result<(), Refusal> {
    let known = broker.topics.get(&topic).ok_or_else(|| Refusal::ResetNoTopic(topic.clone()))?;
    let queues = 0..known.config.write_queue_nums;
    let committed: Option<Vec<i64>> =
        queues.clone().map(|id| broker.offsets.query(&topic, &group, id)).collect();
    let committed = committed.ok_or_else(|| Refusal::NoOffsets(group.clone()))?;
    let (force, timestamp) = (header.force, header.timestamp);
    let found = {
        let topic = topic.clone();
        let at = OffsetsAt::Time(queues);
        broker.store.background(move |store| at.find(store, &topic, timestamp))?
    };
    let for_cpp = frame.language == Language::Cpp;
    let (to, broker) = ((!frame.is_oneway()).then(|| frame.reply_to()), broker.clone());
    out.later(Box::pin(async move {
        let found = found.await.unwrap_or(Err(ReadError::Closed)).map_err(Refusal::from);
        let told = found.and_then(|found| {
            let offsets = found.into_iter().zip(committed).map(|((id, at), committed)| {
                (id, if force || at < committed { at } else { committed })
            });
            let table = table(&broker, &topic, offsets.collect());
            let body = if for_cpp { table.encode_list() } else { table.encode() };
            let header = ResetOffsetHeader {
                group: group.as_str().into(),
                topic: topic.as_str().into(),
                queue_id: -1,
                offset: None,
                timestamp,
                force: false,
            };
            tell_members(&broker, &header, &body)?;
            Ok(table.encode())
        });
        reply::outcome(to, told)
    }));
    Ok(())
}

fn tell_members(
    broker: &Broker,
    header: &ResetOffsetHeader<'_>,
    body: &[u8],
) -> Result<(), Refusal> {
    let group = header.group.to_str();
    let members: Vec<(Arc<Peer>, i32)> = broker
        .clients
        .with_group(&group, |group| {
            group
                .members
                .values()
                .map(|member| (Arc::clone(&member.peer), member.version))
                .collect()
        })
        .unwrap_or_default();
    if members.is_empty() {
        let (group, topic) = (group.into_owned(), header.topic.to_str().into_owned());
        return Err(Refusal::NotOnline { group, topic, timestamp: header.timestamp });
    }
    if let Some((_, version)) = members.iter().find(|(_, version)| *version < KNOWS_RESET) {
        return Err(Refusal::OldClient(*version));
    }
    for (member, _) in members {
        let code = RequestCode::ResetConsumerClientOffset.code();
        member.oneway(code, |writer| header.encode(writer), body);
    }
    Ok(())
}
