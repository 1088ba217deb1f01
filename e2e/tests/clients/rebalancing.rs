//! Members come and go, in one language or two.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use apogee_e2e::load::{self, Shape};
use apogee_e2e::process::Process;

use crate::Context;
use crate::consuming::got_keys;

/// Java's clients look at their group at least once a second here; by default it is every 20 s.
pub(crate) const REBALANCE: &str = "rocketmq.client.rebalance.waitInterval=1000";
/// A change must be over within this.
const LIMIT: Duration = Duration::from_secs(60);

/// Shows that every queue has one owner within 60 s after a second consumer joins and after it is
/// killed, and that nothing of what is sent meanwhile is lost.
pub(crate) fn on_join_and_kill(context: &Context) -> Result<()> {
    let trickle = Trickle::start(context.broker()?, &context.topic());
    let all: BTreeSet<i64> = (0..8).collect();
    let args = [("limit", "240"), ("queues", "8")];
    let mut first = context.start("first", "Member", &[REBALANCE], &args)?;
    first.wait_until(LIMIT, "ownership of all queues", |first| owned(first) == all)?;
    let joining = context.joining;
    let broker = context.broker()?;
    let mut second =
        context.start_of(joining, broker, ("second", "Member"), &[REBALANCE], &args)?;
    first.wait_until(LIMIT, "an even split", |first| {
        let (first, second) = (owned(first), owned(&second));
        first.len() == 4 && second.len() == 4 && first.union(&second).count() == 8
    })?;
    second.wait_until(LIMIT, "messages", |second| !got_keys(second).is_empty())?;
    second.kill()?;
    first.wait_until(LIMIT, "ownership of all queues", |first| owned(first) == all)?;
    let acked = trickle.stop()?;
    ensure!(!acked.is_empty(), "nothing was sent");
    first.wait_until(LIMIT, "all acknowledged messages", |first| {
        let got = [got_keys(first), got_keys(&second)].concat();
        let got: BTreeSet<String> = got.into_iter().collect();
        acked.iter().all(|key| got.contains(key))
    })
}

/// The queues that a member last said it owns.
pub(crate) fn owned(member: &Process) -> BTreeSet<i64> {
    let output = member.output();
    let last = output.lines().rev().find_map(|line| line.strip_prefix("OWNED "));
    last.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}

/// A message to each of eight queues, again and again.
struct Trickle {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<String>>>,
}

impl Trickle {
    const PAUSE: Duration = Duration::from_millis(50);

    fn start(broker: SocketAddr, topic: &str) -> Self {
        let (stop, topic) = (Arc::new(AtomicBool::new(false)), topic.to_owned());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut keys = Vec::new();
            for round in 0.. {
                let shape = Shape { queues: 8, ..Shape::new(&topic, &format!("round{round}")) };
                let acked = load::send(broker, &shape, 8)?;
                keys.extend(acked.into_iter().map(|one| one.key));
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(Self::PAUSE);
            }
            Ok(keys)
        });
        Self { stop, thread }
    }

    /// Ends it; the keys of all that was acknowledged.
    fn stop(self) -> Result<Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the sender panicked"))?
    }
}
