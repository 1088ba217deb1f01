//! JSON bodies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `HeartbeatData`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Heartbeat<'a> {
    #[serde(rename = "clientID")]
    pub(super) client_id: &'a str,
    pub(super) consumer_data_set: Vec<ConsumerData<'a>>,
    pub(super) heartbeat_fingerprint: i32,
    pub(super) producer_data_set: Vec<ProducerData<'a>>,
    pub(super) without_sub: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProducerData<'a> {
    pub(super) group_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConsumerData<'a> {
    pub(super) consume_from_where: &'static str,
    pub(super) consume_type: &'static str,
    pub(super) group_name: &'a str,
    pub(super) message_model: &'static str,
    pub(super) subscription_data_set: Vec<SubscriptionData<'a>>,
    pub(super) unit_mode: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubscriptionData<'a> {
    pub(super) class_filter_mode: bool,
    pub(super) code_set: Vec<i32>,
    pub(super) expression_type: &'static str,
    pub(super) sub_string: String,
    pub(super) sub_version: i64,
    pub(super) tags_set: &'a [String],
    pub(super) topic: &'a str,
}

/// `GetConsumerListByGroupResponseBody`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Members {
    #[serde(default)]
    pub(super) consumer_id_list: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queue {
    pub(super) broker_name: String,
    pub(super) queue_id: u32,
    pub(super) topic: String,
}

/// `LockBatchRequestBody`, `UnlockBatchRequestBody`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LockRequest<'a> {
    pub(super) client_id: &'a str,
    pub(super) consumer_group: &'a str,
    pub(super) mq_set: Vec<Queue>,
    pub(super) only_this_broker: bool,
}

/// `LockBatchResponseBody`.
#[derive(Deserialize)]
pub(super) struct LockResponse {
    #[serde(rename = "lockOKMQSet", default)]
    pub(super) lock_ok_mq_set: Vec<Queue>,
}

/// `TopicRouteData`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TopicRoute {
    #[serde(default)]
    pub(super) queue_datas: Vec<QueueData>,
    #[serde(default)]
    pub(super) broker_datas: Vec<BrokerData>,
    pub(super) order_topic_conf: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueueData {
    pub(super) broker_name: String,
    pub(super) read_queue_nums: u32,
    pub(super) write_queue_nums: u32,
    pub(super) perm: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BrokerData {
    pub(super) broker_name: String,
    #[serde(default)]
    pub(super) broker_addrs: BTreeMap<u64, String>,
}

/// `ClusterInfo`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterInfo {
    #[serde(default)]
    pub(super) broker_addr_table: BTreeMap<String, BrokerData>,
    #[serde(default)]
    pub(super) cluster_addr_table: BTreeMap<String, Vec<String>>,
}

/// `TopicList`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TopicList {
    #[serde(default)]
    pub(super) topic_list: Vec<String>,
}
