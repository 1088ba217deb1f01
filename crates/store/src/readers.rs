//! Who loses what with a segment: the part of each queue that lies in it, held against how far its readers
//! are.

use std::ops::Range;
use std::sync::Arc;

use crate::limits;
use crate::queue::Queue;
use crate::store::Inner;

/// Someone who consumes a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Name, for the log: a group's, mostly.
    pub name: String,
    /// Offset of the first message that it has not consumed.
    pub next: u64,
}

/// Tells the readers of a topic's queue.
pub type Readers = dyn Fn(&str, u32) -> Vec<Reader> + Send + Sync;

/// What would be lost with all segments below a log offset; looked up when it is first asked for.
pub(crate) struct Losses<'a> {
    inner: &'a Inner,
    log_end: u64,
    found: Option<Vec<Loss>>,
}

/// Messages of a queue that readers have not consumed.
#[derive(Debug)]
struct Loss {
    queue: Arc<Queue>,
    offsets: Range<u64>,
    readers: Vec<String>,
}

impl<'a> Losses<'a> {
    pub(crate) fn new(inner: &'a Inner, log_end: u64) -> Losses<'a> {
        Losses { inner, log_end, found: None }
    }

    /// Whether nobody would lose anything. While the readers are not known, everybody would.
    pub(crate) fn are_none(&mut self) -> bool {
        self.inner.retention.readers.get().is_some() && self.find().is_empty()
    }

    /// Says who loses what with the segment at `segment`, in a bounded number of lines.
    pub(crate) fn report(&mut self, segment: u64) {
        let losses = self.find();
        for Loss { queue, offsets, readers } in losses.iter().take(limits::LOSSES_LOGGED) {
            let (topic, queue, Range { start, end }) = (queue.topic(), queue.id(), offsets);
            let more = readers.len().saturating_sub(limits::LOSSES_LOGGED);
            let groups = readers[..readers.len() - more].join(", ");
            let last = end - 1;
            tracing::warn!(
                segment,
                topic,
                queue,
                first = start,
                last,
                groups,
                more,
                "messages are deleted that groups have not consumed"
            );
        }
        let unsaid = losses.len().saturating_sub(limits::LOSSES_LOGGED);
        if unsaid > 0 {
            tracing::warn!(segment, queues = unsaid, "and in more queues");
        }
    }

    /// What [`Losses::report`] says, for tests.
    #[cfg(test)]
    pub(crate) fn text(&mut self) -> Vec<String> {
        let line = |loss: &Loss| {
            let (queue, offsets) = (&loss.queue, &loss.offsets);
            format!("{}/{} {offsets:?} {}", queue.topic(), queue.id(), loss.readers.join(","))
        };
        self.find().iter().map(line).collect()
    }

    fn find(&mut self) -> &[Loss] {
        if self.found.is_none() {
            self.found = Some(self.look());
        }
        self.found.as_deref().unwrap_or_default()
    }

    fn look(&self) -> Vec<Loss> {
        let Some(readers) = self.inner.retention.readers.get() else { return Vec::new() };
        let mut losses = Vec::new();
        for queue in self.inner.queues.all() {
            let (min, max) = (queue.min_offset(), queue.next());
            let mut behind = readers(queue.topic(), queue.id());
            behind.retain(|reader| reader.next < max);
            let Some(next) = behind.iter().map(|reader| reader.next).min() else { continue };
            let start = min.max(next);
            // Most readers are near the end of their queue: one unit says so.
            let gone = |unit: crate::queue::Unit| unit.physical < self.log_end;
            // What cannot be looked up counts as lost, and does not keep the rest from being cleaned up.
            let end = queue.partition(start, max, gone).unwrap_or_else(|error| {
                let (topic, queue) = (queue.topic(), queue.id());
                tracing::warn!(topic, queue, %error, "cannot look up which messages are deleted");
                max
            });
            if start < end {
                behind.retain(|reader| reader.next < end);
                let readers = behind.into_iter().map(|reader| reader.name).collect();
                losses.push(Loss { queue, offsets: start..end, readers });
            }
        }
        losses
    }
}
