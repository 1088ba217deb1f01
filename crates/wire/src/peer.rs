//! The other end of a connection, for what a server sends of its own accord: notices, and requests
//! that the client answers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

use atomic_waker::AtomicWaker;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use crate::call::Replies;
use crate::frame::{Format, Frame, FrameWriter, Head, OwnedFrame};
use crate::limits::{MAX_OUTBOX_BYTES, MAX_OUTBOX_FRAMES, MAX_PEER_CALLS};

/// One connection, seen from the server.
///
/// Frames that are pushed wait in a bounded outbox, which the connection's task empties
/// ([`Peer::drain`]). Answers to [`Peer::call`] are matched by opaque, whose scope is this
/// connection and this direction.
pub struct Peer {
    id: u64,
    remote: SocketAddr,
    local: SocketAddr,
    outbox: Mutex<Outbox>,
    waker: AtomicWaker,
    calls: Mutex<BTreeMap<i32, Arc<Slot>>>,
    max_calls: usize,
    /// Callers wait for room in the outbox; it takes what they bring.
    callers_wait: bool,
    next_opaque: AtomicI32,
    format: AtomicU8,
}

#[derive(Default)]
struct Outbox {
    frames: VecDeque<Bytes>,
    bytes: usize,
    closed: bool,
}

impl Outbox {
    /// A single frame may exceed the byte limit: it is bounded by the message size.
    fn has_room(&self, bytes: usize) -> bool {
        self.frames.len() < MAX_OUTBOX_FRAMES
            && (self.bytes == 0 || self.bytes + bytes <= MAX_OUTBOX_BYTES)
    }
}

impl Peer {
    /// A connection between `remote` and `local`; `id` is unique in the process.
    #[must_use]
    pub fn new(id: u64, remote: SocketAddr, local: SocketAddr) -> Arc<Self> {
        Arc::new(Self::with(id, remote, local, MAX_PEER_CALLS, false))
    }

    /// The same for the side that opened the connection, which may await `max_calls` answers. Its frames are
    /// never refused for lack of room: its callers wait until there is some ([`Peer::has_room`]).
    #[must_use]
    pub fn with_calls(
        id: u64,
        remote: SocketAddr,
        local: SocketAddr,
        max_calls: usize,
    ) -> Arc<Self> {
        Arc::new(Self::with(id, remote, local, max_calls, true))
    }

    fn with(
        id: u64,
        remote: SocketAddr,
        local: SocketAddr,
        max_calls: usize,
        callers_wait: bool,
    ) -> Self {
        Self {
            id,
            remote,
            local,
            outbox: Mutex::default(),
            waker: AtomicWaker::new(),
            calls: Mutex::default(),
            max_calls,
            callers_wait,
            next_opaque: AtomicI32::new(0),
            format: AtomicU8::new(Format::Json as u8),
        }
    }

    /// Identifies the connection in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Address of the client.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Address that the client connected to.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Header format last seen from the client, in which it is written to.
    #[must_use]
    pub fn format(&self) -> Format {
        if self.format.load(Ordering::Relaxed) == Format::Binary as u8 {
            Format::Binary
        } else {
            Format::Json
        }
    }

    /// Notes a frame that came from the client. Returns whether it was a response, which is then
    /// dealt with: handed to its caller, or dropped if nobody waits for it.
    pub fn accept(&self, frame: &Frame<'_>) -> bool {
        if !frame.is_response() {
            self.format.store(frame.format as u8, Ordering::Relaxed);
            return false;
        }
        let slot = self.calls.lock().remove(&frame.opaque);
        if let Some(slot) = slot {
            slot.set(Ok(OwnedFrame::copy(frame)));
        }
        true
    }

    /// Queues one encoded frame; false when the outbox is full or the connection closed.
    pub fn push(&self, frame: Bytes) -> bool {
        self.try_push(frame).is_ok()
    }

