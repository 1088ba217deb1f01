//! What a page of metrics says after requests.

use metrics::Page;
use wire::header::{PullHeader, UpdateConsumerOffsetHeader};

use super::*;
use crate::health::Problem;

impl Fixture {
    async fn page(&self) -> String {
        self.broker.metrics(Page::new()).await.unwrap().into_text()
    }

    async fn pull(&self, peer: &Arc<Peer>, group: &str, offset: i64) {
        let header = PullHeader {
            consumer_group: group.into(),
            topic: "T".into(),
            queue_offset: offset,
            max_msg_nums: 2,
            ..PullHeader::default()
        };
        self.call(peer, RequestCode::PullMessage, &header, &[]).await;
    }
}

/// The values of a family's samples by what their labels say besides those of the broker.
fn values(page: &str, name: &str) -> Vec<(String, String)> {
    let prefix = format!(
        "{name}{{cluster=\"DefaultCluster\",node_type=\"broker\",node_id=\"broker-a\",otel_scope_name=\"broker-meter\""
    );
    let samples = page.lines().filter_map(|line| line.strip_prefix(&prefix)?.rsplit_once("} "));
    samples
        .map(|(labels, value)| (labels.replace(['"', ','], " ").trim().into(), value.into()))
        .collect()
}

fn value(page: &str, name: &str) -> String {
    let mut all = values(page, name);
    assert_eq!(all.len(), 1, "{name}: {all:?}");
    all.remove(0).1
}

/// Shows that messages in and out, their bytes and sizes, and the lag of a group are told by the reference's names as
/// it counts them, and that a topic that changes goes on counting.
#[tokio::test(flavor = "multi_thread")]
async fn messages_and_lag() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "one", "g").await;
    fixture.send(&peer, "T", 5).await;
    fixture.pull(&peer, "g", 0).await;
    fixture.pull(&peer, "g", 2).await;
    let committed = UpdateConsumerOffsetHeader {
        consumer_group: "g".into(),
        topic: "T".into(),
        commit_offset: 1,
        ..UpdateConsumerOffsetHeader::default()
    };
    fixture.call(&peer, RequestCode::UpdateConsumerOffset, &committed, &[]).await;
    let mut config = fixture.broker.topics.get("T").unwrap().config.clone();
    config.read_queue_nums += 1;
    fixture.broker.topics.put(config, 1).unwrap();
    fixture.send(&peer, "T", 1).await;
    let page = fixture.page().await;
    let of_topic = "topic= T  message_type= normal  is_system= false";
    assert_eq!(values(&page, "rocketmq_messages_in_total"), [(of_topic.into(), "6".into())]);
    let bytes = fixture.store.counters().bytes.to_string();
    assert_eq!(value(&page, "rocketmq_throughput_in_total"), bytes);
    assert_eq!(value(&page, "rocketmq_message_size_sum"), bytes);
    assert_eq!(value(&page, "rocketmq_message_size_count"), "6");
    let of_group = "topic= T  consumer_group= g  is_system= false";
    assert_eq!(values(&page, "rocketmq_messages_out_total"), [(of_group.into(), "4".into())]);
    let out: u64 = value(&page, "rocketmq_throughput_out_total").parse().unwrap();
    assert_eq!(out, fixture.store.counters().bytes / 6 * 4);
    let lag = "consumer_group= g  topic= T  is_retry= false  is_system= false";
    assert_eq!(values(&page, "rocketmq_consumer_lag_messages"), [(lag.into(), "5".into())]);
    assert_eq!(value(&page, "rocketmq_consumer_inflight_messages"), "3");
    assert_eq!(value(&page, "rocketmq_consumer_ready_messages"), "2");
    assert_eq!(value(&page, "rocketmq_producer_connections"), "1");
    assert_eq!(value(&page, "rocketmq_consumer_connections"), "1");
    fixture.end().await;
}

