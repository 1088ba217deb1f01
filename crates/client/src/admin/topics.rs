//! Topics.

use std::sync::Arc;

use wire::body::TopicConfig;

use super::{Admin, At, Target, ask, change, check_topic};
use crate::error::AdminError;
use crate::queue::MessageQueue;
use crate::route::Route;

/// A topic to create, or to change to this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name of the topic.
    pub name: String,
    /// Queues per broker that may be read.
    pub read_queues: u32,
    /// Queues per broker that may be written.
    pub write_queues: u32,
    /// Permission bits: 4 read, 2 write.
    pub permission: i32,
    /// Whether the topic is ordered globally.
    pub order: bool,
    /// Changes of attributes, such as `+message.type=FIFO`, separated by commas.
    pub attributes: String,
}

impl TopicSpec {
    /// A topic with 8 queues per broker, which may be read and written.
    pub fn new(name: impl Into<String>) -> TopicSpec {
        TopicSpec {
            name: name.into(),
            read_queues: 8,
            write_queues: 8,
            permission: 6,
            order: false,
            attributes: String::new(),
        }
    }

    /// A topic as a broker has it, without changes of its attributes: to change single fields.
    pub fn of(config: &TopicConfig) -> TopicSpec {
        TopicSpec {
            name: config.topic_name.clone(),
            read_queues: u32::try_from(config.read_queue_nums).unwrap_or(0),
            write_queues: u32::try_from(config.write_queue_nums).unwrap_or(0),
            permission: config.perm,
            order: config.order,
            attributes: String::new(),
        }
    }
}

/// A topic and what its queues hold.
#[derive(Clone, Debug)]
pub struct TopicDescription {
    /// Where the topic lives.
    pub route: Arc<Route>,
    /// Its queues.
    pub queues: Vec<QueueRange>,
}

/// What a queue holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRange {
    /// The queue.
    pub queue: MessageQueue,
    /// Lowest offset that can be read.
    pub min: u64,
    /// Offset that the next message will get.
    pub max: u64,
}

/// What a queue holds, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// What it holds.
    pub range: QueueRange,
    /// When its last message was stored, in milliseconds since 1970; `None` if it has none.
    pub last_ms: Option<i64>,
}

impl Admin {
    /// Names of all topics that have a route, sorted; system and retry topics are among them.
    ///
    /// # Errors
    /// When no name server answers.
    pub async fn topics(&self) -> Result<Vec<String>, AdminError> {
        let mut topics = self.client.remote().topics().await?;
        topics.sort_unstable();
        Ok(topics)
    }

    /// The route of a topic, from a name server, not from the cache.
    ///
    /// # Errors
    /// [`AdminError::Route`] when the topic does not exist or no name server answers.
    pub async fn route(&self, topic: &str) -> Result<Arc<Route>, AdminError> {
        Ok(self.client.fetch_route(topic).await?.route)
    }

    /// Creates the topic, or changes it to all that `topic` says. Returns the addresses of the
    /// brokers.
    ///
    /// # Errors
    /// When the name is not valid, the target does not exist, or a broker refuses; then
    /// [`AdminError::Partly`] names the brokers that did not.
    pub async fn create_topic(
        &self,
        topic: &TopicSpec,
        target: impl Into<Target>,
    ) -> Result<Vec<Arc<str>>, AdminError> {
        check_topic(&topic.name)?;
        let masters = self.masters(&target.into()).await?;
        let remote = self.client.remote();
        change(&masters, async |address| remote.create_topic(&address, topic).await).await
    }

    /// Deletes the topic and its messages at every master of `cluster`, or of all clusters, and its
    /// route at every name server. Deleting a topic that does not exist succeeds.
    ///
    /// # Errors
    /// As [`Admin::create_topic`].
    pub async fn delete_topic(
        &self,
        topic: &str,
        cluster: Option<&str>,
    ) -> Result<Vec<Arc<str>>, AdminError> {
        check_topic(topic)?;
        let masters = self.masters(&cluster.into()).await?;
        let remote = self.client.remote();
        let done = change(&masters, async |address| remote.delete_topic(&address, topic).await);
        let done = done.await?;
        remote.delete_route(topic, cluster).await?;
        Ok(done)
    }

    /// The topic as each broker of the target has it, those left out that do not have it.
    ///
    /// # Errors
    /// When a broker does not answer; those before 5.0 answer that they do not know the request.
    pub async fn topic_configs(
        &self,
        topic: &str,
        target: impl Into<Target>,
    ) -> Result<Vec<At<TopicConfig>>, AdminError> {
        let route = self.route(topic).await?;
        let mut masters = self.masters(&target.into()).await?;
        masters.retain(|one| route.shares.contains_key(&one.broker));
        let remote = self.client.remote();
        ask(&masters, async |address| remote.topic_config(&address, topic).await).await
    }

    /// The topic's route, and the range of each queue that can be read.
    ///
    /// # Errors
    /// When the topic does not exist, or a broker does not answer.
    pub async fn describe_topic(&self, topic: &str) -> Result<TopicDescription, AdminError> {
        let route = self.route(topic).await?;
        let queues = route.read_queues(&topic.into());
        let mut ranges = Vec::with_capacity(queues.len());
        for queue in queues {
            ranges.push(self.range(queue).await?);
        }
        Ok(TopicDescription { route, queues: ranges })
    }

    /// What every queue of the topic holds, sorted, and the messages a second that were sent to it
    /// over the last minute.
    ///
    /// # Errors
    /// As [`Admin::describe_topic`].
    pub async fn topic_stats(&self, topic: &str) -> Result<(Vec<QueueStats>, f64), AdminError> {
        let masters = self.masters_of(topic).await?;
        let remote = self.client.remote();
        let tables =
            ask(&masters, async |address| remote.topic_stats(&address, topic).await).await?;
        let mut queues = Vec::new();
        for At { broker, value: table, .. } in &tables {
            for (key, held) in &table.offset_table {
                let Some(queue) = MessageQueue::of_key(key, topic, broker) else { continue };
                let count = |offset: i64| u64::try_from(offset).unwrap_or(0);
                let range =
                    QueueRange { queue, min: count(held.min_offset), max: count(held.max_offset) };
                let last_ms = Some(held.last_update_timestamp).filter(|ms| *ms > 0);
                queues.push(QueueStats { range, last_ms });
            }
        }
        queues.sort_by(|one, other| one.range.queue.cmp(&other.range.queue));
        Ok((queues, tables.iter().map(|one| one.value.topic_put_tps).sum()))
    }

    /// What a queue holds.
    pub(super) async fn range(&self, queue: MessageQueue) -> Result<QueueRange, AdminError> {
        let broker = &queue.broker;
        let Some(address) = self.client.address_of_master(broker) else {
            return Err(self.client.unknown_broker("GET_MIN_OFFSET", broker).into());
        };
        let remote = self.client.remote();
        let min = remote.min_offset(&address, &queue).await?;
        let max = remote.max_offset(&address, &queue).await?;
        Ok(QueueRange { queue, min, max })
    }

    /// The masters that have a topic.
    pub(super) async fn masters_of(&self, topic: &str) -> Result<Vec<At<()>>, AdminError> {
        let route = self.route(topic).await?;
        let masters = route.shares.keys().map(|broker| {
            let address = crate::route::address_of_master(&route.brokers, broker);
            let missing = || self.client.unknown_broker("GET_TOPIC_STATS_INFO", broker);
            let address = address.ok_or_else(missing)?;
            Ok(At { broker: broker.clone(), address, value: () })
        });
        masters.collect()
    }
}
