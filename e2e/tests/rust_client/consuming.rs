//! Consumers.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use apogee_e2e::client::Client as JavaClient;
use apogee_e2e::java::REFERENCE;
use client::{Client, ConsumeFrom, Consumed, Message, Model, Ordered, Position, PushConsumer};

use crate::sending::read_all;
use crate::{Context, Seen, body, sorted, texts, until};

async fn send(client: &Client, topic: &str, bodies: &[String]) -> Result<()> {
    let producer = client.producer("senders")?;
    for text in bodies {
        producer.send(Message::new(topic, text.clone())).await?;
    }
    Ok(())
}

/// A member that collects what it gets.
async fn member(client: &Client, group: &str, topic: &str, seen: &Seen) -> Result<PushConsumer> {
    let seen = seen.clone();
    let builder = client.push_consumer(group).subscribe(topic, "*").from(ConsumeFrom::First);
    let consumer = builder.concurrently(move |messages| {
        seen.add(messages);
        async { Consumed::Success }
    });
    Ok(consumer.await?)
}

/// Shows that two members of a group share the queues of a topic so that each queue has one owner,
/// and that the one that stays takes over everything when the other closes.
pub(crate) async fn two_members_share_a_topic(context: &Context) -> Result<()> {
    let (one, two) = (context.client()?, context.client()?);
    let topic = context.topic(&one, 8).await?;
    let group = context.name("group");
    let (seen_one, seen_two) = (Seen::default(), Seen::default());
    let first = member(&one, &group, &topic, &seen_one).await?;
    let of_topic = |consumer: &PushConsumer| {
        let queues = consumer.assigned().into_iter().map(|(queue, _)| queue);
        queues.filter(|queue| *queue.topic == *topic).collect::<BTreeSet<_>>()
    };
    until("the only member reads all queues", || of_topic(&first).len() == 8).await?;
    let second = member(&two, &group, &topic, &seen_two).await?;
    until("both read half of the queues", || {
        of_topic(&first).len() == 4 && of_topic(&second).len() == 4
    })
    .await?;
    ensure!(of_topic(&first).is_disjoint(&of_topic(&second)), "a queue has two owners");
    send(&one, &topic, &texts("shared", 40)).await?;
    until("all messages", || seen_one.len() + seen_two.len() >= 40).await?;
    ensure!(sorted([seen_one.bodies(), seen_two.bodies()].concat()) == texts("shared", 40));
    ensure!(seen_one.len() > 0 && seen_two.len() > 0, "one member got everything");
    second.close().await;
    until("the member that stays reads all queues", || of_topic(&first).len() == 8).await?;
    send(&one, &topic, &texts("alone", 16)).await?;
    let alone = || seen_one.bodies().iter().filter(|text| text.starts_with("alone")).count();
    until("it gets everything", || alone() == 16).await?;
    first.close().await;
    one.close().await;
    two.close().await;
    Ok(())
}

/// Shows that a Java member and a Rust member of one group compute complementary shares, both when
/// the Java member joins and after it was killed.
pub(crate) async fn a_group_is_shared_with_java(context: &Context) -> Result<()> {
    let client = context.client()?;
    let (topic, group) = (context.topic(&client, 7).await?, context.name("group"));
    let seen = Seen::default();
    let rust = member(&client, &group, &topic, &seen).await?;
    let ours = || {
        let queues = rust.assigned().into_iter().map(|(queue, _)| queue);
        queues.filter(|queue| *queue.topic == *topic).map(|queue| queue.id).collect::<BTreeSet<_>>()
    };
    until("the Rust member reads all queues", || ours().len() == 7).await?;
    let java = JavaClient::build(REFERENCE)?;
    let namesrv = context.shared.cluster()?.namesrv().to_string();
    let args = [("namesrv", &*namesrv), ("topic", &*topic), ("group", &*group)];
    let dir = context.shared.case_dir("java-member")?;
    let mut java = java.start("member", "Member", &dir, &args)?;
    let theirs = || {
        let output = java.output();
        let last = output.lines().rev().find_map(|line| line.strip_prefix("OWNED "));
        last.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_else(BTreeSet::new)
    };
    until("complementary shares", || {
        let (ours, theirs) = (ours(), theirs());
        ours.len().abs_diff(theirs.len()) == 1 && ours.union(&theirs).count() == 7
    })
    .await?;
    java.kill()?;
    until("the Rust member reads all queues again", || ours().len() == 7).await?;
    rust.close().await;
    client.close().await;
    Ok(())
}

