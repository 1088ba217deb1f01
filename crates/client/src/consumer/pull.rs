//! A consumer that reads the queues it is told to, from where it is told to.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, Aborted};
use futures_util::stream::FuturesUnordered;

use crate::consumer::subscription::TagFilter;
use crate::error::{CallError, OffsetError, PullError, RouteError};
use crate::instance::Client;
use crate::limits;
use crate::queue::MessageQueue;
use crate::received::Received;

/// A pull as it is asked of a broker.
#[derive(Debug)]
pub(crate) struct PullRequest<'a> {
    pub(crate) group: &'a str,
    pub(crate) queue: &'a MessageQueue,
    pub(crate) offset: u64,
    /// Offset to store for the group on the way.
    pub(crate) commit: Option<u64>,
    /// How long the broker may hold the request when there is nothing; zero for not at all.
    pub(crate) hold: Duration,
    /// The subscription, when the broker does not know it from heartbeats.
    pub(crate) filter: Option<&'a TagFilter>,
    /// Version of the subscription.
    pub(crate) version: i64,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullStatus {
    /// There are messages.
    Found,
    /// There is nothing at this offset yet.
    NoNewMessage,
    /// There were messages, but none that matches the filter.
    NoMatch,
    /// The offset is outside the queue; go on at [`Pulled::next`].
    Moved,
}

/// The answer to a pull.
#[derive(Clone, Debug)]
pub(crate) struct Pulled {
    /// How it ended.
    pub(crate) status: PullStatus,
    /// The messages, in offset order. A tag may still differ from the wanted ones when its hash is
    /// equal.
    pub(crate) messages: Vec<Received>,
    /// Where to go on.
    pub(crate) next: u64,
    /// Id of the broker of the group that should be read from.
    pub(crate) suggested_broker: u64,
}

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// At the oldest message.
    First,
    /// After the newest message.
    Last,
    /// At this offset.
    Offset(u64),
    /// At the first message stored at or after this time, in milliseconds since 1970.
    TimeMs(i64),
    /// Where the group committed last; at the oldest message when it never did.
    Committed,
}

type Pull = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A pull that ended.
type Ended = (MessageQueue, Result<Pulled, PullError>);

/// A queue that is being read.
struct Reading {
    next: u64,
    suggested: u64,
    /// Ends the pull under way.
    pull: AbortHandle,
}

/// Reads queues that the application chooses; nothing is shared out among members.
///
/// One long poll per queue is under way while [`poll`](PullConsumer::poll) waits, so a message is
/// delivered as soon as it is stored.
///
/// ```no_run
/// # async fn example(client: client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use client::Position;
/// use std::time::Duration;
///
/// let mut consumer = client.pull_consumer("audit")?;
/// for queue in consumer.queues("orders").await? {
///     consumer.assign(queue, Position::First).await?;
/// }
/// while let Some(messages) = consumer.poll(Duration::from_secs(1)).await? {
///     println!("{} messages", messages.len());
///     consumer.commit().await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct PullConsumer {
    client: Client,
    group: Arc<str>,
    filter: TagFilter,
    version: i64,
    reading: BTreeMap<MessageQueue, Reading>,
    /// One pull per queue, and those that were ended and not taken out yet.
    pulls: FuturesUnordered<Abortable<Pull>>,
}

impl PullConsumer {
    pub(crate) fn new(client: Client, group: Arc<str>) -> PullConsumer {
        let version = client.env().clock.wall_ms();
        PullConsumer {
            client,
            group,
            filter: TagFilter::all(),
            version,
            reading: BTreeMap::new(),
            pulls: FuturesUnordered::new(),
        }
    }

    /// Wants only messages with one of these tags: an expression as in a subscription.
    pub fn filter(&mut self, expression: &str) {
        self.filter = TagFilter::parse(expression);
        self.version = self.client.env().clock.wall_ms();
        let moves: Vec<_> =
            self.reading.iter().map(|(queue, one)| (queue.clone(), one.next)).collect();
        moves.into_iter().for_each(|(queue, next)| self.read_from(queue, next));
    }

    /// The queues of a topic that can be read.
    ///
    /// # Errors
    /// When the topic does not exist or no name server answers.
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, RouteError> {
        Ok(self.client.route(topic).await?.read_queues(&topic.into()))
    }

    /// Starts to read a queue, or moves to another place of a queue that is being read.
    ///
    /// # Errors
    /// When the position has to be asked for and its broker is not known or does not answer.
    pub async fn assign(
        &mut self,
        queue: MessageQueue,
        position: Position,
    ) -> Result<(), OffsetError> {
        let offset = self.resolve(&queue, position).await?;
        self.read_from(queue, offset);
        Ok(())
    }

    /// Stops reading a queue.
    pub fn unassign(&mut self, queue: &MessageQueue) {
        if let Some(one) = self.reading.remove(queue) {
            one.pull.abort();
        }
    }

    /// Moves to another place of a queue that is being read.
    ///
    /// # Errors
    /// [`PullError::NotAssigned`], or as [`assign`](PullConsumer::assign).
    pub async fn seek(
        &mut self,
        queue: &MessageQueue,
        position: Position,
    ) -> Result<(), PullError> {
        if !self.reading.contains_key(queue) {
            return Err(PullError::NotAssigned { queue: queue.clone() });
        }
        match self.assign(queue.clone(), position).await {
            Ok(()) => Ok(()),
            Err(OffsetError::NoBroker { queue }) => Err(PullError::NoBroker { queue }),
            Err(OffsetError::Call(error)) => Err(PullError::Call(error)),
        }
    }

