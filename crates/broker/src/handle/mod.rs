//! One file per family of requests: check, act, answer.

pub(crate) mod clean;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod consumer_status;
pub(crate) mod inspect;
pub(crate) mod lists;
pub(crate) mod offset;
mod place;
pub(crate) mod progress;
pub(crate) mod pull;
pub(crate) mod query;
pub(crate) mod reply_message;
pub(crate) mod reset;
pub(crate) mod send;
pub(crate) mod send_back;
pub(crate) mod settings;
#[cfg(test)]
mod tests;
