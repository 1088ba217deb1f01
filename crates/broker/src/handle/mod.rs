//! One file per family of requests: check, act, answer.

pub mod client;
pub mod config;
pub mod offset;
pub mod pull;
pub mod query;
pub mod send;
pub mod send_back;
