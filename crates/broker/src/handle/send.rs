//! Sends (10, 310, 320): check, encode, append, answer.
//!
//! All sends of one read share one [`Pass`]: [`stage`] checks a request and encodes its record straight into the
//! pass's batch, [`finish`] appends the batch and answers every request of it. A send that must wait for something
//! else first (it created its topic, and the name servers must know) gets a pass of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use env::memory::Full;
use futures_util::FutureExt;
use store::{AppendError, Appended, Batch, Durability};
use wire::frame::ReplyTo;
use wire::header::SendHeader;
use wire::ids::OffsetMsgId;
use wire::record::RecordHead;
use wire::{Frame, FrameWriter, Peer, Replies, batch, reply_codes as code};

use crate::handle::place::{Place, place};
use crate::message::{self, Encoded, Origin, Outgoing, UniqueKey};
use crate::metrics::{self as rpc, Arriving, MessageType};
use crate::reply::{self, Refusal};
use crate::topic::{DLQ_PREFIX, RETRY_PREFIX, Topic};
use crate::{Broker, limits};

/// The version from which on a client's `maxReconsumeTimes` counts (V3_4_9).
const RESPECTS_MAX_RECONSUME: i32 = 121;
/// How long an answer waits for the name servers to learn of a topic that the send created.
const REGISTER_WAIT: Duration = Duration::from_secs(1);

/// The sends of one read, appended together. Its buffers are used again for the next read.
#[derive(Default)]
pub(crate) struct Pass {
    batch: Batch,
    sends: Vec<Staged>,
    arriving: Arriving,
    /// When the read was taken up, monotonic.
    pub(crate) started: Duration,
    /// Messages among them that are not for a topic of the system.
    counted: usize,
    /// The topic of the previous send: most reads carry one topic only.
    topic: Option<Arc<Topic>>,
    properties: BytesMut,
    /// `maxMessageSize` as it is for this read.
    pub(crate) max_body: usize,
    /// Set if there is no memory for sends that have to wait.
    pub(crate) full: Option<Full>,
}

/// One request whose records are in the batch.
struct Staged {
    /// Whom to answer; one-way requests are not answered.
    to: Option<ReplyTo>,
    /// Request code.
    code: i32,
    queue_id: i32,
    /// Records of the batch that belong to it, in order.
    records: usize,
    unique_key: UniqueKey,
    /// Whether the answer waits for durability, where the store syncs.
    waits: bool,
}

/// Where a send goes once its topic, queue and retries are looked at.
struct Target {
    topic: Arc<Topic>,
    queue_id: i32,
    /// A given-up retry: whatever delay it asks for does not apply.
    dead: bool,
    /// As in [`Place`].
    created: bool,
}

/// Checks one send and puts its records into `pass`, or, if its topic was created by it, into one of its own that is
/// appended when the name servers know the topic. A one-way send is stored at once all the same: what waits ends with
/// its connection, and whoever sends so may leave as soon as it has written.
pub(crate) fn send(
    broker: &Broker,
    peer: &Peer,
    frame: &Frame<'_>,
    header: &SendHeader<'_>,
    pass: &mut Pass,
    out: &mut Replies,
) -> Result<(), Refusal> {
    if let Some(full) = pass.full {
        broker.env.memory.waiting.count_refusal();
        return Err(full.into());
    }
    let target = target(broker, frame, header, pass.topic.take())?;
    if !target.created || frame.is_oneway() {
        let encoded = encode(broker, peer, frame, header, &target, pass);
        if target.created {
            broker.announce();
        }
        pass.topic = (!target.dead && !target.created).then_some(target.topic);
        return encoded;
    }
    let (max_body, started) = (pass.max_body, pass.started);
    let mut own = Pass { max_body, started, ..Pass::default() };
    encode(broker, peer, frame, header, &target, &mut own)?;
    let bytes = own.batch.held();
    let broker = broker.clone();
    let later = Box::pin(async move {
        // Nobody would find the message after a crash that lost its topic.
        if let Err(refusal) = broker.persister.round().await {
            let mut out = Replies::default();
            refuse(&broker, own, &refusal, &mut out);
            return out;
        }
        // A name server that cannot be reached must not keep the message from being stored.
        let _ = broker.env.clock.timeout(REGISTER_WAIT, broker.registered()).await;
        let mut out = Replies::default();
        finish(&broker, own, &mut out);
        out
    });
    out.later_holding(bytes, later);
    Ok(())
}

