//! CPU time and memory of server processes, from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// What some processes and their descendants have used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// User plus system time (`utime + stime`, in clock ticks of the kernel, usually 10 ms).
    pub cpu: Duration,
    /// Anonymous resident memory in bytes (`RssAnon`): heap and stacks, without mapped files.
    pub rss_anon_bytes: u64,
    /// All resident memory in bytes (`VmRSS`), mapped files included.
    pub rss_bytes: u64,
}

/// CPU time that all processors together have spent not idle since the system started (guest and
/// stolen time included), from the first line of `/proc/stat`.
pub(crate) fn machine_busy() -> Duration {
    const IDLE_AND_IO_WAIT: [usize; 2] = [3, 4];
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    let busy = fields.enumerate().filter(|(i, _)| !IDLE_AND_IO_WAIT.contains(i));
    let ticks: u64 = busy.filter_map(|(_, field)| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// Usage of `pids` and all their descendants; a process that is gone counts nothing.
pub fn usage(pids: &[u32]) -> Usage {
    let parents = parents();
    let is_ours = |pid: u32| {
        let mut at = Some(pid);
        while let Some(pid) = at {
            if pids.contains(&pid) {
                return true;
            }
            at = parents.get(&pid).copied().filter(|&parent| parent != pid);
        }
        false
    };
    let mut total = Usage::default();
    for &pid in parents.keys().filter(|&&pid| is_ours(pid)) {
        let one = one(pid).unwrap_or_default();
        total.cpu += one.cpu;
        total.rss_anon_bytes += one.rss_anon_bytes;
        total.rss_bytes += one.rss_bytes;
    }
    total
}

/// Process id → parent's, of every process.
fn parents() -> HashMap<u32, u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?.first()?.parse().ok()?))).collect()
}

/// Fields 4 and up of `/proc/PID/stat` (the name before them may contain anything).
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().skip(1).map(str::to_owned).collect())
}

fn one(pid: u32) -> Option<Usage> {
    let stat = stat(pid)?;
    let ticks = stat.get(10)?.parse::<u64>().ok()? + stat.get(11)?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Usage {
        cpu: Duration::from_millis(ticks * 1000 / per_second),
        rss_anon_bytes: kib("RssAnon:").unwrap_or(0) * 1024,
        rss_bytes: kib("VmRSS:").unwrap_or(0) * 1024,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // A process sees its own memory and time, and an unknown process id counts nothing.
    #[test]
    fn sees_itself() {
        let me = usage(&[std::process::id()]);
        assert!(me.rss_anon_bytes > 0 && me.rss_bytes >= me.rss_anon_bytes);
        assert_eq!(usage(&[u32::MAX]), Usage::default());
    }
}
