//! Where a topic lives: the queues to write, the queues to read, the addresses of brokers.
//!
//! Pure. Built from the name server's answer (`TopicRouteData`), which is input from outside: counts
//! are bounded by [`limits::ROUTE_QUEUES`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limits;
use crate::queue::MessageQueue;

/// Permission bit: the topic may be written at this broker.
const WRITE: i32 = 2;
/// Permission bit: the topic may be read at this broker.
const READ: i32 = 4;
/// Broker id of a master.
const MASTER: u64 = 0;

/// The route of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Share of each broker group in the topic, by broker name.
    pub shares: BTreeMap<Arc<str>, Share>,
    /// Addresses of the broker groups.
    pub brokers: Brokers,
    /// Global order: exactly these (broker, queue count) pairs may be written.
    pub order: Vec<(Arc<str>, u32)>,
}

/// What one broker group holds of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Queues that may be read, numbered from 0.
    pub read_queues: u32,
    /// Queues that may be written, numbered from 0.
    pub write_queues: u32,
    /// Permission bits: 4 read, 2 write, 1 inherit.
    pub permission: i32,
}

/// Addresses of broker groups: name → (broker id → `host:port`); id 0 is the master.
pub type Brokers = BTreeMap<Arc<str>, BTreeMap<u64, Arc<str>>>;

impl Route {
    /// Queues that a producer may choose from: those of writable groups that have a master.
    pub fn write_queues(&self, topic: &Arc<str>) -> Vec<MessageQueue> {
        if !self.order.is_empty() {
            return queues(topic, self.order.iter().map(|(broker, count)| (broker, *count)));
        }
        let writable = self.shares.iter().filter(|(broker, share)| {
            share.permission & WRITE != 0 && address_of_master(&self.brokers, broker).is_some()
        });
        queues(topic, writable.map(|(broker, share)| (broker, share.write_queues)))
    }

    /// Queues that a consumer may read.
    pub fn read_queues(&self, topic: &Arc<str>) -> Vec<MessageQueue> {
        let readable = self.shares.iter().filter(|(_, share)| share.permission & READ != 0);
        queues(topic, readable.map(|(broker, share)| (broker, share.read_queues)))
    }

    /// The route of a topic that does not exist yet, made from the route of the template topic:
    /// the broker creates at most `wanted` queues.
    pub(crate) fn of_template(mut self, wanted: u32) -> Route {
        for share in self.shares.values_mut() {
            let count = share.read_queues.min(wanted);
            (share.read_queues, share.write_queues) = (count, count);
        }
        self.order.clear();
        self
    }

    /// Parses `orderTopicConf`, e.g. `broker-a:4;broker-b:4`; malformed parts are left out.
    pub(crate) fn parse_order(text: &str) -> Vec<(Arc<str>, u32)> {
        let parts = text.split(';').filter_map(|part| {
            let (broker, count) = part.split_once(':')?;
            Some((Arc::from(broker.trim()), count.trim().parse().ok()?))
        });
        parts.take(limits::ROUTE_QUEUES).collect()
    }
}

/// The address to write to, and to commit offsets at.
pub(crate) fn address_of_master(brokers: &Brokers, broker: &str) -> Option<Arc<str>> {
    brokers.get(broker)?.get(&MASTER).cloned()
}

/// The address to read from: the group member that was suggested, else the master, else any slave.
pub(crate) fn address_to_read(brokers: &Brokers, broker: &str, suggested: u64) -> Option<Arc<str>> {
    let members = brokers.get(broker)?;
    members.get(&suggested).or_else(|| members.values().next()).cloned()
}

fn queues<'a>(
    topic: &Arc<str>,
    counts: impl Iterator<Item = (&'a Arc<str>, u32)>,
) -> Vec<MessageQueue> {
    let all = counts.flat_map(|(broker, count)| {
        (0..count).map(|id| MessageQueue { topic: topic.clone(), broker: broker.clone(), id })
    });
    all.take(limits::ROUTE_QUEUES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(read_queues: u32, write_queues: u32, permission: i32) -> Share {
        Share { read_queues, write_queues, permission }
    }

    fn route() -> Route {
        let shares = [("a", share(2, 3, 6)), ("b", share(1, 1, 4)), ("c", share(1, 1, 2))];
        let brokers = [("a", vec![(0, "a0:1"), (1, "a1:1")]), ("b", vec![(1, "b1:1")])];
        Route {
            shares: shares.into_iter().map(|(name, share)| (name.into(), share)).collect(),
            brokers: brokers
                .into_iter()
                .map(|(name, list)| {
                    (name.into(), list.into_iter().map(|(id, a)| (id, a.into())).collect())
                })
                .collect(),
            order: Vec::new(),
        }
    }

    fn names(queues: Vec<MessageQueue>) -> Vec<String> {
        queues.into_iter().map(|queue| format!("{}{}", queue.broker, queue.id)).collect()
    }

    // A producer sees writable queues whose group has a master; a consumer sees readable queues.
    #[test]
    fn permission_and_master_decide() {
        assert_eq!(names(route().write_queues(&"T".into())), ["a0", "a1", "a2"]);
        assert_eq!(names(route().read_queues(&"T".into())), ["a0", "a1", "b0"]);
    }

    // With a global order, exactly the configured queues are written.
    #[test]
    fn order_configuration_wins() {
        let route = Route { order: Route::parse_order("b:2; a:1;x;y:z"), ..route() };
        assert_eq!(names(route.write_queues(&"T".into())), ["b0", "b1", "a0"]);
    }

    // A topic that will be created gets no more queues than its template has.
    #[test]
    fn a_template_is_capped() {
        let made = route().of_template(1);
        assert_eq!(names(made.write_queues(&"T".into())), ["a0"]);
    }

    // Reads follow the suggestion, fall back to the master, then to any member.
    #[test]
    fn read_addresses_fall_back() {
        let brokers = route().brokers;
        assert_eq!(address_to_read(&brokers, "a", 1).as_deref(), Some("a1:1"));
        assert_eq!(address_to_read(&brokers, "a", 7).as_deref(), Some("a0:1"));
        assert_eq!(address_to_read(&brokers, "b", 0).as_deref(), Some("b1:1"));
        assert_eq!(address_to_read(&brokers, "x", 0), None);
        assert_eq!(address_of_master(&brokers, "b"), None);
    }
}