fn target(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &SendHeader<'_>,
    previous: Option<Arc<Topic>>,
) -> Result<Target, Refusal> {
    let Place { topic, queue_id, created } = place(broker, header, previous)?;
    match topic.config.topic_name.strip_prefix(RETRY_PREFIX) {
        Some(group) => retry_target(broker, frame, header, group, &topic, queue_id),
        None => Ok(Target { topic, queue_id, dead: false, created }),
    }
}

/// A consumer sends a message to its retry topic itself when it cannot send it back (36), or gives it up
/// (broker-semantics §4.2).
fn retry_target(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &SendHeader<'_>,
    group: &str,
    topic: &Arc<Topic>,
    queue_id: i32,
) -> Result<Target, Refusal> {
    let now_ms = broker.env.clock.wall_ms();
    let config = broker.groups.get_or_create(group, now_ms);
    let config = config.ok_or_else(|| Refusal::NoGroup(group.to_owned()))?;
    let asked = header.max_reconsume_times.filter(|_| frame.version >= RESPECTS_MAX_RECONSUME);
    let max = asked.unwrap_or(config.retry_max_times);
    if header.reconsume_times <= max && !broker.locks.any_live(group, broker.env.clock.mono()) {
        return Ok(Target { topic: Arc::clone(topic), queue_id, dead: false, created: false });
    }
    let name = format!("{DLQ_PREFIX}{group}");
    let limit = broker.settings().metrics_label_sets;
    broker.metrics.dead_letter(group, &topic.config.topic_name, limit);
    let topic = broker.create_group_topic(&name, 1, false)?.ok_or(Refusal::NoTopic(name))?;
    Ok(Target { topic, queue_id: 0, dead: true, created: false })
}

fn encode(
    broker: &Broker,
    peer: &Peer,
    frame: &Frame<'_>,
    header: &SendHeader<'_>,
    target: &Target,
    pass: &mut Pass,
) -> Result<(), Refusal> {
    check_body(frame, pass.max_body)?;
    let head = RecordHead {
        queue_id: target.queue_id,
        flag: header.flag,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: peer.remote(),
        store_host: broker.store_host,
        reconsume_times: header.reconsume_times,
        prepared_transaction_offset: 0,
    };
    let to = (!frame.is_oneway()).then(|| frame.reply_to());
    if header.batch {
        return encode_batch(broker, frame, &head, target, pass, to);
    }
    pass.properties.clear();
    if let Some(properties) = &header.properties {
        properties.append_to(&mut pass.properties);
    }
    if target.dead {
        message::never_delay(&mut pass.properties);
    }
    let (topic, body, properties) = (&target.topic, frame.body, &mut pass.properties);
    let outgoing = Outgoing { topic, head, body, properties, with_previous: false };
    let before = pass.batch.bytes();
    let encoded = message::encode(broker, &mut pass.batch, outgoing, Origin::Client)?;
    let Encoded { unique_key, waits, kind, delayed } = encoded;
    let (code, queue_id) = (frame.code, target.queue_id);
    pass.sends.push(Staged { to, code, queue_id, records: 1, unique_key, waits });
    let bytes = pass.batch.bytes() - before;
    if delayed {
        pass.arriving.add(&broker.schedule_topic(), kind, 1, bytes);
    } else {
        pass.arriving.add(&target.topic, kind, 1, bytes);
    }
    pass.counted += usize::from(!target.topic.system);
    Ok(())
}

