use std::collections::BTreeMap;

use wire::body::{
    CorrectionOffsets, SubscriptionGroupConfig, SubscriptionGroupList, TopicConfig, TopicConfigList,
};
use wire::header::{CloneOffsetsHeader, CorrectionOffsetHeader, DeleteGroupHeader, TopicHeader};

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
