//! Reading the results of client programs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Where a message is: key, queue, queue offset.
pub(crate) type Place = (String, i64, i64);

/// The list `name` of a result; absent means empty.
pub(crate) fn list<'a>(results: &'a Value, name: &str) -> &'a [Value] {
    results.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text of one element.
pub(crate) fn text<'a>(element: &'a Value, name: &str) -> Result<&'a str> {
    element.get(name).and_then(Value::as_str).with_context(|| format!("no {name} in {element}"))
}

/// A number of one element.
pub(crate) fn number(element: &Value, name: &str) -> Result<i64> {
    element.get(name).and_then(Value::as_i64).with_context(|| format!("no {name} in {element}"))
}

fn places(list: &[Value]) -> Result<Vec<Place>> {
    list.iter()
        .map(|one| {
            Ok((text(one, "key")?.to_owned(), number(one, "queue")?, number(one, "offset")?))
        })
        .collect()
}

/// All sends were answered with SEND_OK and none failed; where the messages are.
pub(crate) fn all_sent(results: &Value, count: usize) -> Result<Vec<Place>> {
    let failed = list(results, "failed");
    ensure!(failed.is_empty(), "failed sends: {failed:?}");
    let sent = list(results, "sent");
    ensure!(sent.len() == count, "{} answers to {count} sends", sent.len());
    for one in sent {
        ensure!(text(one, "status")? == "SEND_OK", "{one}");
    }
    places(sent)
}

/// Everything received had the body and properties that were sent, and came once; where it was.
pub(crate) fn all_got(results: &Value, count: usize) -> Result<Vec<Place>> {
    let got = list(results, "got");
    ensure!(got.len() == count, "{} messages instead of {count}: {got:?}", got.len());
    for one in got {
        ensure!(one.get("intact") == Some(&Value::Bool(true)), "damaged: {one}");
    }
    let places = places(got)?;
    let distinct: BTreeSet<_> = places.iter().collect();
    ensure!(distinct.len() == count, "duplicates in {places:?}");
    Ok(places)
}

/// What was received is what was acknowledged, at the acknowledged queue offsets.
pub(crate) fn same_places(sent: &[Place], got: &[Place]) -> Result<()> {
    let (sent, got): (BTreeSet<_>, BTreeSet<_>) = (sent.iter().collect(), got.iter().collect());
    let missing: Vec<_> = sent.difference(&got).collect();
    let surplus: Vec<_> = got.difference(&sent).collect();
    ensure!(missing.is_empty() && surplus.is_empty(), "missing {missing:?}, surplus {surplus:?}");
    Ok(())
}

/// Offsets of each queue, in the order of `places`.
pub(crate) fn offsets_by_queue(places: &[Place]) -> BTreeMap<i64, Vec<i64>> {
    let mut queues: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (_, queue, offset) in places {
        queues.entry(*queue).or_default().push(*offset);
    }
    queues
}

/// Every queue's offsets, as a set, are 0, 1, 2, … without a gap.
pub(crate) fn dense(places: &[Place]) -> Result<()> {
    for (queue, mut offsets) in offsets_by_queue(places) {
        offsets.sort_unstable();
        let expected: Vec<i64> = (0..).take(offsets.len()).collect();
        ensure!(offsets == expected, "queue {queue} has offsets {offsets:?}");
    }
    Ok(())
}
