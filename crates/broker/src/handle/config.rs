//! Topics and groups as an administrator sees them (17, 21, 200, 201, 215, 351, 352).

use store::ReadError;
use wire::body::{SubscriptionGroupConfig, TopicConfig, TopicFilterType};
use wire::header::{
    CreateTopicHeader, GetAllGroupsHeader, GetAllGroupsResponse, GetAllTopicConfigHeader,
    GetAllTopicConfigResponse, GroupHeader, TopicHeader,
};
use wire::{Frame, Replies};

use crate::attribute::{self, Of};
use crate::broker::answer_after;
use crate::handle::lists;
use crate::page::Page;
use crate::reply::{self, Refusal};
use crate::topic::{self, TopicError};
use crate::{Broker, limits};

/// 17: creates or changes a topic. The name servers know before the answer is sent.
pub(crate) fn create_topic(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &CreateTopicHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let name = header.topic.to_str();
    topic::check_name(&name, limits::TOPIC_NAME)?;
    if broker.topics.is_system(&name) {
        return Err(TopicError::System(name.into_owned()).into());
    }
    let filter_type = header.topic_filter_type.to_str();
    let Some(topic_filter_type) = TopicFilterType::from_name(&filter_type) else {
        return Err(Refusal::Config(format!("topicFilterType = [{filter_type}] value invalid")));
    };
    let known = broker.topics.get(&name);
    let mut attributes =
        known.as_ref().map(|topic| topic.config.attributes.clone()).unwrap_or_default();
    if let Some(text) = &header.attributes {
        attribute::modify_by_text(Of::Topic, &mut attributes, &text.to_str(), known.is_none())?;
    }
    let config = TopicConfig {
        topic_name: name.into_owned(),
        read_queue_nums: header.read_queue_nums,
        write_queue_nums: header.write_queue_nums,
        perm: header.perm,
        topic_filter_type,
        topic_sys_flag: header.topic_sys_flag,
        order: header.order,
        attributes,
    };
    if !broker.topics.put(config, broker.env.clock.wall_ms())? {
        reply::ok(out, frame);
        return Ok(());
    }
    broker.answer_when_announced(frame, out);
    Ok(())
}

/// 215: deletes a topic, its offsets and its queues. The log keeps the messages until they expire.
pub(crate) fn delete_topic(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &TopicHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let name = header.topic.to_str();
    topic::check_name(&name, limits::LONG_TOPIC_NAME)?;
    if broker.topics.is_system(&name) {
        return Err(TopicError::System(name.into_owned()).into());
    }
    if broker.topics.remove(&name, broker.env.clock.wall_ms()) {
        broker.offsets.remove_topic(&name);
        broker.progress.remove_topic(&name);
        broker.stats.remove_topic(&name);
    }
    let name = name.into_owned();
    let deleted = broker.store.background(move |store| store.delete_topic(&name))?;
    let announced = broker.announced();
    let done = async move {
        let deleted = match deleted.await {
            Some(deleted) => deleted.map_err(Refusal::Disk),
            None => Err(ReadError::Closed.into()),
        };
        deleted.and(announced.await)
    };
    answer_after(done, frame, out);
    Ok(())
}

/// 21: every topic, or a page of them.
pub(crate) fn all_topics(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &GetAllTopicConfigHeader<'_>,
    out: &mut Replies,
) {
    let page = Page::asked(header.topic_seq, header.data_version.as_ref(), header.max_topic_num);
    let (table, total) = match page {
        Some(page) => broker.topics.page(&page),
        None => {
            let table = broker.topics.snapshot();
            let total = table.topic_config_table.len();
            (table, total)
        }
    };
    let total_topic_num = Some(i32::try_from(total).unwrap_or(i32::MAX));
    let header = GetAllTopicConfigResponse { total_topic_num };
    reply::header_and_json(out, frame, &header, &table);
}

/// 351: one topic.
pub(crate) fn topic(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &TopicHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let name = header.topic.to_str();
    let topic = broker.topics.get(&name).ok_or_else(|| Refusal::NoTopic(name.into_owned()))?;
    reply::json(out, frame, &topic.config);
    Ok(())
}

/// 200: creates or changes a group.
pub(crate) fn create_group(
    broker: &Broker,
    frame: &Frame<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let config: SubscriptionGroupConfig = wire::body::read(frame.body)?;
    let config = lists::check_group(broker, config)?;
    broker.groups.put(config, broker.env.clock.wall_ms())?;
    broker.answer_when_announced(frame, out);
    Ok(())
}

/// 201: every group, or a page of them.
pub(crate) fn all_groups(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &GetAllGroupsHeader<'_>,
    out: &mut Replies,
) {
    let page = Page::asked(header.group_seq, header.data_version.as_ref(), header.max_group_num);
    let (table, total) = match page {
        Some(page) => broker.groups.page(&page),
        None => {
            let table = broker.groups.snapshot();
            let total = table.subscription_group_table.len();
            (table, total)
        }
    };
    let total_group_num = Some(i32::try_from(total).unwrap_or(i32::MAX));
    let header = GetAllGroupsResponse { total_group_num };
    reply::header_and_json(out, frame, &header, &table);
}

/// 352: one group.
pub(crate) fn group(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &GroupHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let name = header.group.to_str();
    let group = broker.groups.get_or_create(&name, broker.env.clock.wall_ms());
    let group = group.ok_or_else(|| Refusal::NoGroup(name.into_owned()))?;
    reply::json(out, frame, &*group);
    Ok(())
}
