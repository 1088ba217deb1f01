//! What a well-behaved peer sees of a server.
#![allow(clippy::disallowed_methods, reason = "tests open sockets of their own")]
#![allow(clippy::unwrap_used, reason = "also in helpers")]

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use apogee_net::Limits;
use bytes::BytesMut;
use common::{ECHO, PARK, PUSH, Setup, large, request, until};
use wire::frame::Head;
use wire::{Format, FrameWriter};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_frames_of_a_read_are_answered_in_order() {
    // Shows that pipelined requests come back in order and complete, however many there are.
    let setup = Setup::new(Limits::default()).await;
    let mut raw = setup.connect().await;
    for count in [1, 2, 64, 5_000] {
        let all: Vec<u8> = (0..count).flat_map(|i| request(ECHO, i, &[b'x'; 100])).collect();
        let (mut reader, mut writer) = raw.socket.split();
        let write = tokio::io::AsyncWriteExt::write_all(&mut writer, &all);
        let read = async {
            let mut got = Vec::new();
            while wire_frames(&got) < count as usize {
                tokio::io::AsyncReadExt::read_buf(&mut reader, &mut got).await.unwrap();
            }
            got
        };
        let (written, got) = tokio::join!(write, read);
        written.unwrap();
        let mut frames = wire::Frames::new(&got, 1 << 20);
        for i in 0..count {
            let frame = frames.next().unwrap().unwrap();
            assert_eq!((frame.opaque, frame.body), (i, [b'x'; 100].as_slice()));
        }
    }
    let metrics = setup.server.metrics();
    assert_eq!(metrics.connections.get(), 1);
    assert!(metrics.writes.get() < 5_000, "one write answers many requests");
}

fn wire_frames(bytes: &[u8]) -> usize {
    let mut frames = wire::Frames::new(bytes, 1 << 20);
    std::iter::from_fn(|| frames.next().unwrap()).count()
}

#[tokio::test]
async fn frames_may_arrive_in_any_pieces() {
    // Shows that a frame cut at each byte, and frames of up to 9 MB in pieces, arrive whole.
    let setup = Setup::new(Limits::default()).await;
    let mut raw = setup.connect().await;
    let frame = request(ECHO, 7, b"body");
    for cut in 1..frame.len() {
        raw.send(&frame[..cut]).await;
        let before = setup.server.metrics().bytes_in.get();
        until(|| setup.server.metrics().bytes_in.get() >= before).await;
        raw.send(&frame[cut..]).await;
        assert_eq!(&raw.next().await.body()[..], b"body", "cut at {cut}");
    }
    for size in [16_000, 17_000, 300_000, 9_000_000] {
        let body: Vec<u8> = (0..size).map(|i| i as u8).collect();
        let mut bytes = request(ECHO, 1, &body);
        bytes.extend_from_slice(&request(ECHO, 2, b"next"));
        let cut = bytes.len() - 3;
        raw.send(&bytes[..cut]).await;
        assert_eq!(&raw.next().await.body()[..], body);
        raw.send(&bytes[cut..]).await;
        assert_eq!(&raw.next().await.body()[..], b"next");
    }
}

#[tokio::test]
async fn large_answers_are_written_whole() {
    // Shows that bodies of many sizes, several per read, arrive unchanged through partial writes.
    let setup = Setup::new(Limits::default()).await;
    let mut raw = setup.connect().await;
    let sizes = [0, 1, 1_023, 1_024, 70_000, 5_000_000, 3];
    let all: Vec<u8> = sizes.iter().enumerate().flat_map(|(i, n)| large(i as i32, *n)).collect();
    raw.send(&all).await;
    for (i, size) in sizes.into_iter().enumerate() {
        let frame = raw.next().await;
        assert_eq!((frame.frame().opaque, frame.body().len()), (i as i32, size));
        assert!(frame.body().iter().all(|b| *b == b'L'));
    }
}

#[tokio::test]
async fn late_answers_come_when_they_are_ready() {
    // Shows that a parked request holds up nothing, and that its answer comes without further traffic.
    let setup = Setup::new(Limits::default()).await;
    let mut raw = setup.connect().await;
    raw.send(&request(PARK, 1, b"")).await;
    raw.send(&request(ECHO, 2, b"b")).await;
    assert_eq!(raw.next().await.frame().opaque, 2);
    setup.handler.release.notify_one();
    let late = raw.next().await;
    assert_eq!((late.frame().opaque, &late.body()[..]), (1, &b"released"[..]));
}

#[tokio::test]
async fn pushes_reach_an_idle_peer() {
    // Shows that a frame pushed in a handler and one pushed later both arrive, and none after the end.
    let setup = Setup::new(Limits::default()).await;
    let mut raw = setup.connect().await;
    raw.send(&request(PUSH, 1, b"")).await;
    let codes = [raw.next().await.frame().code, raw.next().await.frame().code];
    assert_eq!(codes.iter().sum::<i32>(), 40);
    let peer = setup.handler.peers.lock()[0].clone();
    assert!(peer.oneway(41, |_| {}, b""));
    assert_eq!(raw.next().await.frame().code, 41);
    drop(raw);
    setup.disconnects(1).await;
    assert!(!peer.oneway(42, |_| {}, b""));
}

