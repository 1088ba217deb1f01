//! A broker on a small store, asked as a connection would ask it.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use env::{Env, Tasks};
use serde_json::{Value, json};
use store::{Store, StoreSettings};
use wire::body::{lenient, queue_key};
use wire::frame::{Head, OwnedFrame};
use wire::{Call as _, Format, FrameWriter, Frames, Language, Peer, Replies};

use crate::{Broker, BrokerSettings, Deps};

const TOPIC: &str = "Orders";
const GROUP: &str = "billing";

struct Bench {
    broker: Broker,
    peer: Arc<Peer>,
    _dir: tempfile::TempDir,
}

/// What a request is answered.
struct Answer(OwnedFrame);

impl Answer {
    fn code(&self) -> i32 {
        self.0.frame().code
    }

    fn remark(&self) -> String {
        self.0.frame().remark.map(|remark| remark.to_string()).unwrap_or_default()
    }

    fn body(&self) -> Value {
        lenient::parse(self.0.frame().body).expect("a body")
    }

    /// The body of a success.
    fn good(&self) -> Value {
        assert_eq!((self.code(), self.remark()), (0, String::new()));
        self.body()
    }
}

impl Bench {
    fn open() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::real();
        let store_env = Env { tasks: Tasks::new(env.clock.clone()), ..env.clone() };
        let settings =
            StoreSettings { segment_bytes: 1 << 20, ..StoreSettings::test_min(dir.path()) };
        let store = Store::open(store_env, settings).unwrap();
        let handler = Arc::new(net::AnswersOnly);
        let client = net::Client::new(env.clone(), "test", handler, net::Limits::default());
        let (namesrv, settings_file) = (String::new(), None);
        let advertised = ([127, 0, 0, 1], 10911).into();
        let deps = Deps { store, client, namesrv, advertised, settings_file };
        let broker = Broker::open(env, BrokerSettings::default(), deps).unwrap();
        let addr = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Bench { broker, peer: Peer::new(1, addr(5001), addr(10911)), _dir: dir }
    }

    /// Hands a frame to the broker; the answers that come at once and those that come later.
    fn pass(&self, frame: &[u8]) -> Replies {
        let mut out = Replies::default();
        let mut frames = Frames::new(frame, usize::MAX);
        self.broker.call_batch(&self.peer, &mut frames, &mut out).unwrap();
        out
    }

    async fn ask(&self, code: i32, fields: Value, body: &[u8]) -> Answer {
        let mut out = self.pass(&request(code, &fields, body));
        answer(&mut out).await
    }

    /// Creates the topic, stores a message in its queue 1, and registers a producer and a consumer.
    async fn furnish(&self) {
        let topic = json!({"topic": TOPIC, "defaultTopic": "TBW102", "readQueueNums": "2",
            "writeQueueNums": "2", "perm": "6", "topicFilterType": "SINGLE_TAG"});
        assert_eq!(self.ask(17, topic, b"").await.code(), 0);
        let send = json!({"producerGroup": "shop", "topic": TOPIC, "defaultTopic": "TBW102",
            "defaultTopicQueueNums": "4", "queueId": "1", "sysFlag": "0", "bornTimestamp": "1",
            "flag": "0", "properties": "TAGS\u{1}paid\u{2}"});
        for body in [b"one", b"two"] {
            assert_eq!(self.ask(10, send.clone(), body).await.code(), 0);
        }
        let heartbeat = json!({"clientID": "me@1#2", "producerDataSet": [{"groupName": "shop"}],
            "consumerDataSet": [{"groupName": GROUP, "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
                "subscriptionDataSet": [{"topic": TOPIC, "subString": "paid", "subVersion": 5}]}]});
        assert_eq!(self.ask(34, json!({}), heartbeat.to_string().as_bytes()).await.code(), 0);
        // The notice that the group has changed.
        self.peer.drain(&mut Replies::default());
    }

    async fn commit(&self, offset: i64) {
        let fields = json!({"consumerGroup": GROUP, "topic": TOPIC, "queueId": "1",
            "commitOffset": offset.to_string()});
        assert_eq!(self.ask(15, fields, b"").await.code(), 0);
    }

    async fn pull(&self) {
        let fields = json!({"consumerGroup": GROUP, "topic": TOPIC, "queueId": "1",
            "queueOffset": "0", "maxMsgNums": "32", "sysFlag": "4", "commitOffset": "0",
            "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0"});
        assert_eq!(self.ask(11, fields, b"").await.code(), 0);
    }
}

