//! Reads queues that the application chooses, from where it chooses.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use client::{Client, Message, Position, TopicSpec};

const TOPIC: &str = "example-pull";
const WAIT: Duration = Duration::from_secs(1);

/// Reads six messages, commits, goes back to the start of one queue, and reads its messages again;
/// how many came in all, and how many the second time.
pub(crate) async fn run(name_servers: &str) -> anyhow::Result<(usize, usize)> {
    let client = Client::new(name_servers)?;
    let topic = TopicSpec { read_queues: 2, write_queues: 2, ..TopicSpec::new(TOPIC) };
    client.admin().create_topic(&topic, None).await?;
    let producer = client.producer("example-producers")?;
    for number in 0..6 {
        producer.send(Message::new(TOPIC, format!("line {number}"))).await?;
    }
    let mut consumer = client.pull_consumer("example-pull-group")?;
    let queues = consumer.queues(TOPIC).await?;
    for queue in &queues {
        // Where the group was the last time; at the oldest message if it never was.
        consumer.assign(queue.clone(), Position::Committed).await?;
    }
    let mut count = 0;
    while count < 6 {
        for message in consumer.poll(WAIT).await?.unwrap_or_default() {
            println!("{} {} {:?}", message.queue(), message.offset(), message.body());
            count += 1;
        }
    }
    // All that was polled counts as consumed.
    consumer.commit().await?;

    let [first, others @ ..] = &queues[..] else { anyhow::bail!("the topic has no queues") };
    others.iter().for_each(|queue| consumer.unassign(queue));
    let end = consumer.resolve(first, Position::Last).await?;
    consumer.seek(first, Position::First).await?;
    let mut again = 0;
    while consumer.positions()[0].1 < end {
        again += consumer.poll(WAIT).await?.unwrap_or_default().len();
    }
    println!("{again} messages of {first} once more");
    client.close().await;
    Ok((count + again, again))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name_servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    run(&name_servers).await.map(drop)
}