/// One record per message of the batch, all in one segment, with consecutive offsets (broker-semantics §15).
fn encode_batch(
    broker: &Broker,
    frame: &Frame<'_>,
    head: &RecordHead,
    target: &Target,
    pass: &mut Pass,
    to: Option<ReplyTo>,
) -> Result<(), Refusal> {
    if target.topic.config.topic_name.starts_with(RETRY_PREFIX) {
        return Err(Refusal::Illegal("a batch cannot go to a retry topic".to_owned()));
    }
    let (before, bytes_before) = (pass.batch.len(), pass.batch.bytes());
    let encoded = encode_entries(broker, frame, head, target, pass);
    let records = pass.batch.len() - before;
    match encoded {
        Ok(_) if records == 0 => Err(Refusal::Illegal("the batch holds no message".to_owned())),
        Ok(waits) => {
            let (queue_id, unique_key) = (target.queue_id, UniqueKey::new());
            pass.sends.push(Staged { to, code: frame.code, queue_id, records, unique_key, waits });
            let bytes = pass.batch.bytes() - bytes_before;
            pass.arriving.add(&target.topic, MessageType::Normal, records, bytes);
            pass.counted += if target.topic.system { 0 } else { records };
            Ok(())
        }
        Err(refusal) => {
            pass.batch.truncate(before);
            Err(refusal)
        }
    }
}

fn encode_entries(
    broker: &Broker,
    frame: &Frame<'_>,
    head: &RecordHead,
    target: &Target,
    pass: &mut Pass,
) -> Result<bool, Refusal> {
    let (mut waits, mut with_previous) = (false, false);
    for entry in batch::iter(frame.body) {
        let entry = entry.map_err(|error| Refusal::Illegal(error.to_string()))?;
        pass.properties.clear();
        pass.properties.extend_from_slice(entry.properties);
        let head = RecordHead { flag: entry.flag, ..*head };
        let (topic, body, properties) = (&target.topic, entry.body, &mut pass.properties);
        let outgoing = Outgoing { topic, head, body, properties, with_previous };
        waits |= message::encode(broker, &mut pass.batch, outgoing, Origin::Client)?.waits;
        with_previous = true;
    }
    Ok(waits)
}

pub(super) fn check_body(frame: &Frame<'_>, max: usize) -> Result<(), Refusal> {
    let size = frame.body.len();
    if size == 0 {
        return Err(Refusal::Illegal("its body is empty".to_owned()));
    }
    if size > max {
        return Err(Refusal::Illegal(format!(
            "msg body size {size} is larger than maxMessageSize {max}"
        )));
    }
    Ok(())
}

/// Appends what was staged and answers it: at once if the append ends at once and nothing waits for durability.
pub(crate) fn finish(broker: &Broker, mut pass: Pass, out: &mut Replies) {
    if pass.sends.is_empty() {
        broker.recycle(pass);
        return;
    }
    let bytes = pass.batch.held();
    match broker.store.append(std::mem::take(&mut pass.batch)).now() {
        Ok(appended) => answer(broker, pass, appended, bytes, out),
        Err(append) => {
            let broker = broker.clone();
            let later = async move {
                let appended = append.await;
                let mut out = Replies::default();
                out.head().reserve(limits::ANSWER_TO_SEND * pass.sends.len());
                answer(&broker, pass, appended, bytes, &mut out);
                out
            };
            out.later_holding(bytes, Box::pin(later));
        }
    }
}

/// Answers every send of the pass, or leaves those that wait for durability for later; `bytes` are what
/// its batch holds until then.
fn answer(
    broker: &Broker,
    mut pass: Pass,
    appended: Result<Appended, AppendError>,
    bytes: usize,
    out: &mut Replies,
) {
    let counted = std::mem::take(&mut pass.counted);
    let appended = match appended {
        Ok(appended) => appended,
        Err(error) => {
            broker.metrics.refused(&error, pass.sends.len());
            refuse(broker, pass, &Refusal::Append(error), out);
            return;
        }
    };
    let now = broker.env.clock.mono();
    broker.stats.sent(counted);
    broker.count_stored(&appended, &mut pass.arriving, now);
    let waits = broker.syncs() && pass.sends.iter().any(|send| send.waits);
    let mut durable = broker.store.durable(appended.end);
    let flushed = if waits { (&mut durable).now_or_never() } else { Some(Durability::Durable) };
    let Some(flushed) = flushed else {
        note_answers(broker, &pass, Answered::Hasty, code::SUCCESS, now);
        write_answers(broker, &pass, &appended, out, Answered::Hasty, code::SUCCESS);
        let broker = broker.clone();
        let later = async move {
            let mut out = Replies::default();
            let code = flush_code(durable.await);
            note_answers(&broker, &pass, Answered::Waiting, code, broker.env.clock.mono());
            write_answers(&broker, &pass, &appended, &mut out, Answered::Waiting, code);
            out
        };
        out.later_holding(bytes, Box::pin(later));
        return;
    };
    let code = flush_code(flushed);
    note_answers(broker, &pass, Answered::All, code, now);
    write_answers(broker, &pass, &appended, out, Answered::All, code);
    pass.sends.clear();
    pass.batch = appended.into_batch();
    broker.recycle(pass);
}

