//! The commands `topic`, `group`, `cluster`, `broker` and `message` as a script uses them: by their
//! JSON lines and exit codes.

use anyhow::{Context as _, Result, ensure};
use client::{ConsumeFrom, Consumed};
use serde_json::Value;

use crate::Context;
use crate::managing::{Ended, command};

/// Runs a command that must succeed; its lines.
async fn lines(context: &Context, words: &[&str]) -> Result<Vec<Value>> {
    let ended = command(context, words).await?;
    ensure!(ended.code == 0, "{words:?} ended with {}: {}", ended.code, ended.notes);
    Ok(ended.lines)
}

/// Runs a command that must fail with this code; what it says.
async fn fails(context: &Context, code: u8, words: &[&str]) -> Result<String> {
    let Ended { code: found, lines, notes } = command(context, words).await?;
    ensure!(found == code, "{words:?} ended with {found}, not {code}: {notes}{lines:?}");
    ensure!(notes.starts_with("error: "), "{words:?}: {notes}");
    Ok(notes)
}

/// Sums a number over lines.
fn sum(lines: &[Value], field: &str) -> u64 {
    lines.iter().filter_map(|line| line[field].as_u64()).sum()
}

/// Shows that a topic is created once, changed only in what is asked for, counted, and deleted only
/// when that is confirmed.
pub(crate) async fn topics_by_command(context: &Context) -> Result<()> {
    let topic = &*context.name("topic");
    lines(context, &["topic", "create", topic, "--queues", "4"]).await?;
    let error = fails(context, 1, &["topic", "create", topic]).await?;
    ensure!(error.contains("topic update"), "{error}");
    let update = ["topic", "update", topic, "--write-queues", "2"];
    let dry = lines(context, &[&update[..], &["--dry-run"]].concat()).await?;
    let shown = lines(context, &update).await?;
    ensure!(dry == shown && shown.len() == 1, "{dry:?} {shown:?}");
    ensure!(shown[0]["key"] == "writeQueueNums", "{shown:?}");
    ensure!(shown[0]["old"] == "4" && shown[0]["new"] == "2", "{shown:?}");
    ensure!(lines(context, &update).await?.is_empty(), "a change is made twice");
    let update = ["topic", "update", topic, "--attribute", "+message.type=FIFO"];
    lines(context, &update).await?;
    let unknown = ["topic", "update", topic, "--attribute", "+no.such.attribute=1"];
    fails(context, 1, &unknown).await?;
    lines(context, &["topic", "update", topic, "--attribute", "-message.type"]).await?;
    lines(context, &["send", topic, "hello", "--count", "6"]).await?;
    let stats = lines(context, &["topic", "stats", topic]).await?;
    ensure!(stats.len() == 4 && sum(&stats, "maxOffset") == 6, "{stats:?}");
    let written = stats.iter().filter(|line| line["lastStoreTime"].is_string()).count();
    ensure!(written == 2, "sends go to the two queues that may be written: {stats:?}");
    let error = fails(context, 2, &["topic", "delete", topic]).await?;
    ensure!(error.contains(topic) && error.contains("--yes"), "{error}");
    ensure!(lines(context, &["topic", "describe", topic]).await?.len() == 4);
    lines(context, &["topic", "delete", topic, "--yes"]).await?;
    fails(context, 4, &["topic", "stats", topic]).await?;
    fails(context, 4, &["topic", "create", topic, "--cluster", "no-such-cluster"]).await?;
    fails(context, 4, &["topic", "create", topic, "--broker", "no-such-broker"]).await?;
    fails(context, 1, &["topic", "create", "no topic"]).await?;
    Ok(())
}

