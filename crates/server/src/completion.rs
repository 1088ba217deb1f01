//! `apogee completion`: scripts by which a shell completes commands, options and their values.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{Apogee, logging};

/// Arguments of `apogee completion`.
#[derive(clap::Args, Debug)]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script, which is made from the commands as they are.
pub(crate) fn run(arguments: &CompletionArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Apogee::command(), "apogee", &mut script);
    logging::say(String::from_utf8_lossy(&script).trim_end());
    ExitCode::SUCCESS
}
