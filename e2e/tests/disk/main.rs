//! One data directory, handed from peer to peer: each opens what the one before wrote, shows the
//! same, and appends.
#![allow(clippy::disallowed_methods, reason = "drives real processes and files")]

mod apart;
mod damage;
mod delayed;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use apogee_e2e::cases::Cases;
use apogee_e2e::client::Client;
use apogee_e2e::frame::Connection;
use apogee_e2e::java::{self, REFERENCE, Settings};
use apogee_e2e::load::{self, Acked, Load, Shape};
use apogee_e2e::peer::{Cluster, Peer};
use apogee_e2e::record::Record;
use apogee_e2e::view::{Queue, View};
use serde_json::Value;

/// Messages that each peer sends one by one, and by batch.
const SINGLE: usize = 60;
const BATCH: usize = 5;
/// Acknowledged messages before a kill under load.
const STORM: usize = 1_000;
const GROUP: &str = "progress";
const SEND_BATCH: i64 = 320;

/// Files so small that the messages of one round fill several of each kind.
const SMALL_FILES: [(&str, &str); 4] = [
    // After a kill the reference derives from the last ten of these at most: what may not be derived yet, on a
    // busy machine, has to fit into them.
    ("mappedFileSizeCommitLog", "262144"),
    ("mappedFileSizeConsumeQueue", "1000"),
    ("maxHashSlotNum", "500"),
    ("maxIndexNum", "700"),
];

/// Default file sizes or small ones.
#[derive(Clone, Copy)]
enum Files {
    Stock,
    Small,
}

impl Files {
    fn settings(self) -> Settings {
        match self {
            Files::Stock => Settings::new(),
            Files::Small => owned(&SMALL_FILES),
        }
    }
}

fn owned(settings: &[(&str, &str)]) -> Settings {
    settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// How a peer ends before the next one opens its directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Stop,
    Kill,
    KillUnderLoad,
}

fn main() -> Result<ExitCode> {
    let routes: [(&str, &[Peer]); 3] = [
        ("java_java", &[Peer::Java, Peer::Java]),
        ("java_apogee_java", &[Peer::Java, Peer::Apogee, Peer::Java]),
        ("apogee_java_apogee", &[Peer::Apogee, Peer::Java, Peer::Apogee]),
    ];
    let ends = [
        ("stopped", End::Stop, Files::Stock),
        ("killed", End::Kill, Files::Stock),
        ("killed_under_load", End::KillUnderLoad, Files::Stock),
        ("small_files_stopped", End::Stop, Files::Small),
        ("small_files_killed_under_load", End::KillUnderLoad, Files::Small),
    ];
    let mut cases = Cases::default();
    let alone: (&str, &[Peer]) = ("apogee_apogee", &[Peer::Apogee, Peer::Apogee]);
    for (route, peers) in routes.into_iter().chain([alone]) {
        add(&mut cases, format!("{route}::log_elsewhere"), peers, move |dir| {
            apart::log_elsewhere(peers, dir)
        });
    }
    for (route, peers) in routes {
        for (name, end, files) in ends {
            add(&mut cases, format!("{route}::{name}"), peers, move |dir| {
                hand_over(peers, end, &files.settings(), dir)
            });
        }
    }
    let pairs: [(&str, &[Peer; 2]); 4] = [
        ("java_java", &[Peer::Java, Peer::Java]),
        ("java_apogee", &[Peer::Java, Peer::Apogee]),
        ("apogee_java", &[Peer::Apogee, Peer::Java]),
        ("apogee_apogee", &[Peer::Apogee, Peer::Apogee]),
    ];
    for (pair, peers) in pairs {
        for (name, kind) in [("garbage", damage::Kind::Garbage), ("flipped", damage::Kind::Flipped)]
        {
            add(&mut cases, format!("{pair}::{name}_at_the_end"), peers, move |dir| {
                damage::ends_the_log(*peers, kind, dir)
            });
        }
        add(&mut cases, format!("{pair}::delayed"), peers, move |dir| {
            delayed::pending_at_the_switch(*peers, dir)
        });
    }
    Ok(cases.run())
}

