//! How far groups are behind, found out when somebody asks: groups with members here and what those subscribe to, as
//! in the reference. Retries are left out; groups that broadcast are behind by nothing: each member knows its own.

use std::ops::Range;
use std::sync::Arc;

use store::Queue;
use wire::body::SubscriptionData;

use crate::topic::{RETRY_PREFIX, Topic};
use crate::{Broker, limits};

/// How far one group is behind in one topic.
#[derive(Debug, Default)]
pub(super) struct Lag {
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) system: bool,
    /// Messages that are pulled and not consumed.
    pub(super) inflight: u64,
    /// Messages that are not pulled.
    pub(super) ready: u64,
    /// When the oldest message was stored that is not consumed, ms since 1970.
    pub(super) unconsumed_ms: Option<i64>,
    /// When the oldest was that is not pulled.
    pub(super) unpulled_ms: Option<i64>,
}

/// What may be looked at for one page.
struct Budget {
    queues: usize,
    units: usize,
}

/// The lag of every group, by group and topic, at most `max` of them; and how many were left out. May wait for the
/// device.
pub(super) fn all(broker: &Broker, max: usize) -> (Vec<Lag>, usize) {
    let mut budget = Budget { queues: limits::LAG_QUEUES, units: limits::LAG_UNITS };
    let (mut found, mut left_out) = (Vec::new(), 0);
    for group in broker.clients.online_groups() {
        let is_broadcasting = broker.clients.is_broadcasting(&group);
        for (name, data) in broker.clients.subscriptions(&group) {
            let topic = broker.topics.get(&name).filter(|_| !name.starts_with(RETRY_PREFIX));
            let Some(topic) = topic.filter(|topic| is_open(broker, topic)) else { continue };
            let queues = usize::try_from(topic.config.write_queue_nums).unwrap_or(0);
            if found.len() >= max || queues > budget.queues {
                left_out += 1;
                continue;
            }
            let mut lag = Lag::new(&group, &topic);
            if !is_broadcasting {
                budget.queues -= queues;
                lag.add(broker, &topic, &data, &mut budget);
            }
            found.push(lag);
        }
    }
    (found, left_out)
}

fn is_open(broker: &Broker, topic: &Topic) -> bool {
    use wire::flags::perm;
    topic.config.perm & broker.settings().permission & (perm::READ | perm::WRITE) != 0
}

impl Lag {
    fn new(group: &str, topic: &Topic) -> Lag {
        let system = topic.system || super::write::is_system_group(group);
        let name = topic.config.topic_name.clone();
        Lag { group: group.to_owned(), topic: name, system, ..Lag::default() }
    }

    /// Adds what the queues of the topic say.
    fn add(
        &mut self,
        broker: &Broker,
        topic: &Topic,
        data: &SubscriptionData,
        budget: &mut Budget,
    ) {
        let (name, group) = (&topic.config.topic_name, &self.group);
        for id in 0..topic.config.write_queue_nums {
            let Some(queue) = broker.store.find_queue(name, id as u32) else { continue };
            let min = queue.min_offset();
            let max = queue.max_offset().max(min);
            let offset = |offset: i64| u64::try_from(offset).unwrap_or(0).clamp(min, max);
            // A group that never committed is where it pulls, or at the end.
            let committed = broker.offsets.query(name, group, id).map(offset);
            let pulled = broker.progress.next(name, group, id).map(offset);
            let committed = committed.or(pulled).unwrap_or(max);
            let pulled = pulled.unwrap_or(committed).max(committed);
            self.inflight += count(broker, &queue, committed..pulled, data, budget);
            self.ready += count(broker, &queue, pulled..max, data, budget);
            self.unconsumed_ms = oldest(self.unconsumed_ms, stored_ms(broker, &queue, committed));
            self.unpulled_ms = oldest(self.unpulled_ms, stored_ms(broker, &queue, pulled));
        }
    }
}

/// Messages between two offsets that the subscription takes; of many, an estimate by the first of them.
fn count(
    broker: &Broker,
    queue: &Queue,
    offsets: Range<u64>,
    data: &SubscriptionData,
    budget: &mut Budget,
) -> u64 {
    let all = offsets.end - offsets.start;
    let looked_at = usize::try_from(all).unwrap_or(usize::MAX).min(limits::LAG_UNITS_PER_QUEUE);
    if data.code_set.is_empty() || all == 0 || looked_at > budget.units {
        return all;
    }
    budget.units -= looked_at;
    let Ok(units) = broker.store.units(queue, offsets.start, looked_at) else { return all };
    let takes = |tags: i64| data.code_set.iter().any(|hash| i64::from(*hash) == tags);
    let taken = units.iter().filter(|unit| takes(unit.tags)).count() as u64;
    match units.len() as u64 {
        0 => all,
        seen => (u128::from(all) * u128::from(taken) / u128::from(seen)) as u64,
    }
}

fn stored_ms(broker: &Broker, queue: &Arc<Queue>, offset: u64) -> Option<i64> {
    // What cannot be read is not told of; who reads it is told why.
    broker.store.stored_ms(queue, offset).ok().flatten()
}

fn oldest(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}
