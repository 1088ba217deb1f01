//! Administrative operations, in the steps that `mqadmin` takes.
//!
//! A change is tried at every broker that it is meant for; when some fail, the error says which
//! made it and which did not ([`AdminError::Partly`]).

mod brokers;
mod groups;
mod messages;
mod reset;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

pub use groups::QueueProgress;
pub use reset::OffsetReset;
pub use topics::{QueueRange, QueueStats, TopicDescription, TopicSpec};

use crate::error::{AdminError, CallError};
use crate::instance::Client;
use crate::limits;
use crate::message::{InvalidMessage, is_valid_name};
use crate::route::{Brokers, address_of_master};

/// Administrative operations of a [`Client`].
///
/// Works on any cluster that speaks the protocol, Java or Apogee. Waits up to
/// [`limits::ADMIN_TIMEOUT`] for each answer.
#[derive(Clone)]
pub struct Admin {
    client: Client,
}

/// Which brokers an operation is for. Of each broker group it is the master.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// All that the name server knows.
    #[default]
    All,
    /// Those of a cluster, by its name.
    Cluster(String),
    /// One, by its name or by an address `host:port`.
    Broker(String),
}

impl From<Option<&str>> for Target {
    /// The cluster of that name, or all.
    fn from(cluster: Option<&str>) -> Target {
        cluster.map_or(Target::All, |name| Target::Cluster(name.to_owned()))
    }
}

/// What one broker says.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// Name of the broker; its address where the name is not known.
    pub broker: Arc<str>,
    /// Address that was asked, `host:port`.
    pub address: Arc<str>,
    /// What it says.
    pub value: T,
}

/// The brokers that a name server knows.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Names of the broker groups of each cluster.
    pub clusters: BTreeMap<String, Vec<Arc<str>>>,
    /// Addresses of the broker groups.
    pub brokers: Brokers,
}

impl Admin {
    pub(crate) fn new(client: Client) -> Admin {
        Admin { client }
    }

    /// The brokers and clusters that a name server knows: the first that answers.
    ///
    /// # Errors
    /// When no name server answers.
    pub async fn cluster(&self) -> Result<Cluster, AdminError> {
        Ok(self.client.remote().cluster().await?)
    }

    /// The addresses of all name servers that this client was given.
    pub fn name_servers(&self) -> Vec<Arc<str>> {
        self.client.remote().name_servers().to_vec()
    }

    /// The brokers and clusters that this name server knows.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn cluster_at(&self, name_server: &Arc<str>) -> Result<Cluster, AdminError> {
        Ok(self.client.remote().cluster_at(name_server).await?)
    }

    /// The masters of a target, in order of their names; never none.
    ///
    /// # Errors
    /// When no name server answers, or there is no such cluster, broker or master.
    pub async fn masters(&self, target: &Target) -> Result<Vec<At<()>>, AdminError> {
        let known = self.cluster().await?;
        let names: Vec<Arc<str>> = match target {
            Target::All => known.brokers.keys().cloned().collect(),
            Target::Cluster(name) => match known.clusters.get(name) {
                Some(brokers) => brokers.clone(),
                None => {
                    let names: Vec<&str> = known.clusters.keys().map(String::as_str).collect();
                    let known = names.join(", ");
                    return Err(AdminError::NoCluster { cluster: name.clone(), known });
                }
            },
            Target::Broker(broker) => return Ok(vec![find(&known, broker)?]),
        };
        let masters = names.into_iter().filter_map(|broker| {
            let address = address_of_master(&known.brokers, &broker)?;
            Some(At { broker, address, value: () })
        });
        let masters: Vec<At<()>> = masters.collect();
        if masters.is_empty() {
            return Err(AdminError::NoMaster { address: self.client.remote().name_server() });
        }
        Ok(masters)
    }

    /// One broker, by name (its master, else any of its slaves) or address.
    async fn broker(&self, broker: &str) -> Result<At<()>, AdminError> {
        find(&self.cluster().await?, broker)
    }
}

/// A broker by its name or by its address, which need not be a known one.
fn find(known: &Cluster, broker: &str) -> Result<At<()>, AdminError> {
    if broker.contains(':') {
        let named = known.brokers.iter();
        let named = named.clone().find(|(_, members)| members.values().any(|one| **one == *broker));
        let address: Arc<str> = broker.into();
        let broker = named.map_or_else(|| address.clone(), |(name, _)| name.clone());
        return Ok(At { broker, address, value: () });
    }
    let found = known.brokers.get_key_value(broker);
    match found.and_then(|(name, members)| Some((name, members.values().next()?))) {
        Some((name, address)) => {
            Ok(At { broker: name.clone(), address: address.clone(), value: () })
        }
        None => {
            let known = known.brokers.keys().map(|name| &**name).collect::<Vec<_>>().join(", ");
            Err(AdminError::NoBroker { broker: broker.to_owned(), known })
        }
    }
}

/// Asks all of `brokers` at once; fails with the first that fails.
async fn ask<T, F>(
    brokers: &[At<()>],
    call: impl Fn(Arc<str>) -> F,
) -> Result<Vec<At<T>>, AdminError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let answers = try_join_all(brokers.iter().map(|one| call(one.address.clone()))).await?;
    let named = brokers.iter().zip(answers);
    let named = named.map(|(one, value)| At {
        broker: one.broker.clone(),
        address: one.address.clone(),
        value,
    });
    Ok(named.collect())
}

/// Makes a change at all of `brokers` at once, and says where it was made.
async fn change<F>(
    brokers: &[At<()>],
    call: impl Fn(Arc<str>) -> F,
) -> Result<Vec<Arc<str>>, AdminError>
where
    F: Future<Output = Result<(), CallError>>,
{
    let answers = join_all(brokers.iter().map(|one| call(one.address.clone()))).await;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (one, answer) in brokers.iter().zip(answers) {
        match answer {
            Ok(()) => done.push(one.address.clone()),
            Err(error) => failed.push(error),
        }
    }
    match failed.pop() {
        None => Ok(done),
        Some(error) if done.is_empty() && failed.is_empty() => Err(error.into()),
        Some(error) => {
            failed.push(error);
            Err(AdminError::Partly { done, failed })
        }
    }
}

fn check_topic(topic: &str) -> Result<(), InvalidMessage> {
    if is_valid_name(topic, limits::NAME_BYTES) {
        return Ok(());
    }
    Err(InvalidMessage::Topic { topic: topic.to_owned() })
}

fn check_group(group: &str) -> Result<(), AdminError> {
    let limit = limits::GROUP_BYTES;
    if is_valid_name(group, limit) {
        return Ok(());
    }
    Err(AdminError::InvalidGroup { group: group.to_owned(), limit })
}
