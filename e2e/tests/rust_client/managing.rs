//! Administration.

use anyhow::{Result, ensure};
use client::{AdminError, Message, RouteError, SendError, TopicSpec};

use crate::Context;

/// Shows that a topic that was created is listed and described with what it holds, can be changed,
/// and is gone after its deletion.
pub(crate) async fn topics_are_created_described_deleted(context: &Context) -> Result<()> {
    let client = context.client()?;
    let admin = client.admin();
    let topic = context.topic(&client, 3).await?;
    ensure!(admin.topics().await?.contains(&topic));
    let cluster = admin.cluster().await?;
    ensure!(cluster.brokers.len() == 1 && cluster.clusters.len() == 1, "{cluster:?}");
    let producer = client.producer("senders")?;
    for _ in 0..6 {
        producer.send(Message::new(&topic, "x")).await?;
    }
    let described = admin.describe_topic(&topic).await?;
    ensure!(described.queues.len() == 3, "{described:?}");
    ensure!(described.queues.iter().all(|range| range.min == 0 && range.max == 2), "{described:?}");
    let wider = TopicSpec { read_queues: 5, write_queues: 5, ..TopicSpec::new(&topic) };
    admin.create_topic(&wider, None).await?;
    ensure!(admin.describe_topic(&topic).await?.queues.len() == 5);
    let error = admin.create_topic(&wider, Some("no-such-cluster")).await;
    ensure!(matches!(error, Err(AdminError::NoCluster { .. })), "{error:?}");
    admin.delete_topic(&topic, None).await?;
    let error = admin.describe_topic(&topic).await;
    ensure!(matches!(error, Err(AdminError::Route(RouteError::NoTopic { .. }))), "{error:?}");
    ensure!(!admin.topics().await?.contains(&topic));
    let read_only = TopicSpec { permission: 4, ..TopicSpec::new(context.name("read-only")) };
    admin.create_topic(&read_only, None).await?;
    let error = producer.send(Message::new(&read_only.name, "x")).await;
    ensure!(matches!(error, Err(SendError::NoQueue { .. })), "{error:?}");
    client.close().await;
    Ok(())
}