/// Adds a case with a directory of its own, if all its peers are selected.
fn add(
    cases: &mut Cases,
    name: String,
    peers: &[Peer],
    case: impl FnOnce(&Path) -> Result<()> + Send + 'static,
) {
    let selected = Peer::selected();
    if peers.iter().any(|peer| !selected.contains(peer)) {
        return;
    }
    let tool = java::missing_tool().filter(|_| peers.contains(&Peer::Java));
    let missing = tool.map(|tool| format!("{tool} is not installed"));
    let missing = missing.or_else(|| peers.iter().find_map(|peer| peer.missing()));
    cases.add(name, missing, move || case(tempfile::tempdir()?.path()));
}

/// Store-format checks 1 to 4: shows that each peer on the route finds everything that was there before, record for record and
/// byte for byte, at the same queue offsets, by key and by consumer progress, serves it to a Java
/// consumer, and goes on at the offsets that follow.
fn hand_over(peers: &[Peer], end: End, settings: &Settings, dir: &Path) -> Result<()> {
    let mut before: Option<Snapshot> = None;
    let mut storm: Vec<Acked> = Vec::new();
    for (round, &peer) in peers.iter().enumerate() {
        let place = || format!("{peer}, number {round} on this directory");
        let mut cluster = Cluster::start(peer, dir, settings).with_context(place)?;
        if let Some(before) = &before {
            let now = Snapshot::take(&cluster, round - 1).with_context(place)?;
            before.same_as(&now).with_context(place)?;
            check_storm(&cluster, round - 1, &storm, end).with_context(place)?;
        }
        append(&cluster, round).with_context(place)?;
        consume(&cluster, dir, round).with_context(place)?;
        let mut snapshot = Snapshot::take(&cluster, round).with_context(place)?;
        if let Some(before) = &before {
            before.continued_by(&snapshot).with_context(place)?;
        }
        match end {
            End::Stop => cluster.stop()?,
            End::Kill => cluster.kill()?,
            End::KillUnderLoad => {
                let load = Load::start(cluster.broker(), &storm_shape(round));
                load.wait_for(STORM)?;
                cluster.kill()?;
                storm = load.after_kill()?;
            }
        }
        cluster.check_log().with_context(place)?;
        if end != End::Stop {
            // Progress is written every few seconds: a crash takes a group back a little.
            snapshot.progress.clear();
        }
        before = Some(snapshot);
    }
    Ok(())
}

fn storm_shape(round: usize) -> Shape {
    Shape::new(&format!("storm-{round}"), "storm")
}

fn check_storm(cluster: &Cluster, round: usize, acked: &[Acked], end: End) -> Result<()> {
    if end != End::KillUnderLoad {
        return Ok(());
    }
    let shape = storm_shape(round);
    let queues = View::open(cluster.broker())?.topic(&shape.topic, shape.queues)?;
    load::check(&queues, acked, shape.body_bytes)?;
    Ok(())
}

/// Singles and a batch, and some progress of a group.
fn append(cluster: &Cluster, round: usize) -> Result<()> {
    load::send(cluster.broker(), &Shape::new("single", &format!("round{round}")), SINGLE)?;
    send_batch(cluster, round)?;
    let mut view = View::open(cluster.broker())?;
    view.join(GROUP, "single")?;
    for queue in 0..4 {
        let offset = i64::try_from(5 * (round + 1))? + i64::from(queue);
        view.commit(GROUP, "single", queue, offset)?;
    }
    Ok(())
}

/// A batch as a client encodes it: no count, each message with its length, and properties.
fn send_batch(cluster: &Cluster, round: usize) -> Result<()> {
    let mut body = Vec::new();
    for number in 0..BATCH {
        let text = format!("batch {round} {number}");
        let properties = format!("KEYS\u{1}batch-{round} shared\u{2}UNIQ_KEY\u{1}{text}\u{2}");
        let total = 4 + 4 + 4 + 4 + 4 + text.len() + 2 + properties.len();
        for word in [total, 0, 0, 0, text.len()] {
            body.extend_from_slice(&u32::try_from(word)?.to_be_bytes());
        }
        body.extend_from_slice(text.as_bytes());
        body.extend_from_slice(&u16::try_from(properties.len())?.to_be_bytes());
        body.extend_from_slice(properties.as_bytes());
    }
    let fields = [
        ("a", "load"),
        ("b", "batch"),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "1"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", "WAIT\u{1}true\u{2}"),
        ("j", "0"),
        ("k", "false"),
        ("m", "true"),
    ];
    let mut connection = Connection::open(cluster.broker(), std::time::Duration::from_secs(10))?;
    let answer = connection.call(SEND_BATCH, &fields, &body)?;
    ensure!(answer.code == 0, "{answer:?}");
    Ok(())
}

