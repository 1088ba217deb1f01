//! Asks a question with a message, and waits for the answer of a consumer.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use client::{Client, ConsumeFrom, Consumed, Message, Reply, TopicSpec};

const TOPIC: &str = "example-request";
const PATIENCE: Duration = Duration::from_secs(10);

/// One client answers, another asks; the answer.
pub(crate) async fn run(name_servers: &str) -> anyhow::Result<Reply> {
    let answering = Client::new(name_servers)?;
    answering.admin().create_topic(&TopicSpec::new(TOPIC), None).await?;
    let replies = answering.producer("example-repliers")?;
    let consumer = answering
        .push_consumer("example-request-group")
        .subscribe(TOPIC, "*")
        .from(ConsumeFrom::First)
        .concurrently(move |messages| {
            let replies = replies.clone();
            async move {
                for request in messages {
                    let answer = format!("{} costs 3", String::from_utf8_lossy(request.body()));
                    match Message::reply_to(&request, answer) {
                        // It fails when the requester is gone: nobody is left to answer to.
                        Ok(reply) => drop(replies.send(reply).await),
                        Err(error) => println!("{error}"),
                    }
                }
                Consumed::Success
            }
        })
        .await?;

    let asking = Client::new(name_servers)?;
    let requests = asking.producer("example-requesters")?;
    let reply = requests.request(Message::new(TOPIC, "an apple"), PATIENCE).await?;
    println!("{:?}", reply.body());
    consumer.close().await;
    asking.close().await;
    answering.close().await;
    Ok(reply)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name_servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    run(&name_servers).await.map(drop)
}
