//! Producers.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{
    Client, InvalidMessage, Message, Position, PullConsumer, Received, RouteError, SendError,
    SendStatus,
};

use crate::{Context, body, sorted, texts};

/// Pulls every message of a topic.
pub(crate) async fn read_all(client: &Client, topic: &str, count: usize) -> Result<Vec<Received>> {
    let mut consumer: PullConsumer = client.pull_consumer("TOOLS_CONSUMER")?;
    for queue in consumer.queues(topic).await? {
        consumer.assign(queue, Position::First).await?;
    }
    let mut all = Vec::new();
    while all.len() < count {
        let polled = consumer.poll(Duration::from_secs(10)).await?;
        let polled = polled.with_context(|| format!("{} of {count} messages", all.len()))?;
        all.extend(polled);
    }
    Ok(all)
}

/// Shows that a message arrives with the body, tag, keys and properties that it was sent with, plain
/// and compressed, at the queue and offset that its receipt says.
pub(crate) async fn messages_arrive_as_sent(context: &Context) -> Result<()> {
    let client = context.client()?;
    let topic = context.topic(&client, 4).await?;
    let producer = client.producer("senders")?;
    let large = "compressible ".repeat(5_000);
    let mut receipts = Vec::new();
    for text in ["small", "ünïcode", &large] {
        let message = Message::new(&topic, text.to_owned())
            .tag("TagA")
            .key("k1")
            .key("k2")
            .property("name", "välue")
            .flag(7);
        receipts.push((text, producer.send(message).await?));
    }
    let all = read_all(&client, &topic, 3).await?;
    for (text, receipt) in receipts {
        ensure!(receipt.status == SendStatus::Ok, "{receipt:?}");
        let found = all.iter().find(|message| message.message_id() == receipt.message_id);
        let found = found.with_context(|| format!("no message for {receipt:?}"))?;
        ensure!(found.queue() == &receipt.queue && found.offset() == receipt.offset);
        ensure!(found.offset_message_id() == receipt.offset_message_id, "{found:?} {receipt:?}");
        ensure!(body(found) == text, "body differs");
        ensure!(found.tag() == Some("TagA") && found.keys() == Some("k1 k2"), "{found:?}");
        ensure!(found.property("name") == Some("välue") && found.flag() == 7, "{found:?}");
        ensure!(found.store_ms() >= found.born_ms() - 1000 && found.reconsume_times() == 0);
        ensure!(found.stored_bytes() < 4096, "{} bytes: not compressed", found.stored_bytes());
    }
    client.close().await;
    Ok(())
}

/// Shows that the messages of a batch get consecutive offsets of one queue and ids of their own, and
/// that messages sent without an answer arrive.
pub(crate) async fn batches_and_oneway(context: &Context) -> Result<()> {
    let client = context.client()?;
    let topic = context.topic(&client, 2).await?;
    let producer = client.producer("senders")?;
    let bodies = texts("batch", 20);
    let batch = bodies.iter().map(|text| Message::new(&topic, text.clone()).tag("b")).collect();
    let receipt = producer.send_batch(batch).await?;
    ensure!(receipt.message_ids.len() == 20 && receipt.offset_message_ids.len() == 20);
    ensure!(receipt.message_ids.iter().collect::<BTreeSet<_>>().len() == 20);
    for text in texts("oneway", 10) {
        producer.send_oneway(Message::new(&topic, text)).await?;
    }
    let all = read_all(&client, &topic, 30).await?;
    let of_batch = all.iter().filter(|message| message.tag() == Some("b"));
    for (index, message) in of_batch.enumerate() {
        ensure!(body(message) == bodies[index], "{message:?}");
        ensure!(message.offset() == receipt.offset + index as u64, "{message:?}");
        ensure!(message.message_id() == receipt.message_ids[index], "{message:?}");
        ensure!(message.offset_message_id() == receipt.offset_message_ids[index], "{message:?}");
    }
    let oneway = all.iter().map(body).filter(|text| text.starts_with("oneway")).collect();
    ensure!(sorted(oneway) == texts("oneway", 10));
    client.close().await;
    Ok(())
}

/// Shows that what no broker takes is refused before it is sent, by an error that says why.
pub(crate) async fn invalid_messages_are_refused(context: &Context) -> Result<()> {
    let client = context.client()?;
    let producer = client.producer("senders")?;
    let error = producer.send(Message::new("no such topic!", "x")).await;
    ensure!(matches!(error, Err(SendError::Invalid(InvalidMessage::Topic { .. }))), "{error:?}");
    let topic = context.topic(&client, 1).await?;
    let error = producer.send(Message::new(&topic, vec![b'x'; (4 << 20) + 1])).await;
    let text = error.err().map_or_else(String::new, |error| error.to_string());
    ensure!(text.contains("4194305") && text.contains("maxMessageSize"), "{text}");
    let mixed = vec![Message::new(&topic, "a"), Message::new("other", "b")];
    let error = producer.send_batch(mixed).await;
    let mixed = matches!(error, Err(SendError::Invalid(InvalidMessage::MixedBatch { .. })));
    ensure!(mixed, "{error:?}");
    client.close().await;
    Ok(())
}

/// Shows that a cluster that is not there is reported with the address that was tried.
pub(crate) async fn unknown_name_server(_: &Context) -> Result<()> {
    let client = Client::new("127.0.0.1:1")?;
    let error = client.producer("senders")?.send(Message::new("T", "x")).await;
    let unreachable = matches!(error, Err(SendError::Route(RouteError::Call(_))));
    ensure!(unreachable, "{error:?}");
    let text = error.err().map_or_else(String::new, |error| error.to_string());
    ensure!(text.contains("127.0.0.1:1"), "{text}");
    client.close().await;
    Ok(())
}

/// Shows that a producer goes on by itself after its broker was killed and started again, and that
/// what it was told is stored is there.
pub(crate) async fn sends_survive_a_restart(context: &Context) -> Result<()> {
    let client = context.client()?;
    let topic = context.topic(&client, 2).await?;
    let producer = client.producer("senders")?;
    for text in texts("before", 10) {
        producer.send(Message::new(&topic, text)).await?;
    }
    context.shared.cluster()?.kill()?;
    let error = producer.send(Message::new(&topic, "while it is dead")).await;
    ensure!(matches!(error, Err(SendError::Failed { attempts: 1.., .. })), "{error:?}");
    context.shared.cluster()?.start_again()?;
    for text in texts("after", 10) {
        producer.send(Message::new(&topic, text)).await?;
    }
    let all = read_all(&client, &topic, 20).await?;
    let bodies = sorted(all.iter().map(body).collect());
    ensure!(bodies == sorted([texts("before", 10), texts("after", 10)].concat()), "{bodies:?}");
    client.close().await;
    Ok(())
}
