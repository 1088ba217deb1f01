use wire::flags::{command, pull as flags};
use wire::header::{PullHeader, SendBackHeader};
use wire::props;
use wire::record::{self, Entry};

use super::*;

/// Shows that one-way messages to a new topic are stored also if their connection ends right after them, with
/// everything that was still waiting on it.
#[tokio::test]
async fn oneway_messages_outlive_their_connection() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    let header = SendHeader {
        topic: "new".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 1,
        ..SendHeader::default()
    };
    let mut bytes = BytesMut::new();
    for _ in 0..3 {
        let head = Head::request(RequestCode::SendMessage.code(), Format::Json);
        let head = Head { flag: command::ONEWAY, ..head };
        let mut writer = FrameWriter::begin(&mut bytes, &head);
        header.encode(&mut writer);
        writer.finish(b"body");
    }
    let mut replies = Replies::default();
    let mut frames = Frames::new(&bytes, MAX_FRAME);
    fixture.broker.call_batch(&peer, &mut frames, &mut replies).unwrap();
    drop(replies);
    assert_eq!(fixture.store.queue("new", 0).max_offset(), 3);
    fixture.end().await;
}

/// Shows that a one-way pull is not answered, whatever there is, and commits what it was sent to commit.
#[tokio::test]
async fn oneway_pulls_are_not_answered() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "T", 2).await;
    for queue_offset in [-1, 0, 2] {
        let header = PullHeader {
            consumer_group: "g".into(),
            topic: "T".into(),
            queue_offset,
            max_msg_nums: 2,
            commit_offset: 1,
            sys_flag: flags::COMMIT_OFFSET | flags::SUSPEND,
            suspend_timeout_millis: 1000,
            ..PullHeader::default()
        };
        let mut bytes = BytesMut::new();
        let head = Head::request(RequestCode::PullMessage.code(), Format::Json);
        let mut writer = FrameWriter::begin(&mut bytes, &Head { flag: command::ONEWAY, ..head });
        header.encode(&mut writer);
        writer.finish(&[]);
        let mut replies = Replies::default();
        let mut requests = Frames::new(&bytes, MAX_FRAME);
        fixture.broker.call_batch(&peer, &mut requests, &mut replies).unwrap();
        assert_eq!(replies.take_later().count(), 0, "from {queue_offset}");
        assert_eq!(frames(&replies).len(), 0, "from {queue_offset}");
    }
    assert_eq!(fixture.broker.offsets.query("T", "g", 0), Some(1));
    fixture.end().await;
}

/// Topic and value of a property of the record that begins at `offset`.
fn stored(fixture: &Fixture, offset: u64, name: &str) -> (String, Option<String>) {
    let bytes = fixture.store.record(offset).unwrap().unwrap();
    let Ok(Entry::Record(view)) = record::parse(&bytes) else { panic!("no record at {offset}") };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(view.topic()), props::get(view.properties(), name).map(text))
}

/// Shows that a delay level overrules an arbitrary delay, and that a dead letter is stored whatever delay it names,
/// be it sent back or given up by its consumer.
#[tokio::test]
async fn a_level_overrules_a_timer_and_death_overrules_both() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    let header = |topic: &'static str, properties: &'static str| SendHeader {
        topic: topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 1,
        properties: Some(properties.into()),
        ..SendHeader::default()
    };
    let send = async |header: SendHeader<'_>| {
        let at = fixture.store.watermarks().appended;
        let answer = fixture.call(&peer, RequestCode::SendMessage, &header, b"body").await;
        (answer.frame().code, at)
    };
    let timers =
        "TIMER_DELAY_SEC\x0160\x02TIMER_DELAY_MS\x019\x02TIMER_DELIVER_MS\x019\x02DELAY\x012\x02";
    let (code, delayed) = send(header("T", timers)).await;
    assert_eq!(code, 0);
    for name in ["TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS"] {
        assert_eq!(stored(&fixture, delayed, name), ("SCHEDULE_TOPIC_XXXX".to_owned(), None));
    }
    assert_eq!(send(header("T", "TIMER_DELAY_SEC\x0160\x02")).await.0, 1);

    let back = SendBackHeader {
        offset: delayed as i64,
        group: "g".into(),
        delay_level: -1,
        ..SendBackHeader::default()
    };
    let at = fixture.store.watermarks().appended;
    let answer = fixture.call(&peer, RequestCode::ConsumerSendMsgBack, &back, &[]).await;
    assert_eq!(answer.frame().code, 0, "{}", remark(&answer));
    assert_eq!(stored(&fixture, at, "DELAY"), ("%DLQ%g".to_owned(), Some("-1".to_owned())));

    let given_up = SendHeader { reconsume_times: 17, ..header("%RETRY%g", timers) };
    let (code, at) = send(given_up).await;
    assert_eq!(code, 0);
    assert_eq!(stored(&fixture, at, "TIMER_DELAY_SEC"), ("%DLQ%g".to_owned(), None));
    fixture.end().await;
}

/// Shows that topics which clients in unit mode make are marked so, as 311 to 313 list them: a producer's topic, and
/// the retries of a consumer, whichever way they come into being; but no dead letters.
#[tokio::test]
async fn unit_mode_marks_topics() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "plain").await;
    let header = |topic: &'static str| SendHeader {
        topic: topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 1,
        unit_mode: true,
        ..SendHeader::default()
    };
    for topic in ["T", "%RETRY%sent"] {
        let code = RequestCode::SendMessage;
        assert_eq!(fixture.call(&peer, code, &header(topic), b"body").await.frame().code, 0);
    }
    let heartbeat = HeartbeatData {
        client_id: "unit".to_owned(),
        consumer_data_set: vec![ConsumerData {
            group_name: "seen".to_owned(),
            unit_mode: true,
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    };
    let body = wire::body::write(&heartbeat);
    let answer = fixture.call(&peer, RequestCode::HeartBeat, &NoHeader, &body).await;
    assert_eq!(answer.frame().code, 0);
    for delay_level in [0, -1] {
        let (group, unit_mode) = ("back".into(), true);
        let back = SendBackHeader { group, delay_level, unit_mode, ..SendBackHeader::default() };
        let answer = fixture.call(&peer, RequestCode::ConsumerSendMsgBack, &back, &[]).await;
        assert_eq!(answer.frame().code, 0, "{}", remark(&answer));
    }
    for (topic, flag) in [
        ("T", 1),
        ("%RETRY%plain", 0),
        ("%RETRY%sent", 2),
        ("%RETRY%seen", 2),
        ("%RETRY%back", 2),
        ("%DLQ%back", 0),
    ] {
        let known = fixture.broker.topics.get(topic).unwrap();
        assert_eq!(known.config.topic_sys_flag, flag, "{topic}");
    }
    fixture.end().await;
}
