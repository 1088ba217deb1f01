//! Progress of groups as an administrator handles it: a group's end (207), copies (314), comparisons (308).

use std::collections::{BTreeMap, BTreeSet};

use wire::body::CorrectionOffsets;
use wire::header::{CloneOffsetsHeader, CorrectionOffsetHeader, DeleteGroupHeader};
use wire::{Frame, Replies};

use crate::Broker;
use crate::reply::{self, Refusal};

/// 207: deletes a group, and its offsets if that is asked for. A member that is connected brings it back with its next
/// heartbeat, where groups are created so.
pub(crate) fn delete_group(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &DeleteGroupHeader<'_>,
    out: &mut Replies,
) {
    let group = header.group_name.to_str();
    broker.groups.remove(&group, broker.env.clock.wall_ms());
    broker.progress.remove_group(&group);
    if header.clean_offset {
        broker.offsets.remove_group(&group);
    }
    tracing::info!(%group, with_offsets = header.clean_offset, "group deleted");
    broker.answer_when_written(frame, out);
}

/// 314: gives one group the offsets of another, in one topic or, unlike in the reference, whose loop over them does
/// nothing, in all of its topics.
pub(crate) fn clone_offsets(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &CloneOffsetsHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let (from, to) = (header.src_group.to_str(), header.dest_group.to_str());
    let topic = header.topic.map(|topic| topic.to_str()).filter(|topic| !topic.trim().is_empty());
    let topics = match topic {
        Some(topic) => BTreeSet::from([topic.into_owned()]),
        None => broker.offsets.topics_of(&from),
    };
    for topic in topics {
        let is_known = broker.topics.get(&topic).is_some();
        if is_known && (header.offline || is_subscribed(broker, &from, &topic)) {
            broker.offsets.copy(&topic, &from, &to)?;
        }
    }
    reply::ok(out, frame);
    Ok(())
}

/// Whether a member of the group subscribes to the topic; a group without members or subscriptions may do so any time.
fn is_subscribed(broker: &Broker, group: &str, topic: &str) -> bool {
    let subscribed = broker.clients.with_group(group, |group| {
        let mut all = group.members.values().map(|member| &member.subscriptions);
        let has_none = group.members.values().all(|member| member.subscriptions.is_empty());
        has_none || all.any(|subscriptions| subscriptions.contains_key(topic))
    });
    subscribed.unwrap_or(true)
}

/// 308: by queue, the lowest offset that any group of the topic has, but for those that are left out; the largest
/// number where the compared group is behind all of them. The reference deletes the offsets of groups that are left
/// out, which no question should do.
pub(crate) fn correction(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &CorrectionOffsetHeader<'_>,
    out: &mut Replies,
) {
    let (topic, compared) = (header.topic.to_str(), header.compare_group.to_str());
    let left_out = header.filter_groups.map(|groups| groups.to_str()).unwrap_or_default();
    let groups = broker.offsets.of_topic(&topic);
    let mut lowest: BTreeMap<i32, i64> = BTreeMap::new();
    for (group, offsets) in &groups {
        if left_out.split(',').any(|out| out == group) {
            continue;
        }
        for (&queue, &offset) in offsets {
            let known =
                u32::try_from(queue).ok().and_then(|id| broker.store.find_queue(&topic, id));
            // Behind the first message that is left, it says nothing any more.
            if offset >= known.map_or(0, |queue| queue.min_offset() as i64) {
                lowest.entry(queue).and_modify(|low| *low = offset.min(*low)).or_insert(offset);
            }
        }
    }
    for (queue, offset) in groups.get(&*compared).into_iter().flatten() {
        if let Some(low) = lowest.get_mut(queue).filter(|low| **low > *offset) {
            *low = i64::MAX;
        }
    }
    reply::json(out, frame, &CorrectionOffsets { correction_offsets: lowest });
}
