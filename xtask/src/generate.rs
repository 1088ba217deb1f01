//! `cargo xtask gen`: files that are derived from something else.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use e2e::java::{Artifacts, REFERENCE};

use crate::fixtures::{compile, workspace};

/// Writes what the classes of the reference define to `xtask/data`.
pub(crate) fn reference() -> anyhow::Result<()> {
    let class_path = compile(&Artifacts::fetch(REFERENCE)?)?;
    for (what, file) in
        [("requests", "request-codes"), ("responses", "response-codes"), ("settings", "settings")]
    {
        let output = Command::new("java")
            .args(["-cp", &class_path, "Reference", what])
            .output()
            .context("running java")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let path = workspace().join(format!("xtask/data/{file}-{REFERENCE}.tsv"));
        fs::create_dir_all(path.parent().context("has a parent")?)?;
        fs::write(path, &output.stdout)?;
    }
    Ok(())
}