    /// The queues being read, each with the offset to be read next.
    pub fn positions(&self) -> Vec<(MessageQueue, u64)> {
        self.reading.iter().map(|(queue, one)| (queue.clone(), one.next)).collect()
    }

    /// The next messages of one queue, in offset order; `None` when none came in `wait`.
    ///
    /// After an error, the next call goes on; the queue that failed is asked again a second later.
    /// Dropping the future loses nothing. Where the position is outside the queue, because messages were
    /// deleted before they were read, it goes on where the broker says, with a warning in the log.
    ///
    /// # Errors
    /// When the pull of a queue failed; the queue stays assigned.
    pub async fn poll(&mut self, wait: Duration) -> Result<Option<Vec<Received>>, PullError> {
        let clock = self.client.env().clock.clone();
        let deadline = clock.mono().saturating_add(wait);
        loop {
            let left = deadline.saturating_sub(clock.mono());
            let Ok(ended) = clock.timeout(left, self.next_ended()).await else { return Ok(None) };
            if let Some(messages) = self.accept(ended)? {
                return Ok(Some(messages));
            }
        }
    }

    /// Stores the positions for the group: everything that was polled counts as consumed.
    ///
    /// # Errors
    /// With the first queue whose broker does not answer; those before it are committed.
    pub async fn commit(&self) -> Result<(), OffsetError> {
        for (queue, one) in &self.reading {
            let address = self.master_of(queue)?;
            self.client.remote().commit(&address, &self.group, queue, one.next).await?;
        }
        Ok(())
    }

    /// The offset of a place in a queue.
    ///
    /// # Errors
    /// When the queue's broker is not known or does not answer.
    pub async fn resolve(
        &self,
        queue: &MessageQueue,
        position: Position,
    ) -> Result<u64, OffsetError> {
        let remote = self.client.remote();
        let address = self.master_of(queue)?;
        Ok(match position {
            Position::Offset(offset) => offset,
            Position::First => remote.min_offset(&address, queue).await?,
            Position::Last => remote.max_offset(&address, queue).await?,
            Position::TimeMs(time) => remote.offset_at(&address, queue, time).await?,
            Position::Committed => {
                match remote.committed_offset(&address, &self.group, queue).await? {
                    Some(offset) => offset,
                    None => remote.min_offset(&address, queue).await?,
                }
            }
        })
    }

    fn master_of(&self, queue: &MessageQueue) -> Result<Arc<str>, OffsetError> {
        let address = self.client.address_of_master(&queue.broker);
        address.ok_or_else(|| OffsetError::NoBroker { queue: queue.clone() })
    }

    fn read_from(&mut self, queue: MessageQueue, next: u64) {
        self.unassign(&queue);
        let pull = self.pull(queue.clone(), next, 0, Duration::ZERO);
        self.reading.insert(queue, Reading { next, suggested: 0, pull });
    }

    async fn next_ended(&mut self) -> Ended {
        loop {
            match self.pulls.next().await {
                Some(Ok(ended)) => return ended,
                Some(Err(Aborted)) => {}
                // Nothing is assigned: there is nothing to wait for but the deadline.
                None => std::future::pending().await,
            }
        }
    }

    /// Takes a pull's answer in, and starts the next pull of its queue.
    fn accept(&mut self, (queue, result): Ended) -> Result<Option<Vec<Received>>, PullError> {
        let Some(mut one) = self.reading.remove(&queue) else { return Ok(None) };
        let pause = if result.is_err() { limits::PULL_RETRY } else { Duration::ZERO };
        let result = result.map(|pulled| {
            if pulled.status == PullStatus::Moved {
                let (offset, next) = (one.next, pulled.next);
                tracing::warn!(%queue, offset, next, "offset is outside the queue");
            }
            one.next = pulled.next;
            one.suggested = pulled.suggested_broker;
            let mut messages = pulled.messages;
            messages.retain(|message| self.filter.matches(message.tag()));
            (!messages.is_empty()).then_some(messages)
        });
        one.pull = self.pull(queue.clone(), one.next, one.suggested, pause);
        self.reading.insert(queue, one);
        result
    }

    /// Starts to pull, after a pause.
    fn pull(
        &mut self,
        queue: MessageQueue,
        offset: u64,
        suggested: u64,
        pause: Duration,
    ) -> AbortHandle {
        let (client, group) = (self.client.clone(), self.group.clone());
        let (filter, version) = (self.filter.clone(), self.version);
        let pull: Pull = Box::pin(async move {
            if !pause.is_zero() {
                client.env().clock.sleep(pause).await;
            }
            let request = PullRequest {
                group: &group,
                queue: &queue,
                offset,
                commit: None,
                hold: limits::PULL_SUSPEND,
                filter: Some(&filter),
                version,
            };
            let result = match client.address_to_read(&queue.broker, suggested) {
                None => Err(PullError::NoBroker { queue: queue.clone() }),
                Some(address) => {
                    let pulled: Result<Pulled, CallError> =
                        client.remote().pull(&address, &request).await;
                    pulled.map_err(PullError::Call)
                }
            };
            (queue, result)
        });
        let (handle, registration) = AbortHandle::new_pair();
        self.pulls.push(Abortable::new(pull, registration));
        handle
    }
}
