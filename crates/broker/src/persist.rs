//! Keeps the configuration files in step with the tables: topics, groups and settings at once, offsets and delayed delivery by
//! their periods, everything at stop.
//!
//! One thread writes, so that a slow disk never stands in the way of a request. A file that cannot be written stays
//! dirty and is tried again with the next round; the error is logged each time, since a person must look.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use env::Stop;
use tokio::sync::watch;

use crate::Broker;
use crate::reply::Refusal;

/// Name of the file of topics.
pub(crate) const TOPICS_FILE: &str = "topics.json";
/// Name of the file of groups.
pub(crate) const GROUPS_FILE: &str = "subscriptionGroup.json";
/// Name of the file of committed offsets.
pub(crate) const OFFSETS_FILE: &str = "consumerOffset.json";
/// Name of the file of delayed delivery.
pub(crate) const DELAY_FILE: &str = "delayOffset.json";

/// How often the thread looks at its periods and whether it shall stop.
const TICK: Duration = Duration::from_millis(100);

/// Handle of the writing thread.
pub(crate) struct Persister {
    wake: SyncSender<()>,
    wanted: AtomicU64,
    written: watch::Sender<Round>,
}

/// The last round.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    number: u64,
    /// The table that could not be written.
    failed: Option<&'static str>,
}

impl Persister {
    /// The handle, and what the thread is started with.
    pub(crate) fn new() -> (Persister, Receiver<()>) {
        let (wake, woken) = sync_channel(1);
        (Persister { wake, wanted: AtomicU64::new(0), written: watch::Sender::default() }, woken)
    }

    /// Asks for a round now, without waiting.
    pub(crate) fn poke(&self) {
        // A full channel means that a round is about to start anyway.
        let _ = self.wake.try_send(());
    }

    /// Resolves when a round that started after this call has ended: whether topics and groups are written. What
    /// is not is tried again.
    pub(crate) fn round(&self) -> impl Future<Output = Result<(), Refusal>> + use<> {
        let wanted = self.wanted.fetch_add(1, Ordering::AcqRel) + 1;
        self.poke();
        let mut written = self.written.subscribe();
        async move {
            // The sender lives as long as the broker; if it is gone there is nothing to wait for.
            let ended = written.wait_for(|round| round.number >= wanted).await;
            match ended.ok().and_then(|round| round.failed) {
                Some(file) => Err(Refusal::NotWritten(file)),
                None => Ok(()),
            }
        }
    }

    /// The table that the last round could not write.
    pub(crate) fn failing(&self) -> Option<&'static str> {
        self.written.borrow().failed
    }
}

/// The thread: rounds until told to stop, and one more.
pub(crate) fn run(broker: &Broker, woken: &Receiver<()>, stop: &Stop) {
    let mut offsets_due = Duration::ZERO;
    let mut delay_due = Duration::ZERO;
    while !stop.is_stopped() {
        let wanted = broker.persister.wanted.load(Ordering::Acquire);
        let now = broker.env.clock.mono();
        broker.live.save();
        let failed = save_tables(broker);
        if now >= offsets_due {
            save_offsets(broker);
            offsets_due = now + Duration::from_millis(broker.settings().flush_offsets_ms);
        }
        if now >= delay_due {
            save_delay(broker);
            delay_due = now + Duration::from_millis(broker.settings().flush_delay_ms);
        }
        broker.persister.written.send_replace(Round { number: wanted, failed });
        let _ = woken.recv_timeout(TICK);
    }
    let failed = save_all(broker);
    broker.persister.written.send_replace(Round { number: u64::MAX, failed });
}

/// Writes every file that changed; the table that could not be.
pub(crate) fn save_all(broker: &Broker) -> Option<&'static str> {
    broker.live.save();
    let failed = save_tables(broker);
    save_offsets(broker);
    save_delay(broker);
    failed
}

/// Writes topics and groups; the one that could not be.
fn save_tables(broker: &Broker) -> Option<&'static str> {
    let mut failed = None;
    if broker.topics.take_dirty() {
        // Before the snapshot, which has them all.
        let topics = broker.topics.unsaved();
        let text = serde_json::to_vec(&broker.topics.snapshot());
        if save(broker, TOPICS_FILE, text, || broker.topics.mark_dirty()) {
            topics.iter().for_each(|topic| topic.mark_saved());
        } else {
            failed = Some(TOPICS_FILE);
        }
    }
    if broker.groups.take_dirty() {
        let text = serde_json::to_vec(&broker.groups.snapshot());
        if !save(broker, GROUPS_FILE, text, || broker.groups.mark_dirty()) {
            failed = Some(GROUPS_FILE);
        }
    }
    failed
}

fn save_offsets(broker: &Broker) {
    if broker.offsets.take_dirty() {
        let text = Ok(broker.offsets.to_json(broker.env.clock.wall_ms()));
        save(broker, OFFSETS_FILE, text, || broker.offsets.mark_dirty());
    }
}

pub(crate) fn save_delay(broker: &Broker) {
    if broker.delays.take_dirty() {
        let text = Ok(broker.delays.to_json(broker.env.clock.wall_ms()));
        save(broker, DELAY_FILE, text, || broker.delays.mark_dirty());
    }
}

/// Writes one file; whether that worked.
fn save(
    broker: &Broker,
    name: &str,
    text: serde_json::Result<Vec<u8>>,
    again: impl FnOnce(),
) -> bool {
    let text = text.expect("tables with text keys always have a JSON form");
    if let Err(error) = broker.store.config().write(name, &text) {
        tracing::error!(file = name, %error, "a configuration file cannot be written, trying again");
        again();
        return false;
    }
    true
}

/// Starts the thread.
pub(crate) fn start(broker: &Broker, woken: Receiver<()>) {
    let thread_broker = broker.clone();
    broker.env.tasks.thread("broker-config", move |stop| run(&thread_broker, &woken, &stop));
}
