//! What operators' tools ask of a broker. Nothing here changes anything, and whatever may wait for the device is found
//! out on the store's reader threads.

pub(crate) mod clients;
pub(crate) mod groups;
pub(crate) mod relay;
pub(crate) mod runtime;
pub(crate) mod stats;
pub(crate) mod topics;

use std::sync::Arc;

use serde::Serialize;
use store::{Queue, ReadError};
use wire::body::{MessageQueue, queue_key};
use wire::frame::ReplyTo;
use wire::{Frame, FrameWriter, Replies, reply_codes as code};

use crate::reply::{self, Refusal};
use crate::{Broker, limits};

/// Answers with what `find` finds on a thread that may wait for the device.
fn answer<T: Serialize>(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
    find: impl FnOnce(&Broker) -> Result<T, Refusal> + Send + 'static,
) -> Result<(), Refusal> {
    answer_text(broker, frame, out, |broker| Ok(wire::body::write(&find(broker)?)))
}

/// The same for a body with tables of queues.
fn answer_tables<T: Serialize>(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
    find: impl FnOnce(&Broker) -> Result<T, Refusal> + Send + 'static,
) -> Result<(), Refusal> {
    answer_text(broker, frame, out, |broker| Ok(wire::body::write_tables(&find(broker)?)))
}

/// The same for a body that is text already.
fn answer_text(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
    find: impl FnOnce(&Broker) -> Result<Vec<u8>, Refusal> + Send + 'static,
) -> Result<(), Refusal> {
    later(broker, frame, out, find, |out, to, body| {
        if let Err(refusal) = reply::check_size(&body) {
            return reply::refuse_to(out, to, &refusal);
        }
        FrameWriter::response(out.head(), to, code::SUCCESS).finish(&body);
    })
}

/// Finds something out on a thread that may wait for the device, and writes the answer.
fn later<T: Send + 'static>(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
    find: impl FnOnce(&Broker) -> Result<T, Refusal> + Send + 'static,
    write: impl FnOnce(&mut Replies, ReplyTo, T) + Send + 'static,
) -> Result<(), Refusal> {
    if frame.is_oneway() {
        return Ok(());
    }
    let (to, asked) = (frame.reply_to(), broker.clone());
    let found = broker.store.background(move |_| find(&asked))?;
    out.later(Box::pin(async move {
        let mut out = Replies::default();
        match found.await.unwrap_or(Err(Refusal::Read(ReadError::Closed))) {
            Ok(found) => write(&mut out, to, found),
            Err(refusal) => reply::refuse_to(&mut out, to, &refusal),
        }
        out
    }));
    Ok(())
}

/// A queue of this broker.
fn queue_of(broker: &Broker, topic: &str, queue_id: i32) -> MessageQueue {
    MessageQueue { broker_name: broker.settings().name.clone(), queue_id, topic: topic.to_owned() }
}

/// The same as the key of a table.
fn key_of(broker: &Broker, topic: &str, queue_id: i32) -> String {
    queue_key(&queue_of(broker, topic, queue_id))
}

/// The store's queue, if anything was ever stored in it.
fn find_queue(broker: &Broker, topic: &str, queue_id: i32) -> Option<Arc<Queue>> {
    broker.store.find_queue(topic, u32::try_from(queue_id).ok()?)
}

/// When the message in front of `offset` was stored, if it is still there.
fn stored_before(
    broker: &Broker,
    queue: Option<&Arc<Queue>>,
    offset: i64,
) -> Result<Option<i64>, Refusal> {
    let last = u64::try_from(offset).ok().and_then(|offset| offset.checked_sub(1));
    let (Some(queue), Some(last)) = (queue, last) else { return Ok(None) };
    Ok(broker.store.stored_ms(queue, last)?)
}

/// Refuses an answer that would tell of too many queues.
fn check_count(queues: usize) -> Result<(), Refusal> {
    let limit = limits::QUEUES_PER_ANSWER;
    if queues > limit { Err(Refusal::TooManyQueues { queues, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
