//! `--try`: one message through the real sockets and the real store, shown at both ends.

use std::time::Duration;

use anyhow::{Context, ensure};
use client::{Client, ClientSettings, Message, Position};
use env::Env;

use crate::logging;

/// Topic of the trial message.
const TOPIC: &str = "apogee-trial";
/// How long the message may take to come back.
const LIMIT: Duration = Duration::from_secs(10);

/// Sends a message to the server at `namesrv`, consumes it and prints both.
pub(crate) async fn run(env: &Env, namesrv: &str) -> anyhow::Result<()> {
    let client = Client::start(env, ClientSettings::new(namesrv))?;
    let body = format!("Hello from Apogee at {}", env.clock.wall_ms());
    let producer = client.producer("apogee-trial-producer")?;
    let sent = producer.send(Message::new(TOPIC, body.clone()).tag("trial").key("first")).await?;
    logging::say(&format!(
        "sent         {} → {TOPIC} queue {} offset {}",
        sent.message_id, sent.queue.id, sent.offset
    ));
    let mut consumer = client.pull_consumer("apogee-trial-consumer")?;
    consumer.assign(sent.queue.clone(), Position::Offset(sent.offset)).await?;
    let found =
        env.clock.timeout(LIMIT, consumer.poll(LIMIT)).await.context("no answer to the pull")??;
    let message = found.into_iter().flatten().next().context("the message did not come back")?;
    ensure!(message.body() == body.as_bytes(), "another message came back: {:?}", message.body());
    logging::say(&format!(
        "consumed     {} ← {}",
        message.message_id(),
        String::from_utf8_lossy(message.body())
    ));
    client.close().await;
    Ok(())
}
