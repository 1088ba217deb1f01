//! What a member of a group tells brokers, and asks them about the others.

use std::sync::Arc;

use wire::FrameWriter;
use wire::body::{
    self, ConsumeFromWhere, ConsumeType, ConsumerData, ConsumerIdList, HeartbeatData,
    LockBatchRequest, LockBatchResponse, MessageModel, ProducerData, SubscriptionData,
};
use wire::codes::RequestCode;
use wire::header::{ConsumerGroupHeader, Header, UnregisterClientHeader};

use super::{Remote, queue_id};
use crate::consumer::group::{ConsumeFrom, Group, Model, Subscription};
use crate::error::CallError;
use crate::limits;
use crate::queue::MessageQueue;

/// Encodes what a heartbeat says.
pub(crate) fn heartbeat_body<'a>(
    client_id: &str,
    producers: impl Iterator<Item = &'a Arc<str>>,
    consumers: impl Iterator<Item = &'a Arc<Group>>,
) -> Vec<u8> {
    body::write(&HeartbeatData {
        client_id: client_id.to_owned(),
        consumer_data_set: consumers.map(|group| consumer_data(group)).collect(),
        heartbeat_fingerprint: 0,
        producer_data_set: producers
            .map(|group| ProducerData { group_name: group.to_string() })
            .collect(),
        without_sub: false,
    })
}

fn consumer_data(group: &Group) -> ConsumerData {
    let subscriptions = group.subscriptions.iter();
    ConsumerData {
        consume_from_where: match group.from {
            ConsumeFrom::Last => ConsumeFromWhere::ConsumeFromLastOffset,
            ConsumeFrom::First => ConsumeFromWhere::ConsumeFromFirstOffset,
            ConsumeFrom::TimeMs(_) => ConsumeFromWhere::ConsumeFromTimestamp,
        },
        consume_type: ConsumeType::ConsumePassively,
        group_name: group.name.to_string(),
        message_model: match group.model {
            Model::Clustering => MessageModel::Clustering,
            Model::Broadcasting => MessageModel::Broadcasting,
        },
        subscription_data_set: subscriptions.map(|(topic, one)| subscribed(topic, one)).collect(),
        unit_mode: false,
    }
}

pub(super) fn subscribed(topic: &str, subscription: &Subscription) -> SubscriptionData {
    let tags = subscription.filter.tags();
    SubscriptionData {
        code_set: tags.iter().map(|tag| wire::java_hash::java_hash(tag)).collect(),
        sub_string: subscription.filter.to_string(),
        sub_version: subscription.version(),
        tags_set: tags.to_vec(),
        topic: topic.to_owned(),
        ..SubscriptionData::default()
    }
}

impl Remote {
    /// Tells a broker who this client is; `body` is from [`heartbeat_body`].
    pub(crate) async fn heartbeat(&self, address: &Arc<str>, body: &[u8]) -> Result<(), CallError> {
        let answer =
            self.call(address, RequestCode::HeartBeat, |_| {}, body, limits::CALL_TIMEOUT).await?;
        answer.success().map(drop)
    }

    /// Tells a broker that this client leaves a group.
    pub(crate) async fn unregister(
        &self,
        address: &Arc<str>,
        client_id: &str,
        producer: Option<&str>,
        consumer: Option<&str>,
    ) -> Result<(), CallError> {
        let header = UnregisterClientHeader {
            client_id: client_id.into(),
            producer_group: producer.map(Into::into),
            consumer_group: consumer.map(Into::into),
        };
        let fields = |out: &mut FrameWriter<'_>| header.encode(out);
        let timeout = limits::CALL_TIMEOUT;
        let answer =
            self.call(address, RequestCode::UnregisterClient, fields, &[], timeout).await?;
        answer.success().map(drop)
    }

    /// The ids of the clients that are members of a group.
    pub(crate) async fn members(
        &self,
        address: &Arc<str>,
        group: &str,
    ) -> Result<Vec<String>, CallError> {
        let header = ConsumerGroupHeader { consumer_group: group.into() };
        let fields = |out: &mut FrameWriter<'_>| header.encode(out);
        let timeout = limits::CALL_TIMEOUT;
        let answer =
            self.call(address, RequestCode::GetConsumerListByGroup, fields, &[], timeout).await?;
        Ok(answer.success()?.json::<ConsumerIdList>()?.consumer_id_list)
    }

    /// Takes or renews locks. Returns the queues that are ours now.
    pub(crate) async fn lock(
        &self,
        address: &Arc<str>,
        group: &str,
        client_id: &str,
        queues: &[MessageQueue],
    ) -> Result<Vec<MessageQueue>, CallError> {
        let body = lock_body(group, client_id, queues);
        let answer = self
            .call(address, RequestCode::LockBatchMq, |_| {}, &body, limits::LOCK_TIMEOUT)
            .await?;
        let granted: LockBatchResponse = answer.success()?.json()?;
        // Compared as the protocol writes them: what was not asked for cannot be granted.
        let is_granted =
            |queue: &&MessageQueue| granted.locked.iter().any(|one| *one == of_body(queue));
        Ok(queues.iter().filter(is_granted).cloned().collect())
    }

    /// Gives locks up.
    pub(crate) async fn unlock(
        &self,
        address: &Arc<str>,
        group: &str,
        client_id: &str,
        queues: &[MessageQueue],
    ) -> Result<(), CallError> {
        let body = lock_body(group, client_id, queues);
        let timeout = limits::LOCK_TIMEOUT;
        let answer = self.call(address, RequestCode::UnlockBatchMq, |_| {}, &body, timeout).await?;
        answer.success().map(drop)
    }
}

fn lock_body(group: &str, client_id: &str, queues: &[MessageQueue]) -> Vec<u8> {
    body::write(&LockBatchRequest {
        client_id: client_id.to_owned(),
        consumer_group: group.to_owned(),
        mq_set: queues.iter().map(of_body).collect(),
        only_this_broker: false,
    })
}

pub(super) fn of_body(queue: &MessageQueue) -> body::MessageQueue {
    body::MessageQueue {
        broker_name: queue.broker.to_string(),
        queue_id: queue_id(queue),
        topic: queue.topic.to_string(),
    }
}
