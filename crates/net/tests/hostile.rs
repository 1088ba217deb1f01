//! What a broken or hostile peer can do to a server: be closed.
#![allow(clippy::disallowed_methods, reason = "tests open sockets of their own")]
#![allow(clippy::unwrap_used, reason = "also in helpers")]

mod common;

use std::time::Duration;

use apogee_net::Limits;
use common::{ECHO, LARGE_LATER, PARK, Raw, Setup, large, request, sized, until};
use env::memory::{Hold, SMALL_BYTES};
use env::{Env, Memory};
use tokio::io::AsyncWriteExt;
use wire::reply_codes::SYSTEM_BUSY;

/// A server with as little memory as there may be.
async fn small(limits: Limits) -> Setup {
    let env = Env { memory: Memory::new(0), ..Env::real() };
    Setup::on(env, "127.0.0.1:0".parse().unwrap(), limits).await
}

/// Connections that together fill the memory for requests that have arrived in part, with `each` bytes of
/// one that is `each + 1` bytes long.
async fn fill_requests(setup: &Setup, each: usize) -> Vec<Raw> {
    let pool = &setup.env.memory.requests;
    let mut frame = request(ECHO, 1, &vec![b'x'; each]);
    let len = frame.len();
    frame[..4].copy_from_slice(&u32::try_from(len - 3).unwrap().to_be_bytes());
    let mut raws = Vec::new();
    while pool.check_patient(frame.len()).is_ok() {
        let mut raw = setup.connect().await;
        let used = pool.used();
        raw.send(&frame).await;
        until(|| pool.used() - used >= len).await;
        raws.push(raw);
    }
    raws
}

