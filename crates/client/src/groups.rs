//! The groups that a client takes part in, and what brokers hear of them.
//!
//! Heartbeats announce every group. One that is given up is put on a list at once, so that this also works
//! where nobody can wait: in `drop`, and when the wait for a close is given up. Brokers are told of what is
//! on the list by whoever can wait, at the latest by the client's own task. Without that they would take
//! the group for silent after two minutes, and close the connection, which all groups share.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;

use crate::consumer::group::Group;
use crate::consumer::member::Member;
use crate::error::StartError;
use crate::instance::Client;
use crate::limits;
use crate::remote;

/// The group that sends copies of messages which could not be sent back (`CLIENT_INNER_PRODUCER_GROUP`).
pub(crate) const INNER_PRODUCER: &str = "CLIENT_INNER_PRODUCER";

/// Producer and consumer groups.
#[derive(Default)]
pub(crate) struct Groups {
    /// Producer groups, each with the number of its producers.
    producers: BTreeMap<Arc<str>, usize>,
    consumers: BTreeMap<Arc<str>, Joined>,
    /// Groups that were given up, of which brokers are still to be told; each with the number of its
    /// departure, as it may be joined and given up again while they are told.
    left: BTreeMap<Left, u64>,
    departures: u64,
    /// When a heartbeat was last sent before its time.
    heartbeat_again: Option<Duration>,
}

/// A consumer group that this client takes part in.
struct Joined {
    group: Arc<Group>,
    /// Its consumer, which holds this client.
    member: Weak<Member>,
}

/// A group that was given up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Producer(Arc<str>),
    Consumer(Arc<str>),
}

/// How groups that were given up get to the brokers.
#[derive(Default)]
pub(crate) struct Departures {
    /// One was given up where nobody waits.
    pub(crate) due: Notify,
    /// Held by who tells the brokers, so that whoever comes second waits until they are told.
    turn: tokio::sync::Mutex<()>,
}

impl Groups {
    /// The running consumer of a group.
    pub(crate) fn member(&self, group: &str) -> Option<Arc<Member>> {
        self.consumers.get(group)?.member.upgrade()
    }

    fn give_up(&mut self, group: Left) {
        self.departures += 1;
        self.left.insert(group, self.departures);
    }

    fn check_count(&self) -> Result<(), StartError> {
        if self.producers.len() + self.consumers.len() < limits::GROUPS {
            return Ok(());
        }
        Err(StartError::TooManyGroups { limit: limits::GROUPS })
    }
}

impl Client {
    /// Counts one producer of a group more.
    pub(crate) fn add_producer(&self, group: &Arc<str>) -> Result<(), StartError> {
        let groups = &mut self.state().groups;
        groups.check_count()?;
        groups.left.remove(&Left::Producer(group.clone()));
        *groups.producers.entry(group.clone()).or_default() += 1;
        Ok(())
    }

    /// Counts one producer of a group less. With the last one the group is given up.
    pub(crate) fn remove_producer(&self, group: &Arc<str>) {
        let groups = &mut self.state().groups;
        let Some(count) = groups.producers.get_mut(group) else { return };
        *count -= 1;
        if *count == 0 {
            groups.producers.remove(group);
            groups.give_up(Left::Producer(group.clone()));
        }
    }

    /// Makes a consumer group known: heartbeats announce it, pushed requests reach it.
    pub(crate) fn join(&self, member: &Arc<Member>) -> Result<(), StartError> {
        let group = member.group.clone();
        let groups = &mut self.state().groups;
        groups.check_count()?;
        if groups.consumers.contains_key(&group.name) {
            return Err(StartError::GroupInUse { group: group.name.to_string() });
        }
        groups.left.remove(&Left::Consumer(group.name.clone()));
        let joined = Joined { group: group.clone(), member: Arc::downgrade(member) };
        groups.consumers.insert(group.name.clone(), joined);
        Ok(())
    }

    /// Gives up a consumer group, unless it was already, and may be another consumer's by now.
    pub(crate) fn leave(&self, member: &Arc<Member>) {
        let groups = &mut self.state().groups;
        let name = &member.group.name;
        let is_ours = |joined: &Joined| joined.member.as_ptr() == Arc::as_ptr(member);
        if groups.consumers.get(name).is_some_and(is_ours) {
            groups.consumers.remove(name);
            groups.give_up(Left::Consumer(name.clone()));
        }
    }

    /// Gives up every group.
    pub(crate) fn leave_all(&self) {
        let groups = &mut self.state().groups;
        let producers = std::mem::take(&mut groups.producers).into_keys().map(Left::Producer);
        let consumers = std::mem::take(&mut groups.consumers).into_keys().map(Left::Consumer);
        producers.chain(consumers).for_each(|group| groups.give_up(group));
    }

    /// Tells all brokers which groups were given up. A group stays on the list until they are told, so that
    /// nothing is lost when this future is dropped.
    pub(crate) async fn tell_departures(&self) {
        let _turn = self.departures().turn.lock().await;
        let left = self.state().groups.left.clone();
        join_all(left.into_iter().map(async |(one, number)| {
            match &one {
                Left::Producer(group) => self.unregister(Some(group), None).await,
                Left::Consumer(group) => self.unregister(None, Some(group)).await,
            }
            let left = &mut self.state().groups.left;
            if left.get(&one) == Some(&number) {
                left.remove(&one);
            }
        }))
        .await;
    }

    async fn unregister(&self, producer: Option<&str>, consumer: Option<&str>) {
        let calls = self.addresses(true).into_iter().map(async |address| {
            let remote = self.remote();
            if let Err(error) = remote.unregister(&address, self.id(), producer, consumer).await {
                tracing::debug!(%error, "not unregistered, the broker forgets in two minutes");
            }
        });
        join_all(calls).await;
    }

    /// Tells every known broker who this client is.
    pub(crate) async fn heartbeat(&self) {
        let (body, consumes) = {
            let groups = &self.state().groups;
            let inner = Arc::<str>::from(INNER_PRODUCER);
            let producers = groups.producers.keys().chain([&inner]);
            let consumers = groups.consumers.values().map(|joined| &joined.group);
            let body = remote::heartbeat_body(self.id(), producers, consumers);
            (body, !groups.consumers.is_empty())
        };
        let calls = self.addresses(consumes).into_iter().map(async |address| {
            if let Err(error) = self.remote().heartbeat(&address, &body).await {
                tracing::warn!(%error, "heartbeat failed");
            }
        });
        join_all(calls).await;
    }

    /// A heartbeat because a broker seems not to know this client, at most one per second.
    pub(crate) async fn heartbeat_again(&self) {
        let now = self.env().clock.mono();
        {
            let groups = &mut self.state().groups;
            if groups.heartbeat_again.is_some_and(|last| now < last + limits::HEARTBEAT_AGAIN) {
                return;
            }
            groups.heartbeat_again = Some(now);
        }
        self.heartbeat().await;
    }

    /// Addresses of all known brokers, or of their masters only: a slave has nothing to tell a
    /// producer.
    fn addresses(&self, slaves: bool) -> Vec<Arc<str>> {
        let state = self.state();
        let members = state.brokers.values().flatten();
        members.filter(|(id, _)| slaves || **id == 0).map(|(_, address)| address.clone()).collect()
    }
}
