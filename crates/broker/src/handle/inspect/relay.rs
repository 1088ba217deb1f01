//! Requests that the broker hands on to a consumer over the connection that the consumer opened (307, 309).

use std::time::Duration;

use env::Clock;
use store::ReadError;
use wire::frame::OwnedFrame;
use wire::header::{ConsumeDirectlyHeader, Header, RunningInfoHeader};
use wire::ids::OffsetMsgId;
use wire::peer::{PeerCall, PeerError};
use wire::{Frame, FrameWriter, Replies, RequestCode, Text};

use crate::Broker;
use crate::clients::Consumer;
use crate::reply::{self, Refusal};

/// How long a consumer may take to answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The version from which on consumers answer (V3_1_8_SNAPSHOT).
const ANSWERS: i32 = 62;

/// Why a consumer's answer cannot be handed back.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// No such consumer is connected.
    #[error("The Consumer <{group}> <{client}> not online")]
    Offline {
        /// Group.
        group: String,
        /// Client id.
        client: String,
    },
    /// The consumer is of a version that does not know such requests.
    #[error(
        "The Consumer <{client}> Version <{version}> too low to finish, please upgrade it to V3_1_8_SNAPSHOT ({ANSWERS})"
    )]
    TooOld {
        /// Client id.
        client: String,
        /// Version ordinal.
        version: i32,
    },
    /// The consumer has not answered in time.
    #[error("consumer <{group}> <{client}> Timeout: no answer within {} s", LIMIT.as_secs())]
    Silent {
        /// Group.
        group: String,
        /// Client id.
        client: String,
    },
    /// The consumer cannot be asked.
    #[error("invoke consumer <{group}> <{client}> Exception: {error}")]
    Failed {
        /// Group.
        group: String,
        /// Client id.
        client: String,
        /// Why.
        error: PeerError,
    },
}

/// A consumer that is asked.
struct Asked {
    group: String,
    client: String,
    consumer: Consumer,
}

/// 307: what a consumer says of itself.
pub(crate) fn running_info(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &RunningInfoHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let (group, client) = (header.consumer_group.to_str(), header.client_id.to_str());
    let asked = find(broker, group.into_owned(), client.into_owned())?;
    let code = RequestCode::GetConsumerRunningInfo.code();
    let call = asked.consumer.peer.call(code, |writer| header.encode(writer), frame.body);
    let clock = broker.env.clock.clone();
    later(frame, out, async move { asked.answer(&clock, call).await });
    Ok(())
}

/// 309: has a consumer consume a stored message, out of turn.
pub(crate) fn consume(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ConsumeDirectlyHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let text = |text: Option<Text<'_>>| text.map(|text| text.to_str().into_owned());
    let group = header.consumer_group.to_str().into_owned();
    let client = text(header.client_id).unwrap_or_default();
    let asked = find(broker, group, client)?;
    let (id, topic) = (text(header.msg_id).unwrap_or_default(), text(header.topic));
    let at = OffsetMsgId::decode(id.as_bytes()).map(|id| id.offset);
    let at = at.ok_or_else(|| Refusal::NoOffsetId(id.clone()))?;
    let record = broker.store.background(move |store| store.record(at))?;
    let broker = broker.clone();
    later(frame, out, async move {
        let record = record.await.unwrap_or(Err(ReadError::Closed))?;
        let record = record.ok_or(Refusal::NoRecord(at as i64))?;
        let topic_config = topic.as_ref().and_then(|name| broker.topics.get(name));
        let group_config = broker.groups.get(&asked.group);
        let broker_name = broker.settings().name.clone();
        let header = ConsumeDirectlyHeader {
            consumer_group: asked.group.as_str().into(),
            client_id: Some(asked.client.as_str().into()),
            msg_id: Some(id.as_str().into()),
            broker_name: Some(broker_name.as_str().into()),
            topic: topic.as_deref().map(Text::from),
            topic_sys_flag: topic_config.map(|topic| topic.config.topic_sys_flag),
            group_sys_flag: group_config.map(|group| group.group_sys_flag),
        };
        let code = RequestCode::ConsumeMessageDirectly.code();
        let call = asked.consumer.peer.call(code, |writer| header.encode(writer), &record);
        asked.answer(&broker.env.clock, call).await
    });
    Ok(())
}

fn find(broker: &Broker, group: String, client: String) -> Result<Asked, RelayError> {
    let Some(consumer) = broker.clients.consumer(&group, &client) else {
        return Err(RelayError::Offline { group, client });
    };
    if consumer.version < ANSWERS {
        return Err(RelayError::TooOld { client, version: consumer.version });
    }
    Ok(Asked { group, client, consumer })
}

impl Asked {
    /// What the consumer answers, in time.
    async fn answer(self, clock: &Clock, call: PeerCall) -> Result<OwnedFrame, Refusal> {
        let Asked { group, client, .. } = self;
        match clock.timeout(LIMIT, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(RelayError::Failed { group, client, error }.into()),
            Err(_) => Err(RelayError::Silent { group, client }.into()),
        }
    }
}

/// Hands back what the consumer answers: code, remark and body.
fn later(
    frame: &Frame<'_>,
    out: &mut Replies,
    answer: impl Future<Output = Result<OwnedFrame, Refusal>> + Send + 'static,
) {
    let (to, oneway) = (frame.reply_to(), frame.is_oneway());
    out.later(Box::pin(async move {
        let mut out = Replies::default();
        match answer.await {
            _ if oneway => {}
            Ok(answer) => {
                let (frame, body) = (answer.frame(), answer.body());
                let remark = frame.remark.map(|remark| remark.to_str()).unwrap_or_default();
                let writer = FrameWriter::response(out.head(), to, frame.code).remark(&remark);
                writer.finish_before(body.len());
                out.body(body);
            }
            Err(refusal) => reply::refuse_to(&mut out, to, &refusal),
        }
        out
    }));
}
