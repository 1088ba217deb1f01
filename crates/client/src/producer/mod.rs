//! Sends messages.
//!
//! A message is prepared once (unique key, compression, encoded properties) and then tried at up to
//! three brokers; each try carries the same unique key, so that a duplicate can be recognized.

mod receipt;
mod request;
mod retry;
mod select;
mod transmit;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use env::tasks::TaskHandle;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wire::batch::BatchMessage;
use wire::compress::Compression;
use wire::props::names;

pub use receipt::{BatchReceipt, Receipt, SendStatus};

use crate::error::SendError;
use crate::instance::Client;
use crate::limits;
use crate::message::{InvalidMessage, Message};
use crate::producer::select::Selector;
use crate::queue::MessageQueue;
use crate::remote::{SendKind, SendRequest};

/// How a producer sends.
#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// Longest time for one message with all its attempts, the look for its topic's route included
    /// (`sendMsgTimeout`).
    pub timeout: Duration,
    /// Attempts after the first one (`retryTimesWhenSendFailed`).
    pub retries: u32,
    /// Body size in bytes from which messages are compressed (`compressMsgBodyOverHowmuch`).
    pub compress_from: usize,
    /// How they are compressed. Clients other than Java know zlib only.
    pub compression: Compression,
    /// Largest body in bytes (`maxMessageSize`).
    pub max_message_bytes: usize,
}

impl Default for ProducerSettings {
    fn default() -> ProducerSettings {
        ProducerSettings {
            timeout: limits::CALL_TIMEOUT,
            retries: limits::SEND_RETRIES,
            compress_from: limits::COMPRESS_BYTES,
            compression: Compression::Zlib,
            max_message_bytes: limits::MESSAGE_BYTES,
        }
    }
}

/// Sends messages as a member of a producer group. Clones are the same producer.
///
/// ```no_run
/// # async fn example(producer: client::Producer) -> Result<(), client::SendError> {
/// use client::Message;
///
/// let receipt = producer.send(Message::new("orders", "created").key("42")).await?;
/// println!("stored in {} at {}", receipt.queue, receipt.offset);
///
/// // The messages of one order go to one queue, and are consumed in this order.
/// for step in ["created", "paid", "shipped"] {
///     producer.send(Message::new("orders", step).ordered_by("42")).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    group: Arc<str>,
    settings: ProducerSettings,
    selector: Mutex<Selector>,
    in_flight: Arc<Semaphore>,
    /// Brokers were told of this producer before a request.
    announced: AtomicBool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.client.remove_producer(&self.group);
        self.client.departures().due.notify_one();
    }
}

/// What a message that is sent on carries along.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) reconsume_times: i32,
    pub(crate) max_reconsume_times: Option<i32>,
}

/// A message ready for the wire.
struct Prepared {
    properties: String,
    body: Bytes,
    sys_flag: i32,
    flag: i32,
    unique_key: String,
    kind: SendKind,
    envelope: Envelope,
}

impl Producer {
    pub(crate) fn new(client: Client, group: Arc<str>, settings: ProducerSettings) -> Producer {
        let selector = Mutex::new(Selector::new(client.env().rng.u64()));
        let in_flight = Arc::new(Semaphore::new(limits::SENDS_IN_FLIGHT));
        let announced = AtomicBool::new(false);
        let shared = Shared { client, group, settings, selector, in_flight, announced };
        Producer { shared: Arc::new(shared) }
    }

    /// Sends a message and waits until it is stored.
    ///
    /// After an error of kind [`SendError::Failed`] by a timeout the message may be stored.
    ///
    /// # Errors
    /// When the message breaks a rule, its topic has no route or no queue to write, or no broker stored it
    /// in time.
    pub async fn send(&self, message: Message) -> Result<Receipt, SendError> {
        self.send_as(message, Envelope::default()).await
    }

