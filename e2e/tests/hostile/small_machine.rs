//! A server in a control group with little memory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use apogee_e2e::apogee::{self, Server};
use apogee_e2e::cases::counted;
use apogee_e2e::frame::Connection;
use apogee_e2e::java::Settings;
use apogee_e2e::load::{Load, Shape};
use apogee_e2e::record::Record;
use rustix::fs::{Advice, fadvise};

use crate::{finish, share};

const GROUP_BYTES: u64 = 256 << 20;
/// Memory of the group that is not the page cache's.
const MOST_OWN: u64 = 128 << 20;
const BODY_BYTES: usize = 60_000;
const LIMIT: Duration = Duration::from_secs(60);

/// Why no such group can be made here, if so.
pub(crate) fn missing() -> Option<String> {
    Group::new("probe").err().map(|error| format!("no control group of our own: {error:#}"))
}

/// Shows that a server in a control group of 256 MiB takes 5 GiB, gives them to a consumer, restarts, and
/// gives them again from the disk, without using more than 128 MiB besides the page cache.
pub(crate) fn consumes_cold(dir: &Path, percent: u32) -> Result<()> {
    let group = Group::new("server")?;
    let settings = [("mappedFileSizeCommitLog", "67108864"), ("fileReservedTime", "72")];
    let settings: Settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let binary = group.wrapper(&dir.join("apogee"))?;
    let mut server = Server::start(&binary, dir, settings)?;

    let count = share((5 << 30) / BODY_BYTES, percent);
    let shape = Shape { body_bytes: BODY_BYTES, ..Shape::new("cold", "cold") };
    let load = Load::start(server.broker(), &shape);
    load.wait_for(count)?;
    let sent = load.after_kill()?.len();
    let mut own = vec![group.own("after the sends")?];
    ensure!(consume(&server, &shape)? >= sent, "not all of {sent} messages came");
    own.push(group.own("after consuming")?);

    server.stop()?;
    forget(&server.store_dir().join("commitlog"))?;
    server.start_again()?;
    own.push(group.own("after the restart")?);
    ensure!(consume(&server, &shape)? >= sent, "not all of {sent} messages came from the disk");
    own.push(group.own("after consuming from the disk")?);
    let mib: Vec<u64> = own.iter().map(|bytes| bytes >> 20).collect();
    counted(format!(
        "{sent} messages of 60 kB in a control group of 256 MiB: {mib:?} MiB besides the page cache"
    ));
    finish(server)
}

/// Pulls every queue from its start to its end; how many messages came. An error if an offset has none.
fn consume(server: &Server, shape: &Shape) -> Result<usize> {
    let mut connection = Connection::open(server.broker(), LIMIT)?;
    let mut count = 0;
    for queue in 0..shape.queues {
        let (queue, mut offset) = (queue.to_string(), 0_i64);
        loop {
            let text = offset.to_string();
            let fields = [
                ("consumerGroup", "cold"),
                ("topic", &*shape.topic),
                ("queueId", &*queue),
                ("queueOffset", &*text),
                ("maxMsgNums", "32"),
                ("sysFlag", "4"),
                ("commitOffset", "0"),
                ("suspendTimeoutMillis", "0"),
                ("subscription", "*"),
                ("subVersion", "0"),
            ];
            let answer = connection.call(11, &fields, &[])?;
            match answer.code {
                0 => {}
                19 => break,
                _ => ensure!(answer.code == 20, "{answer:?}"),
            }
            for record in Record::parse_all(&answer.body)? {
                let (at, bytes) = (record.queue_offset, record.body.len());
                ensure!(at == offset, "queue {queue}: {at} came where {offset} was next");
                ensure!(bytes == BODY_BYTES, "queue {queue}, {at}: {bytes} bytes");
                offset += 1;
                count += 1;
            }
            let next = answer.number("nextBeginOffset")?;
            ensure!(next == offset, "queue {queue}: goes on at {next}, not at {offset}");
        }
    }
    Ok(count)
}

/// Drops the files below from the page cache.
fn forget(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let file = fs::File::open(entry?.path())?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// A control group of its own, of version 2 or 1; removed when dropped, when nothing is in it any more.
struct Group {
    dir: PathBuf,
    second: bool,
}

impl Group {
    fn new(name: &str) -> Result<Self> {
        let mount = Path::new("/sys/fs/cgroup");
        let second = mount.join("cgroup.controllers").exists();
        let parent = if second { mount.to_owned() } else { mount.join("memory") };
        let dir = parent.join(format!("apogee-e2e-{}-{name}", std::process::id()));
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        let group = Self { dir, second };
        let file = if second { "memory.max" } else { "memory.limit_in_bytes" };
        let file = group.dir.join(file);
        fs::write(&file, GROUP_BYTES.to_string()).with_context(|| file.display().to_string())?;
        Ok(group)
    }

    /// A program that enters the group and becomes the binary under test.
    fn wrapper(&self, path: &Path) -> Result<PathBuf> {
        let binary = apogee::binary().context("no apogee binary")?;
        let (group, binary) = (self.dir.join("cgroup.procs"), binary.canonicalize()?);
        let script = format!(
            "#!/bin/sh\necho $$ > '{}' || exit 1\nexec '{}' \"$@\"\n",
            group.display(),
            binary.display()
        );
        fs::write(path, script)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(path.to_owned())
    }

    /// Bytes that the group uses besides the page cache; an error if they are too many, or if a process of
    /// it was ended for lack of memory.
    fn own(&self, when: &str) -> Result<u64> {
        let (used, cache) = match self.second {
            true => ("memory.current", "file "),
            false => ("memory.usage_in_bytes", "total_cache "),
        };
        let events = if self.second { "memory.events" } else { "memory.oom_control" };
        let killed = self.line(events, "oom_kill ")?;
        let used: u64 = fs::read_to_string(self.dir.join(used))?.trim().parse()?;
        let own = used.saturating_sub(self.line("memory.stat", cache)?);
        ensure!(killed == 0, "out of memory {when}");
        ensure!(own < MOST_OWN, "{own} bytes besides the page cache {when}, {used} in all");
        Ok(own)
    }

    fn line(&self, file: &str, name: &str) -> Result<u64> {
        let text = fs::read_to_string(self.dir.join(file))?;
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(value.with_context(|| format!("no {name} in {file}"))?.parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // With a process in it, it stays, and the test has failed anyway.
        let _ = fs::remove_dir(&self.dir);
    }
}
