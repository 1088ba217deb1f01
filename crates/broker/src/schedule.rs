//! Delivery of delayed messages: what lies in `SCHEDULE_TOPIC_XXXX` is stored again under its real topic when it is
//! due (broker-semantics §5; `config/delayOffset.json`).
//!
//! One task looks after all levels. Each level is a queue in order of delivery time, so only its head matters; the
//! time is the unit's tags code. A delivery is an ordinary append, and progress moves only behind it: a crash
//! delivers again, at most the messages of one `flushDelayOffsetInterval`, and never loses one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use env::Stop;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use store::{Batch, Get, GotStatus, Want};
use wire::body::DataVersion;
use wire::props::{PropertiesMut, names};
use wire::record::{self, Entry, RecordHead, RecordView};

use crate::Broker;
use crate::message::{self, Origin, Outgoing};
use crate::metrics::{Arriving, MessageType};
use crate::persist;
use crate::reply::Refusal;
use crate::topic::{RETRY_PREFIX, Topic, bump};

/// Pause between looks at the heads of the levels.
const TICK: Duration = Duration::from_millis(100);
/// Pause after a delivery failed.
const RETRY: Duration = Duration::from_secs(1);
/// Messages delivered with one append.
const DELIVER_MAX: u32 = 32;
/// Bytes delivered with one append.
const DELIVER_BYTES: u32 = 1 << 20;

/// How far each level is delivered.
#[derive(Default)]
pub struct Delays {
    next: Mutex<BTreeMap<i32, u64>>,
    version: Mutex<DataVersion>,
    dirty: AtomicBool,
}

impl Delays {
    /// Offset of the first message of `level` that is not delivered yet.
    pub fn next(&self, level: i32) -> u64 {
        self.next.lock().get(&level).copied().unwrap_or(0)
    }

    fn advance(&self, level: i32, next: u64) {
        self.next.lock().insert(level, next);
        self.mark_dirty();
    }

    /// Whether something changed since the last call, and clears the mark.
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }

    /// Marks the table as changed.
    pub fn mark_dirty(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// The text of `delayOffset.json`.
    pub fn to_json(&self, now_ms: i64) -> Vec<u8> {
        bump(&mut self.version.lock(), now_ms);
        self.text()
    }

    /// The same text as it was written last, but with what has changed since (45).
    pub fn text(&self) -> Vec<u8> {
        let offsets: Map<String, Value> = self
            .all()
            .into_iter()
            .map(|(level, next)| (level.to_string(), Value::from(next)))
            .collect();
        serde_json::json!({ "dataVersion": *self.version.lock(), "offsetTable": offsets })
            .to_string()
            .into_bytes()
    }

    /// Levels that were delivered from, and how far.
    pub fn all(&self) -> BTreeMap<i32, u64> {
        self.next.lock().clone()
    }

    /// Reads the text of `delayOffset.json`, ours or Java's.
    pub fn load(&self, text: &[u8]) -> Result<(), wire::body::BodyError> {
        let file = wire::body::lenient::parse(text)?;
        let mut next = self.next.lock();
        for (level, offset) in
            file.get("offsetTable").and_then(Value::as_object).into_iter().flatten()
        {
            if let (Ok(level), Some(offset)) = (level.parse(), offset.as_u64()) {
                next.insert(level, offset);
            }
        }
        Ok(())
    }
}

/// The task: delivers what is due until told to stop.
pub async fn run(broker: Broker, stop: Stop) {
    let levels = i32::try_from(broker.store.delays().count()).unwrap_or(i32::MAX);
    while !stop.is_stopped() {
        let (mut more, mut failed) = (false, false);
        // In turns, so that a level with much to deliver holds up no other.
        for level in 1..=levels {
            if stop.is_stopped() {
                break;
            }
            match deliver(&broker, level).await {
                Ok(turn) => more |= turn == Turn::More,
                Err(error) => {
                    tracing::warn!(level, %error, "delayed messages cannot be delivered, trying again");
                    failed = true;
                }
            }
        }
        // What failed is not tried at once because others get on.
        let pause = match (failed, more) {
            (true, _) => RETRY,
            (false, true) => {
                tokio::task::yield_now().await;
                continue;
            }
            (false, false) => TICK,
        };
        tokio::select! {
            () = broker.env.clock.sleep(pause) => {}
            () = stop.stopped() => {}
        }
    }
    // What was delivered last would be delivered again after the next start.
    let saver = broker.clone();
    if let Ok(saved) = broker.store.background(move |_| persist::save_delay(&saver)) {
        saved.await;
    }
}

/// What a level's turn left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing that is due.
    Done,
    /// Maybe more that is due.
    More,
}

