//! Topics as the routes know them: 205, 206, 216, 217, 224, 304, 311, 312, 313, 327.

use wire::Frame;
use wire::body::{self, TopicList, TopicRouteData};
use wire::header::{BrokerNameHeader, ClusterHeader, DeleteTopicFromNamesrvHeader, TopicHeader};

use crate::limits;
use crate::reply::{Answer, Refused};
use crate::routes::Queues;
use crate::serve::Namesrv;

/// Bits of a topic's system flag.
const UNIT: i32 = 1;
const UNIT_SUBSCRIPTION: i32 = 2;

/// GET_ALL_TOPIC_LIST_FROM_NAMESERVER (206).
pub(crate) fn list_all(namesrv: &Namesrv) -> Result<Answer, Refused> {
    if !namesrv.settings().all_topic_list {
        return Err(Refused::Disabled);
    }
    let topics = namesrv.routes().read().topics().map(str::to_owned).collect();
    Ok(list(topics, None))
}

/// GET_TOPICS_BY_CLUSTER (224).
pub(crate) fn list_by_cluster(
    namesrv: &Namesrv,
    header: &ClusterHeader<'_>,
) -> Result<Answer, Refused> {
    let cluster = header.cluster.to_str();
    list_where(namesrv, |c, _| c == cluster)
}

/// GET_UNIT_TOPIC_LIST (311).
pub(crate) fn list_unit(namesrv: &Namesrv) -> Result<Answer, Refused> {
    list_where(namesrv, |_, queues| queues.sys_flag & UNIT != 0)
}

/// GET_HAS_UNIT_SUB_TOPIC_LIST (312).
pub(crate) fn list_unit_subscribed(namesrv: &Namesrv) -> Result<Answer, Refused> {
    list_where(namesrv, |_, queues| queues.sys_flag & UNIT_SUBSCRIPTION != 0)
}

/// GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST (313).
pub(crate) fn list_unit_subscribed_only(namesrv: &Namesrv) -> Result<Answer, Refused> {
    list_where(namesrv, |_, q| q.sys_flag & (UNIT | UNIT_SUBSCRIPTION) == UNIT_SUBSCRIPTION)
}

fn list_where(
    namesrv: &Namesrv,
    accept: impl Fn(&str, &Queues) -> bool,
) -> Result<Answer, Refused> {
    if !namesrv.settings().topic_list {
        return Err(Refused::Disabled);
    }
    Ok(list(namesrv.routes().read().topics_where(accept), None))
}

/// GET_SYSTEM_TOPIC_LIST_FROM_NS (304): clusters and broker names, and a broker to ask for the rest.
pub(crate) fn list_system(namesrv: &Namesrv) -> Result<Answer, Refused> {
    let (topics, broker) = namesrv.routes().read().system_topics();
    Ok(list(topics, broker))
}

fn list(topic_list: Vec<String>, broker_addr: Option<String>) -> Answer {
    Answer::body(body::write(&TopicList { broker_addr, topic_list }))
}

/// DELETE_TOPIC_IN_NAMESRV (216).
pub(crate) fn delete(
    namesrv: &Namesrv,
    header: &DeleteTopicFromNamesrvHeader<'_>,
) -> Result<Answer, Refused> {
    let topic = header.topic.to_str();
    let cluster = header.cluster_name.map(|c| c.to_str()).filter(|c| !c.is_empty());
    namesrv.routes().write().delete_topic(&topic, cluster.as_deref());
    tracing::info!(%topic, cluster = cluster.as_deref(), "topic deleted from the routes");
    Ok(Answer::default())
}

/// REGISTER_TOPIC_IN_NAMESRV (217).
pub(crate) fn register(
    namesrv: &Namesrv,
    frame: &Frame<'_>,
    header: &TopicHeader<'_>,
) -> Result<Answer, Refused> {
    let topic = header.topic.to_str();
    let (size, limit) = (topic.len(), limits::NAME_BYTES);
    if size > limit {
        return Err(Refused::Name { what: "the topic name", size, limit });
    }
    let data: TopicRouteData = body::read(frame.body)?;
    let queues: Vec<(String, Queues)> = data
        .queue_datas
        .into_iter()
        .map(|q| {
            let queues = Queues {
                read: q.read_queue_nums,
                write: q.write_queue_nums,
                perm: q.perm,
                sys_flag: q.topic_sys_flag,
            };
            (q.broker_name, queues)
        })
        .collect();
    if !namesrv.routes().write().register_topic(&topic, &queues) {
        tracing::warn!(%topic, "single topic ignored: a broker of it is unknown, or the routes are full");
    }
    Ok(Answer::default())
}

/// WIPE_WRITE_PERM_OF_BROKER (205).
pub(crate) fn wipe_write(
    namesrv: &Namesrv,
    header: &BrokerNameHeader<'_>,
) -> Result<Answer, Refused> {
    let broker = header.broker_name.to_str();
    let topics = namesrv.routes().write().wipe_write(&broker);
    tracing::info!(%broker, topics, "write permission wiped until the broker's next changed registration");
    Ok(Answer::field("wipeTopicCount", topics))
}

/// ADD_WRITE_PERM_OF_BROKER (327).
pub(crate) fn add_write(
    namesrv: &Namesrv,
    header: &BrokerNameHeader<'_>,
) -> Result<Answer, Refused> {
    let broker = header.broker_name.to_str();
    let topics = namesrv.routes().write().add_write(&broker);
    tracing::info!(%broker, topics, "write permission added");
    Ok(Answer::field("addTopicCount", topics))
}
