//! What topics and queues hold (202, 321), and which topics are the system's (305).

use std::sync::Arc;

use store::{Bound, QueueUnit};
use wire::body::{
    ConsumeQueuePart, ConsumeQueueUnit, SubscriptionData, TopicList, TopicOffset, TopicStatsTable,
};
use wire::header::{QueryConsumeQueueHeader, TopicHeader};
use wire::{Frame, FrameWriter, Replies, Text, reply_codes as code};

use super::{answer_tables, find_queue, key_of, later, stored_before};
use crate::reply::{self, Refusal};
use crate::topic::Topic;
use crate::{Broker, limits};

/// A topic's rate is that of the last minute.
const RATE_MS: i64 = 60_000;

/// 202: what each queue of a topic holds, and how fast it grows.
pub(crate) fn stats(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &TopicHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let topic = known(broker, &header.topic)?;
    answer_tables(broker, frame, out, move |broker| stats_of(broker, &topic))
}

/// The topic of that name.
pub(super) fn known(broker: &Broker, name: &Text<'_>) -> Result<Arc<Topic>, Refusal> {
    let name = name.to_str();
    broker.topics.get(&name).ok_or_else(|| Refusal::TopicMissing(name.into_owned()))
}

fn stats_of(broker: &Broker, topic: &Topic) -> Result<TopicStatsTable, Refusal> {
    let (name, store) = (&topic.config.topic_name, &broker.store);
    let since_ms = broker.env.clock.wall_ms() - RATE_MS;
    let (mut table, mut recent) = (TopicStatsTable::default(), 0);
    for id in 0..topic.queue_count() {
        let mut held = TopicOffset::default();
        if let Some(queue) = find_queue(broker, name, id) {
            let max = queue.max_offset();
            held.min_offset = queue.min_offset() as i64;
            held.max_offset = max as i64;
            held.last_update_timestamp =
                stored_before(broker, Some(&queue), max as i64)?.unwrap_or(0);
            if held.last_update_timestamp >= since_ms {
                recent += max.saturating_sub(store.search_time(&queue, since_ms, Bound::Lower)?);
            }
        }
        table.offset_table.insert(key_of(broker, name, id), held);
    }
    table.topic_put_tps = recent as f64 * 1000.0 / RATE_MS as f64;
    Ok(table)
}

/// 305: names of the system's own topics.
pub(crate) fn system(broker: &Broker, frame: &Frame<'_>, out: &mut Replies) {
    let topic_list = broker.topics.system_names();
    reply::json(out, frame, &TopicList { broker_addr: None, topic_list });
}

/// 321: units of a consume queue, with the subscription of a group that asks for it.
pub(crate) fn consume_queue(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &QueryConsumeQueueHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let (topic, id, index) = (header.topic.to_str(), header.queue_id, header.index);
    let queue = find_queue(broker, &topic, id);
    let queue =
        queue.ok_or_else(|| Refusal::NoQueue { topic: topic.clone().into_owned(), queue: id })?;
    let group = header.consumer_group.map(|group| group.to_str());
    let (filter_data, subscription_data) = match group {
        Some(group) => subscription(broker, &group, &topic),
        None => (None, None),
    };
    let count = usize::try_from(header.count).unwrap_or(0).min(limits::UNITS_PER_ANSWER);
    let missing = format!("Index {index} of {id}@{topic} is not exist!");
    let find = move |broker: &Broker| {
        let at = u64::try_from(index).unwrap_or(u64::MAX);
        let units = broker.store.units(&queue, at, count)?;
        Ok(ConsumeQueuePart {
            filter_data,
            max_queue_index: queue.max_offset() as i64,
            min_queue_index: queue.min_offset() as i64,
            queue_data: units.iter().map(unit).collect(),
            subscription_data,
        })
    };
    later(broker, frame, out, find, move |out, to, part| {
        let writer = FrameWriter::response(out.head(), to, code::SUCCESS);
        if part.queue_data.is_empty() && count > 0 {
            writer.remark(&missing).finish(&[]);
        } else {
            writer.finish(&wire::body::write(&part));
        }
    })
}

fn unit(unit: &QueueUnit) -> ConsumeQueueUnit {
    ConsumeQueueUnit {
        eval: false,
        physic_offset: unit.physical as i64,
        physic_size: unit.size as i32,
        tags_code: unit.tags,
    }
}

/// What a group subscribes to, and what there is to say of its filter: there are none but tags.
fn subscription(
    broker: &Broker,
    group: &str,
    topic: &str,
) -> (Option<String>, Option<SubscriptionData>) {
    let data = broker.clients.subscriptions(group).remove(topic);
    let filter = match &data {
        Some(_) => "null".to_owned(),
        None => format!("{group}@{topic} is not online!"),
    };
    (Some(filter), data)
}
