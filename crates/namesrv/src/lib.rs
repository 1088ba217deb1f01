//! The name server: tells clients which brokers hold a topic, and brokers who their peers are.
//!
//! Owns: the route tables, the KV configuration, and the end of brokers that fall silent.
//! Invariants: answers are strict JSON whatever was asked for; a broker whose connection ends is out
//! of the routes before anything else is read; a route is encoded once per change, not per question;
//! nothing here waits, for the KV file neither: a thread of its own writes it.
//! Absent: sockets (a [`wire::Call`] is all it is), messages, and any state that outlives the
//! process but the KV configuration: brokers register again within 30 seconds.
//!
//! Start at [`routes`], where the rules are, then [`Namesrv`].

mod expire;
mod handle;
mod here;
pub mod kv;
pub mod limits;
mod reply;
pub mod routes;
mod serve;
mod settings;

pub use here::{BrokerHere, ByNetwork};
pub use serve::Namesrv;
pub use settings::NamesrvSettings;
