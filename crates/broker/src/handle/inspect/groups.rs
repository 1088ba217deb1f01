//! How far consumer groups are (43, 45, 208, 303, 317), and who consumes what (300, 343, 345).

use std::collections::{BTreeMap, BTreeSet};

use wire::body::{
    ConsumeStats, ConsumeStatsList, ConsumeTimeSpans, GroupList, GroupSubscription, OffsetWrapper,
    QueueTimeSpan, TopicList,
};
use wire::header::{
    BrokerConsumeStatsHeader, ConsumeStatsHeader, ConsumeTimeSpanHeader, GroupHeader,
    QuerySubscriptionHeader, TopicHeader,
};
use wire::{Frame, Replies};

use super::{
    answer, answer_tables, answer_text, check_count, find_queue, key_of, queue_of, stored_before,
    topics,
};
use crate::Broker;
use crate::reply::{self, Refusal};
use crate::topic::Topic;

/// 208: how far a group is in its topics.
pub(crate) fn stats(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ConsumeStatsHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let group = header.consumer_group.to_str().into_owned();
    let list = header.topic_list.map(|list| list.to_str()).unwrap_or_default();
    let mut topics: BTreeSet<String> =
        list.split(';').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if topics.is_empty() {
        let one = header.topic.map(|topic| topic.to_str()).unwrap_or_default();
        topics = match one.trim() {
            "" => broker.offsets.topics_of(&group),
            one => BTreeSet::from([one.to_owned()]),
        };
        drop_unsubscribed(broker, &group, &mut topics);
    }
    answer_tables(broker, frame, out, move |broker| {
        let mut stats = ConsumeStats::default();
        for topic in topics.iter().filter_map(|name| broker.topics.get(name)) {
            add_stats(broker, &topic, &group, &mut stats)?;
        }
        Ok(stats)
    })
}

/// A group that is online is told of what it subscribes to now; what it consumed once does not matter.
fn drop_unsubscribed(broker: &Broker, group: &str, topics: &mut BTreeSet<String>) {
    let subscribed = broker.clients.subscriptions(group);
    if !subscribed.is_empty() {
        topics.retain(|topic| subscribed.contains_key(topic));
    }
}

fn add_stats(
    broker: &Broker,
    topic: &Topic,
    group: &str,
    stats: &mut ConsumeStats,
) -> Result<(), Refusal> {
    let (name, queues) = (&topic.config.topic_name, topic.config.read_queue_nums);
    check_count(stats.offset_table.len() + usize::try_from(queues).unwrap_or(0))?;
    for id in 0..queues {
        let queue = find_queue(broker, name, id);
        let committed = broker.offsets.query(name, group, id).unwrap_or(0).max(0);
        let pulled = broker.progress.next(name, group, id).unwrap_or(0);
        let progress = OffsetWrapper {
            broker_offset: queue.as_ref().map_or(0, |queue| queue.max_offset() as i64),
            consumer_offset: committed,
            last_timestamp: stored_before(broker, queue.as_ref(), committed)?.unwrap_or(0),
            pull_offset: pulled.max(committed),
        };
        stats.offset_table.insert(key_of(broker, name, id), progress);
    }
    stats.consume_tps += broker.progress.rate(name, group, broker.env.clock.mono());
    Ok(())
}

/// 317: how far every group is.
pub(crate) fn all_stats(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &BrokerConsumeStatsHeader,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let ordered_only = header.is_order;
    answer_tables(broker, frame, out, move |broker| {
        let broker_addr = broker.addr.clone();
        let mut list = ConsumeStatsList { broker_addr, ..ConsumeStatsList::default() };
        let mut queues = 0;
        for group in broker.groups.snapshot().subscription_group_table.into_keys() {
            let mut topics = broker.offsets.topics_of(&group);
            drop_unsubscribed(broker, &group, &mut topics);
            let mut each = Vec::new();
            let topics = topics.iter().filter_map(|name| broker.topics.get(name));
            for topic in topics.filter(|topic| topic.config.order || !ordered_only) {
                let mut stats = ConsumeStats::default();
                add_stats(broker, &topic, &group, &mut stats)?;
                queues += stats.offset_table.len();
                check_count(queues)?;
                for progress in stats.offset_table.values() {
                    list.total_diff += progress.broker_offset - progress.consumer_offset;
                    list.total_inflight_diff += progress.pull_offset - progress.consumer_offset;
                }
                each.push(stats);
            }
            list.consume_stats_list.push(BTreeMap::from([(group, each)]));
        }
        Ok(list)
    })
}

