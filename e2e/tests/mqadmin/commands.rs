//! The commands, each against both servers.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::Sides;
use crate::side::{BROKER_ADDR, GROUP, PRODUCER, Side, TOPIC};

pub(crate) const BROKER: &str = "broker-a";
/// How long the reference may take to see what it was told.
const ONCE_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Runs the same command on both sides; fails unless both print the same, and that is something.
pub(crate) fn same(sides: &Sides, command: &[&str]) -> Result<()> {
    let [java, apogee] = on_both(sides, |side| side.masked(command))?;
    let failed = java.contains("SubCommandException");
    ensure!(!failed, "{command:?} fails with the reference:\n{java}");
    same_text(java, apogee).with_context(|| format!("{command:?}"))
}

/// Fails unless both sides refuse the command with this code.
pub(crate) fn refused(sides: &Sides, command: &[&str], code: &str) -> Result<()> {
    on_both(sides, |side| {
        let text = side.run(command)?;
        ensure!(text.contains(code), "{command:?}: no {code} in {text}");
        Ok(())
    })
    .map(drop)
}

/// As [`same`], for a command that may print nothing.
pub(crate) fn equal(sides: &Sides, command: &[&str]) -> Result<()> {
    let [java, apogee] = on_both(sides, |side| side.masked(command))?;
    ensure!(java == apogee, "{command:?}\n--- java\n{java}\n--- apogee\n{apogee}");
    Ok(())
}

/// Does the same on both sides, at once.
pub(crate) fn on_both<T: Send>(
    sides: &Sides,
    act: impl Fn(&Side) -> Result<T> + Sync,
) -> Result<[T; 2]> {
    thread::scope(|scope| {
        let java = scope.spawn(|| act(&sides.java).context("on the reference's side"));
        let apogee = act(&sides.apogee).context("on our side")?;
        let java = java.join().map_err(|_| anyhow!("the reference's side panicked"))??;
        Ok([java, apogee])
    })
}

pub(crate) fn same_text(java: String, apogee: String) -> Result<()> {
    ensure!(java.lines().count() > 0, "the reference prints nothing");
    ensure!(java == apogee, "--- java\n{java}\n--- apogee\n{apogee}");
    Ok(())
}

/// Shows that brokers are listed with address, version and state, and with what came in and went
/// out today. The reference's POP service and timer wheel have no counterpart here: the load of the
/// one is `N`, and the other is no seconds behind.
pub(crate) fn cluster_list(sides: &Sides) -> Result<()> {
    let command = ["clusterList"];
    let java = sides.java.masked(&command)?.replace("|0,0ms)", "|N,Nms)");
    let wheel = "-0(<x>w,";
    let words = java.split(' ').map(|word| match word.strip_suffix(wheel) {
        Some(_) => format!("0{wheel}"),
        None => word.to_owned(),
    });
    let java = words.collect::<Vec<_>>().join(" ");
    same_text(java, sides.apogee.masked(&command)?)?;
    same(sides, &["clusterList", "-m"])
}

/// Shows that both name servers know the same topics, those of the system among them.
pub(crate) fn topic_list(sides: &Sides) -> Result<()> {
    same(sides, &["topicList"])?;
    same(sides, &["topicList", "-c"])
}

/// Shows that a topic's route is the same text and the same table.
pub(crate) fn topic_route(sides: &Sides) -> Result<()> {
    same(sides, &["topicRoute", "-t", TOPIC])?;
    same(sides, &["topicRoute", "-t", TOPIC, "-l"])
}

/// Shows that a topic's queues have the same offsets and times.
pub(crate) fn topic_status(sides: &Sides) -> Result<()> {
    same(sides, &["topicStatus", "-t", TOPIC])
}

/// Shows that a group is as far in each queue, that the members that own the queues are found by
/// asking them over the broker, and that the list of groups is the same.
pub(crate) fn consumer_progress(sides: &Sides) -> Result<()> {
    same(sides, &["consumerProgress", "-g", GROUP])?;
    same(sides, &["consumerProgress", "-g", GROUP, "-s", "true"])?;
    same(sides, &["consumerProgress"])
}

/// Shows that the members of a consumer group and what they subscribe to are listed.
pub(crate) fn consumer_connection(sides: &Sides) -> Result<()> {
    same(sides, &["consumerConnection", "-g", GROUP])
}

/// Shows that the members of a producer group are listed.
pub(crate) fn producer_connection(sides: &Sides) -> Result<()> {
    same(sides, &["producerConnection", "-g", PRODUCER, "-t", TOPIC])
}

/// Shows that clients of a broker are listed, and that what a member tells of itself, asked over
/// the broker, is printed: its subscription, its queues and how far it is.
pub(crate) fn clients(sides: &Sides) -> Result<()> {
    same(sides, &["producer", "-b", BROKER_ADDR])?;
    same(sides, &["consumerStatus", "-g", GROUP])?;
    same(sides, &["consumerStatus", "-g", GROUP, "-b", BROKER_ADDR])
}

