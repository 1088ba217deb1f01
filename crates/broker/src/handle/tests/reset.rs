use wire::body::{ConsumerStatus, QueueOffsets, ResetOffsets};
use wire::flags::pull;
use wire::header::{
    ConsumerStatusHeader, PullHeader, QueryConsumerOffsetHeader, ResetOffsetHeader,
    UpdateConsumerOffsetHeader,
};

use super::*;

fn to_start() -> ResetOffsetHeader<'static> {
    let (group, topic) = ("g".into(), "T".into());
    ResetOffsetHeader { group, topic, queue_id: -1, offset: None, timestamp: 0, force: true }
}

async fn commit(fixture: &Fixture, peer: &Arc<Peer>, commit_offset: i64) -> String {
    let (consumer_group, topic) = ("g".into(), "T".into());
    let header = UpdateConsumerOffsetHeader { consumer_group, topic, queue_id: 0, commit_offset };
    let answer = fixture.call(peer, RequestCode::UpdateConsumerOffset, &header, &[]).await;
    assert_eq!(answer.frame().code, 0);
    remark(&answer)
}

async fn committed(fixture: &Fixture, peer: &Arc<Peer>) -> String {
    let header = QueryConsumerOffsetHeader {
        consumer_group: "g".into(),
        topic: "T".into(),
        ..QueryConsumerOffsetHeader::default()
    };
    let answer = fixture.call(peer, RequestCode::QueryConsumerOffset, &header, &[]).await;
    field(&answer, "offset").unwrap()
}

async fn pull(fixture: &Fixture, peer: &Arc<Peer>, offset: i64, suspend: bool) -> OwnedFrame {
    let hold = if suspend { pull::SUSPEND } else { 0 };
    let header = PullHeader {
        consumer_group: "g".into(),
        topic: "T".into(),
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag: pull::COMMIT_OFFSET | hold,
        commit_offset: offset,
        suspend_timeout_millis: 60_000,
        ..PullHeader::default()
    };
    fixture.call(peer, RequestCode::PullMessage, &header, &[]).await
}

fn table(answer: &OwnedFrame) -> Vec<(i32, i64)> {
    let body: ResetOffsets = wire::body::read(answer.frame().body).unwrap();
    body.offset_table.0.into_iter().map(|(queue, offset)| (queue.queue_id, offset)).collect()
}

/// Shows that a running consumer is sent to the reset offset by its next pull, once, and that neither what it commits
/// nor what it pulls with before it knows of the reset moves the group.
#[tokio::test]
async fn a_running_consumer_hears_of_a_reset() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "T", 3).await;
    commit(&fixture, &peer, 3).await;
    let answer =
        fixture.call(&peer, RequestCode::InvokeBrokerToResetOffset, &to_start(), &[]).await;
    assert_eq!((answer.frame().code, table(&answer)), (0, vec![(0, 0), (1, 0)]));
    assert_eq!(commit(&fixture, &peer, 3).await, "Offset has been previously reset");
    assert_eq!(committed(&fixture, &peer).await, "0");

    let answer = pull(&fixture, &peer, 3, true).await;
    assert_eq!((answer.frame().code, remark(&answer)), (21, "OFFSET_RESET".to_owned()));
    assert_eq!(field(&answer, "nextBeginOffset").as_deref(), Some("0"));
    assert_eq!(field(&answer, "maxOffset").as_deref(), Some("3"));
    assert_eq!(committed(&fixture, &peer).await, "0");
    assert_eq!(pull(&fixture, &peer, 0, false).await.frame().code, 0);
    assert_eq!(commit(&fixture, &peer, 2).await, "");
    assert_eq!(committed(&fixture, &peer).await, "2");
    fixture.end().await;
}