#[tokio::test]
async fn what_is_no_frame_ends_the_connection() {
    // Shows each kind of garbage: the connection is closed, and the answers before it still come.
    let setup = Setup::new(Limits { frame_bytes: 1 << 20, ..Limits::default() }).await;
    let garbage: &[&[u8]] = &[
        b"\x7F\xFF\xFF\xFF",
        b"\xFF\xFF\xFF\xFF",
        b"\0\0\0\0",
        b"\0\0\0\x03",
        b"\0\x10\0\0",
        b"\0\0\0\x08\0\0\0\x09{}{}",
        b"\0\0\0\x06\x07\0\0\0{}",
        b"\0\0\0\x06\0\0\0\x02[]",
        b"\0\0\0\x06\0\0\0\x02{\"",
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for (i, bytes) in garbage.iter().enumerate() {
        let mut raw = setup.connect().await;
        raw.send(&[&request(ECHO, 5, b"before")[..], bytes].concat()).await;
        let before = raw.try_next().await.expect("the answer to the valid request");
        assert_eq!(before.frame().opaque, 5);
        assert!(raw.try_next().await.is_none(), "garbage {i}");
        setup.disconnects(i + 1).await;
    }
    assert_eq!(setup.server.metrics().faulted.get(), garbage.len() as u64);
}

#[tokio::test]
async fn other_protocols_are_refused() {
    // Shows that TLS and HTTP/2 are closed on their first bytes.
    let setup = Setup::new(Limits::default()).await;
    for start in [&b"\x16\x03\x01\x02\0\x01\0"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut raw = setup.connect().await;
        raw.send(start).await;
        assert!(raw.try_next().await.is_none());
    }
    until(|| setup.server.metrics().faulted.get() == 2).await;
}

#[tokio::test]
async fn a_proxy_names_the_client() {
    // Shows that a PROXY header, whole or in pieces, replaces the address that the handler sees.
    let setup = Setup::new(Limits::default()).await;
    let header = b"PROXY TCP4 10.0.0.9 10.0.0.1 4000 10911\r\n";
    for cut in [0, 5, 20] {
        let mut raw = setup.connect().await;
        raw.send(&header[..cut]).await;
        raw.send(&[&header[cut..], &request(ECHO, 1, b"x")[..]].concat()).await;
        assert_eq!(&raw.next().await.body()[..], b"x");
        let peer = setup.handler.peers.lock().last().unwrap().clone();
        assert_eq!(peer.remote(), "10.0.0.9:4000".parse().unwrap());
        assert!(peer.oneway(40, |_| {}, b""));
        assert_eq!(raw.next().await.frame().code, 40);
    }
}

#[tokio::test]
async fn a_peer_that_never_reads_is_not_read_from_and_harms_nobody() {
    // Shows that reading stops while answers are stuck, that others are served meanwhile, and that
    // the connection ends when nothing moves for the idle limit.
    let idle = Duration::from_millis(500);
    let setup = Setup::new(Limits { idle, ..Limits::default() }).await;
    let raw = setup.connect().await;
    let one = large(1, 4_000_000);
    let flood: Vec<u8> = one.iter().copied().cycle().take(one.len() * 400_000).collect();
    let (reader, mut writer) = raw.socket.into_split();
    let flooding = tokio::spawn(async move { writer.write_all(&flood).await });
    let metrics = setup.server.metrics();
    until(|| metrics.reads.get() > 0).await;
    let mut other = setup.connect().await;
    while metrics.faulted.get()
        + setup.handler.disconnects.load(std::sync::atomic::Ordering::SeqCst) as u64
        == 0
    {
        other.send(&request(ECHO, 1, b"")).await;
        other.next().await;
    }
    assert!(metrics.bytes_in.get() < 20_000_000, "{} bytes were read", metrics.bytes_in.get());
    assert!(flooding.await.unwrap().is_err());
    drop(reader);
}

#[tokio::test]
async fn a_large_request_without_memory_is_refused_and_the_connection_goes_on() {
    // Shows that a request that finds no memory is answered 2 with cause, value, limit and key while its
    // body is dropped, that small requests beside it are served, and that there is room again afterwards.
    let setup = small(Limits::default()).await;
    let pool = &setup.env.memory.requests;
    let holders = fill_requests(&setup, 4_000_000).await;
    assert!(!holders.is_empty() && pool.used() <= pool.limit());
    let mut raw = setup.connect().await;
    let frame = request(ECHO, 7, &[b'y'; 5_000_000]);
    let (mut early, mut oneway) = (frame.clone(), request(ECHO, 8, &[b'z'; 3_000_000]));
    // The flag is part of the header: 0 becomes 2.
    let flag = oneway.windows(8).position(|part| part == b"\"flag\":0").unwrap();
    oneway[flag + 7] = b'2';
    let late = early.split_off(4_000_000);
    raw.send(&early).await;
    let refused = raw.next().await;
    let remark = refused.frame().remark.unwrap().to_str().into_owned();
    assert_eq!((refused.frame().code, refused.frame().opaque), (SYSTEM_BUSY, 7));
    for part in ["[OVERLOAD]system busy", "arrived in part", "18874368", "memoryLimitBytes"] {
        assert!(remark.contains(part), "{remark}");
    }
    raw.send(&[&late[..], &oneway, &request(ECHO, 9, b"small")].concat()).await;
    let next = raw.next().await;
    assert_eq!((next.frame().opaque, &next.body()[..]), (9, &b"small"[..]));
    assert_eq!(setup.server.metrics().refused.get(), 2);
    drop(holders);
    until(|| pool.used() == 0).await;
    raw.send(&frame).await;
    assert_eq!(raw.next().await.body().len(), 5_000_000);
    assert_eq!(pool.used(), 0);
}

#[tokio::test]
async fn a_client_in_pieces_is_served_while_large_requests_are_refused() {
    // Shows that requests which come in small pieces still find memory when large ones find none.
    let setup = small(Limits::default()).await;
    let _holders = fill_requests(&setup, 2_000_000).await;
    let mut raw = setup.connect().await;
    let frame = request(ECHO, 1, &[b'x'; SMALL_BYTES / 2]);
    for piece in frame.chunks(1000) {
        let reads = setup.server.metrics().reads.get();
        raw.send(piece).await;
        until(|| setup.server.metrics().reads.get() > reads).await;
    }
    assert_eq!(raw.next().await.body().len(), SMALL_BYTES / 2);
}

#[tokio::test]
async fn one_byte_at_a_time_does_not_keep_a_connection_forever() {
    // Shows that a frame which never becomes whole ends its connection though bytes go on coming, and
    // that one which becomes whole in time, again and again, does not.
    let idle = Duration::from_millis(300);
    let setup = Setup::new(Limits { idle, ..Limits::default() }).await;
    let mut honest = setup.connect().await;
    let mut slow = setup.connect().await;
    let (metrics, frame) = (setup.server.metrics(), request(ECHO, 1, b"slow"));
    let mut endless = frame.iter().cycle();
    endless.next();
    slow.send(&10_000_u32.to_be_bytes()).await;
    while metrics.slow.get() == 0 {
        // A write may fail as soon as the server has closed.
        let _ = slow.socket.write_all(&[*endless.next().unwrap()]).await;
        let (start, end) = frame.split_at(frame.len() / 2);
        let reads = metrics.reads.get();
        honest.send(start).await;
        until(|| metrics.reads.get() > reads).await;
        honest.send(end).await;
        assert_eq!(&honest.next().await.body()[..], b"slow");
    }
    assert!(slow.try_next().await.is_none());
    until(|| metrics.connections.get() == 1).await;
    honest.send(&frame).await;
    honest.next().await;
}

#[tokio::test]
async fn who_says_nothing_is_closed() {
    // Shows that connections which never send, and such as stop in the middle of a frame, are closed after
    // the idle limit, whether or not the other end is still there.
    let idle = Duration::from_millis(200);
    let setup = Setup::new(Limits { idle, ..Limits::default() }).await;
    let mut silent = setup.connect().await;
    let mut half = setup.connect().await;
    half.send(&request(ECHO, 1, b"x")[..9]).await;
    until(|| setup.server.metrics().connections.get() == 2).await;
    assert!(silent.try_next().await.is_none());
    assert!(half.try_next().await.is_none());
    until(|| setup.server.metrics().connections.get() == 0).await;
    assert_eq!(setup.env.memory.requests.used(), 0);
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_over_all_connections() {
    // Shows that peers which do not read hold no more than the memory for answers: who would exceed it is
    // closed, others are served, and all of it is given back.
    let setup = small(Limits::default()).await;
    let pool = &setup.env.memory.answers;
    let mut raws = Vec::new();
    // More than the kernel's buffers take, each.
    let wanted = pool.limit() / 6_000_000 + 2;
    for n in 0..wanted {
        let mut raw = setup.connect().await;
        let before = pool.used();
        raw.send(&[large(1, 6_000_000), large(2, 6_000_000)].concat()).await;
        until(|| pool.used() != before || setup.server.metrics().faulted.get() > 0).await;
        assert!(pool.used() <= pool.limit(), "{} bytes after {n}", pool.used());
        raws.push(raw);
    }
    assert!(setup.server.metrics().faulted.get() > 0 && pool.refused() > 0);
    let mut other = setup.connect().await;
    other.send(&request(ECHO, 1, b"x")).await;
    other.next().await;
    drop(raws);
    until(|| pool.used() == 0).await;
}

#[tokio::test]
async fn what_waits_is_counted_until_it_is_answered() {
    // Shows that requests which wait for their answer are counted, and no longer when they are answered or
    // their connection ends.
    let setup = Setup::new(Limits::default()).await;
    let pool = &setup.env.memory.waiting;
    let (mut one, mut two) = (setup.connect().await, setup.connect().await);
    for raw in [&mut one, &mut two] {
        raw.send(&[request(PARK, 1, b""), request(PARK, 2, b"")].concat()).await;
    }
    until(|| pool.used() == 4 * wire::limits::LATER_BYTES).await;
    drop(two);
    until(|| pool.used() == 2 * wire::limits::LATER_BYTES).await;
    setup.handler.release.notify_waiters();
    one.next().await;
    one.next().await;
    until(|| pool.used() == 0).await;
}

#[tokio::test]
async fn awaited_answers_stay_where_they_are_while_memory_for_answers_is_short() {
    // Shows that a peer that does not read is given less of what has become ready while more than half of
    // the memory for answers is used, that the rest goes on waiting, and that all of it comes when it reads.
    let setup = small(Limits::default()).await;
    let (answers, waiting) = (&setup.env.memory.answers, &setup.env.memory.waiting);
    let mut hold = Hold::new(answers);
    hold.set(answers.limit() / 2 + 1);
    let mut raw = setup.connect().await;
    let requests: Vec<u8> = (0..20).flat_map(|n| sized(LARGE_LATER, n, 2_000_000)).collect();
    raw.send(&requests).await;
    until(|| answers.used() > hold.bytes()).await;
    let unsent = answers.used() - hold.bytes();
    assert!(unsent < 2_100_000, "{unsent} bytes");
    assert!(waiting.used() > 10 * wire::limits::LATER_BYTES, "{} bytes", waiting.used());
    for _ in 0..20 {
        assert_eq!(raw.next().await.body().len(), 2_000_000);
    }
    until(|| answers.used() == hold.bytes() && waiting.used() == 0).await;
}

#[tokio::test]
async fn what_is_pushed_to_a_peer_that_does_not_read_counts() {
    // Shows that frames pushed to a peer that has not read its answers count like these: beyond the memory
    // for them its connection is closed, and all is given back.
    let setup = small(Limits::default()).await;
    let answers = &setup.env.memory.answers;
    let mut hold = Hold::new(answers);
    let mut raw = setup.connect().await;
    // More than the kernel's buffers take.
    raw.send(&[request(ECHO, 1, b""), large(2, 6_000_000), large(3, 6_000_000)].concat()).await;
    until(|| answers.used() > 0).await;
    hold.set(answers.limit() / 4 * 3 - answers.used() - 1_000_000);
    let peer = setup.handler.peers.lock().last().unwrap().clone();
    while setup.server.metrics().faulted.get() == 0 {
        assert!(answers.used() <= answers.limit());
        peer.oneway(40, |_| {}, &[b'p'; 500_000]);
        tokio::task::yield_now().await;
    }
    assert!(answers.refused() > 0);
    until(|| answers.used() == hold.bytes()).await;
}
