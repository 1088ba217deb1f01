//! The route tables: which brokers are alive, which queues each offers, and the rules by which
//! registrations change them.
//!
//! Owns: topic → broker name → queues, and broker name → members (id → address, liveness).
//! Invariants: a broker name without members is in neither table; a topic without brokers is in no
//! table; an address is held by at most one id of a broker name; an encoded answer is dropped
//! whenever something it was made from changes.
//! Absent: I/O, clocks (the caller hands `now` in) and locks.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use wire::body::DataVersion;

use crate::limits;

mod answers;
mod registration;
#[cfg(test)]
mod tests;

pub use registration::{Gone, Queues, RegisterError, Registered, Registration};

/// How long a broker may be silent that did not say how long it may.
pub const SILENCE: Duration = Duration::from_secs(120);

/// The id of a master.
pub const MASTER: i64 = 0;

const PERM_WRITE: i32 = 2;
const PERM_READ: i32 = 4;

/// Topics of the member lists of broker groups, whose routes always tell the real ids.
const SYNC_MEMBER_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

/// Rules that an operator can switch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// Show the smallest id of a broker name without a master as id 0 (`supportActingMaster`).
    pub acting_master: bool,
    /// A registration takes away the topics that it does not list
    /// (`deleteTopicWithBrokerRegistration`).
    pub delete_missing: bool,
}

#[derive(Debug)]
struct Member {
    addr: Arc<str>,
    ha_addr: Arc<str>,
    version: DataVersion,
    silence: Duration,
    seen: Duration,
    peer: u64,
}

#[derive(Debug)]
struct Group {
    name: Arc<str>,
    cluster: Arc<str>,
    zone: Option<String>,
    acting_master: bool,
    members: BTreeMap<i64, Member>,
}

impl Group {
    fn by_addr(&self, addr: &str) -> Option<(i64, &Member)> {
        self.members.iter().find(|(_, m)| &*m.addr == addr).map(|(id, m)| (*id, m))
    }

    fn smallest_id(&self) -> Option<i64> {
        self.members.keys().next().copied()
    }

    fn has_master(&self) -> bool {
        self.members.contains_key(&MASTER)
    }
}

#[derive(Debug, Default)]
struct Topic {
    queues: BTreeMap<Arc<str>, Queues>,
    /// Parts of a static topic, by broker name.
    mappings: BTreeMap<String, Value>,
    /// The answer to 105, made when first asked for.
    answer: OnceLock<Bytes>,
}

/// The tables.
#[derive(Debug, Default)]
pub struct Routes {
    rules: Rules,
    topics: BTreeMap<String, Topic>,
    groups: BTreeMap<Arc<str>, Group>,
    members: usize,
    topic_queues: usize,
    /// The answer to 106, made when first asked for.
    cluster_info: OnceLock<Bytes>,
}

impl Routes {
    /// Empty tables under `rules`.
    pub fn new(rules: Rules) -> Routes {
        Routes { rules, ..Routes::default() }
    }

