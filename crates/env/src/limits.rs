//! What this process may use of the machine: the smaller of what there is and what its control group
//! grants. Limits of other crates derive from it.

use std::path::Path;

/// Least bytes that the pools of [`crate::Memory`] hold together: below it a few large messages at a
/// time would be refused.
pub const MEMORY_MIN: usize = 64 << 20;

/// Bytes of memory this process may use: the machine's, or the lowest limit of its control group and
/// those above it (version 2, or the memory controller of version 1).
///
/// Reads files of the kernel; call it at start. Without a readable `/proc` it is [`u64::MAX`].
pub fn memory_limit() -> u64 {
    memory_limit_in(Path::new("/"))
}

/// Processors this process may use: by affinity, or by the quota of its control group. At least 1.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Files and sockets that this process may have open; raises its own limit to the highest allowed first.
/// Call it at start.
pub fn open_files() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Makes this process's memory come in small pages. Call it at start.
///
/// The allocator asks for huge ones, of 2 MiB: a waste for the few KiB that each thread needs. And where some of its
/// memory is in small pages, the kernel makes huge ones of them later, which stops all threads that need a new page.
///
/// Where the system knows no such switch, nothing happens.
pub fn use_small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn memory_limit_in(root: &Path) -> u64 {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let group_limits = groups.lines().filter_map(|line| group_limit(root, line));
    group_limits.chain(machine_memory(root)).min().unwrap_or(u64::MAX)
}

/// `MemTotal` of `proc(5)`, which is in KiB.
fn machine_memory(root: &Path) -> Option<u64> {
    let info = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The limit by one line of `/proc/self/cgroup`, which is `id:controllers:path` (`cgroups(7)`).
fn group_limit(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (id, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
    let (mount, file) = if id == "0" && controllers.is_empty() {
        (root.join("sys/fs/cgroup"), "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        (root.join("sys/fs/cgroup/memory"), "memory.limit_in_bytes")
    } else {
        return None;
    };
    // In a container the path may name a group that is not visible: then its ancestors count, down to
    // the mount, which is the container's own group. Without a limit the file says "max", or a huge
    // number in version 1.
    let inner = mount.join(group.trim_start_matches('/'));
    let groups = inner.ancestors().take_while(|group| group.starts_with(&mount));
    let limit = |group: &Path| -> Option<u64> {
        std::fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
    };
    groups.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// Shows that huge pages are off afterwards, as the system tells it.
    #[test]
    fn small_pages_are_used() {
        use_small_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }

    /// The limit on a machine of 4 GiB with these files.
    fn check(files: &[(&str, &str)], expected: u64) {
        let root = tempfile::tempdir().unwrap();
        let memory = ("proc/meminfo", "MemTotal:        4194304 kB\nMemFree: 1 kB\n");
        for (path, text) in files.iter().chain([&memory]) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(memory_limit_in(root.path()), expected, "{files:?}");
    }

    // The lowest of machine, group and outer groups counts, in both versions of control groups.
    #[test]
    fn lowest_limit_counts() {
        check(&[], 4 * GIB);
        let v2 = ("proc/self/cgroup", "0::/a/b\n");
        check(&[v2, ("sys/fs/cgroup/a/b/memory.max", "max\n")], 4 * GIB);
        check(&[v2, ("sys/fs/cgroup/a/b/memory.max", "2147483648\n")], 2 * GIB);
        let inner = ("sys/fs/cgroup/a/b/memory.max", "2147483648\n");
        check(&[v2, inner, ("sys/fs/cgroup/a/memory.max", "1073741824\n")], GIB);
        check(&[v2, ("sys/fs/cgroup/memory.max", "1073741824\n")], GIB);
        check(&[v2, ("sys/fs/cgroup/a/b/memory.max", "8589934592\n")], 4 * GIB);

        let v1 = ("proc/self/cgroup", "5:cpu,memory:/c\n3:pids:/c\n");
        let file = "sys/fs/cgroup/memory/c/memory.limit_in_bytes";
        check(&[v1, (file, "1073741824\n")], GIB);
        check(&[v1, (file, "9223372036854771712\n")], 4 * GIB);
        check(&[v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n")], GIB);
    }

    // This machine has some memory and at least one processor.
    #[test]
    fn this_machine() {
        assert!(memory_limit() > 1 << 20 && memory_limit() < u64::MAX);
        assert!(cores() >= 1);
        assert!(open_files() > 16);
    }
}