fn request(code: i32, fields: &Value, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    let mut head = Head::request(code, Format::Json);
    head.language = Language::Go;
    let mut writer = FrameWriter::begin(&mut frame, &head);
    for (name, value) in fields.as_object().expect("fields") {
        writer.field(name, value.as_str().expect("a text"));
    }
    writer.finish(body);
    frame
}

async fn answer(out: &mut Replies) -> Answer {
    let later: Vec<_> = out.take_later().collect();
    for replies in later {
        out.append(replies.later.await);
    }
    Answer(OwnedFrame::new(sent(out).into()).unwrap())
}

fn sent(out: &Replies) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let used = out.io_slices(&mut slices);
    slices[..used].iter().flat_map(|slice| slice.to_vec()).collect()
}

fn key(queue_id: i32) -> String {
    queue_key(&wire::body::MessageQueue {
        broker_name: "broker-a".into(),
        queue_id,
        topic: TOPIC.into(),
    })
}

/// Shows that a topic's queues are told of with their offsets, the time of their last message and a rate, and that a
/// topic that does not exist is refused in the reference's words.
#[tokio::test]
async fn topic_stats() {
    let bench = Bench::open();
    bench.furnish().await;
    let stats = bench.ask(202, json!({"topic": TOPIC}), b"").await.good();
    let (empty, filled) = (&stats["offsetTable"][key(0)], &stats["offsetTable"][key(1)]);
    assert_eq!(*empty, json!({"lastUpdateTimestamp": 0, "maxOffset": 0, "minOffset": 0}));
    assert_eq!((&filled["minOffset"], &filled["maxOffset"]), (&json!(0), &json!(2)));
    let now_ms = bench.broker.env.clock.wall_ms();
    assert!((now_ms - 60_000..=now_ms).contains(&filled["lastUpdateTimestamp"].as_i64().unwrap()));
    assert_eq!(stats["topicPutTps"], json!(2.0 / 60.0));
    let refused = bench.ask(202, json!({"topic": "Other"}), b"").await;
    assert_eq!((refused.code(), &*refused.remark()), (17, "topic[Other] not exist"));
}

/// Shows that a group's progress is what it committed and pulled, that a group that is online is not told of topics
/// that it does not subscribe to unless they are listed, and that all groups' progress is added up.
#[tokio::test]
async fn consume_stats() {
    let bench = Bench::open();
    bench.furnish().await;
    bench.pull().await;
    bench.commit(1).await;
    let stats = bench.ask(208, json!({"consumerGroup": GROUP}), b"").await.good();
    let queue = &stats["offsetTable"][key(1)];
    let numbers = ["brokerOffset", "consumerOffset", "pullOffset"].map(|name| queue[name].as_i64());
    assert_eq!(numbers, [Some(2), Some(1), Some(2)]);
    assert!(queue["lastTimestamp"].as_i64().unwrap() > 0);
    let elsewhere = json!({"consumerGroup": GROUP, "topic": "BenchmarkTest"});
    assert_eq!(bench.ask(208, elsewhere, b"").await.good()["offsetTable"], json!({}));
    let listed = json!({"consumerGroup": GROUP, "topicList": "SELF_TEST_TOPIC;NoSuchTopic"});
    let listed = bench.ask(208, listed, b"").await.good();
    assert_eq!(listed["offsetTable"].as_object().unwrap().len(), 1);
    let all = bench.ask(317, json!({"isOrder": "false"}), b"").await.good();
    assert_eq!((&all["totalDiff"], &all["totalInflightDiff"]), (&json!(1), &json!(1)));
    let ordered = bench.ask(317, json!({"isOrder": "true"}), b"").await.good();
    assert_eq!(ordered["totalDiff"], json!(0));
    let spans = bench.ask(303, json!({"topic": TOPIC, "group": GROUP}), b"").await.good();
    let (empty, filled) = (&spans["consumeTimeSpanSet"][0], &spans["consumeTimeSpanSet"][1]);
    assert_eq!((&empty["minTimeStamp"], &empty["delayTime"]), (&json!(-1), &json!(0)));
    assert_eq!(filled["consumeTimeStamp"], filled["minTimeStamp"]);
    assert!(filled["maxTimeStamp"].as_i64() >= filled["minTimeStamp"].as_i64());
}

