//! Header of a reply on its way to the producer that waits for it: 326. Replies are sent with the
//! header of a send (324, 325).

use super::{FieldProblem, FieldType, Header, HeaderError, headers, set};
use crate::frame::{Frame, FrameWriter};
use crate::text::Text;

headers! {
    /// Header of a reply that is pushed to the requesting producer (`ReplyMessageRequestHeader`).
    pub struct PushReplyHeader<'a> {
        /// Group of the producer that replied.
        pub producer_group: Text<'a> = "producerGroup",
        /// Topic of the reply.
        pub topic: Text<'a> = "topic",
        /// As in the send.
        pub default_topic: Text<'a> = "defaultTopic",
        /// As in the send.
        pub default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        /// As in the send.
        pub queue_id: i32 = "queueId",
        /// [`crate::flags::message`] bits.
        pub sys_flag: i32 = "sysFlag",
        /// Clock of the replying client, ms since the epoch.
        pub born_timestamp: i64 = "bornTimestamp",
        /// Opaque client flag.
        pub flag: i32 = "flag",
        /// Property block ([`crate::props`]), with the time of the push.
        pub properties: Option<Text<'a>> = "properties",
        /// As in the send.
        pub reconsume_times: Option<i32> = "reconsumeTimes",
        /// As in the send.
        pub unit_mode: bool = "unitMode" or false,
        /// Address of the replying client.
        pub born_host: Text<'a> = "bornHost",
        /// Address of the broker.
        pub store_host: Text<'a> = "storeHost",
        /// Clock of the broker, ms since the epoch.
        pub store_timestamp: i64 = "storeTimestamp",
    }
}
