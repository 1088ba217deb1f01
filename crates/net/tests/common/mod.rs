//! A server under test, its handler, and a client that speaks in plain bytes.
#![allow(clippy::disallowed_methods, reason = "tests open sockets of their own")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apogee_net::{Limits, Server};
use bytes::{Bytes, BytesMut};
use env::Env;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use wire::call::{Call, Replies};
use wire::frame::{Head, OwnedFrame, ReplyTo};
use wire::{Format, FrameError, FrameWriter, Frames, Peer};

/// Answers with the request's body.
pub const ECHO: i32 = 1;
/// Answers when [`Handler::release`] is notified.
pub const PARK: i32 = 2;
/// Answers with as many bytes as the field `n` says.
pub const LARGE: i32 = 3;
/// Answers the same, a little later.
pub const LARGE_LATER: i32 = 6;
/// Pushes a oneway request 40 to the peer, then answers.
pub const PUSH: i32 = 4;
/// Calls the peer with 220 and answers with its answer.
pub const CALL_BACK: i32 = 5;

#[derive(Default)]
pub struct Handler {
    pub release: Arc<Notify>,
    pub disconnects: AtomicUsize,
    pub peers: Mutex<Vec<Arc<Peer>>>,
    pub oneways: AtomicUsize,
}

impl Call for Handler {
    fn call_batch(
        &self,
        peer: &Arc<Peer>,
        frames: &mut Frames<'_>,
        out: &mut Replies,
    ) -> Result<(), FrameError> {
        while out.len() < 8 << 20
            && let Some(frame) = frames.next()?
        {
            if peer.accept(&frame) {
                continue;
            }
            if frame.is_oneway() {
                self.oneways.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let mut peers = self.peers.lock();
            if !peers.iter().any(|p| p.id() == peer.id()) {
                peers.push(peer.clone());
            }
            drop(peers);
            let to = ReplyTo { opaque: frame.opaque, format: frame.format };
            match frame.code {
                PARK => {
                    let release = self.release.clone();
                    out.later(Box::pin(async move {
                        release.notified().await;
                        answer(to, b"released")
                    }));
                }
                LARGE | LARGE_LATER => {
                    let n = frame.fields.get("n").and_then(|n| n.parse_i64()).unwrap_or(0);
                    let answer = move || {
                        let mut out = Replies::default();
                        FrameWriter::response(out.head(), to, 0).finish_before(n as usize);
                        out.body(Bytes::from(vec![b'L'; n as usize]));
                        out
                    };
                    if frame.code == LARGE {
                        out.append(answer());
                    } else {
                        out.later(Box::pin(async move { answer() }));
                    }
                }
                PUSH => {
                    assert!(peer.oneway(40, |w| w.field("k", "v"), b""));
                    out.append(answer(to, b"pushed"));
                }
                CALL_BACK => {
                    let call = peer.call(220, |_| {}, b"from the server");
                    out.later(Box::pin(async move {
                        let body = call.await.map(|frame| frame.body()).unwrap_or_default();
                        answer(to, &body)
                    }));
                }
                _ => out.append(answer(to, frame.body)),
            }
        }
        Ok(())
    }

    fn disconnected(&self, _peer: &Arc<Peer>) {
        self.disconnects.fetch_add(1, Ordering::SeqCst);
    }
}

fn answer(to: ReplyTo, body: &[u8]) -> Replies {
    let mut replies = Replies::default();
    FrameWriter::response(replies.head(), to, 0).finish(body);
    replies
}

/// An encoded request.
pub fn request(code: i32, opaque: i32, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let head = Head { opaque, ..Head::request(code, Format::Json) };
    FrameWriter::begin(&mut out, &head).finish(body);
    out
}

/// A request for `n` bytes.
pub fn large(opaque: i32, n: usize) -> BytesMut {
    sized(LARGE, opaque, n)
}

/// A request of that code for `n` bytes.
pub fn sized(code: i32, opaque: i32, n: usize) -> BytesMut {
    let mut out = BytesMut::new();
    let mut writer =
        FrameWriter::begin(&mut out, &Head { opaque, ..Head::request(code, Format::Json) });
    writer.field("n", n);
    writer.finish(b"");
    out
}

pub struct Setup {
    pub env: Env,
    pub server: Server,
    pub handler: Arc<Handler>,
}

impl Setup {
    pub async fn new(limits: Limits) -> Setup {
        Setup::at("127.0.0.1:0".parse().unwrap(), limits).await
    }

    pub async fn at(addr: SocketAddr, limits: Limits) -> Setup {
        Setup::on(Env::real(), addr, limits).await
    }

    pub async fn on(env: Env, addr: SocketAddr, limits: Limits) -> Setup {
        let handler = Arc::new(Handler::default());
        let server = Server::start(env.clone(), addr, "test", handler.clone(), limits).await;
        Setup { env, server: server.unwrap(), handler }
    }

    pub async fn connect(&self) -> Raw {
        let socket = TcpStream::connect(self.server.local_addr()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Raw { socket, buffer: BytesMut::new() }
    }

    /// Waits for the end of `n` connections that sent something.
    pub async fn disconnects(&self, n: usize) {
        until(|| self.handler.disconnects.load(Ordering::SeqCst) == n).await;
    }
}

/// Waits until `condition` holds, at most 10 seconds.
pub async fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the condition did not come true in 10 seconds");
}

pub struct Raw {
    pub socket: TcpStream,
    buffer: BytesMut,
}

impl Raw {
    pub async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// The next frame.
    pub async fn next(&mut self) -> OwnedFrame {
        self.try_next().await.expect("the server closed the connection")
    }

    /// The next frame, or `None` at the end of the connection.
    pub async fn try_next(&mut self) -> Option<OwnedFrame> {
        loop {
            let mut frames = Frames::new(&self.buffer, 64 << 20);
            if let Some(frame) = frames.next().unwrap() {
                let owned = OwnedFrame::copy(&frame);
                let consumed = frames.consumed();
                bytes::Buf::advance(&mut self.buffer, consumed);
                return Some(owned);
            }
            let read = self.socket.read_buf(&mut self.buffer);
            let read = tokio::time::timeout(Duration::from_secs(10), read).await;
            match read.expect("an answer within 10 seconds") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