    /// Queues a request that expects no answer; false as for [`Peer::push`].
    pub fn oneway(
        &self,
        code: i32,
        fields: impl FnOnce(&mut FrameWriter<'_>),
        body: &[u8],
    ) -> bool {
        let head = Head { opaque: self.opaque(), ..Head::oneway(code, self.format()) };
        self.push(encode(&head, fields, body))
    }

    /// Sends a request to the client. The future yields its answer, or that there will be none; it
    /// has no time limit of its own, and dropping it gives the answer up.
    pub fn call(
        self: &Arc<Self>,
        code: i32,
        fields: impl FnOnce(&mut FrameWriter<'_>),
        body: &[u8],
    ) -> PeerCall {
        let opaque = self.opaque();
        let slot = Arc::new(Slot::default());
        let call = PeerCall { peer: Arc::clone(self), opaque, slot };
        let head = Head { opaque, ..Head::request(code, self.format()) };
        let mut calls = self.calls.lock();
        if calls.len() >= self.max_calls {
            call.slot.set(Err(PeerError::Full));
            return call;
        }
        calls.insert(opaque, Arc::clone(&call.slot));
        drop(calls);
        if let Err(error) = self.try_push(encode(&head, fields, body)) {
            self.calls.lock().remove(&opaque);
            call.slot.set(Err(error));
        }
        call
    }

    /// Moves what is queued into `out`; false when the connection is closed. For the connection's task.
    pub fn drain(&self, out: &mut Replies) -> bool {
        let mut outbox = self.outbox.lock();
        outbox.bytes = 0;
        outbox.frames.drain(..).for_each(|frame| out.body(frame));
        !outbox.closed
    }

    /// Whether another request with so many bytes can be queued, and its answer awaited.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.calls.lock().len() < self.max_calls && self.outbox.lock().has_room(bytes)
    }

    /// Bytes that are queued.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.outbox.lock().bytes
    }

    /// Wakes `waker` when something is queued or the peer is closed, from now on and once: register before
    /// [`Peer::drain`]. For the connection's task.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Ends the connection: refuses further frames, drops queued ones, ends all calls, and has the
    /// connection's task close the socket.
    pub fn close(&self) {
        *self.outbox.lock() = Outbox { closed: true, ..Outbox::default() };
        let calls = std::mem::take(&mut *self.calls.lock());
        calls.into_values().for_each(|slot| slot.set(Err(PeerError::Closed)));
        self.waker.wake();
    }

    /// Whether the connection is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.outbox.lock().closed
    }

    fn opaque(&self) -> i32 {
        self.next_opaque.fetch_add(1, Ordering::Relaxed)
    }

    fn try_push(&self, frame: Bytes) -> Result<(), PeerError> {
        let mut outbox = self.outbox.lock();
        if outbox.closed {
            return Err(PeerError::Closed);
        }
        if !self.callers_wait && !outbox.has_room(frame.len()) {
            return Err(PeerError::Full);
        }
        outbox.bytes += frame.len();
        outbox.frames.push_back(frame);
        drop(outbox);
        self.waker.wake();
        Ok(())
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({} {} at {})", self.id, self.remote, self.local)
    }
}

fn encode(head: &Head, fields: impl FnOnce(&mut FrameWriter<'_>), body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    let mut writer = FrameWriter::begin(&mut out, head);
    fields(&mut writer);
    writer.finish(body);
    out.freeze()
}

/// Why a client does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Too much is queued for this client, or it owes too many answers.
    #[error(
        "the peer is too slow: {MAX_OUTBOX_FRAMES} frames, {MAX_OUTBOX_BYTES} bytes or the most \
         calls wait for it"
    )]
    Full,
    /// The connection is closed.
    #[error("the client's connection is closed")]
    Closed,
}

/// Future of a client's answer, from [`Peer::call`].
#[derive(Debug)]
pub struct PeerCall {
    peer: Arc<Peer>,
    opaque: i32,
    slot: Arc<Slot>,
}

impl Future for PeerCall {
    type Output = Result<OwnedFrame, PeerError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.slot.waker.register(context.waker());
        self.slot.answer.lock().take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for PeerCall {
    fn drop(&mut self) {
        let mut calls = self.peer.calls.lock();
        // The number may have come round to another call.
        if calls.get(&self.opaque).is_some_and(|slot| Arc::ptr_eq(slot, &self.slot)) {
            calls.remove(&self.opaque);
        }
    }
}

/// Where an answer is left for its caller.
#[derive(Debug, Default)]
struct Slot {
    answer: Mutex<Option<Result<OwnedFrame, PeerError>>>,
    waker: AtomicWaker,
}

impl Slot {
    fn set(&self, answer: Result<OwnedFrame, PeerError>) {
        *self.answer.lock() = Some(answer);
        self.waker.wake();
    }
}

#[cfg(test)]
mod tests;
