//! The body by which a client says who it is.

use serde::{Deserialize, Serialize};

/// A client's groups and subscriptions: body of 34.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeartbeatData {
    /// Client id.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// Consumer groups that it is a member of.
    pub consumer_data_set: Vec<ConsumerData>,
    /// Fingerprint of the subscriptions; 0 in heartbeats of version 1.
    pub heartbeat_fingerprint: i32,
    /// Producer groups that it is a member of.
    pub producer_data_set: Vec<ProducerData>,
    /// Whether the subscriptions are left out because they have not changed.
    pub without_sub: bool,
}

/// A producer group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerData {
    /// Name of the group.
    pub group_name: String,
}

/// A consumer group as one member has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerData {
    /// Where a new group starts.
    pub consume_from_where: ConsumeFromWhere,
    /// Who asks for messages.
    pub consume_type: ConsumeType,
    /// Name of the group.
    pub group_name: String,
    /// Whether members share the queues or each get all.
    pub message_model: MessageModel,
    /// What it subscribes to.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Unit mark.
    pub unit_mode: bool,
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionData {
    /// A feature that no longer exists.
    pub class_filter_mode: bool,
    /// Java hashes of the tags.
    pub code_set: Vec<i32>,
    /// TAG or SQL92.
    pub expression_type: String,
    /// The expression as the user wrote it.
    pub sub_string: String,
    /// Version: the time of the last change, ms.
    pub sub_version: i64,
    /// The tags; empty for all.
    pub tags_set: Vec<String>,
    /// Topic.
    pub topic: String,
}

impl Default for SubscriptionData {
    fn default() -> Self {
        Self {
            class_filter_mode: false,
            code_set: Vec::new(),
            expression_type: "TAG".into(),
            sub_string: String::new(),
            sub_version: 0,
            tags_set: Vec::new(),
            topic: String::new(),
        }
    }
}

/// Who asks for messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeType {
    /// The application.
    ConsumeActively,
    /// The client, which hands them to a listener.
    #[default]
    ConsumePassively,
    /// The client, by POP.
    ConsumePop,
}

/// How members of a group share messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MessageModel {
    /// Each gets all.
    Broadcasting,
    /// Each gets some queues.
    #[default]
    Clustering,
}

/// Where a new group starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeFromWhere {
    /// Behind the last message.
    #[default]
    ConsumeFromLastOffset,
    /// Old name of the same.
    ConsumeFromLastOffsetAndFromMinWhenBootFirst,
    /// Old name of the first offset.
    ConsumeFromMinOffset,
    /// Old name of the last offset.
    ConsumeFromMaxOffset,
    /// At the first message.
    ConsumeFromFirstOffset,
    /// At a time.
    ConsumeFromTimestamp,
}
