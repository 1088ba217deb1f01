//! Reading the log record by record, from its files, as recovery and inspection do.
//!
//! Every record must lie at its own physical offset: what an earlier use of the disk left behind, or a
//! truncated tail, is not taken for one (store format §22, hazard 1).

use std::io;
use std::sync::Arc;

use wire::record::{self, BLANK_SIZE, Entry, RecordError, RecordView};

use crate::limits;
use crate::segment::{Segment, Segments};

/// A position in the log that moves from record to record.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    segments: &'a Segments,
    /// Log offset of what comes next.
    pub(crate) at: u64,
    buf: Vec<u8>,
    /// Log offset of the first byte of `buf`.
    buf_at: u64,
    buf_len: usize,
}

/// What lies at a position.
#[derive(Debug)]
pub(crate) enum Found<'b> {
    /// A record, consistent, at its own offset.
    Record(RecordView<'b>),
    /// The filler of a segment; the next position is the next segment's start.
    Filler(&'b [u8]),
    /// Zeros, or the end of the last segment: nothing was written here.
    Nothing,
    /// Something that is not a record of this place.
    Bad(String),
}

impl<'a> Scan<'a> {
    /// Starts at a log offset.
    pub(crate) fn new(segments: &'a Segments, at: u64) -> Scan<'a> {
        Scan { segments, at, buf: Vec::new(), buf_at: 0, buf_len: 0 }
    }

    /// Looks at the present position, and moves behind what it finds.
    pub(crate) fn next(&mut self) -> io::Result<Found<'_>> {
        let at = self.at;
        let Some(segment) = self.segments.find(at).cloned() else { return Ok(Found::Nothing) };
        self.fill(&segment, at, BLANK_SIZE)?;
        let needed = match record::parse(self.bytes(at)) {
            Err(RecordError::Truncated { needed, .. }) => needed,
            _ => 0,
        };
        if needed > limits::SCANNED_RECORD_BYTES {
            return Ok(Found::Bad(format!("a record of {needed} bytes")));
        }
        self.fill(&segment, at, needed)?;
        let bytes = &self.buf[(at - self.buf_at) as usize..self.buf_len];
        match record::parse(bytes) {
            Ok(Entry::Record(view)) if view.physical_offset() != at => {
                Ok(Found::Bad(format!("a record of offset {}", view.physical_offset())))
            }
            Ok(Entry::Record(view)) if view.topic().is_empty() => {
                Ok(Found::Bad("a record without topic".to_owned()))
            }
            Ok(Entry::Record(view)) => {
                self.at = at + view.size() as u64;
                Ok(Found::Record(view))
            }
            Ok(Entry::Blank { size }) if at + size as u64 == segment.end() => {
                self.at = segment.end();
                Ok(Found::Filler(&bytes[..BLANK_SIZE]))
            }
            Ok(Entry::Blank { size }) => Ok(Found::Bad(format!("a filler of {size} bytes"))),
            Err(RecordError::Magic(0)) => Ok(Found::Nothing),
            Err(error) => Ok(Found::Bad(error.to_string())),
        }
    }

    fn bytes(&self, at: u64) -> &[u8] {
        let start = usize::try_from(at - self.buf_at).unwrap_or(self.buf_len).min(self.buf_len);
        &self.buf[start..self.buf_len]
    }

    /// Has `needed` bytes at `at` in the buffer, or as many as the segment has.
    fn fill(&mut self, segment: &Arc<Segment>, at: u64, needed: usize) -> io::Result<()> {
        const STEP: usize = 1 << 20;
        let inside = at >= self.buf_at && at < self.buf_at + self.buf_len as u64;
        let left = usize::try_from(segment.end() - at).unwrap_or(usize::MAX);
        let needed = needed.min(left);
        if inside && self.bytes(at).len() >= needed {
            return Ok(());
        }
        let len = needed.max(STEP).min(left);
        self.buf.resize(len.max(self.buf.len()), 0);
        self.buf_len = segment.file.read_at(&mut self.buf[..len], at - segment.base)?;
        self.buf_at = at;
        Ok(())
    }
}
