//! Administration where not every broker does as asked.

use anyhow::{Result, ensure};
use client::{AdminError, Target, TopicSpec};
use wire::codes::RequestCode;
use wire::reply_codes as code;

use crate::server::{Answer, Script, broker};
use crate::two_brokers;

fn refusing() -> Script {
    broker(|asked| match asked.code {
        RequestCode::UpdateAndCreateTopic => Answer::refuse(code::SYSTEM_ERROR, "disk full"),
        _ => Answer::Default,
    })
}

// A change is tried at every broker; the error names those that made it and what the others said. A
// target of one broker leaves the others alone.
#[tokio::test]
async fn a_change_made_in_part_is_said() -> Result<()> {
    let (client, a, b, _env) = two_brokers(refusing(), broker(|_| Answer::Default)).await?;
    let asked = |server: &crate::Server| server.asked(RequestCode::UpdateAndCreateTopic).len();
    let error = client.admin().create_topic(&TopicSpec::new("T"), None).await;
    let Err(AdminError::Partly { done, failed }) = &error else { anyhow::bail!("{error:?}") };
    ensure!(done.len() == 1 && *done[0] == *b.address(), "{done:?}");
    ensure!(failed.len() == 1 && failed[0].to_string().contains("disk full"), "{failed:?}");
    ensure!((asked(&a), asked(&b)) == (1, 1));
    let only =
        client.admin().create_topic(&TopicSpec::new("T"), Target::Broker("b".into())).await?;
    ensure!(only.len() == 1 && (asked(&a), asked(&b)) == (1, 2), "{only:?}");
    let address = Target::Broker(a.address());
    let error = client.admin().create_topic(&TopicSpec::new("T"), address).await;
    ensure!(matches!(error, Err(AdminError::Call(_))), "{error:?}");
    client.close().await;
    Ok(())
}