/// Shows that a subscription by tag lags by the messages that it takes, and that a group which is not connected is
/// not told of.
#[tokio::test(flavor = "multi_thread")]
async fn lag_is_that_of_the_subscription() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "one", "g").await;
    for tag in ["TAGS\u{1}a\u{2}", "TAGS\u{1}b\u{2}", "TAGS\u{1}a\u{2}", ""] {
        let header = SendHeader {
            topic: "T".into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: 1,
            properties: Some(tag.into()),
            ..SendHeader::default()
        };
        fixture.call(&peer, RequestCode::SendMessage, &header, b"body").await;
    }
    fixture.broker.offsets.commit("T", "g", 0, 0).unwrap();
    assert_eq!(value(&fixture.page().await, "rocketmq_consumer_lag_messages"), "4");
    let subscription = SubscriptionData {
        topic: "T".to_owned(),
        sub_string: "a".to_owned(),
        code_set: [wire::java_hash::tags_code(b"a") as i32].into(),
        sub_version: 9,
        ..SubscriptionData::default()
    };
    let heartbeat = HeartbeatData {
        client_id: "one".to_owned(),
        consumer_data_set: vec![ConsumerData {
            group_name: "g".to_owned(),
            subscription_data_set: vec![subscription],
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    };
    let body = wire::body::write(&heartbeat);
    fixture.call(&peer, RequestCode::HeartBeat, &NoHeader, &body).await;
    assert_eq!(value(&fixture.page().await, "rocketmq_consumer_lag_messages"), "2");
    fixture.broker.disconnected(&peer);
    assert_eq!(values(&fixture.page().await, "rocketmq_consumer_lag_messages"), []);
    fixture.end().await;
}

/// Shows that every request is timed once, by its code and the code of its answer, be it answered at once, later, or
/// refused; and that creations are told by their outcome.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_timed() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "one", "g").await;
    fixture.send(&peer, "T", 3).await;
    fixture.pull(&peer, "g", 0).await;
    fixture.pull(&peer, "nobody", 3).await;
    let topic = wire::header::CreateTopicHeader {
        topic: "U".into(),
        read_queue_nums: 1,
        write_queue_nums: 1,
        perm: 6,
        topic_filter_type: "SINGLE_TAG".into(),
        ..Default::default()
    };
    fixture.call(&peer, RequestCode::UpdateAndCreateTopic, &topic, &[]).await;
    let system = wire::header::CreateTopicHeader { topic: "TBW102".into(), ..topic };
    fixture.call(&peer, RequestCode::UpdateAndCreateTopic, &system, &[]).await;
    fixture.call(&peer, RequestCode::GetBrokerRuntimeInfo, &NoHeader, &[]).await;
    fixture.call(&peer, RequestCode::EndTransaction, &NoHeader, &[]).await;
    let page = fixture.page().await;
    let mut timed: Vec<String> = values(&page, "rocketmq_rpc_latency_milliseconds_count")
        .into_iter()
        .map(|(labels, count)| {
            let words: Vec<&str> = labels.split_ascii_whitespace().collect();
            format!("{} {} {} {} {count}", words[3], words[5], words[7], words[9])
        })
        .collect();
    timed.sort();
    let want = [
        "end_transaction request_code_not_supported false success 1",
        "get_broker_runtime_info success false success 1",
        "heart_beat success false success 1",
        "pull_message subscription_not_exist false success 1",
        "pull_message success false success 1",
        "send_message success false success 3",
        "update_and_create_topic invalid_parameter false success 1",
        "update_and_create_topic success false success 1",
    ];
    assert_eq!(timed, want);
    let created = values(&page, "rocketmq_topic_create_execution_time_milliseconds_count");
    let (failure, success) = (
        "invocation_status= failure  is_system= true",
        "invocation_status= success  is_system= false",
    );
    assert_eq!(created, [(failure.into(), "1".into()), (success.into(), "1".into())]);
    fixture.end().await;
}

/// Shows that topics and groups beyond the limit count together, and how many those are.
#[tokio::test(flavor = "multi_thread")]
async fn labels_are_bounded() {
    let fixture =
        Fixture::with(BrokerSettings { metrics_label_sets: 1, ..BrokerSettings::default() });
    let peer = fixture.client(1, "one", "g").await;
    fixture.client(2, "two", "h").await;
    fixture.send(&peer, "T", 3).await;
    fixture.send(&peer, "U", 2).await;
    fixture.pull(&peer, "g", 0).await;
    fixture.pull(&peer, "h", 0).await;
    let page = fixture.page().await;
    let other = "topic= __other__  message_type= normal  is_system= false";
    assert_eq!(values(&page, "rocketmq_messages_in_total"), [(other.into(), "5".into())]);
    let out: Vec<String> = values(&page, "rocketmq_messages_out_total")
        .into_iter()
        .map(|(labels, _)| labels)
        .collect();
    let both = [
        "topic= T  consumer_group= g  is_system= false",
        "topic= __other__  consumer_group= __other__  is_system= false",
    ];
    assert_eq!(out, both);
    assert_eq!(values(&page, "rocketmq_consumer_lag_messages").len(), 1);
    let dropped = values(&page, "apogee_metrics_dropped_label_sets");
    let dropped: Vec<&str> = dropped.iter().map(|(_, count)| count.as_str()).collect();
    assert!(dropped[0].parse::<usize>().unwrap() > 2, "{dropped:?}");
    assert_eq!(dropped[1..], ["1", "1"]);
    fixture.end().await;
}

/// Shows that switched-off groups of metrics are not told.
#[tokio::test(flavor = "multi_thread")]
async fn groups_of_metrics_are_switched_off() {
    let off = BrokerSettings {
        stats_metrics: false,
        request_metrics: false,
        connection_metrics: false,
        lag_metrics: false,
        remoting_metrics: false,
        store_metrics: false,
        ..BrokerSettings::default()
    };
    let fixture = Fixture::with(off);
    let peer = fixture.client(1, "one", "g").await;
    fixture.send(&peer, "T", 1).await;
    let page = fixture.page().await;
    let told: Vec<&str> = page.lines().filter(|line| line.starts_with("rocketmq_")).collect();
    assert_eq!(told, Vec::<&str>::new());
    fixture.end().await;
}

/// Shows that a broker whose store has stopped, or that no name server knows, says so.
#[tokio::test(flavor = "multi_thread")]
async fn problems_are_named() {
    let fixture = Fixture::new();
    assert_eq!(fixture.broker.problems(), []);
    fixture.store.clone().close();
    let problems = fixture.broker.problems();
    let [Problem { reason: "store_stopped", is_fatal: true, .. }] = &problems[..] else {
        panic!("{problems:?}");
    };
    let late = fixture.env.tasks.shutdown(Duration::from_secs(10)).await;
    assert!(late.is_empty(), "{late:?} did not end");
}