/// Answers that nothing of the pass is stored.
fn refuse(broker: &Broker, mut pass: Pass, refusal: &Refusal, out: &mut Replies) {
    broker.stats.refused(pass.sends.len());
    pass.arriving.forget();
    let waiting = pass.sends.iter().filter_map(|send| send.to);
    waiting.for_each(|to| reply::refuse_to(out, to, refusal));
    note_answers(broker, &pass, Answered::All, refusal.code(), broker.env.clock.mono());
    pass.sends.clear();
    broker.recycle(pass);
}

/// Which sends of a pass are answered now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    All,
    /// Those that do not wait for durability.
    Hasty,
    /// Those that do.
    Waiting,
}

impl Answered {
    fn takes(self, send: &Staged) -> bool {
        match self {
            Answered::All => true,
            Answered::Hasty => !send.waits,
            Answered::Waiting => send.waits,
        }
    }
}

/// Counts how long sends took, those of one kind at once: all of them were taken up with the same read.
fn note_answers(broker: &Broker, pass: &Pass, which: Answered, code: i32, now: Duration) {
    let took = now.saturating_sub(pass.started);
    let same = |one: &Staged, other: &Staged| {
        (one.code, one.to.is_none(), one.waits) == (other.code, other.to.is_none(), other.waits)
    };
    for run in pass.sends.chunk_by(same).filter(|run| which.takes(&run[0])) {
        let (request, oneway) = (run[0].code, run[0].to.is_none());
        let answered = rpc::Answered { request, response: code, held: false, oneway };
        broker.metrics.rpc.record(answered, took, run.len() as u64);
    }
}

/// The message is stored, but it is not known whether it would survive a power cut.
fn flush_code(flushed: Durability) -> i32 {
    match flushed {
        Durability::Durable => code::SUCCESS,
        Durability::TimedOut | Durability::Stopped => code::FLUSH_DISK_TIMEOUT,
    }
}

fn write_answers(
    broker: &Broker,
    pass: &Pass,
    appended: &Appended,
    out: &mut Replies,
    which: Answered,
    code: i32,
) {
    let mut offsets = appended.offsets();
    let settings = broker.settings();
    for send in &pass.sends {
        let first = offsets.next();
        let now = which.takes(send);
        let (Some((queue_offset, physical)), Some(to), true) = (first, send.to, now) else {
            offsets.by_ref().take(send.records - 1).for_each(drop);
            continue;
        };
        let msg_id = |offset| OffsetMsgId { host: broker.store_host, offset }.encode();
        let mut writer = FrameWriter::response(out.head(), to, code);
        if send.records == 1 {
            writer.field("msgId", msg_id(physical));
        } else {
            let rest = offsets.by_ref().take(send.records - 1);
            let ids = std::iter::once(physical).chain(rest.map(|(_, physical)| physical));
            let ids: Vec<String> = ids.map(|offset| msg_id(offset).as_str().to_owned()).collect();
            writer.field("msgId", ids.join(",").as_str());
        }
        writer.field("queueId", send.queue_id);
        writer.field("queueOffset", queue_offset as i64);
        if let Ok(key) = std::str::from_utf8(&send.unique_key)
            && !key.is_empty()
        {
            writer.field("transactionId", key);
        }
        writer.field("MSG_REGION", settings.region.as_str());
        writer.field("TRACE_ON", settings.trace_on);
        writer.finish(&[]);
    }
}
