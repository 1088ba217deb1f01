//! Where a new group starts on a topic that has lost its oldest messages.
//!
//! Only such a topic shows what a consumer asked for: while the first message is still in memory,
//! brokers answer any new group's offset query with 0.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use apogee_e2e::load::{self, Shape};
use apogee_e2e::process::Process;
use apogee_e2e::view::View;

use crate::Context;
use crate::consuming::got_keys;
use crate::results::{all_got, all_sent, offsets_by_queue, same_places};

/// Log files of which the old messages fill more than one, and all that follow less than another.
pub(crate) const SETTINGS: [(&str, &str); 5] = [
    ("mappedFileSizeCommitLog", "262144"),
    ("mappedFileSizeConsumeQueue", "1000"),
    ("fileReservedTime", "0"),
    ("deleteWhen", "00;01;02;03;04;05;06;07;08;09;10;11;12;13;14;15;16;17;18;19;20;21;22;23"),
    ("cleanResourceInterval", "100"),
];
const OLD: usize = 800;
const OLD_BYTES: &str = "200";
const NEW: usize = 20;
const QUEUES: i32 = 2;
/// The reference looks for files to delete a minute after its start, and every tenth of a second
/// from then on.
const RETENTION_LIMIT: Duration = Duration::from_secs(100);
const LIMIT: Duration = Duration::from_secs(30);

/// Shows that a new group gets what is left when it starts at the first offset, what is newer than
/// a time when it starts there, and only what comes after it when it starts at the last offset.
pub(crate) fn start_of_a_new_group(context: &Context) -> Result<()> {
    let old = [("send", "ordered"), ("count", &*OLD.to_string()), ("prefix", "old")];
    let old = [&old[..], &[("queues", "2"), ("size", OLD_BYTES)]].concat();
    all_sent(&context.run("Roundtrip", &old)?, OLD)?;
    wait_for_retention(context)?;
    let time = next_second()?;
    let new = send(context, "new")?;

    let time = time.to_string();
    let args = [("group", "at-time"), ("from", &*time), ("expect", &*NEW.to_string())];
    same_places(&new, &all_got(&context.run("Roundtrip", &args)?, NEW)?)?;

    let left = ranges(context)?;
    let count = usize::try_from(left.values().map(|(min, max)| max - min).sum::<i64>())?;
    ensure!(NEW < count && count < OLD, "{left:?}");
    let args = [("group", "at-first"), ("from", "first"), ("expect", &*count.to_string())];
    let got = offsets_by_queue(&all_got(&context.run("Roundtrip", &args)?, count)?);
    for (queue, (min, max)) in &left {
        let offsets = got.get(queue).context("a queue was not read")?;
        ensure!(offsets.iter().min() == Some(min), "queue {queue} holds {min}..{max}");
    }

    let args = [("group", "at-last"), ("from", "last")];
    let mut member = context.start("at-last", "Member", &[], &args)?;
    probe(context, &mut member)?;
    send(context, "late")?;
    let late: Vec<String> = (0..NEW).map(|number| format!("late-{number}")).collect();
    member.wait_until(LIMIT, "what was sent last", |member| {
        let keys = got_keys(member);
        late.iter().all(|key| keys.contains(key))
    })?;
    let keys = got_keys(&member);
    let expected = |key: &String| late.contains(key) || key.starts_with("probe");
    ensure!(keys.iter().all(expected), "{keys:?}");
    ensure!(ranges(context)?.iter().all(|(queue, (min, _))| left[queue].0 == *min), "{left:?}");
    Ok(())
}

/// Waits until a member reads both queues, by sending to them until it has got something from each:
/// where a queue ended when the member came to it is known to the member alone.
fn probe(context: &Context, member: &mut Process) -> Result<()> {
    let broker = context.broker()?;
    let (mut round, topic) = (0, context.topic());
    member.wait_until(LIMIT, "messages of both queues", |member| {
        round += 1;
        let shape = Shape { queues: QUEUES, ..Shape::new(&topic, &format!("probe{round}")) };
        sleep(Duration::from_millis(100));
        let sent = load::send(broker, &shape, 2);
        let keys = got_keys(member);
        sent.is_ok() && ["-0", "-1"].iter().all(|queue| keys.iter().any(|key| key.ends_with(queue)))
    })
}

fn send(context: &Context, prefix: &str) -> Result<Vec<crate::results::Place>> {
    let args = [("send", "ordered"), ("count", &*NEW.to_string()), ("prefix", prefix)];
    all_sent(&context.run("Roundtrip", &args)?, NEW)
}

/// The smallest and the largest offset of each queue.
fn ranges(context: &Context) -> Result<BTreeMap<i64, (i64, i64)>> {
    let broker = context.broker()?;
    let queues = View::open(broker)?.topic(&context.topic(), QUEUES)?;
    Ok(queues.into_iter().map(|(id, queue)| (id.into(), (queue.min, queue.max))).collect())
}

/// Waits until every queue has lost its first messages. Between deleting files of a queue the
/// reference names a smallest offset that it does not hold any more, which is an error here.
fn wait_for_retention(context: &Context) -> Result<()> {
    let end = Instant::now() + RETENTION_LIMIT;
    while !ranges(context).is_ok_and(|left| left.values().all(|(min, _)| *min > 0)) {
        ensure!(Instant::now() < end, "nothing was deleted in {RETENTION_LIMIT:?}");
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Waits for the next full second, which is what a client can name, and returns it in milliseconds.
pub(crate) fn next_second() -> Result<u128> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH);
    let next = (now()?.as_millis() / 1000 + 1) * 1000;
    while now()?.as_millis() < next {
        sleep(Duration::from_millis(5));
    }
    Ok(next)
}
