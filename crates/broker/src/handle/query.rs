//! Messages by key and by their offset in the log (12, 33), and the time of a queue's oldest message (32, 29).

use std::sync::Arc;

use bytes::Bytes;
use store::{Bound, Queue};
use wire::header::{
    BoundaryType, EarliestStoreTimeResponse, Header, OffsetResponse, QueryMessageHeader, QueryMessageResponse,
    QueueHeader, SearchOffsetHeader, ViewMessageHeader,
};
use wire::{Frame, FrameWriter, Replies, ReplyTo, reply_codes as code};

use crate::Broker;
use crate::handle::offset::find_queue;
use crate::reply::{self, Refusal};

/// 12: messages by business key, unique key or tag. The index knows hashes only: the client compares the keys.
pub fn by_key(broker: &Broker, frame: &Frame<'_>, header: &QueryMessageHeader<'_>, out: &mut Replies) {
    let by_tag = header.index_type.is_some_and(|kind| kind.eq_str("T"));
    let key = header.key.to_str();
    let key = if by_tag { format!("T#{key}") } else { key.into_owned() };
    let topic = header.topic.to_str().into_owned();
    let asked = if header.unique_key { broker.settings.query_max } else { header.max_num.max(0) as u32 };
    let (begin, end) = (header.begin_timestamp, header.end_timestamp);
    let broker = broker.clone();
    later(frame, out, async move {
        let found = broker.store.query_key(&topic, &key, asked as usize, begin..=end).await?;
        if found.records.is_empty() {
            return Err(Refusal::NoMatch);
        }
        let header = QueryMessageResponse {
            index_last_update_timestamp: found.last_timestamp,
            index_last_update_phyoffset: found.last_offset as i64,
        };
        Ok(Answer { fields: Box::new(move |writer| header.encode(writer)), bodies: found.records })
    });
}

/// 33: the message at an offset of the log, as an offset message id names it.
pub fn by_offset(broker: &Broker, frame: &Frame<'_>, header: &ViewMessageHeader<'_>, out: &mut Replies) {
    let (broker, offset) = (broker.clone(), header.offset);
    later(frame, out, async move {
        let missing = || Refusal::NoRecord(offset);
        let physical = u64::try_from(offset).map_err(|_| missing())?;
        let record = broker.store.record(physical).await?.ok_or_else(missing)?;
        Ok(Answer { fields: Box::new(|_| {}), bodies: vec![record] })
    });
}

/// 29: the offset of a time in a queue.
pub fn by_time(broker: &Broker, frame: &Frame<'_>, header: &SearchOffsetHeader<'_>, out: &mut Replies) {
    let queue = find_queue(broker, &header.topic, header.queue_id);
    let bound = match header.boundary_type {
        BoundaryType::Lower => Bound::Lower,
        BoundaryType::Upper => Bound::Upper,
    };
    let (broker, timestamp) = (broker.clone(), header.timestamp);
    later(frame, out, async move {
        let offset = match queue {
            Some(queue) => broker.store.search_time(&queue, timestamp, bound).await? as i64,
            None => 0,
        };
        Ok(Answer::header(OffsetResponse { offset }))
    });
}

/// 32: when the oldest message of a queue was stored; -1 if there is none.
pub fn earliest_time(broker: &Broker, frame: &Frame<'_>, header: &QueueHeader<'_>, out: &mut Replies) {
    let queue = find_queue(broker, &header.topic, header.queue_id);
    let broker = broker.clone();
    later(frame, out, async move {
        let timestamp = match queue {
            Some(queue) => broker.store.store_time(&queue, queue.min_offset()).await?.unwrap_or(-1),
            None => -1,
        };
        Ok(Answer::header(EarliestStoreTimeResponse { timestamp }))
    });
}

struct Answer {
    fields: Box<dyn FnOnce(&mut FrameWriter<'_>) + Send>,
    bodies: Vec<Bytes>,
}

impl Answer {
    fn header<H: for<'a> Header<'a> + Send + 'static>(header: H) -> Answer {
        Answer { fields: Box::new(move |writer| header.encode(writer)), bodies: Vec::new() }
    }
}

/// Answers when `answer` is there: reading may need the disk.
fn later(
    frame: &Frame<'_>,
    out: &mut Replies,
    answer: impl Future<Output = Result<Answer, Refusal>> + Send + 'static,
) {
    let (to, oneway) = (frame.reply_to(), frame.is_oneway());
    out.later(Box::pin(async move {
        let mut out = Replies::default();
        match answer.await {
            _ if oneway => {}
            Ok(answer) => write(&mut out, to, answer),
            Err(refusal) => reply::refuse_to(&mut out, to, &refusal),
        }
        out
    }));
}

fn write(out: &mut Replies, to: ReplyTo, answer: Answer) {
    let mut writer = FrameWriter::response(out.head(), to, code::SUCCESS);
    (answer.fields)(&mut writer);
    writer.finish_before(answer.bodies.iter().map(Bytes::len).sum());
    answer.bodies.into_iter().for_each(|body| out.body(body));
}
