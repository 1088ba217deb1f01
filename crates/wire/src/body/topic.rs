//! Bodies about topics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DataVersion;

/// How many tags a message of the topic has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TopicFilterType {
    /// One.
    #[default]
    SingleTag,
    /// Several.
    MultiTag,
}

impl TopicFilterType {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SingleTag => "SINGLE_TAG",
            Self::MultiTag => "MULTI_TAG",
        }
    }

    /// The type of exactly that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::SingleTag, Self::MultiTag].into_iter().find(|kind| kind.name() == name)
    }
}

/// A topic: answer to 351, element of [`TopicConfigs`] and of `topics.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfig {
    /// Attributes, without the `+` of the request that set them.
    pub attributes: BTreeMap<String, String>,
    /// Whether the topic is ordered.
    pub order: bool,
    /// [`crate::flags::perm`] bits.
    pub perm: i32,
    /// Queues to read from.
    pub read_queue_nums: i32,
    /// How many tags a message has.
    pub topic_filter_type: TopicFilterType,
    /// Name.
    pub topic_name: String,
    /// Bit 0 unit topic, bit 1 unit subscription.
    pub topic_sys_flag: i32,
    /// Queues to write to.
    pub write_queue_nums: i32,
}

impl Default for TopicConfig {
    /// The reference's defaults of missing fields.
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm: crate::flags::perm::READ | crate::flags::perm::WRITE,
            read_queue_nums: 16,
            topic_filter_type: TopicFilterType::SingleTag,
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

/// Topics to create or change: body of 18 (`CreateTopicListRequestBody`). Their attributes are
/// changes: the keys begin with `+` or `-`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfigList {
    /// The topics.
    pub topic_config_list: Vec<TopicConfig>,
}

/// All topics of a broker: answer to 21, part of [`super::RegisterBrokerBody`]
/// (`TopicConfigAndMappingSerializeWrapper`). Static topics pass through unread.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfigs {
    /// Version of the topics.
    pub data_version: DataVersion,
    /// Version of the static topics' mapping.
    pub mapping_data_version: DataVersion,
    /// Topics by name.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    /// Static topics with the queues they were mapped from.
    pub topic_queue_mapping_detail_map: BTreeMap<String, Value>,
    /// Static topics.
    pub topic_queue_mapping_info_map: BTreeMap<String, Value>,
}

/// Names of topics: answer to 206, 224, 304, 305, 311, 312, 313, 343.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicList {
    /// Broker that they are of, where one answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// The names.
    pub topic_list: Vec<String>,
}
