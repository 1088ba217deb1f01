//! Shares the messages of a topic among the members of a group.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use client::{Client, ConsumeFrom, Consumed, Message, Received, TopicSpec};
use tokio::sync::mpsc;

const TOPIC: &str = "example-push";

/// Sends eight messages and consumes those that are wanted: the four with the tag `paid`.
pub(crate) async fn run(name_servers: &str) -> anyhow::Result<Vec<Received>> {
    let client = Client::new(name_servers)?;
    client.admin().create_topic(&TopicSpec::new(TOPIC), None).await?;
    let producer = client.producer("example-producers")?;
    for number in 0..8 {
        let tag = if number % 2 == 0 { "paid" } else { "created" };
        producer.send(Message::new(TOPIC, format!("order {number}")).tag(tag)).await?;
    }
    let (to_main, mut consumed) = mpsc::channel(64);
    let consumer = client
        .push_consumer("example-push-group")
        .subscribe(TOPIC, "paid || refunded")
        .from(ConsumeFrom::First)
        .concurrently(move |messages| {
            let to_main = to_main.clone();
            async move {
                for message in messages {
                    println!("{} {:?}", message.message_id(), message.body());
                    if to_main.send(message).await.is_err() {
                        // Not done with: it is delivered again, here or to another member.
                        return Consumed::Later;
                    }
                }
                // Only now are the messages committed.
                Consumed::Success
            }
        })
        .await?;
    let mut messages = Vec::new();
    while messages.len() < 4 {
        messages.extend(consumed.recv().await);
    }
    // Commits, and hands the queues over to the others at once.
    consumer.close().await;
    client.close().await;
    Ok(messages)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name_servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    run(&name_servers).await.map(drop)
}