    /// Takes changed rules; encoded answers made under the old ones are dropped.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        self.topics.values_mut().for_each(|t| drop(t.answer.take()));
    }

    /// Applies a registration.
    ///
    /// # Errors
    /// See [`RegisterError`]; nothing is changed then.
    pub fn register(
        &mut self,
        r: &Registration<'_>,
        now: Duration,
    ) -> Result<Registered, RegisterError> {
        self.admit(r)?;
        if self.is_fenced(r) {
            self.unregister(r.broker, r.addr);
            return Ok(Registered::Fenced);
        }
        let known = self.groups.get(r.broker).and_then(|g| g.by_addr(r.addr));
        let changed = known.is_none_or(|(_, m)| m.version != r.version);
        let first = known.is_none();
        let new_id = self.join(r, now);
        self.take_topics(r, changed || new_id);
        Ok(Registered::Accepted { master: self.master_for(r), first })
    }

    fn admit(&self, r: &Registration<'_>) -> Result<(), RegisterError> {
        let group = self.groups.get(r.broker);
        if r.topics.len() == 1 && group.is_none_or(|g| !g.members.contains_key(&r.id)) {
            return Err(RegisterError::NotRegistered);
        }
        let full = |what, held, limit| Err(RegisterError::Full { what, held, limit });
        if self.members >= limits::BROKERS && group.is_none_or(|g| g.by_addr(r.addr).is_none()) {
            return full("brokers", self.members + 1, limits::BROKERS);
        }
        let queues = self.topic_queues + r.topics.len();
        if queues > limits::TOPIC_QUEUES {
            let held = |t: &&(String, Queues)| !self.offers(&t.0, r.broker);
            let queues = self.topic_queues + r.topics.iter().filter(held).count();
            if queues > limits::TOPIC_QUEUES {
                return full("topics over all brokers", queues, limits::TOPIC_QUEUES);
            }
        }
        Ok(())
    }

    fn offers(&self, topic: &str, broker: &str) -> bool {
        self.topics.get(topic).is_some_and(|t| t.queues.contains_key(broker))
    }

    /// Another address holds the id and has a newer state version.
    fn is_fenced(&self, r: &Registration<'_>) -> bool {
        let holder = self.groups.get(r.broker).and_then(|g| g.members.get(&r.id));
        holder.is_some_and(|m| {
            &*m.addr != r.addr && m.version.state_version > r.version.state_version
        })
    }

    /// Puts the address under its id; true when nobody held that id.
    fn join(&mut self, r: &Registration<'_>, now: Duration) -> bool {
        let name: Arc<str> = match self.groups.get_key_value(r.broker) {
            Some((name, _)) => name.clone(),
            None => r.broker.into(),
        };
        let group = self.groups.entry(name.clone()).or_insert_with(|| Group {
            name: name.clone(),
            cluster: r.cluster.into(),
            zone: None,
            acting_master: false,
            members: BTreeMap::new(),
        });
        let before = group.members.len();
        let acting_master = r.acting_master.unwrap_or(false);
        let mut visible = group.acting_master != acting_master || group.zone.as_deref() != r.zone;
        group.acting_master = acting_master;
        group.zone = r.zone.map(str::to_owned);
        // A slave that became a master leaves its old id.
        group.members.retain(|id, m| *id == r.id || &*m.addr != r.addr);
        visible |= group.members.len() != before;
        let member = Member {
            addr: r.addr.into(),
            ha_addr: r.ha_addr.into(),
            version: r.version,
            silence: r.silence.unwrap_or(SILENCE),
            seen: now,
            peer: r.peer,
        };
        let previous = group.members.insert(r.id, member);
        visible |= previous.as_ref().is_none_or(|m| &*m.addr != r.addr);
        self.members = self.members + group.members.len() - before;
        if visible {
            self.forget_answers(&name);
        }
        previous.is_none()
    }

    /// Takes the broker's topic table when it is the one that speaks for its name: the master, or
    /// the smallest id where acting masters are known.
    fn take_topics(&mut self, r: &Registration<'_>, changed: bool) {
        let Some(group) = self.groups.get(r.broker) else { return };
        let prime_slave = r.acting_master.is_some() && group.smallest_id() == Some(r.id);
        if r.id != MASTER && !prime_slave {
            return;
        }
        let read_only = r.id != MASTER && group.acting_master;
        let name = group.name.clone();
        if self.rules.delete_missing && r.mappings.is_empty() {
            let listed: BTreeSet<&str> = r.topics.iter().map(|(topic, _)| topic.as_str()).collect();
            self.remove_queues(|topic, broker| **broker == *name && !listed.contains(topic));
        }
        for (topic, queues) in r.topics {
            if !changed && self.offers(topic, &name) {
                continue;
            }
            let perm = if read_only { queues.perm & !PERM_WRITE } else { queues.perm };
            self.put_queues(topic, &name, Queues { perm, ..*queues });
        }
        if changed {
            self.put_mappings(r.mappings);
        }
    }

    fn put_mappings(&mut self, mappings: &BTreeMap<String, Value>) {
        for (topic, part) in mappings {
            let Some(broker) = part.get("bname").and_then(Value::as_str) else { continue };
            if let Some(entry) = self.topics.get_mut(topic)
                && entry.queues.contains_key(broker)
            {
                entry.mappings.insert(broker.to_owned(), part.clone());
                entry.answer.take();
            }
        }
    }

    fn put_queues(&mut self, topic: &str, broker: &Arc<str>, queues: Queues) {
        let entry = match self.topics.get_mut(topic) {
            Some(entry) => entry,
            None => self.topics.entry(topic.to_owned()).or_default(),
        };
        let previous = entry.queues.insert(broker.clone(), queues);
        if previous != Some(queues) {
            entry.answer.take();
        }
        self.topic_queues += usize::from(previous.is_none());
    }

    /// Removes the queues for which `gone(topic, broker)` holds, and topics left without any.
    fn remove_queues(&mut self, gone: impl Fn(&str, &Arc<str>) -> bool) {
        let mut removed = 0;
        self.topics.retain(|topic, entry| {
            let before = entry.queues.len();
            entry.queues.retain(|broker, _| !gone(topic, broker));
            if entry.queues.len() != before {
                entry.mappings.retain(|broker, _| entry.queues.contains_key(broker.as_str()));
                removed += before - entry.queues.len();
                entry.answer.take();
            }
            !entry.queues.is_empty()
        });
        self.topic_queues -= removed;
    }

    fn master_for(&self, r: &Registration<'_>) -> Option<(Arc<str>, Arc<str>)> {
        if r.id == MASTER {
            return None;
        }
        let master = self.groups.get(r.broker)?.members.get(&MASTER)?;
        Some((master.addr.clone(), master.ha_addr.clone()))
    }

    /// Removes the address from its broker name; with the last one go the name's queues, and a
    /// group with acting masters loses WRITE with its master.
    pub fn unregister(&mut self, broker: &str, addr: &str) -> Option<Gone> {
        let (id, _) = self.groups.get(broker)?.by_addr(addr)?;
        let gone = self.remove_member(broker, id)?;
        self.settle(std::slice::from_ref(&gone.broker));
        Some(gone)
    }

    /// Removes what the connection `peer` had registered.
    pub fn disconnected(&mut self, peer: u64) -> Vec<Gone> {
        self.remove_where(|m| m.peer == peer)
    }

    /// Removes the members that were silent for longer than they may be.
    pub fn expire(&mut self, now: Duration) -> Vec<Gone> {
        self.remove_where(|m| now.saturating_sub(m.seen) > m.silence)
    }

    /// Whether the connection `peer` registered a broker.
    pub fn knows_peer(&self, peer: u64) -> bool {
        self.groups.values().flat_map(|g| g.members.values()).any(|m| m.peer == peer)
    }

    fn remove_where(&mut self, dead: impl Fn(&Member) -> bool) -> Vec<Gone> {
        let found: Vec<(Arc<str>, i64)> = self
            .groups
            .values()
            .flat_map(|g| g.members.iter().map(|(id, m)| (g.name.clone(), *id, m)))
            .filter(|(_, _, m)| dead(m))
            .map(|(name, id, _)| (name, id))
            .collect();
        let gone: Vec<Gone> =
            found.into_iter().filter_map(|(name, id)| self.remove_member(&name, id)).collect();
        let names: Vec<Arc<str>> = gone.iter().map(|g| g.broker.clone()).collect();
        self.settle(&names);
        gone
    }

    fn remove_member(&mut self, broker: &str, id: i64) -> Option<Gone> {
        let group = self.groups.get_mut(broker)?;
        let member = group.members.remove(&id)?;
        self.members -= 1;
        Some(Gone { broker: group.name.clone(), id, addr: member.addr, peer: member.peer })
    }

    /// Brings the topic table in line after members of `names` were removed.
    fn settle(&mut self, names: &[Arc<str>]) {
        if names.is_empty() {
            return;
        }
        names.iter().for_each(|name| self.forget_answers(name));
        let mut empty: Vec<Arc<str>> = Vec::new();
        let mut masterless: Vec<Arc<str>> = Vec::new();
        for name in names {
            match self.groups.get(name) {
                Some(g) if g.members.is_empty() => empty.push(name.clone()),
                Some(g) if g.acting_master && !g.has_master() => masterless.push(name.clone()),
                _ => {}
            }
        }
        empty.iter().for_each(|name| drop(self.groups.remove(name)));
        if !empty.is_empty() {
            self.remove_queues(|_, broker| empty.contains(broker));
        }
        for name in masterless {
            self.set_perm(&name, |perm| perm & !PERM_WRITE);
        }
    }

    /// Drops the encoded answers that mention `broker`.
    fn forget_answers(&mut self, broker: &str) {
        self.cluster_info.take();
        for topic in self.topics.values_mut().filter(|t| t.queues.contains_key(broker)) {
            topic.answer.take();
        }
    }

    fn set_perm(&mut self, broker: &str, change: impl Fn(i32) -> i32) -> usize {
        let mut touched = 0;
        for topic in self.topics.values_mut() {
            if let Some(queues) = topic.queues.get_mut(broker) {
                queues.perm = change(queues.perm);
                topic.answer.take();
                touched += 1;
            }
        }
        touched
    }

    /// Clears WRITE on every topic of the broker name until its next changed registration;
    /// returns how many topics it has.
    pub fn wipe_write(&mut self, broker: &str) -> usize {
        self.set_perm(broker, |perm| perm & !PERM_WRITE)
    }

    /// Sets READ and WRITE on every topic of the broker name; returns how many topics it has.
    pub fn add_write(&mut self, broker: &str) -> usize {
        self.set_perm(broker, |_| PERM_READ | PERM_WRITE)
    }

    /// A sign of life; an unknown broker is ignored.
    pub fn heartbeat(&mut self, broker: &str, addr: &str, now: Duration) {
        let Some(group) = self.groups.get_mut(broker) else { return };
        if let Some(member) = group.members.values_mut().find(|m| &*m.addr == addr) {
            member.seen = now;
        }
    }

    /// Removes a topic, everywhere or on the brokers of one cluster.
    pub fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Entry::Occupied(mut entry) = self.topics.entry(topic.to_owned()) else { return };
        let before = entry.get().queues.len();
        if let Some(cluster) = cluster {
            let groups = &self.groups;
            let elsewhere =
                |broker: &Arc<str>| groups.get(broker).is_none_or(|g| &*g.cluster != cluster);
            let entry = entry.get_mut();
            entry.queues.retain(|broker, _| elsewhere(broker));
            entry.mappings.retain(|broker, _| entry.queues.contains_key(broker.as_str()));
            entry.answer.take();
        } else {
            entry.get_mut().queues.clear();
        }
        self.topic_queues -= before - entry.get().queues.len();
        if entry.get().queues.is_empty() {
            entry.remove();
        }
    }

    /// Merges the queues of one topic (217). One unknown broker drops all of it, as the reference
    /// does; false then.
    pub fn register_topic(&mut self, topic: &str, queues: &[(String, Queues)]) -> bool {
        let known = queues.iter().all(|(broker, _)| self.groups.contains_key(broker.as_str()));
        if !known || self.topic_queues + queues.len() > limits::TOPIC_QUEUES {
            return false;
        }
        for (broker, queues) in queues {
            let name: Arc<str> = broker.as_str().into();
            self.put_queues(topic, &name, *queues);
        }
        true
    }
}
