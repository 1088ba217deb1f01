//! How groups and clients end: closed, dropped, or dropped on the way.

use std::sync::Arc;

use anyhow::{Result, ensure};
use client::{Client, ClientSettings, Consumed, Message, PushConsumer, StartError};
use env::Env;
use wire::codes::RequestCode;

use crate::PATIENCE;
use crate::server::{Answer, Asked, Script, Server, broker, names};

async fn one_broker(script: Script) -> Result<(Client, Server, Server, Env)> {
    let env = Env::real();
    let a = Server::start(&env, script).await?;
    let name_server = names(&env, vec![("a", a.address())]).await?;
    let client = Client::start(&env, ClientSettings::new(&name_server.address()))?;
    Ok((client, a, name_server, env))
}

async fn consumer(client: &Client) -> Result<PushConsumer, StartError> {
    let builder = client.push_consumer("g").subscribe("T", "*");
    builder.concurrently(|_| async { Consumed::Success }).await
}

/// The groups that the broker was told of, by the name of the field.
fn left(server: &Server, role: &str) -> Vec<String> {
    let told = server.asked(RequestCode::UnregisterClient);
    told.iter().map(|one| one.field(role)).filter(|group| !group.is_empty()).collect()
}

// A consumer that is dropped leaves its group: the broker is told, long before the next heartbeat, and the
// client can join the group again.
#[tokio::test]
async fn a_dropped_consumer_leaves_its_group() -> Result<()> {
    let (client, a, _names, env) = one_broker(broker(|_| Answer::Default)).await?;
    drop(consumer(&client).await?);
    env.clock.timeout(PATIENCE, a.until(|| left(&a, "consumerGroup") == ["g"])).await?;
    consumer(&client).await?.close().await;
    ensure!(left(&a, "consumerGroup") == ["g", "g"]);
    client.close().await;
    Ok(())
}

// A consumer whose start is given up leaves its group too.
#[tokio::test]
async fn a_start_that_is_given_up_leaves_the_group() -> Result<()> {
    let silent = |asked: &Asked| match asked.code {
        RequestCode::HeartBeat if asked.count == 1 => Answer::Nothing,
        _ => Answer::Default,
    };
    let (client, a, _names, env) = one_broker(broker(silent)).await?;
    tokio::select! {
        started = consumer(&client) => ensure!(started.is_err(), "the heartbeat is not answered"),
        () = a.until(|| !a.asked(RequestCode::HeartBeat).is_empty()) => {}
    }
    env.clock.timeout(PATIENCE, a.until(|| left(&a, "consumerGroup") == ["g"])).await?;
    consumer(&client).await?.close().await;
    client.close().await;
    Ok(())
}

// Brokers are told that a client has left a producer group when its last producer is gone, closed or
// dropped, and not before.
#[tokio::test]
async fn the_last_producer_leaves_the_group() -> Result<()> {
    let send = |asked: &Asked| match asked.code {
        RequestCode::SendMessageV2 => Answer::stored(0),
        _ => Answer::Default,
    };
    let (client, a, _names, env) = one_broker(broker(send)).await?;
    let (first, second) = (client.producer("p")?, client.producer("p")?);
    first.send(Message::new("T", "x")).await?;
    first.clone().close().await;
    first.close().await;
    ensure!(left(&a, "producerGroup").is_empty(), "another producer is there");
    drop(second);
    env.clock.timeout(PATIENCE, a.until(|| left(&a, "producerGroup") == ["p"])).await?;
    client.producer("p")?.close().await;
    ensure!(left(&a, "producerGroup") == ["p", "p"]);
    client.close().await;
    Ok(())
}

// A client that nobody holds any more closes its connections.
#[tokio::test]
async fn a_dropped_client_closes_its_connections() -> Result<()> {
    let (client, a, _names, env) = one_broker(broker(|_| Answer::Default)).await?;
    let consumer = consumer(&client).await?;
    let connection = a.client();
    drop(client);
    ensure!(!connection.is_closed(), "the consumer holds the client");
    drop(consumer);
    let closed = Arc::clone(&connection);
    env.clock.timeout(PATIENCE, a.until(|| closed.is_closed())).await?;
    Ok(())
}