/// Shows that topics are listed with who consumes them, how much is left, and how much came and
/// went: what is sent now is in the numbers of the day on both sides.
pub(crate) fn stats_all(sides: &Sides) -> Result<()> {
    let counted = "Counted";
    same(sides, &["updateTopic", "-b", BROKER_ADDR, "-t", counted, "-r", "1", "-w", "1"])?;
    same(sides, &["statsAll", "-t", counted])?;
    for body in ["one", "two", "three"] {
        same(sides, &["sendMessage", "-t", counted, "-p", body])?;
    }
    // The reference counts what it has seen at its last look, every 10 s, and a minute long.
    for command in [&["statsAll", "-a", "-t", counted][..], &["statsAll", "-t", counted]] {
        once(sides, command, " 3 ")?;
    }
    same(sides, &["deleteTopic", "-c", "DefaultCluster", "-t", counted])
}

/// Waits until both sides print `part`; fails unless they then print the same.
fn once(sides: &Sides, command: &[&str], part: &str) -> Result<()> {
    let [java, apogee] = on_both(sides, |side| {
        let end = Instant::now() + ONCE_LIMIT;
        loop {
            let text = side.masked(command)?;
            if text.contains(part) {
                return Ok(text);
            }
            ensure!(Instant::now() < end, "no {part:?} in {text}");
            thread::sleep(POLL);
        }
    })?;
    same_text(java, apogee).with_context(|| format!("{command:?}"))
}

/// Settings of the reference that a broker here does not have.
const NOT_EXPORTED: [&str; 6] =
    ["brokerRole", "cpuNum", "msgTraceTopicName", "slaveReadEnable", "traceTopicEnable", "useTLS"];

/// Shows that topics, groups and settings are written to files, with the same in them.
pub(crate) fn exports(sides: &Sides) -> Result<()> {
    let export = |command: &[&str], file: &str| -> Result<()> {
        same(sides, &[command, &["-c", "DefaultCluster", "-f", "."]].concat())?;
        let [java, apogee] = on_both(sides, |side| {
            let text = side.mask().text(&std::fs::read_to_string(side.dir().join(file))?);
            let has = |line: &&str| !NOT_EXPORTED.iter().any(|key| line.contains(key));
            Ok(text.lines().filter(has).collect::<Vec<_>>().join("\n"))
        })?;
        same_text(java, apogee).with_context(|| format!("{command:?}"))
    };
    export(&["exportMetadata"], "metadata.json")?;
    export(&["exportMetadata", "-t"], "topic.json")?;
    export(&["exportMetadata", "-g"], "subscriptionGroup.json")?;
    export(&["exportConfigs"], "configs.json")?;
    export(&["exportMetrics"], "metrics.json")
}