/// Shows that a consumer that closes commits, so that the next one of its group starts where it
/// ended, and that the broker tells the committed offset to others.
pub(crate) async fn progress_is_committed_on_close(context: &Context) -> Result<()> {
    let client = context.client()?;
    let topic = context.topic(&client, 1).await?;
    let group = context.name("group");
    for round in ["one", "two", "three"] {
        let seen = Seen::default();
        let consumer = member(&client, &group, &topic, &seen).await?;
        send(&client, &topic, &texts(round, 10)).await?;
        until("the messages of this round", || seen.len() >= 10).await?;
        consumer.close().await;
        ensure!(sorted(seen.bodies()) == texts(round, 10), "{:?}", seen.bodies());
    }
    let consumer = client.pull_consumer(&group)?;
    for queue in consumer.queues(&topic).await? {
        let offset = consumer.resolve(&queue, Position::Committed).await?;
        ensure!(offset == 30, "{queue} is committed at {offset}");
    }
    client.close().await;
    Ok(())
}

/// Shows that a tag expression selects messages, also for a tag whose hash equals a wanted one.
pub(crate) async fn tags_are_filtered(context: &Context) -> Result<()> {
    let client = context.client()?;
    let topic = context.topic(&client, 2).await?;
    let producer = client.producer("senders")?;
    // "AaAa".hashCode() == "BBBB".hashCode()
    for tag in ["a", "AaAa", "BBBB", "c"] {
        producer.send(Message::new(&topic, tag.to_owned()).tag(tag)).await?;
    }
    producer.send(Message::new(&topic, "untagged")).await?;
    let seen = Seen::default();
    let sink = seen.clone();
    let builder = client.push_consumer(&context.name("group")).subscribe(&topic, "a || AaAa");
    let consumer = builder.from(ConsumeFrom::First).concurrently(move |messages| {
        sink.add(messages);
        async { Consumed::Success }
    });
    let consumer = consumer.await?;
    until("the wanted messages", || seen.len() >= 2).await?;
    producer.send(Message::new(&topic, "a later").tag("a")).await?;
    until("the last message", || seen.len() >= 3).await?;
    ensure!(sorted(seen.bodies()) == ["AaAa", "a", "a later"], "{:?}", seen.bodies());
    consumer.close().await;
    client.close().await;
    Ok(())
}

