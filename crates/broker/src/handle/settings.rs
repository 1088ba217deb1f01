//! The settings of broker and store: what is in effect (26), and changes of it (25).

use wire::flags::perm;
use wire::header::GetBrokerConfigResponse;
use wire::{Frame, Replies};

use crate::Broker;
use crate::live::ChangeError;
use crate::reply::{self, Refusal};
use crate::settings::BrokerSettings;
use crate::topic::{self, AUTO_CREATE_TOPIC};

/// 26: the settings in effect, as `key=value` lines.
pub(crate) fn get(broker: &Broker, frame: &Frame<'_>, out: &mut Replies) {
    let (text, version) = broker.live.text(&broker.store);
    let version = serde_json::json!(version).to_string();
    let header = GetBrokerConfigResponse { version: version.as_str().into() };
    reply::header_and_body(out, frame, &header, text.as_bytes());
}

/// 25: changes settings of the running broker, all that are named or none, and of its settings file. The reference
/// ignores keys that it does not know, and takes others without effect: here both are refused by name.
pub(crate) fn update(broker: &Broker, frame: &Frame<'_>, out: &mut Replies) -> Result<(), Refusal> {
    let text = String::from_utf8_lossy(frame.body);
    let pairs = env::settings::properties(&text).map_err(ChangeError::from)?;
    let now_ms = broker.env.clock.wall_ms();
    let before = broker.live.change(&broker.store, &pairs, now_ms)?;
    let after = broker.live.owned();
    tracing::info!(?pairs, "settings changed by request");
    if apply(broker, &before, &after, now_ms)? {
        broker.answer_when_announced(frame, out);
    } else {
        broker.answer_when_written(frame, out);
    }
    Ok(())
}

/// What a change does besides being read at the next use. Whether name servers must hear of it.
fn apply(
    broker: &Broker,
    before: &BrokerSettings,
    after: &BrokerSettings,
    now_ms: i64,
) -> Result<bool, Refusal> {
    broker.groups.set_auto_create(after.auto_create_group);
    let mut news = after.permission != before.permission;
    if news {
        broker.topics.touch(now_ms);
    }
    if after.auto_create_topic && broker.topics.get(AUTO_CREATE_TOPIC).is_none() {
        let perm = perm::READ | perm::WRITE | perm::INHERIT;
        let template = topic::config(AUTO_CREATE_TOPIC, after.default_queues, perm);
        news |= broker.topics.put(template, now_ms)?;
    }
    Ok(news)
}
