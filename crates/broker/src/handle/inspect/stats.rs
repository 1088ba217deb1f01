//! What came and went in the last minute, hour and day (315), by the reference's names and keys.

use wire::body::BrokerStatsData;
use wire::header::StatsHeader;
use wire::{Frame, Replies};

use crate::Broker;
use crate::progress::Counted;
use crate::reply::{self, Refusal};
use crate::stats::{Amount, Total};

/// 315: how much of something there was of something.
pub(crate) fn view(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &StatsHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let (name, key) = (header.stats_name.to_str(), header.stats_key.to_str());
    let stats = find(broker, &name, &key);
    let missing = || Refusal::NoStats { name: name.clone().into_owned(), key: key.into_owned() };
    reply::json(out, frame, &stats.ok_or_else(missing)?);
    Ok(())
}

fn find(broker: &Broker, name: &str, key: &str) -> Option<BrokerStatsData> {
    const MESSAGES: fn(&Amount) -> u64 = |amount| amount.messages;
    const BYTES: fn(&Amount) -> u64 = |amount| amount.bytes;
    let now = broker.env.clock.mono();
    let of_topic = |of| broker.stats.of_topic(key, now, of);
    let of_group = |counted, of| {
        let (topic, group) = key.split_once('@')?;
        broker.progress.view(topic, group, counted, |windows| windows.view(now, of))
    };
    let of_all = |total| {
        let is_ours = key == broker.settings().cluster;
        is_ours.then(|| broker.stats.of_all(total, now))
    };
    match name {
        "TOPIC_PUT_NUMS" => of_topic(MESSAGES),
        "TOPIC_PUT_SIZE" => of_topic(BYTES),
        "GROUP_GET_NUMS" => of_group(Counted::Got, MESSAGES),
        "GROUP_GET_SIZE" => of_group(Counted::Got, BYTES),
        "SNDBCK_PUT_NUMS" => of_group(Counted::SentBack, MESSAGES),
        "BROKER_PUT_NUMS" => of_all(Total::Stored),
        "BROKER_GET_NUMS" => of_all(Total::Transferred),
        "BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC" => of_all(Total::Sent),
        "BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC" => of_all(Total::Fetched),
        _ => None,
    }
}
