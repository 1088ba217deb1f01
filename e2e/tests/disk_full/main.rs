//! User pain 8: a disk that runs full, on file systems of its own. Where none can be mounted the cases are
//! skipped, and the report says so; the store's own tests show the same on a simulated disk.
#![allow(clippy::disallowed_methods, reason = "drives real processes and clocks")]

mod mount;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use apogee_e2e::apogee::{Server, binary};
use apogee_e2e::cases::{Cases, counted};
use apogee_e2e::frame::{Connection, Frame};
use apogee_e2e::java::Settings;
use apogee_e2e::peer::Peer;
use apogee_e2e::view::View;

use crate::mount::{Mount, run};

const LIMIT: Duration = Duration::from_secs(20);
/// Longest that anything may take that is due within seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const SEND: i64 = 10;
const QUERY_OFFSET: i64 = 14;
const UPDATE_OFFSET: i64 = 15;
const UPDATE_SETTINGS: i64 = 25;
const SERVICE_NOT_AVAILABLE: i64 = 14;

const TOPIC: &str = "full";
/// A group that is far behind.
const LAGGARD: &str = "laggard";

fn main() -> Result<ExitCode> {
    let mut cases = Cases::default();
    if !Peer::selected().contains(&Peer::Apogee) {
        return Ok(cases.run());
    }
    let missing = || Peer::Apogee.missing();
    let small = missing().or_else(Mount::missing);
    cases.add("apogee::space_comes_back".to_owned(), small.clone(), space_comes_back);
    cases.add("apogee::policies".to_owned(), small, policies);
    let image = missing().or_else(Mount::missing_image);
    cases.add("apogee::foreign_file_of_95_percent".to_owned(), image, foreign_file);
    Ok(cases.run())
}

