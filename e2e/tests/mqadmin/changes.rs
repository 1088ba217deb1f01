//! Commands that change something; each case takes back what it did, so that the next finds what
//! the first one found.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::Sides;
use crate::commands::{BROKER, equal, on_both, refused, same, same_text, table};
use crate::side::{BROKER_ADDR, GROUP, TOPIC};

const CLUSTER: &str = "DefaultCluster";

/// Shows that topics are created at one broker and in a cluster, changed, given as a list, and
/// deleted, with the same words and the same routes.
pub(crate) fn topics(sides: &Sides) -> Result<()> {
    same(sides, &["updateTopic", "-b", BROKER_ADDR, "-t", "Changed", "-r", "3", "-w", "2"])?;
    same(sides, &["topicRoute", "-t", "Changed"])?;
    let ordered = ["-o", "true", "-p", "4", "-a", "+message.type=FIFO"];
    let in_cluster = ["updateTopic", "-c", CLUSTER, "-t", "Changed"];
    same(sides, &[&in_cluster[..], &ordered[..]].concat())?;
    same(sides, &["updateOrderConf", "-m", "get", "-t", "Changed"])?;
    same(sides, &["updateOrderConf", "-m", "delete", "-t", "Changed"])?;
    same(sides, &["topicRoute", "-t", "Changed"])?;
    same(sides, &["updateTopicPerm", "-c", CLUSTER, "-t", "Changed", "-p", "6"])?;
    same(sides, &["updateTopicPerm", "-b", BROKER_ADDR, "-t", "Changed", "-p", "6"])?;
    same(sides, &["topicRoute", "-t", "Changed"])?;
    same(sides, &["topicStatus", "-t", "Changed"])?;
    same(sides, &["topicClusterList", "-t", "Changed"])?;
    same(sides, &["allocateMQ", "-t", "Changed", "-i", "one,two,three"])?;
    let listed = r#"[{"topicName":"Listed","readQueueNums":1,"writeQueueNums":1,"perm":6},
        {"topicName":"Changed","readQueueNums":5,"writeQueueNums":5,"perm":6}]"#;
    on_both(sides, |side| Ok(fs::write(side.dir().join("topics.json"), listed)?))?;
    same(sides, &["updateTopicList", "-b", BROKER_ADDR, "-f", "topics.json"])?;
    for topic in ["Changed", "Listed"] {
        same(sides, &["topicRoute", "-t", topic])?;
        same(sides, &["deleteTopic", "-c", CLUSTER, "-t", topic])?;
        refused(sides, &["topicStatus", "-t", topic], "CODE: 17")?;
    }
    same(sides, &["topicList"])
}

/// Shows that groups are created at one broker and in a cluster, changed, given as a list, and
/// deleted, with the same words and the same settings.
pub(crate) fn groups(sides: &Sides) -> Result<()> {
    let settings = ["-r", "3", "-q", "2", "-d", "true", "-a", "false", "-o", "true"];
    let at_broker = ["updateSubGroup", "-b", BROKER_ADDR, "-g", "changed"];
    same(sides, &[&at_broker[..], &settings[..]].concat())?;
    same(sides, &["getConsumerConfig", "-g", "changed"])?;
    let policy = r#"{"type":"CUSTOMIZED","customizedRetryPolicy":{"next":[1000,5000]}}"#;
    same(sides, &["updateSubGroup", "-c", CLUSTER, "-g", "changed", "-s", "false", "-p", policy])?;
    same(sides, &["getConsumerConfig", "-g", "changed"])?;
    let listed = r#"[{"groupName":"listed","retryMaxTimes":5}]"#;
    on_both(sides, |side| Ok(fs::write(side.dir().join("groups.json"), listed)?))?;
    same(sides, &["updateSubGroupList", "-b", BROKER_ADDR, "-f", "groups.json"])?;
    same(sides, &["getConsumerConfig", "-g", "listed"])?;
    same(sides, &["deleteSubGroup", "-b", BROKER_ADDR, "-g", "listed", "-r", "true"])?;
    same(sides, &["deleteSubGroup", "-c", CLUSTER, "-g", "changed"])?;
    equal(sides, &["getConsumerConfig", "-g", "listed"])?;
    equal(sides, &["getConsumerConfig", "-g", "changed"])?;
    same(sides, &["topicList"])
}

