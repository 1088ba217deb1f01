//! Pulls (11, 361): check, filter, read, and hold what finds nothing (broker-semantics §9).

use std::sync::Arc;
use std::time::Duration;

use store::{ColdGet, Get, Got, GotStatus as Status, Queue, ReadError, Want};
use wire::body::{SubscriptionData, SubscriptionGroupConfig};
use wire::flags::{perm, pull as flags};
use wire::frame::ReplyTo;
use wire::header::{Header, PullHeader, PullResponse};
use wire::{Frame, FrameWriter, Peer, Replies, java_hash, reply_codes as code};

use crate::clients::Subscribed;
use crate::metrics::Answered;
use crate::progress::Fetch;
use crate::reply::{self, Refusal};
use crate::stats::Amount;
use crate::topic::Topic;
use crate::{Broker, limits};

/// One pull that passed its checks: all that is kept while it waits.
struct Pull {
    broker: Broker,
    to: ReplyTo,
    /// Request code.
    code: i32,
    /// When the read was taken up that it came with, monotonic.
    started: Duration,
    held: bool,
    queue: Arc<Queue>,
    offset: u64,
    want: Want,
    filter: Filter,
    topic: Arc<Topic>,
    group: Arc<SubscriptionGroupConfig>,
}

/// Which messages of a queue are wanted, by the hash of their tag. The client compares the tags themselves.
enum Filter {
    All,
    Tags(Box<[i64]>),
}

/// Serves one pull: answers what is there, or holds it until something arrives.
pub(crate) fn pull(
    broker: &Broker,
    peer: &Peer,
    frame: &Frame<'_>,
    header: &PullHeader<'_>,
    started: Duration,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let pull = check(broker, peer, frame, header, started)?;
    if !frame.is_oneway()
        && let Some(offset) = pull.take_reset()
    {
        // What the client would commit with this pull is where it was before the reset.
        pull.answer_reset(offset, out);
        return Ok(());
    }
    if header.sys_flag & flags::COMMIT_OFFSET != 0 {
        let (topic, group) = (header.topic.to_str(), header.consumer_group.to_str());
        broker.offsets.commit(&topic, &group, header.queue_id, header.commit_offset)?;
    }
    if frame.is_oneway() {
        // Nobody waits for what is there.
        return Ok(());
    }
    if header.queue_offset < 0 {
        pull.answer_below(out);
        return Ok(());
    }
    let hold = hold(broker, header);
    match (pull.get()?, hold) {
        (Get::Ready(got), Some(hold)) if is_end(got.status, pull.offset) => {
            let bytes = pull.kept()?;
            out.later_holding(bytes, Box::pin(pull.hold(hold)));
        }
        (Get::Ready(got), _) => pull.answer(got, out),
        (Get::Cold(cold), _) => {
            let bytes = pull.kept()?;
            let later = async move {
                let mut out = Replies::default();
                let got = pull.warmed(cold).await;
                pull.answer_read(got, &mut out);
                out
            };
            out.later_holding(bytes, Box::pin(later));
        }
    }
    Ok(())
}

