//! Moving a group to another place of a topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Admin, At, Target, check_group, find};
use crate::consumer::Position;
use crate::error::{AdminError, CallError};
use crate::queue::MessageQueue;

/// The setting by which a broker moves groups by itself, whether they have members or not.
const SERVER_SIDE: &str = "useServerSideResetOffset";

/// How a broker moves a group.
#[derive(Clone, Copy)]
enum Way {
    /// It tells members with their next pull (222).
    Reset,
    /// There are no members: a plain commit does (15).
    Commit,
}

/// One step of a reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetReset {
    /// The queue.
    pub queue: MessageQueue,
    /// Offset that the group goes on from now; `None` when it never committed.
    pub from: Option<u64>,
    /// Offset that it will go on from.
    pub to: u64,
}

impl Admin {
    /// What a reset of the group would do to each queue of the topic, or to those of `only`. Changes
    /// nothing.
    ///
    /// # Errors
    /// When the topic does not exist, a broker does not answer, or the position is an offset outside
    /// of a queue.
    pub async fn plan_reset(
        &self,
        group: &str,
        topic: &str,
        position: Position,
        only: Option<&[MessageQueue]>,
    ) -> Result<Vec<OffsetReset>, AdminError> {
        check_group(group)?;
        let route = self.route(topic).await?;
        let mut queues = route.read_queues(&topic.into());
        queues.retain(|queue| only.is_none_or(|only| only.contains(queue)));
        let mut plan = Vec::with_capacity(queues.len());
        for queue in queues {
            let Some(address) = self.client.address_of_master(&queue.broker) else {
                return Err(self.client.unknown_broker("GET_MIN_OFFSET", &queue.broker).into());
            };
            let remote = self.client.remote();
            let from = remote.committed_offset(&address, group, &queue).await?;
            let range = self.range(queue.clone()).await?;
            let (min, max) = (range.min, range.max);
            let to = match position {
                Position::First => min,
                Position::Last => max,
                Position::Committed => from.unwrap_or(min),
                Position::TimeMs(time) => remote.offset_at(&address, &queue, time).await?,
                Position::Offset(offset) if (min..=max).contains(&offset) => offset,
                Position::Offset(offset) => {
                    return Err(AdminError::OutsideQueue { queue, offset, min, max });
                }
            };
            plan.push(OffsetReset { queue, from, to });
        }
        Ok(plan)
    }

    /// Moves the group as planned. Members hear of it with their next pull.
    ///
    /// # Errors
    /// [`AdminError::GroupOnline`] before anything is changed; when a broker refuses, with what it
    /// says: steps before that one are done.
    pub async fn apply_reset(&self, group: &str, plan: &[OffsetReset]) -> Result<(), AdminError> {
        let known = self.cluster().await?;
        let mut ways: BTreeMap<Arc<str>, (Arc<str>, Way)> = BTreeMap::new();
        for step in plan {
            let broker = &step.queue.broker;
            if !ways.contains_key(broker) {
                let At { broker, address, .. } = find(&known, broker)?;
                let way = self.way(group, &broker, &address).await?;
                ways.insert(broker, (address, way));
            }
        }
        for step in plan {
            let (address, way) = &ways[&step.queue.broker];
            self.apply(group, address, *way, step).await?;
        }
        Ok(())
    }

    async fn way(
        &self,
        group: &str,
        broker: &Arc<str>,
        address: &Arc<str>,
    ) -> Result<Way, AdminError> {
        let remote = self.client.remote();
        let settings = remote.settings(address).await?;
        if settings.get(SERVER_SIDE).is_some_and(|value| value == "true") {
            return Ok(Way::Reset);
        }
        let members = self.members(group, Target::Broker(address.to_string())).await?;
        if members.is_empty() {
            return Ok(Way::Commit);
        }
        Err(AdminError::GroupOnline { group: group.to_owned(), broker: broker.clone() })
    }

    async fn apply(
        &self,
        group: &str,
        address: &Arc<str>,
        way: Way,
        step: &OffsetReset,
    ) -> Result<(), CallError> {
        let remote = self.client.remote();
        match way {
            Way::Reset => remote.reset_offset(address, group, &step.queue, step.to).await,
            Way::Commit => remote.commit(address, group, &step.queue, step.to).await,
        }
    }
}