/// Shows that groups are created, listed with their members, described with their lag, changed only
/// in what is asked for, and deleted with their offsets.
pub(crate) async fn groups_by_command(context: &Context) -> Result<()> {
    let (topic, group) = (&*context.name("topic"), &*context.name("group"));
    lines(context, &["topic", "create", topic, "--queues", "2"]).await?;
    fails(context, 4, &["group", "lag", group]).await?;
    fails(context, 4, &["group", "describe", group]).await?;
    lines(context, &["group", "create", group, "--retries", "3"]).await?;
    fails(context, 1, &["group", "create", group]).await?;
    let update = ["group", "update", group, "--retries", "5", "--orderly", "true"];
    let shown = lines(context, &update).await?;
    let keys: Vec<&str> = shown.iter().filter_map(|line| line["key"].as_str()).collect();
    ensure!(keys == ["consumeMessageOrderly", "retryMaxTimes"], "{shown:?}");
    ensure!(lines(context, &update).await?.is_empty(), "a change is made twice");
    lines(context, &["send", topic, "hello", "--count", "5"]).await?;
    lines(context, &["consume", topic, "--group", group, "--no-follow"]).await?;
    lines(context, &["send", topic, "hello", "--count", "3"]).await?;
    let lag = lines(context, &["group", "lag", group, "--topic", topic]).await?;
    ensure!(lag.len() == 2 && sum(&lag, "lag") == 3, "{lag:?}");
    ensure!(sum(&lag, "committedOffset") == 5 && sum(&lag, "maxOffset") == 8, "{lag:?}");

    let client = context.client()?;
    let consumer = client.push_consumer(group).subscribe(topic, "t1 || t2");
    let consumer = consumer.concurrently(async |_| Consumed::Success).await?;
    let listed = lines(context, &["group", "list"]).await?;
    let found = listed.iter().find(|line| line["group"] == group).context("group is not listed")?;
    ensure!(found["members"] == 1, "{found}");
    let described = lines(context, &["group", "describe", group]).await?;
    let [described] = &described[..] else { anyhow::bail!("{described:?}") };
    ensure!(described["members"][0]["clientId"] == client.id(), "{described}");
    ensure!(described["brokers"][0]["config"]["retryMaxTimes"] == 5, "{described}");
    let subscriptions = described["subscriptions"].as_array().context("subscriptions")?;
    let one = subscriptions.iter().find(|one| one["topic"] == topic).context("subscription")?;
    ensure!(one["subString"] == "t1 || t2", "{one}");
    consumer.close().await;
    client.close().await;

    let error = fails(context, 2, &["group", "delete", group]).await?;
    ensure!(error.contains(group) && error.contains("--yes"), "{error}");
    lines(context, &["group", "delete", group, "--yes"]).await?;
    let listed = lines(context, &["group", "list"]).await?;
    ensure!(listed.iter().all(|line| line["group"] != group), "{listed:?}");
    fails(context, 4, &["group", "update", group, "--retries", "5"]).await?;
    Ok(())
}