/// Delivers some of what is due in one level now.
pub(crate) async fn deliver(broker: &Broker, level: i32) -> Result<Turn, Refusal> {
    let topic = broker.schedule_topic();
    let Some(queue) = topic.queue(&broker.store, level - 1) else { return Ok(Turn::Done) };
    let (next, max) = (broker.delays.next(level), queue.max_offset());
    if next > max {
        // The file is synced by itself, and the end of the log may have been lost in a power cut.
        tracing::warn!(level, from = next, to = max, "the end of the delayed messages was lost");
        broker.delays.advance(level, max);
    }
    let from = broker.delays.next(level).max(queue.min_offset());
    if from >= queue.max_offset() {
        return Ok(Turn::Done);
    }
    // A time further ahead than the level's own delay means that the clock went back or the levels were
    // shortened: such a message is due now.
    let now = broker.env.clock.wall_ms();
    let latest = broker.store.delays().due_ms(level, now);
    let due = |at: i64| at <= now || at > latest;
    let undue = AtomicBool::new(false);
    let accept = |at: i64| {
        let accepted = !undue.load(Ordering::Relaxed) && due(at);
        undue.fetch_or(!accepted, Ordering::Relaxed);
        accepted
    };
    let want = Want { max_messages: DELIVER_MAX, max_bytes: DELIVER_BYTES };
    let got = match broker.store.get(queue, from, want, &accept)? {
        Get::Ready(got) => got,
        Get::Cold(cold) => cold.await?,
    };
    // Up to the first message that is not due: what lies before it is delivered now, or gone from the log.
    let next = got.rejected.unwrap_or(got.next);
    match got.status {
        GotStatus::Again => return Ok(Turn::More),
        GotStatus::Found => append(broker, &got.slices).await?,
        GotStatus::MessageWasRemoving if next > from => {}
        GotStatus::OffsetFoundNull if next > from => {
            tracing::warn!(
                level,
                from,
                to = next,
                "consume queue entries of delayed messages are missing"
            );
        }
        _ => return Ok(Turn::Done),
    }
    broker.delays.advance(level, next);
    Ok(Turn::More)
}

/// Stores again what `slices` hold: records back to back.
async fn append(broker: &Broker, slices: &[Bytes]) -> Result<(), Refusal> {
    let (mut batch, mut arriving) = (Batch::new(), Arriving::default());
    for view in slices.iter().flat_map(|slice| records(slice)) {
        let before = batch.bytes();
        match restore(broker, &mut batch, &view) {
            Ok(topic) => {
                let bytes = batch.bytes() - before;
                arriving.add(&topic, MessageType::Delay, 1, bytes);
            }
            // The topic was deleted, or the record cannot be stored: it would block its level forever.
            Err(refusal) => tracing::warn!(
                offset = view.physical_offset(),
                %refusal,
                "a delayed message cannot be delivered and is dropped"
            ),
        }
    }
    if !batch.is_empty() {
        let (messages, bytes) = (batch.len(), batch.bytes());
        // Progress must not outlive what it stands for.
        let appended = broker.store.append(batch).await?;
        broker.count_stored(&appended, &mut arriving, broker.env.clock.mono());
        broker.metrics.delivered(messages, bytes);
        broker.stored(appended.end).await?;
    }
    Ok(())
}

/// The records that lie back to back in a slice of the log.
fn records(slice: &[u8]) -> impl Iterator<Item = RecordView<'_>> {
    let mut rest = slice;
    std::iter::from_fn(move || {
        let Ok(Entry::Record(view)) = record::parse(rest) else { return None };
        rest = &rest[view.size()..];
        Some(view)
    })
}

/// Encodes the record again, under its real topic, and returns that.
fn restore(
    broker: &Broker,
    batch: &mut Batch,
    view: &RecordView<'_>,
) -> Result<Arc<Topic>, Refusal> {
    let text = |name| {
        wire::props::get(view.properties(), name).and_then(|value| std::str::from_utf8(value).ok())
    };
    let name = text(names::REAL_TOPIC).unwrap_or_default();
    let queue_id: i32 = text(names::REAL_QUEUE_ID).and_then(|id| id.parse().ok()).unwrap_or(0);
    let topic = real_topic(broker, name)?;
    // The topic may have lost queues since.
    let queue_id = match (0..topic.queue_count()).contains(&queue_id) {
        true => queue_id,
        false => broker.env.rng.below(topic.config.write_queue_nums.max(1) as u64) as i32,
    };
    let mut properties = BytesMut::from(view.properties());
    PropertiesMut::new(&mut properties, 0).remove(names::CRC32);
    let without_wait = properties.clone();
    message::set_property(&mut properties, names::WAIT, b"false");
    if properties.len() > i16::MAX as usize {
        // It says nothing that matters here.
        properties = without_wait;
    }
    let head = RecordHead {
        queue_id,
        flag: view.flag(),
        sys_flag: view.sys_flag(),
        born_timestamp: view.born_timestamp(),
        born_host: view.born_host(),
        store_host: broker.store_host,
        reconsume_times: view.reconsume_times(),
        prepared_transaction_offset: view.prepared_transaction_offset(),
    };
    let message = Outgoing {
        topic: &topic,
        head,
        body: view.body(),
        properties: &mut properties,
        with_previous: false,
    };
    message::encode(broker, batch, message, Origin::Due)?;
    Ok(topic)
}

/// The topic that a delayed message is for. A group's retries go on when their topic was deleted: the group's next
/// heartbeat creates it again.
fn real_topic(broker: &Broker, name: &str) -> Result<Arc<Topic>, Refusal> {
    let topic = match (broker.topics.get(name), name.strip_prefix(RETRY_PREFIX)) {
        (None, Some(group)) => match broker.groups.get(group) {
            Some(group) => broker.create_group_topic(name, group.retry_queue_nums.max(1), false)?,
            None => None,
        },
        (topic, _) => topic,
    };
    topic.ok_or_else(|| Refusal::NoTopic(name.to_owned()))
}
