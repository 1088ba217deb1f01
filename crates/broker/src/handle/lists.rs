//! Several topics (18) or groups (225) at once: all of them, or none when one is refused.

use wire::body::{SubscriptionGroupConfig, SubscriptionGroupList, TopicConfig, TopicConfigList};
use wire::{Frame, Replies};

use crate::attribute::{self, Of};
use crate::group;
use crate::reply::{self, Refusal};
use crate::topic::{self, TopicError};
use crate::{Broker, limits};

/// 18: creates or changes topics. One that is as it shall be is passed over; the reference then does nothing for the
/// others either.
pub(crate) fn create_topics(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let list: TopicConfigList = wire::body::read(frame.body)?;
    let checked = list.topic_config_list.into_iter().map(|config| check(broker, config));
    let checked: Vec<TopicConfig> = checked.collect::<Result<_, _>>()?;
    let now_ms = broker.env.clock.wall_ms();
    let mut changed = false;
    for config in checked {
        changed |= broker.topics.put(config, now_ms)?;
    }
    if changed {
        broker.answer_when_announced(frame, out);
    } else {
        reply::ok(out, frame);
    }
    Ok(())
}

/// The topic as it will be: what comes as attributes are changes of those that it has.
fn check(broker: &Broker, mut config: TopicConfig) -> Result<TopicConfig, Refusal> {
    topic::check_name(&config.topic_name, limits::TOPIC_NAME)?;
    if broker.topics.is_system(&config.topic_name) {
        return Err(TopicError::System(config.topic_name).into());
    }
    topic::check_queues(config.read_queue_nums)?;
    topic::check_queues(config.write_queue_nums)?;
    let known = broker.topics.get(&config.topic_name);
    let current = known.as_ref().map(|topic| &topic.config.attributes);
    config.attributes = attribute::merged(Of::Topic, current, &config.attributes)?;
    Ok(config)
}

/// 225: creates or changes groups.
pub(crate) fn create_groups(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let list: SubscriptionGroupList = wire::body::read(frame.body)?;
    let checked = list.group_config_list.into_iter().map(|config| check_group(broker, config));
    let checked: Vec<SubscriptionGroupConfig> = checked.collect::<Result<_, _>>()?;
    let now_ms = broker.env.clock.wall_ms();
    for config in checked {
        broker.groups.put(config, now_ms)?;
    }
    broker.answer_when_written(frame, out);
    Ok(())
}

/// The group as it will be: what comes as attributes are changes of those that it has.
pub(super) fn check_group(
    broker: &Broker,
    mut config: SubscriptionGroupConfig,
) -> Result<SubscriptionGroupConfig, Refusal> {
    group::check_name(&config.group_name)?;
    let known = broker.groups.get(&config.group_name);
    let current = known.as_ref().map(|group| &group.attributes);
    config.attributes = attribute::merged(Of::Group, current, &config.attributes)?;
    Ok(config)
}
