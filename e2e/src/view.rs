//! What a broker shows of its store, read through its own requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::frame::{Connection, Frame};
use crate::record::Record;

/// Group that every broker knows from its start.
const GROUP: &str = "TOOLS_CONSUMER";
const LIMIT: Duration = Duration::from_secs(20);

const PULL: i64 = 11;
const QUERY_BY_KEY: i64 = 12;
const QUERY_CONSUMER_OFFSET: i64 = 14;
const UPDATE_CONSUMER_OFFSET: i64 = 15;
const HEART_BEAT: i64 = 34;
const MAX_OFFSET: i64 = 30;
const MIN_OFFSET: i64 = 31;

/// Answer codes of a pull.
mod pulled {
    pub(super) const FOUND: i64 = 0;
    pub(super) const NOT_FOUND: i64 = 19;
    pub(super) const RETRY_IMMEDIATELY: i64 = 20;
    pub(super) const OFFSET_MOVED: i64 = 21;
}
/// A query found nothing.
const QUERY_NOT_FOUND: i64 = 22;

/// Everything of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Smallest offset.
    pub min: i64,
    /// Offset of the next message.
    pub max: i64,
    /// All records, by offset.
    pub records: Vec<Record>,
}

/// A connection that asks.
#[derive(Debug)]
pub struct View {
    connection: Connection,
}

impl View {
    /// Connects to a broker.
    pub fn open(broker: SocketAddr) -> Result<Self> {
        Ok(Self { connection: Connection::open(broker, LIMIT)? })
    }

    /// All queues of a topic.
    pub fn topic(&mut self, topic: &str, queues: i32) -> Result<BTreeMap<i32, Queue>> {
        (0..queues).map(|queue| Ok((queue, self.queue(topic, queue)?))).collect()
    }

    /// One queue from its smallest to its largest offset; a gap is an error.
    pub fn queue(&mut self, topic: &str, queue: i32) -> Result<Queue> {
        let id = queue.to_string();
        let place = [("topic", topic), ("queueId", &*id)];
        let min = self.connection.call(MIN_OFFSET, &place, &[])?.number("offset")?;
        let max = self.connection.call(MAX_OFFSET, &place, &[])?.number("offset")?;
        let mut records = Vec::new();
        let mut next = min;
        while next < max {
            let answer = self.pull(topic, queue, next)?;
            let found = Record::parse_all(&answer.body)?;
            for (record, expected) in found.iter().zip(next..) {
                ensure!(
                    record.queue_offset == expected && record.queue == queue,
                    "{topic} queue {queue}: {} of queue {} where {expected} should be",
                    record.queue_offset,
                    record.queue,
                );
            }
            records.extend(found);
            let before = next;
            next = answer.number("nextBeginOffset")?;
            match answer.code {
                pulled::FOUND | pulled::RETRY_IMMEDIATELY if next > before => {}
                code => bail!("{topic} queue {queue} at {before} of {min}..{max}: {code}"),
            }
        }
        // What came since the largest offset was asked for.
        records.truncate(usize::try_from(max - min)?);
        ensure!(
            i64::try_from(records.len())? == max - min,
            "{topic} queue {queue}: {} records in {min}..{max}",
            records.len()
        );
        Ok(Queue { min, max, records })
    }

    fn pull(&mut self, topic: &str, queue: i32, offset: i64) -> Result<Frame> {
        let (queue, offset) = (queue.to_string(), offset.to_string());
        let fields = [
            ("consumerGroup", GROUP),
            ("topic", topic),
            ("queueId", &*queue),
            ("queueOffset", &*offset),
            ("maxMsgNums", "32"),
            // The subscription is in this request, and the answer comes at once.
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", "*"),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        let answer = self.connection.call(PULL, &fields, &[])?;
        match answer.code {
            pulled::FOUND
            | pulled::NOT_FOUND
            | pulled::RETRY_IMMEDIATELY
            | pulled::OFFSET_MOVED => Ok(answer),
            code => bail!("pull of {topic} queue {queue} at {offset}: {code} {}", answer.remark),
        }
    }

    /// Records with this key, by physical offset.
    pub fn by_key(&mut self, topic: &str, key: &str) -> Result<Vec<Record>> {
        let end = i64::MAX.to_string();
        let fields = [
            ("topic", topic),
            ("key", key),
            ("maxNum", "64"),
            ("beginTimestamp", "0"),
            ("endTimestamp", &*end),
        ];
        let answer = self.connection.call(QUERY_BY_KEY, &fields, &[])?;
        let mut records = match answer.code {
            0 => Record::parse_all(&answer.body)?,
            QUERY_NOT_FOUND => Vec::new(),
            code => bail!("query of {topic} by {key}: {code} {}", answer.remark),
        };
        records.sort_by_key(|record| record.physical_offset);
        Ok(records)
    }

    /// Makes the broker know a group, as a consumer's first heartbeat does.
    pub fn join(&mut self, group: &str, topic: &str) -> Result<()> {
        let subscription = json!({
            "topic": topic, "subString": "*", "tagsSet": [], "codeSet": [], "subVersion": 1,
            "expressionType": "TAG", "classFilterMode": false,
        });
        let heartbeat = json!({
            "clientID": format!("127.0.0.1@{group}"),
            "producerDataSet": [],
            "consumerDataSet": [{
                "groupName": group, "consumeType": "CONSUME_PASSIVELY", "unitMode": false,
                "messageModel": "CLUSTERING", "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
                "subscriptionDataSet": [subscription],
            }],
        });
        let answer = self.connection.call(HEART_BEAT, &[], heartbeat.to_string().as_bytes())?;
        ensure!(answer.code == 0, "heartbeat of {group}: {answer:?}");
        Ok(())
    }

    /// Stores a group's progress in a queue.
    pub fn commit(&mut self, group: &str, topic: &str, queue: i32, offset: i64) -> Result<()> {
        let (queue, offset) = (queue.to_string(), offset.to_string());
        let fields = [
            ("consumerGroup", group),
            ("topic", topic),
            ("queueId", &*queue),
            ("commitOffset", &*offset),
        ];
        let answer = self.connection.call(UPDATE_CONSUMER_OFFSET, &fields, &[])?;
        ensure!(answer.code == 0, "commit: {answer:?}");
        Ok(())
    }

    /// A group's progress in a queue.
    pub fn committed(&mut self, group: &str, topic: &str, queue: i32) -> Result<i64> {
        let queue = queue.to_string();
        let fields = [("consumerGroup", group), ("topic", topic), ("queueId", &*queue)];
        self.connection.call(QUERY_CONSUMER_OFFSET, &fields, &[])?.number("offset")
    }
}
