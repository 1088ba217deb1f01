use super::*;

async fn update(fixture: &Fixture, peer: &Arc<Peer>, text: &str) -> (i32, String) {
    let code = RequestCode::UpdateBrokerConfig;
    let answer = fixture.call(peer, code, &NoHeader, text.as_bytes()).await;
    (answer.frame().code, remark(&answer))
}

async fn shown(fixture: &Fixture, peer: &Arc<Peer>, line: &str) -> bool {
    let answer = fixture.call(peer, RequestCode::GetBrokerConfig, &NoHeader, &[]).await;
    let text = String::from_utf8_lossy(answer.frame().body).into_owned();
    text.lines().any(|shown| shown == line)
}

/// Shows that settings of broker and store change at once, are shown, and are in the settings file when the answer
/// comes.
#[tokio::test]
async fn settings_change_while_running() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    let before = fixture.broker.topics.snapshot().data_version.counter;
    let text = "maxMessageSize=3\nfileReservedTime = 48\nbrokerPermission=4";
    assert_eq!(update(&fixture, &peer, text).await, (0, String::new()));
    assert!(shown(&fixture, &peer, "maxMessageSize=3").await);
    assert!(shown(&fixture, &peer, "fileReservedTime=48").await);
    assert_eq!(fixture.store.live_settings().retention_hours, 48);
    assert_eq!(fixture.broker.topics.snapshot().data_version.counter, before + 1);
    let header = SendHeader {
        topic: "T".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 1,
        ..SendHeader::default()
    };
    let answer = fixture.call(&peer, RequestCode::SendMessage, &header, b"four").await;
    assert_eq!(answer.frame().code, 13);
    let file = fixture.env.disk.open(Path::new(SETTINGS_FILE)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let want = "# mine\nmaxMessageSize=3\nfileReservedTime=48\nbrokerPermission=4\n";
    assert_eq!(String::from_utf8_lossy(&bytes), want);
    fixture.end().await;
}

/// Shows what is refused, by name, and that then nothing is changed; a value that is in effect is no change.
#[tokio::test]
async fn refused_changes() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    for (text, want) in [
        (
            "brokerName=b",
            "brokerName can't change while running; set it in the configuration file and restart",
        ),
        (
            "flushDiskType=SYNC_FLUSH",
            "flushDiskType can't change while running; set it in the configuration file and restart",
        ),
        ("maxMessageSize=0", "maxMessageSize = 0: expected a value in 1..=8388608"),
        ("maxMessageSiz=1", "unknown key maxMessageSiz; did you mean maxMessageSize?"),
        (
            "sendMessageThreadPoolNums=4",
            "sendMessageThreadPoolNums has no effect here, so that it is not changed",
        ),
    ] {
        let both = format!("traceOn=true\nfileReservedTime=1\n{text}");
        assert_eq!(update(&fixture, &peer, &both).await, (1, want.to_owned()));
    }
    let want = (16, "Can not update config in black list.".to_owned());
    assert_eq!(update(&fixture, &peer, "brokerConfigPath=/x").await, want);
    assert_eq!(update(&fixture, &peer, "fileReservedTime=1\nconfigBlackList=").await, want);
    assert!(shown(&fixture, &peer, "fileReservedTime=72").await);
    assert_eq!(update(&fixture, &peer, "brokerName=broker-a").await, (0, String::new()));
    fixture.end().await;
}

/// Shows that topics and groups are created by use only while that is switched on, whichever way it was at the start.
#[tokio::test]
async fn creation_by_use_is_switched() {
    let fixture = Fixture::new();
    let peer = fixture.client(1, "c", "g").await;
    let text = "autoCreateTopicEnable=false\nautoCreateSubscriptionGroup=false";
    assert_eq!(update(&fixture, &peer, text).await.0, 0);
    let header = SendHeader {
        topic: "T".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 1,
        ..SendHeader::default()
    };
    let answer = fixture.call(&peer, RequestCode::SendMessage, &header, b"x").await;
    assert_eq!(answer.frame().code, 17);
    assert!(fixture.broker.groups.get_or_create("new", 1).is_none());
    fixture.broker.topics.remove("TBW102", 1);
    let text = "autoCreateTopicEnable=true\nautoCreateSubscriptionGroup=true";
    assert_eq!(update(&fixture, &peer, text).await.0, 0);
    let answer = fixture.call(&peer, RequestCode::SendMessage, &header, b"x").await;
    assert_eq!(answer.frame().code, 0);
    assert!(fixture.broker.groups.get_or_create("new", 1).is_some());
    fixture.end().await;
}