/// Shows that a message whose listener fails, by answer or by panic, comes again with its count, its
/// topic and its body, and becomes a dead letter after the last try.
pub(crate) async fn failed_messages_come_again_then_die(context: &Context) -> Result<()> {
    let client = context.client()?;
    let topic = context.topic(&client, 1).await?;
    let group = context.name("group");
    let seen = Seen::default();
    let sink = seen.clone();
    let builder = client.push_consumer(&group).subscribe(&topic, "*").max_reconsume_times(2);
    let consumer = builder.from(ConsumeFrom::First).concurrently(move |messages| {
        let fatal = messages.iter().any(|message| body(message) == "fatal");
        sink.add(messages);
        async move {
            assert!(!fatal, "this listener panics");
            Consumed::Later
        }
    });
    let consumer = consumer.await?;
    send(&client, &topic, &["fatal".to_owned(), "fails".to_owned()]).await?;
    until("three deliveries of each", || seen.len() >= 6).await?;
    let all = seen.all();
    for text in ["fatal", "fails"] {
        let of_text = all.iter().filter(|message| body(message) == text);
        let times: Vec<i32> = of_text.clone().map(|message| message.reconsume_times()).collect();
        ensure!(times == [0, 1, 2], "{text}: {times:?}");
        ensure!(of_text.clone().all(|message| message.topic() == topic));
        let ids: BTreeSet<String> = of_text.map(|message| message.message_id()).collect();
        ensure!(ids.len() == 1, "{ids:?}");
    }
    let letters = format!("%DLQ%{group}");
    while client.admin().route(&letters).await.is_err() {
        // The broker tells the name server of it a moment after it stored the first letter.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let dead = read_all(&client, &letters, 2).await?;
    ensure!(sorted(dead.iter().map(body).collect()) == ["fails", "fatal"], "{dead:?}");
    consumer.close().await;
    client.close().await;
    Ok(())
}

/// Shows that messages of one order key go to one queue and are consumed in the order in which they
/// were sent, one at a time, by two members that share the queues.
pub(crate) async fn ordered_messages_keep_their_order(context: &Context) -> Result<()> {
    let (one, two) = (context.client()?, context.client()?);
    let topic = context.topic(&one, 4).await?;
    let group = context.name("group");
    let seen = Seen::default();
    let mut members = Vec::new();
    for client in [&one, &two] {
        let sink = seen.clone();
        let builder = client.push_consumer(&group).subscribe(&topic, "*").batch(4);
        let consumer = builder.from(ConsumeFrom::First).in_order(move |messages| {
            let sink = sink.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                sink.add(messages);
                Ordered::Success
            }
        });
        members.push(consumer.await?);
    }
    let producer = one.producer("senders")?;
    for step in 0..20 {
        for key in ["x", "y", "z"] {
            let message = Message::new(&topic, format!("{key}{step:02}")).ordered_by(key).tag(key);
            producer.send(message).await?;
        }
    }
    until("all messages", || seen.len() >= 60).await?;
    for (queue, messages) in seen.by_queue() {
        let offsets: Vec<u64> = messages.iter().map(|message| message.offset()).collect();
        ensure!(offsets.is_sorted_by(|a, b| a < b), "{queue}: {offsets:?}");
    }
    for key in ["x", "y", "z"] {
        let all = seen.all();
        let of_key: Vec<_> = all.iter().filter(|message| message.tag() == Some(key)).collect();
        let steps: Vec<String> = of_key.iter().map(|message| body(message)).collect();
        ensure!(steps.len() == 20 && steps.is_sorted(), "{steps:?}");
        ensure!(of_key.iter().all(|message| message.queue() == of_key[0].queue()));
    }
    for consumer in members {
        consumer.close().await;
    }
    one.close().await;
    two.close().await;
    Ok(())
}

/// Shows that an ordered listener that suspends its queue gets the same message again before the
/// next one.
pub(crate) async fn a_suspended_queue_repeats_the_message(context: &Context) -> Result<()> {
    let client = context.client()?;
    let topic = context.topic(&client, 1).await?;
    let seen = Seen::default();
    let sink = seen.clone();
    let builder = client.push_consumer(&context.name("group")).subscribe(&topic, "*");
    let consumer = builder.from(ConsumeFrom::First).in_order(move |messages| {
        let suspend = messages.iter().any(|one| body(one) == "m001" && one.reconsume_times() < 2);
        sink.add(messages);
        async move { if suspend { Ordered::Suspend } else { Ordered::Success } }
    });
    let consumer = consumer.await?;
    send(&client, &topic, &texts("m", 3)).await?;
    until("five deliveries", || seen.len() >= 5).await?;
    ensure!(seen.bodies() == ["m000", "m001", "m001", "m001", "m002"], "{:?}", seen.bodies());
    consumer.close().await;
    client.close().await;
    Ok(())
}

