//! Each request of the name server, as bytes in and bytes out.
#![allow(clippy::unwrap_used, reason = "also in helpers")]

use std::sync::Arc;
use std::time::Duration;

use apogee_namesrv::{BrokerHere, ByNetwork, Namesrv, NamesrvSettings};
use bytes::BytesMut;
use env::Env;
use wire::body::{self, DataVersion, RegisterBrokerBody, TopicConfig, TopicConfigs};
use wire::call::{Call, Replies};
use wire::frame::{Head, OwnedFrame};
use wire::{Format, FrameWriter, Frames, Peer};

const SECOND: Duration = Duration::from_secs(1);

struct Setup {
    env: Env,
    namesrv: Namesrv,
    peer: Arc<Peer>,
    _home: tempfile::TempDir,
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

impl Setup {
    fn new(settings: NamesrvSettings) -> Setup {
        let home = tempfile::tempdir().unwrap();
        let env = Env { disk: env::Disk::real(), ..Env::sim(1) };
        let namesrv = Namesrv::start(env.clone(), settings, home.path()).unwrap();
        Setup { env, namesrv, peer: peer(1), _home: home }
    }

    /// Sends a request over the connection `peer`; `None` if it is not answered.
    fn send(
        &self,
        peer: &Arc<Peer>,
        head: Head,
        fields: Pairs<'_>,
        body: &[u8],
    ) -> Option<OwnedFrame> {
        let mut bytes = BytesMut::new();
        let mut writer = FrameWriter::begin(&mut bytes, &head);
        fields.iter().for_each(|(name, value)| writer.field(name, *value));
        writer.finish(body);
        let mut out = Replies::default();
        self.namesrv.call_batch(peer, &mut Frames::new(&bytes, 1 << 24), &mut out).unwrap();
        let later: Vec<_> = out.take_later().collect();
        later.into_iter().for_each(|waiting| out.append(wait(waiting.later)));
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        let used = out.io_slices(&mut slices);
        let answer: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
        (!answer.is_empty()).then(|| OwnedFrame::new(answer.into()).unwrap())
    }

    fn ask(&self, code: i32, fields: Pairs<'_>, body: &[u8]) -> OwnedFrame {
        self.send(&self.peer, Head::request(code, Format::Json), fields, body).unwrap()
    }

    /// The answer as `code remark {fields} body`.
    fn told(&self, code: i32, fields: Pairs<'_>, body: &[u8]) -> String {
        let answer = self.ask(code, fields, body);
        let frame = answer.frame();
        let fields: Vec<String> =
            frame.fields.iter().map(|(k, v)| format!("{}={}", k.to_str(), v.to_str())).collect();
        let remark = frame.remark.map(|r| r.to_str().into_owned()).unwrap_or_default();
        let body = String::from_utf8_lossy(frame.body).into_owned();
        format!("{} {remark} {{{}}} {body}", frame.code, fields.join(","))
    }

    fn register(&self, peer: &Arc<Peer>, id: &str, addr: &str) -> OwnedFrame {
        let head = Head::request(103, Format::Json);
        self.send(peer, head, &registration(id, addr), &registration_body().encode()).unwrap()
    }
}

/// The outcome of a future that a thread resolves.
fn wait(mut later: wire::call::Later) -> Replies {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(replies) = later.as_mut().poll(&mut context) {
            return replies;
        }
        std::thread::yield_now();
    }
}

fn peer(id: u64) -> Arc<Peer> {
    Peer::new(id, "10.0.0.1:4000".parse().unwrap(), "10.0.0.9:9876".parse().unwrap())
}

fn registration<'a>(id: &'a str, addr: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("brokerName", "broker-a"),
        ("brokerAddr", addr),
        ("clusterName", "DefaultCluster"),
        ("haServerAddr", "10.0.0.1:10912"),
        ("brokerId", id),
    ]
}

