//! Single messages: by id, by key, by offset.

use std::time::Duration;

use wire::ids::OffsetMsgId;
use wire::props::names;

use super::{Admin, At, Target, ask};
use crate::consumer::TagFilter;
use crate::consumer::pull::PullRequest;
use crate::error::AdminError;
use crate::queue::MessageQueue;
use crate::received::Received;
use crate::remote::KeyQuery;

/// The group of readers that commit nothing; every broker knows it (`MixAll.TOOLS_CONSUMER_GROUP`).
const TOOLS_GROUP: &str = "TOOLS_CONSUMER";
/// Most messages that a broker finds by the id of a producer (`defaultQueryMaxNum`).
const UNIQUE_MAX: i32 = 32;

impl Admin {
    /// The message of an offset message id: one that says where the message is stored. `None` when
    /// the id names no broker of the cluster, or no message begins there. Ids that a producer gave
    /// look alike; see [`Admin::messages_by_unique_key`].
    ///
    /// # Errors
    /// When a name server or the broker does not answer.
    pub async fn message_by_id(&self, id: &str) -> Result<Option<Received>, AdminError> {
        let Some(at) = OffsetMsgId::decode(id.as_bytes()) else { return Ok(None) };
        // Only a known broker is asked: other hosts have nothing to do with it.
        let address = at.host.to_string();
        let known = self.cluster().await?;
        let mut members = known
            .brokers
            .iter()
            .flat_map(|(broker, members)| members.values().map(move |address| (broker, address)));
        let Some(place) = members.find(|(_, known)| ***known == *address) else { return Ok(None) };
        Ok(self.client.remote().view(place, None, at.offset).await?)
    }

    /// The messages of a topic that carry a business key, stored between two times (milliseconds
    /// since 1970, both included), at most `max` of each broker, oldest first.
    ///
    /// # Errors
    /// When the topic does not exist, or a broker does not answer.
    pub async fn messages_by_key(
        &self,
        topic: &str,
        key: &str,
        times_ms: (i64, i64),
        max: u32,
    ) -> Result<Vec<Received>, AdminError> {
        let max = i32::try_from(max).unwrap_or(i32::MAX);
        let query = KeyQuery { topic, key, unique: false, max, times: times_ms };
        let mut found = self.query(&query).await?;
        // Brokers compare a hash.
        found.retain(|message| {
            message.topic() == topic
                && message.keys().is_some_and(|keys| keys.split(' ').any(|one| one == key))
        });
        Ok(found)
    }

    /// The messages of a topic that have the id that a producer gave: several when it was sent
    /// again, oldest first.
    ///
    /// # Errors
    /// As [`Admin::messages_by_key`].
    pub async fn messages_by_unique_key(
        &self,
        topic: &str,
        id: &str,
    ) -> Result<Vec<Received>, AdminError> {
        let times = (0, i64::MAX);
        let query = KeyQuery { topic, key: id, unique: true, max: UNIQUE_MAX, times };
        let mut found = self.query(&query).await?;
        found.retain(|message| message.property(names::UNIQ_KEY) == Some(id));
        Ok(found)
    }

    /// The message at an offset of a queue; `None` when there is none.
    ///
    /// # Errors
    /// As [`Admin::messages_by_key`].
    pub async fn message_at(
        &self,
        queue: &MessageQueue,
        offset: u64,
    ) -> Result<Option<Received>, AdminError> {
        let route = self.route(&queue.topic).await?;
        let address = crate::route::address_of_master(&route.brokers, &queue.broker);
        let address = match address {
            Some(address) => address,
            None => {
                self.masters(&Target::Broker(queue.broker.to_string())).await?[0].address.clone()
            }
        };
        let request = PullRequest {
            group: TOOLS_GROUP,
            queue,
            offset,
            commit: None,
            hold: Duration::ZERO,
            filter: Some(&TagFilter::all()),
            version: self.client.env().clock.wall_ms(),
        };
        let pulled = self.client.remote().pull(&address, &request).await?;
        Ok(pulled.messages.into_iter().find(|message| message.offset() == offset))
    }

    async fn query(&self, query: &KeyQuery<'_>) -> Result<Vec<Received>, AdminError> {
        let masters = self.masters_of(query.topic).await?;
        let remote = self.client.remote();
        let found = ask(&masters, async |address| {
            let named = masters.iter().find(|one| one.address == address);
            let broker = named.map_or_else(|| address.clone(), |one| one.broker.clone());
            remote.query((&broker, &address), query).await
        });
        let found = found.await?.into_iter().flat_map(|At { value, .. }| value);
        let mut found: Vec<Received> = found.collect();
        found.sort_by_key(Received::store_ms);
        Ok(found)
    }
}
