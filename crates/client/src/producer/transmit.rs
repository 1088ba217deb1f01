//! Brings a prepared message to a broker, within the producer's time.

use std::sync::Arc;
use std::time::Duration;

use super::{Prepared, Producer, Shared};
use crate::error::{CallError, RouteError, SendError};
use crate::producer::retry::is_retryable;
use crate::producer::select::Outcome;
use crate::queue::MessageQueue;
use crate::remote::Stored;

impl Producer {
    /// Tries brokers until one stores the message, the attempts are used up, or the time is.
    pub(super) async fn transmit(
        &self,
        topic: &str,
        order: Option<&str>,
        prepared: &Prepared,
    ) -> Result<(MessageQueue, Stored), SendError> {
        let Shared { client, settings, .. } = &*self.shared;
        let start = client.env().clock.mono();
        let left = || settings.timeout.saturating_sub(client.env().clock.mono() - start);
        let failed =
            |attempts, source| SendError::Failed { topic: topic.to_owned(), attempts, source };
        let mut last: Option<(MessageQueue, CallError)> = None;
        let mut attempts = 0;
        loop {
            let tried = last.as_ref().map(|(queue, _)| queue);
            let queue = match (self.choose(topic, order, tried, left()).await, last) {
                (Ok(queue), _) => queue,
                // The broker that may have stored the message is the one to name.
                (Err(_), Some((_, error))) => return Err(failed(attempts, error)),
                (Err(error), None) => return Err(error),
            };
            attempts += 1;
            let error = match self.attempt(&queue, prepared, left()).await {
                Ok(stored) => return Ok((queue, stored)),
                Err(error) => error,
            };
            // An order key names one queue: trying another one would break the order.
            let may_retry = order.is_none() && attempts <= settings.retries;
            if !may_retry || left().is_zero() || !is_retryable(&error) {
                return Err(failed(attempts, error));
            }
            tracing::debug!(%queue, %error, "send failed, trying again");
            last = Some((queue, error));
        }
    }

    /// Hands the message to the network, and does not wait for an answer.
    pub(super) async fn transmit_oneway(
        &self,
        topic: &str,
        order: Option<&str>,
        prepared: &Prepared,
    ) -> Result<(), SendError> {
        let Shared { client, settings, .. } = &*self.shared;
        let (clock, after) = (&client.env().clock, settings.timeout);
        let start = clock.mono();
        let queue = self.choose(topic, order, None, after).await?;
        let failed = |source| SendError::Failed { topic: topic.to_owned(), attempts: 1, source };
        let address = self.address(&queue).map_err(failed)?;
        let request = self.send_request(&queue, prepared);
        let left = after.saturating_sub(clock.mono() - start);
        client.remote().send_unanswered(&address, &request, left).await.map_err(failed)
    }

    async fn attempt(
        &self,
        queue: &MessageQueue,
        prepared: &Prepared,
        timeout: Duration,
    ) -> Result<Stored, CallError> {
        let client = &self.shared.client;
        let address = self.address(queue)?;
        let request = self.send_request(queue, prepared);
        let start = client.env().clock.mono();
        let result = client.remote().send(&address, &request, timeout).await;
        let now = client.env().clock.mono();
        let outcome = match &result {
            Err(error) if is_retryable(error) => Outcome::Failed,
            _ => Outcome::Answered(now - start),
        };
        self.shared.selector.lock().record(&queue.broker, outcome, now);
        result
    }

    /// The queue to send to. A route that is not known is asked for: that may take `timeout`, however many
    /// name servers there are to ask.
    async fn choose(
        &self,
        topic: &str,
        order: Option<&str>,
        last: Option<&MessageQueue>,
        timeout: Duration,
    ) -> Result<MessageQueue, SendError> {
        let client = &self.shared.client;
        let clock = &client.env().clock;
        let known =
            clock.timeout(timeout, client.send_route(topic)).await.unwrap_or_else(|_| {
                Err(RouteError::Call(client.remote().no_route_within(self.shared.settings.timeout)))
            })?;
        let queues = &known.write_queues;
        let now = clock.mono();
        let queue = match order {
            Some(key) => queue_of_key(queues, key),
            None => {
                let last = last.map(|queue| &*queue.broker);
                self.shared.selector.lock().pick(queues, last, now)
            }
        };
        queue.ok_or_else(|| SendError::NoQueue { topic: topic.to_owned() })
    }

    fn address(&self, queue: &MessageQueue) -> Result<Arc<str>, CallError> {
        let client = &self.shared.client;
        let address = client.address_of_master(&queue.broker);
        address.ok_or_else(|| client.unknown_broker("SEND_MESSAGE_V2", &queue.broker))
    }
}

/// The queue of an order key: the choice of the Java client's `SelectMessageQueueByHash`.
fn queue_of_key(queues: &[MessageQueue], key: &str) -> Option<MessageQueue> {
    let count = i64::try_from(queues.len()).ok().filter(|count| *count > 0)?;
    let index = (i64::from(wire::java_hash::java_hash(key)) % count).unsigned_abs();
    queues.get(usize::try_from(index).ok()?).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    // An order key always names the same queue, the one the Java client would choose.
    #[test]
    fn an_order_key_names_one_queue() {
        let queues: Vec<_> = (0..4).map(|id| MessageQueue::new("T", "b", id)).collect();
        // "TagA".hashCode() is 2598919; "polygenelubricants".hashCode() is -2147483648.
        assert_eq!(queue_of_key(&queues, "TagA").map(|queue| queue.id), Some(3));
        assert_eq!(queue_of_key(&queues, "polygenelubricants").map(|queue| queue.id), Some(0));
        assert_eq!(queue_of_key(&[], "x"), None);
    }
}