/// Shows that a negative offset counts as none: the group starts at 0 where it may, and else by its own policy.
#[tokio::test]
async fn a_negative_offset_is_none() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "T", 1).await;
    assert_eq!(commit(&fixture, &peer, -5).await, "");
    assert_eq!(committed(&fixture, &peer).await, "0");
    let header = QueryConsumerOffsetHeader {
        consumer_group: "g".into(),
        topic: "T".into(),
        set_zero_if_not_found: Some(false),
        ..QueryConsumerOffsetHeader::default()
    };
    let answer = fixture.call(&peer, RequestCode::QueryConsumerOffset, &header, &[]).await;
    assert_eq!(answer.frame().code, 22);
    fixture.end().await;
}

/// Shows that a pull from below 0 is sent to the start of the queue at once, be there messages or none.
#[tokio::test]
async fn a_pull_from_below_zero_is_sent_to_the_start() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.broker.topics.put(crate::topic::config("T", 1, 6), 1).unwrap();
    for (sent, status) in [(0, "NO_MESSAGE_IN_QUEUE"), (2, "OFFSET_TOO_SMALL")] {
        fixture.send(&peer, "T", sent).await;
        let answer = pull(&fixture, &peer, -1, true).await;
        assert_eq!((answer.frame().code, remark(&answer)), (21, status.to_owned()));
        assert_eq!(field(&answer, "nextBeginOffset").as_deref(), Some("0"));
        assert_eq!(field(&answer, "maxOffset"), Some(sent.to_string()));
    }
    fixture.end().await;
}

/// Shows that a pull that was held when the reset came is answered with it, and not with the message that ends it.
#[tokio::test]
async fn a_held_pull_hears_of_a_reset() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    let other = fixture.client(2, "d", "h").await;
    fixture.send(&other, "T", 1).await;
    let reset_then_send = async {
        let code = RequestCode::InvokeBrokerToResetOffset;
        assert_eq!(fixture.call(&other, code, &to_start(), &[]).await.frame().code, 0);
        fixture.send(&other, "T", 1).await;
    };
    let (answer, ()) = tokio::join!(pull(&fixture, &peer, 1, true), reset_then_send);
    assert_eq!((answer.frame().code, remark(&answer)), (21, "OFFSET_RESET".to_owned()));
    fixture.end().await;
}

/// Shows where a reset may go: to an offset of one queue that it has, to the end with a negative time; and what is
/// refused.
#[tokio::test]
async fn targets_of_a_reset() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "T", 3).await;
    let code = RequestCode::InvokeBrokerToResetOffset;
    let at = |offset| ResetOffsetHeader { queue_id: 0, offset: Some(offset), ..to_start() };
    for (header, want) in [
        (at(2), vec![(0, 2)]),
        (at(-1), vec![(0, 0)]),
        (ResetOffsetHeader { timestamp: -1, ..to_start() }, vec![(0, 3), (1, 0)]),
    ] {
        let answer = fixture.call(&peer, code, &header, &[]).await;
        assert_eq!((answer.frame().code, table(&answer)), (0, want));
    }
    for (header, want) in [
        (at(5), (1, "Target offset 5 not in consume queue range [0-3]")),
        (ResetOffsetHeader { topic: "U".into(), ..to_start() }, (17, "Topic U does not exist")),
        (ResetOffsetHeader { group: "x".into(), ..to_start() }, (26, "Group x does not exist")),
    ] {
        let answer = fixture.call(&peer, code, &header, &[]).await;
        assert_eq!((answer.frame().code, &*remark(&answer)), want);
    }
    fixture.end().await;
}

