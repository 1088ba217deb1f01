//! Topics for clients that do not create them as Java's do: Node's sends to none that is new, Go's asks
//! for four queues whatever it is told.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use apogee_e2e::client::Arg;
use apogee_e2e::frame::Connection;

const UPDATE_TOPIC: i64 = 17;
const GET_ROUTE: i64 = 105;
const GET_MAX_OFFSET: i64 = 30;
const GET_MIN_OFFSET: i64 = 31;
/// Of topics that clients create when nothing else is said.
const QUEUES: i64 = 4;
const LIMIT: Duration = Duration::from_secs(20);

/// Creates the topic of a program's arguments at `broker`, unless their name servers know it, and waits
/// until they do. Of an argument that is there twice the last counts.
pub(crate) fn create_for(broker: SocketAddr, args: &[Arg<'_>]) -> Result<()> {
    let value = |name| args.iter().rev().find(|arg| arg.0 == name).map(|arg| arg.1);
    let topic = value("topic").context("no topic")?;
    let namesrvs = value("namesrv").context("no namesrv")?;
    if namesrvs.split(';').all(|namesrv| knows(namesrv, topic)) {
        return Ok(());
    }
    let queues = value("queues").unwrap_or("4");
    let header = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", queues),
        ("writeQueueNums", queues),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    let answer = Connection::open(broker, LIMIT)?.call(UPDATE_TOPIC, &header, &[])?;
    ensure!(answer.code == 0, "{answer:?}");
    let end = Instant::now() + LIMIT;
    while !namesrvs.split(';').all(|namesrv| knows(namesrv, topic)) {
        ensure!(Instant::now() < end, "{namesrvs} do not know {topic} after {LIMIT:?}");
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// How many messages a topic of [`QUEUES`] queues holds.
pub(crate) fn stored_in(broker: SocketAddr, topic: &str) -> Result<i64> {
    let mut connection = Connection::open(broker, LIMIT)?;
    let mut stored = 0;
    for queue in 0..QUEUES {
        let fields = [("topic", topic), ("queueId", &*queue.to_string())];
        let [first, end] = [GET_MIN_OFFSET, GET_MAX_OFFSET]
            .map(|code| connection.call(code, &fields, &[])?.number("offset"));
        stored += end? - first?;
    }
    Ok(stored)
}

/// Whether this name server has a route; one that was killed is not waited for.
fn knows(namesrv: &str, topic: &str) -> bool {
    let asked = namesrv
        .parse()
        .map_err(anyhow::Error::new)
        .and_then(|addr| Connection::open(addr, LIMIT)?.call(GET_ROUTE, &[("topic", topic)], &[]));
    asked.map_or(true, |answer| answer.code == 0)
}
