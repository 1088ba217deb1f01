//! A commit log in another directory than the rest (`storePathCommitLog`), with the keys beside it
//! that guides have spread and nobody honors.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use apogee_e2e::apogee;
use apogee_e2e::peer::Peer;

use crate::{End, hand_over, owned};

/// Shows that peers hand over a directory whose log is elsewhere, that none of them makes a log in
/// the usual place, and that `apogee store verify` finds nothing wrong.
pub(crate) fn log_elsewhere(peers: &[Peer], dir: &Path) -> Result<()> {
    let (log, store) = (dir.join("disk-2/log"), dir.join("store"));
    let ignored = dir.join("ignored").display().to_string();
    let log_text = log.display().to_string();
    let settings = [
        ("storePathCommitLog", &*log_text),
        ("storePathConsumeQueue", &ignored),
        ("storePathIndex", &ignored),
        ("storeCheckpoint", &ignored),
        ("abortFile", &ignored),
    ];
    hand_over(peers, End::Stop, &owned(&settings), dir)?;
    ensure!(log.join("0".repeat(20)).exists(), "no log in {log_text}");
    ensure!(!store.join("commitlog").exists(), "a log in the usual place");
    ensure!(!Path::new(&ignored).exists(), "{ignored} was made");
    let Some(binary) = apogee::binary() else { return Ok(()) };
    let mut command = Command::new(binary);
    command.args(["store", "verify"]).arg(&store);
    command.arg("--set").arg(format!("storePathCommitLog={log_text}"));
    let output = command.output().context("running apogee store verify")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success() && text.contains("log: 1 files"), "{text}{output:?}");
    Ok(())
}
