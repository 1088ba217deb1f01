//! Connections that send what is no request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use apogee_e2e::cases::counted;
use apogee_e2e::frame::{Connection, encode};
use apogee_e2e::scrape::get;
use apogee_e2e::usage;

use crate::{SETTLE, SLACK_BYTES, eventually, finish, id, memory_is_back, share, start};

/// Connections that are open at once.
const AT_ONCE: usize = 1000;
const LIMIT: Duration = Duration::from_secs(20);

/// Shows that 100,000 connections with garbage to every port, at most 1,000 at a time, leave memory and
/// open files where they were, and that the ports serve afterwards.
pub(crate) fn connections(dir: &Path, percent: u32) -> Result<()> {
    let server = start(dir, &[])?;
    let id = id(&server)?;
    let ports = [server.namesrv(), server.broker(), server.vip(), server.web()];
    // What is allocated once is there before it is measured.
    for port in ports {
        round(port, AT_ONCE)?;
    }
    let files = usage::open_files(id)?;
    let before = settled(id)?;
    let count = share(100_000, percent).next_multiple_of(AT_ONCE);
    for _ in 0..count / AT_ONCE {
        for port in ports {
            round(port, AT_ONCE)?;
        }
    }
    let after = memory_is_back(id, before, SLACK_BYTES)?;
    eventually(SETTLE, || {
        let now = usage::open_files(id)?;
        ensure!(now <= files, "{now} open files, {files} before");
        Ok(())
    })?;
    for port in [server.namesrv(), server.broker(), server.vip()] {
        let answer = Connection::open(port, LIMIT)?.call(9999, &[], &[])?;
        ensure!(answer.code == 3, "{answer:?}");
    }
    let answer = get(server.web(), "/health/ready")?;
    ensure!(answer.status == 200, "{answer:?}");
    counted(format!(
        "{count} connections with garbage to each of {} ports: {} KiB before, {} KiB after",
        ports.len(),
        before >> 10,
        after >> 10
    ));
    finish(server)
}

/// Memory once it does not shrink any more.
fn settled(id: u32) -> Result<u64> {
    let mut last = usage::own_memory(id)?;
    eventually(SETTLE, || {
        std::thread::sleep(Duration::from_millis(500));
        let now = usage::own_memory(id)?;
        let shrinks = now < last;
        last = now;
        ensure!(!shrinks, "still shrinking");
        Ok(())
    })?;
    Ok(last)
}

/// Opens `count` connections, says something on each, and ends them one way or the other.
fn round(port: SocketAddr, count: usize) -> Result<()> {
    let kinds = garbage()?;
    let mut open = Vec::with_capacity(count);
    for number in 0..count {
        let stream = TcpStream::connect_timeout(&port, LIMIT).context("connecting")?;
        stream.set_read_timeout(Some(LIMIT))?;
        let (bytes, ends) = &kinds[number % kinds.len()];
        // It may be closed already, by the first bytes.
        let _ = (&stream).write_all(bytes);
        open.push((stream, *ends));
    }
    for (number, (mut stream, ends)) in open.into_iter().enumerate() {
        if ends {
            let mut rest = Vec::new();
            let end = stream.read_to_end(&mut rest);
            let reset =
                |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
            let closed = end.as_ref().map_or_else(reset, |_| true);
            ensure!(closed, "kind {} was not closed: {end:?}", number % kinds.len());
        }
    }
    Ok(())
}

/// What is said, and whether the server must end the connection for it.
fn garbage() -> Result<Vec<(Vec<u8>, bool)>> {
    let noise = |len: usize| (0..len).map(|n| (n * n % 251) as u8 | 2).collect::<Vec<u8>>();
    let mut promise = (12_u32 << 20).to_be_bytes().to_vec();
    promise.extend([0, 0, 0, 100]);
    promise.extend(noise(3000));
    Ok(vec![
        (Vec::new(), false),
        (noise(5000), true),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xFC\x03\x03".to_vec(), true),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), true),
        (b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(), true),
        (b"\r\n\r\n\0\r\nQUIT\n\x11\x11\xFF\xFF".to_vec(), true),
        (b"PROXY TCP4 nonsense\r\n".to_vec(), true),
        (vec![0xFF; 64], true),
        (encode(b"nonsense", &noise(100))?, true),
        (encode(br#"{"code":310,"#, &noise(100))?, true),
        // Never whole: a length, and a part of a frame.
        (vec![0, 0], false),
        (promise, false),
        (encode(br#"{"code":310,"opaque":1}"#, &[b'x'; 60_000])?[..50_000].to_vec(), false),
        // Whole, and refused by an answer.
        (encode(br#"{"code":9999,"opaque":1}"#, &noise(100))?, false),
        (encode(br#"{"code":34,"opaque":1}"#, b"{\"clientID\":[[[[[[")?, false),
        (encode(br#"{"code":310,"opaque":1,"extFields":{"b":"no topic"}}"#, &noise(9000))?, false),
    ])
}
