//! Sends messages one by one, many at once, and without waiting.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::Context;
use client::{Client, Message, Receipt};

const TOPIC: &str = "example-producer";

/// Sends ten messages with answers and one without; the answers.
pub(crate) async fn run(name_servers: &str) -> anyhow::Result<Vec<Receipt>> {
    let client = Client::new(name_servers)?;
    let producer = client.producer("example-producers")?;
    // The topic is created by the first send, where brokers allow it (`autoCreateTopicEnable`).
    let message = Message::new(TOPIC, "order 1001 was paid").tag("paid").key("1001");
    let mut receipts = vec![producer.send(message).await?];
    // Started at once, answered in any order.
    let mut sending = Vec::new();
    for number in 1..10 {
        let message = Message::new(TOPIC, format!("message {number}")).property("number", "some");
        sending.push(producer.start_send(message).await);
    }
    for one in sending {
        receipts.push(one.wait().await.context("the client was closed")??);
    }
    for receipt in &receipts {
        println!("{} is at {} of {}", receipt.message_id, receipt.offset, receipt.queue);
    }
    // Nobody says whether this one is stored.
    producer.send_oneway(Message::new(TOPIC, "no matter")).await?;
    producer.close().await;
    client.close().await;
    Ok(receipts)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name_servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    run(&name_servers).await.map(drop)
}