/// 303: from when to when a topic's messages are, and where in between a group is.
pub(crate) fn time_spans(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ConsumeTimeSpanHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let topic = topics::known(broker, &header.topic)?;
    let group = header.group.to_str().into_owned();
    answer(broker, frame, out, move |broker| {
        let queues = 0..topic.config.write_queue_nums;
        let spans = queues.map(|id| time_span(broker, &topic, &group, id));
        Ok(ConsumeTimeSpans { consume_time_span_set: spans.collect::<Result<_, _>>()? })
    })
}

fn time_span(
    broker: &Broker,
    topic: &Topic,
    group: &str,
    id: i32,
) -> Result<QueueTimeSpan, Refusal> {
    let name = &topic.config.topic_name;
    let message_queue = queue_of(broker, name, id);
    let nothing = QueueTimeSpan {
        consume_time_stamp: -1,
        delay_time: 0,
        max_time_stamp: -1,
        message_queue,
        min_time_stamp: -1,
    };
    let Some(queue) = find_queue(broker, name, id) else { return Ok(nothing) };
    let (min, max) = (queue.min_offset() as i64, queue.max_offset() as i64);
    let committed = broker.offsets.query(name, group, id).unwrap_or(0);
    let stored = |offset: i64| stored_before(broker, Some(&queue), offset + 1);
    let first = stored(min)?.unwrap_or(-1);
    let last_consumed = if committed > 0 { stored(committed - 1)?.unwrap_or(-1) } else { first };
    let next = stored(committed.max(min))?;
    let now_ms = broker.env.clock.wall_ms();
    Ok(QueueTimeSpan {
        consume_time_stamp: last_consumed,
        delay_time: next.map_or(0, |stored| now_ms - stored),
        max_time_stamp: stored(max - 1)?.unwrap_or(-1),
        min_time_stamp: first,
        ..nothing
    })
}

/// 300: groups that subscribe to a topic or have progress in it.
pub(crate) fn of_topic(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &TopicHeader<'_>,
    out: &mut Replies,
) {
    let topic = header.topic.to_str();
    let mut groups = broker.clients.groups_of(&topic);
    groups.extend(broker.offsets.groups_of(&topic));
    reply::json(out, frame, &GroupList { group_list: groups.into_iter().collect() });
}

/// 343: topics that a group has progress in.
pub(crate) fn topics_of(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &GroupHeader<'_>,
    out: &mut Replies,
) {
    let topics = broker.offsets.topics_of(&header.group.to_str());
    let list = TopicList {
        broker_addr: Some(broker.addr.clone()),
        topic_list: topics.into_iter().collect(),
    };
    reply::json(out, frame, &list);
}

/// 345: what a group subscribes to of a topic.
pub(crate) fn subscription(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &QuerySubscriptionHeader<'_>,
    out: &mut Replies,
) {
    let group = header.group.to_str().into_owned();
    let topic = header.topic.map(|topic| topic.to_str().into_owned());
    let mut subscriptions = broker.clients.subscriptions(&group);
    let subscription_data = topic.as_ref().and_then(|topic| subscriptions.remove(topic));
    reply::json(out, frame, &GroupSubscription { group, subscription_data, topic });
}

/// 43: every committed offset.
pub(crate) fn all_offsets(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    answer_text(broker, frame, out, |broker| Ok(broker.offsets.text()))
}

/// 45: how far each delay level is delivered.
pub(crate) fn all_delays(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    answer_text(broker, frame, out, |broker| Ok(broker.delays.text()))
}
