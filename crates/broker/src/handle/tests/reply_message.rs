use super::*;

fn reply_header(properties: &str) -> SendHeader<'_> {
    SendHeader {
        producer_group: "repliers".into(),
        topic: "DefaultCluster_REPLY_TOPIC".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        born_timestamp: 5,
        properties: Some(properties.into()),
        ..SendHeader::default()
    }
}

const TO_REQUESTER: &str = "CORRELATION_ID\x01id\x02REPLY_TO_CLIENT\x01requester\x02";

/// Shows that the producer gets the reply with its properties and the time of the push, that the replying client is
/// told of success and where the reply is stored, and that it is told when the producer does not take it.
#[tokio::test]
async fn a_reply_reaches_the_producer_that_waits() {
    let fixture = Fixture::new();
    let requester = fixture.client(1, "requester", "g1").await;
    let replier = fixture.client(2, "replier", "g2").await;
    let header = reply_header(TO_REQUESTER);
    let call = fixture.call(&replier, RequestCode::SendReplyMessageV2, &header, b"answer");
    let (answer, pushed) = tokio::join!(call, answer_pushed(&requester, 0, b""));
    assert_eq!(pushed.frame().code, RequestCode::PushReplyMessageToClient.code());
    assert_eq!(pushed.frame().body, b"answer");
    assert_eq!(field(&pushed, "bornTimestamp").as_deref(), Some("5"));
    assert_eq!(field(&pushed, "topic").as_deref(), Some("DefaultCluster_REPLY_TOPIC"));
    let properties = field(&pushed, "properties").unwrap();
    assert!(properties.starts_with(TO_REQUESTER), "{properties:?}");
    let added = "MSG_REGION\x01DefaultRegion\x02TRACE_ON\x01true\x02PUSH_REPLY_TIME\x01";
    assert!(properties.contains(added), "{properties:?}");
    assert_eq!(field(&pushed, "bornHost").as_deref(), Some("127.0.0.1:1002"));
    assert_eq!((answer.frame().code, remark(&answer)), (0, String::new()));
    assert_eq!(field(&answer, "queueOffset").as_deref(), Some("0"));
    assert_ne!(field(&answer, "msgId").as_deref(), Some("0"));
    let queue = fixture.store.find_queue("DefaultCluster_REPLY_TOPIC", 0).unwrap();
    assert_eq!(queue.max_offset(), 1);

    let call = fixture.call(&replier, RequestCode::SendReplyMessage, &header, b"answer");
    let (answer, _) = tokio::join!(call, answer_pushed(&requester, 1, b""));
    assert_eq!(answer.frame().code, 1);
    assert_eq!(remark(&answer), "push reply message to requesterfail.");
    fixture.end().await;
}

/// Shows what the replying client is told when nobody waits, and that the reply is stored all the same, unless that is
/// switched off.
#[tokio::test]
async fn a_reply_that_nobody_waits_for() {
    let fixture = Fixture::new();
    let replier = fixture.client(2, "replier", "g2").await;
    let code = RequestCode::SendReplyMessageV2;
    let answer = fixture.call(&replier, code, &reply_header(TO_REQUESTER), b"answer").await;
    assert_eq!(answer.frame().code, 1);
    assert_eq!(remark(&answer), "push reply message fail, channel of <requester> not found.");
    assert_eq!(field(&answer, "queueOffset").as_deref(), Some("0"));

    let off = fixture
        .call(
            &replier,
            RequestCode::UpdateBrokerConfig,
            &NoHeader,
            b"storeReplyMessageEnable=false",
        )
        .await;
    assert_eq!(off.frame().code, 0);
    let answer = fixture.call(&replier, code, &reply_header("A\x01b\x02"), b"answer").await;
    assert_eq!(answer.frame().code, 1);
    assert_eq!(remark(&answer), "reply message properties[REPLY_TO_CLIENT] is null");
    assert_eq!(field(&answer, "queueOffset"), None);
    fixture.end().await;
}

/// Shows that replies, which wait for the producer, are refused where there is no memory for what waits.
#[tokio::test]
async fn without_memory_no_reply_waits() {
    let fixture = Fixture::new();
    let requester = fixture.client(1, "requester", "g1").await;
    let replier = fixture.client(2, "replier", "g2").await;
    let pool = &fixture.env.memory.waiting;
    let mut hold = env::memory::Hold::new(pool);
    hold.set(pool.limit() / 4 * 3);
    let (code, header) = (RequestCode::SendReplyMessageV2, reply_header(TO_REQUESTER));
    let answer = fixture.call(&replier, code, &header, b"answer").await;
    assert_eq!((answer.frame().code, pool.refused()), (2, 1));
    drop(hold);
    let call = fixture.call(&replier, code, &header, b"answer");
    let (answer, _) = tokio::join!(call, answer_pushed(&requester, 0, b""));
    assert_eq!(answer.frame().code, 0);
    fixture.end().await;
}
