use std::net::SocketAddr;

use wire::body::ProducerData;

use super::*;

fn peer(id: u64) -> Arc<Peer> {
    let addr = SocketAddr::from(([127, 0, 0, 1], 1000 + id as u16));
    Peer::new(id, addr, addr)
}

fn heartbeat(client: &str, group: &str, expressions: &[(&str, &str)]) -> HeartbeatData {
    let subscriptions = expressions
        .iter()
        .map(|(topic, expression)| SubscriptionData {
            topic: (*topic).to_owned(),
            sub_string: (*expression).to_owned(),
            ..SubscriptionData::default()
        })
        .collect();
    HeartbeatData {
        client_id: client.to_owned(),
        producer_data_set: vec![ProducerData { group_name: "pg".to_owned() }],
        consumer_data_set: vec![ConsumerData {
            group_name: group.to_owned(),
            subscription_data_set: subscriptions,
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    }
}

fn beat(clients: &Clients, peer: &Arc<Peer>, now: u64, data: HeartbeatData) -> Changes {
    let now = Duration::from_secs(now);
    let sender = Sender { peer, language: Language::Java, version: 493, now };
    clients.heartbeat(&sender, data, &|group| group != "unknown")
}

/// Shows that members join once, are told of changes, and leave with their connection.
#[test]
fn members_join_and_leave() {
    let clients = Clients::new(&env::Memory::new(0).clients);
    let (one, two) = (peer(1), peer(2));
    let same = |client| heartbeat(client, "g", &[("T", "*")]);
    assert_eq!(beat(&clients, &one, 0, same("c1")).groups, ["g"]);
    assert!(beat(&clients, &one, 1, same("c1")).groups.is_empty());
    assert_eq!(beat(&clients, &two, 1, same("c2")).groups, ["g"]);
    assert_eq!(clients.peers_to_notify("g").len(), 2);
    let mut ids = clients.client_ids("g");
    ids.sort();
    assert_eq!(ids, ["c1", "c2"]);
    assert_eq!(clients.disconnected(2), ["g"]);
    assert!(clients.disconnected(2).is_empty());
    assert!(clients.unregister(1, Some("g"), Some("pg")).is_empty());
    assert!(clients.client_ids("g").is_empty());
}

/// Shows that members of which one does not subscribe to the group's retries yet do not disagree, and that one without
/// another topic does.
#[test]
fn retries_are_no_disagreement() {
    let clients = Clients::new(&env::Memory::new(0).clients);
    let (one, two) = (peer(1), peer(2));
    beat(&clients, &one, 0, heartbeat("c1", "g", &[("T", "A"), ("%RETRY%g", "*")]));
    let changes = beat(&clients, &two, 0, heartbeat("c2", "g", &[("T", "A")]));
    assert!(changes.inconsistent.is_empty());
    let changes = beat(&clients, &two, 1, heartbeat("c2", "g", &[("T", "A"), ("%RETRY%h", "*")]));
    assert_eq!(changes.inconsistent.len(), 1);
}

/// Shows that each member keeps its own subscription and that a disagreement is reported once.
#[test]
fn subscriptions_are_per_client() {
    let clients = Clients::new(&env::Memory::new(0).clients);
    let (one, two) = (peer(1), peer(2));
    beat(&clients, &one, 0, heartbeat("c1", "g", &[("T", "A")]));
    let changes = beat(&clients, &two, 0, heartbeat("c2", "g", &[("T", "B")]));
    assert_eq!(changes.inconsistent.len(), 1);
    assert!(
        changes.inconsistent[0].one.contains("T:A")
            && changes.inconsistent[0].other.contains("T:B")
    );
    let of = |peer: &Arc<Peer>| match clients.subscription(peer.id(), "g", "T") {
        Subscribed::Yes { data, .. } => data.sub_string.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((of(&one), of(&two)), ("A".to_owned(), "B".to_owned()));
    let again = beat(&clients, &two, 1, heartbeat("c2", "g", &[("T", "C")]));
    assert!(again.inconsistent.is_empty());
    assert_eq!(clients.subscription(1, "g", "U"), Subscribed::NoTopic);
    assert_eq!(clients.subscription(1, "nobody", "T"), Subscribed::NoGroup);
}

/// Shows that silent members expire after 120 s and the others stay, and that unknown groups are skipped.
#[test]
fn silent_members_expire() {
    let clients = Clients::new(&env::Memory::new(0).clients);
    let (one, two) = (peer(1), peer(2));
    beat(&clients, &one, 0, heartbeat("c1", "g", &[("T", "*")]));
    beat(&clients, &two, 60, heartbeat("c2", "g", &[("T", "*")]));
    assert!(clients.expire(Duration::from_secs(119)).0.is_empty());
    let (gone, groups) = clients.expire(Duration::from_secs(120));
    assert_eq!((gone.len(), groups), (1, vec!["g".to_owned()]));
    beat(&clients, &one, 0, heartbeat("c1", "unknown", &[("T", "*")]));
    assert!(clients.client_ids("unknown").is_empty());
}

/// Shows that a producer is found by its client id while it is in any group on that connection, and that of two
/// connections with one id the end of the older changes nothing.
#[test]
fn producers_are_found_by_client_id() {
    let clients = Clients::new(&env::Memory::new(0).clients);
    let (one, two) = (peer(1), peer(2));
    let in_group = |client: &str, group: &str| HeartbeatData {
        client_id: client.to_owned(),
        producer_data_set: vec![ProducerData { group_name: group.to_owned() }],
        ..HeartbeatData::default()
    };
    let found = |client: &str| clients.producer(client).map(|peer| peer.id());
    beat(&clients, &one, 0, in_group("c1", "pg"));
    beat(&clients, &one, 0, in_group("c1", "other"));
    clients.unregister(1, None, Some("pg"));
    assert_eq!(found("c1"), Some(1));
    beat(&clients, &two, 0, in_group("c1", "pg"));
    clients.disconnected(1);
    assert_eq!(found("c1"), Some(2));
    beat(&clients, &two, 0, in_group("c2", "pg"));
    assert_eq!((found("c1"), found("c2")), (None, Some(2)));
    clients.unregister(2, None, Some("pg"));
    assert_eq!((found("c2"), clients.registry.read().producer_ids.len()), (None, 0));
}

/// Shows what tools see of a group: its connections, of disagreeing members the newer subscription, who consumes a
/// topic, and nothing of groups without members.
#[test]
fn tools_see_members_and_subscriptions() {
    let clients = Clients::new(&env::Memory::new(0).clients);
    let (one, two) = (peer(1), peer(2));
    beat(&clients, &one, 10, heartbeat("c1", "g", &[("T", "A")]));
    let mut newer = heartbeat("c2", "g", &[("T", "B"), ("U", "*")]);
    newer.consumer_data_set[0].subscription_data_set[0].sub_version = 7;
    beat(&clients, &two, 20, newer);
    let seen = clients.consumer_connections("g").unwrap();
    let ids: Vec<_> =
        seen.connection_set.iter().map(|c| (&*c.client_id, &*c.client_addr)).collect();
    assert_eq!(ids, [("c1", "127.0.0.1:1001"), ("c2", "127.0.0.1:1002")]);
    assert_eq!(seen.subscription_table["T"].sub_string, "B");
    assert_eq!(clients.subscriptions("g").len(), 2);
    assert_eq!(clients.groups_of("U").into_iter().collect::<Vec<_>>(), ["g"]);
    assert_eq!(clients.consumer("g", "c2").unwrap().peer.id(), 2);
    assert!(clients.consumer("g", "c3").is_none() && clients.consumer("h", "c2").is_none());
    assert!(clients.consumer_connections("h").is_none() && clients.groups_of("V").is_empty());
    assert_eq!(clients.producer_connections("pg").unwrap().len(), 2);
    assert!(clients.producer_connections("other").is_none());
    let producers = clients.producers(Duration::from_secs(21), 100_000);
    let mut seen: Vec<_> = producers["pg"].iter().map(|p| p.last_update_timestamp).collect();
    seen.sort_unstable();
    assert_eq!(seen, [89_000, 99_000]);
}

/// Shows that what clients announce is bounded: a heartbeat beyond it is refused, those who are members stay so, and
/// the end of a connection makes room.
#[test]
fn announcements_are_bounded() {
    let memory = env::Memory::new(0);
    let clients = Clients::new(&memory.clients);
    let (one, two) = (peer(1), peer(2));
    let large = "x".repeat(memory.clients.limit() / 2);
    let topics = [("T", &*large), ("U", "*")];
    assert_eq!(beat(&clients, &one, 0, heartbeat("c1", "g", &topics)).full, None);
    let full = beat(&clients, &two, 0, heartbeat("c2", "g", &topics)).full.expect("no room");
    assert_eq!((full.limit, memory.clients.refused()), (memory.clients.limit() / 4 * 3, 1));
    assert_eq!(clients.client_ids("g"), ["c1"]);
    // Its next heartbeat costs nothing more, and one that says more leaves it as it was.
    assert_eq!(beat(&clients, &one, 100, heartbeat("c1", "g", &topics)).full, None);
    let more = [("T", &*large), ("U", &*large)];
    assert!(beat(&clients, &one, 150, heartbeat("c1", "g", &more)).full.is_some());
    assert!(clients.expire(Duration::from_secs(200)).0.iter().all(|peer| peer.id() != 1));
    assert!(
        matches!(clients.subscription(1, "g", "U"), Subscribed::Yes { data, .. } if data.sub_string == "*")
    );
    clients.disconnected(1);
    clients.disconnected(2);
    assert_eq!(memory.clients.used(), 0);
    assert_eq!(beat(&clients, &two, 0, heartbeat("c2", "g", &topics)).full, None);
}
