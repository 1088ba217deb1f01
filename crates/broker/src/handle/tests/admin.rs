use std::collections::BTreeMap;

use wire::body::{
    CorrectionOffsets, SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroups,
    TopicConfig, TopicConfigList, TopicConfigs,
};
use wire::header::{
    CloneOffsetsHeader, CorrectionOffsetHeader, DeleteGroupHeader, GetAllGroupsHeader,
    GetAllTopicConfigHeader, TopicHeader,
};

use super::*;

async fn list(fixture: &Fixture, peer: &Arc<Peer>, topics: Vec<TopicConfig>) -> i32 {
    let body = wire::body::write(&TopicConfigList { topic_config_list: topics });
    let code = RequestCode::UpdateAndCreateTopicList;
    fixture.call(peer, code, &NoHeader, &body).await.frame().code
}

fn topic(name: &str, queues: i32, attributes: &[(&str, &str)]) -> TopicConfig {
    let attributes =
        attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    TopicConfig { attributes, ..crate::topic::config(name, queues, 6) }
}

/// Shows that topics of a list are created with their attributes, that an unchanged one does not keep the others from
/// being changed, and that one that is refused does.
#[tokio::test]
async fn a_list_of_topics() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    let topics = vec![topic("A", 1, &[("+message.type", "FIFO")]), topic("B", 2, &[])];
    assert_eq!(list(&fixture, &peer, topics).await, 0);
    let a = fixture.broker.topics.get("A").unwrap();
    assert_eq!(a.config.attributes["message.type"], "FIFO");
    assert_eq!(list(&fixture, &peer, vec![topic("B", 2, &[]), topic("A", 3, &[])]).await, 0);
    let a = fixture.broker.topics.get("A").unwrap();
    assert_eq!((a.config.read_queue_nums, a.config.attributes.len()), (3, 1));
    for (refused, code) in [
        (topic("a b", 1, &[]), 29),
        (topic("TBW102", 1, &[]), 29),
        (topic("D", -1, &[]), 29),
        (topic("D", 1, &[("message.type", "FIFO")]), 1),
        (topic("D", 1, &[("+message.type", "MIXED")]), 29),
    ] {
        assert_eq!(list(&fixture, &peer, vec![topic("C", 1, &[]), refused]).await, code);
        assert!(fixture.broker.topics.get("C").is_none());
    }
    fixture.end().await;
}

/// Shows that groups of a list are created, all or none.
#[tokio::test]
async fn a_list_of_groups() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    let group = |name: &str| SubscriptionGroupConfig {
        group_name: name.to_owned(),
        retry_max_times: 3,
        ..SubscriptionGroupConfig::default()
    };
    let code = RequestCode::UpdateAndCreateSubscriptiongroupList;
    for (names, want) in [(["one", "a b"], 29), (["one", "two"], 0)] {
        let list = SubscriptionGroupList { group_config_list: names.map(group).into() };
        let answer = fixture.call(&peer, code, &NoHeader, &wire::body::write(&list)).await;
        assert_eq!(answer.frame().code, want);
        assert_eq!(fixture.broker.groups.get("one").is_some(), want == 0);
    }
    assert_eq!(fixture.broker.groups.get("two").unwrap().retry_max_times, 3);
    fixture.end().await;
}

/// Shows that a group's attributes are changed as a topic's are (200, 225): a later change that names none keeps them,
/// and what is refused changes nothing.
#[tokio::test]
async fn attributes_of_a_group() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "other").await;
    let change = async |key: &str, value: &str, listed: bool| {
        let attributes = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let attributes = if key.is_empty() { BTreeMap::new() } else { attributes };
        let group_name = "g".to_owned();
        let group = SubscriptionGroupConfig { group_name, attributes, ..Default::default() };
        let (code, body) = match listed {
            true => {
                let list = SubscriptionGroupList { group_config_list: vec![group] };
                let code = RequestCode::UpdateAndCreateSubscriptiongroupList;
                (code, wire::body::write(&list))
            }
            false => (RequestCode::UpdateAndCreateSubscriptiongroup, wire::body::write(&group)),
        };
        let answer = fixture.call(&peer, code, &NoHeader, &body).await;
        let group = fixture.broker.groups.get("g");
        let factor = group.and_then(|group| group.attributes.get("priority.factor").cloned());
        (answer.frame().code, factor)
    };
    let some = |factor: &str| Some(factor.to_owned());
    assert_eq!(change("priority.factor", "50", false).await, (1, None));
    assert_eq!(change("+priority.factor", "50", false).await, (0, some("50")));
    assert_eq!(change("", "", false).await, (0, some("50")));
    assert_eq!(change("+message.type", "FIFO", false).await, (1, some("50")));
    assert_eq!(change("+priority.factor", "101", true).await, (1, some("50")));
    assert_eq!(change("+priority.factor", "7", true).await, (0, some("7")));
    assert_eq!(change("-priority.factor", "", true).await, (0, None));
    fixture.end().await;
}

