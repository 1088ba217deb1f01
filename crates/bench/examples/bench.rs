//! Runs `apogee bench` without the rest of the server.

use clap::Parser;

/// Measure a RocketMQ broker with raw protocol frames.
#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(flatten)]
    args: bench::Args,
}

fn main() -> Result<(), bench::BenchError> {
    bench::run(&Cli::parse().args, &mut std::io::stdout().lock())
}
