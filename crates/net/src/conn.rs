//! One connection: read → handle all frames of the read → one write, in one task, in one poll.
//!
//! A pass reads once (at most [`limits::READ_BYTES`], into a buffer that all connections of the
//! thread share), lets the [`wire::Call`] answer every complete frame, adds what else is due
//! (answers that were waited for, frames pushed to the peer), and writes all of it at once. In the
//! steady state that is one `recv` and one `send`: a read that did not fill the buffer has emptied
//! the socket, so the next one waits for the poller without asking the kernel.
//!
//! While an earlier write is not finished, nothing is read, no awaited answer is collected and no
//! push is taken: all of these wait, bounded, where they are. Only a connection that this side opened is
//! read from even then, as both ends would wait for each other otherwise. A handler that has answered
//! much may leave the rest of its frames; it gets them again when the answers are written.
//!
//! A client that leaves without reading its answers resets the connection: a write fails while requests it
//! sent before are still to be read. These are handled all the same, and only their answers are dropped.
//!
//! What a connection holds is counted in the pools of [`env::Memory`]. A frame that is not whole yet and
//! finds no room there is refused by its header, and its body is dropped as it comes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::task::{Context, Poll};

use env::memory::{Full, Hold, Memory};
use futures_util::stream::{FuturesUnordered, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use wire::call::{self, Replies, Waiting};
use wire::{Frame, FrameError, Frames, Peer};

use crate::connections::{Connections, Registered};
use crate::limits;
use crate::link::Link;
use crate::preamble::{self, Preamble, Refused};

thread_local! {
    /// What a pass works with. Connections take turns on a thread, so they share it: it stays in the
    /// cache, and a connection that waits holds none.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    input: Vec<u8>,
    replies: Replies,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed by the peer")]
    Closed,
    #[error("closed by this side")]
    Stopped,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Preamble(#[from] Refused),
    #[error(transparent)]
    Memory(#[from] Full),
}

/// Serves `socket` in a task until it ends. There is a link if this side opened the connection; if the peer
/// did, perhaps through a proxy, that may say so first.
pub(crate) fn spawn(
    connections: &Arc<Connections>,
    registered: Registered,
    socket: TcpStream,
    peer: Arc<Peer>,
    link: Option<Arc<Link>>,
) {
    let id = registered.id;
    let conn = Conn {
        connections: connections.clone(),
        registered,
        socket,
        peer,
        fresh: link.is_none(),
        carry: Vec::new(),
        needed: 0,
        backlog: false,
        unsent: Replies::default(),
        unheard: false,
        parked: None,
        skip: 0,
        held: Held::new(&connections.env.memory),
        link,
    };
    let task = connections.env.tasks.spawn("net-connection", conn.run());
    connections.attach(id, task);
}

struct Conn {
    connections: Arc<Connections>,
    registered: Registered,
    socket: TcpStream,
    peer: Arc<Peer>,
    /// The first frame is still to come; a PROXY header may precede it.
    fresh: bool,
    /// The start of an incomplete frame.
    carry: Vec<u8>,
    /// Size of the frame in `carry`, once known.
    needed: usize,
    /// `carry` starts with a complete frame: the handler stopped before it, for it had answered much.
    backlog: bool,
    /// What an unfinished write left; nothing most of the time.
    unsent: Replies,
    /// A write failed, so nobody reads the answers; what the peer sent before is still handled.
    unheard: bool,
    /// Answers that are waited for.
    parked: Option<FuturesUnordered<Parked>>,
    /// Bytes still to come of a frame that was refused.
    skip: usize,
    held: Held,
    /// To the callers, if this side opened the connection.
    link: Option<Arc<Link>>,
}

/// What a connection holds of the process's memory.
struct Held {
    carry: Hold,
    unsent: Hold,
    parked: Hold,
    parked_bytes: usize,
}

impl Held {
    fn new(memory: &Memory) -> Held {
        Held {
            carry: Hold::new(&memory.requests),
            unsent: Hold::new(&memory.answers),
            parked: Hold::new(&memory.waiting),
            parked_bytes: 0,
        }
    }
}

/// An answer that is waited for; yields the bytes with it that were counted.
struct Parked(Waiting);

impl Future for Parked {
    type Output = (Replies, usize);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.later.as_mut().poll(cx).map(|replies| (replies, self.0.bytes))
    }
}

impl Drop for Conn {
    /// Also runs when the task is aborted: the end of a connection is always heard of.
    fn drop(&mut self) {
        self.peer.close();
        self.note_room();
        self.connections.call.disconnected(&self.peer);
    }
}

impl Conn {
    async fn run(mut self) {
        let end = poll_fn(|cx| self.poll(cx)).await;
        let (listener, peer) = (self.connections.name, self.peer.remote());
        match end {
            End::Closed | End::Stopped | End::Io(_) => {
                tracing::debug!(listener, %peer, "connection ended: {end}");
            }
            End::Frame(_) | End::Preamble(_) | End::Memory(_) => {
                self.connections.metrics.faulted.add(1);
                if self.connections.fault_lines.is_due(&self.connections.env.clock) {
                    tracing::warn!(listener, %peer, "connection closed: {end}");
                } else {
                    tracing::debug!(listener, %peer, "connection closed: {end}");
                }
            }
        }
    }

    /// Makes passes until there is nothing to do or it is another task's turn.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        for _ in 0..limits::PASSES {
            let passed = SCRATCH.with_borrow_mut(|scratch| self.pass(scratch, cx));
            self.note_room();
            match passed {
                Ok(true) => {}
                Ok(false) => {
                    let parked = self.parked.as_ref().is_some_and(|p| !p.is_empty());
                    let busy = parked || !self.unsent.is_empty();
                    self.registered.state.busy.store(busy, Release);
                    if !busy && self.connections.is_stopping() {
                        return Poll::Ready(End::Stopped);
                    }
                    return Poll::Pending;
                }
                Err(end) => return Poll::Ready(end),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn note_room(&self) {
        if let Some(link) = &self.link {
            link.note_room();
        }
    }

    /// One pass; false when every source is exhausted and will wake this task.
    fn pass(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.unsent.is_empty() {
            let mut unsent = mem::take(&mut self.unsent);
            let written = self.write(&mut unsent, cx);
            self.unsent = unsent;
            written?;
            if !self.unsent.is_empty() {
                // What is pushed meanwhile waits in the peer, and counts.
                self.peer.register(cx.waker());
                if self.peer.is_closed() {
                    return Err(End::Stopped);
                }
                let read = self.link.is_some() && self.read_answers(scratch, cx)?;
                self.held.unsent.try_set(self.unsent.held() + self.peer.queued_bytes())?;
                return Ok(read);
            }
            self.unsent = Replies::default();
            self.held.unsent.set(0);
            self.registered.state.unsent.end();
        }
        let Scratch { input, replies } = scratch;
        let handled = self.read(input, replies, cx);
        let collected = self.collect(replies, cx);
        self.peer.register(cx.waker());
        let open = self.peer.drain(replies);
        self.held.parked.set(self.held.parked_bytes);
        let written = self.write(replies, cx);
        if handled.is_err() || written.is_err() || !replies.is_empty() {
            self.unsent = replies.take_unsent();
        }
        written?;
        if !open {
            return Err(End::Stopped);
        }
        let goes_on = handled? || collected;
        if self.unsent.is_empty() {
            return Ok(goes_on);
        }
        self.registered.state.unsent.begin();
        self.held.unsent.try_set(self.unsent.held())?;
        // A connection that is read from all the same reads until it waits for the poller.
        Ok(goes_on && self.link.is_some())
    }

    /// Reads answers while requests of this side are not written yet. The server may wait, before it reads
    /// them, for its answers to be read; these are bounded by the calls that wait for them.
    fn read_answers(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) -> Result<bool, End> {
        let Scratch { input, replies } = scratch;
        let handled = self.read(input, replies, cx);
        self.park(replies);
        self.unsent.append(mem::take(replies));
        handled
    }

    /// Reads once and handles the frames that are complete; false when there was nothing to read.
    fn read(
        &mut self,
        input: &mut Vec<u8>,
        replies: &mut Replies,
        cx: &mut Context<'_>,
    ) -> Result<bool, End> {
        let parked = self.parked.as_ref().map_or(0, FuturesUnordered::len);
        if parked >= limits::PARKED_PER_CONNECTION || self.connections.is_stopping() {
            return Ok(false);
        }
        if self.backlog {
            self.handle_carry(replies)?;
            return Ok(true);
        }
        input.resize(limits::READ_BYTES, 0);
        let in_front = if self.carry.len() <= limits::CARRY_BYTES { self.carry.len() } else { 0 };
        input[..in_front].copy_from_slice(&self.carry[..in_front]);
        let mut buffer = ReadBuf::new(&mut input[in_front..]);
        let Poll::Ready(read) = Pin::new(&mut self.socket).poll_read(cx, &mut buffer) else {
            return Ok(false);
        };
        read?;
        let count = buffer.filled().len();
        if count == 0 {
            return Err(End::Closed);
        }
        let metrics = &self.connections.metrics;
        metrics.reads.add(1);
        metrics.bytes_in.add(count as u64);
        self.registered.state.active.store(true, Relaxed);
        if let Some(link) = &self.link {
            link.note_received();
        }
        let data = &input[..in_front + count];
        if in_front == self.carry.len() {
            self.take_in(data, replies)?;
        } else if let Err(full) = self.extend_carry(data) {
            let carry = mem::take(&mut self.carry);
            self.refuse(&carry, full, replies)?;
            self.take_in(data, replies)?;
        } else if self.carry.len() >= self.needed {
            self.handle_carry(replies)?;
        }
        Ok(true)
    }

    /// Handles bytes that follow what was handled before: first the rest of a frame that was refused.
    fn take_in(&mut self, data: &[u8], replies: &mut Replies) -> Result<(), End> {
        let skipped = self.skip.min(data.len());
        self.skip -= skipped;
        let data = &data[skipped..];
        let done = if data.is_empty() { 0 } else { self.handle(data, replies)? };
        let goes_on = done == 0 && !self.carry.is_empty();
        self.keep(&data[done..], goes_on, replies)
    }

    fn handle_carry(&mut self, replies: &mut Replies) -> Result<(), End> {
        let carry = mem::take(&mut self.carry);
        let done = self.handle(&carry, replies)?;
        self.keep(&carry[done..], false, replies)
    }

    /// Lets the frames in `data` be answered; returns the bytes that are done with.
    fn handle(&mut self, data: &[u8], replies: &mut Replies) -> Result<usize, End> {
        let skipped = if self.fresh {
            match preamble::read(data) {
                Preamble::More => return Ok(0),
                Preamble::Refused(refused) => return Err(refused.into()),
                Preamble::Frames { len, source } => {
                    if let Some(source) = source {
                        self.peer = Peer::new(self.registered.id, source, self.peer.local());
                    }
                    self.fresh = false;
                    len
                }
            }
        } else {
            0
        };
        let mut frames = Frames::new(&data[skipped..], self.connections.limits.frame_bytes);
        self.connections.call.call_batch(&self.peer, &mut frames, replies)?;
        let done = frames.consumed();
        self.needed = frames.needed().unwrap_or(0);
        // The shortest frame has 8 bytes.
        let more = self.needed == 0 && data.len() - skipped - done >= 8;
        self.backlog = more && done > 0;
        Ok(skipped + done)
    }

    /// Keeps the start of an incomplete frame, the same as before if it `goes_on`, or nothing; or refuses
    /// it for lack of memory.
    fn keep(&mut self, rest: &[u8], goes_on: bool, replies: &mut Replies) -> Result<(), End> {
        if rest.is_empty() {
            self.forget_carry();
            return Ok(());
        }
        self.carry.clear();
        if rest.len() > self.carry.capacity() {
            if let Err(full) = self.hold_carry(rest.len()) {
                return self.refuse(rest, full, replies);
            }
            self.carry.reserve_exact(rest.len());
        }
        self.carry.extend_from_slice(rest);
        match (self.backlog, goes_on) {
            (true, _) => self.registered.state.partial.end(),
            (false, false) => self.registered.state.partial.begin(),
            (false, true) => {}
        }
        Ok(())
    }

    fn forget_carry(&mut self) {
        if self.held.carry.bytes() > 0 {
            self.carry = Vec::new();
            self.held.carry.set(0);
            self.registered.state.partial.end();
        }
    }

    /// Adds to an incomplete frame, or changes nothing if there is no memory for it. Grows with what has
    /// arrived, never by what a length word promises.
    fn extend_carry(&mut self, data: &[u8]) -> Result<(), Full> {
        let len = self.carry.len();
        let wanted = (2 * len).min(self.needed).max(len + data.len());
        if wanted > self.carry.capacity() {
            self.hold_carry(wanted)?;
            self.carry.reserve_exact(wanted - len);
        }
        self.carry.extend_from_slice(data);
        Ok(())
    }

    /// Counts the memory of `carry`. Frames that are whole, and answers to what this side asked, were let
    /// in already.
    fn hold_carry(&mut self, bytes: usize) -> Result<(), Full> {
        if self.backlog || self.link.is_some() {
            self.held.carry.set(bytes);
            return Ok(());
        }
        self.held.carry.try_set(bytes)
    }

    /// Refuses the frame that starts with `start`: answers it, and drops what is still to come of it.
    fn refuse(&mut self, start: &[u8], full: Full, replies: &mut Replies) -> Result<(), End> {
        let Some(frame) = Frame::decode_head(start)? else { return Err(full.into()) };
        tracing::debug!(
            listener = self.connections.name,
            peer = %self.peer.remote(),
            code = frame.code,
            "request refused: {full}"
        );
        call::refuse_busy(&frame, &full, replies);
        self.connections.metrics.refused.add(1);
        self.skip = self.needed - start.len();
        self.needed = 0;
        self.forget_carry();
        Ok(())
    }

    /// Adds answers that have become ready; true when there were any.
    fn collect(&mut self, replies: &mut Replies, cx: &mut Context<'_>) -> bool {
        let before = replies.len();
        self.park(replies);
        let connections = &self.connections;
        let most = match connections.env.memory.answers.is_pressed() {
            true => limits::PRESSED_BYTES.min(connections.limits.queued_bytes),
            false => connections.limits.queued_bytes,
        };
        while let Some(parked) = &mut self.parked
            && replies.len() < most
        {
            match Pin::new(parked).poll_next(cx) {
                Poll::Ready(Some((ready, bytes))) => {
                    self.held.parked_bytes -= bytes;
                    replies.append(ready);
                }
                Poll::Ready(None) => self.parked = None,
                Poll::Pending => break,
            }
            self.park(replies);
        }
        replies.len() > before
    }

    fn park(&mut self, replies: &mut Replies) {
        for waiting in replies.take_later() {
            self.held.parked_bytes += waiting.bytes;
            self.parked.get_or_insert_default().push(Parked(waiting));
        }
    }

    /// Writes as much as the socket takes.
    fn write(&mut self, replies: &mut Replies, cx: &mut Context<'_>) -> Result<(), End> {
        while !replies.is_empty() {
            if self.unheard {
                replies.advance(replies.len());
                break;
            }
            let mut slices = [IoSlice::new(&[]); limits::WRITE_SLICES];
            let used = replies.io_slices(&mut slices);
            let socket = Pin::new(&mut self.socket);
            let written = match &slices[..used] {
                [one] => socket.poll_write(cx, one),
                many => socket.poll_write_vectored(cx, many),
            };
            let Poll::Ready(written) = written else { return Ok(()) };
            let count = match written {
                Ok(count) => count,
                Err(_) if self.link.is_none() => {
                    self.unheard = true;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            replies.advance(count);
            self.connections.metrics.writes.add(1);
            self.connections.metrics.bytes_out.add(count as u64);
            self.registered.state.active.store(true, Relaxed);
        }
        replies.shrink(limits::READ_BYTES);
        Ok(())
    }
}