/// Shows that a reset does what its dry run said, to each kind of place, for a group without members,
/// and that a member that reads meanwhile goes on from there.
pub(crate) async fn offsets_by_command(context: &Context) -> Result<()> {
    let (topic, group) = (&*context.name("topic"), &*context.name("group"));
    lines(context, &["topic", "create", topic, "--queues", "2"]).await?;
    lines(context, &["send", topic, "one", "--count", "4"]).await?;
    lines(context, &["consume", topic, "--group", group, "--no-follow"]).await?;
    let reset = ["group", "reset-offset", group, "--topic", topic, "--to"];
    let queue = lines(context, &["topic", "describe", topic]).await?[0]["broker"].clone();
    let queue = format!("{}#0", queue.as_str().context("a broker's name")?);
    for (to, more, lag) in [
        ("first", &[][..], 4),
        ("last", &[], 0),
        ("1h", &[], 4),
        ("2099-01-01", &[], 0),
        ("1", &["--queue", &queue], 1),
    ] {
        let words = [&reset[..], &[to], more].concat();
        let before = lines(context, &["group", "lag", group, "--topic", topic]).await?;
        let plan = lines(context, &[&words[..], &["--dry-run"]].concat()).await?;
        ensure!(plan.len() == if more.is_empty() { 2 } else { 1 }, "{words:?}: {plan:?}");
        let after = lines(context, &["group", "lag", group, "--topic", topic]).await?;
        ensure!(sum(&before, "lag") == sum(&after, "lag"), "a dry run changed something");
        fails(context, 2, &words).await?;
        ensure!(lines(context, &[&words[..], &["--yes"]].concat()).await? == plan, "{plan:?}");
        let after = lines(context, &["group", "lag", group, "--topic", topic]).await?;
        ensure!(sum(&after, "lag") == lag, "--to {to}: {after:?}");
        for step in &plan {
            let queue =
                after.iter().find(|line| line["queue"] == step["queue"]).context("queue")?;
            ensure!(queue["committedOffset"] == step["newOffset"], "{step} became {queue}");
        }
    }
    let error = fails(context, 1, &[&reset[..], &["99", "--yes"]].concat()).await?;
    ensure!(error.contains("offset 99 is outside"), "{error}");
    fails(context, 4, &["group", "reset-offset", "none", "--topic", topic, "--to", "first"])
        .await?;
    let no_queue = [&reset[..], &["first", "--queue", "no-such-broker#0"]].concat();
    fails(context, 4, &no_queue).await?;

    // A running member hears of it with its next pull. Another group: the reference forgets a reset that
    // a held pull of a member takes along which has gone meanwhile.
    let group = &*context.name("running");
    let client = context.client()?;
    let seen = crate::Seen::default();
    let sink = seen.clone();
    let builder = client.push_consumer(group).subscribe(topic, "*").from(ConsumeFrom::First);
    let consumer = builder.concurrently(move |messages| {
        sink.add(messages);
        async { Consumed::Success }
    });
    let consumer = consumer.await?;
    crate::until("all messages are consumed", || seen.len() == 4).await?;
    let reset = ["group", "reset-offset", group, "--topic", topic, "--to", "first", "--yes"];
    lines(context, &reset).await?;
    crate::until("all messages come again", || seen.len() == 8).await?;
    consumer.close().await;
    client.close().await;
    Ok(())
}

/// Shows that clusters and brokers are listed, described and found well, that settings are read and
/// changed by key, and what is wrong is named.
pub(crate) async fn brokers_by_command(context: &Context) -> Result<()> {
    let clusters = lines(context, &["cluster", "list"]).await?;
    let cluster = clusters[0]["cluster"].as_str().context("a cluster's name")?;
    let broker = clusters[0]["brokers"][0].as_str().context("a broker's name")?;
    let described = lines(context, &["cluster", "describe", cluster]).await?;
    let address = described[0]["address"].as_str().context("an address")?;
    ensure!(address == context.shared.cluster()?.broker().to_string(), "{described:?}");
    // Rates are missing until a broker has counted for a while.
    ensure!(described[0]["version"] == "V5_4_0", "{described:?}");
    let ratio = described[0]["commitLogDiskRatio"].as_f64();
    ensure!(ratio.is_some_and(|ratio| (0.0..1.0).contains(&ratio)), "{described:?}");
    fails(context, 4, &["cluster", "describe", "no-such-cluster"]).await?;
    let checks = lines(context, &["cluster", "health"]).await?;
    ensure!(checks.len() == 4 && checks.iter().all(|check| check["state"] == "ok"), "{checks:?}");

    let listed = lines(context, &["broker", "list"]).await?;
    ensure!(listed.len() == 1 && listed[0]["broker"] == broker, "{listed:?}");
    for name in [broker, address] {
        let status = lines(context, &["broker", "status", name]).await?;
        ensure!(status[0]["brokerVersionDesc"] == "V5_4_0", "{status:?}");
    }
    fails(context, 4, &["broker", "status", "no-such-broker"]).await?;
    fails(context, 6, &["broker", "status", "127.0.0.1:1"]).await?;

    let get = ["broker", "config", "get", broker, "fileReservedTime"];
    let before = lines(context, &get).await?[0]["fileReservedTime"].clone();
    let before = before.as_str().context("a text")?;
    let set = ["broker", "config", "set", broker];
    let dry = [&set[..], &["fileReservedTime=71", "--dry-run"]].concat();
    ensure!(lines(context, &dry).await?[0]["old"] == before);
    ensure!(lines(context, &get).await?[0]["fileReservedTime"] == before, "a dry run changed it");
    lines(context, &[&set[..], &["fileReservedTime=71"]].concat()).await?;
    ensure!(lines(context, &get).await?[0]["fileReservedTime"] == "71");
    lines(context, &[&set[..], &[&*format!("fileReservedTime={before}")]].concat()).await?;
    for words in [
        [&set[..], &["noSuchKey=1"]].concat(),
        ["broker", "config", "get", broker, "noSuchKey"].to_vec(),
    ] {
        let error = fails(context, 4, &words).await?;
        ensure!(error.contains("noSuchKey") && error.contains(broker), "{error}");
    }
    ensure!(lines(context, &["broker", "config", "get", broker]).await?[0]["brokerName"] == broker);
    Ok(())
}

