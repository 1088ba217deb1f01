//! A connection that this side opened, as its callers see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use wire::Peer;

use crate::limits;

/// A connection and what its task tells the callers.
pub(crate) struct Link {
    pub(crate) peer: Arc<Peer>,
    /// Told when there may be room for a request, and at the end of the connection.
    room: Notify,
    /// How often something was received.
    received: AtomicU64,
}

impl Link {
    pub(crate) fn new(peer: Arc<Peer>) -> Arc<Link> {
        Arc::new(Link { peer, room: Notify::new(), received: AtomicU64::new(0) })
    }

    /// For the connection's task: something was received.
    pub(crate) fn note_received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// For the connection's task: what waited may have been taken out, or the connection closed.
    pub(crate) fn note_room(&self) {
        if self.may_go_on(0) {
            self.room.notify_waiters();
        }
    }

    /// Waits until a request with so large a body may be queued, or never can be.
    pub(crate) async fn room(&self, bytes: usize) {
        loop {
            // Counts from its creation, so that nothing is missed between the look and the wait.
            let told = self.room.notified();
            if self.may_go_on(bytes) {
                return;
            }
            told.await;
        }
    }

    fn may_go_on(&self, bytes: usize) -> bool {
        self.peer.has_room(bytes) || self.peer.is_closed()
    }

    /// Begins to wait for an answer.
    pub(crate) fn ask(self: &Arc<Link>, now: Duration) -> Asked {
        Asked { link: self.clone(), received: self.received.load(Ordering::Relaxed), since: now }
    }
}

/// The wait for an answer.
pub(crate) struct Asked {
    link: Arc<Link>,
    received: u64,
    since: Duration,
}

impl Asked {
    /// Ends the wait for an answer that did not come. When nothing at all has come meanwhile, the connection
    /// is closed: its path may have died without a word, which the kernel takes a quarter of an hour to find.
    pub(crate) fn give_up(&self, now: Duration) {
        let is_silent = self.received == self.link.received.load(Ordering::Relaxed);
        if is_silent && now.saturating_sub(self.since) >= limits::SILENT_CALL {
            tracing::debug!(peer = %self.link.peer.remote(), "closing a silent connection");
            self.link.peer.close();
        }
    }
}
