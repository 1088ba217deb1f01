//! Looking messages up by time and by key. Both read the log, and may wait for the device.

use std::ops::RangeInclusive;

use bytes::Bytes;
use wire::record::{RecordView, SYS_FLAG_AT, store_timestamp_at};

use crate::error::ReadError;
use crate::index::{Lookup, hash_lookup};
use crate::limits;
use crate::queue::{Queue, Unit};
use crate::store::Inner;

/// Which message a search by time means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The first one at that time or later.
    Lower,
    /// The last one at that time or before.
    Upper,
}

impl Inner {
    /// See [`crate::Store::search_time`].
    pub(crate) fn search_time(
        &self,
        queue: &Queue,
        stored_ms: i64,
        bound: Bound,
    ) -> Result<u64, ReadError> {
        let (min, max) = (queue.min_offset(), queue.max_offset());
        // What is gone from the log, or cannot be read, counts as too old.
        let earlier = |unit: Unit| match (self.stored_ms(unit), bound) {
            (Some(stored), Bound::Lower) => stored < stored_ms,
            (Some(stored), Bound::Upper) => stored <= stored_ms,
            (None, _) => true,
        };
        let found = queue.partition(min, max, earlier);
        let found = found.map_err(ReadError::io(&queue.files.dir))?;
        Ok(match bound {
            Bound::Lower => found,
            Bound::Upper => found.saturating_sub(1).max(min),
        })
    }

    /// When the record of a unit was stored.
    pub(crate) fn stored_ms(&self, unit: Unit) -> Option<i64> {
        const HEAD: u64 = 80;
        if unit.is_blank() || u64::from(unit.size) < HEAD {
            return None;
        }
        let head = self.log.read(unit.physical, HEAD).ok()??;
        debug_assert!(head.len() > SYS_FLAG_AT + 4);
        let at = store_timestamp_at(&head);
        head.get(at..)?.first_chunk().map(|bytes| i64::from_be_bytes(*bytes))
    }

    /// See [`crate::Store::query`].
    pub(crate) fn query(
        &self,
        topic: &str,
        lookup: Lookup<'_>,
        stored_ms: RangeInclusive<i64>,
        max: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        let Some(index) = &self.derived.index else { return Ok(Vec::new()) };
        let max = max.min(limits::QUERY_MESSAGES);
        let (mut found, mut failed, mut last) = (Vec::new(), None, None);
        let mut room = limits::QUERY_BYTES;
        let each = |offset: u64| {
            // A record with the same key twice has two items.
            if last.replace(offset) == Some(offset) {
                return true;
            }
            match self.record(offset) {
                Ok(Some(record)) if is_meant(&record, topic, lookup, &stored_ms) => {
                    let Some(left) = room.checked_sub(record.len()) else { return false };
                    room = left;
                    found.push(record)
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
            failed.is_none() && found.len() < max
        };
        if max > 0 {
            let walked = index.find(hash_lookup(lookup, topic), stored_ms.clone(), each);
            walked.map_err(ReadError::io(self.settings.root.join("index")))?;
        }
        failed.map_or(Ok(found), Err)
    }
}

/// Hashes collide, and times in the index are rounded: the record itself decides.
fn is_meant(
    record: &[u8],
    topic: &str,
    lookup: Lookup<'_>,
    stored_ms: &RangeInclusive<i64>,
) -> bool {
    let Ok(view) = RecordView::parse(record) else { return false };
    view.topic() == topic.as_bytes()
        && stored_ms.contains(&view.store_timestamp())
        && lookup.matches(view.properties())
}