/// The checks of broker-semantics §9.1, in order.
fn check(
    broker: &Broker,
    peer: &Peer,
    frame: &Frame<'_>,
    header: &PullHeader<'_>,
    started: Duration,
) -> Result<Pull, Refusal> {
    let settings = broker.settings();
    let is_lite = header.sys_flag & flags::LITE_PULL != 0;
    if settings.permission & perm::READ == 0 || (is_lite && !settings.lite_pull) {
        return Err(Refusal::BrokerForbidden { broker: settings.name.clone(), what: "pulling" });
    }
    let (group_name, topic_name) = (header.consumer_group.to_str(), header.topic.to_str());
    let group = broker.groups.get_or_create(&group_name, broker.env.clock.wall_ms());
    let group = group.ok_or_else(|| Refusal::NoGroup(group_name.to_string()))?;
    if !group.consume_enable {
        return Err(Refusal::GroupDisabled(group_name.into()));
    }
    let topic = broker.topics.get(&topic_name);
    let topic = topic.ok_or_else(|| Refusal::NoTopic(topic_name.to_string()))?;
    if !topic.is_readable() {
        return Err(Refusal::TopicNotReadable(topic_name.into()));
    }
    let count = topic.config.read_queue_nums;
    let queue = topic.queue(&broker.store, header.queue_id).filter(|_| header.queue_id < count);
    let Some(queue) = queue.map(Arc::clone) else {
        let (queue, who) = (header.queue_id, peer.remote().to_string());
        return Err(Refusal::QueueId { queue, topic: topic_name.into(), count, who });
    };
    let filter = filter(broker, peer, header, &group_name, &topic_name)?;
    if broker.groups.is_read_forbidden(&group_name, &topic_name) {
        return Err(Refusal::ReadForbidden { group: group_name.into(), topic: topic_name.into() });
    }
    Ok(Pull {
        broker: broker.clone(),
        to: frame.reply_to(),
        code: frame.code,
        started,
        held: false,
        queue,
        // One below 0 is not read at, see `pull`.
        offset: u64::try_from(header.queue_offset).unwrap_or(0),
        want: Want {
            max_messages: header.max_msg_nums.clamp(1, limits::PULL_MESSAGES) as u32,
            max_bytes: limits::PULL_BYTES,
        },
        filter,
        topic,
        group,
    })
}

/// What the request itself says it wants, or what the client's last heartbeat said.
fn filter(
    broker: &Broker,
    peer: &Peer,
    header: &PullHeader<'_>,
    group: &str,
    topic: &str,
) -> Result<Filter, Refusal> {
    if header.sys_flag & flags::SUBSCRIPTION != 0 {
        let expression = header.subscription.map(|text| text.to_str()).unwrap_or_default();
        let kind = header.expression_type.map(|text| text.to_str()).unwrap_or_default();
        return Filter::parse(&expression, &kind);
    }
    match broker.clients.subscription(peer.id(), group, topic) {
        Subscribed::Yes { data, broadcasting } => {
            let may_broadcast =
                broker.groups.get(group).is_none_or(|group| group.consume_broadcast_enable);
            if broadcasting && !may_broadcast {
                return Err(Refusal::BroadcastDisabled(group.to_owned()));
            }
            if data.sub_version < header.sub_version {
                return Err(Refusal::SubscriptionOld);
            }
            Filter::of(&data)
        }
        Subscribed::NoGroup | Subscribed::NoTopic => Err(Refusal::NoSubscription),
    }
}

/// How long the client lets this pull be held; `None`: not at all.
fn hold(broker: &Broker, header: &PullHeader<'_>) -> Option<Duration> {
    if header.sys_flag & flags::SUSPEND == 0 {
        return None;
    }
    let asked = u64::try_from(header.suspend_timeout_millis).unwrap_or(0);
    let settings = broker.settings();
    let ms = if settings.long_polling { asked } else { settings.short_polling_ms };
    (ms > 0).then(|| Duration::from_millis(ms.min(limits::HOLD_MS_MAX)))
}

impl Filter {
    fn of(data: &SubscriptionData) -> Result<Filter, Refusal> {
        if !is_tag(&data.expression_type) {
            return Err(Refusal::ExpressionType(data.expression_type.clone()));
        }
        let all = match data.sub_string.trim() {
            "*" => true,
            "" => data.code_set.is_empty(),
            // Tags without their hashes take nothing, as in the reference.
            _ => false,
        };
        if all {
            return Ok(Filter::All);
        }
        Ok(Filter::Tags(data.code_set.iter().map(|hash| i64::from(*hash)).collect()))
    }

    /// The expression of a request: tags separated by `||`, or `*`.
    fn parse(expression: &str, kind: &str) -> Result<Filter, Refusal> {
        if !is_tag(kind) {
            return Err(Refusal::ExpressionType(kind.to_owned()));
        }
        let expression = expression.trim();
        if expression.is_empty() || expression == "*" {
            return Ok(Filter::All);
        }
        let tags = expression.split("||").map(str::trim).filter(|tag| !tag.is_empty());
        let hashes: Box<[i64]> = tags.map(|tag| java_hash::tags_code(tag.as_bytes())).collect();
        if hashes.is_empty() {
            return Err(Refusal::Subscription(expression.to_owned()));
        }
        Ok(Filter::Tags(hashes))
    }