/// Shows that every broadcasting member gets every message, and that one with an offsets file goes on
/// where it ended.
pub(crate) async fn broadcast_reaches_everyone(context: &Context) -> Result<()> {
    let (one, two) = (context.client()?, context.client()?);
    let topic = context.topic(&one, 2).await?;
    let group = context.name("group");
    let dir = tempfile::tempdir()?;
    let start = async |client: &Client, file: &str, seen: &Seen| {
        let sink = seen.clone();
        let builder = client.push_consumer(&group).subscribe(&topic, "*").from(ConsumeFrom::First);
        let builder = builder.model(Model::Broadcasting).offsets_file(dir.path().join(file));
        let consumer = builder.concurrently(move |messages| {
            sink.add(messages);
            async { Consumed::Success }
        });
        consumer.await
    };
    let (seen_one, seen_two) = (Seen::default(), Seen::default());
    let first = start(&one, "one", &seen_one).await?;
    let second = start(&two, "two", &seen_two).await?;
    send(&one, &topic, &texts("m", 20)).await?;
    until("every member has everything", || seen_one.len() >= 20 && seen_two.len() >= 20).await?;
    ensure!(
        sorted(seen_one.bodies()) == texts("m", 20) && sorted(seen_two.bodies()) == texts("m", 20)
    );
    first.close().await;
    send(&one, &topic, &texts("n", 4)).await?;
    let again = Seen::default();
    let first = start(&one, "one", &again).await?;
    until("what came while it was away", || again.len() >= 4).await?;
    ensure!(sorted(again.bodies()) == texts("n", 4), "{:?}", again.bodies());
    first.close().await;
    second.close().await;
    one.close().await;
    two.close().await;
    Ok(())
}

/// Shows that a pull consumer reads from where it is told to, by offset and by time, waits for new
/// messages, and commits its positions.
pub(crate) async fn pulling_seeks_and_commits(context: &Context) -> Result<()> {
    let client = context.client()?;
    let topic = context.topic(&client, 1).await?;
    send(&client, &topic, &texts("m", 10)).await?;
    let all = read_all(&client, &topic, 10).await?;
    let mut consumer = client.pull_consumer(&context.name("group"))?;
    let queue = consumer.queues(&topic).await?.remove(0);
    consumer.assign(queue.clone(), Position::Offset(7)).await?;
    let polled = consumer.poll(Duration::from_secs(10)).await?.context("messages from 7")?;
    ensure!(polled.iter().map(body).collect::<Vec<_>>() == texts("m", 10)[7..]);
    ensure!(consumer.poll(Duration::from_millis(50)).await?.is_none(), "nothing is left");
    send(&client, &topic, &["new".to_owned()]).await?;
    let polled = consumer.poll(Duration::from_secs(10)).await?.context("the new message")?;
    ensure!(polled.len() == 1 && body(&polled[0]) == "new", "{polled:?}");
    consumer.seek(&queue, Position::TimeMs(all[4].store_ms())).await?;
    let polled = consumer.poll(Duration::from_secs(10)).await?.context("messages by time")?;
    ensure!(polled[0].offset() <= 4 && polled[0].store_ms() == all[4].store_ms(), "{polled:?}");
    consumer.commit().await?;
    ensure!(consumer.resolve(&queue, Position::Committed).await? == 11);
    ensure!(consumer.resolve(&queue, Position::Last).await? == 11);
    consumer.unassign(&queue);
    ensure!(consumer.seek(&queue, Position::First).await.is_err(), "seek without assignment");
    client.close().await;
    Ok(())
}

/// Shows that a consumer goes on by itself after its broker was stopped and started again, and skips
/// nothing.
pub(crate) async fn consumers_survive_a_restart(context: &Context) -> Result<()> {
    let client = context.client()?;
    let topic = context.topic(&client, 4).await?;
    let seen = Seen::default();
    let consumer = member(&client, &context.name("group"), &topic, &seen).await?;
    send(&client, &topic, &texts("before", 20)).await?;
    until("the first messages", || seen.len() >= 20).await?;
    context.shared.cluster()?.stop()?;
    context.shared.cluster()?.start_again()?;
    send(&client, &topic, &texts("after", 20)).await?;
    let wanted: BTreeSet<String> =
        [texts("before", 20), texts("after", 20)].concat().into_iter().collect();
    until("the messages after the restart", || {
        seen.bodies().into_iter().collect::<BTreeSet<_>>() == wanted
    })
    .await?;
    consumer.close().await;
    client.close().await;
    Ok(())
}
