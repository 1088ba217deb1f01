//! The requests, by family. Each handler takes the typed header and returns the answer.

pub(crate) mod broker;
pub(crate) mod config;
pub(crate) mod kv;
pub(crate) mod route;
pub(crate) mod topic;
