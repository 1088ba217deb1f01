//! One file per family of requests: check, act, answer.

pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod inspect;
pub(crate) mod offset;
pub(crate) mod pull;
pub(crate) mod query;
pub(crate) mod send;
pub(crate) mod send_back;
