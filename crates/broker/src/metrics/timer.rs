//! One request, from when it is read to when it is answered, now or later. Sends and pulls time themselves.

use std::time::Duration;

use wire::frame::answer_code;
use wire::{Frame, Replies, RequestCode, reply_codes as code};

use super::Answered;
use crate::Broker;
use crate::reply::Refusal;
use crate::topic::TopicError;

const CREATE_TOPIC: i32 = RequestCode::UpdateAndCreateTopic as i32;
const CREATE_GROUP: i32 = RequestCode::UpdateAndCreateSubscriptiongroup as i32;

/// A request that is not answered yet.
pub(crate) struct Timer {
    broker: Broker,
    request: i32,
    oneway: bool,
    started: Duration,
}

impl Timer {
    pub(crate) fn new(broker: &Broker, frame: &Frame<'_>, started: Duration) -> Timer {
        let (request, oneway) = (frame.code, frame.is_oneway());
        Timer { broker: broker.clone(), request, oneway, started }
    }

    /// It is answered with these bytes; without any if it is one-way.
    pub(crate) fn answered(&self, bytes: &[u8]) {
        self.note(answer_code(bytes).unwrap_or(code::SUCCESS), false);
    }

    /// It is refused.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        let system = matches!(refusal, Refusal::Topic(TopicError::System(_)));
        self.note(refusal.code(), system);
    }

    /// It is answered by the future that was added to `out` last.
    pub(crate) fn follow(self, out: &mut Replies) {
        if let Some(later) = out.pop_later() {
            out.later(Box::pin(async move {
                let mut answer = later.await;
                self.answered(answer.head());
                answer
            }));
        }
    }

    fn note(&self, response: i32, system: bool) {
        let took = self.broker.env.clock.mono().saturating_sub(self.started);
        let Timer { request, oneway, .. } = *self;
        let metrics = &self.broker.metrics;
        metrics.rpc.record(Answered { request, response, held: false, oneway }, took, 1);
        let success = response == code::SUCCESS;
        match request {
            CREATE_TOPIC => metrics.topic_created(success, system, took),
            CREATE_GROUP => metrics.group_created(success, took),
            _ => {}
        }
    }
}
