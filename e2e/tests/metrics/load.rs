//! The load that both peers get, once, over raw frames: every kind of request that the catalog has a metric for.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use apogee_e2e::cases::Shared;
use apogee_e2e::frame::{Connection, Frame};
use apogee_e2e::scrape::Scrape;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for a metric to have a value: delayed messages come after a second.
const WAIT: Duration = Duration::from_secs(60);

pub(crate) const TOPIC: &str = "metered";
pub(crate) const GROUP: &str = "meter-group";
/// Body of each message, but those of batches.
pub(crate) const BODY: [u8; 100] = [b'x'; 100];

/// A cluster with its load.
pub(crate) struct Metered {
    shared: Arc<Shared>,
    port: u16,
    loaded: OnceLock<Result<Connection, String>>,
}

impl Metered {
    pub(crate) fn new(shared: Arc<Shared>, port: u16) -> Metered {
        Metered { shared, port, loaded: OnceLock::new() }
    }

    /// The page after the load; the consumer stays connected.
    pub(crate) fn scrape(&self) -> Result<Scrape> {
        let load = || -> Result<Connection> { load(self.shared.cluster()?.broker()) };
        let loaded = self.loaded.get_or_init(|| load().map_err(|error| format!("{error:#}")));
        if let Err(error) = loaded {
            bail!("the load: {error}");
        }
        Scrape::fetch((Ipv4Addr::LOCALHOST, self.port).into(), "/metrics")
    }