/// Shows that a setting of a broker is changed, in effect, and refused where it is read-only.
pub(crate) fn broker_settings(sides: &Sides) -> Result<()> {
    for value in ["false", "true"] {
        let change = ["-k", "autoCreateTopicEnable", "-v", value];
        let command = ["updateBrokerConfig", "-b", BROKER_ADDR];
        same(sides, &[&command[..], &change[..]].concat())?;
        on_both(sides, |side| {
            let text = side.run(&["getBrokerConfig", "-b", BROKER_ADDR])?;
            let rows = table(&text, "=  ");
            let is = rows.get("autoCreateTopicEnable").context("no such row")?;
            ensure!(is == value, "{is}, wanted {value}");
            Ok(())
        })?;
    }
    same(sides, &["updateBrokerConfig", "-c", CLUSTER, "-k", "autoCreateTopicEnable", "-v", "true"])
}

/// Shows that a group's offsets are copied to another, moved by time, to a place and to the end,
/// with members and without.
pub(crate) fn offsets(sides: &Sides) -> Result<()> {
    let copy = "copied";
    same(sides, &["updateSubGroup", "-b", BROKER_ADDR, "-g", copy])?;
    same(sides, &["cloneGroupOffset", "-s", GROUP, "-d", copy, "-t", TOPIC])?;
    let progress = ["consumerProgress", "-g", copy, "-t", TOPIC];
    same(sides, &progress)?;
    let reset = ["resetOffsetByTime", "-g", copy, "-t", TOPIC, "-s"];
    same(sides, &[&reset[..], &["0"]].concat())?;
    same(sides, &progress)?;
    same(sides, &[&reset[..], &["now"]].concat())?;
    same(sides, &progress)?;
    same(sides, &[&reset[..], &["now", "-b", BROKER_ADDR, "-q", "1", "-o", "1"]].concat())?;
    same(sides, &progress)?;
    same(sides, &["skipAccumulatedMessage", "-g", copy, "-t", TOPIC])?;
    same(sides, &progress)?;
    same(sides, &["brokerConsumeStats", "-b", BROKER_ADDR])?;
    same(sides, &["deleteSubGroup", "-b", BROKER_ADDR, "-g", copy, "-r", "true"])?;
    // The members of this one are asked; they have consumed all, so that nothing comes again.
    same(sides, &["resetOffsetByTime", "-g", GROUP, "-t", TOPIC, "-s", "now"])?;
    refused(sides, &["resetOffsetByTime", "-g", "nobody", "-t", TOPIC, "-s", "now"], "CODE: 26")
}

/// Shows that messages are sent, read by place, time and tag, and that their queue units are told.
pub(crate) fn messages(sides: &Sides) -> Result<()> {
    let topic = "Printed";
    same(sides, &["updateTopic", "-b", BROKER_ADDR, "-t", topic, "-r", "2", "-w", "2"])?;
    let send = ["sendMessage", "-t", topic, "-p"];
    let queue = ["-b", BROKER, "-i", "1"];
    same(sides, &[&send[..], &["first"], &queue[..]].concat())?;
    same(sides, &[&send[..], &["second", "-k", "key-9", "-c", "TagB"], &queue[..]].concat())?;
    same(sides, &[&send[..], &["third", "-c", "TagA"], &queue[..]].concat())?;
    same(sides, &["topicStatus", "-t", topic])?;
    let consume = ["consumeMessage", "-t", topic];
    same(sides, &consume)?;
    same(sides, &[&consume[..], &["-b", BROKER, "-i", "1", "-o", "1", "-c", "1"]].concat())?;
    same(sides, &[&consume[..], &queue[..], &["-o", "9"]].concat())?;
    same(sides, &["printMsg", "-t", topic])?;
    same(sides, &["printMsg", "-t", topic, "-s", "TagA", "-d", "false"])?;
    let by_queue = ["printMsgByQueue", "-t", topic, "-a", BROKER, "-i", "1"];
    same(sides, &[&by_queue[..], &["-p", "true", "-d", "true", "-f", "true"]].concat())?;
    same(sides, &["queryCq", "-t", topic, "-q", "1", "-i", "0", "-b", BROKER_ADDR])?;
    sent_quickly(sides, &["checkMsgSendRT", "-t", topic, "-a", "4", "-s", "64"])?;
    same(sides, &["deleteTopic", "-c", CLUSTER, "-t", topic])
}