/// Shows that a message is found by both of its ids, by key and by offset, and that what is not there
/// is said to be missing.
pub(crate) async fn messages_by_command(context: &Context) -> Result<()> {
    let topic = &*context.name("topic");
    lines(context, &["topic", "create", topic, "--queues", "1"]).await?;
    let sent = lines(context, &["send", topic, "found me", "--key", "k1", "--key", "k2"]).await?;
    lines(context, &["send", topic, "other", "--key", "k3"]).await?;
    let text = |field: &str| sent[0][field].as_str().map(str::to_owned).context("a text");
    let (unique, at) = (text("messageId")?, text("offsetMessageId")?);
    let queue = format!("{topic}@{}#0", text("broker")?);
    for words in [
        &["message", "by-id", &at][..],
        &["message", "by-id", &at, "--topic", topic],
        &["message", "by-id", &unique, "--topic", topic],
        &["message", "by-unique-key", topic, &unique],
        &["message", "by-key", topic, "k2"],
        &["message", "by-key", topic, "k1", "--from", "1h"],
        &["message", "by-offset", &queue, "0"],
    ] {
        let found = lines(context, words).await?;
        ensure!(found.len() == 1 && found[0]["body"] == "found me", "{words:?}: {found:?}");
        ensure!(found[0]["messageId"] == *unique && found[0]["key"] == "k1 k2", "{found:?}");
    }
    fails(context, 4, &["message", "by-id", &unique]).await?;
    fails(context, 4, &["message", "by-key", topic, "k"]).await?;
    fails(context, 4, &["message", "by-key", topic, "k1", "--from", "2099-01-01"]).await?;
    fails(context, 4, &["message", "by-offset", &queue, "2"]).await?;
    fails(context, 4, &["message", "by-unique-key", "no-such-topic", &unique]).await?;
    Ok(())
}

/// Shows that a send of nothing, and a member of a group that should begin at an offset, end with the
/// code of a wrong command line, and that the topic is not even created.
pub(crate) async fn useless_command_lines_end_with_2(context: &Context) -> Result<()> {
    let topic = &*context.name("topic");
    let error = fails(context, 2, &["send", topic]).await?;
    ensure!(error.contains("nothing to send"), "{error}");
    let consume = ["consume", topic, "--group", "g", "--from", "42", "--count", "1"];
    let error = fails(context, 2, &consume).await?;
    ensure!(error.contains("--from OFFSET"), "{error}");
    fails(context, 4, &["topic", "describe", topic]).await?;
    Ok(())
}
