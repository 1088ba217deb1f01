//! Requests: messages whose sender waits for an answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use wire::props::names;

use super::Producer;
use crate::error::RequestError;
use crate::instance::Client;
use crate::limits;
use crate::message::Message;
use crate::reply::Reply;

/// A request that waits. Ends with the wait, however that ends.
struct Waiting<'a> {
    client: &'a Client,
    correlation: String,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.client.state().requests.remove(&self.correlation);
    }
}

impl Producer {
    /// Sends a message and waits until a consumer replies to it
    /// ([`Message::reply_to`](crate::Message::reply_to)). Any consumer of the topic may; the first
    /// reply counts. `timeout` covers sending and waiting.
    ///
    /// ```no_run
    /// # async fn example(producer: client::Producer) -> Result<(), client::RequestError> {
    /// use std::time::Duration;
    ///
    /// let request = client::Message::new("prices", "apples?");
    /// let reply = producer.request(request, Duration::from_secs(3)).await?;
    /// println!("{:?}", reply.body());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RequestError::Send`] when the request is not stored, [`RequestError::NoReply`] when it is
    /// but nobody replied in time, [`RequestError::TooMany`] when [`limits::REQUESTS`] wait already.
    pub async fn request(
        &self,
        message: Message,
        timeout: Duration,
    ) -> Result<Reply, RequestError> {
        let client = &self.shared.client;
        let topic = message.topic().to_owned();
        let correlation = client.next_key().to_string();
        let (waiting, reply) = client.await_reply(correlation)?;
        let request = message
            .with(names::CORRELATION_ID, waiting.correlation.clone())
            .with(names::REPLY_TO_CLIENT, client.id().to_owned())
            .with(names::TTL, timeout.as_millis().to_string());
        let exchange = async {
            self.announce(&topic).await?;
            self.send(request).await?;
            // The sender is kept in the client's state for as long as `waiting` lives.
            Ok(reply.await.ok())
        };
        match client.env().clock.timeout(timeout, exchange).await {
            Ok(Ok(Some(reply))) => Ok(reply),
            Ok(Err(error)) => Err(RequestError::Send(error)),
            Ok(Ok(None)) | Err(_) => Err(RequestError::NoReply { topic, after: timeout }),
        }
    }

    /// Replies come by the brokers' connections to producers that they heard of: tells them before
    /// the first request to a topic.
    async fn announce(&self, topic: &str) -> Result<(), crate::error::SendError> {
        let client = &self.shared.client;
        let known = client.state().routes.contains_key(topic);
        client.send_route(topic).await?;
        if !self.shared.announced.swap(true, Ordering::AcqRel) || !known {
            client.heartbeat().await;
        }
        Ok(())
    }
}

impl Client {
    fn await_reply(
        &self,
        correlation: String,
    ) -> Result<(Waiting<'_>, oneshot::Receiver<Reply>), RequestError> {
        let (sender, reply) = oneshot::channel();
        let mut state = self.state();
        if state.requests.len() >= limits::REQUESTS {
            return Err(RequestError::TooMany { limit: limits::REQUESTS });
        }
        state.requests.insert(correlation.clone(), sender);
        drop(state);
        Ok((Waiting { client: self, correlation }, reply))
    }
}