fn registration_body() -> RegisterBrokerBody {
    let topic = |name: &str| {
        let config = TopicConfig { topic_name: name.to_owned(), ..TopicConfig::default() };
        (name.to_owned(), config)
    };
    let topics = TopicConfigs {
        data_version: DataVersion { counter: 3, state_version: 0, timestamp: 7 },
        topic_config_table: [topic("TBW102"), topic("TopicTest")].into(),
        ..TopicConfigs::default()
    };
    RegisterBrokerBody { topics, ..RegisterBrokerBody::default() }
}

const ROUTE: &str = r#"{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":16,"topicSysFlag":0,"writeQueueNums":16}]}"#;

#[tokio::test]
async fn a_registered_broker_is_found() {
    // Shows the round of a broker's life: 103, the route (105) and cluster (106) of the golden bytes, 104.
    let s = Setup::new(NamesrvSettings::default());
    let none = "17 No topic route info in name server for the topic: TopicTest {} ";
    assert_eq!(s.told(105, &[("topic", "TopicTest")], b""), none);
    assert_eq!(s.register(&s.peer, "0", "10.0.0.1:10911").frame().code, 0);
    assert_eq!(s.told(105, &[("topic", "TopicTest")], b""), format!("0  {{}} {ROUTE}"));
    let cluster = r#"{"brokerAddrTable":{"broker-a":{"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}},"clusterAddrTable":{"DefaultCluster":["broker-a"]}}"#;
    assert_eq!(s.told(106, &[], b""), format!("0  {{}} {cluster}"));
    assert_eq!(s.told(104, &registration("0", "10.0.0.1:10911"), b""), "0  {} ");
    assert_eq!(s.told(105, &[("topic", "TopicTest")], b""), none);
}