    pub(crate) async fn send_as(
        &self,
        message: Message,
        envelope: Envelope,
    ) -> Result<Receipt, SendError> {
        message.validate(self.shared.settings.max_message_bytes)?;
        let prepared = self.prepare(&message, envelope)?;
        let order = message.get(names::SHARDING_KEY);
        let (queue, stored) = self.transmit(message.topic(), order, &prepared).await?;
        Ok(Receipt::new(queue, stored, prepared.unique_key))
    }

    /// Starts to send a message and returns without waiting for the answer. Waits only while
    /// [`limits::SENDS_IN_FLIGHT`] messages are unanswered. Messages that are started one after the
    /// other may be stored in another order.
    pub async fn start_send(&self, message: Message) -> Sending {
        let permit = self.shared.in_flight.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore of a producer is never closed");
        let (done, result) = oneshot::channel();
        let producer = self.clone();
        let task = self.shared.client.spawn("send", async move {
            // Whoever dropped the receiver does not want to know.
            let _ = done.send(producer.send(message).await);
            drop::<OwnedSemaphorePermit>(permit);
        });
        Sending { _task: task, result }
    }

    /// Sends messages of one topic in one request; they go to one queue, one after the other.
    ///
    /// All together may have as many bytes as one message ([`ProducerSettings::max_message_bytes`]);
    /// none may be delayed, and they are not compressed.
    ///
    /// # Errors
    /// As [`Producer::send`]; a batch is stored whole or not at all.
    pub async fn send_batch(&self, messages: Vec<Message>) -> Result<BatchReceipt, SendError> {
        let first = messages.first().ok_or(InvalidMessage::EmptyBatch)?;
        let topic = first.topic().to_owned();
        let order = first.get(names::SHARDING_KEY).map(str::to_owned);
        let limit = self.shared.settings.max_message_bytes;
        let mut body = BytesMut::new();
        let mut keys = Vec::with_capacity(messages.len());
        for message in &messages {
            message.validate(limit)?;
            if message.topic() != topic || message.is_delayed() {
                return Err(InvalidMessage::MixedBatch { topic }.into());
            }
            let key = self.unique_key(message);
            let properties = encode_properties(message, &key)?;
            let properties = properties.as_bytes();
            let record = BatchMessage { flag: message.flags(), body: message.body(), properties };
            wire::batch::append(&mut body, &record);
            keys.push(key);
        }
        if body.len() > limit {
            return Err(InvalidMessage::BodyTooLarge { bytes: body.len(), limit }.into());
        }
        // The wish not to wait for flush and replication holds for the batch as a whole.
        let mut properties = String::new();
        append_property(&mut properties, names::WAIT, first.get(names::WAIT).unwrap_or("true"));
        let prepared = Prepared {
            properties,
            body: body.freeze(),
            sys_flag: 0,
            flag: 0,
            unique_key: String::new(),
            kind: SendKind::Batch,
            envelope: Envelope::default(),
        };
        let (queue, stored) = self.transmit(&topic, order.as_deref(), &prepared).await?;
        Ok(BatchReceipt::new(queue, stored, keys))
    }

    /// Sends a message without asking for an answer: whether it is stored stays unknown.
    ///
    /// # Errors
    /// When the message breaks a rule, has no place to go, or cannot be handed to the network in time.
    pub async fn send_oneway(&self, message: Message) -> Result<(), SendError> {
        message.validate(self.shared.settings.max_message_bytes)?;
        let prepared = self.prepare(&message, Envelope::default())?;
        let topic = message.topic();
        self.transmit_oneway(topic, message.get(names::SHARDING_KEY), &prepared).await
    }

    /// Ends this producer. When it is the last of its group, waits until brokers are told that this client
    /// has left the group. The client stays.
    pub async fn close(self) {
        let client = self.shared.client.clone();
        drop(self);
        client.tell_departures().await;
    }

