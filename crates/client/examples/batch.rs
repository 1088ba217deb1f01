//! Sends many messages with one request.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use client::{BatchReceipt, Client, Message};

const TOPIC: &str = "example-batch";

/// Sends a batch of 32.
pub(crate) async fn run(name_servers: &str) -> anyhow::Result<BatchReceipt> {
    let client = Client::new(name_servers)?;
    let producer = client.producer("example-producers")?;
    // One topic, no delays, 4 MiB in all; the messages go to one queue, one after the other.
    let messages = (0..32).map(|number| Message::new(TOPIC, format!("measurement {number}")));
    let receipt = producer.send_batch(messages.collect()).await?;
    println!("{} messages in {}", receipt.message_ids.len(), receipt.queue);
    producer.close().await;
    client.close().await;
    Ok(receipt)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name_servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    run(&name_servers).await.map(drop)
}
