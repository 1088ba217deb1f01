//! The pull request.

use std::sync::Arc;

use wire::codes::RequestCode;
use wire::flags::pull;
use wire::header::{Header, PullHeader, PullResponse};
use wire::{FrameWriter, reply_codes};

use super::{Answer, Remote, for_broker, queue_id, signed};
use crate::consumer::pull::{PullRequest, PullStatus, Pulled};
use crate::error::CallError;
use crate::limits;
use crate::received::Received;

impl Remote {
    /// Pulls; the broker holds the request up to `request.hold` when there is nothing.
    pub(crate) async fn pull(
        &self,
        address: &Arc<str>,
        request: &PullRequest<'_>,
    ) -> Result<Pulled, CallError> {
        let fields = |out: &mut FrameWriter<'_>| pull_fields(out, request);
        let timeout = request.hold + limits::PULL_GRACE;
        let answer = self.call(address, RequestCode::PullMessage, fields, &[], timeout).await?;
        let status = match answer.code() {
            reply_codes::SUCCESS => PullStatus::Found,
            reply_codes::PULL_NOT_FOUND => PullStatus::NoNewMessage,
            reply_codes::PULL_RETRY_IMMEDIATELY => PullStatus::NoMatch,
            reply_codes::PULL_OFFSET_MOVED => PullStatus::Moved,
            _ => return Err(answer.refused()),
        };
        let messages = match status {
            PullStatus::Found => messages(&answer, request)?,
            _ => Vec::new(),
        };
        let header = answer.header::<PullResponse>()?;
        Ok(Pulled {
            status,
            messages,
            next: answer.offset(header.next_begin_offset)?,
            suggested_broker: answer.offset(header.suggest_which_broker_id)?,
        })
    }
}

fn messages(answer: &Answer, request: &PullRequest<'_>) -> Result<Vec<Received>, CallError> {
    // Brokers see to `max_messages`; what they send all the same is taken.
    let decoded = Received::decode_all(request.queue, &answer.body());
    let messages = decoded.map_err(|error| answer.malformed(error))?;
    // An offset has 63 bits; the next one must be a number too.
    match messages.iter().map(Received::offset).find(|offset| i64::try_from(*offset).is_err()) {
        Some(offset) => Err(answer.malformed(format_args!("{offset} is no offset"))),
        None => Ok(messages),
    }
}

fn pull_fields(out: &mut FrameWriter<'_>, request: &PullRequest<'_>) {
    let bit = |set: bool, bit: i32| if set { bit } else { 0 };
    let sys_flag = bit(request.commit.is_some(), pull::COMMIT_OFFSET)
        | bit(!request.hold.is_zero(), pull::SUSPEND)
        | bit(request.filter.is_some(), pull::SUBSCRIPTION);
    let filter = request.filter.map(|filter| filter.to_string());
    let header = PullHeader {
        consumer_group: request.group.into(),
        topic: (&*request.queue.topic).into(),
        queue_id: queue_id(request.queue),
        queue_offset: signed(request.offset),
        max_msg_nums: limits::PULL_BATCH,
        sys_flag,
        commit_offset: request.commit.map_or(0, signed),
        suspend_timeout_millis: i64::try_from(request.hold.as_millis()).unwrap_or(i64::MAX),
        subscription: filter.as_deref().map(Into::into),
        sub_version: request.version,
        expression_type: Some("TAG".into()),
        max_msg_bytes: Some(limits::PULL_BYTES),
    };
    header.encode(out);
    for_broker(out, request.queue);
}
