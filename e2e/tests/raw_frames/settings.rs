//! Settings of a running broker: changed, shown, and kept.

use std::fs;

use anyhow::{Context, Result, ensure};
use apogee_e2e::cases::Shared;

use crate::broker;

const UPDATE: i64 = 25;
const GET: i64 = 26;
const NO_PERMISSION: i64 = 16;

/// Shows that a setting that is changed by request is shown with the others, and is in the file that
/// the broker was started with, which the next start reads; that what names files is not changed.
pub(crate) fn settings_change_while_running(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    let answer = connection.call(UPDATE, &[], b"fileReservedTime=71\ndeleteWhen = 05\n")?;
    ensure!(answer.code == 0, "{answer:?}");
    let text = String::from_utf8(connection.call(GET, &[], &[])?.body)?;
    for line in ["fileReservedTime=71", "deleteWhen=05"] {
        ensure!(text.lines().any(|shown| shown.trim() == line), "no {line} in {text}");
    }
    let store = shared.cluster()?.store_dir();
    let mut files = fs::read_dir(store.parent().context("the store is the root")?)?;
    let is_kept = files.any(|file| {
        let text = file.and_then(|file| fs::read_to_string(file.path())).unwrap_or_default();
        ["fileReservedTime=71", "deleteWhen=05"].iter().all(|kept| text.lines().any(|l| l == *kept))
    });
    ensure!(is_kept, "no file beside {} has the change", store.display());
    let answer = connection.call(UPDATE, &[], b"brokerConfigPath=/elsewhere\n")?;
    ensure!(answer.code == NO_PERMISSION, "{answer:?}");
    Ok(())
}
