//! What depends on more than one message or one server: delays, name servers that end.

use anyhow::{Result, ensure};
use apogee_e2e::pair::Pair;
use client::{Client, ConsumeFrom, Consumed, Message, TopicSpec};

use crate::sending::read_all;
use crate::{Context, Seen, body, sorted, texts, until};

/// Shows that a message with a delay level is delivered in its own topic, whole, not before the time of
/// its level, while one without overtakes it.
pub(crate) async fn delayed_messages_wait(context: &Context) -> Result<()> {
    let client = context.client()?;
    let topic = context.topic(&client, 1).await?;
    let seen = Seen::default();
    let sink = seen.clone();
    let builder = client.push_consumer(&context.name("group")).subscribe(&topic, "*");
    let consumer = builder.from(ConsumeFrom::First).concurrently(move |messages| {
        sink.add(messages);
        async { Consumed::Success }
    });
    let consumer = consumer.await?;
    let producer = client.producer("senders")?;
    producer.send(Message::new(&topic, "late").delay_level(1)).await?;
    producer.send(Message::new(&topic, "soon")).await?;
    until("both messages", || seen.len() >= 2).await?;
    ensure!(seen.bodies() == ["soon", "late"], "{:?}", seen.bodies());
    let late = &seen.all()[1];
    ensure!(late.topic() == topic && late.store_ms() - late.born_ms() >= 1000, "{late:?}");
    consumer.close().await;
    client.close().await;
    Ok(())
}

/// Shows that with two name servers, of which one is killed, producer and consumer go on, and that a
/// client that starts afterwards creates a topic and reads it.
pub(crate) async fn one_of_two_name_servers_is_killed(context: &Context) -> Result<()> {
    let mut pair = Pair::start(context.shared.peer(), &context.shared.case_dir("pair")?)?;
    let client = Client::new(&pair.namesrvs())?;
    let topic = context.topic(&client, 4).await?;
    let seen = Seen::default();
    let sink = seen.clone();
    let builder = client.push_consumer(&context.name("group")).subscribe(&topic, "*");
    let consumer = builder.from(ConsumeFrom::First).concurrently(move |messages| {
        sink.add(messages);
        async { Consumed::Success }
    });
    let consumer = consumer.await?;
    let producer = client.producer("senders")?;
    for text in texts("before", 20) {
        producer.send(Message::new(&topic, text)).await?;
    }
    until("the first messages", || seen.len() >= 20).await?;
    pair.kill_first()?;
    for text in texts("then", 20) {
        producer.send(Message::new(&topic, text)).await?;
    }
    until("all messages", || seen.len() >= 40).await?;
    ensure!(sorted(seen.bodies()) == [texts("before", 20), texts("then", 20)].concat());

    let another = Client::new(&pair.namesrvs())?;
    let fresh = context.name("fresh");
    another.admin().create_topic(&TopicSpec::new(&fresh), None).await?;
    another.producer("others")?.send(Message::new(&fresh, "found")).await?;
    let all = read_all(&another, &fresh, 1).await?;
    ensure!(body(&all[0]) == "found", "{all:?}");
    another.close().await;
    consumer.close().await;
    client.close().await;
    pair.check_log()
}
