//! Delivery of delayed messages: beside one that is gone, to what has changed since, after a lost end.

use super::*;
use crate::schedule::{Turn, deliver};

/// Delivers all that is due of the first level.
async fn deliver_all(fixture: &Fixture) {
    while deliver(&fixture.broker, 1).await.unwrap() == Turn::More {}
}

/// Sends a message to queue 0 of the topic `T` that is due in one second.
async fn send_delayed(fixture: &Fixture, peer: &Arc<Peer>) {
    send_delayed_to(fixture, peer, "T", 0).await;
}

async fn send_delayed_to(fixture: &Fixture, peer: &Arc<Peer>, topic: &str, queue_id: i32) {
    let header = SendHeader {
        topic: topic.into(),
        queue_id,
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 2,
        properties: Some("DELAY\u{1}1\u{2}".into()),
        ..SendHeader::default()
    };
    let answer = fixture.call(peer, RequestCode::SendMessage, &header, b"body").await;
    assert_eq!(answer.frame().code, 0, "{}", remark(&answer));
}

/// Shows that a message that is gone from the middle of a level takes no other along and has none delivered twice,
/// whether those behind it are due together with the one before it or later.
#[tokio::test]
async fn around_a_missing_message_each_is_delivered_once() {
    const BLANK: [u8; 20] = [0, 0, 0, 0, 0, 0, 0, 0, 127, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0];
    for (pause_ms, due) in [(600, 1), (2000, 3)] {
        let open =
            |env| Fixture::over(env, StoreSettings::test_min("/store"), Default::default(), "");
        let fixture = open(Env::sim(1));
        let peer = fixture.client(1, "c", "g").await;
        send_delayed(&fixture, &peer).await;
        fixture.env.clock.advance(Duration::from_millis(500));
        for _ in 0..3 {
            send_delayed(&fixture, &peer).await;
        }
        let env = fixture.env.with_own_tasks();
        fixture.end().await;
        let file = "/store/consumequeue/SCHEDULE_TOPIC_XXXX/0/00000000000000000000";
        env.disk.open(Path::new(file)).unwrap().write_at(&BLANK, 20).unwrap();

        let fixture = open(env);
        let queue = fixture.store.queue("T", 0);
        fixture.env.clock.advance(Duration::from_millis(pause_ms));
        deliver_all(&fixture).await;
        assert_eq!(queue.max_offset(), due);
        fixture.env.clock.advance(Duration::from_secs(1));
        deliver_all(&fixture).await;
        assert_eq!((queue.max_offset(), fixture.broker.delays.next(1)), (3, 4));
        fixture.end().await;
    }
}

/// Shows that a message whose queue is gone when it is due goes to one that is there, and that a retry whose topic
/// was deleted is stored all the same, since the group goes on.
#[tokio::test]
async fn what_has_changed_until_it_is_due() {
    let open = |env| Fixture::over(env, StoreSettings::test_min("/store"), Default::default(), "");
    let fixture = open(Env::sim(1));
    let peer = fixture.client(1, "c", "g").await;
    send_delayed_to(&fixture, &peer, "T", 1).await;
    send_delayed_to(&fixture, &peer, "%RETRY%g", 0).await;
    fixture.broker.topics.put(crate::topic::config("T", 1, 6), 1).unwrap();
    fixture.broker.topics.remove("%RETRY%g", 1);
    fixture.env.clock.advance(Duration::from_secs(2));
    deliver_all(&fixture).await;
    assert_eq!(fixture.store.queue("T", 0).max_offset(), 1);
    assert_eq!(fixture.store.queue("%RETRY%g", 0).max_offset(), 1);
    assert!(fixture.broker.topics.get("%RETRY%g").is_some());
    fixture.end().await;
}

/// Shows that a level goes on where the log ends when its file says that more had been delivered: a power cut may
/// have taken those messages, and what comes next must not be passed over.
#[tokio::test]
async fn progress_behind_the_end_is_taken_back() {
    let env = Env::sim(1);
    env.disk.create_dir_all(Path::new("/store/config")).unwrap();
    let file = env.disk.create(Path::new("/store/config/delayOffset.json")).unwrap();
    file.write_at(br#"{"offsetTable":{"1":100}}"#, 0).unwrap();
    let fixture = Fixture::over(env, StoreSettings::test_min("/store"), Default::default(), "");
    let peer = fixture.client(1, "c", "g").await;
    deliver_all(&fixture).await;
    send_delayed(&fixture, &peer).await;
    fixture.env.clock.advance(Duration::from_secs(2));
    deliver_all(&fixture).await;
    assert_eq!(fixture.store.queue("T", 0).max_offset(), 1);
    fixture.end().await;
}

/// Shows that a level goes on behind a file of its queue that is missing.
#[tokio::test]
async fn behind_a_missing_file_messages_are_delivered() {
    // In one file of the log: a delivery that waited for the next one would let the worker deliver beside it.
    let settings = StoreSettings { segment_bytes: 1 << 20, ..StoreSettings::test_min("/store") };
    let open = |env| Fixture::over(env, settings.clone(), Default::default(), "");
    let fixture = open(Env::sim(1));
    let peer = fixture.client(1, "c", "g").await;
    // Files of eight entries.
    for _ in 0..17 {
        send_delayed(&fixture, &peer).await;
    }
    let env = fixture.env.with_own_tasks();
    fixture.end().await;
    let file = "/store/consumequeue/SCHEDULE_TOPIC_XXXX/0/00000000000000000160";
    env.disk.remove(Path::new(file)).unwrap();
    let fixture = open(env);
    fixture.env.clock.advance(Duration::from_secs(2));
    deliver_all(&fixture).await;
    let queue = fixture.store.queue("T", 0);
    assert_eq!((queue.max_offset(), fixture.broker.delays.next(1)), (9, 17));
    fixture.end().await;
}
