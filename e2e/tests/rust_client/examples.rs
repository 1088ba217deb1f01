//! The examples of the SDK, as they are.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::{Context, PATIENCE};

macro_rules! examples {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(
            #[path = $file]
            #[allow(dead_code, reason = "their `main` is for people")]
            mod $name;
        )*
    };
}

examples! {
    batch = "../../../crates/client/examples/batch.rs",
    delay = "../../../crates/client/examples/delay.rs",
    ordered = "../../../crates/client/examples/ordered.rs",
    producer = "../../../crates/client/examples/producer.rs",
    pull_consumer = "../../../crates/client/examples/pull_consumer.rs",
    push_consumer = "../../../crates/client/examples/push_consumer.rs",
    request_reply = "../../../crates/client/examples/request_reply.rs",
}

/// Shows that every example of the SDK does what its first line says.
pub(crate) async fn examples_run(context: &Context) -> Result<()> {
    let names = context.shared.cluster()?.namesrv().to_string();
    async fn in_time<T>(what: &str, run: impl Future<Output = Result<T>>) -> Result<T> {
        let ended = tokio::time::timeout(PATIENCE, run).await;
        ended.with_context(|| format!("example {what} has not ended"))?.context(what.to_owned())
    }
    let receipts = in_time("producer", producer::run(&names)).await?;
    ensure!(receipts.len() == 10, "{receipts:?}");
    let batch = in_time("batch", batch::run(&names)).await?;
    ensure!(batch.message_ids.len() == 32, "{batch:?}");
    let consumed = in_time("push_consumer", push_consumer::run(&names)).await?;
    ensure!(consumed.len() == 4 && consumed.iter().all(|one| one.tag() == Some("paid")));
    let steps = in_time("ordered", ordered::run(&names)).await?;
    let mut by_order: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (order, step) in steps {
        by_order.entry(order).or_default().push(step);
    }
    let in_order = |steps: &Vec<String>| *steps == ["created", "paid", "shipped"];
    ensure!(by_order.len() == 4 && by_order.values().all(in_order), "{by_order:?}");
    let (all, again) = in_time("pull_consumer", pull_consumer::run(&names)).await?;
    ensure!(all == 6 + again && (1..6).contains(&again), "{all} messages, {again} again");
    let reply = in_time("request_reply", request_reply::run(&names)).await?;
    ensure!(reply.body() == "an apple costs 3", "{reply:?}");
    let kept_ms = in_time("delay", delay::run(&names)).await?;
    ensure!(kept_ms >= 1000, "a delay of a second took {kept_ms} ms");
    Ok(())
}
