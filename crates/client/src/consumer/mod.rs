//! Consumers: messages are pushed to a listener, or pulled by the application.

mod assigned;
mod assignment;
pub(crate) mod group;
mod listener;
mod local_offsets;
pub(crate) mod member;
mod process_queue;
pub(crate) mod pull;
mod push;
mod rebalance;
mod subscription;
mod worker;

pub use group::{ConsumeFrom, Model};
pub use listener::{Consumed, Ordered};
pub use pull::{Position, PullConsumer};
pub use push::{PushConsumer, PushConsumerBuilder};
pub use rebalance::Strategy;
pub use subscription::TagFilter;
