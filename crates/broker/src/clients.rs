//! Who is connected: producer groups, consumer groups and what each member subscribed to (34, 35, 38, 40).
//!
//! A member is one connection. Each member keeps **its own** subscription: a pull is filtered by what the client
//! that sends it asked for, so two members of a group that disagree lose nothing silently (the reference keeps the
//! last heartbeat's subscription for the whole group). A disagreement is logged once per group and change.

mod views;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use env::memory::{Full, Hold, Pool};
use parking_lot::RwLock;
use wire::body::{
    ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData, MessageModel, SubscriptionData,
};
use wire::{Language, Peer};

pub use views::Consumer;

use crate::limits;
use crate::topic::RETRY_PREFIX;

/// How long a member lives without a heartbeat (`channelExpiredTimeout`).
pub const EXPIRY: Duration = Duration::from_secs(120);

/// The registry of clients.
pub struct Clients {
    registry: RwLock<Registry>,
    /// Where what they announce is counted.
    pool: Arc<Pool>,
}

#[derive(Default)]
struct Registry {
    consumers: HashMap<String, ConsumerGroup>,
    producers: HashMap<String, HashMap<u64, Member>>,
    /// Connections of producers by client id; of several, the one that was heard of last.
    producer_ids: HashMap<String, Arc<Peer>>,
    /// Groups of each connection, so that its end costs what it joined and not what exists.
    joined: HashMap<u64, Joined>,
}

#[derive(Default)]
struct Joined {
    consumers: HashSet<String>,
    producers: HashSet<String>,
}

/// The live members of one consumer group.
#[derive(Default)]
pub struct ConsumerGroup {
    /// How it consumes, as the latest heartbeat says.
    pub consume_type: ConsumeType,
    /// Whether members share the messages or each gets all.
    pub message_model: MessageModel,
    /// Where a member starts that has no offset.
    pub consume_from_where: ConsumeFromWhere,
    /// Members by connection.
    pub members: BTreeMap<u64, Member>,
    /// Whether the members' subscriptions disagreed at the last look.
    inconsistent: bool,
}

/// One client of a group on one connection.
pub struct Member {
    /// The connection.
    pub peer: Arc<Peer>,
    /// The client's own name for itself.
    pub client_id: String,
    /// Language of its frames.
    pub language: Language,
    /// Version ordinal of its frames.
    pub version: i32,
    /// What it subscribed to, by topic; empty for producers.
    pub subscriptions: BTreeMap<String, Arc<SubscriptionData>>,
    /// When its last heartbeat came, monotonic.
    pub seen: Duration,
    /// Counts what it announced.
    hold: Hold,
}

/// Who sent a heartbeat, and when.
pub struct Sender<'a> {
    /// The connection.
    pub peer: &'a Arc<Peer>,
    /// Language of the frame.
    pub language: Language,
    /// Version of the frame.
    pub version: i32,
    /// Monotonic time.
    pub now: Duration,
}

/// What a look-up of a subscription found.
#[derive(Debug, Clone, PartialEq)]
pub enum Subscribed {
    /// The group has no member here.
    NoGroup,
    /// The member did not subscribe to the topic.
    NoTopic,
    /// The member's own subscription.
    Yes {
        /// What it asked for.
        data: Arc<SubscriptionData>,
        /// Whether its group broadcasts.
        broadcasting: bool,
    },
}

/// Two members of a group that do not subscribe to the same things.
#[derive(Debug, PartialEq, Eq)]
pub struct Inconsistent {
    /// The group.
    pub group: String,
    /// One client and its subscriptions.
    pub one: String,
    /// Another one and its subscriptions.
    pub other: String,
}

/// A member of a consumer group that its heartbeat announces.
struct Joining<'a> {
    client_id: &'a str,
    /// Its subscriptions are those of before.
    without_sub: bool,
    pool: &'a Arc<Pool>,
}

/// What a heartbeat changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Consumer groups whose members must be told to rebalance.
    pub groups: Vec<String>,
    /// Groups that have just become inconsistent.
    pub inconsistent: Vec<Inconsistent>,
    /// Set if some of it was not taken over, for lack of memory.
    pub full: Option<Full>,
}

