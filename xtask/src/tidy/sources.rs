//! Words that must not stand in our files, and documentation that must.

use std::fs;
use std::path::PathBuf;

use super::output;
use crate::fixtures::workspace;

/// One tracked text file.
pub(super) struct Source {
    /// Path in the repository, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// A word, where it is banned, and why. Split in two so that this file does not contain it.
struct Ban {
    word: (&'static str, &'static str),
    scope: Scope,
    reason: &'static str,
}

/// Where a word is banned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// In everything written by hand, comments included.
    Text,
    /// In Rust code; comments may name what the code must not use.
    Rust,
    /// In Rust code outside `env`.
    Safe,
    /// In the code of crates that are simulated whole.
    Simulated,
}

const UNFINISHED: &str = "finish it or leave it out";
const ONE_MACHINE: &str = "a path of one machine";

const fn ban(word: (&'static str, &'static str), scope: Scope, reason: &'static str) -> Ban {
    Ban { word, scope, reason }
}

const BANS: [Ban; 14] = [
    ban(("TO", "DO"), Scope::Text, UNFINISHED),
    ban(("FIX", "ME"), Scope::Text, UNFINISHED),
    ban(("todo", "!("), Scope::Rust, UNFINISHED),
    ban(("unimple", "mented!("), Scope::Rust, UNFINISHED),
    ban(("dbg", "!("), Scope::Rust, "a leftover"),
    ban(("#[ign", "ore"), Scope::Rust, "a test that does not run shows nothing"),
    ban(("un", "safe "), Scope::Safe, "only `env` may, behind safe functions"),
    ban(("std::", "fs"), Scope::Simulated, "files go through `env::Disk`"),
    ban(("std::", "thread"), Scope::Simulated, "threads go through `env::Tasks`"),
    ban(("std::time::", "Instant"), Scope::Simulated, "time goes through `env::Clock`"),
    ban(("System", "Time"), Scope::Simulated, "time goes through `env::Clock`"),
    ban(("/ho", "me/"), Scope::Text, ONE_MACHINE),
    ban(("/ro", "ot/"), Scope::Text, ONE_MACHINE),
    ban(("/wo", "rk/"), Scope::Text, ONE_MACHINE),
];

/// Directories with crates that are simulated whole: everything but `env` below the tools.
const REAL_WORLD: [&str; 4] = ["crates/env/", "crates/bench/", "crates/cli/", "crates/server/"];

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Written by hand: not captured from the reference, not a license, not a lock file.
    fn is_ours(&self) -> bool {
        let captured = self.path.contains("/fixtures/") || self.path.ends_with(".tsv");
        !captured && self.path != "LICENSE" && self.path != "Cargo.lock"
    }

    fn is_in(&self, scope: Scope) -> bool {
        let real = || REAL_WORLD.iter().any(|crate_dir| self.path.starts_with(crate_dir));
        match scope {
            Scope::Text => self.is_ours(),
            Scope::Rust => self.is_rust(),
            Scope::Safe => self.is_rust() && !self.path.starts_with("crates/env/"),
            Scope::Simulated => self.is_product() && !real(),
        }
    }

    /// Source of a crate, as opposed to tests, examples and tools.
    pub(super) fn is_product(&self) -> bool {
        let below = self.path.strip_prefix("crates/").and_then(|path| path.split_once('/'));
        let in_src = below.is_some_and(|(_, path)| path.starts_with("src/"));
        self.is_rust() && in_src && !self.is_test()
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The part above an inline module of tests.
    pub(super) fn production(&self) -> &str {
        let end =
            self.text.find("\n#[cfg(test)]\nmod ").filter(|_| self.text.contains("mod tests {"));
        &self.text[..end.unwrap_or(self.text.len())]
    }
}

/// Every tracked file that is text; deleted ones that are not committed yet are left out.
pub(super) fn read_all() -> anyhow::Result<Vec<Source>> {
    let names = output("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let mut sources = Vec::new();
    for path in names.split_terminator('\0') {
        let file: PathBuf = workspace().join(path);
        if let Ok(text) =
            fs::read(&file).map(String::from_utf8).unwrap_or_else(|_| Ok(String::new()))
        {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    Ok(sources)
}

/// Findings in one file.
pub(super) fn check(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for ban in BANS.iter().filter(|ban| source.is_in(ban.scope)) {
        let word = [ban.word.0, ban.word.1].concat();
        let whole = ban.scope == Scope::Text;
        let text = if whole { source.text.as_str() } else { source.production() };
        for (number, line) in text.lines().enumerate() {
            let line = if whole { line } else { line.split("//").next().unwrap_or_default() };
            if contains_word(line, &word) {
                found.push(format!("{}:{}: {word}: {}", source.path, number + 1, ban.reason));
            }
        }
    }
    if source.is_rust() && !source.is_test() && !source.text.starts_with("//!") {
        found.push(format!(
            "{}: begins without `//!`: what it owns and its invariants",
            source.path
        ));
    }
    found
}

/// Whether `word` stands in `line` and is not the end of a longer one.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// A file that breaks a rule is found, at its line; the same words are legal where they belong.
    #[test]
    fn banned_words_are_found_where_they_are_banned() {
        let text = ["//! Doc.\nuse std::", "fs;\n"].concat();
        assert_eq!(check(&source("crates/store/src/a.rs", &text)).len(), 1);
        assert_eq!(check(&source("crates/env/src/a.rs", &text)).len(), 0);
        assert_eq!(check(&source("crates/store/src/a/tests.rs", &text)).len(), 0);
        let reminder = ["//! Doc.\n// TO", "DO later\n"].concat();
        assert_eq!(check(&source("crates/net/src/a.rs", &reminder)).len(), 1);
        assert_eq!(check(&source("crates/net/src/a.rs", "fn a() {}\n")).len(), 1);
    }
}