/// Small files, and a reserve that the test can see.
fn settings() -> Settings {
    let settings = [
        ("mappedFileSizeCommitLog", "1048576"),
        ("mappedFileSizeConsumeQueue", "20000"),
        ("maxHashSlotNum", "1000"),
        ("maxIndexNum", "4000"),
        ("diskReserveBytes", "16777216"),
        ("flushConsumerOffsetInterval", "200"),
    ];
    settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn start(dir: &Path, settings: Settings) -> Result<Server> {
    Server::start(&binary().context("no apogee binary")?, dir, settings)
}

/// Sends one message to queue 0; the answer, whatever it says.
fn send(connection: &mut Connection, number: usize) -> Result<Frame> {
    let properties = format!("KEYS\u{1}{number}\u{2}");
    let fields = [
        ("producerGroup", "p"),
        ("topic", TOPIC),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", "1"),
        ("queueId", "0"),
        ("sysFlag", "0"),
        ("bornTimestamp", "1700000000000"),
        ("flag", "0"),
        ("properties", &properties),
        ("reconsumeTimes", "0"),
        ("unitMode", "false"),
        ("batch", "false"),
    ];
    let answer = connection.call(SEND, &fields, &[b'x'; 64 << 10]);
    answer.with_context(|| format!("sending {number}"))
}

/// Sends from `number` on until one is refused; the number of that one, and its answer.
fn send_until_refused(connection: &mut Connection, mut number: usize) -> Result<(usize, Frame)> {
    for _ in 0..10_000 {
        let answer = send(connection, number)?;
        if answer.code != 0 {
            return Ok((number, answer));
        }
        ensure!(answer.number("queueOffset")? == i64::try_from(number)?, "{answer:?}");
        number += 1;
    }
    bail!("{number} messages are stored, and the disk is not full")
}

/// Waits until sends are taken again; how long that took.
fn wait_until_taken(connection: &mut Connection, number: usize) -> Result<Duration> {
    let begin = Instant::now();
    loop {
        let answer = send(connection, number)?;
        if answer.code == 0 {
            ensure!(answer.number("queueOffset")? == i64::try_from(number)?, "{answer:?}");
            return Ok(begin.elapsed());
        }
        ensure!(answer.code == SERVICE_NOT_AVAILABLE, "{answer:?}");
        ensure!(begin.elapsed() < PATIENCE, "still refused: {answer:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn commit(connection: &mut Connection, group: &str, offset: usize) -> Result<()> {
    let offset = offset.to_string();
    let fields = [
        ("consumerGroup", group),
        ("topic", TOPIC),
        ("queueId", "0"),
        ("commitOffset", offset.as_str()),
    ];
    let answer = connection.call(UPDATE_OFFSET, &fields, &[])?;
    ensure!(answer.code == 0, "{answer:?}");
    let answer = connection.call(QUERY_OFFSET, &fields[..3], &[])?;
    ensure!(answer.number("offset")?.to_string() == offset, "{answer:?}");
    Ok(())
}

/// Keys of the messages in queue 0, in order.
fn stored(broker: SocketAddr) -> Result<Vec<String>> {
    let queues = View::open(broker)?.topic(TOPIC, 1).context("reading everything")?;
    let records = &queues.get(&0).context("no queue")?.records;
    records.iter().map(|record| record.property("KEYS").map(str::to_owned)).collect()
}

/// The same while the oldest are being deleted: once they stay for the time of a reading.
fn stored_at_last(broker: SocketAddr) -> Result<Vec<String>> {
    let end = Instant::now() + PATIENCE;
    loop {
        match stored(broker) {
            Err(error) if Instant::now() >= end => return Err(error),
            Err(_) => {}
            Ok(keys) => return Ok(keys),
        }
    }
}

fn keys(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

fn check_refusal(answer: &Frame) -> Result<()> {
    ensure!(answer.code == SERVICE_NOT_AVAILABLE, "{answer:?}");
    // The reserve, and a file of the log unless less than the reserve is free.
    let expected =
        [("17.00", "diskReserveBytes, mappedFileSizeCommitLog"), ("16.00", "diskReserveBytes")];
    let fits = |(need, keys): &(&str, &str)| {
        let begin =
            format!("service not available now. the disk is full: {need} MiB must be free, ");
        let end = format!(" MiB are; policy reject ({keys}, diskFullPolicy)");
        answer.remark.starts_with(&begin) && answer.remark.ends_with(&end)
    };
    ensure!(expected.iter().any(fits), "{answer:?}");
    Ok(())
}

/// The log has these lines and no other warnings.
fn check_log(server: &Server, expected: &[&str]) -> Result<()> {
    let lines = server.unexpected_log_lines();
    let other: Vec<_> =
        lines.iter().filter(|line| !expected.iter().any(|text| line.contains(text))).collect();
    ensure!(other.is_empty(), "unexpected: {other:#?}");
    for text in expected {
        ensure!(lines.iter().any(|line| line.contains(text)), "no {text:?} in {lines:#?}");
    }
    Ok(())
}

/// Store-format check 19 and user pain 8: on a full file system sends get 14 with what is needed, what
/// there is, the policy and the keys; consumers still consume and commit, durably; space that is freed
/// from outside lets sends go on without a restart, and nothing is lost or moved.
fn space_comes_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let store = dir.path().join("store");
    let _mount = Mount::memory(&store, 96 * MIB)?;
    let foreign = store.join("foreign");
    fs::write(&foreign, vec![1; 48 << 20])?;
    let server = start(dir.path(), settings())?;
    let mut connection = Connection::open(server.broker(), LIMIT)?;
    let first = send(&mut connection, 0)?;
    ensure!(first.code == 0, "{first:?}");
    commit(&mut connection, LAGGARD, 0)?;
    let (refused, answer) = send_until_refused(&mut connection, 1)?;
    check_refusal(&answer)?;
    for _ in 0..20 {
        check_refusal(&send(&mut connection, refused)?)?;
    }

    ensure!(stored(server.broker())? == keys(0..refused), "a message is missing");
    commit(&mut connection, "reader", refused)?;
    let end = Instant::now() + PATIENCE;
    let table = store.join("config/consumerOffset.json");
    while !fs::read_to_string(&table).unwrap_or_default().contains("full@reader") {
        ensure!(Instant::now() < end, "the offset is not in {}", table.display());
        thread::sleep(Duration::from_millis(20));
    }
    check_refusal(&send(&mut connection, refused)?)?;

    let id = server.id();
    fs::remove_file(&foreign)?;
    let took = wait_until_taken(&mut connection, refused)?;
    ensure!(server.id() == id, "it was not restarted");
    ensure!(stored(server.broker())? == keys(0..refused + 1), "a message is missing");
    check_log(&server, &["sends are refused, the disk is full", "sends are taken again"])?;
    counted(format!(
        "{refused} messages filled the disk; {} ms after space came back a send was taken",
        took.as_millis()
    ));
    Ok(())
}

/// With `reject` a full file system goes on as soon as the last group has consumed, and loses only what is
/// consumed; with `delete-oldest`, set while it runs, it never stops, and the log names topic, offsets and
/// the group that loses them.
fn policies() -> Result<()> {
    const LOST: &str = "messages are deleted that groups have not consumed";
    let dir = tempfile::tempdir()?;
    let _mount = Mount::memory(&dir.path().join("store"), 48 * MIB)?;
    let server = start(dir.path(), settings())?;
    let mut connection = Connection::open(server.broker(), LIMIT)?;
    let first = send(&mut connection, 0)?;
    ensure!(first.code == 0, "{first:?}");
    commit(&mut connection, LAGGARD, 0)?;
    let (refused, answer) = send_until_refused(&mut connection, 1)?;
    check_refusal(&answer)?;
    commit(&mut connection, LAGGARD, refused)?;
    wait_until_taken(&mut connection, refused)?;
    let left = stored_at_last(server.broker())?;
    ensure!(left.len() < refused + 1 && keys(0..refused + 1).ends_with(&left), "{left:?}");
    ensure!(!fs::read_to_string(server.log_file())?.contains(LOST), "nobody has lost anything");

    let answer = connection.call(UPDATE_SETTINGS, &[], b"diskFullPolicy=delete-oldest\n")?;
    ensure!(answer.code == 0, "{answer:?}");
    // Twice what there is room for.
    for number in refused + 1..3 * refused {
        wait_until_taken(&mut connection, number)?;
    }
    let left = stored_at_last(server.broker())?;
    ensure!(keys(0..3 * refused).ends_with(&left) && left.len() > refused / 2, "{left:?}");
    check_log(&server, &["sends are refused, the disk is full", "sends are taken again", LOST])?;
    let log = fs::read_to_string(server.log_file())?;
    let line = log.lines().find(|line| line.contains(LOST)).context("no line")?;
    let first = format!("first={refused}");
    for part in ["topic=\"full\"", "queue=0", &first, "last=", "groups=\"laggard\""] {
        ensure!(line.contains(part), "no {part} in {line}");
    }
    Ok(())
}

/// User pain 8: a file system of 1 TiB that a foreign file fills to 95 %, with some 50 GiB free, is served
/// with the settings as they are by default; Java's default ratios would refuse every send.
fn foreign_file() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let store = dir.path().join("store");
    let _mount = Mount::image(&dir.path().join("image"), &store, 1024 * GIB)?;
    run(Command::new("fallocate").args(["-l", "921GiB"]).arg(store.join("foreign")))?;
    let server = start(dir.path(), Settings::new())?;
    let mut connection = Connection::open(server.broker(), LIMIT)?;
    for number in 0..50 {
        let answer = send(&mut connection, number)?;
        ensure!(answer.code == 0, "{answer:?}");
    }
    ensure!(stored(server.broker())? == keys(0..50), "a message is missing");
    check_log(&server, &[])
}
