//! Where things are: 105, 106, 901.

use std::time::Duration;

use wire::body::{self, BrokerMemberGroup, BrokerMemberGroupBody, TopicRouteData};
use wire::header::{BrokerMemberGroupHeader, GetRouteInfoHeader};
use wire::{Frame, Peer};

use crate::kv::ORDER_TOPIC_CONFIG;
use crate::reply::{Answer, Refused};
use crate::routes::MASTER;
use crate::serve::Namesrv;

/// GET_ROUTEINFO_BY_TOPIC (105).
pub(crate) fn by_topic(
    namesrv: &Namesrv,
    peer: &Peer,
    frame: &Frame<'_>,
    header: &GetRouteInfoHeader<'_>,
) -> Result<Answer, Refused> {
    let settings = namesrv.settings();
    if settings.wait_for_service && namesrv.age() < Duration::from_secs(settings.wait_for_service_s)
    {
        return Err(Refused::NotReady);
    }
    let topic = header.topic.to_str();
    let no_route = || Refused::NoRoute(topic.to_string());
    let order =
        settings.order_topics.then(|| namesrv.kv().get(ORDER_TOPIC_CONFIG, &topic)).flatten();
    let (zone, view) = (zone(frame), namesrv.view(peer));
    let routes = namesrv.routes().read();
    if order.is_none() && zone.is_none() && view.is_none() {
        return routes.route(&topic).map(Answer::body).ok_or_else(no_route);
    }
    let mut data = routes.route_data(&topic).ok_or_else(no_route)?;
    drop(routes);
    data.order_topic_conf = order;
    if let Some(zone) = zone {
        keep_zone(&mut data, &zone);
    }
    if let Some(view) = view {
        data.broker_datas.iter_mut().for_each(|broker| view.apply(&mut broker.broker_addrs));
    }
    Ok(Answer::body(body::write(&data)))
}

/// The zone that a client wants to stay in.
fn zone(frame: &Frame<'_>) -> Option<String> {
    let on = frame.fields.get("__ZONE_MODE")?.to_str().eq_ignore_ascii_case("true");
    let zone = frame.fields.get("__ZONE_NAME")?.to_str();
    (on && !zone.trim().is_empty()).then(|| zone.into_owned())
}

/// Leaves the brokers of a zone, and those without a master: their slaves are near to nobody.
fn keep_zone(data: &mut TopicRouteData, zone: &str) {
    data.broker_datas.retain(|broker| {
        let own = broker.zone_name.as_deref().is_some_and(|z| z.eq_ignore_ascii_case(zone));
        own || !broker.broker_addrs.contains_key(&MASTER)
    });
    let kept = &data.broker_datas;
    data.queue_datas.retain(|queues| kept.iter().any(|b| b.broker_name == queues.broker_name));
}

/// GET_BROKER_CLUSTER_INFO (106).
pub(crate) fn cluster_info(namesrv: &Namesrv, peer: &Peer) -> Result<Answer, Refused> {
    let Some(view) = namesrv.view(peer) else {
        return Ok(Answer::body(namesrv.routes().read().cluster_info()));
    };
    let mut info = namesrv.routes().read().cluster_info_data();
    info.broker_addr_table.values_mut().for_each(|broker| view.apply(&mut broker.broker_addrs));
    Ok(Answer::body(body::write(&info)))
}

/// GET_BROKER_MEMBER_GROUP (901).
pub(crate) fn member_group(
    namesrv: &Namesrv,
    peer: &Peer,
    header: &BrokerMemberGroupHeader<'_>,
) -> Result<Answer, Refused> {
    let broker_name = header.broker_name.to_str().into_owned();
    let mut broker_addrs = namesrv.routes().read().members(&broker_name);
    if let Some(view) = namesrv.view(peer) {
        view.apply(&mut broker_addrs);
    }
    let broker_member_group = BrokerMemberGroup {
        cluster: header.cluster_name.to_str().into_owned(),
        broker_addrs,
        broker_name,
    };
    Ok(Answer::body(body::write(&BrokerMemberGroupBody { broker_member_group })))
}
