//! `cargo xtask tidy`: the rules of the tree that neither the compiler nor clippy checks.
//!
//! It fails on dependencies against the layers, licenses outside the list, banned words, missing module documentation, names in
//! `ARCHITECTURE.md` that are gone, and stale generated pages. Sizes are printed, not judged. It reads the tracked files and
//! `cargo metadata`, so it takes a second; the test suite runs it.

mod graph;
mod map;
mod sizes;
mod sources;

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::fixtures::workspace;
use crate::generate;

/// Prints sizes and fails with everything that is wrong.
pub(crate) fn run() -> anyhow::Result<()> {
    let sources = sources::read_all()?;
    print!("{}", sizes::report(&sources));
    let found = check(&sources)?;
    ensure!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
    println!("tidy: nothing to say about {} files", sources.len());
    Ok(())
}

fn check(sources: &[sources::Source]) -> anyhow::Result<Vec<String>> {
    let mut found = graph::check()?;
    found.extend(sources.iter().flat_map(sources::check));
    found.extend(map::check()?);
    for (path, text) in generate::documents()? {
        let on_disk = std::fs::read_to_string(workspace().join(&path)).unwrap_or_default();
        if on_disk != text {
            found.push(format!("{}: stale; run `cargo xtask gen`", path.display()));
        }
    }
    Ok(found)
}

/// Standard output of a command run at the root of the repository.
fn output(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(workspace())
        .output()
        .with_context(|| format!("running {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    /// Runs every rule over the tree as it is.
    #[test]
    fn the_tree_is_tidy() {
        let sources = super::sources::read_all().unwrap();
        let found = super::check(&sources).unwrap();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
