//! Cleaning on request: log files past their time (329), queue files that they leave behind (306), queues of topics
//! that do not exist (316).

use std::collections::BTreeSet;
use std::io;

use store::{ReadError, Store};
use wire::{Frame, Replies};

use crate::Broker;
use crate::reply::{self, Refusal};

/// 329: deletes log files past their time, whatever the hour.
pub(crate) fn expired_log(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    clean(broker, frame, out, Store::delete_expired)
}

/// 306: deletes queue files that refer to nothing any more.
pub(crate) fn expired_queues(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    clean(broker, frame, out, Store::clean_queues)
}

/// 316: empties the queues of topics that do not exist.
pub(crate) fn unused_topics(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let known = broker.clone();
    // The job may wait for its turn, and topics may be created meanwhile: it looks for itself.
    clean(broker, frame, out, move |store| {
        let queues = store.queues();
        let topics: BTreeSet<&str> = queues.iter().map(|queue| queue.topic()).collect();
        let mut topics = topics.into_iter();
        topics.try_for_each(|topic| match known.topics.get(topic) {
            Some(_) => Ok(()),
            None => store.delete_topic(topic),
        })
    })
}

/// Answers when `job` is done, on a thread that may wait for the disk.
fn clean(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
    job: impl FnOnce(&Store) -> io::Result<()> + Send + 'static,
) -> Result<(), Refusal> {
    let done = broker.store.background(job)?;
    let to = (!frame.is_oneway()).then(|| frame.reply_to());
    out.later(Box::pin(async move {
        let done = done.await.ok_or(Refusal::Read(ReadError::Closed));
        reply::outcome(to, done.and_then(|done| done.map(|()| Vec::new()).map_err(Refusal::Disk)))
    }));
    Ok(())
}