/// Shows that a deleted group is gone from the table and, if that is asked for, from the offsets.
#[tokio::test]
async fn a_group_is_deleted() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "T", 1).await;
    fixture.broker.offsets.commit("T", "g", 0, 1).unwrap();
    for (clean_offset, left) in [(false, Some(1)), (true, None)] {
        let header = DeleteGroupHeader { group_name: "g".into(), clean_offset };
        let answer = fixture.call(&peer, RequestCode::DeleteSubscriptiongroup, &header, &[]).await;
        assert_eq!(answer.frame().code, 0);
        assert!(fixture.broker.groups.get("g").is_none());
        assert_eq!(fixture.broker.offsets.query("T", "g", 0), left);
    }
    fixture.end().await;
}

/// Shows that offsets are copied in one topic or in all, but not, unless that is asked for, in a topic that the
/// group's members do not subscribe to; and the comparison of groups.
#[tokio::test]
async fn offsets_are_copied_and_compared() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "T", 1).await;
    fixture.send(&peer, "U", 1).await;
    let offsets = &fixture.broker.offsets;
    for topic in ["T", "U", "unknown"] {
        offsets.commit(topic, "g", 0, 1).unwrap();
    }
    let copied = |group| ["T", "U", "unknown"].map(|topic| offsets.query(topic, group, 0));
    for (dest, topic, offline, want) in [
        ("all", Some(" "), true, [Some(1), Some(1), None]),
        ("subscribed", None, false, [Some(1), None, None]),
        ("one", Some("U"), true, [None, Some(1), None]),
    ] {
        let topic = topic.map(Into::into);
        let header =
            CloneOffsetsHeader { src_group: "g".into(), dest_group: dest.into(), topic, offline };
        let answer = fixture.call(&peer, RequestCode::CloneGroupOffset, &header, &[]).await;
        assert_eq!((answer.frame().code, copied(dest)), (0, want));
    }

    offsets.commit("T", "all", 0, 0).unwrap();
    offsets.commit("T", "slow", 1, 0).unwrap();
    let lowest = async |compare: &str, left_out: &str| {
        let header = CorrectionOffsetHeader {
            filter_groups: Some(left_out.into()),
            compare_group: compare.into(),
            topic: "T".into(),
        };
        let answer = fixture.call(&peer, RequestCode::QueryCorrectionOffset, &header, &[]).await;
        wire::body::read::<CorrectionOffsets>(answer.frame().body).unwrap().correction_offsets
    };
    assert_eq!(lowest("g", "").await, BTreeMap::from([(0, 0), (1, 0)]));
    assert_eq!(lowest("g", "all,slow").await, BTreeMap::from([(0, 1)]));
    assert_eq!(lowest("all", "all").await, BTreeMap::from([(0, i64::MAX), (1, 0)]));
    assert_eq!(offsets.query("T", "all", 0), Some(0));
    fixture.end().await;
}

/// Shows that the queues of a topic that does not exist are emptied, and that the other cleanings are served.
#[tokio::test]
async fn cleaning_on_request() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "T", 2).await;
    fixture.send(&peer, "U", 2).await;
    fixture.broker.topics.remove("U", 1);
    for code in [
        RequestCode::CleanUnusedTopic,
        RequestCode::CleanExpiredConsumequeue,
        RequestCode::DeleteExpiredCommitlog,
    ] {
        assert_eq!(fixture.call(&peer, code, &NoHeader, &[]).await.frame().code, 0);
    }
    let left = |topic| {
        let queue = fixture.store.find_queue(topic, 0).unwrap();
        queue.max_offset() - queue.min_offset()
    };
    assert_eq!((left("T"), left("U")), (2, 0));
    fixture.end().await;
}

