//! Sends, and the send-back of a message that a listener could not handle.

use std::sync::Arc;
use std::time::Duration;

use wire::codes::RequestCode;
use wire::header::{Header, SendBackHeader, SendHeader, SendResponse};
use wire::{FrameWriter, reply_codes};

use super::{Answer, Remote, for_broker, queue_id, signed};
use crate::error::CallError;
use crate::limits;
use crate::producer::{Envelope, SendStatus};
use crate::queue::MessageQueue;
use crate::received::Received;
use crate::routes::TEMPLATE_TOPIC;

/// A message, or a batch of them, on its way to a queue.
pub(crate) struct SendRequest<'a> {
    pub(crate) group: &'a str,
    pub(crate) queue: &'a MessageQueue,
    pub(crate) sys_flag: i32,
    pub(crate) flag: i32,
    pub(crate) born_ms: i64,
    pub(crate) properties: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) kind: SendKind,
    pub(crate) envelope: Envelope,
}

/// How a send is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendKind {
    /// One message.
    One,
    /// Several, encoded in the body.
    Batch,
    /// A reply, which the broker hands to the requester.
    Reply,
}

/// What the broker says of a stored message.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) status: SendStatus,
    pub(crate) queue_id: u32,
    pub(crate) offset: u64,
    /// Offset message id; for a batch one per message, separated by commas.
    pub(crate) message_id: String,
    pub(crate) transaction_id: Option<String>,
}

impl SendRequest<'_> {
    fn code(&self) -> RequestCode {
        match self.kind {
            SendKind::One => RequestCode::SendMessageV2,
            SendKind::Batch => RequestCode::SendBatchMessage,
            SendKind::Reply => RequestCode::SendReplyMessageV2,
        }
    }

    fn fields(&self, out: &mut FrameWriter<'_>) {
        let header = SendHeader {
            producer_group: self.group.into(),
            topic: (&*self.queue.topic).into(),
            default_topic: TEMPLATE_TOPIC.into(),
            default_topic_queue_nums: limits::DEFAULT_QUEUES,
            queue_id: queue_id(self.queue),
            sys_flag: self.sys_flag,
            born_timestamp: self.born_ms,
            flag: self.flag,
            properties: Some(self.properties.into()),
            reconsume_times: self.envelope.reconsume_times,
            unit_mode: false,
            batch: self.kind == SendKind::Batch,
            max_reconsume_times: self.envelope.max_reconsume_times,
        };
        header.encode_short(out);
        out.field("n", &*self.queue.broker);
    }
}

impl Remote {
    /// Sends and waits until the broker says that it stored the message.
    pub(crate) async fn send(
        &self,
        address: &Arc<str>,
        send: &SendRequest<'_>,
        timeout: Duration,
    ) -> Result<Stored, CallError> {
        let fields = |out: &mut FrameWriter<'_>| send.fields(out);
        stored(&self.call(address, send.code(), fields, send.body, timeout).await?)
    }

    /// Sends without asking for an answer.
    pub(crate) async fn send_unanswered(
        &self,
        address: &Arc<str>,
        send: &SendRequest<'_>,
        timeout: Duration,
    ) -> Result<(), CallError> {
        let fields = |out: &mut FrameWriter<'_>| send.fields(out);
        self.oneway(address, send.code(), fields, send.body, timeout).await
    }

    /// Asks the broker that stored a message to deliver it to the group again, later.
    pub(crate) async fn send_back(
        &self,
        address: &Arc<str>,
        group: &str,
        message: &Received,
        max_reconsume_times: i32,
    ) -> Result<(), CallError> {
        let message_id = message.message_id();
        let header = SendBackHeader {
            offset: signed(message.physical_offset()),
            group: group.into(),
            // The broker chooses: 3 + the number of deliveries.
            delay_level: 0,
            origin_msg_id: Some(message_id.as_str().into()),
            origin_topic: Some(message.topic().into()),
            unit_mode: false,
            max_reconsume_times: Some(max_reconsume_times),
        };
        let fields = |out: &mut FrameWriter<'_>| {
            header.encode(out);
            for_broker(out, message.queue());
        };
        let timeout = limits::OFFSET_TIMEOUT;
        let answer =
            self.call(address, RequestCode::ConsumerSendMsgBack, fields, &[], timeout).await?;
        answer.success().map(drop)
    }
}

fn stored(answer: &Answer) -> Result<Stored, CallError> {
    let status = match answer.code() {
        reply_codes::SUCCESS => SendStatus::Ok,
        reply_codes::FLUSH_DISK_TIMEOUT => SendStatus::FlushDiskTimeout,
        reply_codes::FLUSH_SLAVE_TIMEOUT => SendStatus::FlushSlaveTimeout,
        reply_codes::SLAVE_NOT_AVAILABLE => SendStatus::SlaveNotAvailable,
        _ => return Err(answer.refused()),
    };
    let frame = answer.frame.frame();
    let header = SendResponse::decode(&frame).map_err(|error| answer.malformed(error))?;
    let queue_id = u32::try_from(header.queue_id).map_err(|error| answer.malformed(error))?;
    Ok(Stored {
        status,
        queue_id,
        offset: answer.offset(header.queue_offset)?,
        message_id: header.msg_id.to_str().into(),
        transaction_id: header.transaction_id.map(|id| id.to_str().into()),
    })
}