/// Shows that an answer with too many queues is refused with the limit, whatever list a request has.
#[tokio::test]
async fn too_many_queues_are_refused() {
    let bench = Bench::open();
    let mut names = Vec::new();
    for n in 0..2 {
        let name = format!("wide-{n}");
        let config = crate::topic::config(&name, crate::limits::QUEUES_PER_TOPIC, 6);
        bench.broker.topics.put(config, 1).unwrap();
        names.push(name);
    }
    let list = json!({"consumerGroup": GROUP, "topicList": names.join(";")});
    let refused = bench.ask(208, list, b"").await;
    assert_eq!(refused.code(), 1);
    assert!(refused.remark().contains("131072 queues, the limit is 65536"), "{}", refused.remark());
}

/// Shows who consumes and produces what, and that names without clients are refused in the reference's words.
#[tokio::test]
async fn clients() {
    let bench = Bench::open();
    bench.furnish().await;
    bench.commit(1).await;
    let consumers = bench.ask(203, json!({"consumerGroup": GROUP}), b"").await.good();
    let connection = json!({"clientAddr": "127.0.0.1:5001", "clientId": "me@1#2", "language": "GO",
        "version": 493});
    assert_eq!(consumers["connectionSet"], json!([connection]));
    assert_eq!(consumers["consumeFromWhere"], "CONSUME_FROM_FIRST_OFFSET");
    assert_eq!(consumers["subscriptionTable"][TOPIC]["subString"], "paid");
    let producers = bench.ask(204, json!({"producerGroup": "shop"}), b"").await.good();
    assert_eq!(producers["connectionSet"], json!([connection]));
    let all = bench.ask(328, json!({}), b"").await.good();
    assert_eq!(all["data"]["shop"][0]["remoteIP"], "127.0.0.1:5001");
    let refused = bench.ask(203, json!({"consumerGroup": "none"}), b"").await;
    let want = (206, "the consumer group[none] not online");
    assert_eq!((refused.code(), &*refused.remark()), want);
    let refused = bench.ask(204, json!({"producerGroup": "none"}), b"").await;
    assert_eq!((refused.code(), &*refused.remark()), (1, "the producer group[none] not exist"));

    let groups = bench.ask(300, json!({"topic": TOPIC}), b"").await.good();
    assert_eq!(groups, json!({"groupList": [GROUP]}));
    let topics = bench.ask(343, json!({"group": GROUP}), b"").await.good();
    assert_eq!(topics, json!({"brokerAddr": "127.0.0.1:10911", "topicList": [TOPIC]}));
    let subscription = json!({"group": GROUP, "topic": TOPIC});
    let subscription = bench.ask(345, subscription, b"").await.good();
    assert_eq!(subscription["subscriptionData"]["subVersion"], json!(5));
    let none = bench.ask(345, json!({"group": "none", "topic": TOPIC}), b"").await.good();
    assert_eq!(none, json!({"group": "none", "topic": TOPIC}));
    let offsets = bench.ask(43, json!({}), b"").await.good();
    assert_eq!(offsets["offsetTable"][format!("{TOPIC}@{GROUP}")], json!({"1": 1}));
    assert_eq!(bench.ask(45, json!({}), b"").await.good()["offsetTable"], json!({}));
}

