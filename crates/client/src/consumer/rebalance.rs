//! Which queues of a topic a member of a consumer group reads.
//!
//! Every member computes its share from the same two sorted lists, without talking to the others;
//! the results must equal those of the Java client exactly, or a mixed group would read a queue
//! twice or not at all.

use crate::queue::MessageQueue;

/// How queues are shared out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Neighboring queues go to the same member (`AVG`, the default of every client).
    #[default]
    Averagely,
    /// Queues are dealt one by one (`AVG_BY_CIRCLE`).
    ByCircle,
}

/// The queues that `member` reads. Sorts both lists first; a member that is not in `members` gets
/// nothing.
pub(crate) fn allocate(
    strategy: Strategy,
    member: &str,
    queues: &mut [MessageQueue],
    members: &mut [String],
) -> Vec<MessageQueue> {
    queues.sort_unstable();
    // Java sorts strings by UTF-16 code units, which differs from bytes above the basic plane.
    members.sort_unstable_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    let Some(index) = members.iter().position(|name| name == member) else { return Vec::new() };
    match strategy {
        Strategy::Averagely => averagely(queues, members.len(), index),
        Strategy::ByCircle => queues.iter().skip(index).step_by(members.len()).cloned().collect(),
    }
}

fn averagely(queues: &[MessageQueue], members: usize, index: usize) -> Vec<MessageQueue> {
    let (share, extra) = (queues.len() / members, queues.len() % members);
    // The first `extra` members take one queue more than the others.
    let start = index * share + index.min(extra);
    let len = share + usize::from(index < extra);
    queues[start..start + len].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: u32) -> Vec<MessageQueue> {
        (0..count).rev().map(|id| MessageQueue::new("T", "b", id)).collect()
    }

    fn members(count: usize) -> Vec<String> {
        (0..count).rev().map(|n| format!("c{n:02}")).collect()
    }

    fn ids(strategy: Strategy, count: u32, of: usize, member: usize) -> Vec<u32> {
        allocate(strategy, &format!("c{member:02}"), &mut queues(count), &mut members(of))
            .iter()
            .map(|queue| queue.id)
            .collect()
    }

    // Shares equal those of AllocateMessageQueueAveragely and …ByCircle for uneven counts.
    #[test]
    fn shares_are_those_of_the_java_client() {
        assert_eq!(ids(Strategy::Averagely, 8, 3, 0), [0, 1, 2]);
        assert_eq!(ids(Strategy::Averagely, 8, 3, 1), [3, 4, 5]);
        assert_eq!(ids(Strategy::Averagely, 8, 3, 2), [6, 7]);
        assert_eq!(ids(Strategy::Averagely, 2, 3, 1), [1]);
        assert!(ids(Strategy::Averagely, 2, 3, 2).is_empty());
        assert_eq!(ids(Strategy::ByCircle, 8, 3, 0), [0, 3, 6]);
        assert_eq!(ids(Strategy::ByCircle, 8, 3, 2), [2, 5]);
    }

    // For every small group, each queue has exactly one owner and shares differ by at most one.
    #[test]
    fn every_queue_has_exactly_one_owner() {
        for strategy in [Strategy::Averagely, Strategy::ByCircle] {
            for count in 0..20 {
                for of in 1..20 {
                    let shares: Vec<_> = (0..of).map(|m| ids(strategy, count, of, m)).collect();
                    let mut all: Vec<u32> = shares.iter().flatten().copied().collect();
                    all.sort_unstable();
                    assert_eq!(all, (0..count).collect::<Vec<_>>());
                    let sizes = shares.iter().map(Vec::len);
                    let spread = sizes.clone().max().unwrap() - sizes.min().unwrap();
                    assert!(spread <= 1);
                }
            }
        }
    }

    // A member that the broker does not list must not read anything.
    #[test]
    fn an_unlisted_member_gets_nothing() {
        let share = allocate(Strategy::Averagely, "x", &mut queues(4), &mut members(2));
        assert!(share.is_empty());
    }
}
