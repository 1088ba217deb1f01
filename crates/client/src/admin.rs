//! Administrative operations, in the steps that `mqadmin` takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::try_join_all;

use crate::error::AdminError;
use crate::instance::Client;
use crate::limits;
use crate::message::{InvalidMessage, is_valid_name};
use crate::queue::MessageQueue;
use crate::route::{Brokers, Route, address_of_master};

/// Administrative operations of a [`Client`].
#[derive(Clone)]
pub struct Admin {
    client: Client,
}

/// A topic to create, or to change to this.
#[derive(Clone, Debug)]
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
}

/// The brokers that a name server knows.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Names of the broker groups of each cluster.
    pub clusters: BTreeMap<String, Vec<Arc<str>>>,
    /// Addresses of the broker groups.
    pub brokers: Brokers,
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

impl Admin {
    pub(crate) fn new(client: Client) -> Admin {
        Admin { client }
    }

    /// The brokers and clusters that the name server knows.
    pub async fn cluster(&self) -> Result<Cluster, AdminError> {
        Ok(self.client.remote().cluster().await?)
    }

    /// Names of all topics that have a route, sorted; system and retry topics are among them.
    pub async fn topics(&self) -> Result<Vec<String>, AdminError> {
        let mut topics = self.client.remote().topics().await?;
        topics.sort_unstable();
        Ok(topics)
    }

    /// The route of a topic, from a name server, not from the cache.
    pub async fn route(&self, topic: &str) -> Result<Arc<Route>, AdminError> {
        Ok(self.client.fetch_route(topic).await?.route)
    }

    /// Creates the topic, or changes it, at every master of `cluster`, or of all clusters. Returns
    /// the addresses of the brokers.
    pub async fn create_topic(
        &self,
        topic: &TopicSpec,
        cluster: Option<&str>,
    ) -> Result<Vec<Arc<str>>, AdminError> {
        check(&topic.name)?;
        let masters = self.masters(cluster).await?;
        let remote = self.client.remote();
        let calls = masters.iter().map(|address| remote.create_topic(address, topic));
        try_join_all(calls).await?;
        Ok(masters)
    }

    /// Deletes the topic and its messages at every master of `cluster`, or of all clusters, and its
    /// route at every name server. Deleting a topic that does not exist succeeds.
    pub async fn delete_topic(
        &self,
        topic: &str,
        cluster: Option<&str>,
    ) -> Result<Vec<Arc<str>>, AdminError> {
        check(topic)?;
        let masters = self.masters(cluster).await?;
        let remote = self.client.remote();
        try_join_all(masters.iter().map(|address| remote.delete_topic(address, topic))).await?;
        remote.delete_route(topic, cluster).await?;
        Ok(masters)
    }

    /// The topic's route, and the range of each queue that can be read.
    pub async fn describe_topic(&self, topic: &str) -> Result<TopicDescription, AdminError> {
        let route = self.route(topic).await?;
        let queues = route.read_queues(&topic.into());
        let mut ranges = Vec::with_capacity(queues.len());
        for queue in queues {
            ranges.push(self.range(queue).await?);
        }
        Ok(TopicDescription { route, queues: ranges })
    }

    async fn range(&self, queue: MessageQueue) -> Result<QueueRange, AdminError> {
        let broker = &queue.broker;
        let Some(address) = self.client.address_of_master(broker) else {
            return Err(self.client.unknown_broker("GET_MIN_OFFSET", broker).into());
        };
        let remote = self.client.remote();
        let min = remote.min_offset(&address, &queue).await?;
        let max = remote.max_offset(&address, &queue).await?;
        Ok(QueueRange { queue, min, max })
    }

    async fn masters(&self, cluster: Option<&str>) -> Result<Vec<Arc<str>>, AdminError> {
        let known = self.cluster().await?;
        let brokers: Vec<&Arc<str>> = match cluster {
            None => known.brokers.keys().collect(),
            Some(name) => match known.clusters.get(name) {
                Some(brokers) => brokers.iter().collect(),
                None => {
                    let names: Vec<&str> = known.clusters.keys().map(String::as_str).collect();
                    let known = names.join(", ");
                    return Err(AdminError::NoCluster { cluster: name.to_owned(), known });
                }
            },
        };
        let masters =
            brokers.into_iter().filter_map(|name| address_of_master(&known.brokers, name));
        let masters: Vec<Arc<str>> = masters.collect();
        if masters.is_empty() {
            return Err(AdminError::NoMaster { address: self.client.remote().name_server() });
        }
        Ok(masters)
    }
}

fn check(topic: &str) -> Result<(), InvalidMessage> {
    if is_valid_name(topic, limits::NAME_BYTES) {
        return Ok(());
    }
    Err(InvalidMessage::Topic { topic: topic.to_owned() })
}
