//! A server that answers by a script and remembers what it was asked.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use env::Env;
use parking_lot::Mutex;
use tokio::sync::Notify;
use wire::codes::RequestCode;
use wire::record::{self, RecordHead};
use wire::{Call, Frame, FrameError, FrameWriter, Frames, Peer, Replies, reply_codes};

/// Decides what to answer; [`Answer::Default`] for what a healthy server would.
pub(crate) type Script = Box<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) code: RequestCode,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: Bytes,
    /// How many requests of this code came so far, this one included.
    pub(crate) count: usize,
}

impl Asked {
    /// A header field, empty when it is missing.
    pub(crate) fn field(&self, name: &str) -> String {
        self.fields.get(name).cloned().unwrap_or_default()
    }

    /// The unique key of a send.
    pub(crate) fn unique_key(&self) -> String {
        let properties = self.field("i");
        let key = wire::props::get(properties.as_bytes(), "UNIQ_KEY").unwrap_or_default();
        String::from_utf8_lossy(key).into_owned()
    }
}

/// What is answered.
pub(crate) enum Answer {
    /// What a healthy server would say.
    Default,
    /// Nothing, ever.
    Nothing,
    /// A code, a remark, header fields and a body.
    With(i32, String, Vec<(&'static str, String)>, Bytes),
}

impl Answer {
    pub(crate) fn refuse(code: i32, remark: &str) -> Answer {
        Answer::With(code, remark.to_owned(), Vec::new(), Bytes::new())
    }

    pub(crate) fn body(text: impl Into<String>) -> Answer {
        Answer::With(0, String::new(), Vec::new(), Bytes::from(text.into()))
    }

    pub(crate) fn stored(offset: u64) -> Answer {
        let fields = [("msgId", "7F".repeat(16)), ("queueId", "0".to_owned())];
        let fields = fields.into_iter().chain([("queueOffset", offset.to_string())]).collect();
        Answer::With(0, String::new(), fields, Bytes::new())
    }

    fn offset(offset: u64) -> Answer {
        Answer::With(0, String::new(), vec![("offset", offset.to_string())], Bytes::new())
    }
}

/// A running server.
pub(crate) struct Server {
    shared: Arc<Shared>,
    _server: net::Server,
    address: SocketAddr,
}

struct Shared {
    script: Script,
    asked: Mutex<Vec<Asked>>,
    /// Stored messages by topic and queue.
    stored: Mutex<BTreeMap<(String, i32), Vec<Bytes>>>,
    changed: Notify,
    /// Client ids of heartbeats.
    members: Mutex<Vec<String>>,
    /// The connection of the last heartbeat.
    client: Mutex<Option<Arc<Peer>>>,
}

impl Server {
    pub(crate) async fn start(env: &Env, script: Script) -> Result<Server> {
        let shared = Arc::new(Shared {
            script,
            asked: Mutex::default(),
            stored: Mutex::default(),
            changed: Notify::new(),
            members: Mutex::default(),
            client: Mutex::default(),
        });
        let (any, limits) = ((Ipv4Addr::LOCALHOST, 0).into(), net::Limits::default());
        let server =
            net::Server::start(env.clone(), any, "scripted", shared.clone(), limits).await?;
        Ok(Server { shared, address: server.local_addr(), _server: server })
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The requests of one code.
    pub(crate) fn asked(&self, code: RequestCode) -> Vec<Asked> {
        self.shared.asked.lock().iter().filter(|asked| asked.code == code).cloned().collect()
    }

    /// Waits until a condition holds; it is looked at after every request and the end of a connection.
    pub(crate) async fn until(&self, condition: impl Fn() -> bool) {
        loop {
            let changed = self.shared.changed.notified();
            if condition() {
                return;
            }
            changed.await;
        }
    }

    /// The client that sent the last heartbeat.
    pub(crate) fn client(&self) -> Arc<Peer> {
        self.shared.client.lock().clone().expect("a client has sent a heartbeat")
    }

    /// The record of a stored message.
    pub(crate) fn record(&self, topic: &str, queue: i32, offset: usize) -> Bytes {
        self.shared.stored.lock()[&(topic.to_owned(), queue)][offset].clone()
    }

    /// Stores a message with these properties.
    pub(crate) fn deliver(&self, topic: &str, queue: i32, properties: &str) {
        let mut stored = self.shared.stored.lock();
        let messages = stored.entry((topic.to_owned(), queue)).or_default();
        let head = RecordHead {
            queue_id: queue,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: self.address,
            store_host: self.address,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
        };
        let mut out = BytesMut::new();
        let (topic, properties) = (topic.as_bytes(), properties.as_bytes());
        record::encode(&mut out, &head, topic, b"body", properties).expect("a small record");
        // As a store does: the offset in the queue, behind five numbers of four bytes.
        out[20..28].copy_from_slice(&(messages.len() as u64).to_be_bytes());
        messages.push(out.freeze());
    }
}

/// A script for a broker.
pub(crate) fn broker(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Script {
    Box::new(script)
}

/// A name server that routes every topic but `unknown` to all brokers, with two queues at each; the
/// template has eight.
pub(crate) async fn names(env: &Env, brokers: Vec<(&'static str, String)>) -> Result<Server> {
    Server::start(env, routes(brokers)).await
}

/// The script of that name server.
pub(crate) fn routes(brokers: Vec<(&'static str, String)>) -> Script {
    broker(move |asked| {
        let topic = asked.field("topic");
        let is_cluster = asked.code == RequestCode::GetBrokerClusterInfo;
        if !is_cluster && (asked.code != RequestCode::GetRouteinfoByTopic || topic == "unknown") {
            return Answer::refuse(reply_codes::TOPIC_NOT_EXIST, "no route");
        }
        let queues = if topic == "TBW102" { 8 } else { 2 };
        let list = |each: &dyn Fn(&(&str, String)) -> String| {
            brokers.iter().map(each).collect::<Vec<_>>().join(",")
        };
        let datas = list(&|(name, address)| {
            format!(r#"{{"brokerAddrs":{{"0":"{address}"}},"brokerName":"{name}","cluster":"c"}}"#)
        });
        if is_cluster {
            let names: Vec<&str> = brokers.iter().map(|(name, _)| *name).collect();
            let table = list(&|(name, address)| {
                format!(r#""{name}":{{"brokerAddrs":{{"0":"{address}"}},"brokerName":"{name}"}}"#)
            });
            let clusters = format!(r#"{{"c":{names:?}}}"#);
            return Answer::body(format!(
                r#"{{"brokerAddrTable":{{{table}}},"clusterAddrTable":{clusters}}}"#
            ));
        }
        let shares = list(&|(name, _)| {
            format!(
                r#"{{"brokerName":"{name}","perm":6,"readQueueNums":{queues},"writeQueueNums":{queues}}}"#
            )
        });
        Answer::body(format!(r#"{{"brokerDatas":[{datas}],"queueDatas":[{shares}]}}"#))
    })
}

impl Call for Shared {
    fn call_batch(
        &self,
        peer: &Arc<Peer>,
        frames: &mut Frames<'_>,
        out: &mut Replies,
    ) -> Result<(), FrameError> {
        while let Some(frame) = frames.next()? {
            if peer.accept(&frame) {
                continue;
            }
            let Some(asked) = self.remember(&frame) else { continue };
            if asked.code == RequestCode::HeartBeat {
                *self.client.lock() = Some(peer.clone());
            }
            let mut answer = (self.script)(&asked);
            if let Answer::Default = answer {
                answer = self.healthy(&asked);
            }
            let Answer::With(code, remark, fields, body) = answer else { continue };
            if frame.is_oneway() {
                continue;
            }
            let writer = FrameWriter::response(out.head(), frame.reply_to(), code);
            let mut writer = writer.remark(&remark);
            fields.iter().for_each(|(name, value)| writer.field(name, value.as_str()));
            writer.finish(&body);
        }
        self.changed.notify_waiters();
        Ok(())
    }

    fn disconnected(&self, _peer: &Arc<Peer>) {
        self.changed.notify_waiters();
    }
}

impl Shared {
    fn remember(&self, frame: &Frame<'_>) -> Option<Asked> {
        let code = RequestCode::from_code(frame.code)?;
        let text = |text: wire::Text<'_>| text.to_str().into_owned();
        let fields = frame.fields.iter().map(|(name, value)| (text(name), text(value))).collect();
        let body = Bytes::copy_from_slice(frame.body);
        let mut all = self.asked.lock();
        let count = all.iter().filter(|asked| asked.code == code).count() + 1;
        let asked = Asked { code, fields, body, count };
        all.push(asked.clone());
        Some(asked)
    }

    fn healthy(&self, asked: &Asked) -> Answer {
        match asked.code {
            RequestCode::HeartBeat => {
                let beat = wire::body::read::<wire::body::HeartbeatData>(&asked.body);
                self.members.lock().extend(beat.map(|beat| beat.client_id));
                Answer::body("")
            }
            RequestCode::GetConsumerListByGroup => {
                let mut members = self.members.lock().clone();
                members.dedup();
                Answer::body(format!(r#"{{"consumerIdList":{members:?}}}"#))
            }
            RequestCode::QueryConsumerOffset => {
                Answer::refuse(reply_codes::QUERY_NOT_FOUND, "not found")
            }
            RequestCode::LockBatchMq => {
                let body = String::from_utf8_lossy(&asked.body).replace("mqSet", "lockOKMQSet");
                Answer::body(body)
            }
            RequestCode::PullMessage => self.pull(asked),
            _ => Answer::offset(0),
        }
    }

    fn pull(&self, asked: &Asked) -> Answer {
        let offset: usize = asked.field("queueOffset").parse().unwrap_or(0);
        let queue = (asked.field("topic"), asked.field("queueId").parse().unwrap_or(0));
        let stored = self.stored.lock();
        let messages = stored.get(&queue).map_or(&[][..], Vec::as_slice);
        let found = messages.get(offset..).unwrap_or_default();
        let next = offset + found.len();
        let names = ["suggestWhichBrokerId", "nextBeginOffset", "minOffset", "maxOffset"];
        let values = [0, next, 0, messages.len()].map(|value| value.to_string());
        let code = match found {
            // Answered at once, not held: 20 makes the client ask again.
            [] => reply_codes::PULL_RETRY_IMMEDIATELY,
            _ => reply_codes::SUCCESS,
        };
        let fields = names.into_iter().zip(values).collect();
        Answer::With(code, String::new(), fields, found.concat().into())
    }
}
