//! A small producer over raw sockets, for tests that kill the server under it.
//!
//! Every message has a key of its own and is sent once, never again: after any crash it is stored
//! at most once, and exactly once if it was acknowledged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::frame::{Connection, Frame};
use crate::record::Record;
use crate::view::Queue;

/// Send with the short field names.
const SEND_MESSAGE_V2: i64 = 310;
const LIMIT: Duration = Duration::from_secs(20);

/// An acknowledged message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acked {
    /// Its key.
    pub key: String,
    /// Queue that the broker named.
    pub queue: i64,
    /// Queue offset that the broker named.
    pub offset: i64,
    /// Log offset, by the id that the broker gave it.
    pub physical: u64,
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Created by the first message.
    pub topic: String,
    /// Keys are this, a connection number and a count.
    pub prefix: String,
    /// Messages go to these in turn.
    pub queues: i32,
    /// One thread each.
    pub connections: usize,
    /// Requests that wait for their answer, per connection.
    pub in_flight: usize,
    /// Size of each body in bytes.
    pub body_bytes: usize,
}

impl Shape {
    /// Some load on four queues of `topic`.
    pub fn new(topic: &str, prefix: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            prefix: prefix.to_owned(),
            queues: 4,
            connections: 2,
            in_flight: 16,
            body_bytes: 300,
        }
    }
}

/// The body that belongs to a key; the Java client programs check the same.
pub fn body_of(key: &str, bytes: usize) -> Vec<u8> {
    key.bytes().chain([b' ']).cycle().take(bytes).collect()
}

/// Sends `count` messages one after another; all must be acknowledged.
pub fn send(broker: SocketAddr, shape: &Shape, count: usize) -> Result<Vec<Acked>> {
    let mut connection = Connection::open(broker, LIMIT)?;
    (0..count)
        .map(|number| {
            let key = format!("{}-{number}", shape.prefix);
            let opaque = send_one(&mut connection, shape, number, &key)?;
            acknowledged(&connection.answer_to(opaque)?, key)
        })
        .collect()
}

/// Checks that each acknowledged message is where it was acknowledged, whole, and that no message
/// is stored twice; how many messages there are, acknowledged or not.
pub fn check(queues: &BTreeMap<i32, Queue>, acked: &[Acked], body_bytes: usize) -> Result<usize> {
    let mut stored: BTreeMap<&str, &Record> = BTreeMap::new();
    for record in queues.values().flat_map(|queue| &queue.records) {
        let key = record.property("KEYS")?;
        if let Some(first) = stored.insert(key, record) {
            bail!("{key} is stored at {} and {}", place(first), place(record));
        }
        ensure!(record.body == body_of(key, body_bytes), "{key} has another body");
    }
    for one in acked {
        let record = stored.get(&*one.key).with_context(|| format!("lost: {one:?}"))?;
        let same = i64::from(record.queue) == one.queue && record.queue_offset == one.offset;
        ensure!(same, "moved: {one:?} is at {}", place(record));
    }
    Ok(stored.len())
}

fn place(record: &Record) -> String {
    format!("{} queue {} offset {}", record.topic, record.queue, record.queue_offset)
}

/// A load that runs until it is told to stop or its connections break.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    acked: Arc<Mutex<Vec<Acked>>>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts one thread per connection.
    pub fn start(broker: SocketAddr, shape: &Shape) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            count: Arc::default(),
            acked: Arc::default(),
            threads: Vec::new(),
        };
        for number in 0..shape.connections {
            let (stop, count, acked) = (&load.stop, &load.count, &load.acked);
            let sender = Sender {
                shape: Shape { prefix: format!("{}-{number}", shape.prefix), ..shape.clone() },
                stop: Arc::clone(stop),
                count: Arc::clone(count),
                acked: Arc::clone(acked),
            };
            load.threads.push(thread::spawn(move || sender.run(broker)));
        }
        load
    }

    /// How many messages have been acknowledged so far.
    pub fn acked(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until `count` messages are acknowledged; an error if all connections end before.
    pub fn wait_for(&self, count: usize) -> Result<()> {
        while self.acked() < count {
            let over = self.threads.iter().all(JoinHandle::is_finished);
            ensure!(!over, "the load ended after {} of {count}", self.acked());
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// After the server was killed: what it had acknowledged.
    pub fn after_kill(self) -> Result<Vec<Acked>> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A broken connection is what a kill looks like from here.
            let _ = thread.join().map_err(|_| anyhow!("a sender panicked"))?;
        }
        Ok(std::mem::take(&mut self.acked.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

struct Sender {
    shape: Shape,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    acked: Arc<Mutex<Vec<Acked>>>,
}

impl Sender {
    fn run(self, broker: SocketAddr) -> Result<()> {
        let mut connection = Connection::open(broker, LIMIT)?;
        let mut waiting = BTreeMap::new();
        let mut number = 0;
        loop {
            while waiting.len() < self.shape.in_flight && !self.stop.load(Ordering::Relaxed) {
                let key = format!("{}-{number}", self.shape.prefix);
                let opaque = send_one(&mut connection, &self.shape, number, &key)?;
                waiting.insert(opaque, key);
                number += 1;
            }
            if waiting.is_empty() {
                return Ok(());
            }
            let answer = connection.read()?;
            let key = waiting.remove(&answer.opaque).context("an answer to nothing")?;
            let one = acknowledged(&answer, key)?;
            self.acked.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn acknowledged(answer: &Frame, key: String) -> Result<Acked> {
    ensure!(answer.code == 0, "send of {key}: {} {}", answer.code, answer.remark);
    // Address in 16 hexadecimal digits, then the log offset in 16.
    let id = answer.fields.get("msgId").context("no field msgId")?;
    let physical = id.get(16..).context("short msgId")?;
    Ok(Acked {
        key,
        queue: answer.number("queueId")?,
        offset: answer.number("queueOffset")?,
        physical: u64::from_str_radix(physical, 16).with_context(|| format!("msgId {id}"))?,
    })
}

fn send_one(connection: &mut Connection, shape: &Shape, number: usize, key: &str) -> Result<i64> {
    let queue = (number % usize::try_from(shape.queues)?).to_string();
    let queues = shape.queues.to_string();
    let born = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis().to_string();
    let tag = if number.is_multiple_of(2) { "TagA" } else { "TagB" };
    let properties = format!(
        "KEYS\u{1}{key}\u{2}TAGS\u{1}{tag}\u{2}UNIQ_KEY\u{1}unique-{key}\u{2}WAIT\u{1}true\u{2}\
         fill\u{1}text\u{2}size\u{1}{}\u{2}note\u{1}größer ✓\u{2}",
        shape.body_bytes
    );
    let fields = [
        ("a", "load"),
        ("b", &*shape.topic),
        ("c", "TBW102"),
        ("d", &*queues),
        ("e", &*queue),
        ("f", "0"),
        ("g", &*born),
        ("h", "0"),
        ("i", &*properties),
        ("j", "0"),
        ("k", "false"),
        ("m", "false"),
    ];
    connection.send(SEND_MESSAGE_V2, &fields, &body_of(key, shape.body_bytes))
}
