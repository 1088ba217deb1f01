//! The `apogee` binary: parse → configure → build → run. Everything else is in the crates.

mod advertise;
mod client;
mod completion;
mod config;
mod logging;
mod node;
mod store_tool;
mod trial;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Less than half the time of the system's allocator in the buffers that reads and batches grow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A message, event and stream platform in one process, compatible with Apache RocketMQ.
#[derive(Parser)]
#[command(version, propagate_version = true, subcommand_required = false)]
struct Apogee {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server: name server and broker in one process, unless told otherwise.
    Server(config::ServerArgs),
    /// Look into a store directory, ours or RocketMQ's, while no server runs on it.
    Store(store_tool::StoreArgs),
    /// Measure a broker, ours or any other that speaks the protocol.
    Bench(bench::Args),
    #[command(flatten)]
    Client(cli::Command),
    /// Print the completion script of a shell.
    Completion(completion::CompletionArgs),
}

fn main() -> ExitCode {
    let arguments = Apogee::parse();
    let command =
        arguments.command.unwrap_or_else(|| Command::Server(config::ServerArgs::default()));
    let ended = match command {
        Command::Server(arguments) => node::run(arguments),
        Command::Store(arguments) => store_tool::run(&arguments),
        Command::Bench(arguments) => client::bench(&arguments),
        Command::Client(command) => client::run(command),
        Command::Completion(arguments) => Ok(completion::run(&arguments)),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            logging::complain(&format!("apogee: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
