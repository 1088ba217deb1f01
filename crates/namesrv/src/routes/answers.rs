//! What the tables say: routes, clusters, lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use wire::body::{self, BrokerData, ClusterInfo, DataVersion, QueueData, TopicRouteData};

use super::{Group, MASTER, PERM_WRITE, Queues, Routes, SYNC_MEMBER_PREFIX, Topic};

impl Routes {
    /// The version of the topic table that the broker registered with.
    pub fn version(&self, broker: &str, addr: &str) -> Option<DataVersion> {
        Some(self.groups.get(broker)?.by_addr(addr)?.1.version)
    }

    /// The encoded answer to 105, or `None` for an unknown topic.
    pub fn route(&self, topic: &str) -> Option<Bytes> {
        let entry = self.topics.get(topic)?;
        let encode = || Bytes::from(body::write(&self.answer(topic, entry)));
        Some(entry.answer.get_or_init(encode).clone())
    }

    /// The route of a topic as data.
    pub fn route_data(&self, topic: &str) -> Option<TopicRouteData> {
        self.topics.get(topic).map(|entry| self.answer(topic, entry))
    }

    fn answer(&self, topic: &str, entry: &Topic) -> TopicRouteData {
        let mut data = TopicRouteData::default();
        for (broker, queues) in &entry.queues {
            data.queue_datas.push(queue_data(broker, queues));
            let Some(group) = self.groups.get(broker) else { continue };
            let mut broker_data = group.data();
            let acts = self.rules.acting_master
                && group.acting_master
                && !group.has_master()
                && queues.perm & PERM_WRITE == 0
                && !topic.starts_with(SYNC_MEMBER_PREFIX);
            if acts && let Some((_, addr)) = broker_data.broker_addrs.pop_first() {
                broker_data.broker_addrs.insert(MASTER, addr);
            }
            data.broker_datas.push(broker_data);
        }
        if !entry.mappings.is_empty() {
            data.topic_queue_mapping_by_broker = Some(entry.mappings.clone());
        }
        data
    }

    /// The encoded answer to 106.
    pub fn cluster_info(&self) -> Bytes {
        let encode = || Bytes::from(body::write(&self.cluster_info_data()));
        self.cluster_info.get_or_init(encode).clone()
    }

    /// Brokers and clusters as data.
    pub fn cluster_info_data(&self) -> ClusterInfo {
        let mut info = ClusterInfo::default();
        for group in self.groups.values() {
            info.broker_addr_table.insert(group.name.to_string(), group.data());
            let names = info.cluster_addr_table.entry(group.cluster.to_string()).or_default();
            names.insert(group.name.to_string());
        }
        info
    }

    /// The members of a broker name: id → address; empty for an unknown name.
    pub fn members(&self, broker: &str) -> BTreeMap<i64, String> {
        self.groups.get(broker).map(|g| g.data().broker_addrs).unwrap_or_default()
    }

    /// Every topic, in order.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// The topics of which any broker's queues satisfy `accept(cluster, queues)`.
    pub fn topics_where(&self, accept: impl Fn(&str, &Queues) -> bool) -> Vec<String> {
        let accept = |(broker, queues): (&Arc<str>, &Queues)| {
            self.groups.get(broker).is_some_and(|g| accept(&g.cluster, queues))
        };
        let found = self.topics.iter().filter(|(_, topic)| topic.queues.iter().any(accept));
        found.map(|(name, _)| name.clone()).collect()
    }

    /// Clusters with their broker names, which the reference lists as system topics, and the
    /// address of some broker.
    pub fn system_topics(&self) -> (Vec<String>, Option<String>) {
        let mut names: Vec<String> = self.groups.values().map(|g| g.cluster.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        names.extend(self.groups.keys().map(|name| name.to_string()));
        let any = self.groups.values().find_map(|g| g.members.values().next());
        (names, any.map(|m| m.addr.to_string()))
    }
}

impl Group {
    fn data(&self) -> BrokerData {
        BrokerData {
            broker_name: self.name.to_string(),
            cluster: self.cluster.to_string(),
            broker_addrs: self.members.iter().map(|(id, m)| (*id, m.addr.to_string())).collect(),
            zone_name: self.zone.clone(),
            enable_acting_master: self.acting_master,
        }
    }
}

fn queue_data(broker: &str, queues: &Queues) -> QueueData {
    QueueData {
        broker_name: broker.to_owned(),
        read_queue_nums: queues.read,
        write_queue_nums: queues.write,
        perm: queues.perm,
        topic_sys_flag: queues.sys_flag,
    }
}
