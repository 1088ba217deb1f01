//! The commands of `apogee` that talk to a running cluster: `send`, `consume`, `topic …`.
//!
//! Data goes to standard output, one record per line with `--output json`; everything else goes to
//! standard error. A command that fails says what, where and why, and ends with code 1; code 2 is a
//! wrong command line; Ctrl-C ends `consume` cleanly, with code 0.
//!
//! Absent: the server, and anything that opens a store.
//!
//! Start at [`Command`] and [`run`].

mod consume;
mod output;
mod send;
mod time;
mod topic;

use std::io;
use std::process::ExitCode;

use client::{Client, ClientSettings};
use env::Env;

pub use output::{Format, Output};

/// Where a command finds the cluster when nothing says so.
const DEFAULT_NAME_SERVER: &str = "127.0.0.1:9876";

/// A command with its arguments.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Send messages to a topic
    Send(send::SendArgs),
    /// Print the messages of a topic
    Consume(consume::ConsumeArgs),
    /// List, create, describe and delete topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Name servers, separated by commas [default: NAMESRV_ADDR, else 127.0.0.1:9876]
    #[arg(long, short = 'n', env = "APOGEE_NAMESRV", value_name = "HOST:PORT")]
    namesrv: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

impl Common {
    fn connect(&self, env: &Env) -> anyhow::Result<Client> {
        let from_environment =
            || std::env::var("NAMESRV_ADDR").ok().filter(|text| !text.is_empty());
        let names = self.namesrv.clone().or_else(from_environment);
        let names = names.unwrap_or_else(|| DEFAULT_NAME_SERVER.to_owned());
        Ok(Client::start(env, ClientSettings::new(&names))?)
    }
}

/// Runs a command inside a tokio runtime. Failures are printed to `output`'s error stream.
pub async fn run(env: &Env, command: Command, output: &mut Output) -> ExitCode {
    let result = match command {
        Command::Send(args) => send::run(env, args, output).await,
        Command::Consume(args) => consume::run(env, args, output).await,
        Command::Topic(command) => topic::run(env, command, output).await,
    };
    let result = result.and_then(|()| Ok(output.flush()?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has had enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output.note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