#[tokio::test]
async fn the_broker_here_is_told_as_it_is_reached() {
    // Shows that route, cluster and members name the broker of this process at the address that the client reached,
    // and no other broker's, and that a client that reached the registered address gets the cached answer.
    let s = Setup::new(NamesrvSettings::default());
    s.namesrv.set_broker_here(BrokerHere {
        registered: "10.0.0.1:10911".parse().unwrap(),
        anywhere: true,
        by_network: ByNetwork::default(),
    });
    s.register(&s.peer, "0", "10.0.0.1:10911");
    s.register(&peer(2), "1", "10.0.0.2:10911");
    let reached = |ip: &str| {
        Peer::new(9, "10.7.0.5:4000".parse().unwrap(), format!("{ip}:9876").parse().unwrap())
    };
    let body = |peer: &Arc<Peer>, code, fields| {
        let answer = s.send(peer, Head::request(code, Format::Json), fields, b"").unwrap();
        String::from_utf8(answer.frame().body.to_vec()).unwrap()
    };
    let member = [("clusterName", "DefaultCluster"), ("brokerName", "broker-a")];
    let asked: [(i32, Pairs<'_>); 3] =
        [(105, &[("topic", "TopicTest")]), (106, &[]), (901, &member)];
    for (code, fields) in asked {
        let told = body(&reached("10.7.0.1"), code, fields);
        assert!(told.contains(r#"{"0":"10.7.0.1:10911","1":"10.0.0.2:10911"}"#), "{code}: {told}");
        let told = body(&reached("10.0.0.1"), code, fields);
        assert!(told.contains(r#"{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"}"#), "{code}: {told}");
    }
}

#[tokio::test]
async fn registrations_come_in_every_form() {
    // Shows the JSON, the compressed and the pre-3.0.11 body, a wrong checksum, no body and garbage.
    let body = registration_body();
    let bare = body::write(&body.topics);
    for (bytes, version) in
        [(body.encode(), 493), (body.encode_compressed(), 493), (bare, 36), (body.encode(), 317)]
    {
        let s = Setup::new(NamesrvSettings::default());
        let head = Head { version, ..Head::request(103, Format::Json) };
        let crc = (crc32fast::hash(&bytes) as i32).to_string();
        let mut fields = registration("0", "10.0.0.1:10911").to_vec();
        fields.push(("bodyCrc32", &crc));
        assert_eq!(s.send(&s.peer, head, &fields, &bytes).unwrap().frame().code, 0);
        assert_eq!(s.ask(105, &[("topic", "TopicTest")], b"").frame().body, ROUTE.as_bytes());
    }
    let s = Setup::new(NamesrvSettings::default());
    let mut fields = registration("0", "10.0.0.1:10911").to_vec();
    assert_eq!(s.told(103, &fields, b""), "0  {} ");
    assert!(s.told(103, &fields, b"{oops").starts_with("1 "));
    assert!(s.told(103, &fields[1..], &body.encode()).starts_with("1 "));
    fields.push(("bodyCrc32", "5"));
    assert_eq!(s.told(103, &fields, &body.encode()), "1 crc32 not match {} ");
    let mut one = registration_body();
    one.topics.topic_config_table.remove("TBW102");
    let other = registration("1", "10.0.0.2:10911");
    assert_eq!(s.told(103, &other, &one.encode()), "1 register broker failed {} ");
    let long = "x".repeat(2_000);
    let long = [("brokerName", long.as_str())].into_iter().chain(other[1..].iter().copied());
    assert!(s.told(103, &long.collect::<Vec<_>>(), &body.encode()).contains("limit is 1024"));
}

#[tokio::test]
async fn brokers_leave_with_their_connection_or_by_silence() {
    // Shows that the close of the connection that registered ends the routes at once, that silence
    // does after 120 s, and that 904 and a known 322 count as signs of life.
    let s = Setup::new(NamesrvSettings::default());
    let found = || s.ask(105, &[("topic", "TopicTest")], b"").frame().code == 0;
    let broker = peer(7);
    s.register(&broker, "0", "10.0.0.1:10911");
    s.namesrv.disconnected(&s.peer);
    assert!(found());
    s.namesrv.disconnected(&broker);
    assert!(!found());

    let silent_for = async |seconds: u32| {
        // The worker sleeps for 5 s at a time: let it go to sleep before each step.
        for _ in 0..seconds / 5 {
            tokio::task::yield_now().await;
            s.env.clock.advance(5 * SECOND);
            tokio::task::yield_now().await;
        }
    };
    s.register(&broker, "0", "10.0.0.1:10911");
    silent_for(115).await;
    let fields = registration("0", "10.0.0.1:10911");
    assert!(s.send(&broker, Head::oneway(904, Format::Json), &fields, b"").is_none());
    silent_for(115).await;
    assert!(found());
    let version = body::write(&registration_body().topics.data_version);
    let told = s.told(322, &fields, &version);
    assert_eq!(told, r#"0  {changed=false} {"counter":3,"stateVersion":0,"timestamp":7}"#);
    silent_for(115).await;
    assert!(found());
    let told = s.told(322, &fields, br#"{"counter":4}"#);
    assert_eq!(told, r#"0  {changed=true} {"counter":3,"stateVersion":0,"timestamp":7}"#);
    silent_for(10).await;
    assert!(!found());
    assert_eq!(s.told(322, &fields, &version), "0  {changed=true} ");
}

#[tokio::test]
async fn slaves_hear_of_their_master() {
    // Shows the answer to a slave's registration, the members of the group (901), and a second name's absence.
    let s = Setup::new(NamesrvSettings::default());
    s.register(&s.peer, "0", "10.0.0.1:10911");
    let answer = s.register(&peer(2), "1", "10.0.0.2:10911");
    let field = |name| answer.frame().fields.get(name).map(|v| v.to_str().into_owned());
    assert_eq!(field("masterAddr").unwrap(), "10.0.0.1:10911");
    assert_eq!(field("haServerAddr").unwrap(), "10.0.0.1:10912");
    let group = [("clusterName", "DefaultCluster"), ("brokerName", "broker-a")];
    let members = r#"{"brokerMemberGroup":{"brokerAddrs":{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"DefaultCluster"}}"#;
    assert_eq!(s.told(901, &group, b""), format!("0  {{}} {members}"));
    let nobody = r#"{"brokerMemberGroup":{"brokerAddrs":{},"brokerName":"b","cluster":"c"}}"#;
    let told = s.told(901, &[("clusterName", "c"), ("brokerName", "b")], b"");
    assert_eq!(told, format!("0  {{}} {nobody}"));
}

#[tokio::test]
async fn topics_are_listed_changed_and_deleted() {
    // Shows 206, 224, 304, 311–313, 205, 327, 217 and 216 on one broker.
    let s = Setup::new(NamesrvSettings::default());
    s.register(&s.peer, "0", "10.0.0.1:10911");
    let both = r#"0  {} {"topicList":["TBW102","TopicTest"]}"#;
    let none = r#"0  {} {"topicList":[]}"#;
    assert_eq!(s.told(206, &[], b""), both);
    assert_eq!(s.told(224, &[("cluster", "DefaultCluster")], b""), both);
    assert_eq!(s.told(224, &[("cluster", "other")], b""), none);
    let system = r#"{"brokerAddr":"10.0.0.1:10911","topicList":["DefaultCluster","broker-a"]}"#;
    assert_eq!(s.told(304, &[], b""), format!("0  {{}} {system}"));
    for code in [311, 312, 313] {
        assert_eq!(s.told(code, &[], b""), none);
    }
    let perm = || {
        let route: body::TopicRouteData =
            body::read(s.ask(105, &[("topic", "TopicTest")], b"").frame().body).unwrap();
        route.queue_datas[0].perm
    };
    let broker = [("brokerName", "broker-a")];
    assert_eq!(s.told(205, &broker, b""), "0  {wipeTopicCount=2} ");
    assert_eq!(perm(), 4);
    assert_eq!(s.told(327, &broker, b""), "0  {addTopicCount=2} ");
    assert_eq!(perm(), 6);
    let single = ROUTE.replace("\"perm\":6", "\"perm\":2");
    assert_eq!(s.told(217, &[("topic", "TopicTest")], single.as_bytes()), "0  {} ");
    assert_eq!(perm(), 2);
    assert_eq!(s.told(216, &[("topic", "TBW102"), ("clusterName", "other")], b""), "0  {} ");
    assert_eq!(s.told(206, &[], b""), both);
    assert_eq!(s.told(216, &[("topic", "TBW102")], b""), "0  {} ");
    assert_eq!(s.told(206, &[], b""), r#"0  {} {"topicList":["TopicTest"]}"#);
}

#[tokio::test]
async fn kv_configuration_is_kept_and_told_where_asked_for() {
    // Shows 100, 101, 102 and 219, and the order configuration in registrations and routes.
    let s = Setup::new(NamesrvSettings { order_topics: true, ..NamesrvSettings::default() });
    let key = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "TopicTest"), ("value", "broker-a:4")];
    let missing = "22 No config item, Namespace: ORDER_TOPIC_CONFIG Key: TopicTest {} ";
    assert_eq!(s.told(101, &key[..2], b""), missing);
    assert_eq!(s.told(100, &key, b""), "0  {} ");
    assert_eq!(s.told(101, &key[..2], b""), "0  {value=broker-a:4} ");
    let table = r#"{"table":{"TopicTest":"broker-a:4"}}"#;
    assert_eq!(s.told(219, &key[..1], b""), format!("0  {{}} {table}"));
    let registered = s.register(&s.peer, "0", "10.0.0.1:10911");
    assert_eq!(registered.frame().body, table.as_bytes());
    let ordered =
        ROUTE.replace("\"queueDatas\"", "\"orderTopicConf\":\"broker-a:4\",\"queueDatas\"");
    assert_eq!(s.ask(105, &[("topic", "TopicTest")], b"").frame().body, ordered.as_bytes());
    assert_eq!(s.told(102, &key[..2], b""), "0  {} ");
    assert_eq!(s.told(102, &key[..2], b""), "0  {} ");
    assert_eq!(s.told(219, &key[..1], b""), "22 No config item, Namespace: ORDER_TOPIC_CONFIG {} ");
    assert_eq!(s.ask(105, &[("topic", "TopicTest")], b"").frame().body, ROUTE.as_bytes());
    assert!(s.told(100, &key[1..], b"").starts_with("1 "));
}

#[tokio::test]
async fn no_connection_waits_for_the_kv_file() {
    // Shows that the answers to 100 and 102 come later, from the thread that writes the file, in order.
    let s = Setup::new(NamesrvSettings::default());
    let key = [("namespace", "N"), ("key", "k"), ("value", "v")];
    let mut bytes = BytesMut::new();
    for code in [100, 102, 100] {
        let mut writer = FrameWriter::begin(&mut bytes, &Head::request(code, Format::Json));
        key.iter().for_each(|(name, value)| writer.field(name, *value));
        writer.finish(b"");
    }
    let mut out = Replies::default();
    s.namesrv.call_batch(&s.peer, &mut Frames::new(&bytes, 1 << 24), &mut out).unwrap();
    assert_eq!((out.len(), out.waiting()), (0, 3));
    let later: Vec<_> = out.take_later().collect();
    later.into_iter().for_each(|waiting| drop(wait(waiting.later)));
    assert_eq!(s.told(101, &key[..2], b""), "0  {value=v} ");
}

#[tokio::test]
async fn zones_filter_routes() {
    // Shows that a client in zone mode sees its zone's brokers only.
    let s = Setup::new(NamesrvSettings::default());
    let mut fields = registration("0", "10.0.0.1:10911").to_vec();
    fields.push(("__ZONE_NAME", "north"));
    s.ask(103, &fields, &registration_body().encode());
    let brokers = |zone, mode| {
        let fields = [("topic", "TopicTest"), ("__ZONE_NAME", zone), ("__ZONE_MODE", mode)];
        let route: body::TopicRouteData =
            body::read(s.ask(105, &fields, b"").frame().body).unwrap();
        assert_eq!(route.broker_datas.len(), route.queue_datas.len());
        route.broker_datas.len()
    };
    assert_eq!(
        [brokers("NORTH", "true"), brokers("south", "true"), brokers("south", "false")],
        [1, 0, 1]
    );
}

#[tokio::test]
async fn settings_change_while_running_but_never_paths() {
    // Shows 318 and 319: reloadable keys take effect at once, protected and broken ones change nothing.
    let s = Setup::new(NamesrvSettings::default());
    s.register(&s.peer, "0", "10.0.0.1:10911");
    let refused = "16 Can not update config in black list. {} ";
    for text in ["kvConfigPath=/etc/passwd\n", "enableAllTopicList=false\nconfigBlackList=\n"] {
        assert_eq!(s.told(318, &[], text.as_bytes()), refused);
    }
    assert!(s.told(318, &[], b"enableAllTopicList=perhaps\n").starts_with("1 "));
    assert!(s.told(318, &[], b"\\u12").starts_with("1 "));
    assert!(s.told(206, &[], b"").starts_with("0 "));
    assert_eq!(s.told(318, &[], b"enableAllTopicList=false\nnobodyKnows=1\n"), "0  {} ");
    assert_eq!(s.told(206, &[], b""), "1 disable {} ");
    let text = s.told(319, &[], b"");
    assert!(text.contains("enableAllTopicList=false\n"), "{text}");
    assert!(text.contains("scanNotActiveBrokerInterval=5000\n"), "{text}");
    s.told(318, &[], b"needWaitForService=true\n");
    assert_eq!(s.told(105, &[("topic", "TopicTest")], b""), "1 name server not ready {} ");
    s.env.clock.advance(45 * SECOND);
    assert!(s.told(105, &[("topic", "TopicTest")], b"").starts_with("0 "));
}

#[tokio::test]
async fn what_it_does_not_serve_it_says_so() {
    // Shows the answer to unknown and to foreign codes, in both header formats, and silence to oneways.
    let s = Setup::new(NamesrvSettings::default());
    assert_eq!(s.told(10, &[], b""), "3  request type 10 not supported {} ");
    assert_eq!(s.told(99_999, &[], b""), "3  request type 99999 not supported {} ");
    let binary =
        s.send(&s.peer, Head::request(105, Format::Binary), &[("topic", "T")], b"").unwrap();
    assert_eq!((binary.frame().format, binary.frame().code), (Format::Binary, 17));
    assert!(s.send(&s.peer, Head::oneway(105, Format::Json), &[("topic", "T")], b"").is_none());
}