impl Clients {
    /// No clients yet; what they announce is counted in `pool`.
    pub fn new(pool: &Arc<Pool>) -> Clients {
        Clients { registry: RwLock::default(), pool: Arc::clone(pool) }
    }

    /// Takes over one heartbeat. `known` says which consumer groups exist or may be created; others are skipped
    /// silently, as in the reference: their pulls are refused later.
    pub fn heartbeat(
        &self,
        sender: &Sender<'_>,
        data: HeartbeatData,
        known: &dyn Fn(&str) -> bool,
    ) -> Changes {
        let mut changes = Changes::default();
        let mut registry = self.registry.write();
        let (pool, id) = (&self.pool, &data.client_id);
        let mut full = Ok(());
        for producer in data.producer_data_set {
            full = full.and(registry.join_producers(sender, pool, id, producer.group_name));
        }
        for consumer in data.consumer_data_set {
            if known(&consumer.group_name) {
                let joining = Joining { client_id: id, without_sub: data.without_sub, pool };
                let joined = registry.join_consumers(sender, &joining, consumer, &mut changes);
                full = full.and(joined);
            }
        }
        changes.full = full.err();
        changes
    }

    /// Removes one client from the named groups; returns the consumer groups to notify.
    pub fn unregister(
        &self,
        peer: u64,
        consumer: Option<&str>,
        producer: Option<&str>,
    ) -> Vec<String> {
        let mut registry = self.registry.write();
        if let Some(group) = producer {
            registry.leave_producers(peer, group);
        }
        consumer.and_then(|group| registry.leave_consumers(peer, group)).into_iter().collect()
    }

    /// Removes a connection from every group; returns the consumer groups to notify.
    pub fn disconnected(&self, peer: u64) -> Vec<String> {
        let mut registry = self.registry.write();
        let Some(joined) = registry.joined.remove(&peer) else { return Vec::new() };
        for group in &joined.producers {
            registry.leave_producers(peer, group);
        }
        joined.consumers.iter().filter_map(|group| registry.leave_consumers(peer, group)).collect()
    }

    /// Removes members that were silent for [`EXPIRY`]; returns them and the consumer groups to notify.
    pub fn expire(&self, now: Duration) -> (Vec<Arc<Peer>>, Vec<String>) {
        let silent = |member: &Member| now.saturating_sub(member.seen) >= EXPIRY;
        let peers: BTreeMap<u64, Arc<Peer>> = {
            let registry = self.registry.read();
            let consumers = registry.consumers.values().flat_map(|group| group.members.values());
            let producers = registry.producers.values().flat_map(HashMap::values);
            consumers
                .chain(producers)
                .filter(|member| silent(member))
                .map(|member| (member.peer.id(), Arc::clone(&member.peer)))
                .collect()
        };
        let groups = peers.keys().flat_map(|peer| self.disconnected(*peer)).collect();
        (peers.into_values().collect(), groups)
    }

    /// Client ids of the group's members, each once.
    pub fn client_ids(&self, group: &str) -> Vec<String> {
        let registry = self.registry.read();
        let Some(group) = registry.consumers.get(group) else { return Vec::new() };
        let ids: HashSet<&String> =
            group.members.values().map(|member| &member.client_id).collect();
        ids.into_iter().cloned().collect()
    }

