use wire::flags::command;

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