/// Shows units of a queue with a group's subscription, and the answers to a queue and an index that do not exist.
#[tokio::test]
async fn consume_queue() {
    let bench = Bench::open();
    bench.furnish().await;
    let ask = |queue: &str, index: &str, group: &str| {
        let fields = json!({"topic": TOPIC, "queueId": queue, "index": index, "count": "10",
            "consumerGroup": group});
        bench.ask(321, fields, b"")
    };
    let part = async |queue, index, group| ask(queue, index, group).await;
    let found = part("1", "1", GROUP).await.good();
    assert_eq!((&found["minQueueIndex"], &found["maxQueueIndex"]), (&json!(0), &json!(2)));
    let units = found["queueData"].as_array().unwrap();
    let paid = i64::from(wire::java_hash::tags_code(b"paid") as i32);
    assert_eq!((units.len(), &units[0]["tagsCode"]), (1, &json!(paid)));
    assert_eq!(
        (&found["filterData"], &found["subscriptionData"]["topic"]),
        (&json!("null"), &json!(TOPIC))
    );
    let offline = part("1", "0", "none").await.good();
    assert_eq!(offline["filterData"], "none@Orders is not online!");
    let behind = part("1", "7", GROUP).await;
    let want = (0, "Index 7 of 1@Orders is not exist!");
    assert_eq!((behind.code(), &*behind.remark()), want);
    let missing = part("9", "0", GROUP).await;
    assert_eq!((missing.code(), &*missing.remark()), (1, "9@Orders is not exist!"));
}

/// Shows the rows that tools compute with, and that counters tell of what was sent and pulled.
#[tokio::test]
async fn runtime_info() {
    let bench = Bench::open();
    bench.furnish().await;
    bench.pull().await;
    let table = bench.ask(28, json!({}), b"").await.good()["table"].clone();
    for (key, want) in [
        ("brokerActive", "true"),
        ("brokerVersion", "493"),
        ("brokerVersionDesc", "V5_4_0"),
        ("putMessageTimesTotal", "2"),
        ("msgPutTotalTodayNow", "2"),
        ("msgGetTotalTodayNow", "2"),
        ("msgPutTotalTodayMorning", "0"),
        ("commitLogMinOffset", "0"),
        ("dispatchBehindBytes", "0"),
        ("sendThreadPoolQueueSize", "0"),
        ("sendsRefused", ""),
    ] {
        assert_eq!(table[key], want, "{key}");
    }
    let first: i64 = table["earliestMessageTimeStamp"].as_str().unwrap().parse().unwrap();
    assert!(first > 0 && table["commitLogDirCapacity"].as_str().unwrap().starts_with("Total : "));
    let system = bench.ask(305, json!({}), b"").await.good();
    let names = system["topicList"].as_array().unwrap();
    assert!(names.contains(&json!("TBW102")) && !names.contains(&json!(TOPIC)), "{names:?}");
}

/// Shows that a request is handed on to the consumer with its message, that its answer comes back as it is, and the
/// refusals where nobody can be asked.
#[tokio::test]
async fn requests_are_handed_on() {
    let bench = Bench::open();
    bench.furnish().await;
    let fields = json!({"consumerGroup": GROUP, "clientId": "me@1#2", "jstackEnable": "true"});
    let mut asked = bench.pass(&request(307, &fields, b""));
    let pushed = pushed(&bench.peer);
    assert_eq!(pushed.frame().code, 307);
    assert_eq!(pushed.frame().fields.get("jstackEnable").unwrap().to_str(), "true");
    respond(&bench, &pushed, 0, "", b"{\"properties\":{}}");
    assert_eq!(answer(&mut asked).await.good(), json!({"properties": {}}));

    let record = bench.broker.store.watermarks().min;
    let host = bench.broker.store_host;
    let id = wire::ids::OffsetMsgId { host, offset: record }.encode().to_string();
    let fields = json!({"consumerGroup": GROUP, "clientId": "me@1#2", "topic": TOPIC, "msgId": id});
    let mut asked = bench.pass(&request(309, &fields, b""));
    let waiting = async { answer(&mut asked).await };
    let consumer = async {
        let pushed = self::pushed_soon(&bench.peer).await;
        assert_eq!(pushed.frame().fields.get("brokerName").unwrap().to_str(), "broker-a");
        let record = wire::record::RecordView::parse(pushed.frame().body).unwrap();
        assert_eq!(record.body(), b"one");
        respond(&bench, &pushed, 1, "no", b"");
    };
    let (answered, ()) = tokio::join!(waiting, consumer);
    assert_eq!((answered.code(), &*answered.remark()), (1, "no"));

    let nobody = json!({"consumerGroup": GROUP, "clientId": "you"});
    let refused = bench.ask(307, nobody, b"").await;
    let want = (1, "The Consumer <billing> <you> not online");
    assert_eq!((refused.code(), &*refused.remark()), want);
    let no_id = json!({"consumerGroup": GROUP, "clientId": "me@1#2", "msgId": "x"});
    let refused = bench.ask(309, no_id, b"").await;
    assert_eq!((refused.code(), &*refused.remark()), (1, "[x] is no offset message id"));
}