    /// The connections of a clustering group: who is told that its members changed. Broadcasting groups have none to tell.
    pub fn peers_to_notify(&self, group: &str) -> Vec<Arc<Peer>> {
        let registry = self.registry.read();
        match registry.consumers.get(group) {
            Some(group) if !group.is_broadcasting() => {
                group.members.values().map(|member| Arc::clone(&member.peer)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What the client on `peer` asked for of `topic` in `group`. A client that is not a member yet (its heartbeat is
    /// still on the way) takes over the subscription of any other member.
    pub fn subscription(&self, peer: u64, group: &str, topic: &str) -> Subscribed {
        let registry = self.registry.read();
        let Some(group) = registry.consumers.get(group) else { return Subscribed::NoGroup };
        let member = group.members.get(&peer).or_else(|| group.members.values().next());
        match member.and_then(|member| member.subscriptions.get(topic)) {
            Some(data) => {
                Subscribed::Yes { data: Arc::clone(data), broadcasting: group.is_broadcasting() }
            }
            None => Subscribed::NoTopic,
        }
    }

    /// The connection of the producer with that client id.
    pub fn producer(&self, client_id: &str) -> Option<Arc<Peer>> {
        self.registry.read().producer_ids.get(client_id).cloned()
    }

    /// Looks at a consumer group under the lock.
    pub fn with_group<T>(&self, group: &str, look: impl FnOnce(&ConsumerGroup) -> T) -> Option<T> {
        self.registry.read().consumers.get(group).map(look)
    }
}

impl Registry {
    fn join_producers(
        &mut self,
        sender: &Sender<'_>,
        pool: &Arc<Pool>,
        client_id: &str,
        group: String,
    ) -> Result<(), Full> {
        let peer = sender.peer.id();
        let old = self.producers.get_mut(&group).and_then(|members| members.get_mut(&peer));
        let bytes = limits::MEMBER + client_id.len() + group.len();
        let hold = hold(pool, old, bytes, sender.now)?;
        let joined = self.joined.entry(sender.peer.id()).or_default();
        if !joined.producers.contains(&group) {
            if joined.producers.len() >= limits::GROUPS_PER_CONNECTION {
                return Ok(());
            }
            joined.producers.insert(group.clone());
        }
        let members = self.producers.entry(group).or_default();
        let member = Member::new(sender, client_id, BTreeMap::new(), hold);
        if let Some(old) = members.insert(sender.peer.id(), member)
            && old.client_id != client_id
        {
            self.forget_producer(&old);
        }
        self.producer_ids.insert(client_id.to_owned(), Arc::clone(sender.peer));
        Ok(())
    }

    /// Forgets the client id of a producer that left a group, unless it is in another one.
    fn forget_producer(&mut self, left: &Member) {
        let peer = left.peer.id();
        let is_same = |member: &Member| member.client_id == left.client_id;
        let in_group = |group: &String| {
            self.producers.get(group).and_then(|members| members.get(&peer)).is_some_and(is_same)
        };
        let stays =
            self.joined.get(&peer).is_some_and(|joined| joined.producers.iter().any(in_group));
        if !stays && self.producer_ids.get(&left.client_id).is_some_and(|known| known.id() == peer)
        {
            self.producer_ids.remove(&left.client_id);
        }
    }

    fn join_consumers(
        &mut self,
        sender: &Sender<'_>,
        joining: &Joining<'_>,
        data: ConsumerData,
        changes: &mut Changes,
    ) -> Result<(), Full> {
        let &Joining { client_id, without_sub, pool } = joining;
        let peer = sender.peer.id();
        let members = self.consumers.get_mut(&data.group_name).map(|group| &mut group.members);
        let old = members.and_then(|members| members.get_mut(&peer));
        let bytes = match &old {
            Some(old) if without_sub => old.hold.bytes(),
            _ => limits::MEMBER + client_id.len() + announced_bytes(&data),
        };
        let hold = hold(pool, old, bytes, sender.now)?;
        let joined = self.joined.entry(sender.peer.id()).or_default();
        if !joined.consumers.contains(&data.group_name) {
            if joined.consumers.len() >= limits::GROUPS_PER_CONNECTION {
                return Ok(());
            }
            joined.consumers.insert(data.group_name.clone());
        }
        let group = self.consumers.entry(data.group_name.clone()).or_default();
        group.consume_type = data.consume_type;
        group.message_model = data.message_model;
        group.consume_from_where = data.consume_from_where;
        let old = group.members.get(&sender.peer.id());
        let subscriptions: BTreeMap<String, Arc<SubscriptionData>> = match old {
            Some(old) if without_sub => old.subscriptions.clone(),
            _ => data
                .subscription_data_set
                .into_iter()
                .take(limits::SUBSCRIPTIONS_PER_MEMBER)
                .map(|sub| (sub.topic.clone(), Arc::new(sub)))
                .collect(),
        };
        let changed = old.is_none_or(|old| {
            old.client_id != client_id || !same_subscriptions(&old.subscriptions, &subscriptions)
        });
        let member = Member::new(sender, client_id, subscriptions, hold);
        group.members.insert(sender.peer.id(), member);
        if changed {
            changes.inconsistent.extend(group.newly_inconsistent(&data.group_name));
            changes.groups.push(data.group_name);
        }
        Ok(())
    }

    fn leave_producers(&mut self, peer: u64, group: &str) {
        if let Some(joined) = self.joined.get_mut(&peer) {
            joined.producers.remove(group);
        }
        let Some(members) = self.producers.get_mut(group) else { return };
        let left = members.remove(&peer);
        if members.is_empty() {
            self.producers.remove(group);
        }
        if let Some(left) = left {
            self.forget_producer(&left);
        }
    }

    /// Removes the member and returns the group's name if somebody is left to be told.
    fn leave_consumers(&mut self, peer: u64, group: &str) -> Option<String> {
        if let Some(joined) = self.joined.get_mut(&peer) {
            joined.consumers.remove(group);
        }
        let members = &mut self.consumers.get_mut(group)?.members;
        let left = members.remove(&peer).is_some();
        if members.is_empty() {
            self.consumers.remove(group);
            return None;
        }
        left.then(|| group.to_owned())
    }
}

impl ConsumerGroup {
    /// Whether every member gets every message.
    pub fn is_broadcasting(&self) -> bool {
        self.message_model == MessageModel::Broadcasting
    }

    fn newly_inconsistent(&mut self, name: &str) -> Option<Inconsistent> {
        let mut members = self.members.values();
        let first = members.next()?;
        let other = members.find(|other| !same_expressions(name, first, other));
        let report = other.filter(|_| !self.inconsistent).map(|other| Inconsistent {
            group: name.to_owned(),
            one: first.describe(),
            other: other.describe(),
        });
        self.inconsistent = other.is_some();
        report
    }
}

impl Member {
    fn new(
        sender: &Sender<'_>,
        client_id: &str,
        subscriptions: BTreeMap<String, Arc<SubscriptionData>>,
        hold: Hold,
    ) -> Member {
        Member {
            peer: Arc::clone(sender.peer),
            client_id: client_id.to_owned(),
            language: sender.language,
            version: sender.version,
            subscriptions,
            seen: sender.now,
            hold,
        }
    }

    fn describe(&self) -> String {
        let subscriptions: Vec<String> = self
            .subscriptions
            .values()
            .map(|sub| format!("{}:{}", sub.topic, sub.sub_string))
            .collect();
        format!("{} [{}]", self.client_id, subscriptions.join(", "))
    }
}

/// Counts what a member announces, instead of what it announced before. A member that finds no room for
/// more stays what it was, and lives on.
fn hold(
    pool: &Arc<Pool>,
    old: Option<&mut Member>,
    bytes: usize,
    now: Duration,
) -> Result<Hold, Full> {
    let mut hold = Hold::new(pool);
    let Some(old) = old else {
        hold.try_set(bytes)?;
        return Ok(hold);
    };
    old.seen = now;
    old.hold.try_set(bytes)?;
    std::mem::swap(&mut old.hold, &mut hold);
    Ok(hold)
}

/// Bytes of what a consumer announces, about: the texts, and what stands around each in the tables.
fn announced_bytes(data: &ConsumerData) -> usize {
    let subscriptions = data.subscription_data_set.iter();
    let each = subscriptions.map(|sub| {
        let texts = 2 * sub.topic.len() + sub.sub_string.len();
        let tags: usize = sub.tags_set.iter().map(|tag| tag.len() + 64).sum();
        limits::MEMBER + texts + tags + 32 * sub.code_set.len()
    });
    data.group_name.len() + each.sum::<usize>()
}

/// Whether both say the same, up to the version that changes with each rebalance.
fn same_subscriptions(
    one: &BTreeMap<String, Arc<SubscriptionData>>,
    other: &BTreeMap<String, Arc<SubscriptionData>>,
) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((a, x), (b, y))| a == b && x.sub_string == y.sub_string)
}

/// Whether both ask for the same. The group's own retries do not count: every member has them, and some clients
/// subscribe to them only after their first heartbeat.
fn same_expressions(group: &str, one: &Member, other: &Member) -> bool {
    let expressions = |member: &Member| {
        let subscriptions = member.subscriptions.values();
        let own = subscriptions
            .filter(|sub| sub.topic.strip_prefix(RETRY_PREFIX) != Some(group))
            .map(|sub| (sub.topic.clone(), sub.sub_string.clone()));
        own.collect::<Vec<_>>()
    };
    expressions(one) == expressions(other)
}

#[cfg(test)]
mod tests;
