//! A disk that is full or slow, as clients see it.

use env::FaultPlan;
use wire::header::UpdateConsumerOffsetHeader;

use super::*;

fn faulty(change: impl FnOnce(&mut StoreSettings)) -> Fixture {
    let env = Env { disk: Disk::fault(1, FaultPlan::default()), ..Env::real() };
    let mut settings = StoreSettings::test_min("/store");
    change(&mut settings);
    Fixture::over(env, settings, BrokerSettings::default(), "")
}

/// Sends one message with a body of 1 KiB; code and remark of the answer.
async fn send_one(fixture: &Fixture, peer: &Arc<Peer>) -> (i32, String) {
    let header = SendHeader {
        topic: "T".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 1,
        ..SendHeader::default()
    };
    let answer = fixture.call(peer, RequestCode::SendMessage, &header, &[7; 1024]).await;
    (answer.frame().code, remark(&answer))
}

async fn commit(fixture: &Fixture, peer: &Arc<Peer>, offset: i64) {
    let header = UpdateConsumerOffsetHeader {
        consumer_group: "G".into(),
        topic: "T".into(),
        queue_id: 0,
        commit_offset: offset,
    };
    let answer = fixture.call(peer, RequestCode::UpdateConsumerOffset, &header, &[]).await;
    assert_eq!(answer.frame().code, 0, "{}", remark(&answer));
}

/// User pain 8: a full disk answers sends with 14 and says what is needed, what there is, the policy and
/// the keys; commits go on; and when the group that was behind has committed, its messages make room, as
/// the store knows from the broker who needs what.
#[tokio::test]
async fn a_full_disk_is_14_until_the_group_has_consumed() {
    let fixture = faulty(|settings| {
        settings.clean_forcibly = true;
        settings.disk_reserve_bytes = 32 << 10;
        // The clock of this disk stands still, long ago.
        settings.retention_hours = 800_000;
    });
    fixture.env.disk.set_plan(FaultPlan { capacity: 256 << 10, ..FaultPlan::default() });
    let peer = fixture.client(1, "c", "G").await;
    assert_eq!(send_one(&fixture, &peer).await.0, 0);
    commit(&fixture, &peer, 0).await;
    let mut sent = 1;
    let (code, text) = loop {
        let answer = send_one(&fixture, &peer).await;
        if answer.0 != 0 {
            break answer;
        }
        sent += 1;
    };
    assert_eq!(code, 14, "{text}");
    assert!(text.starts_with("service not available now. the disk is full: "), "{text}");
    assert!(text.contains("; policy reject (diskReserveBytes"), "{text}");
    assert!(text.ends_with(", diskFullPolicy)"), "{text}");
    commit(&fixture, &peer, 1).await;
    let queue = fixture.store.queue("T", 0);
    assert_eq!(queue.min_offset(), 0, "nothing is deleted that the group has not consumed");
    commit(&fixture, &peer, sent).await;
    while send_one(&fixture, &peer).await.0 != 0 {
        tokio::task::yield_now().await;
    }
    assert!((1..sent as u64).contains(&queue.min_offset()));
    assert_eq!(queue.max_offset(), sent as u64 + 1);
    fixture.end().await;
}

/// User pain 2: a slow disk answers sends with 2 once the bytes that may await it are used up; the text
/// has the prefix that clients know, `fsync`, the values, the limits and the keys.
#[tokio::test]
async fn a_slow_disk_is_2_and_names_fsync() {
    let fixture = faulty(|settings| {
        // No send waits for the next file of the log.
        settings.segment_bytes = 1 << 20;
        settings.dirty_bytes_max = 16 << 10;
        settings.append_timeout_ms = 100;
    });
    let peer = fixture.client(1, "c", "G").await;
    assert_eq!(send_one(&fixture, &peer).await.0, 0);
    let slow_sync_time = Duration::from_millis(800);
    fixture.env.disk.set_plan(FaultPlan { slow_sync: 1, slow_sync_time, ..FaultPlan::default() });
    let (code, text) = loop {
        let answer = send_one(&fixture, &peer).await;
        if answer.0 != 0 {
            break answer;
        }
    };
    assert_eq!(code, 2, "{text}");
    let prefix = "[PC_SYNCHRONIZED]broker busy, start flow control for a while: fsync takes ";
    assert!(text.starts_with(prefix), "{text}");
    let parts = [
        "the limit is 16384 (commitLogDirtyBytesMax)",
        "the limit is 100 (osPageCacheBusyTimeOutMills)",
    ];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    fixture.env.disk.set_plan(FaultPlan::default());
    while send_one(&fixture, &peer).await.0 != 0 {
        tokio::task::yield_now().await;
    }
    fixture.end().await;
}
