//! Runs the commands of this crate without the server binary.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: cli::Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    cli::run(&env::Env::real(), args.command, &mut cli::Output::standard()).await
}
