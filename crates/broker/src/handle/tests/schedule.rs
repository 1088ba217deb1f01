//! Delayed messages beside one that is gone.

use super::*;
use crate::schedule::deliver;

/// Sends a message to queue 0 of the topic `T` that is due in one second.
async fn send_delayed(fixture: &Fixture, peer: &Arc<Peer>) {
    let header = SendHeader {
        topic: "T".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 1,
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
        deliver(&fixture.broker, 1).await.unwrap();
        assert_eq!(queue.max_offset(), due);
        fixture.env.clock.advance(Duration::from_secs(1));
        deliver(&fixture.broker, 1).await.unwrap();
        assert_eq!((queue.max_offset(), fixture.broker.delays.next(1)), (3, 4));
        fixture.end().await;
    }
}
