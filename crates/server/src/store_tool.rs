//! `apogee store …`: looks into a directory, ours or RocketMQ's, without changing it. Here and not in `cli`, which
//! knows no store.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use env::Disk;
use env::settings::Loader;
use store::StoreSettings;
use store::inspect::{inspect, verify};

use crate::logging;

/// Arguments of `apogee store`.
#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand, Debug)]
enum StoreCommand {
    /// Check that records are valid and that queues and index agree with them; exit code 1 if not.
    Verify(Directory),
    /// Say what is there.
    Inspect(Directory),
}

#[derive(Args, Debug)]
struct Directory {
    /// Directory of the store (`storePathRootDir`). No server may be using it. A log elsewhere is named by
    /// `--set storePathCommitLog=DIR`.
    dir: PathBuf,
    /// A setting of the store that the directory was written with, where it is not the default.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `apogee store`.
pub(crate) fn run(arguments: &StoreArgs) -> anyhow::Result<ExitCode> {
    let (StoreCommand::Verify(directory) | StoreCommand::Inspect(directory)) = &arguments.command;
    let mut loader = Loader::default();
    for setting in &directory.settings {
        let pair = setting.split_once('=');
        let (key, value) = pair.with_context(|| format!("--set {setting}: expected KEY=VALUE"))?;
        loader.flag(key.trim(), value.trim());
    }
    let mut settings: StoreSettings = loader.take();
    loader.finish()?;
    settings.root.clone_from(&directory.dir);
    let disk = Disk::real();
    let report = match arguments.command {
        StoreCommand::Verify(_) => verify(&disk, &settings)?,
        StoreCommand::Inspect(_) => inspect(&disk, &settings)?,
    };
    let text = match directory.json {
        true => serde_json::to_string(&report).context("the report cannot be written")?,
        false => report.to_string(),
    };
    logging::say(text.trim_end());
    Ok(if report.problem_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
