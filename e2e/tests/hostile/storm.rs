//! More large requests at a time than there is memory for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use apogee_e2e::cases::counted;
use apogee_e2e::frame::encode;
use apogee_e2e::load::{self, Load, Shape};
use apogee_e2e::usage;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{LARGE_SLACK_BYTES, finish, id, memory_is_back, share, start};

/// All pools of the server, in bytes: the least there may be.
const MEMORY: u64 = 64 << 20;
/// What a server may use besides, while it works on requests: buffers of its threads, and those that were
/// freed and that the allocator has not given back yet; a flood frees many, of every size up to 4 MiB.
const WORK: u64 = 128 << 20;
const BODY_BYTES: usize = 4 << 20;
const CONNECTIONS: usize = 1000;

/// Shows that of 10,000 sends of 4 MiB on 1,000 connections at once those that find no memory are answered
/// 2 with cause, value, limit and key, that memory stays near the limit, that a producer beside them goes
/// on without an error, and that memory is back where it was when they are over.
pub(crate) fn parallel_sends(dir: &Path, percent: u32) -> Result<()> {
    let memory = MEMORY.to_string();
    let server = start(dir, &[("memoryLimitBytes", &memory), ("maxMessageSize", "4194304")])?;
    let (id, broker) = (id(&server)?, server.broker());
    let shape = Shape { connections: 1, in_flight: 1, ..Shape::new("beside", "beside") };
    load::send(broker, &shape, 100)?;
    let sends = share(10_000, percent).max(CONNECTIONS / 2);
    let connections = CONNECTIONS.min(sends);
    storm(broker, connections, connections)?;
    let before = usage::own_memory(id)?;

    let beside = Load::start(broker, &shape);
    beside.wait_for(10)?;
    let (done, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let watcher = thread::spawn({
        let (done, peak) = (Arc::clone(&done), Arc::clone(&peak));
        move || -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(usage::own_memory(id)?, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        }
    });
    let acked = beside.acked();
    let answers = storm(broker, connections, sends);
    done.store(true, Ordering::Relaxed);
    watcher.join().map_err(|_| anyhow!("the watcher panicked"))??;
    let answers = answers?;
    let meanwhile = beside.acked() - acked;
    // Goes on to the end: what it sent and did not get acknowledged would be an error here.
    beside.wait_for(acked + meanwhile + 10)?;
    beside.after_kill()?;
    let peak = peak.load(Ordering::Relaxed);
    ensure!(meanwhile > 0, "the producer beside stood still");
    ensure!(
        peak < MEMORY + WORK,
        "{peak} bytes of memory at most, the limit is {MEMORY} and {WORK}"
    );
    ensure!(answers.values().sum::<usize>() == sends, "{answers:?}");
    ensure!(answers.keys().all(|code| [2, 29].contains(code)), "{answers:?}");
    ensure!(answers.get(&2).is_some_and(|refused| *refused > 0), "{answers:?}");
    let after = memory_is_back(id, before, LARGE_SLACK_BYTES)?;
    counted(format!(
        "{sends} sends of 4 MiB on {connections} connections, answers by code {answers:?}, {meanwhile} sends beside \
         them; memory {} MiB before, {} MiB at most, {} MiB after",
        before >> 20,
        peak >> 20,
        after >> 20
    ));
    finish(server)
}

/// Sends all at once; how many answers had which code. No topic has such a name: what finds room is refused
/// with 29 when all of it is there, so that it does not fill the disk.
fn storm(broker: SocketAddr, connections: usize, sends: usize) -> Result<BTreeMap<i64, usize>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let body: Arc<[u8]> = vec![b'x'; BODY_BYTES].into();
    let left = Arc::new(AtomicUsize::new(sends));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..connections)
            .map(|_| tokio::spawn(sender(broker, Arc::clone(&body), Arc::clone(&left))))
            .collect();
        let mut counts = BTreeMap::new();
        for task in tasks {
            for code in task.await?? {
                *counts.entry(code).or_default() += 1;
            }
        }
        Ok(counts)
    })
}

/// Sends one after the other until none are left.
async fn sender(broker: SocketAddr, body: Arc<[u8]>, left: Arc<AtomicUsize>) -> Result<Vec<i64>> {
    let mut socket = TcpStream::connect(broker).await?;
    let mut codes = Vec::new();
    let take = |left: usize| left.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let header = json!({ "code": 310, "opaque": codes.len(), "flag": 0, "version": 493,
            "extFields": { "a": "storm", "b": "no topic", "c": "TBW102", "d": "1", "e": "0", "f": "0",
                "g": "0", "h": "0", "i": "", "j": "0", "k": "false", "m": "false" } });
        let head = encode(header.to_string().as_bytes(), &[])?;
        let total = u32::try_from(head.len() - 4 + body.len())?;
        let (reader, mut writer) = socket.split();
        let write = async {
            writer.write_all(&total.to_be_bytes()).await?;
            writer.write_all(&head[4..]).await?;
            writer.write_all(&body).await
        };
        let (written, answer) = tokio::join!(write, read(reader));
        written?;
        let (code, remark) = answer?;
        let full = ["[OVERLOAD]", "bytes, the limit is", "memoryLimitBytes"];
        ensure!(code != 2 || full.iter().all(|part| remark.contains(part)), "{remark}");
        codes.push(code);
    }
    Ok(codes)
}

/// Code and remark of the next answer.
async fn read(mut reader: impl tokio::io::AsyncRead + Unpin) -> Result<(i64, String)> {
    let mut frame = vec![0; reader.read_u32().await? as usize];
    reader.read_exact(&mut frame).await?;
    let header = u32::from_be_bytes([0, frame[1], frame[2], frame[3]]) as usize;
    let header: serde_json::Value = serde_json::from_slice(&frame[4..4 + header])?;
    let code = header["code"].as_i64().ok_or_else(|| anyhow!("no code in {header}"))?;
    Ok((code, header["remark"].as_str().unwrap_or_default().to_owned()))
}
