//! Requests of administrators about consumer groups.

use std::sync::Arc;

use wire::body::{
    self, ConsumeStats, ConsumerConnection, SubscriptionGroupConfig, SubscriptionGroups,
};
use wire::codes::RequestCode;
use wire::header::{
    ConsumeStatsHeader, ConsumerGroupHeader, DeleteGroupHeader, Header, NoHeader, ResetOffsetHeader,
};
use wire::{FrameWriter, reply_codes};

use super::{Remote, for_broker, queue_id, signed};
use crate::error::CallError;
use crate::limits;
use crate::queue::MessageQueue;

impl Remote {
    /// Every group of one broker.
    pub(crate) async fn groups(&self, address: &Arc<str>) -> Result<SubscriptionGroups, CallError> {
        let request = RequestCode::GetAllSubscriptiongroupConfig;
        self.administer(address, request, &NoHeader).await?.json()
    }

    /// Creates a group at one broker, or changes it.
    pub(crate) async fn put_group(
        &self,
        address: &Arc<str>,
        group: &SubscriptionGroupConfig,
    ) -> Result<(), CallError> {
        let request = RequestCode::UpdateAndCreateSubscriptiongroup;
        let (body, timeout) = (body::write(group), limits::ADMIN_TIMEOUT);
        self.call(address, request, |_| {}, &body, timeout).await?.success().map(drop)
    }

    /// Deletes a group at one broker.
    pub(crate) async fn delete_group(
        &self,
        address: &Arc<str>,
        group: &str,
        clean_offset: bool,
    ) -> Result<(), CallError> {
        let header = DeleteGroupHeader { group_name: group.into(), clean_offset };
        let request = RequestCode::DeleteSubscriptiongroup;
        self.administer(address, request, &header).await.map(drop)
    }

    /// The members that are connected to one broker; `None` when there are none.
    pub(crate) async fn connections(
        &self,
        address: &Arc<str>,
        group: &str,
    ) -> Result<Option<ConsumerConnection>, CallError> {
        let header = ConsumerGroupHeader { consumer_group: group.into() };
        let request = RequestCode::GetConsumerConnectionList;
        match self.administer(address, request, &header).await {
            Ok(answer) => answer.json().map(Some),
            Err(error) if error.code() == Some(reply_codes::CONSUMER_NOT_ONLINE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How far a group is in its topics, or in one, at one broker.
    pub(crate) async fn consume_stats(
        &self,
        address: &Arc<str>,
        group: &str,
        topic: Option<&str>,
    ) -> Result<ConsumeStats, CallError> {
        let header = ConsumeStatsHeader {
            consumer_group: group.into(),
            topic: topic.map(Into::into),
            topic_list: None,
        };
        self.administer(address, RequestCode::GetConsumeStats, &header).await?.json()
    }

    /// Moves a group in one queue; its members hear of it with their next pull.
    pub(crate) async fn reset_offset(
        &self,
        address: &Arc<str>,
        group: &str,
        queue: &MessageQueue,
        offset: u64,
    ) -> Result<(), CallError> {
        let header = ResetOffsetHeader {
            group: group.into(),
            topic: (&*queue.topic).into(),
            queue_id: queue_id(queue),
            offset: Some(signed(offset)),
            timestamp: 0,
            force: true,
        };
        let fields = |out: &mut FrameWriter<'_>| {
            header.encode(out);
            for_broker(out, queue);
        };
        let (request, timeout) = (RequestCode::InvokeBrokerToResetOffset, limits::ADMIN_TIMEOUT);
        self.call(address, request, fields, &[], timeout).await?.success().map(drop)
    }
}
