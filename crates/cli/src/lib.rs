//! The commands of `apogee` that talk to a running cluster: `send`, `consume`, `topic …`, `group …`,
//! `cluster …`, `broker …`, `message …`.
//!
//! Data goes to standard output, one record per line with `--output json`; everything else goes to
//! standard error. A command that fails says what, where and why. Its exit code is 1, or 2 for a
//! wrong command line and a deletion that was not confirmed, 3 when only some brokers were changed,
//! 4 for what does not exist, 5 for what is not permitted, 6 for servers out of reach. Ctrl-C ends
//! `consume` cleanly, with code 0.
//!
//! Absent: the server, and anything that opens a store.
//!
//! Start at [`Command`] and [`run`].

mod broker;
mod change;
mod cluster;
mod confirm;
mod consume;
mod failure;
mod group;
mod group_change;
mod message;
mod output;
mod printed;
mod reset;
mod send;
mod start;
mod target;
mod time;
mod topic;
mod topic_change;

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
    /// List, create, describe, change and delete topics
    Topic(topic::TopicArgs),
    /// Consumer groups: members, lag, offsets
    Group(group::GroupArgs),
    /// Brokers and name servers together, and whether they are well
    Cluster(cluster::ClusterArgs),
    /// Single brokers: status and settings
    Broker(broker::BrokerArgs),
    /// Find single messages by id, key or offset
    Message(message::MessageArgs),
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Name servers, separated by commas [default: NAMESRV_ADDR, else 127.0.0.1:9876]
    #[arg(long, short = 'n', env = "APOGEE_NAMESRV", value_name = "HOST:PORT", global = true)]
    namesrv: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
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
        Command::Topic(args) => topic::run(env, args, output).await,
        Command::Group(args) => group::run(env, args, output).await,
        Command::Cluster(args) => cluster::run(env, args, output).await,
        Command::Broker(args) => broker::run(env, args, output).await,
        Command::Message(args) => message::run(env, args, output).await,
    };
    let flushed = output.flush();
    let result = result.and_then(|()| Ok(flushed?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has had enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output.note(format_args!("error: {error:#}"));
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
