//! Who is connected (203, 204, 328).

use wire::body::{ProducerConnection, ProducerTable};
use wire::header::{ConsumerGroupHeader, ProducerGroupHeader};
use wire::{Frame, Replies};

use crate::Broker;
use crate::reply::{self, Refusal};

/// 203: the members of a consumer group.
pub(crate) fn consumers(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ConsumerGroupHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let group = header.consumer_group.to_str();
    let seen = broker.clients.consumer_connections(&group);
    let seen = seen.ok_or_else(|| Refusal::GroupOffline(group.into_owned()))?;
    reply::json(out, frame, &seen);
    Ok(())
}

/// 204: the members of a producer group.
pub(crate) fn producers(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ProducerGroupHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let group = header.producer_group.to_str();
    let connection_set = broker.clients.producer_connections(&group);
    let connection_set = connection_set.ok_or_else(|| Refusal::NoProducers(group.into_owned()))?;
    reply::json(out, frame, &ProducerConnection { connection_set });
    Ok(())
}

/// 328: every producer.
pub(crate) fn all_producers(broker: &Broker, frame: &Frame<'_>, out: &mut Replies) {
    let clock = &broker.env.clock;
    let data = broker.clients.producers(clock.mono(), clock.wall_ms());
    reply::json(out, frame, &ProducerTable { data });
}
