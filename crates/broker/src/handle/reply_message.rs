//! Replies of request-reply (324, 325): a consumer answers a producer that waits. The broker pushes the answer to that
//! producer (326) and tells the consumer what came of it; the reply is stored as well, if `storeReplyMessageEnable`
//! says so, which changes nothing for either (broker-semantics §19).

use std::time::Duration;

use bytes::BytesMut;
use store::Batch;
use wire::frame::ReplyTo;
use wire::header::{Header, PushReplyHeader, SendHeader};
use wire::ids::OffsetMsgId;
use wire::peer::PeerCall;
use wire::props::{self, names};
use wire::record::RecordHead;
use wire::{Frame, FrameWriter, Peer, Replies, RequestCode, reply_codes as code};

use crate::Broker;
use crate::handle::place::{Place, place};
use crate::handle::send::check_body;
use crate::message::{self, Origin, Outgoing};
use crate::reply::Refusal;

/// How long the producer may take to say that it has the reply.
const PUSH_WAIT: Duration = Duration::from_secs(10);

/// A reply on its way: to the producer, then into the store.
struct Reply {
    /// Whom to answer; one-way requests are not answered.
    to: Option<ReplyTo>,
    push: Result<Push, Refusal>,
    /// The record, unless replies are not stored or this one cannot be.
    batch: Option<Batch>,
    place: Place,
}

/// The question to the producer whether it takes the reply.
struct Push {
    client_id: String,
    answer: PeerCall,
}

/// Serves one reply.
pub(crate) fn reply(
    broker: &Broker,
    peer: &Peer,
    frame: &Frame<'_>,
    header: &SendHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let waiting = &broker.env.memory.waiting;
    // Until the producer has answered, which may take its time.
    waiting.check_patient(frame.body.len()).inspect_err(|_| waiting.count_refusal())?;
    let place = place(broker, header, None)?;
    let mut properties = BytesMut::new();
    if let Some(block) = &header.properties {
        block.append_to(&mut properties);
    }
    let push = push(broker, peer, frame, header, &properties);
    let stored = broker.settings().store_replies;
    let batch = stored.then(|| encode(broker, peer, frame, header, &place, &mut properties));
    let batch = batch.and_then(|encoded| match encoded {
        Ok(batch) => Some(batch),
        Err(refusal) => {
            tracing::debug!(topic = place.topic.config.topic_name, %refusal, "a reply is not stored");
            None
        }
    });
    let held = batch.as_ref().map_or(0, Batch::held);
    let to = (!frame.is_oneway()).then(|| frame.reply_to());
    let (broker, reply) = (broker.clone(), Reply { to, push, batch, place });
    out.later_holding(held, Box::pin(reply.deliver(broker)));
    Ok(())
}

/// Hands the reply to the producer that its properties name.
fn push(
    broker: &Broker,
    peer: &Peer,
    frame: &Frame<'_>,
    header: &SendHeader<'_>,
    properties: &BytesMut,
) -> Result<Push, Refusal> {
    let client_id = props::get(properties, names::REPLY_TO_CLIENT).ok_or(Refusal::NoRequester)?;
    let client_id = String::from_utf8_lossy(client_id).into_owned();
    let Some(producer) = broker.clients.producer(&client_id) else {
        return Err(Refusal::RequesterGone(client_id));
    };
    let now_ms = broker.env.clock.wall_ms();
    let settings = broker.settings();
    let mut properties = properties.clone();
    let mut set =
        |name, value: &str| message::set_property(&mut properties, name, value.as_bytes());
    set(names::MSG_REGION, &settings.region);
    set(names::TRACE_ON, if settings.trace_on { "true" } else { "false" });
    set(names::PUSH_REPLY_TIME, &now_ms.to_string());
    let properties = String::from_utf8_lossy(&properties);
    let (born_host, store_host) = (peer.remote().to_string(), broker.store_host.to_string());
    let pushed = PushReplyHeader {
        producer_group: header.producer_group,
        topic: header.topic,
        default_topic: header.default_topic,
        default_topic_queue_nums: header.default_topic_queue_nums,
        queue_id: header.queue_id,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        flag: header.flag,
        properties: Some((&*properties).into()),
        reconsume_times: Some(header.reconsume_times),
        unit_mode: header.unit_mode,
        born_host: born_host.as_str().into(),
        store_host: store_host.as_str().into(),
        store_timestamp: now_ms,
    };
    let code = RequestCode::PushReplyMessageToClient.code();
    let answer = producer.call(code, |writer| pushed.encode(writer), frame.body);
    Ok(Push { client_id, answer })
}