/// Shows that a topic which is created while the cleaning of unused topics waits for its turn keeps its messages.
#[tokio::test]
async fn a_topic_that_is_created_before_its_cleaning_is_kept() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "U", 2).await;
    let known = fixture.broker.topics.get("U").unwrap();
    fixture.broker.topics.remove("U", 1);
    let gate = Arc::new(parking_lot::RwLock::new(()));
    let closed = gate.write();
    let jobs = (0..32).map(|_| {
        let gate = Arc::clone(&gate);
        fixture.store.background(move |_| drop(gate.read())).unwrap()
    });
    let jobs: Vec<_> = jobs.collect();
    let mut bytes = BytesMut::new();
    let head = Head::request(RequestCode::CleanUnusedTopic.code(), Format::Json);
    FrameWriter::begin(&mut bytes, &head).finish(b"");
    let mut replies = Replies::default();
    let mut frames = Frames::new(&bytes, MAX_FRAME);
    fixture.broker.call_batch(&peer, &mut frames, &mut replies).unwrap();
    fixture.broker.topics.put(known.config.clone(), 1).unwrap();
    drop(closed);
    for waiting in replies.take_later().collect::<Vec<_>>() {
        waiting.later.await;
    }
    let queue = fixture.store.find_queue("U", 0).unwrap();
    assert_eq!((queue.min_offset(), queue.max_offset()), (0, 2));
    drop(jobs);
    fixture.end().await;
}

/// Shows that topics and groups are told in pages to those who ask for pages (21, 201), with the number of all.
#[tokio::test]
async fn tables_are_told_in_pages() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    let topics = fixture.broker.topics.snapshot();
    let all: Vec<&String> = topics.topic_config_table.keys().collect();
    let version = String::from_utf8(wire::body::write(&topics.data_version)).unwrap();
    let header = GetAllTopicConfigHeader {
        topic_seq: Some(3),
        data_version: Some(version.as_str().into()),
        max_topic_num: Some(2),
    };
    let answer = fixture.call(&peer, RequestCode::GetAllTopicConfig, &header, &[]).await;
    let page: TopicConfigs = wire::body::read(answer.frame().body).unwrap();
    assert!(page.topic_config_table.keys().eq(all[3..5].iter().copied()));
    assert_eq!(field(&answer, "totalTopicNum").unwrap(), all.len().to_string());

    let header = GetAllGroupsHeader { max_group_num: Some(2), ..GetAllGroupsHeader::default() };
    let code = RequestCode::GetAllSubscriptiongroupConfig;
    let answer = fixture.call(&peer, code, &header, &[]).await;
    let page: SubscriptionGroups = wire::body::read(answer.frame().body).unwrap();
    assert_eq!(page.subscription_group_table.len(), 2);
    let total = fixture.broker.groups.count();
    assert_eq!(field(&answer, "totalGroupNum").unwrap(), total.to_string());
    let answer = fixture.call(&peer, code, &GetAllGroupsHeader::default(), &[]).await;
    let page: SubscriptionGroups = wire::body::read(answer.frame().body).unwrap();
    assert_eq!(page.subscription_group_table.len(), total);
    fixture.end().await;
}

/// Shows that a table that no frame can hold is refused, by its size, rather than sent.
#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    let text = "x".repeat(crate::limits::ANSWER_BODY / 2);
    for name in ["A", "B"] {
        fixture.broker.topics.put(topic(name, 1, &[("large", &text)]), 1).unwrap();
    }
    let header = GetAllTopicConfigHeader::default();
    let answer = fixture.call(&peer, RequestCode::GetAllTopicConfig, &header, &[]).await;
    assert_eq!((answer.frame().code, answer.frame().body.len()), (1, 0));
    let header = GetAllTopicConfigHeader { max_topic_num: Some(2), ..header };
    let answer = fixture.call(&peer, RequestCode::GetAllTopicConfig, &header, &[]).await;
    let page: TopicConfigs = wire::body::read(answer.frame().body).unwrap();
    assert!(page.topic_config_table.keys().eq(["%RETRY%g", "A"]));
    fixture.end().await;
}

