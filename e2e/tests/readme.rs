//! The README is true: its commands end well and print lines of the shape shown, and every settings file shown is one
//! that the server takes.
#![allow(clippy::disallowed_methods, reason = "drives real processes")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use apogee_e2e::apogee::{self, Server};
use apogee_e2e::cases::Cases;
use apogee_e2e::java::Settings;
use apogee_e2e::peer::Peer;
use apogee_e2e::scrape::get;

/// Pages whose settings files are tried; commands are taken from the first only.
const PAGES: [&str; 5] = [
    "README.md",
    "docs/operating/running.md",
    "docs/operating/durability.md",
    "docs/operating/troubleshooting.md",
    "docs/operating/migrating.md",
];

fn main() -> Result<ExitCode> {
    let mut cases = Cases::default();
    if Peer::selected().contains(&Peer::Apogee) {
        cases.add("readme::commands".to_owned(), Peer::Apogee.missing(), commands);
        cases.add("readme::settings_files".to_owned(), Peer::Apogee.missing(), settings_files);
    }
    Ok(cases.run())
}

/// Runs every `$` line of the README's console blocks, in order, against one fresh server, and compares what it prints
/// with what the page shows.
fn commands() -> Result<()> {
    let binary = apogee::binary().context("no apogee binary")?.canonicalize()?;
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(&binary, dir.path(), Settings::new())?;
    let page = read(PAGES[0])?;
    let blocks = blocks(&page, "console");
    ensure!(!blocks.is_empty(), "the README has no console blocks any more");
    for (command, shown) in blocks.iter().flat_map(|block| examples(block)) {
        let printed = match command.strip_prefix("curl -s http://127.0.0.1:8088") {
            // The server of a test has another port, and the machine perhaps no curl.
            Some(path) => get(server.web(), path)?.body,
            None => run(&binary, dir.path(), &server, command)?,
        };
        let shape = if command.starts_with("apogee bench") { first_words } else { masked };
        let (expected, found) = (shape(&shown), shape(&printed));
        ensure!(expected == found, "`{command}` printed\n{printed}\nbut the README shows\n{shown}");
    }
    server.stop()
}

/// Hands every settings file that a page shows to the server, which checks it and prints what follows from it.
fn settings_files() -> Result<()> {
    let binary = apogee::binary().context("no apogee binary")?;
    let dir = tempfile::tempdir()?;
    for page in PAGES {
        let text = read(page)?;
        for kind in ["toml", "properties"] {
            for block in blocks(&text, kind) {
                let file = dir.path().join(format!("shown.{kind}"));
                fs::write(&file, block)?;
                let mut command = Command::new(&binary);
                command.args(["server", "--dump-config", "-c"]).arg(&file).env_clear();
                let output = command.output()?;
                let complaint = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "{page}: {complaint}\n{block}");
            }
        }
    }
    Ok(())
}

fn read(page: &str) -> Result<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// The contents of the fenced blocks of one language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fences = page.split("\n```").skip(1).step_by(2);
    fences.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// Commands of a console block, each with the lines that follow it.
fn examples(block: &str) -> Vec<(&str, String)> {
    let mut examples: Vec<(&str, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), examples.last_mut()) {
            (Some(command), _) => examples.push((command, String::new())),
            (None, Some((_, shown))) => *shown += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    examples
}

/// Runs one command as a reader would who put the binary on the path and has the default ports.
fn run(binary: &Path, dir: &Path, server: &Server, command: &str) -> Result<String> {
    let programs = binary.parent().context("the binary has a directory")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(dir)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("APOGEE_NAMESRV", server.namesrv().to_string())
        .output()
        .with_context(|| format!("running `{command}`"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "`{command}` ended with {}:\n{printed}", output.status);
    Ok(printed)
}

/// The lines in sorted order, since queues answer in any, with every word that holds a digit and every run of spaces
/// as one sign: numbers, ids and addresses differ from run to run.
fn masked(text: &str) -> Vec<String> {
    let mask = |word: &str| {
        let holds_digit = word.bytes().any(|byte| byte.is_ascii_digit());
        if holds_digit { "0".to_owned() } else { word.to_owned() }
    };
    let line = |line: &str| {
        let mut words = String::new();
        let mut word = String::new();
        for c in line.chars().chain([' ']) {
            if c.is_ascii_alphanumeric() {
                word.push(c);
                continue;
            }
            words += &mask(&std::mem::take(&mut word));
            if c != ' ' || !words.ends_with(' ') {
                words.push(c);
            }
        }
        words.trim_end().to_owned()
    };
    let mut lines: Vec<String> = text.trim_end().lines().map(line).collect();
    lines.sort();
    lines
}

/// The first word of each line, masked: measurements differ in everything else.
fn first_words(text: &str) -> Vec<String> {
    let first = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    masked(&text.lines().map(first).collect::<Vec<_>>().join("\n"))
}
