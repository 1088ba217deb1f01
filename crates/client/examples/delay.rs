//! Sends a message that is delivered later.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use client::{Client, Message, Position, TopicSpec};

const TOPIC: &str = "example-delay";

/// Sends a message with a delay and waits for it; how long the broker kept it, in milliseconds.
pub(crate) async fn run(name_servers: &str) -> anyhow::Result<i64> {
    let client = Client::new(name_servers)?;
    client.admin().create_topic(&TopicSpec::new(TOPIC), None).await?;
    let mut consumer = client.pull_consumer("example-delay-group")?;
    for queue in consumer.queues(TOPIC).await? {
        consumer.assign(queue, Position::Last).await?;
    }
    let producer = client.producer("example-producers")?;
    // Level 1 is a second, unless brokers are set otherwise (`messageDelayLevel`).
    producer.send(Message::new(TOPIC, "a reminder").delay_level(1)).await?;
    let message = loop {
        let polled = consumer.poll(Duration::from_secs(1)).await?;
        if let Some(message) = polled.into_iter().flatten().next() {
            break message;
        }
    };
    let kept_ms = message.store_ms() - message.born_ms();
    println!("{:?} came after {kept_ms} ms", message.body());
    producer.close().await;
    client.close().await;
    Ok(kept_ms)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name_servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    run(&name_servers).await.map(drop)
}
