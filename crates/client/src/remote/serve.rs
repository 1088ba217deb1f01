//! Requests that brokers send to a client: 40, 220, 221, 307, 309, 326.

use std::sync::Arc;

use bytes::Bytes;
use env::Env;
use wire::body::{
    self, ConsumeDirectlyResult, ConsumerRunningInfo, ConsumerStatus, QueueOffsets, ResetOffsets,
    running_props,
};
use wire::codes::{ClientRequest, RequestCode, RequestError};
use wire::compress::Compression;
use wire::frame::ReplyTo;
use wire::header::{ConsumeDirectlyHeader, Header, PushReplyHeader, RunningInfoHeader};
use wire::props::{self, names};
use wire::{Frame, FrameError, FrameWriter, Frames, Peer, Replies, reply_codes};

use super::members::{of_body, subscribed};
use super::signed;
use crate::consumer::member::Member;
use crate::inbox::Inbox;
use crate::limits;
use crate::queue::MessageQueue;
use crate::received::Received;
use crate::reply::Reply;

/// Takes in what servers send.
pub(super) struct Handler {
    inbox: Inbox,
    env: Env,
    name_servers: String,
}

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the body cannot be read: {0}")]
    Body(String),
    #[error("this client has no consumer of group {0}")]
    NoConsumer(String),
}

impl wire::Call for Handler {
    fn call_batch(
        &self,
        peer: &Arc<Peer>,
        frames: &mut Frames<'_>,
        out: &mut Replies,
    ) -> Result<(), FrameError> {
        while let Some(frame) = frames.next()? {
            if peer.accept(&frame) {
                continue;
            }
            let Err(refusal) = self.serve(&frame, out) else { continue };
            if frame.is_oneway() {
                tracing::debug!(error = %refusal, "notice ignored");
                continue;
            }
            let code = match refusal {
                Refusal::Request(_) => reply_codes::REQUEST_CODE_NOT_SUPPORTED,
                _ => reply_codes::SYSTEM_ERROR,
            };
            let to = frame.reply_to();
            FrameWriter::response(out.head(), to, code).remark(&refusal.to_string()).finish(&[]);
        }
        Ok(())
    }
}

impl Handler {
    pub(super) fn new(env: &Env, name_servers: &[String], inbox: Inbox) -> Handler {
        Handler { inbox, env: env.clone(), name_servers: name_servers.join(";") }
    }

    fn serve(&self, frame: &Frame<'_>, out: &mut Replies) -> Result<(), Refusal> {
        // The broker serves these two under the same codes.
        match RequestCode::from_code(frame.code) {
            Some(RequestCode::GetConsumerRunningInfo) => {
                let header = RunningInfoHeader::decode(frame).map_err(RequestError::from)?;
                return self.running_info(frame, &header, out);
            }
            Some(RequestCode::ConsumeMessageDirectly) => {
                let header = ConsumeDirectlyHeader::decode(frame).map_err(RequestError::from)?;
                return self.consume(frame, &header, out);
            }
            _ => {}
        }
        match ClientRequest::decode(frame)? {
            ClientRequest::NotifyConsumerIdsChanged(header) => {
                self.inbox.members_changed(&header.consumer_group.to_str());
            }
            ClientRequest::ResetConsumerClientOffset(header) => {
                let body: ResetOffsets = read(frame.body)?;
                let topic = header.topic.to_str();
                let offsets = body.offset_table.0.into_iter().filter_map(|(queue, offset)| {
                    let id = u32::try_from(queue.queue_id).ok()?;
                    let offset = u64::try_from(offset).ok()?;
                    let queue = MessageQueue::new(&queue.topic, &queue.broker_name, id);
                    (*queue.topic == *topic).then_some((queue, offset))
                });
                self.inbox.reset(&header.group.to_str(), offsets.collect());
            }
            ClientRequest::GetConsumerStatusFromClient(header) => {
                let (group, topic) = (header.group.to_str(), header.topic.to_str());
                let positions = self.member(&group)?.positions();
                let of_topic = positions.iter().filter(|(queue, _)| *queue.topic == *topic);
                let table = of_topic.map(|(queue, offset)| (of_body(queue), signed(*offset)));
                let message_queue_table = QueueOffsets(table.collect());
                let status = ConsumerStatus { message_queue_table, ..ConsumerStatus::default() };
                answer(frame, out, &status.encode());
            }
            ClientRequest::PushReplyMessageToClient(header) => {
                let (correlation, reply) = reply_of(&header, frame.body)?;
                self.inbox.reply(&correlation, reply);
                answer(frame, out, &[]);
            }
        }
        Ok(())
    }

