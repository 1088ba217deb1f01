//! Which queue the next message goes to.
//!
//! Queues are taken in turn. A broker that failed or answered slowly is passed over for a while,
//! as long as another one is left. Pure: the caller passes the time in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::queue::MessageQueue;

/// Latency from which a broker is passed over, and for how long (`MQFaultStrategy`).
const PENALTIES: [(Duration, Duration); 5] = [
    (Duration::from_secs(15), Duration::from_secs(30)),
    (Duration::from_secs(5), Duration::from_secs(10)),
    (Duration::from_secs(3), Duration::from_secs(6)),
    (Duration::from_millis(1800), Duration::from_secs(5)),
    (Duration::from_millis(550), Duration::from_secs(2)),
];
/// How long a broker is passed over after a call that failed.
const FAILED: Duration = Duration::from_secs(10);

/// Round robin with memory of bad brokers.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    turn: usize,
    /// Until when (monotonic time) a broker is passed over. Entries of the past are dropped when
    /// new ones come, so it holds at most one entry per broker that failed lately.
    avoid: HashMap<Arc<str>, Duration>,
}

/// How a send to a broker ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// It was answered after this time.
    Answered(Duration),
    /// There was no answer, or one that asks to go elsewhere.
    Failed,
}

impl Selector {
    /// Starts at `turn`, which should be random so that producers do not march in step.
    pub(crate) fn new(turn: u64) -> Selector {
        // Only the position modulo the number of queues matters.
        Selector { turn: (turn % (1 << 31)) as usize, avoid: HashMap::new() }
    }

    /// The next queue: of a broker in good standing other than `last`, else of any other broker,
    /// else any. `last` is the broker that just failed.
    pub(crate) fn pick(
        &mut self,
        queues: &[MessageQueue],
        last: Option<&str>,
        now: Duration,
    ) -> Option<MessageQueue> {
        if queues.is_empty() {
            return None;
        }
        let start = self.turn % queues.len();
        self.turn = start + 1;
        let in_turn = || queues[start..].iter().chain(&queues[..start]);
        let other = |queue: &&MessageQueue| last != Some(&*queue.broker);
        let good =
            |queue: &&MessageQueue| self.avoid.get(&queue.broker).is_none_or(|until| *until <= now);
        let best = in_turn().find(|queue| other(queue) && good(queue));
        best.or_else(|| in_turn().find(other)).or_else(|| in_turn().next()).cloned()
    }

    /// Remembers how a call to `broker` ended.
    pub(crate) fn record(&mut self, broker: &Arc<str>, outcome: Outcome, now: Duration) {
        let penalty = match outcome {
            Outcome::Failed => Some(FAILED),
            Outcome::Answered(latency) => {
                PENALTIES.iter().find(|(from, _)| latency >= *from).map(|(_, penalty)| *penalty)
            }
        };
        match penalty {
            Some(penalty) => {
                self.avoid.retain(|_, until| *until > now);
                self.avoid.insert(broker.clone(), now + penalty);
            }
            None if self.avoid.is_empty() => {}
            None => drop(self.avoid.remove(broker)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_secs(100);

    fn queues() -> Vec<MessageQueue> {
        [("a", 0), ("a", 1), ("b", 0), ("b", 1)].map(|(b, id)| MessageQueue::new("T", b, id)).into()
    }

    fn picks(selector: &mut Selector, last: Option<&str>, now: Duration) -> Vec<String> {
        let mut next = || selector.pick(&queues(), last, now).unwrap();
        (0..4).map(|_| next()).map(|queue| format!("{}{}", queue.broker, queue.id)).collect()
    }

    // Without failures every queue gets its turn.
    #[test]
    fn queues_take_turns() {
        assert_eq!(picks(&mut Selector::new(2), None, T0), ["b0", "b1", "a0", "a1"]);
        assert_eq!(Selector::new(0).pick(&[], None, T0), None);
    }

    // After a failure the broker is avoided for ten seconds, then used again.
    #[test]
    fn a_failed_broker_is_passed_over() {
        let mut selector = Selector::new(0);
        selector.record(&"a".into(), Outcome::Failed, T0);
        assert!(picks(&mut selector, None, T0).iter().all(|queue| queue.starts_with('b')));
        let later = T0 + FAILED;
        assert!(picks(&mut selector, None, later).iter().any(|queue| queue.starts_with('a')));
    }

    // A slow answer counts too; a quick one clears the broker's record.
    #[test]
    fn latency_decides() {
        let mut selector = Selector::new(0);
        selector.record(&"a".into(), Outcome::Answered(Duration::from_secs(1)), T0);
        assert!(picks(&mut selector, None, T0).iter().all(|queue| queue.starts_with('b')));
        selector.record(&"a".into(), Outcome::Answered(Duration::from_millis(5)), T0);
        assert!(picks(&mut selector, None, T0).iter().any(|queue| queue.starts_with('a')));
    }

    // When every broker is bad, a retry still goes to another one than the last.
    #[test]
    fn the_last_broker_is_the_last_choice() {
        let mut selector = Selector::new(0);
        selector.record(&"a".into(), Outcome::Failed, T0);
        selector.record(&"b".into(), Outcome::Failed, T0);
        assert!(picks(&mut selector, Some("a"), T0).iter().all(|queue| queue.starts_with('b')));
        let only_a = [MessageQueue::new("T", "a", 0)];
        assert!(selector.pick(&only_a, Some("a"), T0).is_some());
    }
}
