//! Offsets: what groups have consumed (14, 15) and what queues hold (29, 30, 31, 32).

use std::sync::Arc;

use store::{Get, Queue, Want};
use wire::header::{
    OffsetResponse, QueryConsumerOffsetHeader, QueueHeader, UpdateConsumerOffsetHeader,
};
use wire::record::RecordView;
use wire::{Frame, Replies, Text};

use crate::Broker;
use crate::offset::Committed;
use crate::reply::{self, Refusal};

/// 14: where a group goes on. A group that has never committed starts at 0 while the queue's first message is still
/// recent; otherwise the client decides by its own policy.
pub(crate) fn query(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &QueryConsumerOffsetHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let (topic, group) = (header.topic.to_str(), header.consumer_group.to_str());
    if let Some(offset) = broker.offsets.query(&topic, &group, header.queue_id) {
        reply::header(out, frame, &OffsetResponse { offset });
        return Ok(());
    }
    if header.set_zero_if_not_found == Some(false) {
        return Err(Refusal::NoOffset(false));
    }
    let queue = find_queue(broker, &header.topic, header.queue_id);
    let from_start = queue.is_none_or(|queue| queue.min_offset() == 0 && is_recent(broker, &queue));
    if !from_start {
        return Err(Refusal::NoOffset(true));
    }
    reply::header(out, frame, &OffsetResponse { offset: 0 });
    Ok(())
}

/// 15: a group has consumed up to an offset.
pub(crate) fn update(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &UpdateConsumerOffsetHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let (topic, group) = (header.topic.to_str(), header.consumer_group.to_str());
    if broker.groups.get_or_create(&group, broker.env.clock.wall_ms()).is_none() {
        return Err(Refusal::UnknownGroup(group.into_owned()));
    }
    if broker.topics.get(&topic).is_none() {
        return Err(Refusal::UnknownTopic(topic.into_owned()));
    }
    match broker.offsets.commit(&topic, &group, header.queue_id, header.commit_offset)? {
        Committed::Taken => reply::ok(out, frame),
        Committed::Reset => reply::ok_with_remark(out, frame, "Offset has been previously reset"),
    }
    Ok(())
}

/// 30: the offset that the next message of a queue will have; 0 for a queue that does not exist.
pub(crate) fn max(broker: &Broker, frame: &Frame<'_>, header: &QueueHeader<'_>, out: &mut Replies) {
    let queue = find_queue(broker, &header.topic, header.queue_id);
    let offset = queue.map_or(0, |queue| queue.max_offset() as i64);
    reply::header(out, frame, &OffsetResponse { offset });
}

/// 31: the offset of the oldest message that a queue still holds; 0 for a queue that does not exist.
pub(crate) fn min(broker: &Broker, frame: &Frame<'_>, header: &QueueHeader<'_>, out: &mut Replies) {
    let queue = find_queue(broker, &header.topic, header.queue_id);
    let offset = queue.map_or(0, |queue| queue.min_offset() as i64);
    reply::header(out, frame, &OffsetResponse { offset });
}

/// Whether the first message of a queue is likely to be in memory still: it lies within 40 % of the memory behind the
/// end of the log (`accessMessageInMemoryMaxRatio`). An empty queue counts as recent.
fn is_recent(broker: &Broker, queue: &Arc<Queue>) -> bool {
    let want = Want { max_messages: 1, max_bytes: 1 };
    let Ok(Get::Ready(got)) = broker.store.get(queue, 0, want, &|_| true) else { return false };
    let Some(slice) = got.slices.first() else { return got.max == 0 };
    let Ok(view) = RecordView::parse(slice) else { return false };
    let behind = broker.store.watermarks().appended.saturating_sub(view.physical_offset());
    behind <= env::limits::memory_limit() / 5 * 2
}

/// The store's queue, if it exists.
pub(crate) fn find_queue(broker: &Broker, topic: &Text<'_>, id: i32) -> Option<Arc<Queue>> {
    let id = u32::try_from(id).ok()?;
    broker.store.find_queue(&topic.to_str(), id)
}