fn encode(
    broker: &Broker,
    peer: &Peer,
    frame: &Frame<'_>,
    header: &SendHeader<'_>,
    place: &Place,
    properties: &mut BytesMut,
) -> Result<Batch, Refusal> {
    check_body(frame, broker.settings().max_message_bytes)?;
    let head = RecordHead {
        queue_id: place.queue_id,
        flag: header.flag,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: peer.remote(),
        store_host: broker.store_host,
        reconsume_times: header.reconsume_times,
        prepared_transaction_offset: 0,
    };
    let (topic, body, with_previous) = (&place.topic, frame.body, false);
    let mut batch = Batch::new();
    let outgoing = Outgoing { topic, head, body, properties, with_previous };
    message::encode(broker, &mut batch, outgoing, Origin::Client)?;
    Ok(batch)
}

impl Reply {
    async fn deliver(self, broker: Broker) -> Replies {
        let Reply { to, push, batch, place } = self;
        let pushed = match push {
            Ok(push) => push.answered(&broker).await,
            Err(refusal) => Err(refusal),
        };
        let stored = match batch {
            Some(batch) => store(&broker, batch, place.created).await,
            None => None,
        };
        let mut out = Replies::default();
        if let Some(to) = to {
            answer(&broker, &mut out, to, pushed, place.queue_id, stored);
        }
        out
    }
}

impl Push {
    async fn answered(self, broker: &Broker) -> Result<(), Refusal> {
        match broker.env.clock.timeout(PUSH_WAIT, self.answer).await {
            Ok(Ok(answer)) if answer.frame().code == code::SUCCESS => Ok(()),
            _ => Err(Refusal::RequesterFailed(self.client_id)),
        }
    }
}

/// Stores the reply; its offsets in the queue and in the log if that worked.
async fn store(broker: &Broker, batch: Batch, created: bool) -> Option<(u64, u64)> {
    if created {
        broker.persister.round().await.ok()?;
    }
    let appended = broker.store.append(batch).await.ok()?;
    // Stored it is, be it durable in time or not.
    let _ = broker.stored(appended.end).await;
    appended.offsets().next()
}

fn answer(
    broker: &Broker,
    out: &mut Replies,
    to: ReplyTo,
    pushed: Result<(), Refusal>,
    queue_id: i32,
    stored: Option<(u64, u64)>,
) {
    let settings = broker.settings();
    let (code, remark) = match &pushed {
        Ok(()) => (code::SUCCESS, String::new()),
        Err(refusal) => (refusal.code(), refusal.to_string()),
    };
    let mut writer = FrameWriter::response(out.head(), to, code).remark(&remark);
    match stored {
        Some((queue_offset, offset)) => {
            let id = OffsetMsgId { host: broker.store_host, offset }.encode();
            writer.field("msgId", id);
            writer.field("queueId", queue_id);
            writer.field("queueOffset", queue_offset);
        }
        // A client that was told of success reads the three.
        None if pushed.is_ok() => {
            writer.field("msgId", "0");
            writer.field("queueId", queue_id);
            writer.field("queueOffset", 0);
        }
        None => {}
    }
    writer.field("MSG_REGION", settings.region.as_str());
    writer.field("TRACE_ON", settings.trace_on);
    writer.finish(&[]);
}
