//! Delayed messages that are on their way when the directory changes hands.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use apogee_e2e::frame::Connection;
use apogee_e2e::peer::{Cluster, Peer};
use apogee_e2e::view::View;

use crate::owned;

const TOPIC: &str = "delayed";
const SEND_MESSAGE_V2: i64 = 310;
const LIMIT: Duration = Duration::from_secs(60);
const COUNT: usize = 8;
/// Level 1 is soon over; level 2 is not before the servers have changed.
const LEVELS: &str = "1s 8s";

/// Store-format check 13, as far as delay levels go: shows that of the delayed messages each is delivered once, whether its time came before the switch
/// or after it, and that neither the one who takes over nor the one who gets the directory back
/// delivers any again.
pub(crate) fn pending_at_the_switch([first, second]: [Peer; 2], dir: &Path) -> Result<()> {
    let settings = owned(&[("messageDelayLevel", LEVELS)]);
    let mut cluster = Cluster::start(first, dir, &settings)?;
    send(cluster.broker(), "soon", 1, COUNT)?;
    delivered(&cluster, COUNT).context("before the switch")?;
    send(cluster.broker(), "late", 2, COUNT)?;
    cluster.stop()?;
    cluster.check_log()?;
    drop(cluster);

    let mut cluster = Cluster::start(second, dir, &settings)?;
    delivered(&cluster, 2 * COUNT).context("after the switch")?;
    send(cluster.broker(), "then", 1, COUNT)?;
    delivered(&cluster, 3 * COUNT).context("sent after the switch")?;
    cluster.stop()?;
    cluster.check_log()?;
    drop(cluster);

    let mut cluster = Cluster::start(first, dir, &settings)?;
    // What would come a second time comes before this, of both levels.
    send(cluster.broker(), "last", 1, 1)?;
    send(cluster.broker(), "last", 2, 1)?;
    delivered(&cluster, 3 * COUNT + 2).context("after the second switch")?;
    cluster.stop()?;
    cluster.check_log()
}

fn send(broker: SocketAddr, prefix: &str, level: u32, count: usize) -> Result<()> {
    let mut connection = Connection::open(broker, LIMIT)?;
    for number in 0..count {
        let key = format!("{prefix}-{level}-{number}");
        let properties = format!(
            "KEYS\u{1}{key}\u{2}UNIQ_KEY\u{1}{key}\u{2}WAIT\u{1}true\u{2}DELAY\u{1}{level}\u{2}"
        );
        let fields = [
            ("a", "load"),
            ("b", TOPIC),
            ("c", "TBW102"),
            ("d", "1"),
            ("e", "0"),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", &*properties),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
        ];
        let answer = connection.call(SEND_MESSAGE_V2, &fields, key.as_bytes())?;
        ensure!(answer.code == 0, "{answer:?}");
    }
    Ok(())
}

/// Waits for so many messages; each must be another.
fn delivered(cluster: &Cluster, count: usize) -> Result<()> {
    let end = Instant::now() + LIMIT;
    let mut view = View::open(cluster.broker())?;
    loop {
        let queue = view.queue(TOPIC, 0)?;
        let mut keys = Vec::new();
        for record in &queue.records {
            keys.push(record.property("KEYS")?);
            ensure!(record.body == record.property("KEYS")?.as_bytes(), "{record:?}");
        }
        keys.sort_unstable();
        let all = keys.len();
        keys.dedup();
        ensure!(keys.len() == all, "{} of {all} came again", all - keys.len());
        ensure!(all <= count, "{all} messages instead of {count}: {keys:?}");
        if all == count {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{all} of {count} messages came in {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
