//! A client of Apogee and of Apache RocketMQ, over the remoting protocol.
//!
//! Owns: the route cache, one connection per address, heartbeats, and on top of them a
//! [`Producer`], a [`PushConsumer`], a [`PullConsumer`] and the operations of an [`Admin`].
//!
//! Invariants: a consumer commits only what was consumed, so a crash delivers again and never skips;
//! queues are shared out exactly as the Java client does it, so groups may be mixed; everything that
//! waits or grows has its bound in [`limits`].
//!
//! Absent: transactions, SQL filters, POP consumption, TLS, signatures.
//!
//! Start at [`Client::new`].
#![doc = include_str!("guide.md")]

mod admin;
mod consumer;
mod error;
mod groups;
mod inbox;
mod instance;
pub mod limits;
mod message;
mod producer;
mod queue;
mod received;
mod remote;
mod reply;
mod route;
mod routes;

pub use admin::{
    Admin, At, Cluster, OffsetReset, QueueProgress, QueueRange, QueueStats, Target,
    TopicDescription, TopicSpec,
};
pub use consumer::{
    ConsumeFrom, Consumed, Model, Ordered, Position, PullConsumer, PushConsumer,
    PushConsumerBuilder, Strategy, TagFilter,
};
pub use error::{
    AdminError, CallError, OffsetError, PullError, RequestError, RouteError, SendError, StartError,
};
pub use instance::{Client, ClientSettings};
pub use message::{InvalidMessage, Message};
pub use producer::{BatchReceipt, Producer, ProducerSettings, Receipt, SendStatus, Sending};
pub use queue::MessageQueue;
pub use received::Received;
pub use reply::{NotARequest, Reply};
pub use route::{Brokers, Route, Share};
/// Bodies of the protocol that administration shows as they are.
pub use wire::body::{
    Connection, ConsumerConnection, SubscriptionData, SubscriptionGroupConfig, TopicConfig,
};

/// The Rust example of the README is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
