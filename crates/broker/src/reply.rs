//! The only place that turns what went wrong into response codes and remarks. Clients decide by the code whether
//! to retry elsewhere and some match on the bracketed prefixes, so both are part of the contract
//! (remoting-requests §1, "Put result mapping").

use env::memory::Full;
use serde::Serialize;
use store::{AppendError, ReadError};
use wire::codes::RequestError;
use wire::frame::ReplyTo;
use wire::header::NoHeader;
use wire::record::EncodeError;
use wire::{Frame, FrameWriter, Header, Replies, reply_codes as code};

use crate::attribute::AttributeError;
use crate::group::GroupError;
use crate::handle::inspect::relay::RelayError;
use crate::limits;
use crate::live::ChangeError;
use crate::offset::CommitError;
use crate::topic::TopicError;

/// Everything a handler can refuse a request with.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is not what the request carries.
    #[error("{0}")]
    Body(#[from] wire::body::BodyError),
    /// A bad topic name or configuration.
    #[error("{0}")]
    Topic(#[from] TopicError),
    /// A bad group name or a full table.
    #[error("{0}")]
    Group(#[from] GroupError),
    /// A change of attributes is not allowed.
    #[error("{0}")]
    Attribute(#[from] AttributeError),
    /// The table of offsets is full.
    #[error("{0}")]
    Commit(#[from] CommitError),
    /// Clients may not send there.
    #[error("Sending message to topic[{0}] is forbidden.")]
    ClosedTopic(String),
    /// The topic does not exist and may not be created.
    #[error("topic[{0}] not exist, apply first please!")]
    NoTopic(String),
    /// The topic does not exist (everything but sends).
    #[error("Topic {0} not exist!")]
    UnknownTopic(String),
    /// The topic does not exist (questions of tools).
    #[error("topic[{0}] not exist")]
    TopicMissing(String),
    /// The store has no such queue.
    #[error("{queue}@{topic} is not exist!")]
    NoQueue {
        /// Topic.
        topic: String,
        /// Queue that was asked for.
        queue: i32,
    },
    /// The queue id is outside the topic's range.
    #[error(
        "queueId[{queue}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{count}] consumer:[{who}]"
    )]
    QueueId {
        /// Queue that was asked for.
        queue: i32,
        /// Topic.
        topic: String,
        /// Queues that exist.
        count: i32,
        /// Who asked.
        who: String,
    },
    /// The group does not exist and may not be created.
    #[error("subscription group [{0}] does not exist")]
    NoGroup(String),
    /// Consumption is switched off for the group.
    #[error("subscription group no permission, {0}")]
    GroupDisabled(String),
    /// The topic may not be read.
    #[error("the topic[{0}] pulling message is forbidden")]
    TopicNotReadable(String),
    /// The broker may not be read or written (`brokerPermission`).
    #[error("the broker[{broker}] {what} message is forbidden")]
    BrokerForbidden {
        /// Broker name.
        broker: String,
        /// `pulling` or `sending`.
        what: &'static str,
    },
    /// The group broadcasts and may not.
    #[error("the consumer group[{0}] can not consume by broadcast way")]
    BroadcastDisabled(String),
    /// The group may not read the topic.
    #[error("the consumer group[{group}] is forbidden for topic[{topic}]")]
    ReadForbidden {
        /// Group.
        group: String,
        /// Topic.
        topic: String,
    },
    /// The group is not online or does not subscribe to the topic.
    #[error("the consumer's group info not exist")]
    NoSubscription,
    /// The subscription known here is older than the one the request refers to.
    #[error("the consumer's subscription not latest")]
    SubscriptionOld,
    /// The filter expression cannot be understood.
    #[error("parse the consumer's subscription failed: {0}")]
    Subscription(String),
    /// SQL92 filters are switched off.
    #[error("The broker does not support consumer to filter message by {0}")]
    ExpressionType(String),
    /// A message that cannot be stored as it is.
    #[error("the message is illegal, {0}")]
    Illegal(String),
    /// Transactional messages have no handler in this release.
    #[error("the broker does not accept transactional messages")]
    Transaction,
    /// Arbitrary delays have no handler in this release.
    #[error("accurate timer message is not enabled, timerWheelEnable is false")]
    Timer,
    /// The store cannot be read at the moment.
    #[error("{0}")]
    Read(ReadError),
    /// There is no memory for the request.
    #[error("[OVERLOAD]system busy, start flow control for a while: {0}")]
    Memory(#[from] Full),
    /// A file of the store could not be changed.
    #[error("{0}")]
    Disk(std::io::Error),
    /// A table of the broker could not be written to its file: what was changed may be gone after a restart.
    #[error(
        "the file config/{0} cannot be written: what was changed is tried again, and lost if the broker ends before"
    )]
    NotWritten(&'static str),
    /// The topic may not be written.
    #[error("the topic[{0}] sending message is forbidden")]
    TopicNotWritable(String),
    /// The group does not exist (commits of offsets).
    #[error("Group {0} not exist!")]
    UnknownGroup(String),
    /// The record does not fit its format.
    #[error("the message is illegal, {0}")]
    Encode(#[from] EncodeError),
    /// A retry was stored, but is not durable in time.
    #[error("FLUSH_DISK_TIMEOUT")]
    NotDurable,
    /// The store did not take the message.
    #[error("{}", append_remark(.0))]
    Append(#[from] AppendError),
    /// Nothing is stored at that offset of the log.
    #[error("can not find message by the offset, {0}")]
    NoRecord(i64),
    /// Send-back: nothing is stored at that offset.
    #[error("look message by offset failed, {0}")]
    NoRecordToRetry(i64),
    /// Nothing is known under that key in that time.
    #[error("can not find message, maybe time range not correct")]
    NoMatch,
    /// No committed offset, and zero is not a safe answer.
    #[error("Not found, {}", if *.0 { "V3_0_6_SNAPSHOT maybe this group consumer boot first" } else { "do not set to zero, maybe this group boot first" })]
    NoOffset(bool),
    /// Nobody of the group is connected here.
    #[error("no consumer for this group, {0}")]
    NobodyHome(String),
    /// No consumer of the group is connected (questions of tools).
    #[error("the consumer group[{0}] not online")]
    GroupOffline(String),
    /// No producer of the group is connected.
    #[error("the producer group[{0}] not exist")]
    NoProducers(String),
    /// A consumer does not answer what is handed on to it.
    #[error("{0}")]
    Relay(#[from] RelayError),
    /// The text is no offset message id.
    #[error("[{0}] is no offset message id")]
    NoOffsetId(String),
    /// Nothing is counted under that name and key.
    #[error("The stats <{name}> <{key}> not exist")]
    NoStats {
        /// What would be counted.
        name: String,
        /// Of whom.
        key: String,
    },
    /// The answer would tell of too many queues.
    #[error(
        "the answer would tell of {queues} queues, the limit is {limit} (limits::QUEUES_PER_ANSWER)"
    )]
    TooManyQueues {
        /// Queues.
        queues: usize,
        /// Most queues.
        limit: usize,
    },
    /// The answer does not fit into a frame.
    #[error("the answer has {size} bytes, at most {limit} fit a frame (limits::ANSWER_BODY)")]
    AnswerTooLarge {
        /// Bytes of the answer.
        size: usize,
        /// Bytes of a frame.
        limit: usize,
    },
    /// A value that its field does not take.
    #[error("{0}")]
    Config(String),
    /// Settings that cannot be changed.
    #[error("{0}")]
    Change(#[from] ChangeError),
    /// A reply that does not say to whom.
    #[error("reply message properties[REPLY_TO_CLIENT] is null")]
    NoRequester,
    /// A reply to a producer that is not connected here.
    #[error("push reply message fail, channel of <{0}> not found.")]
    RequesterGone(String),
    /// A reply that the producer did not take in time.
    #[error("push reply message to {0}fail.")]
    RequesterFailed(String),
    /// Reset: the topic does not exist.
    #[error("Topic {0} does not exist")]
    ResetTopic(String),
    /// Reset: the group does not exist.
    #[error("Group {0} does not exist")]
    ResetGroup(String),
    /// Reset: the offset lies outside the queue.
    #[error("Target offset {offset} not in consume queue range [{min}-{max}]")]
    ResetRange {
        /// Offset that was asked for.
        offset: i64,
        /// First of the queue.
        min: i64,
        /// Behind the last of the queue.
        max: i64,
    },
    /// Reset: the topic has no queues to read.
    #[error("No queues to reset.")]
    NoQueues,
    /// Reset through the members: the topic does not exist.
    #[error("[reset-offset] reset offset failed, no topic in this broker. topic={0}")]
    ResetNoTopic(String),
    /// Reset through the members: the group has no offset in a queue.
    #[error("THe consumer group <{0}> not exist")]
    NoOffsets(String),
    /// Reset through the members: there are none.
    #[error(
        "Consumer not online, so can not reset offset, Group: {group} Topic: {topic} Timestamp: {timestamp}"
    )]
    NotOnline {
        /// Group.
        group: String,
        /// Topic.
        topic: String,
        /// Time that was asked for.
        timestamp: i64,
    },
    /// Status of consumers: there are none.
    #[error("No Any Consumer online in the consumer group: [{0}]")]
    NoMember(String),
    /// A member is too old to be asked.
    #[error("the client does not support this feature. version={0}")]
    OldClient(i32),
    /// The code has no handler, or the header does not fit.
    #[error("{0}")]
    Request(#[from] RequestError),
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Refusal {
        match error {
            ReadError::Memory(full) => Refusal::Memory(full),
            error => Refusal::Read(error),
        }
    }
}

impl Refusal {
    /// The response code of this refusal.
    pub fn code(&self) -> i32 {
        match self {
            Refusal::Body(_) | Refusal::Commit(_) | Refusal::Timer => code::SYSTEM_ERROR,
            Refusal::ExpressionType(_) | Refusal::NoRecord(_) | Refusal::NoRecordToRetry(_) => {
                code::SYSTEM_ERROR
            }
            Refusal::NoQueue { .. } | Refusal::NoProducers(_) | Refusal::NoOffsetId(_) => {
                code::SYSTEM_ERROR
            }
            Refusal::TooManyQueues { .. } | Refusal::AnswerTooLarge { .. } => code::SYSTEM_ERROR,
            Refusal::NoStats { .. } => code::SYSTEM_ERROR,
            Refusal::Relay(RelayError::Silent { .. }) => code::CONSUME_MSG_TIMEOUT,
            Refusal::Relay(_) => code::SYSTEM_ERROR,
            Refusal::GroupOffline(_) => code::CONSUMER_NOT_ONLINE,
            Refusal::NobodyHome(_)
            | Refusal::Config(_)
            | Refusal::Attribute(AttributeError::Bad(_)) => code::SYSTEM_ERROR,
            Refusal::Attribute(AttributeError::Mixed) => code::INVALID_PARAMETER,
            Refusal::Topic(_) | Refusal::Group(_) | Refusal::QueueId { .. } => {
                code::INVALID_PARAMETER
            }
            Refusal::ClosedTopic(_) | Refusal::GroupDisabled(_) | Refusal::TopicNotReadable(_) => {
                code::NO_PERMISSION
            }
            Refusal::NoRequester | Refusal::RequesterGone(_) | Refusal::RequesterFailed(_) => {
                code::SYSTEM_ERROR
            }
            Refusal::ResetRange { .. } | Refusal::NoQueues | Refusal::ResetNoTopic(_) => {
                code::SYSTEM_ERROR
            }
            Refusal::NoOffsets(_) | Refusal::NoMember(_) | Refusal::OldClient(_) => {
                code::SYSTEM_ERROR
            }
            Refusal::NotOnline { .. } => code::CONSUMER_NOT_ONLINE,
            Refusal::Change(ChangeError::Protected) => code::NO_PERMISSION,
            Refusal::Change(_) => code::SYSTEM_ERROR,
            Refusal::BrokerForbidden { .. } | Refusal::BroadcastDisabled(_) => code::NO_PERMISSION,
            Refusal::ReadForbidden { .. } | Refusal::Transaction => code::NO_PERMISSION,
            Refusal::TopicNotWritable(_) => code::NO_PERMISSION,
            Refusal::Read(_) | Refusal::Disk(_) | Refusal::NotWritten(_) | Refusal::NotDurable => {
                code::SYSTEM_ERROR
            }
            Refusal::NoTopic(_)
            | Refusal::UnknownTopic(_)
            | Refusal::TopicMissing(_)
            | Refusal::ResetTopic(_) => code::TOPIC_NOT_EXIST,
            Refusal::NoGroup(_) | Refusal::UnknownGroup(_) | Refusal::ResetGroup(_) => {
                code::SUBSCRIPTION_GROUP_NOT_EXIST
            }
            Refusal::NoSubscription => code::SUBSCRIPTION_NOT_EXIST,
            Refusal::SubscriptionOld => code::SUBSCRIPTION_NOT_LATEST,
            Refusal::Subscription(_) => code::SUBSCRIPTION_PARSE_FAILED,
            Refusal::Illegal(_) | Refusal::Encode(_) => code::MESSAGE_ILLEGAL,
            Refusal::NoMatch | Refusal::NoOffset(_) => code::QUERY_NOT_FOUND,
            Refusal::Request(RequestError::NotSupported(_)) => code::REQUEST_CODE_NOT_SUPPORTED,
            Refusal::Request(RequestError::Header(_)) => code::SYSTEM_ERROR,
            Refusal::Memory(_) => code::SYSTEM_BUSY,
            Refusal::Append(error) => append_code(error),
        }
    }
}

fn append_code(error: &AppendError) -> i32 {
    match error {
        AppendError::Busy { .. } | AppendError::Behind { .. } => code::SYSTEM_BUSY,
        AppendError::DiskFull(_) | AppendError::Stopped(_) => code::SERVICE_NOT_AVAILABLE,
        AppendError::TooLarge { .. } => code::MESSAGE_ILLEGAL,
    }
}

/// Clients and dashboards match on the prefixes; what follows names cause, value, limit and key.
fn append_remark(error: &AppendError) -> String {
    match error {
        AppendError::Busy { .. } | AppendError::Behind { .. } => {
            format!("[PC_SYNCHRONIZED]broker busy, start flow control for a while: {error}")
        }
        AppendError::DiskFull(_) | AppendError::Stopped(_) => {
            format!("service not available now. {error}")
        }
        AppendError::TooLarge { .. } => format!("the message is illegal, {error}"),
    }
}

/// Answers a request with a refusal, unless it is one-way.
pub fn refuse(out: &mut Replies, frame: &Frame<'_>, refusal: &Refusal) {
    if !frame.is_oneway() {
        refuse_to(out, frame.reply_to(), refusal);
    }
}

/// Answers with a refusal.
pub fn refuse_to(out: &mut Replies, to: ReplyTo, refusal: &Refusal) {
    let remark = refusal.to_string();
    FrameWriter::response(out.head(), to, refusal.code()).remark(&remark).finish(&[]);
}

/// Answers a request with success and a body, unless it is one-way.
pub fn body(out: &mut Replies, frame: &Frame<'_>, body: &[u8]) {
    if !frame.is_oneway() {
        FrameWriter::response(out.head(), frame.reply_to(), code::SUCCESS).finish(body);
    }
}

/// Answers a request with success and nothing else, unless it is one-way.
pub fn ok(out: &mut Replies, frame: &Frame<'_>) {
    body(out, frame, &[]);
}

/// Answers a request with success and a remark, unless it is one-way.
pub fn ok_with_remark(out: &mut Replies, frame: &Frame<'_>, remark: &str) {
    if !frame.is_oneway() {
        let writer = FrameWriter::response(out.head(), frame.reply_to(), code::SUCCESS);
        writer.remark(remark).finish(&[]);
    }
}

/// The answer of something that took its time: success with a body, or a refusal; none to a one-way request.
pub fn outcome(to: Option<ReplyTo>, done: Result<Vec<u8>, Refusal>) -> Replies {
    let mut out = Replies::default();
    match (to, done) {
        (None, _) => {}
        (Some(to), Ok(body)) => {
            FrameWriter::response(out.head(), to, code::SUCCESS).finish(&body);
        }
        (Some(to), Err(refusal)) => refuse_to(&mut out, to, &refusal),
    }
    out
}

/// Answers with success and nothing else.
pub fn ok_to(out: &mut Replies, to: ReplyTo) {
    FrameWriter::response(out.head(), to, code::SUCCESS).finish(&[]);
}

/// As [`header`], for a request that is answered later.
pub fn header_to<'a>(out: &mut Replies, to: ReplyTo, header: &impl Header<'a>) {
    let mut writer = FrameWriter::response(out.head(), to, code::SUCCESS);
    header.encode(&mut writer);
    writer.finish(&[]);
}

/// Answers a request with success and a response header, unless it is one-way.
pub fn header<'a>(out: &mut Replies, frame: &Frame<'_>, header: &impl Header<'a>) {
    header_and_body(out, frame, header, &[]);
}

/// Answers a request with success, a response header and a body, unless it is one-way.
pub fn header_and_body<'a>(
    out: &mut Replies,
    frame: &Frame<'_>,
    header: &impl Header<'a>,
    body: &[u8],
) {
    if !frame.is_oneway() {
        let mut writer = FrameWriter::response(out.head(), frame.reply_to(), code::SUCCESS);
        header.encode(&mut writer);
        writer.finish(body);
    }
}

/// Answers a request with success and a JSON body, unless it is one-way; refuses it if that is too large.
pub fn json(out: &mut Replies, frame: &Frame<'_>, value: &impl Serialize) {
    header_and_json(out, frame, &NoHeader, value);
}

/// Answers a request with success, a response header and a JSON body, unless it is one-way; refuses it if the body is
/// too large.
pub fn header_and_json<'a>(
    out: &mut Replies,
    frame: &Frame<'_>,
    header: &impl Header<'a>,
    value: &impl Serialize,
) {
    let body = serde_json::to_vec(value).expect("tables with text keys always have a JSON form");
    match check_size(&body) {
        Ok(()) => header_and_body(out, frame, header, &body),
        Err(refusal) => refuse(out, frame, &refusal),
    }
}

/// Whether a body fits an answer.
pub fn check_size(body: &[u8]) -> Result<(), Refusal> {
    let (size, limit) = (body.len(), limits::ANSWER_BODY);
    if size > limit { Err(Refusal::AnswerTooLarge { size, limit }) } else { Ok(()) }
}
