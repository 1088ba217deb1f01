//! What a handler answers, and the one table from errors to response codes and remarks.

use std::pin::Pin;

use bytes::Bytes;
use wire::body::BodyError;
use wire::call::Replies;
use wire::codes::RequestError;
use wire::frame::{Frame, FrameWriter, ReplyTo};
use wire::reply_codes as code;

use crate::kv::KvError;
use crate::routes::RegisterError;

/// Something that is done before an answer is given, and may refuse it.
type Before = Pin<Box<dyn Future<Output = Result<(), Refused>> + Send>>;

/// A successful answer: header fields and body.
#[derive(Default)]
pub(crate) struct Answer {
    /// What is done first, on which the answer depends.
    after: Option<Before>,
    pub(crate) remark: &'static str,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// An answer without header fields.
    pub(crate) fn body(body: impl Into<Bytes>) -> Answer {
        Answer { body: body.into(), ..Answer::default() }
    }

    /// An answer with one header field.
    pub(crate) fn field(name: &'static str, value: impl ToString) -> Answer {
        Answer { fields: vec![(name, value.to_string())], ..Answer::default() }
    }

    /// An empty answer that is given when `done` is.
    pub(crate) fn after(
        done: impl Future<Output = Result<(), Refused>> + Send + 'static,
    ) -> Answer {
        Answer { after: Some(Box::pin(done)), ..Answer::default() }
    }

    /// Writes it as the answer to `frame`.
    pub(crate) fn write(mut self, frame: &Frame<'_>, out: &mut Replies) {
        let to = to(frame);
        let Some(after) = self.after.take() else { return self.write_to(to, out) };
        out.later(Box::pin(async move {
            let mut out = Replies::default();
            match after.await {
                Ok(()) => self.write_to(to, &mut out),
                Err(refused) => refused.write_to(to, &mut out),
            }
            out
        }));
    }

    fn write_to(self, to: ReplyTo, out: &mut Replies) {
        let mut writer = FrameWriter::response(out.head(), to, code::SUCCESS).remark(self.remark);
        for (name, value) in &self.fields {
            writer.field(name, value.as_str());
        }
        writer.finish_before(self.body.len());
        out.body(self.body);
    }
}

/// Why a request is not answered with success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error("crc32 not match")]
    Crc,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the body is not UTF-8")]
    Encoding(#[from] std::str::Utf8Error),
    #[error("{what} has {size} bytes, the limit is {limit}")]
    Name { what: &'static str, size: usize, limit: usize },
    #[error("No topic route info in name server for the topic: {0}")]
    NoRoute(String),
    #[error("name server not ready")]
    NotReady,
    #[error("disable")]
    Disabled,
    #[error("No config item, Namespace: {namespace} Key: {key}")]
    NoKey { namespace: String, key: String },
    #[error("No config item, Namespace: {0}")]
    NoNamespace(String),
    #[error("Can not update config in black list.")]
    Protected,
    #[error("{0}")]
    Setting(#[from] env::settings::Problem),
}

impl Refused {
    fn code(&self) -> i32 {
        match self {
            Refused::Request(RequestError::NotSupported(_)) => code::REQUEST_CODE_NOT_SUPPORTED,
            Refused::NoRoute(_) => code::TOPIC_NOT_EXIST,
            Refused::NoKey { .. } | Refused::NoNamespace(_) => code::QUERY_NOT_FOUND,
            Refused::Protected => code::NO_PERMISSION,
            Refused::Kv(KvError::Busy(_)) => code::SYSTEM_BUSY,
            Refused::Request(RequestError::Header(_))
            | Refused::Register(_)
            | Refused::Kv(_)
            | Refused::Crc
            | Refused::Body(_)
            | Refused::Encoding(_)
            | Refused::Name { .. }
            | Refused::NotReady
            | Refused::Disabled
            | Refused::Setting(_) => code::SYSTEM_ERROR,
        }
    }

    /// Writes it as the answer to `frame`.
    pub(crate) fn write(&self, frame: &Frame<'_>, out: &mut Replies) {
        self.write_to(to(frame), out);
    }

    fn write_to(&self, to: ReplyTo, out: &mut Replies) {
        FrameWriter::response(out.head(), to, self.code()).remark(&self.to_string()).finish(b"");
    }
}

fn to(frame: &Frame<'_>) -> ReplyTo {
    ReplyTo { opaque: frame.opaque, format: frame.format }
}
