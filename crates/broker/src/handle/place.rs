//! The topic and the queue of a message that a client sends, be it for consumers (10, 310, 320) or for a producer that
//! waits for it (324, 325).

use std::sync::Arc;

use wire::flags::perm;
use wire::header::SendHeader;

use crate::reply::Refusal;
use crate::topic::{self, AUTO_CREATE_TOPIC, RETRY_PREFIX, Topic};
use crate::{Broker, limits};

/// The queue that a message is for.
pub(super) struct Place {
    pub(super) topic: Arc<Topic>,
    pub(super) queue_id: i32,
    /// The topic is so new that its file does not have it: created by this send, or just before.
    pub(super) created: bool,
}

/// Finds or creates the topic and chooses the queue. `previous` is a topic that it might be.
pub(super) fn place(
    broker: &Broker,
    header: &SendHeader<'_>,
    previous: Option<Arc<Topic>>,
) -> Result<Place, Refusal> {
    let same = previous.filter(|topic| {
        header.topic == topic.config.topic_name.as_str()
            && !topic.config.topic_name.starts_with('%')
    });
    let (topic, created) = match same {
        Some(topic) => (topic, false),
        None => find_topic(broker, header)?,
    };
    // Producers of other topics learn it from the route and go elsewhere; order cannot.
    if topic.config.order && broker.settings().permission & perm::WRITE == 0 {
        let broker = broker.settings().name.clone();
        return Err(Refusal::BrokerForbidden { broker, what: "sending" });
    }
    let queue_id = match header.queue_id {
        id if id >= topic.queue_count() => {
            return Err(Refusal::QueueId {
                queue: id,
                topic: topic.config.topic_name.clone(),
                count: topic.queue_count(),
                who: header.producer_group.to_str().into_owned(),
            });
        }
        id if id < 0 => broker.env.rng.below(topic.config.write_queue_nums.max(1) as u64) as i32,
        id => id,
    };
    Ok(Place { topic, queue_id, created })
}

fn find_topic(broker: &Broker, header: &SendHeader<'_>) -> Result<(Arc<Topic>, bool), Refusal> {
    let name = header.topic.to_str();
    let max = if name.starts_with('%') { limits::LONG_TOPIC_NAME } else { limits::TOPIC_NAME };
    topic::check_name(&name, max)?;
    if topic::is_closed(&name) {
        return Err(Refusal::ClosedTopic(name.into_owned()));
    }
    if let Some(topic) = broker.topics.get(&name) {
        let created = !topic.is_saved();
        return Ok((topic, created));
    }
    let now_ms = broker.env.clock.wall_ms();
    let queues = header.default_topic_queue_nums;
    let template = header.default_topic.to_str();
    // It may have been switched off while running, which leaves the template as it is.
    let may_create = template != AUTO_CREATE_TOPIC || broker.settings().auto_create_topic;
    let created = match may_create {
        true => broker.topics.create_from(&name, &template, queues, header.unit_mode, now_ms)?,
        false => None,
    };
    let created = match created {
        None if name.starts_with(RETRY_PREFIX) => {
            broker.create_group_topic(&name, 1, header.unit_mode)?
        }
        created => created,
    };
    created.map(|topic| (topic, true)).ok_or_else(|| Refusal::NoTopic(name.into_owned()))
}
