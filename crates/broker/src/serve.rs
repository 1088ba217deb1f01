//! The broker's end of the straight line: all frames of one read, in order, each to its handler.

use std::sync::Arc;

use wire::codes::Lane;
use wire::{BrokerRequest, Call, Frame, FrameError, Frames, Peer, Replies};

use crate::handle::{
    clean, client, config, consumer_status, inspect, lists, offset, progress, pull, query,
};
use crate::handle::{reply_message, reset, send, send::Pass, send_back, settings};
use crate::metrics::Timer;
use crate::reply::{self, Refusal};
use crate::{Broker, limits};

impl Call for Broker {
    fn call_batch(
        &self,
        peer: &Arc<Peer>,
        frames: &mut Frames<'_>,
        out: &mut Replies,
    ) -> Result<(), FrameError> {
        let mut pass = self.take_pass();
        let mut frame = Frame::default();
        let read = loop {
            // What is left comes again after the answers so far are written.
            if out.len() >= limits::ANSWER_BYTES {
                break Ok(());
            }
            match frames.read(&mut frame) {
                Ok(true) => self.serve(peer, &frame, &mut pass, out),
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        send::finish(self, pass, out);
        read
    }

    fn disconnected(&self, peer: &Arc<Peer>) {
        client::notify(self, self.clients.disconnected(peer.id()));
    }
}

/// Whether it is a send, which is answered with all others of its read.
fn is_send(request: &BrokerRequest<'_>) -> bool {
    use BrokerRequest as R;
    matches!(request, R::SendMessage(_) | R::SendMessageV2(_) | R::SendBatchMessage(_))
}

impl Broker {
    fn serve(&self, peer: &Arc<Peer>, frame: &Frame<'_>, pass: &mut Pass, out: &mut Replies) {
        if peer.accept(frame) {
            return;
        }
        let (head, waiting) = (out.head().len(), out.waiting());
        let served = match BrokerRequest::decode(frame) {
            Ok(request) => {
                let counts_itself =
                    matches!(request.code().lane(), Lane::Pull) || is_send(&request);
                self.handle(peer, frame, request, pass, out).map(|()| counts_itself)
            }
            Err(error) => Err(Refusal::from(error)),
        };
        let timer = || Timer::new(self, frame, pass.started);
        match served {
            Ok(true) => {}
            Ok(false) if out.waiting() > waiting => timer().follow(out),
            Ok(false) => timer().answered(&out.head()[head..]),
            Err(refusal) => {
                reply::refuse(out, frame, &refusal);
                timer().refused(&refusal);
            }
        }
    }

    fn handle(
        &self,
        peer: &Arc<Peer>,
        frame: &Frame<'_>,
        request: BrokerRequest<'_>,
        pass: &mut Pass,
        out: &mut Replies,
    ) -> Result<(), Refusal> {
        use BrokerRequest as R;
        match request {
            R::SendMessage(h) | R::SendMessageV2(h) | R::SendBatchMessage(h) => {
                send::send(self, peer, frame, &h, pass, out)?;
            }
            R::PullMessage(h) | R::LitePullMessage(h) => {
                pull::pull(self, peer, frame, &h, pass.started, out)?;
            }
            R::ConsumerSendMsgBack(h) => send_back::send_back(self, frame, &h, out)?,
            R::QueryMessage(h) => query::by_key(self, frame, &h, out)?,
            R::ViewMessageById(h) => query::by_offset(self, frame, &h, out)?,
            R::SearchOffsetByTimestamp(h) => query::by_time(self, frame, &h, out)?,
            R::GetEarliestMsgStoretime(h) => query::earliest_time(self, frame, &h, out)?,
            R::QueryConsumerOffset(h) => offset::query(self, frame, &h, out)?,
            R::UpdateConsumerOffset(h) => offset::update(self, frame, &h, out)?,
            R::GetMaxOffset(h) => offset::max(self, frame, &h, out),
            R::GetMinOffset(h) => offset::min(self, frame, &h, out),
            R::HeartBeat(_) => client::heartbeat(self, peer, frame, out)?,
            R::UnregisterClient(h) => client::unregister(self, peer, frame, &h, out),
            R::GetConsumerListByGroup(h) => client::consumer_list(self, frame, &h, out)?,
            R::LockBatchMq(_) => client::lock(self, frame, out)?,
            R::UnlockBatchMq(_) => client::unlock(self, frame, out)?,
            R::UpdateAndCreateTopic(h) => config::create_topic(self, frame, &h, out)?,
            R::DeleteTopicInBroker(h) => config::delete_topic(self, frame, &h, out)?,
            R::GetAllTopicConfig(h) => config::all_topics(self, frame, &h, out),
            R::GetTopicConfig(h) => config::topic(self, frame, &h, out)?,
            R::UpdateAndCreateSubscriptiongroup(_) => config::create_group(self, frame, out)?,
            R::GetAllSubscriptiongroupConfig(h) => config::all_groups(self, frame, &h, out),
            R::GetSubscriptiongroupConfig(h) => config::group(self, frame, &h, out)?,
            R::GetBrokerConfig(_) => settings::get(self, frame, out),
            R::UpdateBrokerConfig(_) => settings::update(self, frame, out)?,
            R::UpdateAndCreateTopicList(_) => lists::create_topics(self, frame, out)?,
            R::UpdateAndCreateSubscriptiongroupList(_) => lists::create_groups(self, frame, out)?,
            R::DeleteSubscriptiongroup(h) => progress::delete_group(self, frame, &h, out),
            R::CloneGroupOffset(h) => progress::clone_offsets(self, frame, &h, out)?,
            R::QueryCorrectionOffset(h) => progress::correction(self, frame, &h, out),
            R::InvokeBrokerToResetOffset(h) => reset::reset(self, frame, &h, out)?,
            R::InvokeBrokerToGetConsumerStatus(h) => {
                consumer_status::consumer_status(self, frame, &h, out)?;
            }
            R::SendReplyMessage(h) | R::SendReplyMessageV2(h) => {
                reply_message::reply(self, peer, frame, &h, out)?;
            }
            R::CleanExpiredConsumequeue(_) => clean::expired_queues(self, frame, out)?,
            R::CleanUnusedTopic(_) => clean::unused_topics(self, frame, out)?,
            R::DeleteExpiredCommitlog(_) => clean::expired_log(self, frame, out)?,
            R::GetBrokerRuntimeInfo(_) => inspect::runtime::info(self, frame, out)?,
            R::GetAllConsumerOffset(_) => inspect::groups::all_offsets(self, frame, out)?,
            R::GetAllDelayOffset(_) => inspect::groups::all_delays(self, frame, out)?,
            R::GetTopicStatsInfo(h) => inspect::topics::stats(self, frame, &h, out)?,
            R::GetSystemTopicListFromBroker(_) => inspect::topics::system(self, frame, out),
            R::QueryConsumeQueue(h) => inspect::topics::consume_queue(self, frame, &h, out)?,
            R::GetConsumerConnectionList(h) => inspect::clients::consumers(self, frame, &h, out)?,
            R::GetProducerConnectionList(h) => inspect::clients::producers(self, frame, &h, out)?,
            R::GetAllProducerInfo(_) => inspect::clients::all_producers(self, frame, out),
            R::GetConsumeStats(h) => inspect::groups::stats(self, frame, &h, out)?,
            R::ViewBrokerStatsData(h) => inspect::stats::view(self, frame, &h, out)?,
            R::GetBrokerConsumeStats(h) => inspect::groups::all_stats(self, frame, &h, out)?,
            R::QueryConsumeTimeSpan(h) => inspect::groups::time_spans(self, frame, &h, out)?,
            R::QueryTopicConsumeByWho(h) => inspect::groups::of_topic(self, frame, &h, out),
            R::QueryTopicsByConsumer(h) => inspect::groups::topics_of(self, frame, &h, out),
            R::QuerySubscriptionByConsumer(h) => {
                inspect::groups::subscription(self, frame, &h, out);
            }
            R::GetConsumerRunningInfo(h) => inspect::relay::running_info(self, frame, &h, out)?,
            R::ConsumeMessageDirectly(h) => inspect::relay::consume(self, frame, &h, out)?,
        }
        Ok(())
    }
}
