//! What an append and a read cost: nanoseconds per message and write calls per message.
//!
//! `cargo run --release -p apogee-store --example append_cost [DIR [THREADS BATCH BODY]]`. Each
//! line appends 800,000 messages with asynchronous flush. Encoding and appending are CPU time of the
//! appending threads; "store CPU" is that of the store's own threads in the same time; the rate is by
//! the wall clock.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measuring program")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use env::Env;
use store::{Batch, Get, Keys, NewRecord, Queue, Store, StoreSettings, Tags, Want};
use wire::record::{PropertyCrc, RecordHead, RecordWriter};

const HEAD: RecordHead = RecordHead {
    queue_id: 0,
    flag: 0,
    sys_flag: 0,
    born_timestamp: 1,
    born_host: std::net::SocketAddr::V4(std::net::SocketAddrV4::new(
        std::net::Ipv4Addr::LOCALHOST,
        5000,
    )),
    store_host: std::net::SocketAddr::V4(std::net::SocketAddrV4::new(
        std::net::Ipv4Addr::LOCALHOST,
        10911,
    )),
    reconsume_times: 0,
    prepared_transaction_offset: 0,
};

fn fill(batch: &mut Batch, queue: &Arc<Queue>, count: usize, body: &[u8]) {
    for _ in 0..count {
        let unique = Some(&b"7F0000010000C3501234567890AB0001"[..]);
        let keys = Keys { unique, ..Keys::default() };
        let new = NewRecord { queue, tags: Tags::Code(7), keys, with_previous: false };
        let pushed = batch.push(new, |out| {
            let mut writer = RecordWriter::begin(out, &HEAD, queue.topic().as_bytes(), body)?;
            writer.properties().append("UNIQ_KEY", b"7F0000010000C3501234567890AB0001");
            writer.properties().append("CLUSTER", b"DefaultCluster");
            writer.finish(PropertyCrc::Absent)
        });
        pushed.expect("a small record encodes");
    }
}

/// Appends from `threads` threads; returns the time spent in encoding and in appending.
fn run(
    store: &Store,
    threads: usize,
    per_batch: usize,
    body: usize,
    total: usize,
) -> [Duration; 2] {
    let body = vec![b'x'; body];
    let times: Vec<[Duration; 2]> = std::thread::scope(|scope| {
        let work = |thread: usize| {
            let (store, body) = (store.clone(), &body);
            scope.spawn(move || {
                let queue = store.queue("measured", thread as u32);
                let mut batch = Batch::new();
                let (mut encoding, mut appending) = (Duration::ZERO, Duration::ZERO);
                for _ in 0..total / threads / per_batch {
                    let start = thread_ns();
                    fill(&mut batch, &queue, per_batch, body);
                    let filled = thread_ns();
                    let appended = wait(store.append(std::mem::take(&mut batch)));
                    appending += thread_ns() - filled;
                    encoding += filled - start;
                    batch = appended.into_batch();
                }
                [encoding, appending]
            })
        };
        let all: Vec<_> = (0..threads).map(work).collect();
        all.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    [times.iter().map(|t| t[0]).sum(), times.iter().map(|t| t[1]).sum()]
}

fn wait(append: store::Append) -> store::Appended {
    let result = match append.now() {
        Ok(result) => result,
        Err(pending) => {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(pending)
        }
    };
    result.expect("the disk takes it")
}

/// CPU time of this thread.
fn thread_ns() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Nanoseconds that the living threads of this process have run.
fn cpu_ns() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let ran = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    ran.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok()).sum()
}

fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("syscw: "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn main() {
    let root =
        std::env::args().nth(1).map_or_else(|| PathBuf::from("/tmp/append_cost"), PathBuf::from);
    println!(
        "threads batch body | encode ns | append ns | store CPU ns | writes per message | k msg/s"
    );
    let only: Vec<usize> = std::env::args().skip(2).filter_map(|arg| arg.parse().ok()).collect();
    for (threads, body) in [(1, 128), (1, 1024), (2, 128), (2, 1024)] {
        for per_batch in [1, 16, 64, 256] {
            if only.len() == 3 && only != [threads, per_batch, body] {
                continue;
            }
            let _ = std::fs::remove_dir_all(&root);
            let settings = StoreSettings { root: root.clone(), ..StoreSettings::default() };
            let store = Store::open(Env::real(), settings).expect("an empty directory opens");
            let total = if per_batch == 1 { 200_000 } else { 800_000 };
            run(&store, threads, per_batch, body, 10_000);
            let (writes, ran) = (written(), cpu_ns());
            let start = Instant::now();
            let [encode, append] = run(&store, threads, per_batch, body, total);
            let per = |time: Duration| time.as_nanos() as f64 / total as f64;
            let writes = (written() - writes) as f64 / total as f64;
            let others = (cpu_ns() - ran) / total as f64;
            println!(
                "{threads:7} {per_batch:5} {body:4} | {:9.0} | {:9.0} | {others:12.0} | {writes:18.3} | {:8.0}",
                per(encode),
                per(append),
                total as f64 / start.elapsed().as_micros() as f64 * 1000.0
            );
            if per_batch == 64 {
                read(&store, threads, body);
            }
            store.close();
        }
    }
    let _ = std::fs::remove_dir_all(&root);
}

fn read(store: &Store, threads: usize, body: usize) {
    let queue = store.queue("measured", 0);
    let want = Want { max_messages: 32, max_bytes: 256 << 10 };
    let (mut offset, mut gets, mut cold) = (0, 0u32, 0u32);
    let start = Instant::now();
    while offset + 32 < queue.max_offset() {
        match store.get(&queue, offset, want, &|_| true).expect("reads work") {
            Get::Ready(got) => offset = got.next,
            Get::Cold(_) => {
                cold += 1;
                offset += 32;
            }
        }
        gets += 1;
    }
    let each = start.elapsed().as_nanos() as f64 / f64::from(gets);
    println!("  get of 32 x {body} B written by {threads}: {each:.0} ns, {cold} of {gets} cold");
}