    fn accepts(&self, tags_code: i64) -> bool {
        match self {
            Filter::All => true,
            Filter::Tags(hashes) => hashes.contains(&tags_code),
        }
    }
}

impl Pull {
    /// Bytes that it keeps while it waits, for which there must be room.
    fn kept(&self) -> Result<usize, Refusal> {
        let tags = match &self.filter {
            Filter::All => 0,
            Filter::Tags(hashes) => size_of_val(&**hashes),
        };
        let bytes = limits::HELD_PULL + tags;
        let waiting = &self.broker.env.memory.waiting;
        waiting.check_patient(bytes).inspect_err(|_| waiting.count_refusal())?;
        Ok(bytes)
    }

    fn get(&self) -> Result<Get, ReadError> {
        let accepts = |code| self.filter.accepts(code);
        self.broker.store.get(&self.queue, self.offset, self.want, &accepts)
    }

    /// What a read that needs the disk finds; as often as it takes to have it all in memory.
    async fn warmed(&self, mut cold: ColdGet) -> Result<Got, ReadError> {
        loop {
            let got = cold.await?;
            if got.status != Status::Again {
                return Ok(got);
            }
            match self.get()? {
                Get::Ready(got) => return Ok(got),
                Get::Cold(again) => cold = again,
            }
        }
    }

    async fn read(&self) -> Result<Got, ReadError> {
        match self.get()? {
            Get::Ready(got) => Ok(got),
            Get::Cold(cold) => self.warmed(cold).await,
        }
    }

    /// Waits for messages that the filter accepts, at most `limit`; then answers whatever is there.
    async fn hold(mut self, limit: Duration) -> Replies {
        let clock = self.broker.env.clock.clone();
        let deadline = clock.mono() + limit;
        self.held = true;
        loop {
            let left = deadline.saturating_sub(clock.mono());
            let arrived = clock.timeout(left, self.queue.arrived(self.offset)).await.is_ok();
            let mut out = Replies::default();
            if let Some(offset) = self.take_reset() {
                self.answer_reset(offset, &mut out);
                return out;
            }
            let got = self.read().await;
            // Nothing for this client among what arrived: go on waiting behind it.
            if let Ok(got) = &got
                && got.status == Status::NoMatchedMessage
                && arrived
            {
                self.offset = got.next;
                continue;
            }
            self.answer_read(got, &mut out);
            return out;
        }
    }

    /// Where an administrator wants the group to go on, if this consumer has not heard of it.
    fn take_reset(&self) -> Option<i64> {
        let queue = i32::try_from(self.queue.id()).ok()?;
        let at = i64::try_from(self.offset).ok()?;
        self.broker.offsets.take_reset(self.queue.topic(), &self.group.group_name, queue, at)
    }

    /// Sends the client where an administrator wants it.
    fn answer_reset(&self, offset: i64, out: &mut Replies) {
        self.answer_moved("OFFSET_RESET", offset, out);
    }

    /// Sends a client whose offset is below 0 to the start.
    fn answer_below(&self, out: &mut Replies) {
        let status = match self.queue.max_offset() {
            0 => "NO_MESSAGE_IN_QUEUE",
            _ => "OFFSET_TOO_SMALL",
        };
        self.answer_moved(status, self.queue.min_offset() as i64, out);
    }

    fn answer_moved(&self, remark: &str, next: i64, out: &mut Replies) {
        let (min, max) = (self.queue.min_offset() as i64, self.queue.max_offset() as i64);
        let mut writer =
            FrameWriter::response(out.head(), self.to, code::PULL_OFFSET_MOVED).remark(remark);
        self.response(next, min, max).encode(&mut writer);
        writer.finish(&[]);
        self.note(code::PULL_OFFSET_MOVED, self.broker.env.clock.mono());
    }

    /// Counts how long it took.
    fn note(&self, response: i32, now: Duration) {
        let answered = Answered { request: self.code, response, held: self.held, oneway: false };
        self.broker.metrics.rpc.record(answered, now.saturating_sub(self.started), 1);
    }

