use serde_json::{Value, json};

use super::*;

/// Reads a body and writes it again.
fn rewritten<T: serde::de::DeserializeOwned + Serialize>(body: &str) -> String {
    String::from_utf8(write(&read::<T>(body.as_bytes()).expect(body))).unwrap()
}

const DATA_VERSION: &str = r#"{"counter":3,"stateVersion":0,"timestamp":1700000000000}"#;
const TOPIC: &str = r#"{"attributes":{"message.type":"NORMAL"},"order":false,"perm":6,"readQueueNums":16,"topicFilterType":"SINGLE_TAG","topicName":"TopicTest","topicSysFlag":0,"writeQueueNums":16}"#;

/// Bodies of the reference that are strict JSON come out byte for byte.
#[test]
fn golden_bodies_are_kept() {
    macro_rules! same {
        ($($type:ty: $body:expr;)*) => {$(assert_eq!(rewritten::<$type>($body), $body);)*};
    }
    same! {
        DataVersion: DATA_VERSION;
        TopicConfig: TOPIC;
        KVTable: r#"{"table":{"k":"v"}}"#;
        TopicList: r#"{"brokerAddr":"10.0.0.1:10911","topicList":["TopicTest"]}"#;
        TopicList: r#"{"topicList":[]}"#;
        TopicRouteData: r#"{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"orderTopicConf":"broker-a:4","queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}],"topicQueueMappingByBroker":{"broker-a":{"bname":"broker-a","currIdMap":{"0":0,"2":1},"dirty":false,"epoch":1700000000000,"scope":"__global__","topic":"TopicTest","totalQueues":8}}}"#;
        SubscriptionGroupConfig: r#"{"attributes":{"k":"v"},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"g1","groupRetryPolicy":{"exponentialRetryPolicy":{"initial":5000,"max":7200000,"multiplier":2},"type":"EXPONENTIAL"},"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"subscriptionDataSet":[{"expression":"*","expressionType":"TAG","topic":"TopicTest","version":1}],"whichBrokerWhenConsumeSlowly":1}"#;
        ConsumerIdList: r#"{"consumerIdList":["c1","c2"]}"#;
        LockBatchRequest: r#"{"clientId":"c1","consumerGroup":"cg","mqSet":[{"brokerName":"broker-a","queueId":0,"topic":"TopicTest"}],"onlyThisBroker":false}"#;
        LockBatchResponse: r#"{"lockOKMQSet":[{"brokerName":"broker-a","queueId":0,"topic":"TopicTest"}]}"#;
        HeartbeatData: r#"{"clientID":"10.0.0.9@12345#6789","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"cg","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[2598919,2598920],"expressionType":"TAG","subString":"TagA || TagB","subVersion":1700000000000,"tagsSet":["TagA","TagB"],"topic":"TopicTest"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"pg"}],"withoutSub":false}"#;
    }
}

