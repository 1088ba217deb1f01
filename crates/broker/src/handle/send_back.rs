//! Send-back (36): a consumer could not process a message; it is stored again to be tried later, or as a dead letter
//! (broker-semantics §4.1).

use bytes::BytesMut;
use env::memory::Hold;
use store::{Batch, ReadError};
use wire::flags::perm;
use wire::frame::ReplyTo;
use wire::header::SendBackHeader;
use wire::props::{self, PropertiesMut, names};
use wire::record::{self, Entry, RecordHead, RecordView};
use wire::{Frame, FrameWriter, Replies, ids, reply_codes as code};

use crate::Broker;
use crate::message::{self, Origin, Outgoing};
use crate::reply::{self, Refusal};
use crate::stats::Amount;
use crate::topic::{DLQ_PREFIX, RETRY_PREFIX};

/// The version from which on a client's `maxReconsumeTimes` counts (V3_4_9).
const RESPECTS_MAX_RECONSUME: i32 = 121;

/// What the consumer asks for, kept while the message is read.
struct Retry {
    group: String,
    offset: i64,
    delay_level: i32,
    max_times: i32,
    retry_queues: i32,
    unit_mode: bool,
}

/// Serves one send-back. Reading the message may need the disk, so all of it is answered later.
pub(crate) fn send_back(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &SendBackHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let name = header.group.to_str().into_owned();
    let group = broker.groups.get_or_create(&name, broker.env.clock.wall_ms());
    let group = group.ok_or_else(|| Refusal::NoGroup(name.clone()))?;
    if broker.settings().permission & perm::WRITE == 0 {
        return Err(Refusal::BrokerForbidden {
            broker: broker.settings().name.clone(),
            what: "sending",
        });
    }
    if group.retry_queue_nums <= 0 {
        reply::ok(out, frame);
        return Ok(());
    }
    let asked = header.max_reconsume_times.filter(|_| frame.version >= RESPECTS_MAX_RECONSUME);
    let retry = Retry {
        group: name,
        offset: header.offset,
        delay_level: header.delay_level,
        max_times: asked.unwrap_or(group.retry_max_times),
        retry_queues: group.retry_queue_nums,
        unit_mode: header.unit_mode,
    };
    let to = (!frame.is_oneway()).then(|| frame.reply_to());
    let broker = broker.clone();
    out.later(Box::pin(async move { answer(to, retry.store(&broker).await) }));
    Ok(())
}

fn answer(to: Option<ReplyTo>, stored: Result<(), Refusal>) -> Replies {
    let mut out = Replies::default();
    match (to, stored) {
        (Some(to), Ok(())) => FrameWriter::response(out.head(), to, code::SUCCESS).finish(&[]),
        (Some(to), Err(refusal)) => reply::refuse_to(&mut out, to, &refusal),
        (None, _) => {}
    }
    out
}

impl Retry {
    async fn store(&self, broker: &Broker) -> Result<(), Refusal> {
        let missing = || Refusal::NoRecordToRetry(self.offset);
        let offset = u64::try_from(self.offset).map_err(|_| missing())?;
        let mut hold = Hold::new(&broker.env.memory.waiting);
        let read = broker.store.background(move |store| {
            let record = store.record(offset)?;
            hold.try_set(record.as_ref().map_or(0, |record| record.len()))?;
            Ok((record, hold))
        });
        let (record, _hold) = read?.await.unwrap_or(Err(ReadError::Closed))?;
        let bytes = record.ok_or_else(missing)?;
        let Ok(Entry::Record(view)) = record::parse(&bytes) else { return Err(missing()) };
        let mut batch = Batch::new();
        self.encode(broker, &mut batch, &view)?;
        let amount = Amount { times: 1, messages: 1, bytes: batch.bytes() as u64 };
        let topic = props::get(view.properties(), names::RETRY_TOPIC).unwrap_or(view.topic());
        let topic = String::from_utf8_lossy(topic);
        let appended = broker.store.append(batch).await?;
        broker.progress.sent_back(&topic, &self.group, amount, broker.env.clock.mono());
        if self.is_dead(&view) {
            let limit = broker.settings().metrics_label_sets;
            broker.metrics.dead_letter(&self.group, &topic, limit);
        }
        broker.stored(appended.end).await
    }

    /// Whether the message has been tried often enough.
    fn is_dead(&self, view: &RecordView<'_>) -> bool {
        view.reconsume_times() >= self.max_times || self.delay_level < 0
    }

    fn encode(
        &self,
        broker: &Broker,
        batch: &mut Batch,
        view: &RecordView<'_>,
    ) -> Result<(), Refusal> {
        let mut properties = BytesMut::from(view.properties());
        let topic = view.topic();
        let mut block = PropertiesMut::new(&mut properties, 0);
        if props::get(block.as_bytes(), names::RETRY_TOPIC).is_none() {
            block.append(names::RETRY_TOPIC, topic);
        }
        block.remove(names::WAIT);
        block.append(names::WAIT, b"false");
        if props::get(block.as_bytes(), names::ORIGIN_MESSAGE_ID).is_none() {
            let own = ids::OffsetMsgId { host: view.store_host(), offset: view.physical_offset() }
                .encode();
            block.append(names::ORIGIN_MESSAGE_ID, own.as_str().as_bytes());
        }
        let dead = self.is_dead(view);
        if dead {
            message::never_delay(&mut properties);
        } else {
            let level = match self.delay_level {
                0 => view.reconsume_times().saturating_add(3),
                level => level,
            };
            message::set_property(&mut properties, names::DELAY, level.to_string().as_bytes());
        }
        let (name, queues) = if dead {
            (format!("{DLQ_PREFIX}{}", self.group), 1)
        } else {
            (format!("{RETRY_PREFIX}{}", self.group), self.retry_queues)
        };
        let target = broker
            .create_group_topic(&name, queues, self.unit_mode && !dead)?
            .ok_or(Refusal::NoTopic(name))?;
        if !target.is_writable() {
            return Err(Refusal::TopicNotWritable(target.config.topic_name.clone()));
        }
        let head = RecordHead {
            queue_id: broker.env.rng.below(target.config.write_queue_nums.max(1) as u64) as i32,
            flag: view.flag(),
            sys_flag: view.sys_flag(),
            born_timestamp: view.born_timestamp(),
            born_host: view.born_host(),
            store_host: broker.store_host,
            reconsume_times: view.reconsume_times().saturating_add(1),
            prepared_transaction_offset: 0,
        };
        let (body, with_previous) = (view.body(), false);
        let outgoing =
            Outgoing { topic: &target, head, body, properties: &mut properties, with_previous };
        message::encode(broker, batch, outgoing, Origin::Retry)?;
        Ok(())
    }
}
