//! Messages by key and by their offset in the log (12, 33), and the time of a queue's oldest message (32, 29).

use bytes::Bytes;
use store::{Bound, ReadError, Store};
use wire::frame::ReplyTo;
use wire::header::{
    BoundaryType, EarliestStoreTimeResponse, Header, OffsetResponse, QueryMessageHeader, QueryMessageResponse,
    QueueHeader, SearchOffsetHeader, ViewMessageHeader,
};
use wire::{Frame, FrameWriter, Replies, reply_codes as code};

use crate::Broker;
use crate::handle::offset::find_queue;
use crate::reply::{self, Refusal};

/// 12: messages by business key, unique key or tag. The index knows hashes only: the client compares the keys.
pub fn by_key(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &QueryMessageHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let by_tag = header.index_type.is_some_and(|kind| kind == "T");
    let key = header.key.to_str();
    let key = if by_tag { format!("T#{key}") } else { key.into_owned() };
    let topic = header.topic.to_str().into_owned();
    let asked = if header.unique_key { broker.settings.query_max } else { header.max_num.max(0) as u32 };
    let (begin, end) = (header.begin_timestamp, header.end_timestamp);
    read(broker, frame, out, move |store| {
        let found = store.query_key(&topic, &key, asked as usize, begin, end)?;
        if found.messages.is_empty() {
            return Err(Refusal::NoMatch);
        }
        let header = QueryMessageResponse {
            index_last_update_timestamp: found.last_timestamp,
            index_last_update_phyoffset: found.last_offset as i64,
        };
        Ok(Answer { fields: Box::new(move |writer| header.encode(writer)), bodies: found.messages })
    })
}

/// 33: the message at an offset of the log, as an offset message id names it.
pub fn by_offset(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ViewMessageHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let offset = header.offset;
    read(broker, frame, out, move |store| {
        let missing = || Refusal::NoRecord(offset);
        let physical = u64::try_from(offset).map_err(|_| missing())?;
        let record = store.record(physical)?.ok_or_else(missing)?;
        Ok(Answer { fields: Box::new(|_| {}), bodies: vec![record] })
    })
}

/// 29: the offset of a time in a queue; 0 for a queue that does not exist.
pub fn by_time(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &SearchOffsetHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let queue = find_queue(broker, &header.topic, header.queue_id);
    let bound = match header.boundary_type {
        BoundaryType::Lower => Bound::Lower,
        BoundaryType::Upper => Bound::Upper,
    };
    let timestamp = header.timestamp;
    read(broker, frame, out, move |store| {
        let offset = match queue {
            Some(queue) => store.search_time(&queue, timestamp, bound)? as i64,
            None => 0,
        };
        Ok(Answer::header(OffsetResponse { offset }))
    })
}

/// 32: when the oldest message of a queue was stored; -1 if there is none.
pub fn earliest_time(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &QueueHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let queue = find_queue(broker, &header.topic, header.queue_id);
    read(broker, frame, out, move |store| {
        let timestamp = match queue {
            Some(queue) => store.store_time(&queue, queue.min_offset())?.unwrap_or(-1),
            None => -1,
        };
        Ok(Answer::header(EarliestStoreTimeResponse { timestamp }))
    })
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

/// Answers with what `find` finds on a thread that may wait for the disk.
fn read(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
    find: impl FnOnce(&Store) -> Result<Answer, Refusal> + Send + 'static,
) -> Result<(), Refusal> {
    let (to, oneway) = (frame.reply_to(), frame.is_oneway());
    let found = broker.store.background(find)?;
    out.later(Box::pin(async move {
        let mut out = Replies::default();
        match found.await.unwrap_or(Err(Refusal::Read(ReadError::Closed))) {
            _ if oneway => {}
            Ok(answer) => write(&mut out, to, answer),
            Err(refusal) => reply::refuse_to(&mut out, to, &refusal),
        }
        out
    }));
    Ok(())
}

fn write(out: &mut Replies, to: ReplyTo, answer: Answer) {
    let mut writer = FrameWriter::response(out.head(), to, code::SUCCESS);
    (answer.fields)(&mut writer);
    writer.finish_before(answer.bodies.iter().map(Bytes::len).sum());
    answer.bodies.into_iter().for_each(|body| out.body(body));
}
