//! What servers ask of a client, on the side of the client: which consumer or request is meant.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::consumer::member::Member;
use crate::instance::State;
use crate::queue::MessageQueue;
use crate::reply::Reply;

/// Finds what a server's request is for. It does not keep the client alive.
pub(crate) struct Inbox {
    state: Weak<Mutex<State>>,
}

impl Inbox {
    pub(crate) fn new(state: &Arc<Mutex<State>>) -> Inbox {
        Inbox { state: Arc::downgrade(state) }
    }

    /// The running consumer of a group.
    pub(crate) fn member(&self, group: &str) -> Option<Arc<Member>> {
        self.state.upgrade()?.lock().groups.member(group)
    }

    /// The membership of a group changed.
    pub(crate) fn members_changed(&self, group: &str) {
        if let Some(member) = self.member(group) {
            member.group.rebalance.notify_one();
        }
    }

    /// An administrator moved a group.
    pub(crate) fn reset(&self, group: &str, offsets: BTreeMap<MessageQueue, u64>) {
        if let Some(member) = self.member(group) {
            let client = member.client.clone();
            client.spawn("reset", async move { member.reset(offsets).await });
        }
    }

    /// A reply came. One that nobody waits for any more is dropped.
    pub(crate) fn reply(&self, correlation: &str, reply: Reply) {
        let waiting =
            self.state.upgrade().and_then(|state| state.lock().requests.remove(correlation));
        if waiting.is_none_or(|waiting| waiting.send(reply).is_err()) {
            tracing::debug!(correlation, "a reply came too late");
        }
    }
}
