//! A log of many files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use apogee_e2e::apogee::Server;
use apogee_e2e::cases::counted;
use apogee_e2e::load::{self, Load, Shape};
use apogee_e2e::usage;
use apogee_e2e::view::View;

use crate::{eventually, finish, id, start};

/// One message each.
const FILES: usize = 1500;
const BODY_BYTES: usize = 9_000;
/// Far fewer than there are files, and so many for everything else.
const MOST_OPEN: usize = 200;
const MOST_PAGE_TABLES: u64 = 4 << 20;

/// Shows that a server whose log has 1,500 files, as one of 1.5 TiB has, keeps few of them open and has
/// small page tables: after writing them, after reading all of them, and after a restart.
pub(crate) fn open_files(dir: &Path, _percent: u32) -> Result<()> {
    let mut server = start(dir, &[("mappedFileSizeCommitLog", "16384")])?;
    let shape = Shape { body_bytes: BODY_BYTES, ..Shape::new("files", "files") };
    let load = Load::start(server.broker(), &shape);
    load.wait_for(FILES)?;
    let acked = load.after_kill()?;
    let files = fs::read_dir(server.store_dir().join("commitlog"))?.count();
    ensure!(files >= FILES, "{files} files");
    let mut seen = vec![few_are_open(&server)?];
    for _ in 0..2 {
        let queues = View::open(server.broker())?.topic(&shape.topic, shape.queues)?;
        load::check(&queues, &acked, BODY_BYTES)?;
        seen.push(few_are_open(&server)?);
        server.stop()?;
        server.start_again()?;
        seen.push(few_are_open(&server)?);
    }
    counted(format!("a log of {files} files: {seen:?} files open"));
    finish(server)
}

/// How many files are open, once those are closed that have been synced.
fn few_are_open(server: &Server) -> Result<usize> {
    let id = id(server)?;
    let mut open = 0;
    eventually(Duration::from_secs(20), || {
        open = usage::open_files(id)?;
        ensure!(open < MOST_OPEN, "{open} files are open");
        Ok(())
    })?;
    let tables = usage::page_tables(id)?;
    ensure!(tables < MOST_PAGE_TABLES, "{tables} bytes of page tables");
    Ok(open)
}
