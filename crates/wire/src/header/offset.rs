//! Headers of requests about offsets: 14, 15, 29, 30, 31, 32.

use super::{FieldProblem, FieldType, Header, HeaderError, headers, set};
use crate::frame::{FieldValue, Frame, FrameWriter};
use crate::text::Text;

headers! {
    /// Header of a query for a group's offset (`QueryConsumerOffsetRequestHeader`).
    pub struct QueryConsumerOffsetHeader<'a> {
        /// Group of the consumer.
        pub consumer_group: Text<'a> = "consumerGroup",
        /// Topic.
        pub topic: Text<'a> = "topic",
        /// Queue of the topic.
        pub queue_id: i32 = "queueId",
        /// `false`: answer 22 rather than 0 when there is none.
        pub set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
    }

    /// Header of an offset commit (`UpdateConsumerOffsetRequestHeader`).
    pub struct UpdateConsumerOffsetHeader<'a> {
        /// Group of the consumer.
        pub consumer_group: Text<'a> = "consumerGroup",
        /// Topic.
        pub topic: Text<'a> = "topic",
        /// Queue of the topic.
        pub queue_id: i32 = "queueId",
        /// Offset of the first message that was not consumed.
        pub commit_offset: i64 = "commitOffset",
    }

    /// Header of a search by store time (`SearchOffsetRequestHeader`).
    pub struct SearchOffsetHeader<'a> {
        /// Topic.
        pub topic: Text<'a> = "topic",
        /// Queue of the topic.
        pub queue_id: i32 = "queueId",
        /// Store time, ms.
        pub timestamp: i64 = "timestamp",
        /// Which of the messages at that time.
        pub boundary_type: BoundaryType = "boundaryType" or BoundaryType::Lower,
    }

    /// Header of a question about one queue: 30, 31, 32 (`GetMaxOffsetRequestHeader`,
    /// `GetMinOffsetRequestHeader`, `GetEarliestMsgStoretimeRequestHeader`).
    pub struct QueueHeader<'a> {
        /// Topic.
        pub topic: Text<'a> = "topic",
        /// Queue of the topic.
        pub queue_id: i32 = "queueId",
    }

    /// Answer of one offset: to 14, 29, 30, 31.
    pub struct OffsetResponse {
        /// The offset.
        pub offset: i64 = "offset",
    }

    /// Answer to 32 (`GetEarliestMsgStoretimeResponseHeader`).
    pub struct EarliestStoreTimeResponse {
        /// Store time of the queue's first message, ms; -1 if there is none.
        pub timestamp: i64 = "timestamp",
    }
}

/// Which message a search by store time finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BoundaryType {
    /// The first whose store time is not before the given one.
    #[default]
    Lower,
    /// The last whose store time is not after the given one.
    Upper,
}

impl<'a> FieldType<'a> for BoundaryType {
    const WANT: &'static str = "LOWER or UPPER";

    fn parse(text: Text<'a>) -> Option<Self> {
        // As the reference: anything but "upper" is the lower boundary.
        Some(if text.to_bytes().eq_ignore_ascii_case(b"upper") { Self::Upper } else { Self::Lower })
    }
}

impl FieldValue for BoundaryType {
    fn write(&self, writer: &mut FrameWriter<'_>, name: &str) {
        let text = match self {
            Self::Lower => "LOWER",
            Self::Upper => "UPPER",
        };
        text.write(writer, name);
    }
}
