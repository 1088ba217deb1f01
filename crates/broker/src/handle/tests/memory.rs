use env::memory::Hold;
use wire::flags::pull;
use wire::header::PullHeader;

use super::*;

async fn pull_at(
    fixture: &Fixture,
    peer: &Arc<Peer>,
    offset: i64,
    subscription: &str,
) -> OwnedFrame {
    let header = PullHeader {
        consumer_group: "g".into(),
        topic: "T".into(),
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag: pull::SUSPEND | pull::SUBSCRIPTION,
        suspend_timeout_millis: 1,
        subscription: Some(subscription.into()),
        ..PullHeader::default()
    };
    fixture.call(peer, RequestCode::PullMessage, &header, &[]).await
}

/// Shows that where there is no memory for what waits, pulls that find nothing are refused with 2 and a text that
/// names cause, value, limit and key; that pulls which find something are served; that sends are served until all of
/// it is used; and that room is all it takes.
#[tokio::test]
async fn without_memory_nothing_is_held() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "T", 1).await;
    let pool = &fixture.env.memory.waiting;
    let mut hold = Hold::new(pool);
    hold.set(pool.limit() / 4 * 3);
    let refused = pull_at(&fixture, &peer, 1, "*").await;
    assert_eq!(refused.frame().code, 2);
    let text = remark(&refused);
    let want = format!(
        "[OVERLOAD]system busy, start flow control for a while: requests that wait for their answer would hold {}",
        hold.bytes() + 1024
    );
    assert!(text.starts_with(&want) && text.ends_with("memoryLimitBytes)"), "{text}");
    assert_eq!(pull_at(&fixture, &peer, 0, "*").await.frame().code, 0);
    fixture.send(&peer, "T", 1).await;
    hold.set(pool.limit() + 1);
    let header = SendHeader { topic: "T".into(), ..SendHeader::default() };
    let refused = fixture.call(&peer, RequestCode::SendMessage, &header, b"body").await;
    assert_eq!((refused.frame().code, pool.refused()), (2, 2));
    drop(hold);
    fixture.send(&peer, "T", 1).await;
    assert_eq!(pull_at(&fixture, &peer, 3, "*").await.frame().code, 19);
    fixture.end().await;
}

/// Shows that a filter of many tags counts for what it keeps while its pull waits.
#[tokio::test]
async fn filters_count() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    fixture.send(&peer, "T", 1).await;
    let pool = &fixture.env.memory.waiting;
    let mut hold = Hold::new(pool);
    hold.set(pool.limit() / 4 * 3 - 1024 - 7);
    assert_eq!(pull_at(&fixture, &peer, 1, "*").await.frame().code, 19);
    assert_eq!(pull_at(&fixture, &peer, 1, "a || b").await.frame().code, 2);
    drop(hold);
    assert_eq!(pull_at(&fixture, &peer, 1, "a || b").await.frame().code, 19);
    fixture.end().await;
}