/// Shows that a topic which was deleted is not there again after the broker was killed or ended, although the log
/// holds its messages; and that after a kill one is, whose messages are all that says that it was there.
#[tokio::test]
async fn a_deleted_topic_stays_deleted() {
    for killed in [true, false] {
        let mut fixture = Fixture::new();
        let peer = fixture.client(1, "c", "g").await;
        fixture.send(&peer, "gone", 3).await;
        fixture.send(&peer, "there", 1).await;
        let header = TopicHeader { topic: "gone".into() };
        let answer = fixture.call(&peer, RequestCode::DeleteTopicInBroker, &header, &[]).await;
        assert_eq!(answer.frame().code, 0);
        let disk = fixture.env.disk.clone();
        if killed {
            for name in ["topics.json", "topics.json.bak"] {
                // May not have been written that far.
                let _ = disk.remove(&Path::new("/store/config").join(name));
            }
        } else {
            fixture.end().await;
        }
        let env = Env { disk: disk.kill(), ..Env::real() };
        let settings = BrokerSettings::default();
        fixture = Fixture::over(env, StoreSettings::test_min("/store"), settings, "");
        assert!(fixture.broker.topics.get("gone").is_none(), "killed: {killed}");
        assert!(fixture.broker.topics.get("there").is_some(), "killed: {killed}");
        fixture.end().await;
    }
}

/// Shows that a change whose table cannot be written is not answered with success, that the first message to a new
/// topic is refused then, that health says so, and that all goes on when the disk does.
#[tokio::test]
async fn tables_that_cannot_be_written() {
    let env = Env { disk: Disk::fault(1, env::FaultPlan::default()), ..Env::real() };
    let settings = BrokerSettings::default();
    let fixture = Fixture::over(env, StoreSettings::test_min("/store"), settings, "");
    let peer = fixture.client(1, "c", "g").await;
    fixture.broker.persister.round().await.unwrap();
    fixture.env.disk.set_plan(env::FaultPlan { name_error: 1, ..env::FaultPlan::default() });
    assert_eq!(list(&fixture, &peer, vec![topic("Mine", 1, &[])]).await, 1);
    let header = SendHeader {
        topic: "New".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 1,
        ..SendHeader::default()
    };
    let refused = fixture.call(&peer, RequestCode::SendMessage, &header, b"body").await;
    let text = "the file config/topics.json cannot be written: ";
    assert!(remark(&refused).starts_with(text), "{}", remark(&refused));
    assert_eq!(refused.frame().code, 1);
    assert_eq!(fixture.store.watermarks().appended, 0);
    let problems = || fixture.broker.problems().into_iter().map(|problem| problem.reason);
    assert!(problems().any(|reason| reason == "tables_not_written"));
    fixture.env.disk.set_plan(env::FaultPlan::default());
    fixture.broker.persister.round().await.unwrap();
    assert!(problems().all(|reason| reason != "tables_not_written"));
    fixture.send(&peer, "New", 1).await;
    fixture.end().await;
}

/// Shows that what connections change while they drain, after the workers have ended, is there at the next start.
#[tokio::test]
async fn what_changes_last_is_saved() {
    let open = |env| Fixture::over(env, StoreSettings::test_min("/store"), Default::default(), "");
    let fixture = open(Env::sim(1));
    let env = fixture.env.with_own_tasks();
    let late = fixture.env.tasks.shutdown(Duration::from_secs(10)).await;
    assert!(late.is_empty(), "{late:?} did not end");
    fixture.broker.topics.put(crate::topic::config("Last", 1, 6), 1).unwrap();
    fixture.broker.save();
    fixture.store.clone().close();
    drop(fixture);
    let fixture = open(env);
    assert!(fixture.broker.topics.get("Last").is_some());
    fixture.end().await;
}
