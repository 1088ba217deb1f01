//! Bodies about consumer groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DataVersion;

/// A consumer group: body of 200, answer to 352, element of [`SubscriptionGroups`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupConfig {
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Broker to consume from; 0 is the master.
    pub broker_id: i64,
    /// Whether the group may consume by broadcast.
    pub consume_broadcast_enable: bool,
    /// Whether the group may consume.
    pub consume_enable: bool,
    /// Whether a new group starts at the lowest offset.
    pub consume_from_min_enable: bool,
    /// Whether POP keeps the order of queues.
    pub consume_message_orderly: bool,
    /// How long a message may be consumed, minutes.
    pub consume_timeout_minute: i32,
    /// Name.
    pub group_name: String,
    /// Delays between retries.
    pub group_retry_policy: GroupRetryPolicy,
    /// Bit 0 unit.
    pub group_sys_flag: i32,
    /// Whether members are told when the membership changes.
    pub notify_consumer_ids_changed_enable: bool,
    /// Retries before the dead-letter topic.
    pub retry_max_times: i32,
    /// Queues of the retry topic; 0 drops failed messages.
    pub retry_queue_nums: i32,
    /// Subscriptions that the server was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<Vec<SimpleSubscriptionData>>,
    /// Broker to consume from when reading lags behind.
    pub which_broker_when_consume_slowly: i64,
}

impl Default for SubscriptionGroupConfig {
    /// The reference's defaults of missing fields.
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: GroupRetryPolicy::default(),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}

/// Delays between retries.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupRetryPolicy {
    /// Delays as a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customized_retry_policy: Option<CustomizedRetryPolicy>,
    /// Delays that grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential_retry_policy: Option<ExponentialRetryPolicy>,
    /// Which of the two counts.
    #[serde(rename = "type")]
    pub kind: GroupRetryPolicyType,
}

/// Kind of a [`GroupRetryPolicy`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GroupRetryPolicyType {
    /// Growing delays.
    Exponential,
    /// A list of delays.
    #[default]
    Customized,
}

/// Retry delays as a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomizedRetryPolicy {
    /// Delay before each retry, ms.
    pub next: Vec<i64>,
}

/// Retry delays that grow from one to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExponentialRetryPolicy {
    /// First delay, ms.
    pub initial: i64,
    /// Longest delay, ms.
    pub max: i64,
    /// Growth.
    pub multiplier: i64,
}

impl Default for ExponentialRetryPolicy {
    /// The reference's defaults.
    fn default() -> Self {
        Self { initial: 5_000, max: 7_200_000, multiplier: 2 }
    }
}

/// A subscription that the server was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SimpleSubscriptionData {
    /// Filter.
    pub expression: String,
    /// TAG or SQL92.
    pub expression_type: String,
    /// Topic.
    pub topic: String,
    /// Version.
    pub version: i64,
}

/// Groups to create or change: body of 225 (`SubscriptionGroupList`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupList {
    /// The groups.
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}

/// All groups of a broker: answer to 201 (`SubscriptionGroupWrapper`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroups {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Bits of what a group may not do, by group and topic.
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    /// Groups by name.
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
}

/// Client ids of a group's consumers: answer to 38.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerIdList {
    /// The ids.
    pub consumer_id_list: Vec<String>,
}
