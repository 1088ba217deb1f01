//! Lookups of single messages.

use std::sync::Arc;

use wire::codes::RequestCode;
use wire::header::{Header, QueryMessageHeader, ViewMessageHeader};
use wire::{FrameWriter, reply_codes};

use super::{Remote, signed};
use crate::error::CallError;
use crate::limits;
use crate::received::Received;

/// What a lookup by key asks for.
#[derive(Debug)]
pub(crate) struct KeyQuery<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: &'a str,
    /// The key is the id that a producer gave.
    pub(crate) unique: bool,
    pub(crate) max: i32,
    /// Store times, milliseconds since 1970.
    pub(crate) times: (i64, i64),
}

impl Remote {
    /// The message at a position of a broker's log; `None` when none begins there.
    pub(crate) async fn view(
        &self,
        (broker, address): (&Arc<str>, &Arc<str>),
        topic: Option<&str>,
        position: u64,
    ) -> Result<Option<Received>, CallError> {
        let header = ViewMessageHeader { topic: topic.map(Into::into), offset: signed(position) };
        let request = RequestCode::ViewMessageById;
        let fields = |out: &mut FrameWriter<'_>| header.encode(out);
        let answer = self.call(address, request, fields, &[], limits::ADMIN_TIMEOUT).await?;
        match answer.code() {
            reply_codes::SUCCESS => {}
            // What brokers answer for a position without a message.
            reply_codes::SYSTEM_ERROR => return Ok(None),
            _ => return Err(answer.refused()),
        }
        let found = Received::decode_found(broker, &answer.body());
        Ok(found.map_err(|error| answer.malformed(error))?.into_iter().next())
    }

    /// The messages of a topic that one broker finds by a key. Brokers compare a hash only.
    pub(crate) async fn query(
        &self,
        (broker, address): (&Arc<str>, &Arc<str>),
        query: &KeyQuery<'_>,
    ) -> Result<Vec<Received>, CallError> {
        let header = QueryMessageHeader {
            topic: query.topic.into(),
            key: query.key.into(),
            max_num: query.max,
            begin_timestamp: query.times.0,
            end_timestamp: query.times.1,
            index_type: None,
            last_key: None,
            unique_key: query.unique,
        };
        let fields = |out: &mut FrameWriter<'_>| header.encode(out);
        let (request, timeout) = (RequestCode::QueryMessage, limits::ADMIN_TIMEOUT);
        let answer = self.call(address, request, fields, &[], timeout).await?;
        match answer.code() {
            reply_codes::SUCCESS => {}
            reply_codes::QUERY_NOT_FOUND => return Ok(Vec::new()),
            _ => return Err(answer.refused()),
        }
        Received::decode_found(broker, &answer.body()).map_err(|error| answer.malformed(error))
    }
}
