//! What a member of a group tells brokers, and asks them about the others.

use std::sync::Arc;

use wire::FrameWriter;
use wire::codes::RequestCode;
use wire::header::{ConsumerGroupHeader, Header, UnregisterClientHeader};

use super::body::{
    ConsumerData, Heartbeat, LockRequest, LockResponse, Members, ProducerData, Queue, SubscriptionData,
};
use super::Remote;
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
    let heartbeat = Heartbeat {
        client_id,
        consumer_data_set: consumers.map(|group| consumer_data(group)).collect(),
        heartbeat_fingerprint: 0,
        producer_data_set: producers.map(|group| ProducerData { group_name: group }).collect(),
        without_sub: false,
    };
    serde_json::to_vec(&heartbeat).expect("a heartbeat has only text keys")
}

fn consumer_data(group: &Group) -> ConsumerData<'_> {
    let subscriptions = group.subscriptions.iter();
    ConsumerData {
        consume_from_where: match group.from {
            ConsumeFrom::Last => "CONSUME_FROM_LAST_OFFSET",
            ConsumeFrom::First => "CONSUME_FROM_FIRST_OFFSET",
            ConsumeFrom::TimeMs(_) => "CONSUME_FROM_TIMESTAMP",
        },
        consume_type: "CONSUME_PASSIVELY",
        group_name: &group.name,
        message_model: match group.model {
            Model::Clustering => "CLUSTERING",
            Model::Broadcasting => "BROADCASTING",
        },
        subscription_data_set: subscriptions.map(|(topic, one)| subscribed(topic, one)).collect(),
        unit_mode: false,
    }
}

fn subscribed<'a>(topic: &'a str, subscription: &'a Subscription) -> SubscriptionData<'a> {
    let tags = subscription.filter.tags();
    SubscriptionData {
        class_filter_mode: false,
        code_set: tags.iter().map(|tag| wire::java_hash::java_hash(tag)).collect(),
        expression_type: "TAG",
        sub_string: subscription.filter.to_string(),
        sub_version: subscription.version(),
        tags_set: tags,
        topic,
    }
}

impl Remote {
    /// Tells a broker who this client is; `body` is from [`heartbeat_body`].
    pub(crate) async fn heartbeat(&self, address: &Arc<str>, body: &[u8]) -> Result<(), CallError> {
        let answer = self.call(address, RequestCode::HeartBeat, |_| {}, body, limits::CALL_TIMEOUT).await?;
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
        let answer = self.call(address, RequestCode::UnregisterClient, fields, &[], timeout).await?;
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
        let answer = self.call(address, RequestCode::GetConsumerListByGroup, fields, &[], timeout).await?;
        Ok(answer.success()?.json::<Members>()?.consumer_id_list)
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
        let answer = self.call(address, RequestCode::LockBatchMq, |_| {}, &body, limits::LOCK_TIMEOUT).await?;
        let granted: LockResponse = answer.success()?.json()?;
        let queues = granted.lock_ok_mq_set.iter();
        Ok(queues.map(|one| MessageQueue::new(&one.topic, &one.broker_name, one.queue_id)).collect())
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
    let request = LockRequest {
        client_id,
        consumer_group: group,
        mq_set: queues
            .iter()
            .map(|queue| Queue {
                broker_name: queue.broker.to_string(),
                queue_id: queue.id,
                topic: queue.topic.to_string(),
            })
            .collect(),
        only_this_broker: false,
    };
    serde_json::to_vec(&request).expect("a lock request has only text keys")
}
