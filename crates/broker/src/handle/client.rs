//! Heartbeats, members and locks (34, 35, 38, 41, 42), and the notice that a group changed (40).

use std::sync::Arc;

use wire::body::{ConsumerIdList, HeartbeatData, LockBatchRequest, LockBatchResponse};
use wire::header::{ConsumerGroupHeader, HeartbeatResponse, UnregisterClientHeader};
use wire::{Frame, Peer, Replies, RequestCode};

use crate::Broker;
use crate::clients::Sender;
use crate::reply::{self, Refusal};
use crate::topic::RETRY_PREFIX;

/// 34: a client says which groups it is a member of and what it subscribes to.
pub(crate) fn heartbeat(
    broker: &Broker,
    peer: &Arc<Peer>,
    frame: &Frame<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let data = wire::body::read::<HeartbeatData>(frame.body)?;
    for consumer in &data.consumer_data_set {
        create_retry_topic(broker, &consumer.group_name, consumer.unit_mode)?;
    }
    let sender = Sender {
        peer,
        language: frame.language,
        version: frame.version,
        now: broker.env.clock.mono(),
    };
    let fingerprinted = data.heartbeat_fingerprint != 0;
    let changes =
        broker.clients.heartbeat(&sender, data, &|group| broker.groups.get(group).is_some());
    let changed = !changes.groups.is_empty();
    for found in changes.inconsistent {
        tracing::warn!(
            group = found.group,
            one = found.one,
            other = found.other,
            "members of a group subscribe to different things: each gets what it asked for"
        );
    }
    notify(broker, changes.groups);
    if let Some(full) = changes.full {
        return Err(full.into());
    }
    let response =
        HeartbeatResponse { supports_v2: true, subscription_changed: !fingerprinted || changed };
    reply::header(out, frame, &response);
    Ok(())
}

/// A group that may exist gets its retry topic with its first heartbeat.
fn create_retry_topic(broker: &Broker, group: &str, unit_mode: bool) -> Result<(), Refusal> {
    let Some(config) = broker.groups.get_or_create(group, broker.env.clock.wall_ms()) else {
        return Ok(());
    };
    if config.retry_queue_nums > 0 {
        broker.create_group_topic(
            &format!("{RETRY_PREFIX}{group}"),
            config.retry_queue_nums,
            unit_mode,
        )?;
    }
    Ok(())
}

/// 35: a client leaves its groups.
pub(crate) fn unregister(
    broker: &Broker,
    peer: &Peer,
    frame: &Frame<'_>,
    header: &UnregisterClientHeader<'_>,
    out: &mut Replies,
) {
    let consumer = header.consumer_group.map(|group| group.to_str());
    let producer = header.producer_group.map(|group| group.to_str());
    let changed = broker.clients.unregister(peer.id(), consumer.as_deref(), producer.as_deref());
    notify(broker, changed);
    reply::ok(out, frame);
}

/// 38: who the members of a group are.
pub(crate) fn consumer_list(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ConsumerGroupHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let group = header.consumer_group.to_str();
    let ids = broker.clients.client_ids(&group);
    if ids.is_empty() {
        return Err(Refusal::NobodyHome(group.into_owned()));
    }
    reply::json(out, frame, &ConsumerIdList { consumer_id_list: ids });
    Ok(())
}

/// 41: an orderly consumer locks or renews queues.
pub(crate) fn lock(broker: &Broker, frame: &Frame<'_>, out: &mut Replies) -> Result<(), Refusal> {
    let request = wire::body::read::<LockBatchRequest>(frame.body)?;
    let now = broker.env.clock.mono();
    let owned =
        broker.locks.lock(&request.consumer_group, &request.client_id, &request.mq_set, now);
    reply::json(out, frame, &LockBatchResponse { locked: owned });
    Ok(())
}

/// 42: an orderly consumer frees queues.
pub(crate) fn unlock(broker: &Broker, frame: &Frame<'_>, out: &mut Replies) -> Result<(), Refusal> {
    let request = wire::body::read::<LockBatchRequest>(frame.body)?;
    broker.locks.unlock(&request.consumer_group, &request.client_id, &request.mq_set);
    reply::ok(out, frame);
    Ok(())
}

/// 40: tells the members of these groups to divide the queues anew. A notice that a slow client has no room for is
/// dropped: the client looks again within 20 s.
pub(crate) fn notify(broker: &Broker, groups: Vec<String>) {
    if !broker.settings().notify_members {
        return;
    }
    for group in groups {
        let wanted =
            broker.groups.get(&group).is_some_and(|g| g.notify_consumer_ids_changed_enable);
        if !wanted {
            continue;
        }
        for peer in broker.clients.peers_to_notify(&group) {
            let code = RequestCode::NotifyConsumerIdsChanged.code();
            peer.oneway(code, |writer| writer.field("consumerGroup", group.as_str()), &[]);
        }
    }
}
