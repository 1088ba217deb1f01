//! What the system tells of this process, by the names that Prometheus' own libraries use.

use metrics::{Kind, Page};

/// `USER_HZ`: what the kernel counts processor time in, on every platform that Linux runs on.
const TICKS: f64 = 100.0;

/// Writes everything that can be found out.
pub(crate) fn write(page: &mut Page) {
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("protocol", wire::frame::VERSION_NAME)];
    let help = "What runs: its version, and that of RocketMQ whose protocol it speaks.";
    page.family("rocketmq_build_info", Kind::Gauge, help).sample(&labels, 1);
    let read = |name| std::fs::read_to_string(name).unwrap_or_default();
    if let Some(stat) = Stat::parse(&read("/proc/self/stat")) {
        let help = "Processor time, user and system.";
        page.one("process_cpu_seconds_total", Kind::Counter, help, stat.ticks as f64 / TICKS);
        page.one("process_threads", Kind::Gauge, "Threads.", stat.threads);
        if let Some(boot) = boot_seconds(&read("/proc/stat")) {
            let started = boot as f64 + stat.started_ticks as f64 / TICKS;
            let help = "When the process started, since 1970.";
            page.one("process_start_time_seconds", Kind::Gauge, help, started);
        }
    }
    if let Some(resident) = resident_bytes(&read("/proc/self/status")) {
        let help = "Memory in use, mapped files that are in memory included.";
        page.one("process_resident_memory_bytes", Kind::Gauge, help, resident);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.one("process_open_fds", Kind::Gauge, "Open file descriptors.", open.count());
    }
    if let Some(max) = max_fds(&read("/proc/self/limits")) {
        page.one("process_max_fds", Kind::Gauge, "Most file descriptors.", max);
    }
}

/// Fields of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    ticks: u64,
    threads: u64,
    started_ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Stat> {
        // The second field, the name, may hold anything; the third follows its last parenthesis.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
        })
    }
}

fn resident_bytes(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn boot_seconds(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn max_fds(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows that the fields are found behind a name with spaces and parentheses, and that nonsense gives nothing.
    #[test]
    fn fields_of_the_kernel() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 12 0 4242 1000000 300 18446744073709551615";
        let want = Stat { ticks: 300, threads: 12, started_ticks: 4242 };
        assert_eq!(Stat::parse(text), Some(want));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(Stat::parse(""), None);
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000));
        assert_eq!(
            max_fds("Max open files            1024                 4096                 files\n"),
            Some(1024)
        );
        assert_eq!(
            max_fds("Max open files            unlimited            unlimited            files\n"),
            None
        );
        assert_eq!(resident_bytes("VmRSS:\t   2048 kB\n"), Some(2 << 20));
    }

    /// Shows that this machine tells all of it.
    #[test]
    fn this_process() {
        let mut page = Page::new();
        write(&mut page);
        let text = page.into_text();
        for name in [
            "rocketmq_build_info{",
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_threads ",
            "process_start_time_seconds ",
            "process_open_fds ",
        ] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name} in\n{text}");
        }
    }
}