/// What a broker says of itself, by key.
pub(crate) fn table(text: &str, separator: &str) -> BTreeMap<String, String> {
    let rows = text.lines().filter_map(|line| line.split_once(separator));
    rows.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// Rows of `brokerStatus` that the data decides.
const DECIDED: [&str; 15] = [
    "brokerActive",
    "brokerVersionDesc",
    "commitLogMinOffset",
    "dispatchBehindBytes",
    "msgGetTotalTodayMorning",
    "msgGetTotalTodayNow",
    "msgGetTotalYesterdayMorning",
    "msgPutTotalTodayMorning",
    "msgPutTotalTodayNow",
    "msgPutTotalYesterdayMorning",
    "pageCacheLockTimeMills",
    "putMessageFailedTimes",
    "putMessageTimesTotal",
    "sendThreadPoolQueueSize",
    "pullThreadPoolQueueSize",
];
/// Rows of the reference that nothing here stands for.
const WITHOUT_COUNTERPART: [&str; 26] = [
    "EndTransactionQueueSize",
    "EndTransactionThreadPoolQueueCapacity",
    "ackThreadPoolQueueCapacity",
    "ackThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueSize",
    "dispatchMaxBuffer",
    "getMessageEntireTimeMax",
    "litePullThreadPoolQueueCapacity",
    "litePullThreadPoolQueueHeadWaitTimeMills",
    "litePullThreadPoolQueueSize",
    "putLatency99",
    "putLatency999",
    "putMessageDistributeTime",
    "putMessageEntireTimeMax",
    "queryThreadPoolQueueCapacity",
    "queryThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueSize",
    "remainTransientStoreBufferNumbs",
    "startAcceptSendRequestTimeStamp",
    "timerCongestNum",
    "timerDequeueTps",
    "timerEnqueueTps",
    "timerOffsetBehind",
    "timerReadBehind",
    "transferedByteInSecond",
    "zeroCopyReadCount",
];

/// Shows that a broker's state has every row of the reference but those that nothing here stands
/// for, that rows which the data decides are equal, and that the others have the same form.
pub(crate) fn broker_status(sides: &Sides) -> Result<()> {
    let rows = |side: &Side| -> Result<BTreeMap<String, String>> {
        let text = side.run(&["brokerStatus", "-b", BROKER_ADDR])?;
        // The directory of the log is part of a name.
        let rows = table(&text, ":").into_iter().map(|(key, value)| {
            let named = key.starts_with("commitLogDiskRatio_");
            (if named { "commitLogDiskRatio_<path>".to_owned() } else { key }, value)
        });
        Ok(rows.collect())
    };
    let [java, apogee] = on_both(sides, rows)?;
    let keys = |rows: &BTreeMap<String, String>| rows.keys().cloned().collect::<BTreeSet<_>>();
    let mut wanted = keys(&java);
    wanted.retain(|key| !WITHOUT_COUNTERPART.contains(&key.as_str()));
    // What the reference's 4.x brokers sent, and exporters still read.
    wanted.insert("brokerVersion".to_owned());
    // Why sends are refused.
    wanted.insert("sendsRefused".to_owned());
    ensure!(keys(&apogee) == wanted, "has {:?}, wanted {wanted:?}", keys(&apogee));
    for key in DECIDED {
        ensure!(java[key] == apogee[key], "{key}: {} and {}", java[key], apogee[key]);
    }
    for (key, value) in &apogee {
        if key.ends_with("Tps") {
            // Blank where the process has not run for as long as the rate is of.
            let numbers = value.split(' ').filter(|text| !text.is_empty());
            let numbers: Result<Vec<f64>, _> = numbers.map(str::parse).collect();
            ensure!(numbers.is_ok_and(|numbers| numbers.len() <= 3), "{key}: {value}");
        } else if let Some(want) = java.get(key) {
            ensure!(form(value) == form(want), "{key}: {want} and {value}");
        }
    }
    Ok(())
}

/// A text without its numbers and units of size.
fn form(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let letters: String = word.chars().filter(|c| !c.is_ascii_digit() && *c != '-').collect();
        match letters.trim_matches(['.', ',']) {
            "B" | "KiB" | "MiB" | "GiB" | "TiB" => letters.replace(char::is_alphabetic, ""),
            _ => letters,
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Settings that the reference does not tell of: its own is unset, or there is none. Its ratios of the disk
/// count here only when they are set.
const OWN_KEYS: [&str; 9] = [
    "commitLogDirtyBytesMax",
    "diskFullPolicy",
    "diskMaxUsedSpaceRatio",
    "diskReserveBytes",
    "diskSpaceCleanForciblyRatio",
    "diskSpaceWarningLevelRatio",
    "fileReservedBytes",
    "storePathCommitLog",
    "vipChannelEnabled",
];
/// Settings that say where a server is.
const PLACED: [&str; 3] = ["listenPort", "namesrvAddr", "storePathRootDir"];

/// Shows that each setting that a broker here tells of is one of the reference's, and has the value
/// that it has there under the same settings file, unless it says where the server is.
pub(crate) fn get_broker_config(sides: &Sides) -> Result<()> {
    let rows = |side: &Side| -> Result<BTreeMap<String, String>> {
        let text = side.run(&["getBrokerConfig", "-b", BROKER_ADDR])?;
        Ok(table(&text, "=  "))
    };
    let [java, apogee] = on_both(sides, rows)?;
    ensure!(apogee.len() > 20, "{apogee:?}");
    let mut differ = Vec::new();
    for (key, value) in apogee.iter().filter(|(key, _)| !OWN_KEYS.contains(&key.as_str())) {
        let (want, placed) = (java.get(key), PLACED.contains(&key.as_str()));
        if want != Some(value) && !(placed && want.is_some()) {
            differ.push(format!("{key}: {value}, there {want:?}"));
        }
    }
    ensure!(differ.is_empty(), "{}", differ.join("\n"));
    Ok(())
}

/// Shows that a message is found by its place in the log, with who has consumed it.
pub(crate) fn query_msg_by_id(sides: &Sides) -> Result<()> {
    found(sides, |side| {
        side.masked(&["queryMsgById", "-t", TOPIC, "-i", &side.sent(1, "offsetId")?])
    })
}

/// Shows that a message is found by its key, once the reference has put it into its index.
pub(crate) fn query_msg_by_key(sides: &Sides) -> Result<()> {
    once(sides, &["queryMsgByKey", "-t", TOPIC, "-k", "key-2"], "<id 2>")
}

/// Shows that a message is found by its unique key, with who has consumed it.
pub(crate) fn query_msg_by_unique_key(sides: &Sides) -> Result<()> {
    found(sides, |side| {
        side.masked(&["queryMsgByUniqueKey", "-t", TOPIC, "-i", &side.sent(3, "id")?])
    })
}

/// Shows that a message is found by its place in its queue, with who has consumed it.
pub(crate) fn query_msg_by_offset(sides: &Sides) -> Result<()> {
    found(sides, |side| {
        let (queue, offset) = (side.sent(5, "queue")?, side.sent(5, "offset")?);
        side.masked(&["queryMsgByOffset", "-t", TOPIC, "-b", BROKER, "-i", &queue, "-o", &offset])
    })
}

/// Fails unless both sides print the same message, and that it was consumed.
fn found(sides: &Sides, run: impl Fn(&Side) -> Result<String> + Sync) -> Result<()> {
    let [java, apogee] = on_both(sides, run)?;
    let track = apogee.lines().find(|line| line.contains("MessageTrack")).context("no track")?;
    ensure!(track.contains("CONSUMED"), "{track}");
    same_text(java, apogee)
}