    fn prepare(&self, message: &Message, envelope: Envelope) -> Result<Prepared, InvalidMessage> {
        let settings = &self.shared.settings;
        let unique_key = self.unique_key(message);
        let properties = encode_properties(message, &unique_key)?;
        let (mut body, mut sys_flag) = (message.body().clone(), 0);
        if body.len() >= settings.compress_from {
            // A body that does not get smaller travels as it is.
            let compressed = settings.compression.compress(&body, limits::COMPRESS_LEVEL);
            if compressed.len() < body.len() {
                body = compressed.into();
                sys_flag = settings.compression.flags();
            }
        }
        if message.get(names::TRANSACTION_PREPARED) == Some("true") {
            sys_flag |= wire::flags::message::PREPARED;
        }
        Ok(Prepared {
            properties,
            body,
            sys_flag,
            flag: message.flags(),
            unique_key,
            kind: if message.is_reply() { SendKind::Reply } else { SendKind::One },
            envelope,
        })
    }

    /// The key that the message carries already (it is a copy of another), or a new one.
    fn unique_key(&self, message: &Message) -> String {
        let given = message.get(names::UNIQ_KEY);
        given.map_or_else(|| self.shared.client.next_key().to_string(), str::to_owned)
    }

    fn send_request<'a>(
        &'a self,
        queue: &'a MessageQueue,
        prepared: &'a Prepared,
    ) -> SendRequest<'a> {
        SendRequest {
            group: &self.shared.group,
            queue,
            sys_flag: prepared.sys_flag,
            flag: prepared.flag,
            born_ms: self.shared.client.env().clock.wall_ms(),
            properties: &prepared.properties,
            body: &prepared.body,
            kind: prepared.kind,
            envelope: prepared.envelope,
        }
    }
}

/// A message on its way; see [`Producer::start_send`]. Dropping it does not stop the send.
pub struct Sending {
    _task: TaskHandle,
    result: oneshot::Receiver<Result<Receipt, SendError>>,
}

impl Sending {
    /// Waits for the answer. `None` when the client was closed before it came.
    pub async fn wait(self) -> Option<Result<Receipt, SendError>> {
        self.result.await.ok()
    }
}

/// The property block of a message, with what every message has. It is longer than what the message was
/// checked for.
fn encode_properties(message: &Message, unique_key: &str) -> Result<String, InvalidMessage> {
    let mut block = String::new();
    for (name, value) in message.properties() {
        append_property(&mut block, name, value);
    }
    if message.get(names::UNIQ_KEY).is_none() {
        append_property(&mut block, names::UNIQ_KEY, unique_key);
    }
    if message.get(names::WAIT).is_none() {
        append_property(&mut block, names::WAIT, "true");
    }
    if block.len() > limits::PROPERTY_BYTES {
        return Err(InvalidMessage::PropertiesTooLarge { bytes: block.len() });
    }
    Ok(block)
}

/// Separators of the property block: [`props::NAME_END`] and [`props::VALUE_END`]. Messages were
/// checked not to contain them.
fn append_property(block: &mut String, name: &str, value: &str) {
    for part in [name, "\u{1}", value, "\u{2}"] {
        block.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Properties that only fit without those that every message gets are refused, alone and in a batch.
    #[tokio::test]
    async fn properties_are_measured_as_they_are_sent() {
        let producer = Client::new("127.0.0.1:1").unwrap().producer("g").unwrap();
        let message = |bytes: usize| Message::new("T", "x").property("p", "v".repeat(bytes));
        // Three bytes of name and separators, and a unique key and a wish to wait.
        let added = 3 + "UNIQ_KEY".len() + 32 + 2 + "WAIT".len() + "true".len() + 2;
        let fits = limits::PROPERTY_BYTES - added;
        assert!(producer.prepare(&message(fits), Envelope::default()).is_ok());
        for bytes in [fits + 1, limits::PROPERTY_BYTES - 3] {
            assert_eq!(message(bytes).validate(1), Ok(()));
            let batch = producer.send_batch(vec![message(bytes)]).await.map(drop);
            let one = producer.send(message(bytes)).await.map(drop);
            for sent in [batch, one, producer.send_oneway(message(bytes)).await] {
                let Err(SendError::Invalid(InvalidMessage::PropertiesTooLarge { bytes: found })) =
                    sent
                else {
                    panic!("{sent:?}");
                };
                assert_eq!(found, bytes + added);
            }
        }
    }
}