    /// The page once `ready` holds of it.
    pub(crate) fn scrape_until(&self, ready: impl Fn(&Scrape) -> Result<bool>) -> Result<Scrape> {
        let end = Instant::now() + WAIT;
        loop {
            let page = self.scrape()?;
            if ready(&page)? {
                return Ok(page);
            }
            ensure!(Instant::now() < end, "not after {WAIT:?}: {page:#?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn load(broker: SocketAddr) -> Result<Connection> {
    let mut connection = Connection::open(broker, LIMIT)?;
    create_topic(&mut connection)?;
    let group = json!({ "groupName": GROUP });
    good(connection.call(200, &[], group.to_string().as_bytes())?)?;
    heartbeat(&mut connection)?;
    let mut offset = 0;
    for (properties, count) in [("", 5), ("__SHARDINGKEY\u{1}k\u{2}", 2), ("DELAY\u{1}1\u{2}", 1)] {
        for _ in 0..count {
            let sent = good(send(&mut connection, properties, 0)?)?;
            offset = sent.number("queueOffset")?;
        }
    }
    ensure!(offset == 0, "the delayed message is the first of its queue: {offset}");
    batch(&mut connection)?;
    // Three of queue 0, of which one is consumed.
    good(pull(&mut connection, 0, 0, 3, None)?)?;
    let commit = |connection: &mut Connection, flag: i64| {
        let fields = json!({
            "consumerGroup": GROUP, "topic": TOPIC, "queueId": "0", "commitOffset": "1",
        });
        let header = json!({
            "code": 15, "language": "JAVA", "version": 493, "opaque": 900 + flag, "flag": flag, "extFields": fields,
        });
        connection.send_header(header.to_string().as_bytes(), &[])
    };
    commit(&mut connection, 0)?;
    good(connection.answer_to(900)?)?;
    commit(&mut connection, 2)?;
    // A pull that waits until a message comes, over a connection of its own.
    let mut parked = Connection::open(broker, LIMIT)?;
    heartbeat(&mut parked)?;
    parked.send_header(&pull_header(1, 0, 32, Some(20_000), 77), &[])?;
    // One behind it on the same connection: when it is answered, the first one waits.
    good_or(pull(&mut parked, 2, 0, 1, None)?, 19)?;
    good(send(&mut connection, "", 1)?)?;
    good(parked.answer_to(77)?)?;
    // A message that is given up.
    let first = pull(&mut connection, 0, 0, 1, None)?;
    let physical =
        first.body.get(28..36).context("no record")?.try_into().map(i64::from_be_bytes)?;
    let give_up = [
        ("offset", physical.to_string()),
        ("group", GROUP.to_owned()),
        ("delayLevel", "-1".to_owned()),
        ("originTopic", TOPIC.to_owned()),
        ("maxReconsumeTimes", "16".to_owned()),
    ];
    let give_up = give_up.each_ref().map(|(name, value)| (*name, value.as_str()));
    good(connection.call(36, &give_up, &[])?)?;
    Ok(connection)
}

fn good(answer: Frame) -> Result<Frame> {
    good_or(answer, 0)
}

fn good_or(answer: Frame, code: i64) -> Result<Frame> {
    ensure!(answer.code == code, "{answer:?}");
    Ok(answer)
}

fn create_topic(connection: &mut Connection) -> Result<()> {
    let fields = [
        ("topic", TOPIC),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "4"),
        ("writeQueueNums", "4"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    good(connection.call(17, &fields, &[])?)?;
    Ok(())
}

fn heartbeat(connection: &mut Connection) -> Result<()> {
    let body = json!({
        "clientID": "meter", "producerDataSet": [{ "groupName": "meter-producers" }],
        "consumerDataSet": [{
            "groupName": GROUP, "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
            "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
            "subscriptionDataSet": [{ "topic": TOPIC, "subString": "*", "subVersion": 1 }],
        }],
    });
    let header = json!({ "code": 34, "language": "GO", "version": 409, "opaque": 34, "flag": 0 });
    connection.send_header(header.to_string().as_bytes(), body.to_string().as_bytes())?;
    good(connection.answer_to(34)?)?;
    Ok(())
}

fn send_fields(properties: &str, queue: i32, batch: bool) -> Value {
    json!({
        "producerGroup": "meter-producers", "topic": TOPIC, "defaultTopic": "TBW102",
        "defaultTopicQueueNums": "4", "queueId": queue.to_string(), "sysFlag": "0",
        "bornTimestamp": "1700000000000", "flag": "0", "properties": properties,
        "reconsumeTimes": "0", "unitMode": "false", "batch": batch.to_string(),
    })
}

fn send(connection: &mut Connection, properties: &str, queue: i32) -> Result<Frame> {
    let header = json!({
        "code": 10, "language": "JAVA", "version": 493, "opaque": 10, "flag": 0,
        "extFields": send_fields(properties, queue, false),
    });
    connection.send_header(header.to_string().as_bytes(), &BODY)?;
    connection.answer_to(10)
}

/// Three messages at once.
fn batch(connection: &mut Connection) -> Result<()> {
    let mut body = Vec::new();
    for text in [&b"a"[..], b"bb", b"ccc"] {
        let entry_size = 4 * 5 + text.len() + 2;
        for number in [entry_size, 0, 0, 0, text.len()] {
            body.extend_from_slice(&u32::try_from(number)?.to_be_bytes());
        }
        body.extend_from_slice(text);
        body.extend_from_slice(&0_u16.to_be_bytes());
    }
    let header = json!({
        "code": 10, "language": "JAVA", "version": 493, "opaque": 320, "flag": 0,
        "extFields": send_fields("", 3, true),
    });
    connection.send_header(header.to_string().as_bytes(), &body)?;
    good(connection.answer_to(320)?)?;
    Ok(())
}

fn pull_header(queue: i32, offset: i64, max: u32, hold_ms: Option<u64>, opaque: i64) -> Vec<u8> {
    let sys_flag = if hold_ms.is_some() { 2 | 4 } else { 4 };
    json!({
        "code": 11, "language": "JAVA", "version": 493, "opaque": opaque, "flag": 0,
        "extFields": {
            "consumerGroup": GROUP, "topic": TOPIC, "queueId": queue.to_string(),
            "queueOffset": offset.to_string(), "maxMsgNums": max.to_string(),
            "sysFlag": sys_flag.to_string(), "commitOffset": "0",
            "suspendTimeoutMillis": hold_ms.unwrap_or(0).to_string(),
            "subscription": "*", "subVersion": "0", "expressionType": "TAG",
        },
    })
    .to_string()
    .into_bytes()
}

fn pull(
    connection: &mut Connection,
    queue: i32,
    offset: i64,
    max: u32,
    hold_ms: Option<u64>,
) -> Result<Frame> {
    connection.send_header(&pull_header(queue, offset, max, hold_ms, 11), &[])?;
    connection.answer_to(11)
}
