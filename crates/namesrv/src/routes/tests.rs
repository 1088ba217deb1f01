use wire::body::{self, QueueData};

use super::*;

const SEC: Duration = Duration::from_secs(1);

fn queues(perm: i32) -> Queues {
    Queues { read: 4, write: 4, perm, sys_flag: 0 }
}

fn table(topics: &[&str]) -> Vec<(String, Queues)> {
    topics.iter().map(|t| ((*t).to_owned(), queues(6))).collect()
}

fn version(state_version: i64, counter: i64) -> DataVersion {
    DataVersion { state_version, timestamp: 1, counter }
}

/// A registration of `broker` in cluster `c` at address `addr` under `id`, with the topics T and U.
struct Case {
    broker: &'static str,
    addr: &'static str,
    id: i64,
    version: DataVersion,
    acting_master: Option<bool>,
    silence: Option<Duration>,
    topics: Vec<(String, Queues)>,
    zone: Option<&'static str>,
    peer: u64,
    mappings: BTreeMap<String, Value>,
}

impl Default for Case {
    fn default() -> Case {
        Case {
            broker: "a",
            addr: "1:1",
            id: 0,
            version: version(0, 1),
            acting_master: None,
            silence: None,
            topics: table(&["T", "U"]),
            zone: None,
            peer: 1,
            mappings: BTreeMap::new(),
        }
    }
}

impl Case {
    fn apply(&self, routes: &mut Routes, now: Duration) -> Result<Registered, RegisterError> {
        routes.register(
            &Registration {
                cluster: "c",
                broker: self.broker,
                addr: self.addr,
                id: self.id,
                ha_addr: &format!("ha-{}", self.addr),
                zone: self.zone,
                silence: self.silence,
                acting_master: self.acting_master,
                version: self.version,
                topics: &self.topics,
                mappings: &self.mappings,
                peer: self.peer,
            },
            now,
        )
    }
}