/// A Java consumer of a new group gets every single message of all rounds.
fn consume(cluster: &Cluster, dir: &Path, round: usize) -> Result<()> {
    let count = SINGLE * (round + 1);
    let (namesrv, expect) = (cluster.namesrv().to_string(), count.to_string());
    let group = format!("reader-{round}");
    let args =
        [("namesrv", &*namesrv), ("topic", "single"), ("group", &*group), ("expect", &*expect)];
    let results = Client::build(REFERENCE)?.run("Roundtrip", dir, &args)?;
    let got = results["got"].as_array().context("nothing received")?;
    ensure!(got.len() == count, "{} messages instead of {count}", got.len());
    let damaged = got.iter().find(|one| one["intact"] != Value::Bool(true));
    ensure!(damaged.is_none(), "damaged: {damaged:?}");
    Ok(())
}

/// What a broker shows of the topics that all rounds write to.
struct Snapshot {
    topics: BTreeMap<&'static str, BTreeMap<i32, Queue>>,
    found: BTreeMap<String, Vec<Record>>,
    progress: BTreeMap<i32, i64>,
}

impl Snapshot {
    fn take(cluster: &Cluster, last_round: usize) -> Result<Self> {
        let mut view = View::open(cluster.broker())?;
        let topics = ["single", "batch"]
            .into_iter()
            .map(|topic| Ok((topic, view.topic(topic, 4)?)))
            .collect::<Result<_>>()?;
        let mut keys = vec![("batch", "shared".to_owned(), BATCH * (last_round + 1))];
        for round in 0..=last_round {
            keys.push(("batch", format!("batch-{round}"), BATCH));
            keys.push(("single", format!("round{round}-7"), 1));
            keys.push(("single", format!("unique-round{round}-8"), 1));
        }
        let mut found = BTreeMap::new();
        for (topic, key, count) in keys {
            found.insert(key.clone(), wait_for_index(&mut view, topic, &key, count)?);
        }
        let progress = (0..4)
            .map(|queue| Ok((queue, view.committed(GROUP, "single", queue)?)))
            .collect::<Result<_>>()?;
        Ok(Self { topics, found, progress })
    }

    /// All that is here is there too, and nothing else.
    fn same_as(&self, other: &Self) -> Result<()> {
        ensure!(self.topics == other.topics, "records differ: {}", self.first_difference(other));
        ensure!(self.found == other.found, "the key index finds other records");
        for (queue, offset) in &self.progress {
            let other = other.progress.get(queue);
            ensure!(other == Some(offset), "progress of queue {queue}: {offset}, now {other:?}");
        }
        Ok(())
    }

    /// All that is here is there too, at the same place; more may follow.
    fn continued_by(&self, other: &Self) -> Result<()> {
        for (topic, queues) in &self.topics {
            for (id, queue) in queues {
                let now = &other.topics[topic][id];
                let kept = now.records.get(..queue.records.len()) == Some(&queue.records[..]);
                ensure!(kept && now.min == queue.min, "{topic} queue {id} is not a continuation");
            }
        }
        Ok(())
    }

    fn first_difference(&self, other: &Self) -> String {
        for (topic, queues) in &self.topics {
            for (id, queue) in queues {
                let now = &other.topics[topic][id];
                if (queue.min, queue.max) != (now.min, now.max) {
                    let (was, now) = (queue.min..queue.max, now.min..now.max);
                    return format!("{topic} queue {id} had offsets {was:?}, has {now:?}");
                }
                let pair = queue.records.iter().zip(&now.records).find(|(was, now)| was != now);
                if let Some((was, now)) = pair {
                    return format!("{topic} queue {id}: {was:?} became {now:?}");
                }
            }
        }
        "none".to_owned()
    }
}

/// The index follows the log: waits until as many records have the key as were sent with it.
fn wait_for_index(view: &mut View, topic: &str, key: &str, count: usize) -> Result<Vec<Record>> {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let found = view.by_key(topic, key)?;
        let late = std::time::Instant::now() > end;
        ensure!(!late, "{} of {count} records with key {key} in {topic}", found.len());
        if found.len() == count {
            return Ok(found);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
