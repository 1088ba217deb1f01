//! Headers of requests that carry or look up messages: 10, 310, 320, 11, 361, 12, 33, 36.

use super::{FieldProblem, FieldType, Header, HeaderError, headers, set};
use crate::frame::{Frame, FrameWriter};
use crate::text::Text;

headers! {
    /// Header of a send: 10 with long names, 310 and 320 with letters
    /// (`SendMessageRequestHeader`, `SendMessageRequestHeaderV2`).
    pub struct SendHeader<'a> {
        /// Group of the producer.
        pub producer_group: Text<'a> = "producerGroup",
        /// Topic to send to.
        pub topic: Text<'a> = "topic",
        /// Template of a topic that has to be created.
        pub default_topic: Text<'a> = "defaultTopic",
        /// Number of queues of a topic that has to be created, at most.
        pub default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        /// Queue to send to; negative lets the broker choose.
        pub queue_id: i32 = "queueId",
        /// [`crate::flags::message`] bits.
        pub sys_flag: i32 = "sysFlag",
        /// Client's clock, ms since the epoch.
        pub born_timestamp: i64 = "bornTimestamp",
        /// Opaque client flag.
        pub flag: i32 = "flag",
        /// Property block ([`crate::props`]).
        pub properties: Option<Text<'a>> = "properties",
        /// How often the message was redelivered.
        pub reconsume_times: i32 = "reconsumeTimes" or 0,
        /// Unit mark of the producer.
        pub unit_mode: bool = "unitMode" or false,
        /// Whether the body is a batch.
        pub batch: bool = "batch" or false,
        /// Redeliveries before the dead-letter topic.
        pub max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    } short {
        "a" producer_group, "b" topic, "c" default_topic, "d" default_topic_queue_nums,
        "e" queue_id, "f" sys_flag, "g" born_timestamp, "h" flag, "i" properties,
        "j" reconsume_times, "k" unit_mode, "l" max_reconsume_times, "m" batch,
    }

    /// Answer to a send (`SendMessageResponseHeader`), with what every answer to a send adds.
    pub struct SendResponse<'a> {
        /// Offset message id; of a batch, the ids joined by commas.
        pub msg_id: Text<'a> = "msgId",
        /// Queue that the message was stored in.
        pub queue_id: i32 = "queueId",
        /// Offset in that queue, of a batch the first.
        pub queue_offset: i64 = "queueOffset",
        /// Unique key of the message.
        pub transaction_id: Option<Text<'a>> = "transactionId",
        /// Unique key of an inner batch.
        pub batch_uniq_id: Option<Text<'a>> = "batchUniqId",
        /// Handle to recall a timer message.
        pub recall_handle: Option<Text<'a>> = "recallHandle",
        /// Region of the broker.
        pub region: Option<Text<'a>> = "MSG_REGION",
        /// Whether the client should trace.
        pub trace_on: Option<bool> = "TRACE_ON",
    }

    /// Header of a pull (`PullMessageRequestHeader`).
    pub struct PullHeader<'a> {
        /// Group of the consumer.
        pub consumer_group: Text<'a> = "consumerGroup",
        /// Topic to pull from.
        pub topic: Text<'a> = "topic",
        /// Queue to pull from.
        pub queue_id: i32 = "queueId",
        /// First offset wanted.
        pub queue_offset: i64 = "queueOffset",
        /// Most messages wanted.
        pub max_msg_nums: i32 = "maxMsgNums",
        /// [`crate::flags::pull`] bits.
        pub sys_flag: i32 = "sysFlag",
        /// Offset to store, with [`crate::flags::pull::COMMIT_OFFSET`].
        pub commit_offset: i64 = "commitOffset",
        /// How long the broker may hold the request, ms.
        pub suspend_timeout_millis: i64 = "suspendTimeoutMillis",
        /// Filter expression, with [`crate::flags::pull::SUBSCRIPTION`].
        pub subscription: Option<Text<'a>> = "subscription",
        /// Version of the subscription.
        pub sub_version: i64 = "subVersion",
        /// TAG (the default) or SQL92.
        pub expression_type: Option<Text<'a>> = "expressionType",
        /// Most bytes wanted.
        pub max_msg_bytes: Option<i32> = "maxMsgBytes",
    }

    /// Answer to a pull (`PullMessageResponseHeader`).
    pub struct PullResponse {
        /// Broker id to pull from next.
        pub suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        /// Offset to pull next.
        pub next_begin_offset: i64 = "nextBeginOffset",
        /// Lowest offset of the queue.
        pub min_offset: i64 = "minOffset",
        /// Offset behind the last message of the queue.
        pub max_offset: i64 = "maxOffset",
        /// Distance of logical to physical offsets, static topics only.
        pub offset_delta: Option<i64> = "offsetDelta",
        /// System flag of the topic.
        pub topic_sys_flag: Option<i32> = "topicSysFlag",
        /// System flag of the group.
        pub group_sys_flag: Option<i32> = "groupSysFlag",
        /// Why a pull is forbidden, with code 16.
        pub forbidden_type: Option<i32> = "forbiddenType",
    }

    /// Header of a query by key (`QueryMessageRequestHeader`).
    pub struct QueryMessageHeader<'a> {
        /// Topic of the messages.
        pub topic: Text<'a> = "topic",
        /// Key, unique key or tag.
        pub key: Text<'a> = "key",
        /// Most messages wanted.
        pub max_num: i32 = "maxNum",
        /// Earliest store time, ms.
        pub begin_timestamp: i64 = "beginTimestamp",
        /// Latest store time, ms.
        pub end_timestamp: i64 = "endTimestamp",
        /// `K` key, `U` unique key, `T` tag.
        pub index_type: Option<Text<'a>> = "indexType",
        /// Where the last page of an answer ended.
        pub last_key: Option<Text<'a>> = "lastKey",
        /// Whether `key` is a unique key.
        pub unique_key: bool = "_UNIQUE_KEY_QUERY" or false,
    }

    /// Answer to a query by key (`QueryMessageResponseHeader`).
    pub struct QueryMessageResponse {
        /// Store time of the newest indexed message, ms.
        pub index_last_update_timestamp: i64 = "indexLastUpdateTimestamp",
        /// Commit log offset of the newest indexed message.
        pub index_last_update_phyoffset: i64 = "indexLastUpdatePhyoffset",
    }

    /// Header of a lookup by offset (`ViewMessageRequestHeader`).
    pub struct ViewMessageHeader<'a> {
        /// Topic of the message.
        pub topic: Option<Text<'a>> = "topic",
        /// Commit log offset, from an offset message id.
        pub offset: i64 = "offset",
    }

    /// Header of a failed message that comes back (`ConsumerSendMsgBackRequestHeader`).
    pub struct SendBackHeader<'a> {
        /// Commit log offset of the message on this broker.
        pub offset: i64 = "offset",
        /// Group that failed to consume it.
        pub group: Text<'a> = "group",
        /// Delay before the retry; 0 lets the broker choose, negative gives up.
        pub delay_level: i32 = "delayLevel",
        /// Message id.
        pub origin_msg_id: Option<Text<'a>> = "originMsgId",
        /// Topic, for statistics.
        pub origin_topic: Option<Text<'a>> = "originTopic",
        /// Unit mark of the consumer.
        pub unit_mode: bool = "unitMode" or false,
        /// Redeliveries before the dead-letter topic.
        pub max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }
}
