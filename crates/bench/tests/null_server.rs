//! The generator against its own server that stores nothing.

#![allow(
    clippy::disallowed_methods,
    reason = "the generator under test uses real threads and files"
)]

use std::io::Write;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use bench::{Args, BenchError, Report};
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// Gives each line written to it to a channel.
struct Lines(SyncSender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // The receiver may be gone: the server prints nothing that matters after its address.
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Starts a server that lives as long as the test process; its address.
fn null_server() -> String {
    let (sender, lines) = sync_channel(16);
    thread::spawn(move || {
        let cli = Cli::parse_from(["bench", "null-server", "--listen", "127.0.0.1:0"]);
        bench::run(&cli.args, &mut Lines(sender))
    });
    let mut text = String::new();
    while !text.ends_with('\n') {
        text += &lines.recv().expect("the server prints its address");
    }
    text.trim().strip_prefix("listening on ").expect("its address").to_owned()
}

fn run(command: &str) -> Result<Report, BenchError> {
    let json = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = json.path().display().to_string();
    let words = command.split_whitespace().chain(["--quiet", "--json", &path]);
    bench::run(&Cli::parse_from(["bench"].into_iter().chain(words)).args, &mut Vec::new())?;
    let text = std::fs::read(json.path()).expect("the report");
    Ok(serde_json::from_slice(&text).expect("a report"))
}

// A run of a given number of messages counts exactly these, plain, in batches, and on several
// threads, with every request answered and none refused.
#[test]
fn counts_every_message() {
    let broker = null_server();
    for options in ["-c 3 -f 5", "-c 2 -f 2 -b 8 -s 100", "-c 4 -f 200 --threads 2"] {
        let command = format!("send --broker {broker} {options} --warmup 0 --messages 8000");
        let report = run(&command).unwrap();
        assert_eq!(report.messages, 8000, "{options}");
        assert_eq!((report.errors.len(), report.unanswered), (0, 0), "{options}");
    }
}

// With a rate the generator sends that many messages a second, found through the name server, and
// reports how late it was.
#[test]
fn keeps_the_rate() {
    let namesrv = null_server();
    let command = format!("send --namesrv {namesrv} --rate 2000 --warmup 0.1 --seconds 0.5");
    let report = run(&command).unwrap();
    assert!((900..=1100).contains(&report.messages), "{}", report.messages);
    assert!(report.lateness_us.is_some());
}

// Pulling once reads each queue from its first to its last message and checks each offset.
#[test]
fn pulls_every_message_once() {
    let broker = null_server();
    let report = run(&format!("pull --broker {broker} -c 1 -q 1 -s 1024 --once")).unwrap();
    assert_eq!(report.messages, 1_000_000);
}

// Options outside their range are refused with name, value and range before anything is connected.
#[test]
fn refuses_options_out_of_range() {
    let error = run("send --broker 127.0.0.1:1 --in-flight 9000").unwrap_err();
    assert_eq!(error.to_string(), "--in-flight is 9000, allowed is 1 to 8000");
}
