//! `bench disk`: what the disk alone does, so that a figure with flushes can be set against it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::args::DiskArgs;
use crate::error::BenchError;
use crate::limits;
use crate::report::Percentiles;

/// The disk's own figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskReport {
    /// One 4 KiB append into an allocated file and its `fdatasync`, in microseconds.
    pub fdatasync_us: Percentiles,
    /// Buffered sequential writes of 1 MiB, in bytes per second; 0 when not asked for.
    pub buffered_bytes_per_s: f64,
}

const BLOCK: usize = 4 << 10;
const CHUNK: usize = 1 << 20;

/// Runs `bench disk`.
pub(crate) fn run(args: &DiskArgs) -> Result<DiskReport, BenchError> {
    let path = args.dir.join(".apogee-bench-disk");
    let result = measure(args, &path);
    // The file is scratch; that it cannot be removed says nothing about the disk's speed.
    let _ = fs::remove_file(&path);
    result.map_err(|source| BenchError::File { path: path.display().to_string(), source })
}

fn measure(args: &DiskArgs, path: &Path) -> std::io::Result<DiskReport> {
    fs::create_dir_all(&args.dir)?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    let fdatasync_us = fdatasync(&file, Duration::from_secs_f64(args.seconds))?;
    drop(file);
    let buffered_bytes_per_s = match args.write_mib {
        0 => 0.0,
        mib => buffered(path, mib)?,
    };
    Ok(DiskReport { fdatasync_us, buffered_bytes_per_s })
}

fn fdatasync(file: &File, length: Duration) -> std::io::Result<Percentiles> {
    const FILE_BYTES: u64 = 64 << 20;
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, FILE_BYTES)?;
    file.sync_all()?;
    let mut histogram = Histogram::<u64>::new_with_bounds(1, limits::LATENCY_NS, 3)
        .expect("constant bounds are valid");
    let (began, mut at) = (Instant::now(), 0);
    while began.elapsed() < length {
        let one = Instant::now();
        file.write_all_at(&[0x5a; BLOCK], at)?;
        file.sync_data()?;
        histogram.saturating_record(one.elapsed().as_nanos() as u64);
        at = (at + BLOCK as u64) % FILE_BYTES;
    }
    Ok(Percentiles::of(&histogram))
}

fn buffered(path: &Path, mib: u64) -> std::io::Result<f64> {
    let mut file = File::create(path)?;
    let chunk = vec![0xa5; CHUNK];
    let began = Instant::now();
    for _ in 0..mib {
        file.write_all(&chunk)?;
    }
    Ok((mib * CHUNK as u64) as f64 / began.elapsed().as_secs_f64())
}
