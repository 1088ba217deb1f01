//! The registry as operators' tools look at it (203, 204, 208, 300, 307, 328, 345).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use wire::Peer;
use wire::body::{Connection, ConsumeType, ConsumerConnection, ProducerInfo, SubscriptionData};

use super::{Clients, ConsumerGroup, Member};

/// One consumer, to be asked something.
#[derive(Debug)]
pub struct Consumer {
    /// Its connection.
    pub peer: Arc<Peer>,
    /// Version ordinal of its frames.
    pub version: i32,
}

/// What connections of consumers are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsumerKind {
    /// Group.
    pub group: String,
    /// Language, in lower case.
    pub language: String,
    /// Version, in lower case.
    pub version: String,
    /// `push`, `pull` or `pop`.
    pub mode: &'static str,
}

impl Clients {
    /// Consumer groups that have members, sorted.
    pub fn online_groups(&self) -> BTreeSet<String> {
        self.registry.read().consumers.keys().cloned().collect()
    }

    /// Whether each member of the group gets all messages.
    pub fn is_broadcasting(&self, group: &str) -> bool {
        self.with_group(group, ConsumerGroup::is_broadcasting).unwrap_or(false)
    }

    /// Connections of producers, by language and version; one that is in several groups counts in each.
    pub fn producer_counts(&self) -> BTreeMap<(String, String), u64> {
        let registry = self.registry.read();
        let mut counts = BTreeMap::new();
        for member in registry.producers.values().flat_map(HashMap::values) {
            *counts.entry(member.kind()).or_default() += 1;
        }
        counts
    }

    /// Connections of consumers.
    pub fn consumer_counts(&self) -> BTreeMap<ConsumerKind, u64> {
        let registry = self.registry.read();
        let mut counts = BTreeMap::new();
        for (name, group) in &registry.consumers {
            let mode = match group.consume_type {
                ConsumeType::ConsumeActively => "pull",
                ConsumeType::ConsumePassively => "push",
                ConsumeType::ConsumePop => "pop",
            };
            for member in group.members.values() {
                let ((language, version), group) = (member.kind(), name.clone());
                let kind = ConsumerKind { group, language, version, mode };
                *counts.entry(kind).or_default() += 1;
            }
        }
        counts
    }

    /// The members of a consumer group.
    pub fn consumer_connections(&self, group: &str) -> Option<ConsumerConnection> {
        self.with_group(group, |group| ConsumerConnection {
            connection_set: group.members.values().map(Member::connection).collect(),
            consume_from_where: group.consume_from_where,
            consume_type: group.consume_type,
            message_model: group.message_model,
            subscription_table: group.subscriptions(),
        })
    }

    /// What the members of a group subscribe to, by topic; nothing if nobody is connected.
    pub fn subscriptions(&self, group: &str) -> BTreeMap<String, SubscriptionData> {
        self.with_group(group, ConsumerGroup::subscriptions).unwrap_or_default()
    }

    /// Groups with a member that subscribes to the topic.
    pub fn groups_of(&self, topic: &str) -> BTreeSet<String> {
        let registry = self.registry.read();
        let subscribes = |group: &ConsumerGroup| {
            group.members.values().any(|member| member.subscriptions.contains_key(topic))
        };
        let groups = registry.consumers.iter().filter(|(_, group)| subscribes(group));
        groups.map(|(name, _)| name.clone()).collect()
    }

    /// The consumer of that name.
    pub fn consumer(&self, group: &str, client_id: &str) -> Option<Consumer> {
        self.with_group(group, |group| {
            let member = group.members.values().find(|member| member.client_id == client_id)?;
            Some(Consumer { peer: Arc::clone(&member.peer), version: member.version })
        })?
    }

    /// The members of a producer group.
    pub fn producer_connections(&self, group: &str) -> Option<Vec<Connection>> {
        let registry = self.registry.read();
        Some(registry.producers.get(group)?.values().map(Member::connection).collect())
    }

    /// Every producer, by group.
    pub fn producers(&self, now: Duration, now_ms: i64) -> BTreeMap<String, Vec<ProducerInfo>> {
        let registry = self.registry.read();
        let info = |member: &Member| {
            let ago = now.saturating_sub(member.seen).as_millis();
            ProducerInfo {
                client_id: member.client_id.clone(),
                language: member.language.name().to_owned(),
                last_update_timestamp: now_ms - i64::try_from(ago).unwrap_or(now_ms),
                remote_ip: member.peer.remote().to_string(),
                version: member.version,
            }
        };
        let groups = registry.producers.iter();
        groups.map(|(name, members)| (name.clone(), members.values().map(info).collect())).collect()
    }
}

impl ConsumerGroup {
    /// Of members that disagree, the one that changed its mind last.
    fn subscriptions(&self) -> BTreeMap<String, SubscriptionData> {
        let mut newest: BTreeMap<String, SubscriptionData> = BTreeMap::new();
        for data in self.members.values().flat_map(|member| member.subscriptions.values()) {
            let known = newest.get(&data.topic);
            if known.is_none_or(|known| known.sub_version < data.sub_version) {
                newest.insert(data.topic.clone(), SubscriptionData::clone(data));
            }
        }
        newest
    }
}

impl Member {
    /// Language and version, as metrics name them.
    fn kind(&self) -> (String, String) {
        let version = wire::frame::version_name(self.version);
        (self.language.name().to_ascii_lowercase(), version.to_ascii_lowercase())
    }

    fn connection(&self) -> Connection {
        Connection {
            client_addr: self.peer.remote().to_string(),
            client_id: self.client_id.clone(),
            language: self.language.name().to_owned(),
            version: self.version,
        }
    }
}
