//! Small file systems to fill.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use apogee_e2e::process::on_path;

/// A mounted file system; unmounted when dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Memory of so many bytes at `dir`, which is created.
    pub(crate) fn memory(dir: &Path, bytes: u64) -> Result<Mount> {
        fs::create_dir_all(dir)?;
        let size = format!("size={bytes}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir))?;
        Ok(Mount(dir.to_owned()))
    }

    /// A sparse file of so many bytes, with an ext4 in it, at `dir`, which is created.
    pub(crate) fn image(image: &Path, dir: &Path, bytes: u64) -> Result<Mount> {
        fs::create_dir_all(dir)?;
        File::create(image)?.set_len(bytes)?;
        // Few inodes and no journal: the image takes some 20 MB on the disk that holds it.
        let options = ["-q", "-F", "-N", "4096", "-O", "^has_journal"];
        run(Command::new("mkfs.ext4").args(options).arg(image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(dir))?;
        Ok(Mount(dir.to_owned()))
    }

    /// Why such file systems cannot be had here, if so.
    pub(crate) fn missing() -> Option<String> {
        let probe = || -> Result<()> {
            let dir = tempfile::tempdir()?;
            Mount::memory(&dir.path().join("probe"), 1 << 20).map(drop)
        };
        probe().err().map(|error| format!("file systems cannot be mounted here: {error:#}"))
    }

    /// The same for [`Mount::image`].
    pub(crate) fn missing_image() -> Option<String> {
        let tool = ["mkfs.ext4", "fallocate"].into_iter().find(|tool| !on_path(tool));
        if let Some(tool) = tool {
            return Some(format!("{tool} is not installed"));
        }
        let probe = || -> Result<()> {
            let dir = tempfile::tempdir()?;
            let image = dir.path().join("image");
            Mount::image(&image, &dir.path().join("probe"), 16 << 20).map(drop)
        };
        probe().err().map(|error| format!("images cannot be mounted here: {error:#}"))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there must not keep the test from ending.
        let _ = run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

/// Runs a command; its output is part of the error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {}", output.status, said.trim());
    Ok(())
}
