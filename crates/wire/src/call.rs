//! The seam between whoever carries frames and whoever answers them.
//!
//! A connection hands all complete frames of one read to [`Call::call_batch`], which answers into
//! [`Replies`]; what it cannot answer yet it leaves there as futures. [`crate::peer::Peer`] is the
//! way back to the client for what the server starts itself.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::frame::{FrameError, Frames};
use crate::limits::SPLICE_MIN;
use crate::peer::Peer;

/// A role that answers requests.
pub trait Call: Send + Sync + 'static {
    /// Handles all complete frames of one read, in order. Never blocks, never awaits. It may leave
    /// frames, but not the first, once `out` holds many bytes: it gets them again when those are
    /// written.
    ///
    /// # Errors
    /// When the connection must be closed; what `out` holds by then is still sent.
    fn call_batch(
        &self,
        peer: &Arc<Peer>,
        frames: &mut Frames<'_>,
        out: &mut Replies,
    ) -> Result<(), FrameError>;

    /// The connection is closed; nothing can be sent to this peer any more.
    fn disconnected(&self, _peer: &Arc<Peer>) {}
}

/// An answer that is not there yet: long poll, durability, outgoing call.
pub type Later = Pin<Box<dyn Future<Output = Replies> + Send>>;

/// What one pass answers: encoded frames, spliced bodies, and futures of more of both.
///
/// The bytes to send are those of `head` with each body at its cut. Reused across passes, it
/// allocates only to grow.
#[derive(Default)]
pub struct Replies {
    head: BytesMut,
    /// Bytes of `head` that were sent.
    sent: usize,
    /// Bodies, each to be sent before the byte of `head` at its position; positions never fall.
    cuts: VecDeque<(usize, Bytes)>,
    /// Bytes of all bodies in `cuts`.
    bodies: usize,
    later: Vec<Later>,
}

impl Replies {
    /// The buffer to append encoded frames to. Only append.
    pub fn head(&mut self) -> &mut BytesMut {
        &mut self.head
    }

    /// Sends `body` behind what is in `head` now, without a copy if it is large.
    pub fn body(&mut self, body: Bytes) {
        if body.len() < SPLICE_MIN {
            self.head.extend_from_slice(&body);
        } else {
            self.bodies += body.len();
            self.cuts.push_back((self.head.len(), body));
        }
    }

    /// Sends what `later` yields when it is ready, in no order with anything else.
    pub fn later(&mut self, later: Later) {
        self.later.push(later);
    }

    /// Number of futures.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.later.len()
    }

    /// Takes the future that was added last, to put another in its place.
    pub fn pop_later(&mut self) -> Option<Later> {
        self.later.pop()
    }

    /// Takes the futures.
    pub fn take_later(&mut self) -> std::vec::Drain<'_, Later> {
        self.later.drain(..)
    }

    /// Sends everything of `other` behind everything of this one.
    pub fn append(&mut self, mut other: Self) {
        let base = self.head.len();
        self.head.extend_from_slice(&other.head[other.sent..]);
        let moved = other.cuts.drain(..).map(|(at, body)| (base + at - other.sent, body));
        self.cuts.extend(moved);
        self.bodies += other.bodies;
        self.later.append(&mut other.later);
    }

    /// Bytes that are to be sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() - self.sent + self.bodies
    }

    /// Whether nothing is to be sent now; futures may be left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `slices` with the next bytes to send and returns how many it used.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut put = |bytes: &'a [u8]| {
            if !bytes.is_empty() && used < slices.len() {
                slices[used] = IoSlice::new(bytes);
                used += 1;
            }
            used < slices.len()
        };
        let mut at = self.sent;
        for (cut, body) in &self.cuts {
            if !put(&self.head[at..*cut]) || !put(body) {
                return used;
            }
            at = *cut;
        }
        put(&self.head[at..]);
        used
    }

    /// Counts `count` bytes as sent, and forgets everything once all is.
    ///
    /// # Panics
    /// If fewer bytes were to be sent.
    pub fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len(), "more bytes sent than there were");
        while count > 0 {
            let cut = self.cuts.front().map_or(self.head.len(), |(at, _)| *at);
            let from_head = count.min(cut - self.sent);
            self.sent += from_head;
            count -= from_head;
            let Some((_, body)) = self.cuts.front_mut().filter(|_| count > 0) else { continue };
            let from_body = count.min(body.len());
            count -= from_body;
            self.bodies -= from_body;
            if from_body == body.len() {
                self.cuts.pop_front();
            } else {
                bytes::Buf::advance(body, from_body);
            }
        }
        if self.is_empty() {
            self.head.clear();
            self.sent = 0;
        }
    }

    /// Gives memory above `capacity` bytes back if nothing is to be sent.
    pub fn shrink(&mut self, capacity: usize) {
        if self.is_empty() && self.head.capacity() > capacity {
            self.head = BytesMut::new();
        }
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies")
            .field("bytes", &self.len())
            .field("cuts", &self.cuts.len())
            .field("later", &self.later.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(replies: &Replies) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let used = replies.io_slices(&mut slices);
        slices[..used].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    fn sample() -> (Replies, Vec<u8>) {
        let large = Bytes::from(vec![b'L'; SPLICE_MIN]);
        let mut replies = Replies::default();
        replies.head().extend_from_slice(b"head-1");
        replies.body(large.clone());
        replies.body(Bytes::from_static(b"small"));
        replies.head().extend_from_slice(b"head-2");
        replies.body(large.clone());
        replies.body(large.clone());
        let want = [b"head-1", &large[..], b"smallhead-2", &large, &large].concat();
        (replies, want)
    }

    /// Bodies stand where they were put, and small ones are copied.
    #[test]
    fn order_of_heads_and_bodies() {
        let (replies, want) = sample();
        assert_eq!(replies.len(), want.len());
        assert_eq!(sent(&replies), want);
        let mut few = [IoSlice::new(&[]); 2];
        assert_eq!(replies.io_slices(&mut few), 2);
    }

    /// However the bytes are cut into writes, the rest is what is left.
    #[test]
    fn advances_by_any_step() {
        for step in [1, 2, 5, 6, 7, 100, SPLICE_MIN, SPLICE_MIN + 6, 5_000] {
            let (mut replies, want) = sample();
            let mut done = 0;
            while !replies.is_empty() {
                assert_eq!(sent(&replies), want[done..]);
                let count = step.min(replies.len());
                replies.advance(count);
                done += count;
            }
            assert_eq!(done, want.len());
            assert!(replies.head().is_empty());
        }
    }

    /// Appending keeps the order, also behind what was partly sent.
    #[test]
    fn appends() {
        let (mut first, want) = sample();
        let (mut second, _) = sample();
        first.advance(10);
        second.advance(20);
        second.later(Box::pin(async { Replies::default() }));
        first.append(second);
        assert_eq!(sent(&first), [&want[10..], &want[20..]].concat());
        assert_eq!(first.take_later().count(), 1);
        first.advance(first.len());
        first.shrink(0);
        assert_eq!(first.head().capacity(), 0);
    }
}