    fn member(&self, group: &str) -> Result<Arc<Member>, Refusal> {
        self.inbox.member(group).ok_or_else(|| Refusal::NoConsumer(group.to_owned()))
    }

    /// 307. Tasks have no stacks to show, whether wanted or not.
    fn running_info(
        &self,
        frame: &Frame<'_>,
        header: &RunningInfoHeader<'_>,
        out: &mut Replies,
    ) -> Result<(), Refusal> {
        let member = self.member(&header.consumer_group.to_str())?;
        let pairs = [
            (running_props::NAME_SERVERS, self.name_servers.clone()),
            (running_props::THREADS, limits::LISTENERS.to_string()),
            (running_props::ORDERLY, member.listener.is_ordered().to_string()),
            (running_props::CONSUME_TYPE, "CONSUME_PASSIVELY".to_owned()),
            (running_props::VERSION, wire::frame::VERSION_NAME.to_owned()),
            (running_props::STARTED, member.started_ms.to_string()),
        ];
        let queues = member.running();
        let subscriptions = member.group.subscriptions.iter();
        let info = ConsumerRunningInfo {
            mq_table: queues
                .into_iter()
                .map(|(queue, info)| (body::queue_key(&of_body(&queue)), info))
                .collect(),
            properties: pairs.map(|(name, value)| (name.to_owned(), value)).into(),
            subscription_set: subscriptions.map(|(topic, one)| subscribed(topic, one)).collect(),
            ..ConsumerRunningInfo::default()
        };
        answer(frame, out, &body::write_tables(&info));
        Ok(())
    }

    /// 309: hands a message to the listener, out of turn; nothing is committed or sent back.
    fn consume(
        &self,
        frame: &Frame<'_>,
        header: &ConsumeDirectlyHeader<'_>,
        out: &mut Replies,
    ) -> Result<(), Refusal> {
        let member = self.member(&header.consumer_group.to_str())?;
        let broker = header.broker_name.map_or_else(String::new, |name| name.to_str().into());
        let found = Received::decode_found(&broker.into(), &Bytes::copy_from_slice(frame.body));
        let found = found.map_err(|error| Refusal::Body(error.to_string()))?;
        let Some(message) = found.into_iter().next() else {
            return Err(Refusal::Body("there is no message".to_owned()));
        };
        let (to, clock) = (frame.reply_to(), self.env.clock.clone());
        out.later(Box::pin(async move {
            let start = clock.mono();
            let consumed = member.consume_now(message).await;
            let spent = (clock.mono() - start).as_millis();
            let result = ConsumeDirectlyResult {
                auto_commit: true,
                consume_result: if consumed { "CR_SUCCESS" } else { "CR_LATER" }.to_owned(),
                order: member.listener.is_ordered(),
                remark: None,
                spent_time_mills: i64::try_from(spent).unwrap_or(i64::MAX),
            };
            let mut out = Replies::default();
            answer_to(to, &mut out, &body::write(&result));
            out
        }));
        Ok(())
    }
}

fn reply_of(header: &PushReplyHeader<'_>, stored: &[u8]) -> Result<(String, Reply), Refusal> {
    let properties = header.properties.map(|block| block.to_bytes().into_owned());
    let properties = Bytes::from(properties.unwrap_or_default());
    let correlation = props::get(&properties, names::CORRELATION_ID);
    let correlation = correlation.ok_or_else(|| Refusal::Body("no CORRELATION_ID".to_owned()))?;
    let correlation = String::from_utf8_lossy(correlation).into_owned();
    let body = match Compression::of(header.sys_flag) {
        None => Bytes::copy_from_slice(stored),
        Some(method) => {
            let inflated = method.decompress(stored, limits::INFLATED_BYTES);
            inflated.map_err(|error| Refusal::Body(error.to_string()))?.into()
        }
    };
    Ok((correlation, Reply { body, properties, born_ms: header.born_timestamp }))
}

fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    body::read(bytes).map_err(|error| Refusal::Body(error.to_string()))
}

fn answer(frame: &Frame<'_>, out: &mut Replies, body: &[u8]) {
    if !frame.is_oneway() {
        answer_to(frame.reply_to(), out, body);
    }
}

fn answer_to(to: ReplyTo, out: &mut Replies, body: &[u8]) {
    FrameWriter::response(out.head(), to, reply_codes::SUCCESS).finish(body);
}
