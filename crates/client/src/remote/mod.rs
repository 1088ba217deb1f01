//! Requests of the protocol as functions: what goes into the header, what comes out of the answer.
//!
//! Nothing above this module knows a field name or a request code. One connection per address, kept
//! by [`net::Client`].

mod brokers;
mod groups;
mod members;
mod messages;
mod names;
mod offsets;
mod pull;
mod send;
mod serve;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Env;
use wire::FrameWriter;
use wire::codes::RequestCode;
use wire::frame::OwnedFrame;
use wire::header::Header;
use wire::reply_codes;

pub(crate) use members::heartbeat_body;
pub(crate) use messages::KeyQuery;
pub(crate) use send::{SendKind, SendRequest, Stored};

use crate::error::{CallError, StartError};
use crate::inbox::Inbox;
use crate::limits;
use crate::queue::MessageQueue;
use names::NameServers;
use serve::Handler;

/// Sends requests.
pub(crate) struct Remote {
    net: net::Client,
    names: NameServers,
}

/// An answer.
struct Answer {
    request: RequestCode,
    address: Arc<str>,
    frame: OwnedFrame,
}

impl Remote {
    pub(crate) fn new(
        env: &Env,
        name_servers: &[String],
        inbox: Inbox,
    ) -> Result<Remote, StartError> {
        let names = NameServers::new(name_servers, env.rng.u64())?;
        let handler = Arc::new(Handler::new(env, name_servers, inbox));
        let net = net::Client::new(env.clone(), "client", handler, net::Limits::default());
        Ok(Remote { net, names })
    }

    /// Asks and returns the answer, whatever its code.
    async fn call(
        &self,
        address: &Arc<str>,
        request: RequestCode,
        fields: impl FnOnce(&mut FrameWriter<'_>),
        body: &[u8],
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let called = self.net.call(address, request as i32, fields, body, timeout).await;
        match called {
            Ok(frame) => Ok(Answer { request, address: address.clone(), frame }),
            Err(error) => Err(failure(error, request, address)),
        }
    }

    /// Makes an administrative request without a body; the answer, unless it says no.
    async fn administer<'a>(
        &self,
        address: &Arc<str>,
        request: RequestCode,
        header: &impl Header<'a>,
    ) -> Result<Answer, CallError> {
        let fields = |out: &mut FrameWriter<'_>| header.encode(out);
        self.call(address, request, fields, &[], limits::ADMIN_TIMEOUT).await?.success()
    }

    /// Sends without waiting for an answer.
    async fn oneway(
        &self,
        address: &Arc<str>,
        request: RequestCode,
        fields: impl FnOnce(&mut FrameWriter<'_>),
        body: &[u8],
        timeout: Duration,
    ) -> Result<(), CallError> {
        let sent = self.net.oneway(address, request as i32, fields, body, timeout).await;
        sent.map_err(|error| failure(error, request, address))
    }
}

fn failure(error: net::CallError, request: RequestCode, address: &Arc<str>) -> CallError {
    let (request, address) = (request.name(), address.clone());
    match error {
        net::CallError::Timeout { timeout, .. } => {
            CallError::Timeout { request, address, after: timeout }
        }
        other => CallError::Unreachable { request, address, reason: other.to_string() },
    }
}

impl Answer {
    fn code(&self) -> i32 {
        self.frame.frame().code
    }

    fn body(&self) -> Bytes {
        self.frame.body()
    }

    /// The answer, unless it says no.
    fn success(self) -> Result<Answer, CallError> {
        if self.code() == reply_codes::SUCCESS { Ok(self) } else { Err(self.refused()) }
    }

    fn refused(&self) -> CallError {
        let frame = self.frame.frame();
        let remark = frame.remark.as_ref().map_or_else(String::new, |text| text.to_str().into());
        let remark = match (remark.is_empty(), reply_codes::name(frame.code)) {
            (true, Some(name)) => name.to_owned(),
            _ => remark,
        };
        CallError::Refused {
            request: self.request.name(),
            address: self.address.clone(),
            code: frame.code,
            remark,
        }
    }

    fn malformed(&self, reason: impl ToString) -> CallError {
        CallError::Malformed {
            request: self.request.name(),
            address: self.address.clone(),
            reason: reason.to_string(),
        }
    }

    /// The answer's typed header.
    fn header<H: for<'a> Header<'a>>(&self) -> Result<H, CallError> {
        H::decode(&self.frame.frame()).map_err(|error| self.malformed(error))
    }

    /// A number of the answer that must not be negative.
    fn offset(&self, value: i64) -> Result<u64, CallError> {
        u64::try_from(value).map_err(|_| self.malformed(format_args!("{value} is no offset")))
    }

    fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, CallError> {
        wire::body::read(&self.body()).map_err(|error| self.malformed(error))
    }
}

/// An offset as the protocol writes it.
fn signed(offset: u64) -> i64 {
    // Offsets come from brokers, as numbers of 63 bits.
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// A queue's number as the protocol writes it.
fn queue_id(queue: &MessageQueue) -> i32 {
    i32::try_from(queue.id).unwrap_or(i32::MAX)
}

/// Names the broker group that a request is for: proxies go by it.
fn for_broker(out: &mut FrameWriter<'_>, queue: &MessageQueue) {
    out.field("bname", &*queue.broker);
}
