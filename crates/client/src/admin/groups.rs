//! Consumer groups.

use std::sync::Arc;

use wire::body::{ConsumerConnection, SubscriptionGroupConfig};

use super::{Admin, At, Target, ask, change, check_group};
use crate::error::AdminError;
use crate::queue::MessageQueue;

/// How far a group is in one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueProgress {
    /// The queue.
    pub queue: MessageQueue,
    /// Offset that the group goes on from; 0 when it never committed.
    pub committed: u64,
    /// Offset behind the last message that a member has pulled.
    pub pulled: u64,
    /// Offset that the next message will get.
    pub max: u64,
    /// When the last message that was consumed was stored, in milliseconds since 1970; `None` if
    /// there is none.
    pub last_ms: Option<i64>,
}

impl QueueProgress {
    /// Messages that the group has not consumed.
    pub fn lag(&self) -> u64 {
        self.max.saturating_sub(self.committed)
    }

    /// Messages that were pulled and are not consumed.
    pub fn in_flight(&self) -> u64 {
        self.pulled.saturating_sub(self.committed)
    }
}

impl Admin {
    /// The groups that each broker of the target knows, in order of their names; the system's own
    /// are among them.
    ///
    /// # Errors
    /// When the target does not exist, or a broker does not answer.
    pub async fn groups(
        &self,
        target: impl Into<Target>,
    ) -> Result<Vec<At<Vec<SubscriptionGroupConfig>>>, AdminError> {
        let masters = self.masters(&target.into()).await?;
        let remote = self.client.remote();
        let tables = ask(&masters, async |address| remote.groups(&address).await).await?;
        let lists = tables.into_iter().map(|At { broker, address, value }| At {
            broker,
            address,
            value: value.subscription_group_table.into_values().collect(),
        });
        Ok(lists.collect())
    }

    /// A group as each broker of the target has it; brokers that do not know it are left out. Does
    /// not create it, whatever the brokers are set to.
    ///
    /// # Errors
    /// As [`Admin::groups`].
    pub async fn group_configs(
        &self,
        group: &str,
        target: impl Into<Target>,
    ) -> Result<Vec<At<SubscriptionGroupConfig>>, AdminError> {
        let lists = self.groups(target).await?;
        let found = lists.into_iter().filter_map(|At { broker, address, value }| {
            let value = value.into_iter().find(|config| config.group_name == group)?;
            Some(At { broker, address, value })
        });
        Ok(found.collect())
    }

    /// Creates the group, or changes it to all that `group` says. Returns the addresses of the
    /// brokers.
    ///
    /// # Errors
    /// When the name is not valid, the target does not exist, or a broker refuses; then
    /// [`AdminError::Partly`] names the brokers that did not.
    pub async fn create_group(
        &self,
        group: &SubscriptionGroupConfig,
        target: impl Into<Target>,
    ) -> Result<Vec<Arc<str>>, AdminError> {
        check_group(&group.group_name)?;
        let masters = self.masters(&target.into()).await?;
        let remote = self.client.remote();
        change(&masters, async |address| remote.put_group(&address, group).await).await
    }

    /// Deletes the group, with its offsets if `clean_offsets`. Its retry and dead-letter topics
    /// stay. Deleting a group that does not exist succeeds.
    ///
    /// # Errors
    /// As [`Admin::create_group`].
    pub async fn delete_group(
        &self,
        group: &str,
        clean_offsets: bool,
        target: impl Into<Target>,
    ) -> Result<Vec<Arc<str>>, AdminError> {
        check_group(group)?;
        let masters = self.masters(&target.into()).await?;
        let remote = self.client.remote();
        let delete = async |address| remote.delete_group(&address, group, clean_offsets).await;
        change(&masters, delete).await
    }

    /// The members that each broker of the target knows; brokers without any are left out. A member
    /// is connected to every broker that it reads from, and so to several.
    ///
    /// # Errors
    /// As [`Admin::groups`].
    pub async fn members(
        &self,
        group: &str,
        target: impl Into<Target>,
    ) -> Result<Vec<At<ConsumerConnection>>, AdminError> {
        check_group(group)?;
        let masters = self.masters(&target.into()).await?;
        let remote = self.client.remote();
        let found = ask(&masters, async |address| remote.connections(&address, group).await);
        let found = found.await?.into_iter().filter_map(|At { broker, address, value }| {
            Some(At { broker, address, value: value? })
        });
        Ok(found.collect())
    }

    /// How far the group is in every queue that it has read, or in those of one topic, sorted. While
    /// it has members, topics that they do not subscribe to are left out.
    ///
    /// # Errors
    /// When no name server, or a broker, does not answer.
    pub async fn progress(
        &self,
        group: &str,
        topic: Option<&str>,
    ) -> Result<Vec<QueueProgress>, AdminError> {
        check_group(group)?;
        let masters = match topic {
            Some(topic) => self.masters_of(topic).await?,
            None => self.masters(&Target::All).await?,
        };
        let remote = self.client.remote();
        let ask_one = async |address| remote.consume_stats(&address, group, topic).await;
        let mut queues = Vec::new();
        for At { broker, value: stats, .. } in ask(&masters, ask_one).await? {
            for (key, at) in &stats.offset_table {
                let topic = topic.unwrap_or_default();
                let Some(queue) = MessageQueue::of_key(key, topic, &broker) else { continue };
                let count = |offset: i64| u64::try_from(offset).unwrap_or(0);
                queues.push(QueueProgress {
                    queue,
                    committed: count(at.consumer_offset),
                    pulled: count(at.pull_offset),
                    max: count(at.broker_offset),
                    last_ms: Some(at.last_timestamp).filter(|ms| *ms > 0),
                });
            }
        }
        queues.sort_by(|one, other| one.queue.cmp(&other.queue));
        Ok(queues)
    }
}
