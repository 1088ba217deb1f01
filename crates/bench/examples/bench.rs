//! Runs `apogee bench` without the rest of the server.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Measure a RocketMQ broker with raw protocol frames.
#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(flatten)]
    args: bench::Args,
}

fn main() -> ExitCode {
    match bench::run(&Cli::parse().args, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit code tells it all the same.
            let _ = writeln!(std::io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}
