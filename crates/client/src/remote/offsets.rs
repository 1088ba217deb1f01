//! Requests about offsets.

use std::sync::Arc;

use wire::codes::RequestCode;
use wire::header::{
    BoundaryType, Header, OffsetResponse, QueryConsumerOffsetHeader, QueueHeader,
    SearchOffsetHeader, UpdateConsumerOffsetHeader,
};
use wire::{FrameWriter, reply_codes};

use super::{Answer, Remote, for_broker, queue_id, signed};
use crate::error::CallError;
use crate::limits;
use crate::queue::MessageQueue;

impl Remote {
    /// Where a group committed; `None` when it never did.
    pub(crate) async fn committed_offset(
        &self,
        address: &Arc<str>,
        group: &str,
        queue: &MessageQueue,
    ) -> Result<Option<u64>, CallError> {
        let header = QueryConsumerOffsetHeader {
            consumer_group: group.into(),
            topic: (&*queue.topic).into(),
            queue_id: queue_id(queue),
            set_zero_if_not_found: None,
        };
        let answer =
            self.ask_queue(address, RequestCode::QueryConsumerOffset, &header, queue).await?;
        match answer.code() {
            reply_codes::SUCCESS => offset_of(&answer).map(Some),
            reply_codes::QUERY_NOT_FOUND => Ok(None),
            _ => Err(answer.refused()),
        }
    }

    /// Stores a group's offset and waits for the answer.
    pub(crate) async fn commit(
        &self,
        address: &Arc<str>,
        group: &str,
        queue: &MessageQueue,
        offset: u64,
    ) -> Result<(), CallError> {
        let header = commit_header(group, queue, offset);
        let request = RequestCode::UpdateConsumerOffset;
        self.ask_queue(address, request, &header, queue).await?.success().map(drop)
    }

    /// Stores a group's offset; nobody says whether it was.
    pub(crate) async fn commit_unanswered(
        &self,
        address: &Arc<str>,
        group: &str,
        queue: &MessageQueue,
        offset: u64,
    ) -> Result<(), CallError> {
        let header = commit_header(group, queue, offset);
        let fields = |out: &mut FrameWriter<'_>| {
            header.encode(out);
            for_broker(out, queue);
        };
        let timeout = limits::CALL_TIMEOUT;
        self.oneway(address, RequestCode::UpdateConsumerOffset, fields, &[], timeout).await
    }

    /// The offset that the next message will get.
    pub(crate) async fn max_offset(
        &self,
        address: &Arc<str>,
        queue: &MessageQueue,
    ) -> Result<u64, CallError> {
        let header = queue_header(queue);
        let answer = self.ask_queue(address, RequestCode::GetMaxOffset, &header, queue).await?;
        offset_of(&answer.success()?)
    }

    /// The lowest offset that can be read; 0 for a queue that was never written.
    pub(crate) async fn min_offset(
        &self,
        address: &Arc<str>,
        queue: &MessageQueue,
    ) -> Result<u64, CallError> {
        let header = queue_header(queue);
        let answer = self.ask_queue(address, RequestCode::GetMinOffset, &header, queue).await?;
        let answer = answer.success()?;
        // Some releases answer -1 for a queue that was never written.
        let offset = answer.header::<OffsetResponse>()?.offset;
        answer.offset(offset.max(0))
    }

    /// The first offset stored at or after a time, in milliseconds since 1970.
    pub(crate) async fn offset_at(
        &self,
        address: &Arc<str>,
        queue: &MessageQueue,
        time_ms: i64,
    ) -> Result<u64, CallError> {
        let header = SearchOffsetHeader {
            topic: (&*queue.topic).into(),
            queue_id: queue_id(queue),
            timestamp: time_ms,
            boundary_type: BoundaryType::Lower,
        };
        let request = RequestCode::SearchOffsetByTimestamp;
        offset_of(&self.ask_queue(address, request, &header, queue).await?.success()?)
    }

    async fn ask_queue<'a>(
        &self,
        address: &Arc<str>,
        request: RequestCode,
        header: &impl Header<'a>,
        queue: &MessageQueue,
    ) -> Result<Answer, CallError> {
        let fields = |out: &mut FrameWriter<'_>| {
            header.encode(out);
            for_broker(out, queue);
        };
        self.call(address, request, fields, &[], limits::OFFSET_TIMEOUT).await
    }
}

fn offset_of(answer: &Answer) -> Result<u64, CallError> {
    answer.offset(answer.header::<OffsetResponse>()?.offset)
}

fn queue_header(queue: &MessageQueue) -> QueueHeader<'_> {
    QueueHeader { topic: (&*queue.topic).into(), queue_id: queue_id(queue) }
}

fn commit_header<'a>(
    group: &'a str,
    queue: &'a MessageQueue,
    offset: u64,
) -> UpdateConsumerOffsetHeader<'a> {
    UpdateConsumerOffsetHeader {
        consumer_group: group.into(),
        topic: (&*queue.topic).into(),
        queue_id: queue_id(queue),
        commit_offset: signed(offset),
    }
}
