//! Request-reply: what comes back, and how a consumer answers.

use bytes::Bytes;
use wire::props::{self, names};

use crate::message::Message;
use crate::received::Received;

/// The answer to a request; see [`Producer::request`](crate::Producer::request).
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) body: Bytes,
    pub(crate) properties: Bytes,
    pub(crate) born_ms: i64,
}

impl Reply {
    /// The body, decompressed.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Value of a property; `None` also when it is not UTF-8.
    pub fn property(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(props::get(&self.properties, name)?).ok()
    }

    /// When the replier made it, in milliseconds since 1970 of its clock.
    pub fn born_ms(&self) -> i64 {
        self.born_ms
    }
}

/// A message that cannot be replied to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message of topic {topic} is no request: it has no property {property}")]
pub struct NotARequest {
    /// Topic of the message.
    pub topic: String,
    /// The property that a request has and this message lacks.
    pub property: &'static str,
}

impl Message {
    /// The reply to a request. It is sent like any message, to the topic of replies of the request's
    /// cluster; [`Producer::send`](crate::Producer::send) fails when the requester is gone.
    ///
    /// # Errors
    /// When the message is no request.
    pub fn reply_to(request: &Received, body: impl Into<Bytes>) -> Result<Message, NotARequest> {
        let get = |property: &'static str| {
            let missing = || NotARequest { topic: request.topic().to_owned(), property };
            request.property(property).map(str::to_owned).ok_or_else(missing)
        };
        let topic = format!("{}_REPLY_TOPIC", get(names::CLUSTER)?);
        let mut reply = Message::new(topic, body).with(names::MSG_TYPE, REPLY.to_owned());
        for name in [names::CORRELATION_ID, names::REPLY_TO_CLIENT, names::TTL] {
            reply = reply.with(name, get(name)?);
        }
        Ok(reply)
    }

    /// Whether the message is a reply, which brokers hand to the requester.
    pub(crate) fn is_reply(&self) -> bool {
        self.get(names::MSG_TYPE) == Some(REPLY)
    }
}

/// Value of the property `MSG_TYPE` of a reply.
const REPLY: &str = "reply";
