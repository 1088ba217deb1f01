//! The rows of the speed table: what is run, and what Apogee must reach.

/// One row: a workload on a fresh broker, and the lines of the table that it fills.
#[derive(Debug)]
pub(crate) struct Row {
    /// Name for `--rows`.
    pub name: &'static str,
    /// What it is, for the table.
    pub title: &'static str,
    pub work: Work,
    /// The broker confirms after `fdatasync` (`flushDiskType=SYNC_FLUSH`).
    pub sync: bool,
    pub lines: &'static [Line],
    /// Part of the run when no rows are named.
    pub default: bool,
}

/// What is done to the broker.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    Send {
        connections: u32,
        in_flight: u32,
        size: u32,
        batch: u32,
    },
    /// The same as a send at 4 × 64 for a minute, while the broker removes old segments.
    Sustained,
    Pull {
        size: u32,
        backlog: u32,
    },
    Deliver {
        rate: u32,
    },
    /// Sends at a rate, while another process fills the page cache of the same file system.
    BesideWriter {
        rate: u32,
        mib: u64,
    },
    /// Memory of an idle broker.
    Idle,
    /// From the start of the process to its first accepted message.
    Start,
    /// The same after SIGKILL with a log of some GiB.
    Kill,
}

/// One figure of a row and its goals.
#[derive(Debug)]
pub(crate) struct Line {
    pub figure: Figure,
    pub least: Goal,
    pub stretch: Goal,
}

/// Which figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Messages per second.
    Rate,
    /// Latencies in µs.
    P50,
    P99,
    P999,
    /// CPU of the broker per message in µs.
    Cpu,
    /// Anonymous memory in MiB.
    Memory,
    /// Seconds.
    Seconds,
    /// Stored bytes per second in MB/s.
    Disk,
}

impl Figure {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Figure::Rate => "msg/s",
            Figure::P50 => "p50 µs",
            Figure::P99 => "p99 µs",
            Figure::P999 => "p99.9 µs",
            Figure::Cpu => "CPU µs/msg",
            Figure::Memory => "MiB",
            Figure::Seconds => "s",
            Figure::Disk => "MB/s",
        }
    }

    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Figure::Rate | Figure::Disk)
    }
}

/// A goal for one figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// None is set.
    Open,
    /// At least so many times Java's.
    Times(f64),
    /// At most this.
    AtMost(f64),
    /// At most the larger of a fifth of Java's and 1.5 times the null server's.
    Tail,
    /// At most the null server's plus this.
    OverNull(f64),
    /// At least this share of the null server's.
    ShareOfNull(f64),
    /// At most the disk's p50 of `fdatasync` plus this.
    OverFdatasync(f64),
    /// At least the least of 0.8 × in flight × the disk's rate of `fdatasync`, 5 × Java, and 0.7 × the
    /// same row with asynchronous flush.
    SyncRate,
    /// At least this share of the same row with asynchronous flush.
    ShareOfAsync(f64),
    /// At least this share of the disk's buffered write rate.
    ShareOfDisk(f64),
}

/// The row that the synchronous one is compared with.
pub(crate) const ASYNC_ROW: &str = "send-1k";
/// Requests in flight in that row.
pub(crate) const SYNC_IN_FLIGHT: f64 = 256.0;

const fn line(figure: Figure, least: Goal, stretch: Goal) -> Line {
    Line { figure, least, stretch }
}

const fn send(connections: u32, in_flight: u32, size: u32, batch: u32) -> Work {
    Work::Send { connections, in_flight, size, batch }
}

