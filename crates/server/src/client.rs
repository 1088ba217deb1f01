//! The commands that talk to a running server.

use std::process::ExitCode;

use anyhow::Context;
use cli::Output;
use env::Env;

/// Runs one client command to its end.
pub(crate) fn run(command: cli::Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the network threads")?;
    let env = Env::real();
    Ok(runtime.block_on(cli::run(&env, command, &mut Output::standard())))
}

/// Runs one measurement.
pub(crate) fn bench(arguments: &bench::Args) -> anyhow::Result<ExitCode> {
    bench::run(arguments, &mut std::io::stdout())?;
    Ok(ExitCode::SUCCESS)
}
