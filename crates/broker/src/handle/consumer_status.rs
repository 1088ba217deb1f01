//! Offsets in the memory of a group's consumers (223), which each of them is asked for (221).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use wire::body::{ConsumerStatus, QueueOffsets};
use wire::header::{ConsumerStatusHeader, Header};
use wire::peer::PeerCall;
use wire::{Frame, Peer, Replies, RequestCode, reply_codes as code};

use crate::Broker;
use crate::handle::reset::KNOWS_RESET;
use crate::reply::{self, Refusal};

/// How long a consumer may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// 223: asks all consumers of a group, or the one that is named, at the same time. Those that do not answer are left
/// out.
pub(crate) fn consumer_status(
    broker: &Broker,
    frame: &Frame<'_>,
    header: &ConsumerStatusHeader<'_>,
    out: &mut Replies,
) -> Result<(), Refusal> {
    let group = header.group.to_str();
    let only = header.client_addr.map(|id| id.to_str()).filter(|id| !id.trim().is_empty());
    let members: Vec<(Arc<Peer>, String, i32)> = broker
        .clients
        .with_group(&group, |group| {
            let members = group.members.values();
            members.map(|m| (Arc::clone(&m.peer), m.client_id.clone(), m.version)).collect()
        })
        .unwrap_or_default();
    if members.is_empty() {
        return Err(Refusal::NoMember(group.into_owned()));
    }
    if let Some((.., version)) = members.iter().find(|(.., version)| *version < KNOWS_RESET) {
        return Err(Refusal::OldClient(*version));
    }
    let question =
        ConsumerStatusHeader { topic: header.topic, group: header.group, client_addr: None };
    let code = RequestCode::GetConsumerStatusFromClient.code();
    let asked =
        members.into_iter().filter(|(_, id, _)| only.as_ref().is_none_or(|only| only == id));
    let calls: Vec<(String, PeerCall)> = asked
        .map(|(peer, id, _)| (id, peer.call(code, |writer| question.encode(writer), &[])))
        .collect();
    let (to, broker) = ((!frame.is_oneway()).then(|| frame.reply_to()), broker.clone());
    out.later(Box::pin(async move {
        let answers = calls.into_iter().map(|(id, call)| answered(&broker, id, call));
        let consumer_table = join_all(answers).await.into_iter().flatten().collect();
        let status = ConsumerStatus { consumer_table, ..ConsumerStatus::default() };
        reply::outcome(to, Ok(status.encode()))
    }));
    Ok(())
}

/// What one consumer says, if it does so in time.
async fn answered(
    broker: &Broker,
    client_id: String,
    call: PeerCall,
) -> Option<(String, QueueOffsets)> {
    let answer = broker.env.clock.timeout(ANSWER_WAIT, call).await.ok()?.ok()?;
    let frame = answer.frame();
    if frame.code != code::SUCCESS || frame.body.is_empty() {
        return None;
    }
    match wire::body::read::<ConsumerStatus>(frame.body) {
        Ok(status) => Some((client_id, status.message_queue_table)),
        Err(error) => {
            tracing::debug!(client_id, %error, "a consumer's status cannot be read");
            None
        }
    }
}
