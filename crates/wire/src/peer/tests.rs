use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use super::*;
use crate::frame::{Frames, ReplyTo};
use crate::text::Text;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn peer() -> Arc<Peer> {
    Peer::new(1, "10.0.0.9:4000".parse().unwrap(), "10.0.0.1:10911".parse().unwrap())
}

fn poll(call: &mut PeerCall) -> Poll<Result<OwnedFrame, PeerError>> {
    Pin::new(call).poll(&mut Context::from_waker(Waker::noop()))
}

/// Encodes the answer to the only queued request.
fn answer(peer: &Peer, code: i32) -> BytesMut {
    let mut queued = Replies::default();
    peer.drain(&mut queued);
    let request = Frame::decode(queued.head()).unwrap().opaque;
    let mut out = BytesMut::new();
    let to = ReplyTo { opaque: request, format: Format::Json };
    FrameWriter::response(&mut out, to, code).finish(b"body");
    out
}

/// A call is queued, wakes the connection, and gets the answer that carries its opaque.
#[test]
fn call_and_answer() {
    let peer = peer();
    let wakes = Arc::new(Wakes::default());
    peer.register(&Waker::from(Arc::clone(&wakes)));
    let mut call = peer.call(221, |writer| writer.field("topic", "T"), b"");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(poll(&mut call).is_pending());
    let bytes = answer(&peer, 0);
    let mut frames = Frames::new(&bytes, 1 << 20);
    assert!(peer.accept(&frames.next().unwrap().unwrap()));
    let Poll::Ready(Ok(got)) = poll(&mut call) else { panic!("no answer") };
    assert_eq!(got.frame().code, 0);
    assert_eq!(&got.body()[..], b"body");
}

/// An answer that nobody waits for any more is dropped, and no trace of the call is left.
#[test]
fn abandoned_call() {
    let peer = peer();
    drop(peer.call(221, |_| {}, b""));
    assert!(peer.calls.lock().is_empty());
    let bytes = answer(&peer, 0);
    assert!(peer.accept(&Frame::decode(&bytes).unwrap()));
}

/// Closing ends calls and refuses frames.
#[test]
fn close() {
    let peer = peer();
    let mut call = peer.call(221, |_| {}, b"");
    peer.close();
    assert!(matches!(poll(&mut call), Poll::Ready(Err(PeerError::Closed))));
    assert!(!peer.push(Bytes::from_static(b"x")));
    let mut call = peer.call(221, |_| {}, b"");
    assert!(matches!(poll(&mut call), Poll::Ready(Err(PeerError::Closed))));
}

/// The outbox is bounded in frames and bytes, and calls are bounded too.
#[test]
fn bounds() {
    let flood = |size: usize| {
        let (peer, frame) = (peer(), Bytes::from(vec![0; size]));
        (0..MAX_OUTBOX_FRAMES + 1).take_while(|_| peer.push(frame.clone())).count()
    };
    assert_eq!(flood(1), MAX_OUTBOX_FRAMES);
    assert_eq!(flood(MAX_OUTBOX_BYTES / 4), 4);
    assert_eq!(flood(MAX_OUTBOX_BYTES * 2), 1);
    let peer = peer();
    let mut calls: Vec<_> = (0..=MAX_PEER_CALLS).map(|_| peer.call(221, |_| {}, b"")).collect();
    assert!(matches!(poll(&mut calls[MAX_PEER_CALLS]), Poll::Ready(Err(PeerError::Full))));
    assert!(poll(&mut calls[0]).is_pending());
}

/// The side that opened a connection is told when there is no room, in the outbox or for calls, and refused
/// nothing.
#[test]
fn callers_wait_for_room() {
    let addr = "10.0.0.9:4000".parse().unwrap();
    let peer = Peer::with_calls(1, addr, addr, 2);
    assert!(peer.has_room(MAX_OUTBOX_BYTES * 2));
    assert!(peer.push(vec![0; 100].into()));
    assert!(!peer.has_room(MAX_OUTBOX_BYTES) && peer.push(vec![0; MAX_OUTBOX_BYTES].into()));
    peer.drain(&mut Replies::default());
    (0..MAX_OUTBOX_FRAMES).for_each(|_| assert!(peer.has_room(1) && peer.push(vec![0].into())));
    assert!(!peer.has_room(0) && peer.push(vec![0].into()));
    peer.drain(&mut Replies::default());
    let calls = [peer.call(221, |_| {}, b""), peer.call(221, |_| {}, b"")];
    assert!(!peer.has_room(0));
    drop(calls);
    assert!(peer.has_room(0));
}

/// Requests of the client set the format in which it is written to.
#[test]
fn format_follows_the_client() {
    let peer = peer();
    assert_eq!(peer.format(), Format::Json);
    let mut out = BytesMut::new();
    FrameWriter::begin(&mut out, &Head::request(34, Format::Binary)).finish(b"");
    assert!(!peer.accept(&Frame::decode(&out).unwrap()));
    assert_eq!(peer.format(), Format::Binary);
    assert!(peer.oneway(40, |writer| writer.field("consumerGroup", "g"), b""));
    let mut queued = Replies::default();
    peer.drain(&mut queued);
    let frame = Frame::decode(queued.head()).unwrap();
    assert_eq!((frame.code, frame.format, frame.is_oneway()), (40, Format::Binary, true));
    assert_eq!(frame.fields.get("consumerGroup"), Some(Text::from("g")));
}