/// Shows the way through the members: each is told the offsets, which the broker leaves as they are; the answer names
/// them; without members, or without offsets, it fails.
#[tokio::test]
async fn a_reset_through_the_members() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    let code = RequestCode::UpdateBrokerConfig;
    let off = fixture.call(&peer, code, &NoHeader, b"useServerSideResetOffset=false").await;
    assert_eq!(off.frame().code, 0);
    fixture.send(&peer, "T", 3).await;
    let code = RequestCode::InvokeBrokerToResetOffset;
    let answer = fixture.call(&peer, code, &to_start(), &[]).await;
    assert_eq!((answer.frame().code, &*remark(&answer)), (1, "THe consumer group <g> not exist"));

    for queue in 0..2 {
        fixture.broker.offsets.commit("T", "g", queue, 2).unwrap();
        fixture.broker.offsets.commit("T", "offline", queue, 2).unwrap();
    }
    let keep = ResetOffsetHeader { timestamp: -1, force: false, ..to_start() };
    let answer = fixture.call(&peer, code, &keep, &[]).await;
    assert_eq!((answer.frame().code, table(&answer)), (0, vec![(0, 2), (1, 0)]));
    let answer = fixture.call(&peer, code, &to_start(), &[]).await;
    assert_eq!((answer.frame().code, table(&answer)), (0, vec![(0, 0), (1, 0)]));
    let told = sent_to(&peer);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|told| told.frame().is_oneway() && told.frame().code == 220));
    assert_eq!((field(&told[1], "group").as_deref(), table(&told[1])), (Some("g"), table(&answer)));
    assert_eq!(committed(&fixture, &peer).await, "2");
    let offline = ResetOffsetHeader { group: "offline".into(), ..to_start() };
    let answer = fixture.call(&peer, code, &offline, &[]).await;
    assert_eq!(answer.frame().code, 206);
    fixture.end().await;
}

/// Shows that the offsets in the memory of the members are collected under their client ids, of those that answer.
#[tokio::test]
async fn the_status_of_consumers() {
    let fixture = Fixture::new();
    let (one, two) = (fixture.client(1, "c1", "g").await, fixture.client(2, "c2", "g").await);
    sent_to(&one);
    let header = ConsumerStatusHeader { topic: "T".into(), group: "g".into(), client_addr: None };
    let code = RequestCode::InvokeBrokerToGetConsumerStatus;
    let body = br#"{"consumerTable":{},"messageQueueTable":{{"brokerName":"b","queueId":0,"topic":"T"}:5}}"#;
    let (answer, asked, _) = tokio::join!(
        fixture.call(&one, code, &header, &[]),
        answer_pushed(&one, 0, body),
        answer_pushed(&two, 1, b"")
    );
    assert_eq!((asked.frame().code, field(&asked, "topic").as_deref()), (221, Some("T")));
    let status: ConsumerStatus = wire::body::read(answer.frame().body).unwrap();
    assert_eq!(status.message_queue_table, QueueOffsets::default());
    let (id, offsets) = status.consumer_table.first_key_value().unwrap();
    assert_eq!((status.consumer_table.len(), &**id, offsets.0.len()), (1, "c1", 1));

    let header = ConsumerStatusHeader { group: "nobody".into(), ..header };
    let answer = fixture.call(&one, code, &header, &[]).await;
    assert_eq!(remark(&answer), "No Any Consumer online in the consumer group: [nobody]");
    fixture.end().await;
}

/// Shows that after a power cut that took the end of a queue its group does not stand behind the end, where what is
/// sent next would come to lie; that a consumer that remembers a later offset is sent back; and that one that asks
/// for the right one is not.
#[tokio::test]
async fn nobody_stands_behind_an_end_that_was_lost() {
    let open = |env| Fixture::over(env, StoreSettings::test_min("/store"), Default::default(), "");
    let fixture = open(Env::fault(1, env::FaultPlan::default()));
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "T", 3).await;
    assert_eq!(commit(&fixture, &peer, 9).await, "");
    crate::persist::save_all(&fixture.broker);
    let disk = fixture.env.disk.crash();

    let fixture = open(Env { disk, ..Env::sim(2) });
    let peer = fixture.client(1, "c", "g").await;
    fixture.broker.topics.put(crate::topic::config("T", 1, 6), 1).unwrap();
    let end = fixture.store.queue("T", 0).max_offset() as i64;
    assert_eq!(committed(&fixture, &peer).await, end.to_string());
    fixture.send(&peer, "T", 10).await;
    let answer = pull(&fixture, &peer, 9, false).await;
    assert_eq!(field(&answer, "nextBeginOffset"), Some(end.to_string()));
    assert_eq!((answer.frame().code, remark(&answer)), (21, "OFFSET_RESET".to_owned()));
    assert_eq!(pull(&fixture, &peer, end, false).await.frame().code, 0);
}
