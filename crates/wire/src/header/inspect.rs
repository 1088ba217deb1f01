//! Headers of requests by which operators' tools look into a broker: 204, 208, 303, 307, 309, 315,
//! 317, 321, 345.

use super::{FieldProblem, FieldType, Header, HeaderError, headers, set};
use crate::frame::{Frame, FrameWriter};
use crate::text::Text;

headers! {
    /// Header of 204 (`GetProducerConnectionListRequestHeader`).
    pub struct ProducerGroupHeader<'a> {
        /// Group of the producers.
        pub producer_group: Text<'a> = "producerGroup",
    }

    /// Header of a question for a group's progress (`GetConsumeStatsRequestHeader`).
    pub struct ConsumeStatsHeader<'a> {
        /// Group of the consumers.
        pub consumer_group: Text<'a> = "consumerGroup",
        /// The only topic that is asked about; empty or missing for all.
        pub topic: Option<Text<'a>> = "topic",
        /// Topics, separated by `;`, that are told of whether the group subscribes to them or not.
        pub topic_list: Option<Text<'a>> = "topicList",
    }

    /// Header of 303 (`QueryConsumeTimeSpanRequestHeader`).
    pub struct ConsumeTimeSpanHeader<'a> {
        /// Topic.
        pub topic: Text<'a> = "topic",
        /// Group of the consumers.
        pub group: Text<'a> = "group",
    }

    /// Header of 307, to the broker and on to the client (`GetConsumerRunningInfoRequestHeader`).
    pub struct RunningInfoHeader<'a> {
        /// Group of the consumer.
        pub consumer_group: Text<'a> = "consumerGroup",
        /// The consumer.
        pub client_id: Text<'a> = "clientId",
        /// Whether the stacks of its threads are wanted.
        pub jstack_enable: bool = "jstackEnable" or false,
    }

    /// Header of 309, to the broker and on to the client
    /// (`ConsumeMessageDirectlyResultRequestHeader`).
    pub struct ConsumeDirectlyHeader<'a> {
        /// Group of the consumer.
        pub consumer_group: Text<'a> = "consumerGroup",
        /// The consumer.
        pub client_id: Option<Text<'a>> = "clientId",
        /// Offset message id.
        pub msg_id: Option<Text<'a>> = "msgId",
        /// Broker that holds the message; set by it.
        pub broker_name: Option<Text<'a>> = "brokerName",
        /// Topic of the message.
        pub topic: Option<Text<'a>> = "topic",
        /// System flag of the topic; set by the broker.
        pub topic_sys_flag: Option<i32> = "topicSysFlag",
        /// System flag of the group; set by the broker.
        pub group_sys_flag: Option<i32> = "groupSysFlag",
    }

    /// Header of 315 (`ViewBrokerStatsDataRequestHeader`).
    pub struct StatsHeader<'a> {
        /// What is counted.
        pub stats_name: Text<'a> = "statsName",
        /// Of whom.
        pub stats_key: Text<'a> = "statsKey",
    }

    /// Header of a question for the progress of all groups (`GetConsumeStatsInBrokerHeader`).
    pub struct BrokerConsumeStatsHeader {
        /// Whether only ordered topics count.
        pub is_order: bool = "isOrder",
    }

    /// Header of a look into a consume queue (`QueryConsumeQueueRequestHeader`).
    pub struct QueryConsumeQueueHeader<'a> {
        /// Topic.
        pub topic: Text<'a> = "topic",
        /// Queue of the topic.
        pub queue_id: i32 = "queueId",
        /// First offset wanted.
        pub index: i64 = "index",
        /// Most units wanted.
        pub count: i32 = "count",
        /// Group whose subscription is wanted too.
        pub consumer_group: Option<Text<'a>> = "consumerGroup",
    }

    /// Header of 345 (`QuerySubscriptionByConsumerRequestHeader`).
    pub struct QuerySubscriptionHeader<'a> {
        /// Group.
        pub group: Text<'a> = "group",
        /// Topic.
        pub topic: Option<Text<'a>> = "topic",
    }
}
