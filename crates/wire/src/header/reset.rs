//! Headers of requests by which an administrator looks at and changes the offsets of groups: 220,
//! 221, 222, 223, 308, 314.

use super::{FieldProblem, FieldType, Header, HeaderError, headers, set};
use crate::frame::{Frame, FrameWriter};
use crate::text::Text;

headers! {
    /// Header of a reset of offsets: 222, and 220 to the group's consumers
    /// (`ResetOffsetRequestHeader`).
    pub struct ResetOffsetHeader<'a> {
        /// Group whose offsets are set.
        pub group: Text<'a> = "group",
        /// Topic.
        pub topic: Text<'a> = "topic",
        /// Queue; negative for all of the topic.
        pub queue_id: i32 = "queueId" or -1,
        /// Offset to go to in that queue; absent or -1 to go by time.
        pub offset: Option<i64> = "offset",
        /// Store time to go to, ms; negative for the end.
        pub timestamp: i64 = "timestamp" or 0,
        /// Whether the group may move forward.
        pub force: bool = "isForce" or false,
    }

    /// Header of a question for the offsets in the memory of consumers: 223, and 221 to each
    /// (`GetConsumerStatusRequestHeader`).
    pub struct ConsumerStatusHeader<'a> {
        /// Topic.
        pub topic: Text<'a> = "topic",
        /// Group of the consumers.
        pub group: Text<'a> = "group",
        /// Client id of the only consumer that is asked.
        pub client_addr: Option<Text<'a>> = "clientAddr",
    }

    /// Header of 314 (`CloneGroupOffsetRequestHeader`).
    pub struct CloneOffsetsHeader<'a> {
        /// Group whose offsets are copied.
        pub src_group: Text<'a> = "srcGroup",
        /// Group that gets them.
        pub dest_group: Text<'a> = "destGroup",
        /// Topic; all of the group's where it is absent or blank.
        pub topic: Option<Text<'a>> = "topic",
        /// Whether topics are copied to which the group's members do not subscribe.
        pub offline: bool = "offline" or false,
    }

    /// Header of 308 (`QueryCorrectionOffsetHeader`).
    pub struct CorrectionOffsetHeader<'a> {
        /// Groups that do not count, separated by commas.
        pub filter_groups: Option<Text<'a>> = "filterGroups",
        /// Group that is compared with the others.
        pub compare_group: Text<'a> = "compareGroup",
        /// Topic.
        pub topic: Text<'a> = "topic",
    }
}
