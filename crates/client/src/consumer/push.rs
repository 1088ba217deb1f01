//! A consumer to which messages are pushed.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env::Stop;
use env::tasks::TaskHandle;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::consumer::group::{ConsumeFrom, Group, Model, Subscription};
use crate::consumer::listener::{Consumed, Listener, Ordered};
use crate::consumer::local_offsets::LocalOffsets;
use crate::consumer::member::Member;
use crate::consumer::rebalance::Strategy;
use crate::consumer::subscription::TagFilter;
use crate::error::StartError;
use crate::instance::Client;
use crate::limits;
use crate::message::is_valid_name;
use crate::queue::MessageQueue;
use crate::received::Received;

/// Describes a consumer to which messages are pushed; [`concurrently`] or [`in_order`] starts it.
///
/// [`concurrently`]: PushConsumerBuilder::concurrently
/// [`in_order`]: PushConsumerBuilder::in_order
///
/// ```no_run
/// # async fn example(client: client::Client) -> Result<(), client::StartError> {
/// use client::Consumed;
///
/// let consumer = client
///     .push_consumer("billing")
///     .subscribe("orders", "created || paid")
///     .concurrently(|messages| async move {
///         for message in messages {
///             println!("{} {:?}", message.message_id(), message.body());
///         }
///         Consumed::Success
///     })
///     .await?;
/// // …
/// consumer.close().await;
/// # Ok(())
/// # }
/// ```
pub struct PushConsumerBuilder {
    client: Client,
    group: String,
    model: Model,
    from: ConsumeFrom,
    subscriptions: BTreeMap<String, TagFilter>,
    batch: usize,
    max_reconsume: Option<i32>,
    strategy: Strategy,
    offsets_file: Option<PathBuf>,
}

impl PushConsumerBuilder {
    pub(crate) fn new(client: Client, group: &str) -> PushConsumerBuilder {
        PushConsumerBuilder {
            client,
            group: group.to_owned(),
            model: Model::default(),
            from: ConsumeFrom::default(),
            subscriptions: BTreeMap::new(),
            batch: 1,
            max_reconsume: None,
            strategy: Strategy::default(),
            offsets_file: None,
        }
    }

    /// Subscribes to a topic: `*` for everything, or tags separated by `||`. All members of a group
    /// must subscribe to the same.
    pub fn subscribe(mut self, topic: &str, expression: &str) -> Self {
        self.subscriptions.insert(topic.to_owned(), TagFilter::parse(expression));
        self
    }

    /// Whether one member of the group gets a message (the default), or every one.
    pub fn model(mut self, model: Model) -> Self {
        self.model = model;
        self
    }

    /// Where to start in a queue that the group has never read.
    pub fn from(mut self, from: ConsumeFrom) -> Self {
        self.from = from;
        self
    }

    /// Most messages per call of the listener, at least 1 (the default).
    pub fn batch(mut self, messages: usize) -> Self {
        self.batch = messages.max(1);
        self
    }

    /// Deliveries after the first before a message becomes a dead letter. The default is 16, and
    /// without limit for ordered listeners.
    pub fn max_reconsume_times(mut self, times: i32) -> Self {
        self.max_reconsume = Some(times);
        self
    }