/// A cluster with unquoted integer keys comes out quoted.
#[test]
fn integer_keys_are_quoted() {
    let body = r#"{"brokerAddrTable":{"broker-a":{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}},"clusterAddrTable":{"DefaultCluster":["broker-a"]}}"#;
    let want = body.replace("{0:", r#"{"0":"#).replace(",1:", r#","1":"#);
    assert_eq!(rewritten::<ClusterInfo>(body), want);
}

/// Missing fields have the reference's defaults.
#[test]
fn defaults() {
    let topic: TopicConfig = read(br#"{"topicName":"T","attributes":null,"perm":null}"#).unwrap();
    assert_eq!((topic.read_queue_nums, topic.write_queue_nums, topic.perm), (16, 16, 6));
    let group: SubscriptionGroupConfig = read(br#"{"groupName":"g"}"#).unwrap();
    assert_eq!(group, SubscriptionGroupConfig { group_name: "g".into(), ..Default::default() });
    assert_eq!(group.retry_max_times, 16);
}

/// Heartbeats of C++ (ordinals, numbers as texts, null sets), Go (mixed case) and Node.
#[test]
fn heartbeats_of_other_languages() {
    let cpp: HeartbeatData = read(
        br#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":4,"consumeType":1,"groupName":"g","messageModel":0,"subscriptionDataSet":[{"codeSet":["2598919"],"subString":"TagA","subVersion":"1700000000000","tagsSet":["TagA"],"topic":"T"}]}],"producerDataSet":null}"#,
    )
    .unwrap();
    let consumer = &cpp.consumer_data_set[0];
    assert_eq!(consumer.consume_from_where, ConsumeFromWhere::ConsumeFromFirstOffset);
    assert_eq!(consumer.consume_type, ConsumeType::ConsumePassively);
    assert_eq!(consumer.message_model, MessageModel::Broadcasting);
    assert_eq!(consumer.subscription_data_set[0].code_set, [2_598_919]);
    assert_eq!(consumer.subscription_data_set[0].sub_version, 1_700_000_000_000);
    assert_eq!(consumer.subscription_data_set[0].expression_type, "TAG");
    let go: HeartbeatData =
        read(br#"{"clientID":"c","consumerDataSet":[{"messageModel":"BroadCasting"},{"messageModel":"Clustering"}]}"#)
            .unwrap();
    let models: Vec<_> = go.consumer_data_set.iter().map(|data| data.message_model).collect();
    assert_eq!(models, [MessageModel::Broadcasting, MessageModel::Clustering]);
    let error = read::<HeartbeatData>(br#"{"consumerDataSet":[{"consumeType":"X"}]}"#).unwrap_err();
    assert!(error.to_string().contains("CONSUME_ACTIVELY"), "{error}");
}

/// Each form of the dialect and what it means.
#[test]
fn dialect() {
    let check = |body: &str, want: Value| {
        assert_eq!(lenient::parse(body.as_bytes()).expect(body), want, "{body}");
    };
    check("{0:'a',b:\"c\",}", json!({"0": "a", "b": "c"}));
    check(
        r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:5}}"#,
        json!({"offsetTable": {r#"{"brokerName":"b","queueId":0,"topic":"T"}"#: 5}}),
    );
    check(
        r#"{"a":{"x":[1,{"y":2}]},"b":{"$ref":"$.a.x[1]"},"c":{"$ref":"$.nowhere"}}"#,
        json!({"a": {"x": [1, {"y": 2}]}, "b": {"y": 2}, "c": null}),
    );
    check(r#"{"a":{"$ref":"$"}}"#, json!({"a": null}));
    check(r#"{"t":{"a.b":1},"c":{"$ref":"$.t.a.b"}}"#, json!({"t": {"a.b": 1}, "c": 1}));
    check(
        " [1,-2,0.5,1e3,NaN,true,null,18446744073709551615,] ",
        json!([1, -2, 0.5, 1000.0, null, true, null, u64::MAX]),
    );
    check("/*c*/{//x\n\"a\":/**/'\\u00e4\"'}", json!({"a": "ä\""}));
    check("'text'", json!("text"));
}

/// What is no JSON even leniently, and what exceeds a limit.
#[test]
fn refused() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(lenient::parse(nested(crate::limits::MAX_JSON_DEPTH + 1).as_bytes()).is_ok());
    for body in [
        "",
        "{",
        "[1",
        "{\"a\"}",
        "{\"a\":}",
        "{:1}",
        "[1 2]",
        "{}{}",
        "\"a",
        "'a\\",
        "x",
        "/*",
        "[,]",
        "{,}",
        "inf",
        "-",
        "\u{e4}",
        &nested(crate::limits::MAX_JSON_DEPTH + 2),
    ] {
        assert!(lenient::parse(body.as_bytes()).is_err(), "{body}");
    }
    let bomb = format!(
        "{{\"a\":[{}0],\"b\":[{}0]}}",
        "0,".repeat(1000),
        "{\"$ref\":\"$.a\"},".repeat(1000)
    );
    assert!(lenient::parse(bomb.as_bytes()).is_err());
}

fn registration() -> RegisterBrokerBody {
    let body = format!(
        r#"{{"filterServerList":[],"topicConfigSerializeWrapper":{{"dataVersion":{DATA_VERSION},"mappingDataVersion":{{"$ref":"$.topicConfigSerializeWrapper.dataVersion"}},"topicConfigTable":{{"TopicTest":{TOPIC}}},"topicQueueMappingDetailMap":{{}},"topicQueueMappingInfoMap":{{"S":{{"topic":"S","currIdMap":{{0:0}}}}}}}}}}"#
    );
    RegisterBrokerBody::decode(body.as_bytes(), 479).unwrap()
}

/// The JSON form resolves references; before V3_0_11 the body is the topics alone.
#[test]
fn registration_as_json() {
    let body = registration();
    assert_eq!(body.topics.mapping_data_version.counter, 3);
    assert_eq!(body.topics.topic_config_table["TopicTest"].attributes["message.type"], "NORMAL");
    assert_eq!(RegisterBrokerBody::decode(&body.encode(), 37).unwrap(), body);
    let bare = write(&body.topics);
    assert_eq!(RegisterBrokerBody::decode(&bare, 36).unwrap(), body);
}

/// The compressed form keeps what it has room for; its mapping counts only from 5.0 on.
#[test]
fn registration_compressed() {
    let mut want = registration();
    want.topics.mapping_data_version = DataVersion::default();
    let packed = want.encode_compressed();
    assert_eq!(RegisterBrokerBody::decode(&packed, 413).unwrap(), want);
    want.topics.topic_queue_mapping_info_map.clear();
    assert_eq!(RegisterBrokerBody::decode(&packed, 412).unwrap(), want);
    for len in 1..packed.len() {
        assert!(RegisterBrokerBody::decode(&packed[..len], 413).is_err(), "{len}");
    }
}

/// A queue as a key comes out as the reference writes it, whatever its name holds, and is read back;
/// other keys stay texts.
#[test]
fn queues_as_keys() {
    let names = |name: &str| MessageQueue { topic: name.into(), ..MessageQueue::default() };
    let mut stats = ConsumeStats::default();
    for name in ["T", "a\"b\\c"] {
        stats.offset_table.insert(queue_key(&names(name)), OffsetWrapper::default());
    }
    let one = BTreeMap::from([("g\"".to_owned(), vec![stats.clone()]), (String::new(), vec![])]);
    let list = ConsumeStatsList { consume_stats_list: vec![one], ..Default::default() };
    let text = String::from_utf8(write_tables(&list)).unwrap();
    let numbers = r#"{"brokerOffset":0,"consumerOffset":0,"lastTimestamp":0,"pullOffset":0}"#;
    let want = format!(
        r#"{{"":[],"g\"":[{{"consumeTps":0.0,"offsetTable":{{{{"brokerName":"","queueId":0,"topic":"T"}}:{numbers},{{"brokerName":"","queueId":0,"topic":"a\"b\\c"}}:{numbers}}}}}]}}"#
    );
    assert!(text.contains(&want), "{text}\n{want}");
    assert_eq!(read::<ConsumeStatsList>(text.as_bytes()).unwrap(), list);
}
