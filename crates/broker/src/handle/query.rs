//! Messages by key and by their offset in the log (12, 33), and the time of a queue's oldest message (32, 29).

use std::sync::Arc;

use bytes::Bytes;
use env::memory::Hold;
use store::{Bound, Get, GotStatus, Lookup, Queue, ReadError, Store, Want};
use wire::frame::ReplyTo;
use wire::header::{
    BoundaryType, EarliestStoreTimeResponse, Header, OffsetResponse, QueryMessageHeader,
    QueryMessageResponse, QueueHeader, SearchOffsetHeader, ViewMessageHeader,
};
use wire::record::RecordView;
use wire::{Frame, FrameWriter, Replies, reply_codes as code};

use crate::Broker;
use crate::handle::offset::find_queue;
use crate::reply::{self, Refusal};

/// 12: messages by business key, unique key or tag, newest first.
pub(crate) fn by_key(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &QueryMessageHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let by_tag = header.index_type.is_some_and(|kind| kind == "T");
    let (topic, key) = (header.topic.to_str().into_owned(), header.key.to_str().into_owned());
    let asked =
        if header.unique_key { broker.settings().query_max } else { header.max_num.max(0) as u32 };
    let stored_ms = header.begin_timestamp..=header.end_timestamp;
    let now_ms = broker.env.clock.wall_ms();
    read(broker, frame, out, move |store| {
        let lookup = if by_tag { Lookup::Tag(&key) } else { Lookup::Key(&key) };
        let bodies = store.query(&topic, lookup, stored_ms, asked as usize)?;
        if bodies.is_empty() {
            return Err(Refusal::NoMatch);
        }
        let header = QueryMessageResponse {
            index_last_update_timestamp: now_ms,
            index_last_update_phyoffset: store.watermarks().appended as i64,
        };
        Ok(Answer { bodies, ..Answer::header(header) })
    })
}

/// 33: the message at an offset of the log, as an offset message id names it.
pub(crate) fn by_offset(
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
        Ok(Answer { fields: Box::new(|_| {}), bodies: vec![record], _hold: None })
    })
}

/// 29: the offset of a time in a queue; 0 for a queue that does not exist.
pub(crate) fn by_time(
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
pub(crate) fn earliest_time(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &QueueHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let queue = find_queue(broker, &header.topic, header.queue_id);
    let (broker, to, oneway) = (broker.clone(), frame.reply_to(), frame.is_oneway());
    out.later(Box::pin(async move {
        let timestamp = match queue {
            Some(queue) => earliest(&broker, &queue).await,
            None => Ok(-1),
        };
        let mut out = Replies::default();
        match timestamp {
            _ if oneway => {}
            Ok(timestamp) => {
                write(&mut out, to, Answer::header(EarliestStoreTimeResponse { timestamp }))
            }
            Err(refusal) => reply::refuse_to(&mut out, to, &refusal),
        }
        out
    }));
    Ok(())
}

async fn earliest(broker: &Broker, queue: &Arc<Queue>) -> Result<i64, Refusal> {
    let want = Want { max_messages: 1, max_bytes: 1 };
    let mut at = queue.min_offset();
    loop {
        let got = match broker.store.get(queue, at, want, &|_| true)? {
            Get::Ready(got) => got,
            Get::Cold(cold) => cold.await?,
        };
        match (got.status, got.slices.first().map(|slice| RecordView::parse(slice))) {
            (GotStatus::Again, _) => {}
            // A segment was deleted just now, and others follow.
            (GotStatus::MessageWasRemoving, _) => at = got.next,
            (_, Some(Ok(view))) => return Ok(view.store_timestamp()),
            _ => return Ok(-1),
        }
    }
}

struct Answer {
    fields: Box<dyn FnOnce(&mut FrameWriter<'_>) + Send>,
    bodies: Vec<Bytes>,
    /// Counts the bodies until they are written.
    _hold: Option<Hold>,
}

impl Answer {
    fn header<H: for<'a> Header<'a> + Send + 'static>(header: H) -> Answer {
        Answer {
            fields: Box::new(move |writer| header.encode(writer)),
            bodies: Vec::new(),
            _hold: None,
        }
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
    let mut hold = Hold::new(&broker.env.memory.waiting);
    let found = broker.store.background(move |store| {
        let answer = find(store)?;
        hold.try_set(answer.bodies.iter().map(Bytes::len).sum())?;
        Ok(Answer { _hold: Some(hold), ..answer })
    })?;
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
