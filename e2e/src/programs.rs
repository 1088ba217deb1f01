//! Building the client programs: what each language needs, by its ordinary tools, into
//! `target/peers`, once per workspace and again when a source changes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::java::{Artifacts, target_dir};

/// Class path of the Java programs, compiled against `version` of the library.
pub(crate) fn java(version: &str) -> Result<OsString> {
    let artifacts = Artifacts::fetch(version)?;
    let sources = files("java/client/src/main/java/apogee")?;
    let classes = once(&format!("client-{version}"), &sources, |classes| {
        let mut javac = Command::new("javac");
        javac.args(["-nowarn", "-cp", &artifacts.class_path(), "-d"]).arg(classes).args(&sources);
        run(javac)
    })?;
    Ok(format!("{}:{}", classes.display(), artifacts.class_path()).into())
}

/// Executable of the Go programs. `go.sum` pins every module.
pub(crate) fn go() -> Result<OsString> {
    let dir = once("client-go", &files("go")?, |dir| {
        let mut go = Command::new("go");
        go.args(["build", "-buildvcs=false", "-mod=readonly", "-o"])
            .arg(dir.join("client"))
            .current_dir(source_dir("go"));
        run(go)
    })?;
    Ok(dir.join("client").into())
}

/// Main script of the Node programs. `package-lock.json` pins every package.
pub(crate) fn node() -> Result<OsString> {
    let sources = files("node")?;
    let dir = once("client-node", &sources, |dir| {
        for source in &sources {
            fs::copy(source, dir.join(source.file_name().context("a source without a name")?))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(dir);
        run(npm)
    })?;
    Ok(dir.join("main.js").into())
}

/// The directory `name` for these sources, made by `build` unless it is there. Safe to call from
/// several processes at once: it appears complete or not at all.
fn once(
    name: &str,
    sources: &[PathBuf],
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    for source in sources {
        fs::read(source)?.hash(&mut hasher);
    }
    let peers = target_dir().join("peers");
    fs::create_dir_all(&peers)?;
    let dir = peers.join(format!("{name}-{:016x}", hasher.finish()));
    let lock = File::create(peers.join(".lock"))?;
    lock.lock()?;
    if !dir.is_dir() {
        let partial = tempfile::tempdir_in(&peers)?;
        build(partial.path())?;
        fs::rename(partial.keep(), &dir)?;
    }
    Ok(dir.canonicalize()?)
}

fn run(mut command: Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    Ok(())
}

fn source_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The files of a source directory, without its subdirectories.
fn files(name: &str) -> Result<Vec<PathBuf>> {
    let dir = source_dir(name);
    let entries: std::io::Result<Vec<_>> = fs::read_dir(&dir)?.collect();
    let mut paths: Vec<_> = entries?.iter().map(fs::DirEntry::path).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    ensure!(!paths.is_empty(), "no files in {}", dir.display());
    Ok(paths)
}