    /// How queues are shared out; all members of a group must use the same.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Where a broadcasting consumer keeps its progress. Without it, progress ends with the process.
    pub fn offsets_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.offsets_file = Some(path.into());
        self
    }

    /// Starts the consumer. The listener runs for up to [`limits::LISTENERS`] messages at once;
    /// messages that it asks for [`Consumed::Later`], or panics on, are delivered again with growing
    /// delays.
    ///
    /// # Errors
    /// When the group's name is not valid or in use by this client, it subscribes to nothing, or its file
    /// of offsets cannot be read. Topics and brokers that are missing are waited for.
    pub async fn concurrently<F, R>(self, listener: F) -> Result<PushConsumer, StartError>
    where
        F: Fn(Vec<Received>) -> R + Send + Sync + 'static,
        R: Future<Output = Consumed> + Send + 'static,
    {
        self.start(Listener::concurrent(listener)).await
    }

    /// Starts the consumer. The listener gets the messages of one queue one after the other; of
    /// several members of the group, only the one that holds the queue's lock at the broker reads it.
    ///
    /// # Errors
    /// As [`concurrently`](PushConsumerBuilder::concurrently).
    pub async fn in_order<F, R>(self, listener: F) -> Result<PushConsumer, StartError>
    where
        F: Fn(Vec<Received>) -> R + Send + Sync + 'static,
        R: Future<Output = Ordered> + Send + 'static,
    {
        self.start(Listener::ordered(listener)).await
    }

    async fn start(self, listener: Listener) -> Result<PushConsumer, StartError> {
        if !is_valid_name(&self.group, limits::GROUP_BYTES) {
            let limit = limits::GROUP_BYTES;
            return Err(StartError::InvalidGroup { group: self.group, limit });
        }
        if self.subscriptions.is_empty() {
            return Err(StartError::NoSubscription { group: self.group });
        }
        let local = self.local_offsets()?;
        let env = self.client.env().clone();
        let max_reconsume = match (self.max_reconsume, listener.is_ordered()) {
            (Some(times), _) => times,
            (None, true) => i32::MAX,
            (None, false) => limits::MAX_RECONSUME,
        };
        let group = Arc::new(self.group(env.clock.wall_ms()));
        let member = Arc::new(Member {
            client: self.client.clone(),
            group: group.clone(),
            listener,
            batch: self.batch,
            max_reconsume,
            strategy: self.strategy,
            started_ms: env.clock.wall_ms(),
            stop: Stop::new(env.clock.clone()),
            slots: Arc::new(Semaphore::new(limits::LISTENERS)),
            assigned: Mutex::default(),
            starting: Mutex::default(),
            settled: AtomicBool::new(false),
            local,
        });
        self.client.join(&member)?;
        // From here on dropping it leaves the group, also when this future is dropped.
        let mut consumer = PushConsumer { member: member.clone(), task: None };
        // Routes first: a heartbeat goes to the brokers that routes name.
        for topic in group.subscriptions.keys() {
            if let Err(error) = self.client.route(topic).await {
                tracing::debug!(%topic, %error, "no route yet");
            }
        }
        self.client.heartbeat().await;
        consumer.task = Some(self.client.spawn("consumer", member.run()));
        Ok(consumer)
    }

    fn local_offsets(&self) -> Result<LocalOffsets, StartError> {
        let Some(path) = self.offsets_file.clone().filter(|_| self.model == Model::Broadcasting)
        else {
            return Ok(LocalOffsets::in_memory());
        };
        let shown = path.display().to_string();
        LocalOffsets::in_file(self.client.env().disk.clone(), path)
            .map_err(|error| StartError::OffsetsFile { path: shown, reason: error.to_string() })
    }

    fn group(&self, now_ms: i64) -> Group {
        let mut subscriptions: BTreeMap<Arc<str>, Subscription> = self
            .subscriptions
            .iter()
            .map(|(topic, filter)| {
                (topic.as_str().into(), Subscription::new(filter.clone(), now_ms))
            })
            .collect();
        if self.model == Model::Clustering {
            let retry = Group::retry_topic(&self.group).into();
            subscriptions.insert(retry, Subscription::new(TagFilter::all(), now_ms));
        }
        Group {
            name: self.group.as_str().into(),
            model: self.model,
            from: self.from,
            subscriptions,
            rebalance: Notify::new(),
        }
    }
}

/// A running consumer. Dropping it stops it and leaves the group, without a last commit;
/// [`PushConsumer::close`] commits.
pub struct PushConsumer {
    member: Arc<Member>,
    task: Option<TaskHandle>,
}

impl PushConsumer {
    /// The queues that this consumer reads now, each with its lowest unconsumed offset.
    pub fn assigned(&self) -> Vec<(MessageQueue, u64)> {
        self.member.positions()
    }

    /// Whether [`assigned`](PushConsumer::assigned) has every queue of this consumer's share, as of
    /// its last look at the group. Queues are started one after the other: before this is true,
    /// some may be missing.
    pub fn is_settled(&self) -> bool {
        self.member.settled.load(Ordering::Acquire)
    }

    /// Stops reading, waits for running listeners (at most [`limits::CLOSE_WAIT`]), commits, gives up
    /// queue locks, and leaves the group, so that the others take over at once.
    pub async fn close(mut self) {
        self.member.stop.stop();
        if let Some(task) = self.task.take() {
            task.join().await;
        }
        self.member.close().await;
    }
}

impl Drop for PushConsumer {
    fn drop(&mut self) {
        self.member.stop.stop();
        self.member.assigned.lock().values().for_each(|one| one.stop.stop());
        // After a close there is nothing left to do.
        self.member.client.leave(&self.member);
        self.member.client.departures().due.notify_one();
    }
}