/// What the broker has sent to the client.
fn pushed(peer: &Peer) -> OwnedFrame {
    let mut out = Replies::default();
    peer.drain(&mut out);
    OwnedFrame::new(sent(&out).into()).expect("one frame")
}

/// The same, once there is something.
async fn pushed_soon(peer: &Peer) -> OwnedFrame {
    let mut out = Replies::default();
    std::future::poll_fn(|cx| {
        peer.register(cx.waker());
        peer.drain(&mut out);
        if out.is_empty() { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    OwnedFrame::new(sent(&out).into()).expect("one frame")
}

/// Answers as the client.
fn respond(bench: &Bench, to: &OwnedFrame, code: i32, remark: &str, body: &[u8]) {
    let mut frame = BytesMut::new();
    FrameWriter::response(&mut frame, to.frame().reply_to(), code).remark(remark).finish(body);
    assert!(bench.pass(&frame).is_empty());
}

/// Shows that what was sent, got and sent back is counted by the reference's names and keys, in messages and bytes, and
/// that a name, a key or a cluster that nothing is counted under is refused in the reference's words.
#[tokio::test]
async fn stats() {
    let bench = Bench::open();
    bench.furnish().await;
    bench.pull().await;
    let back = json!({"group": GROUP, "offset": "0", "delayLevel": "0"});
    assert_eq!(bench.ask(36, back, b"").await.code(), 0);
    let ask = async |name: &str, key: &str| {
        bench.ask(315, json!({"statsName": name, "statsKey": key}), b"").await
    };
    let group = format!("{TOPIC}@{GROUP}");
    for (name, key, sum) in [
        ("TOPIC_PUT_NUMS", TOPIC, 2),
        ("GROUP_GET_NUMS", &group, 2),
        ("SNDBCK_PUT_NUMS", &group, 1),
    ] {
        let stats = ask(name, key).await.good();
        assert_eq!(stats["statsDay"]["sum"], json!(sum), "{name}");
        assert_eq!(stats["statsHour"]["sum"], json!(sum), "{name}");
    }
    let mean = async |name, key| ask(name, key).await.good()["statsDay"]["avgpt"].as_f64().unwrap();
    let put = mean("TOPIC_PUT_SIZE", TOPIC).await;
    assert!((150.0..300.0).contains(&put), "{put}");
    // One pull got both.
    assert_eq!(mean("GROUP_GET_SIZE", &group).await, put * 2.0);
    ask("BROKER_PUT_NUMS", "DefaultCluster").await.good();
    for (name, key) in [
        ("TOPIC_PUT_NUMS", "Other"),
        ("GROUP_GET_NUMS", TOPIC),
        ("GROUP_GET_NUMS", "Orders@other"),
        ("BROKER_PUT_NUMS", "other"),
        ("NOTHING", TOPIC),
    ] {
        let refused = ask(name, key).await;
        let want = format!("The stats <{name}> <{key}> not exist");
        assert_eq!((refused.code(), refused.remark()), (1, want));
    }
    assert_eq!(bench.ask(215, json!({"topic": TOPIC}), b"").await.code(), 0);
    assert_eq!(ask("TOPIC_PUT_NUMS", TOPIC).await.code(), 1);
}