#[tokio::test]
async fn what_was_sent_before_a_reset_is_handled() {
    // Shows that the requests of a client that leaves without reading its answers, which resets the
    // connection under a write, are all handled: it may have sent them for no answer.
    let setup = Setup::new(Limits::default()).await;
    let mut raw = setup.connect().await;
    raw.send(&large(0, 64 << 20)).await;
    // From now on the server waits for room to write, and does not read.
    until(|| setup.server.metrics().bytes_out.get() > 0).await;
    // As much as the server's side of the socket takes at once: a reset drops the rest.
    let mut all = BytesMut::new();
    for opaque in 1..=60 {
        all.extend_from_slice(&request(ECHO, opaque, &[b'x'; 100]));
        FrameWriter::begin(&mut all, &Head::oneway(ECHO, Format::Json)).finish(&[b'x'; 100]);
    }
    raw.send(&all).await;
    drop(raw);
    setup.disconnects(1).await;
    assert_eq!(setup.handler.oneways.load(Ordering::SeqCst), 60);
}

#[tokio::test]
async fn a_peer_that_the_handler_closes_is_disconnected() {
    // Shows that closing a peer ends its connection, whether it is idle or does not read its answers.
    let setup = Setup::new(Limits::default()).await;
    let mut idle = setup.connect().await;
    idle.send(&request(ECHO, 1, b"")).await;
    idle.next().await;
    let close = |i: usize| setup.handler.peers.lock()[i].close();
    close(0);
    assert!(idle.try_next().await.is_none());
    setup.disconnects(1).await;
    let mut deaf = setup.connect().await;
    deaf.send(&large(1, 30_000_000)).await;
    until(|| setup.handler.peers.lock().len() == 2).await;
    close(1);
    setup.disconnects(2).await;
    assert!(deaf.try_next().await.is_none());
}

#[tokio::test]
async fn a_thousand_connections_are_served_and_heard_the_end_of() {
    // Shows 1,000 connections at once: each is answered, counted, and its end is reported once.
    let setup = Setup::new(Limits::default()).await;
    let mut all = Vec::new();
    for i in 0..1_000 {
        let mut raw = setup.connect().await;
        raw.send(&request(ECHO, i, b"hello")).await;
        all.push(raw);
    }
    for (i, raw) in all.iter_mut().enumerate() {
        assert_eq!(raw.next().await.frame().opaque, i as i32);
    }
    assert_eq!(setup.server.metrics().connections.get(), 1_000);
    drop(all);
    setup.disconnects(1_000).await;
    until(|| setup.server.metrics().connections.get() == 0).await;
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once() {
    // Shows the connection limit, and that a place becomes free with the end of a connection.
    let setup = Setup::new(Limits { connections: 2, ..Limits::default() }).await;
    let mut kept = [setup.connect().await, setup.connect().await];
    for raw in &mut kept {
        raw.send(&request(ECHO, 1, b"")).await;
        raw.next().await;
    }
    assert!(setup.connect().await.try_next().await.is_none());
    assert_eq!(setup.server.metrics().rejected.get(), 1);
    drop(kept);
    setup.disconnects(2).await;
    until(|| setup.server.metrics().connections.get() == 0).await;
    let mut raw = setup.connect().await;
    raw.send(&request(ECHO, 1, b"")).await;
    raw.next().await;
}

#[tokio::test]
async fn silent_connections_are_closed_and_others_are_not() {
    // Shows the idle limit: a connection that says something now and then outlives a silent one.
    let idle = Duration::from_millis(200);
    let setup = Setup::new(Limits { idle, ..Limits::default() }).await;
    let mut silent = setup.connect().await;
    let mut lively = setup.connect().await;
    let talk = async {
        loop {
            lively.send(&request(ECHO, 1, b"")).await;
            lively.next().await;
        }
    };
    tokio::select! {
        end = silent.try_next() => assert!(end.is_none()),
        () = talk => {}
    }
    lively.send(&request(ECHO, 2, b"")).await;
    lively.next().await;
}

#[tokio::test]
async fn a_stopping_server_gives_the_answers_it_owes() {
    // Shows the drain: idle connections end at once, a parked answer is still given, then all is over.
    let setup = Setup::new(Limits::default()).await;
    let mut idle = setup.connect().await;
    let mut waiting = setup.connect().await;
    idle.send(&request(ECHO, 1, b"")).await;
    idle.next().await;
    waiting.send(&request(PARK, 1, b"")).await;
    waiting.send(&request(ECHO, 2, b"")).await;
    assert_eq!(waiting.next().await.frame().opaque, 2);
    let env = setup.env.clone();
    let shutdown = tokio::spawn(async move { env.tasks.shutdown(Duration::from_secs(10)).await });
    assert!(idle.try_next().await.is_none());
    setup.handler.release.notify_one();
    assert_eq!(waiting.next().await.frame().opaque, 1);
    assert!(waiting.try_next().await.is_none());
    assert_eq!(shutdown.await.unwrap(), Vec::<&str>::new());
    assert_eq!(setup.handler.disconnects.load(Ordering::SeqCst), 2);
    assert!(tokio::net::TcpStream::connect(setup.server.local_addr()).await.is_err());
}