/// The route of a topic as text: `broker(perm)[id=addr …] …`; `-` for an unknown topic.
fn show(routes: &Routes, topic: &str) -> String {
    let Some(data) = routes.route_data(topic) else { return "-".to_owned() };
    let one = |q: &QueueData| {
        let broker = data.broker_datas.iter().find(|b| b.broker_name == q.broker_name);
        let addrs: Vec<String> = broker
            .map(|b| b.broker_addrs.iter().map(|(id, addr)| format!("{id}={addr}")).collect())
            .unwrap_or_default();
        format!("{}({})[{}]", q.broker_name, q.perm, addrs.join(" "))
    };
    data.queue_datas.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Applies the cases in turn, then compares the route of T.
#[track_caller]
fn check(rules: Rules, cases: &[Case], expected: &str) -> Routes {
    let mut routes = Routes::new(rules);
    for case in cases {
        let _ = case.apply(&mut routes, SEC);
    }
    assert_eq!(show(&routes, "T"), expected);
    routes
}

fn slave(id: i64, addr: &'static str) -> Case {
    Case { id, addr, ..Case::default() }
}

#[test]
fn registrations_make_the_route() {
    // Shows the registration rules of the reference, each as registrations in order and the route after them.
    let rules = Rules::default();
    check(rules, &[Case::default()], "a(6)[0=1:1]");
    check(rules, &[Case::default(), slave(1, "2:1")], "a(6)[0=1:1 1=2:1]");
    // A slave without acting master brings no topics.
    check(rules, &[slave(1, "2:1")], "-");
    // The smallest slave of a group that knows acting masters does, without WRITE.
    let acting = |id, addr| Case { acting_master: Some(true), ..slave(id, addr) };
    check(rules, &[acting(2, "3:1")], "a(4)[2=3:1]");
    check(rules, &[acting(2, "3:1"), acting(1, "2:1")], "a(4)[1=2:1 2=3:1]");
    let known_but_off = Case { acting_master: Some(false), ..slave(1, "2:1") };
    check(rules, &[known_but_off], "a(6)[1=2:1]");
    // A slave that became a master loses its old id.
    check(rules, &[Case::default(), slave(1, "2:1"), slave(0, "2:1")], "a(6)[0=2:1]");
    // One topic only is refused while the id is unknown, and taken afterwards.
    let one = || Case { topics: table(&["T"]), ..Case::default() };
    check(rules, &[one()], "-");
    let readable = Case { topics: vec![("T".into(), queues(4))], ..Case::default() };
    let changed = Case { version: version(0, 2), ..readable };
    check(rules, &[Case::default(), changed], "a(4)[0=1:1]");
    // An unchanged version changes nothing but adds topics that this broker lacks.
    let same_version = Case { topics: vec![("T".into(), queues(4))], ..Case::default() };
    check(rules, &[Case::default(), same_version], "a(6)[0=1:1]");
    let late = Case { topics: table(&["U", "V"]), ..Case::default() };
    check(rules, &[late, Case::default()], "a(6)[0=1:1]");
    // Two broker names share a topic.
    let other = Case { broker: "b", addr: "9:1", ..Case::default() };
    check(rules, &[Case::default(), other], "a(6)[0=1:1] b(6)[0=9:1]");
}

#[test]
fn an_older_master_is_fenced() {
    // Shows that the holder of an id is replaced by an equal or newer state version only, and that a
    // fenced address leaves the id it had.
    let new_master = Case { version: version(5, 1), ..Case::default() };
    let old_master = Case { version: version(4, 9), ..slave(0, "2:1") };
    let mut routes = check(Rules::default(), &[new_master], "a(6)[0=1:1]");
    assert!(slave(1, "2:1").apply(&mut routes, SEC).is_ok());
    assert_eq!(old_master.apply(&mut routes, SEC), Ok(Registered::Fenced));
    assert_eq!(show(&routes, "T"), "a(6)[0=1:1]");
    let equal = Case { version: version(5, 1), ..slave(0, "3:1") };
    assert!(matches!(equal.apply(&mut routes, SEC), Ok(Registered::Accepted { .. })));
    assert_eq!(show(&routes, "T"), "a(6)[0=3:1]");
}

#[test]
fn refused_registrations_change_nothing() {
    // Shows that a refused first registration leaves no trace in the cluster table.
    let mut routes = Routes::default();
    let one = Case { topics: table(&["T"]), ..Case::default() };
    assert_eq!(one.apply(&mut routes, SEC), Err(RegisterError::NotRegistered));
    assert_eq!(routes.cluster_info(), Routes::default().cluster_info());
}

#[test]
fn slaves_are_told_their_master() {
    // Shows the answer to a slave: nothing before the master came, then its two addresses.
    let mut routes = Routes::default();
    let alone = Registered::Accepted { master: None, first: true };
    assert_eq!(slave(1, "2:1").apply(&mut routes, SEC), Ok(alone));
    Case::default().apply(&mut routes, SEC).unwrap();
    let with_master =
        Registered::Accepted { master: Some(("1:1".into(), "ha-1:1".into())), first: false };
    assert_eq!(slave(1, "2:1").apply(&mut routes, SEC), Ok(with_master));
}

#[test]
fn leaving_brokers_take_their_queues_along() {
    // Shows unregistration: the last member takes the topics away, an acting-master group keeps them
    // readable without its master.
    let mut routes = check(Rules::default(), &[Case::default()], "a(6)[0=1:1]");
    assert!(routes.unregister("a", "1:1").is_some());
    assert!(routes.unregister("a", "1:1").is_none());
    assert_eq!(show(&routes, "T"), "-");
    assert_eq!(routes.topics().count(), 0);

    let acting = |id, addr| Case { acting_master: Some(true), ..slave(id, addr) };
    let mut routes =
        check(Rules::default(), &[acting(0, "1:1"), acting(1, "2:1")], "a(6)[0=1:1 1=2:1]");
    routes.unregister("a", "1:1");
    assert_eq!(show(&routes, "T"), "a(4)[1=2:1]");
    routes.set_rules(Rules { acting_master: true, ..Rules::default() });
    assert_eq!(show(&routes, "T"), "a(4)[0=2:1]");
}

#[test]
fn a_closed_connection_unregisters_only_what_it_registered_last() {
    // Shows that a broker that came back over a new connection survives the close of its old one.
    let mut routes = check(Rules::default(), &[Case::default()], "a(6)[0=1:1]");
    Case { peer: 2, ..Case::default() }.apply(&mut routes, SEC).unwrap();
    assert!(!routes.knows_peer(1));
    assert_eq!(routes.disconnected(1), Vec::new());
    assert!(routes.knows_peer(2));
    assert_eq!(routes.disconnected(2).len(), 1);
    assert_eq!(show(&routes, "T"), "-");
}

#[test]
fn silent_brokers_expire() {
    // Shows the limits of silence: 120 s, or what the broker asked for, since its last sign of life.
    let mut routes = Routes::default();
    Case::default().apply(&mut routes, SEC).unwrap();
    let quick =
        Case { broker: "b", addr: "2:1", silence: Some(10 * SEC), peer: 2, ..Case::default() };
    quick.apply(&mut routes, SEC).unwrap();
    assert_eq!(routes.expire(11 * SEC), Vec::new());
    routes.heartbeat("b", "2:1", 11 * SEC);
    routes.heartbeat("nobody", "2:1", 11 * SEC);
    assert_eq!(routes.expire(21 * SEC), Vec::new());
    let gone = routes.expire(22 * SEC);
    assert_eq!(gone.iter().map(|g| (&*g.broker, g.peer)).collect::<Vec<_>>(), [("b", 2)]);
    assert_eq!(routes.expire(121 * SEC), Vec::new());
    assert_eq!(routes.expire(122 * SEC).len(), 1);
    assert_eq!(routes.topics().count(), 0);
}

#[test]
fn permissions_are_wiped_until_the_next_changed_registration() {
    // Shows 205 and 327, and that only a registration with another version restores what they changed.
    let mut routes = check(Rules::default(), &[Case::default()], "a(6)[0=1:1]");
    assert_eq!(routes.wipe_write("a"), 2);
    Case::default().apply(&mut routes, SEC).unwrap();
    assert_eq!(show(&routes, "T"), "a(4)[0=1:1]");
    assert_eq!(routes.add_write("a"), 2);
    assert_eq!(show(&routes, "T"), "a(6)[0=1:1]");
    routes.wipe_write("a");
    Case { version: version(0, 2), ..Case::default() }.apply(&mut routes, SEC).unwrap();
    assert_eq!(show(&routes, "T"), "a(6)[0=1:1]");
    assert_eq!(routes.wipe_write("nobody"), 0);
}

#[test]
fn topics_are_deleted_and_listed() {
    // Shows deletion everywhere and per cluster, the system topic list and the topic list of a cluster.
    let mut routes = check(Rules::default(), &[Case::default()], "a(6)[0=1:1]");
    routes.delete_topic("T", Some("other"));
    assert_eq!(show(&routes, "T"), "a(6)[0=1:1]");
    routes.delete_topic("T", Some("c"));
    assert_eq!(show(&routes, "T"), "-");
    assert_eq!(routes.topics_where(|cluster, _| cluster == "c"), ["U"]);
    assert_eq!(routes.topics_where(|cluster, _| cluster == "d"), Vec::<String>::new());
    assert_eq!(routes.system_topics(), (vec!["c".into(), "a".into()], Some("1:1".into())));
    routes.delete_topic("U", None);
    routes.delete_topic("U", None);
    assert_eq!(routes.topics().count(), 0);
}

#[test]
fn single_topics_are_merged_or_dropped_whole() {
    // Shows 217: queues of known brokers are merged, one unknown broker drops the request.
    let mut routes = check(Rules::default(), &[Case::default()], "a(6)[0=1:1]");
    let known = ("a".to_owned(), queues(2));
    let unknown = ("x".to_owned(), queues(2));
    assert!(!routes.register_topic("T", &[known.clone(), unknown]));
    assert_eq!(show(&routes, "T"), "a(6)[0=1:1]");
    assert!(routes.register_topic("T", &[known]));
    assert_eq!(show(&routes, "T"), "a(2)[0=1:1]");
}

#[test]
fn missing_topics_are_deleted_when_asked_to() {
    // Shows `deleteTopicWithBrokerRegistration`: a full table takes away what it does not list.
    let rules = Rules { delete_missing: true, ..Rules::default() };
    let without_t = || Case { topics: table(&["U", "V"]), ..Case::default() };
    check(rules, &[Case::default(), without_t()], "-");
    check(Rules::default(), &[Case::default(), without_t()], "a(6)[0=1:1]");
}

#[test]
fn encoded_answers_follow_the_tables() {
    // Shows that the cached answers of 105 and 106 always equal freshly made ones, over changes of each kind.
    let mut routes = Routes::default();
    type Step = Box<dyn Fn(&mut Routes)>;
    let steps: Vec<Step> = vec![
        Box::new(|r| drop(Case::default().apply(r, SEC))),
        Box::new(|r| drop(slave(1, "2:1").apply(r, SEC))),
        Box::new(|r| drop(Case { zone: Some("z"), ..Case::default() }.apply(r, SEC))),
        Box::new(|r| assert_eq!(r.wipe_write("a"), 2)),
        Box::new(|r| drop(r.unregister("a", "1:1"))),
        Box::new(|r| drop(slave(0, "2:1").apply(r, SEC))),
        Box::new(|r| assert!(r.register_topic("T", &[("a".into(), queues(7))]))),
        Box::new(|r| drop(r.expire(1000 * SEC))),
    ];
    for step in steps {
        step(&mut routes);
        let fresh = routes.route_data("T").map(|data| body::write(&data));
        assert_eq!(routes.route("T").map(|b| b.to_vec()), fresh);
        routes.route("T");
        let cached = routes.cluster_info();
        routes.cluster_info.take();
        assert_eq!(routes.cluster_info(), cached);
    }
}

#[test]
fn counts_agree_with_the_tables() {
    // Shows that the counters behind the limits equal what the tables hold after a mixed sequence.
    let mut routes = Routes::default();
    Case::default().apply(&mut routes, SEC).unwrap();
    slave(1, "2:1").apply(&mut routes, SEC).unwrap();
    slave(0, "2:1").apply(&mut routes, SEC).unwrap();
    Case { broker: "b", addr: "5:1", ..Case::default() }.apply(&mut routes, SEC).unwrap();
    routes.delete_topic("U", None);
    routes.unregister("a", "2:1");
    let members: usize = routes.groups.values().map(|g| g.members.len()).sum();
    let pairs: usize = routes.topics.values().map(|t| t.queues.len()).sum();
    assert_eq!((routes.members, routes.topic_queues), (members, pairs));
    assert_eq!((members, pairs), (1, 1));
}

#[test]
fn static_topics_come_and_go_with_their_brokers() {
    // Shows that the mapping of a static topic is told with its route, and leaves with its broker.
    let part = |broker: &str| serde_json::json!({"bname": broker, "topic": "T", "totalQueues": 8});
    let with = |broker: &'static str, addr| Case {
        broker,
        addr,
        mappings: [("T".to_owned(), part(broker)), ("none".to_owned(), part(broker))].into(),
        ..Case::default()
    };
    let mut routes = Routes::default();
    with("a", "1:1").apply(&mut routes, SEC).unwrap();
    with("b", "2:1").apply(&mut routes, SEC).unwrap();
    let told = |routes: &Routes| routes.route_data("T").unwrap().topic_queue_mapping_by_broker;
    assert_eq!(told(&routes).unwrap()["b"], part("b"));
    routes.unregister("b", "2:1");
    assert_eq!(told(&routes).unwrap().into_keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(routes.route_data("U").unwrap().topic_queue_mapping_by_broker, None);
}
