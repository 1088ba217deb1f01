//! What can go wrong, one enum per operation. Every error names the address that was asked, and what
//! it answered.

use std::sync::Arc;
use std::time::Duration;

use crate::message::InvalidMessage;
use crate::queue::MessageQueue;

/// A request that did not get the answer it needs.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection, or it was lost before the answer came.
    #[error("{request} to {address}: {reason}")]
    Unreachable {
        /// Name of the request.
        request: &'static str,
        /// Address that was tried.
        address: Arc<str>,
        /// What the network said.
        reason: String,
    },
    /// No answer came in time. The request may have been executed.
    #[error("{request} to {address}: no answer in {after:?}")]
    Timeout {
        /// Name of the request.
        request: &'static str,
        /// Address that was asked.
        address: Arc<str>,
        /// How long the answer was waited for.
        after: Duration,
    },
    /// The answer says no.
    #[error("{request} to {address}: refused with code {code}: {remark}")]
    Refused {
        /// Name of the request.
        request: &'static str,
        /// Address that answered.
        address: Arc<str>,
        /// Response code of the protocol.
        code: i32,
        /// Text of the answer.
        remark: String,
    },
    /// The answer cannot be read.
    #[error("{request} to {address}: answer cannot be read: {reason}")]
    Malformed {
        /// Name of the request.
        request: &'static str,
        /// Address that answered.
        address: Arc<str>,
        /// What is wrong with it.
        reason: String,
    },
}

impl CallError {
    /// The response code, when there was an answer that said no.
    pub fn code(&self) -> Option<i32> {
        match self {
            CallError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// No route to a topic.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RouteError {
    /// No name server address is set.
    #[error("no name server address is set")]
    NoNameServer,
    /// No broker has the topic, and none creates it by itself.
    #[error("topic {topic} does not exist (asked name server {address})")]
    NoTopic {
        /// The topic.
        topic: String,
        /// Name server that says so.
        address: Arc<str>,
    },
    /// The client holds as many routes as it may.
    #[error("client uses {limit} topics already, which is the limit")]
    TooManyTopics {
        /// The limit.
        limit: usize,
    },
    /// Every name server failed; this is the last failure.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// A message was not sent, or it is not known whether it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// The message can never be sent.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
    /// The topic cannot be found.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// No broker accepts messages for the topic.
    #[error("topic {topic} has no queue that can be written")]
    NoQueue {
        /// The topic.
        topic: String,
    },
    /// Every attempt failed; this is the last failure. After a timeout the message may be stored.
    #[error("message for topic {topic} not acknowledged after {attempts} attempts: {source}")]
    Failed {
        /// The topic.
        topic: String,
        /// Requests that were made.
        attempts: u32,
        /// The last failure.
        source: CallError,
    },
}

/// A request was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// The request was not sent, or it is not known whether it was.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No consumer replied in time. The request may still be consumed.
    #[error("no reply to the request to topic {topic} within {after:?}")]
    NoReply {
        /// Topic of the request.
        topic: String,
        /// How long it was waited.
        after: Duration,
    },
    /// As many requests wait as may.
    #[error("{limit} requests of this client wait already, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// Messages could not be pulled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PullError {
    /// The broker that has the queue is not known.
    #[error("no address is known for broker {} of queue {queue}", queue.broker)]
    NoBroker {
        /// The queue.
        queue: MessageQueue,
    },
    /// The route of the topic cannot be found.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The queue was not assigned to the consumer.
    #[error("queue {queue} is not assigned")]
    NotAssigned {
        /// The queue.
        queue: MessageQueue,
    },
    /// The broker did not answer as needed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// An offset could not be asked for or stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OffsetError {
    /// The broker that has the queue is not known.
    #[error("no address is known for broker {} of queue {queue}", queue.broker)]
    NoBroker {
        /// The queue.
        queue: MessageQueue,
    },
    /// The broker did not answer as needed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// A client, producer or consumer cannot start.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// No name server address is set.
    #[error("no name server address is set")]
    NoNameServer,
    /// The group's name is empty, too long, or has characters outside `%|a-zA-Z0-9_-`.
    #[error(
        "group {group:?} is not valid: 1 to {limit} of the characters %|a-zA-Z0-9_- are allowed"
    )]
    InvalidGroup {
        /// The refused name.
        group: String,
        /// Longest allowed name.
        limit: usize,
    },
    /// This client already has a producer or consumer of that group.
    #[error("group {group} is already used by this client")]
    GroupInUse {
        /// The group.
        group: String,
    },
    /// The client has as many groups as it may.
    #[error("client has {limit} groups already, which is the limit")]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// A consumer subscribes to nothing.
    #[error("consumer group {group} subscribes to no topic")]
    NoSubscription {
        /// The group.
        group: String,
    },
    /// Offsets kept in a local file cannot be read.
    #[error("offsets file {path}: {reason}")]
    OffsetsFile {
        /// Path of the file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

/// An administrative operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdminError {
    /// The topic cannot be found.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The name is not one that brokers accept.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
    /// No cluster of that name is known to the name server.
    #[error("cluster {cluster} does not exist; known clusters: {known}")]
    NoCluster {
        /// The cluster asked for.
        cluster: String,
        /// Names of the clusters that exist, separated by commas.
        known: String,
    },
    /// No broker of that name is known to the name server.
    #[error("broker {broker} does not exist; known brokers: {known}")]
    NoBroker {
        /// The broker asked for.
        broker: String,
        /// Names of the brokers that exist, separated by commas.
        known: String,
    },
    /// The group's name is empty, too long, or has characters outside `%|a-zA-Z0-9_-`.
    #[error(
        "group {group:?} is not valid: 1 to {limit} of the characters %|a-zA-Z0-9_- are allowed"
    )]
    InvalidGroup {
        /// The refused name.
        group: String,
        /// Longest allowed name, in bytes.
        limit: usize,
    },
    /// A setting's key or value cannot be sent.
    #[error(
        "setting {key:?}: a key is not empty, and neither key nor value has line breaks or, the key, `=`"
    )]
    InvalidSetting {
        /// The refused key.
        key: String,
    },
    /// An offset that is wanted is not one of its queue.
    #[error("offset {offset} is outside {queue}, which holds {min} to {max}")]
    OutsideQueue {
        /// The queue.
        queue: MessageQueue,
        /// The offset asked for.
        offset: u64,
        /// Lowest offset that can be read.
        min: u64,
        /// Offset that the next message will get.
        max: u64,
    },
    /// The group has members, and the broker moves groups only through their members
    /// (`useServerSideResetOffset=false`, or a broker before 5.0).
    #[error(
        "group {group} has members, and broker {broker} does not move such groups by itself \
         (useServerSideResetOffset): end the members first"
    )]
    GroupOnline {
        /// The group.
        group: String,
        /// Name of the broker.
        broker: Arc<str>,
    },
    /// A change was made at some brokers and not at others.
    #[error("done at {}; failed: {}", done.join(", "), join(failed))]
    Partly {
        /// Addresses of the brokers that made the change.
        done: Vec<Arc<str>>,
        /// What the others answered.
        failed: Vec<CallError>,
    },
    /// The cluster has no master to ask.
    #[error("no broker master is registered at name server {address}")]
    NoMaster {
        /// The name server that was asked.
        address: Arc<str>,
    },
    /// An offset could not be asked for.
    #[error(transparent)]
    Offset(#[from] OffsetError),
    /// A server did not answer as needed.
    #[error(transparent)]
    Call(#[from] CallError),
}

fn join(errors: &[CallError]) -> String {
    errors.iter().map(CallError::to_string).collect::<Vec<_>>().join("; ")
}
