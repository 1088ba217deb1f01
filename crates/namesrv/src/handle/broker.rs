//! Brokers come, stay and go: 103, 104, 322, 904.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use wire::body::{self, DataVersion, KVTable, RegisterBrokerBody, TopicConfig, TopicConfigs};
use wire::header::{
    BrokerHeartbeatHeader, QueryDataVersionHeader, RegisterBrokerHeader, UnregisterBrokerHeader,
};
use wire::{Frame, Peer, Text};

use crate::kv::ORDER_TOPIC_CONFIG;
use crate::limits;
use crate::reply::{Answer, Refused};
use crate::routes::{Queues, Registered, Registration};
use crate::serve::Namesrv;

/// REGISTER_BROKER (103).
pub(crate) fn register(
    namesrv: &Namesrv,
    peer: &Arc<Peer>,
    frame: &Frame<'_>,
    header: &RegisterBrokerHeader<'_>,
) -> Result<Answer, Refused> {
    let broker = name("the broker name", header.broker_name)?;
    let cluster = name("the cluster name", header.cluster_name)?;
    let addr = name("the broker address", header.broker_addr)?;
    let ha_addr = name("the HA address", header.ha_server_addr)?;
    let zone =
        frame.fields.get("__ZONE_NAME").map(|zone| name("the zone name", zone)).transpose()?;
    if header.body_crc32 != 0 && wire::record::crc(frame.body) != header.body_crc32 {
        return Err(Refused::Crc);
    }
    let body = match frame.body {
        [] => TopicConfigs::default(),
        body => RegisterBrokerBody::decode(body, frame.version)?.topics,
    };
    let topics = queues(body.topic_config_table.into_values())?;
    let registration = Registration {
        cluster: &cluster,
        broker: &broker,
        addr: &addr,
        id: header.broker_id,
        ha_addr: &ha_addr,
        zone: zone.as_deref(),
        silence: header
            .heartbeat_timeout_millis
            .and_then(|ms| u64::try_from(ms).ok())
            .map(Duration::from_millis),
        acting_master: header.enable_acting_master,
        version: body.data_version,
        topics: &topics,
        mappings: &body.topic_queue_mapping_info_map,
        peer: peer.id(),
    };
    let now = namesrv.env().clock.mono();
    let registered = namesrv.routes().write().register(&registration, now)?;
    let mut answer = Answer::default();
    match registered {
        Registered::Fenced => {
            tracing::warn!(%broker, id = header.broker_id, %addr, "registration of a replaced broker ignored");
            return Ok(answer);
        }
        Registered::Accepted { master, first } => {
            if first {
                tracing::info!(%broker, id = header.broker_id, %addr, topics = topics.len(), "broker registered");
            }
            if let Some((addr, ha_addr)) = master {
                answer.fields =
                    vec![("haServerAddr", ha_addr.to_string()), ("masterAddr", addr.to_string())];
            }
        }
    }
    if namesrv.settings().order_topics_to_brokers
        && let Some(table) = namesrv.kv().namespace(ORDER_TOPIC_CONFIG)
    {
        answer.body = body::write(&KVTable { table }).into();
    }
    Ok(answer)
}

/// UNREGISTER_BROKER (104).
pub(crate) fn unregister(
    namesrv: &Namesrv,
    header: &UnregisterBrokerHeader<'_>,
) -> Result<Answer, Refused> {
    let (broker, addr) = (header.broker_name.to_str(), header.broker_addr.to_str());
    if let Some(gone) = namesrv.routes().write().unregister(&broker, &addr) {
        tracing::info!(%broker, id = gone.id, %addr, "broker unregistered");
    }
    Ok(Answer::default())
}

/// QUERY_DATA_VERSION (322): whether the broker's table is known. If it is, this is a sign of life.
pub(crate) fn query_version(
    namesrv: &Namesrv,
    frame: &Frame<'_>,
    header: &QueryDataVersionHeader<'_>,
) -> Result<Answer, Refused> {
    let (broker, addr) = (header.broker_name.to_str(), header.broker_addr.to_str());
    let theirs: DataVersion = body::read(frame.body)?;
    let now = namesrv.env().clock.mono();
    let mut routes = namesrv.routes().write();
    let ours = routes.version(&broker, &addr);
    if ours == Some(theirs) {
        routes.heartbeat(&broker, &addr, now);
    }
    drop(routes);
    let mut answer = Answer::field("changed", ours != Some(theirs));
    answer.body = ours.map(|version| body::write(&version).into()).unwrap_or_default();
    Ok(answer)
}

/// BROKER_HEARTBEAT (904).
pub(crate) fn heartbeat(
    namesrv: &Namesrv,
    header: &BrokerHeartbeatHeader<'_>,
) -> Result<Answer, Refused> {
    let (broker, addr) = (header.broker_name.to_str(), header.broker_addr.to_str());
    let now = namesrv.env().clock.mono();
    namesrv.routes().write().heartbeat(&broker, &addr, now);
    Ok(Answer::default())
}

fn queues(topics: impl Iterator<Item = TopicConfig>) -> Result<Vec<(String, Queues)>, Refused> {
    topics
        .map(|topic| {
            check("a topic name", topic.topic_name.len())?;
            let queues = Queues {
                read: topic.read_queue_nums,
                write: topic.write_queue_nums,
                perm: topic.perm,
                sys_flag: topic.topic_sys_flag,
            };
            Ok((topic.topic_name, queues))
        })
        .collect()
}

fn name<'a>(what: &'static str, text: Text<'a>) -> Result<Cow<'a, str>, Refused> {
    check(what, text.max_len())?;
    Ok(text.to_str())
}

fn check(what: &'static str, size: usize) -> Result<(), Refused> {
    let limit = limits::NAME_BYTES;
    if size > limit { Err(Refused::Name { what, size, limit }) } else { Ok(()) }
}
