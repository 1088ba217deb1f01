//! A non-blocking connection and its read buffer, cut into frames.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use crate::error::BenchError;
use crate::limits;
use crate::scan;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// One connection.
#[derive(Debug)]
pub(crate) struct Socket {
    pub stream: TcpStream,
    pub addr: SocketAddr,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// Whether a read may be followed by another without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// The buffer was filled: there may be more.
    Full,
    /// Everything that had arrived is in the buffer.
    Drained,
}

impl Socket {
    /// Connects to `addr`.
    pub(crate) fn connect(addr: SocketAddr) -> Result<Socket, BenchError> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT)?;
            Socket::new(stream, addr)
        };
        connect().map_err(|source| BenchError::Connect { addr, source })
    }

    /// Wraps a connection that is open already.
    pub(crate) fn new(stream: TcpStream, addr: SocketAddr) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let buffer = vec![0; limits::READ_BUFFER_BYTES];
        Ok(Socket { stream, addr, buffer, start: 0, end: 0 })
    }

    /// Reads once. An orderly close by the peer is an error: it never ends a run well.
    pub(crate) fn fill(&mut self) -> io::Result<Filled> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        if self.buffer.len() - self.end < self.buffer.len() / 4 {
            self.make_room();
        }
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the peer"));
                }
                Ok(n) => {
                    self.end += n;
                    let full = self.end == self.buffer.len();
                    return Ok(if full { Filled::Full } else { Filled::Drained });
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Filled::Drained),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Moves the incomplete frame to the front; doubles the buffer when it alone fills it. A frame is
    /// at most [`limits::FRAME_BYTES`] long (checked by [`Socket::next_frame`]), and so is the buffer.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end > self.buffer.len() / 2 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }

    /// Takes the next complete frame: its place for [`Socket::bytes`], valid until the next
    /// [`Socket::fill`].
    pub(crate) fn next_frame(&mut self) -> Result<Option<Range<usize>>, BenchError> {
        let pending = &self.buffer[self.start..self.end];
        let len = scan::frame_len(pending).map_err(|what| self.bad(what))?;
        match len {
            Some(len) if len <= pending.len() => {
                let frame = self.start..self.start + len;
                self.start += len;
                Ok(Some(frame))
            }
            _ => Ok(None),
        }
    }

    /// The bytes of a frame.
    pub(crate) fn bytes(&self, frame: Range<usize>) -> &[u8] {
        &self.buffer[frame]
    }

    /// The error for a frame that cannot be read.
    pub(crate) fn bad(&self, what: &'static str) -> BenchError {
        BenchError::Frame { addr: self.addr, what }
    }

    /// The error for a failed connection.
    pub(crate) fn failed(&self, source: io::Error) -> BenchError {
        BenchError::Connection { addr: self.addr, source }
    }
}
