//! What a broken or hostile peer can do to a server: be closed.
#![allow(clippy::disallowed_methods, reason = "tests open sockets of their own")]

mod common;

use std::time::Duration;

use apogee_net::Limits;
use common::{ECHO, Setup, large, request, until};
use tokio::io::AsyncWriteExt;

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
