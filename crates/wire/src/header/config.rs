//! Headers of requests about topics, groups and settings of a broker: 17, 21, 26, 201, 207, 215,
//! 351, 352.

use super::{FieldProblem, FieldType, Header, HeaderError, headers, set};
use crate::frame::{Frame, FrameWriter};
use crate::text::Text;

headers! {
    /// Header of a topic's creation or change (`CreateTopicRequestHeader`).
    pub struct CreateTopicHeader<'a> {
        /// Topic.
        pub topic: Text<'a> = "topic",
        /// Ignored by servers; clients of all ages send it.
        pub default_topic: Text<'a> = "defaultTopic",
        /// Queues to read from.
        pub read_queue_nums: i32 = "readQueueNums",
        /// Queues to write to.
        pub write_queue_nums: i32 = "writeQueueNums",
        /// [`crate::flags::perm`] bits.
        pub perm: i32 = "perm",
        /// SINGLE_TAG or MULTI_TAG.
        pub topic_filter_type: Text<'a> = "topicFilterType",
        /// Bit 0 unit topic, bit 1 unit subscription.
        pub topic_sys_flag: i32 = "topicSysFlag" or 0,
        /// Whether the topic is ordered.
        pub order: bool = "order" or false,
        /// Changes of attributes: `+key=value` and `-key`, separated by commas.
        pub attributes: Option<Text<'a>> = "attributes",
    }

    /// Header of a page of topics (`GetAllTopicConfigRequestHeader`); old callers send none.
    pub struct GetAllTopicConfigHeader<'a> {
        /// Index of the first topic in order of names.
        pub topic_seq: Option<i32> = "topicSeq",
        /// Version of the page before, as JSON.
        pub data_version: Option<Text<'a>> = "dataVersion",
        /// Most topics wanted.
        pub max_topic_num: Option<i32> = "maxTopicNum",
    }

    /// Answer to [`GetAllTopicConfigHeader`].
    pub struct GetAllTopicConfigResponse {
        /// Topics on all pages; an old server does not say.
        pub total_topic_num: Option<i32> = "totalTopicNum",
    }

    /// Answer to 26 (`GetBrokerConfigResponseHeader`).
    pub struct GetBrokerConfigResponse<'a> {
        /// Version of the settings, as JSON.
        pub version: Text<'a> = "version",
    }

    /// Header of a page of groups (`GetAllSubscriptionGroupRequestHeader`); old callers send none.
    pub struct GetAllGroupsHeader<'a> {
        /// Index of the first group in order of names.
        pub group_seq: Option<i32> = "groupSeq",
        /// Version of the page before, as JSON.
        pub data_version: Option<Text<'a>> = "dataVersion",
        /// Most groups wanted.
        pub max_group_num: Option<i32> = "maxGroupNum",
    }

    /// Answer to [`GetAllGroupsHeader`].
    pub struct GetAllGroupsResponse {
        /// Groups on all pages; an old server does not say.
        pub total_group_num: Option<i32> = "totalGroupNum",
    }

    /// Header of a request about one topic: 202, 215, 300, 351 (`DeleteTopicRequestHeader`,
    /// `GetTopicConfigRequestHeader` and others).
    pub struct TopicHeader<'a> {
        /// Topic.
        pub topic: Text<'a> = "topic",
    }

    /// Header of a request about one group: 343, 352 (`QueryTopicsByConsumerRequestHeader`,
    /// `GetSubscriptionGroupConfigRequestHeader`).
    pub struct GroupHeader<'a> {
        /// Group.
        pub group: Text<'a> = "group",
    }
    /// Header of a group's deletion (`DeleteSubscriptionGroupRequestHeader`).
    pub struct DeleteGroupHeader<'a> {
        /// Group.
        pub group_name: Text<'a> = "groupName",
        /// Whether its offsets go too.
        pub clean_offset: bool = "cleanOffset" or false,
    }
}
