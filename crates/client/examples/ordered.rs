//! Keeps the steps of each order in their order, from the producer to the listener.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use client::{Client, ConsumeFrom, Message, Ordered, TopicSpec};
use tokio::sync::mpsc;

const TOPIC: &str = "example-ordered";
const STEPS: [&str; 3] = ["created", "paid", "shipped"];

/// Sends three steps of each of four orders; the steps as they were consumed: order, step.
pub(crate) async fn run(name_servers: &str) -> anyhow::Result<Vec<(String, String)>> {
    let client = Client::new(name_servers)?;
    client.admin().create_topic(&TopicSpec::new(TOPIC), None).await?;
    let producer = client.producer("example-producers")?;
    for step in STEPS {
        for order in 0..4 {
            // All of one key go to one queue. Each waits for the one before it: sends that run at
            // the same time may overtake each other.
            let key = format!("order-{order}");
            producer.send(Message::new(TOPIC, step).key(&key).ordered_by(&key)).await?;
        }
    }
    let (to_main, mut consumed) = mpsc::channel(64);
    let consumer = client
        .push_consumer("example-ordered-group")
        .subscribe(TOPIC, "*")
        .from(ConsumeFrom::First)
        .in_order(move |messages| {
            let to_main = to_main.clone();
            async move {
                for message in messages {
                    let order = message.keys().unwrap_or_default().to_owned();
                    let step = String::from_utf8_lossy(message.body()).into_owned();
                    if to_main.send((order, step)).await.is_err() {
                        // The queue waits for a second; the same message comes again.
                        return Ordered::Suspend;
                    }
                }
                Ordered::Success
            }
        })
        .await?;
    let mut steps = Vec::new();
    while steps.len() < 4 * STEPS.len() {
        steps.extend(consumed.recv().await);
    }
    for (order, step) in &steps {
        println!("{order} is {step}");
    }
    consumer.close().await;
    client.close().await;
    Ok(steps)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name_servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    run(&name_servers).await.map(drop)
}