/// All rows, in the order of the table in which they were set.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "send-1",
        title: "send, one in flight, 1 KiB",
        work: send(1, 1, 1024, 1),
        sync: false,
        lines: &[
            line(Figure::Rate, Goal::Times(2.0), Goal::Open),
            line(Figure::P50, Goal::AtMost(70.0), Goal::OverNull(10.0)),
            line(Figure::P999, Goal::Tail, Goal::Open),
        ],
        default: true,
    },
    Row {
        name: "send-16",
        title: "send, 16 connections × 1, 1 KiB",
        work: send(16, 1, 1024, 1),
        sync: false,
        lines: &[
            line(Figure::Rate, Goal::Times(3.0), Goal::Open),
            line(Figure::P999, Goal::Tail, Goal::Open),
        ],
        default: true,
    },
    Row {
        name: "send-128",
        title: "send, 4 × 64 in flight, 128 B",
        work: send(4, 64, 128, 1),
        sync: false,
        lines: &[
            line(Figure::Rate, Goal::Times(8.0), Goal::ShareOfNull(0.6)),
            line(Figure::P99, Goal::Open, Goal::Open),
        ],
        default: true,
    },
    Row {
        name: ASYNC_ROW,
        title: "send, 4 × 64 in flight, 1 KiB, burst",
        work: send(4, 64, 1024, 1),
        sync: false,
        lines: &[
            line(Figure::Rate, Goal::Times(8.0), Goal::Times(12.0)),
            line(Figure::P99, Goal::Open, Goal::Open),
            line(Figure::Cpu, Goal::AtMost(1.6), Goal::AtMost(1.0)),
        ],
        default: true,
    },
    Row {
        name: "sustained",
        title: "the same for 60 s with retention",
        work: Work::Sustained,
        sync: false,
        lines: &[
            line(Figure::Disk, Goal::ShareOfDisk(0.8), Goal::Open),
            line(Figure::P999, Goal::Open, Goal::Open),
        ],
        default: false,
    },
    Row {
        name: "batch",
        title: "batches of 32 × 1 KiB, 4 × 8 in flight, burst",
        work: send(4, 8, 1024, 32),
        sync: false,
        lines: &[line(Figure::Rate, Goal::Times(6.0), Goal::Times(10.0))],
        default: true,
    },
    Row {
        name: "pull-1k",
        title: "pull of a backlog, 1 KiB, 32 a pull",
        work: Work::Pull { size: 1024, backlog: 1_000_000 },
        sync: false,
        lines: &[line(Figure::Rate, Goal::Times(2.5), Goal::Times(3.5))],
        default: true,
    },
    Row {
        name: "pull-128",
        title: "pull of a backlog, 128 B, 32 a pull",
        work: Work::Pull { size: 128, backlog: 2_000_000 },
        sync: false,
        lines: &[line(Figure::Rate, Goal::Times(4.0), Goal::Times(8.0))],
        default: true,
    },
    Row {
        name: "deliver",
        title: "delivery to a waiting consumer at 3,000/s",
        work: Work::Deliver { rate: 3000 },
        sync: false,
        lines: &[
            line(Figure::P50, Goal::AtMost(150.0), Goal::Open),
            line(Figure::P999, Goal::AtMost(2000.0), Goal::Open),
        ],
        default: true,
    },
    Row {
        name: "beside-writer",
        title: "send at 20,000/s, 1 KiB, while another process writes 2 GiB",
        work: Work::BesideWriter { rate: 20_000, mib: 2048 },
        sync: false,
        lines: &[line(Figure::P999, Goal::AtMost(50_000.0), Goal::Open)],
        default: true,
    },
    Row {
        name: "sync-1",
        title: "sync flush, one in flight, 1 KiB",
        work: send(1, 1, 1024, 1),
        sync: true,
        lines: &[line(Figure::P50, Goal::OverFdatasync(80.0), Goal::OverFdatasync(30.0))],
        default: true,
    },
    Row {
        name: "sync-64",
        title: "sync flush, 4 × 64 in flight, 1 KiB",
        work: send(4, 64, 1024, 1),
        sync: true,
        lines: &[line(Figure::Rate, Goal::SyncRate, Goal::ShareOfAsync(0.9))],
        default: true,
    },
    Row {
        name: "idle",
        title: "idle memory (anonymous; Java: 1 GiB heap, name server 256 MiB)",
        work: Work::Idle,
        sync: false,
        lines: &[line(Figure::Memory, Goal::AtMost(64.0), Goal::AtMost(32.0))],
        default: true,
    },
    Row {
        name: "start",
        title: "start to first accepted message (Java: broker alone, small heap)",
        work: Work::Start,
        sync: false,
        lines: &[line(Figure::Seconds, Goal::AtMost(0.5), Goal::AtMost(0.1))],
        default: true,
    },
    Row {
        name: "kill",
        title: "kill -9 to writable",
        work: Work::Kill,
        sync: false,
        lines: &[line(Figure::Seconds, Goal::AtMost(2.0), Goal::Open)],
        default: true,
    },
];