    fn answer_read(&self, got: Result<Got, ReadError>, out: &mut Replies) {
        match got {
            Ok(got) => self.answer(got, out),
            Err(error) => {
                let refusal = Refusal::from(error);
                reply::refuse_to(out, self.to, &refusal);
                self.note(refusal.code(), self.broker.env.clock.mono());
            }
        }
    }

    /// Notes what tools are told of pulls.
    fn count(&self, got: &Got, now: Duration) {
        let broker = &self.broker;
        broker.stats.pulled(got.messages, self.topic.system);
        let (topic, group) = (&self.topic.config.topic_name, &self.group.group_name);
        let (queue, next) = (self.queue.id() as i32, got.next as i64);
        let (messages, bytes) = (u64::from(got.messages), got.bytes as u64);
        let fetch = Fetch { queue, next, got: Amount { times: 1, messages, bytes } };
        broker.progress.pulled(topic, group, fetch, now);
    }

    /// Writes the answer: the header is complete whatever was found, the messages are slices of the log.
    fn answer(&self, got: Got, out: &mut Replies) {
        let now = self.broker.env.clock.mono();
        self.count(&got, now);
        let (code, remark) = outcome(got.status, self.offset);
        self.note(code, now);
        let response = self.response(got.next as i64, got.min as i64, got.max as i64);
        let mut writer = FrameWriter::response(out.head(), self.to, code).remark(remark);
        response.encode(&mut writer);
        writer.finish_before(got.bytes);
        match got.copied {
            Some(_) => got.slices.into_iter().for_each(|slice| out.body(slice)),
            None => got.slices.into_iter().for_each(|slice| out.mapped(slice)),
        }
    }

    fn response(&self, next: i64, min: i64, max: i64) -> PullResponse {
        PullResponse {
            suggest_which_broker_id: 0,
            next_begin_offset: next,
            min_offset: min,
            max_offset: max,
            offset_delta: None,
            topic_sys_flag: Some(self.topic.config.topic_sys_flag),
            group_sys_flag: Some(self.group.group_sys_flag),
            forbidden_type: None,
        }
    }
}

/// Whether an expression is of the kind that the broker filters by; a client that names none means tags.
fn is_tag(kind: &str) -> bool {
    kind.is_empty() || kind == "TAG"
}

/// Response code and remark of a read (broker-semantics §9.3).
fn outcome(status: Status, offset: u64) -> (i32, &'static str) {
    let moved_unless_start =
        if offset == 0 { code::PULL_NOT_FOUND } else { code::PULL_OFFSET_MOVED };
    match status {
        Status::Found => (code::SUCCESS, "FOUND"),
        Status::NoMatchedMessage => (code::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE"),
        Status::MessageWasRemoving => (code::PULL_RETRY_IMMEDIATELY, "MESSAGE_WAS_REMOVING"),
        Status::NoMessageInQueue => (moved_unless_start, "NO_MESSAGE_IN_QUEUE"),
        Status::OffsetFoundNull => (code::PULL_NOT_FOUND, "OFFSET_FOUND_NULL"),
        Status::OffsetOverflowOne => (code::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
        Status::OffsetOverflowBadly => (code::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY"),
        Status::OffsetTooSmall => (code::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL"),
        Status::Again => (code::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE"),
    }
}

/// Whether nothing is there yet, so that the pull may be held until something is.
fn is_end(status: Status, offset: u64) -> bool {
    outcome(status, offset).0 == code::PULL_NOT_FOUND
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows which subscriptions of a heartbeat take everything: those that say so, and not those that name tags but
    /// lack their hashes.
    #[test]
    fn all_is_taken_only_where_it_is_said() {
        let a = java_hash::tags_code(b"a");
        for (expression, hashes, takes_a, takes_other) in [
            ("*", vec![], true, true),
            ("", vec![], true, true),
            ("a", vec![], false, false),
            ("a", vec![a as i32], true, false),
            ("", vec![a as i32], true, false),
        ] {
            let data = SubscriptionData {
                sub_string: expression.to_owned(),
                code_set: hashes,
                ..SubscriptionData::default()
            };
            let filter = Filter::of(&data).unwrap();
            assert_eq!(
                (filter.accepts(a), filter.accepts(a + 1)),
                (takes_a, takes_other),
                "{data:?}"
            );
        }
    }
}
