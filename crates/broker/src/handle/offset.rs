//! Offsets: what groups have consumed (14, 15) and what queues hold (29, 30, 31, 32).

use std::sync::Arc;

use store::{Get, Got, GotStatus, Queue, ReadError, Want};
use wire::frame::ReplyTo;
use wire::header::{
    OffsetResponse, QueryConsumerOffsetHeader, QueueHeader, UpdateConsumerOffsetHeader,
};
use wire::record::RecordView;
use wire::{Frame, Replies, Text};

use crate::Broker;
use crate::offset::Committed;
use crate::reply::{self, Refusal};

/// The first record of a queue.
const FIRST: Want = Want { max_messages: 1, max_bytes: 1 };

/// 14: where a group goes on. A group that has never committed starts at 0 while the queue's first message is still
/// recent; otherwise the client decides by its own policy.
pub(crate) fn query(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &QueryConsumerOffsetHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    if frame.is_oneway() {
        return Ok(());
    }
    let (topic, group) = (header.topic.to_str(), header.consumer_group.to_str());
    // Committed offsets are not checked; one below 0 is as good as none.
    let committed = broker.offsets.query(&topic, &group, header.queue_id);
    if let Some(offset) = committed.filter(|offset| *offset >= 0) {
        reply::header(out, frame, &OffsetResponse { offset });
        return Ok(());
    }
    if header.set_zero_if_not_found == Some(false) {
        return Err(Refusal::NoOffset(false));
    }
    let Some(queue) = find_queue(broker, &header.topic, header.queue_id) else {
        reply::header(out, frame, &OffsetResponse { offset: 0 });
        return Ok(());
    };
    if queue.min_offset() != 0 {
        return Err(Refusal::NoOffset(true));
    }
    match broker.store.get(&queue, 0, FIRST, &|_| true)? {
        Get::Ready(got) => answer_start(broker, frame.reply_to(), Ok(got), out),
        // To guess would make the group skip what is there.
        Get::Cold(_) => {
            let (broker, to) = (broker.clone(), frame.reply_to());
            out.later(Box::pin(async move {
                let mut out = Replies::default();
                let got = first(&broker, &queue).await;
                answer_start(&broker, to, got, &mut out);
                out
            }));
        }
    }
    Ok(())
}

/// Where a group starts that has never committed, by the first record of the queue.
fn answer_start(broker: &Broker, to: ReplyTo, got: Result<Got, ReadError>, out: &mut Replies) {
    match got {
        Ok(got) if is_recent(broker, &got) => {
            reply::header_to(out, to, &OffsetResponse { offset: 0 });
        }
        Ok(_) => reply::refuse_to(out, to, &Refusal::NoOffset(true)),
        Err(error) => reply::refuse_to(out, to, &error.into()),
    }
}

/// The first record of a queue, however long that takes.
async fn first(broker: &Broker, queue: &Arc<Queue>) -> Result<Got, ReadError> {
    loop {
        let got = match broker.store.get(queue, 0, FIRST, &|_| true)? {
            Get::Ready(got) => return Ok(got),
            Get::Cold(cold) => cold.await?,
        };
        if got.status != GotStatus::Again {
            return Ok(got);
        }
    }
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
fn is_recent(broker: &Broker, got: &Got) -> bool {
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
