//! The broker role: keeps topics, groups, offsets and clients, and turns requests into appends and reads of the store.
//!
//! **Owns** the tables of `config/*.json` and what is known of connected clients. **Invariants:** an answer to a send
//! means what the flush mode says; a client's pull is filtered by that client's own subscription; an error becomes a
//! response code in [`reply`] and nowhere else. **Absent:** it opens no file and no socket, and knows no other role.
//! **Start here:** [`serve`] (one read of a connection), then `handle::send` and `handle::pull`.

pub mod attribute;
pub mod broker;
pub mod clients;
pub mod group;
mod handle;
pub mod health;
pub mod limits;
pub mod live;
pub mod locks;
mod message;
pub mod metrics;
pub mod offset;
pub mod page;
mod persist;
pub mod progress;
mod register;
pub mod reply;
pub mod schedule;
pub mod serve;
pub mod settings;
pub mod stats;
pub mod topic;

pub use broker::{Broker, Deps, OpenError};
pub use settings::{BrokerSettings, MetricsExporter};