/// Runs `checkMsgSendRT`, whose last column is a time in whole milliseconds.
fn sent_quickly(sides: &Sides, command: &[&str]) -> Result<()> {
    let [java, apogee] = on_both(sides, |side| {
        let text = side.masked(command)?;
        let rows = text.lines().map(|line| line.trim_end_matches(|c: char| c.is_ascii_digit()));
        Ok(rows.collect::<Vec<_>>().join("\n"))
    })?;
    same_text(java, apogee)
}

/// Shows that the key-value configuration is put, read back as order of a topic, and deleted.
pub(crate) fn kv_config(sides: &Sides) -> Result<()> {
    same(sides, &["updateKvConfig", "-s", "Namespace", "-k", "key", "-v", "a value"])?;
    same(sides, &["deleteKvConfig", "-s", "Namespace", "-k", "key"])?;
    same(sides, &["updateOrderConf", "-m", "put", "-t", TOPIC, "-v", "broker-a:4;broker-b:2"])?;
    same(sides, &["topicRoute", "-t", TOPIC])?;
    same(sides, &["updateOrderConf", "-m", "get", "-t", TOPIC])?;
    same(sides, &["updateOrderConf", "-m", "delete", "-t", TOPIC])?;
    refused(sides, &["updateOrderConf", "-m", "get", "-t", TOPIC], "CODE: 22")?;
    same(sides, &["topicRoute", "-t", TOPIC])
}

/// Shows that a broker is taken out of writing and put back, in the routes of all its topics.
pub(crate) fn write_permission(sides: &Sides) -> Result<()> {
    let topics = |text: String| -> Result<String> {
        // The reference has topics of its own; how many were touched differs.
        Ok(text.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned())
    };
    for command in ["wipeWritePerm", "addWritePerm"] {
        let command = [command, "-b", BROKER];
        let (java, apogee) = (sides.java.masked(&command)?, sides.apogee.masked(&command)?);
        ensure!(topics(java.clone())? == topics(apogee.clone())?, "{java} and {apogee}");
        same(sides, &["topicRoute", "-t", TOPIC])?;
    }
    Ok(())
}

/// Shows that a name server's settings are told, each with the value that it has there, unless it
/// says where the server is, and that a changed one is in effect: the order of a topic is in its
/// route, then no longer.
pub(crate) fn namesrv_settings(sides: &Sides) -> Result<()> {
    let [java, apogee] =
        on_both(sides, |side| Ok(table(&side.run(&["getNamesrvConfig"])?, "=  ")))?;
    ensure!(apogee.len() > 3, "{apogee:?}");
    for (key, value) in &apogee {
        let want = java.get(key);
        let placed = ["kvConfigPath", "configStorePath", "listenPort"].contains(&&**key);
        ensure!(want.is_some() && (placed || want == Some(value)), "{key}: {value}, {want:?}");
    }
    same(sides, &["updateOrderConf", "-m", "put", "-t", TOPIC, "-v", "broker-a:4"])?;
    for value in ["true", "false"] {
        same(sides, &["updateNamesrvConfig", "-k", "orderMessageEnable", "-v", value])?;
        same(sides, &["topicRoute", "-t", TOPIC])?;
        let [_, route] = on_both(sides, |side| side.run(&["topicRoute", "-t", TOPIC]))?;
        ensure!(route.contains("\"broker-a:4\"") == (value == "true"), "{value}: {route}");
    }
    same(sides, &["updateOrderConf", "-m", "delete", "-t", TOPIC])
}

/// Shows that a broker and a cluster are told to clean up, and that nothing which is in use goes.
pub(crate) fn cleaning(sides: &Sides) -> Result<()> {
    for command in ["cleanUnusedTopic", "cleanExpiredCQ", "deleteExpiredCommitLog"] {
        same(sides, &[command, "-b", BROKER_ADDR])?;
        same(sides, &[command, "-c", CLUSTER])?;
    }
    same(sides, &["topicStatus", "-t", TOPIC])?;
    same(sides, &["topicList"])
}
