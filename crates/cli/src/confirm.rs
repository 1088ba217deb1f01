//! Asks before something is changed or deleted.

use std::fmt;
use std::io::IsTerminal;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::failure::Failure;
use crate::output::Output;

/// Whether to ask.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Confirm {
    /// Do not ask; needed where there is no terminal and something is deleted
    #[arg(long, short)]
    yes: bool,
}

impl Confirm {
    /// Before a change that was shown: whether to make it, which a dry run never does. Asks at a terminal; `what`
    /// completes "this …".
    pub(crate) async fn go_ahead(
        self,
        dry_run: bool,
        output: &mut Output,
        what: impl fmt::Display,
    ) -> anyhow::Result<bool> {
        if dry_run {
            return Ok(false);
        }
        if !self.yes && std::io::stdin().is_terminal() {
            ask(output, what).await?;
        }
        Ok(true)
    }

    /// Before something is lost: asks at a terminal, and refuses where there is none.
    pub(crate) async fn loss(
        self,
        output: &mut Output,
        what: impl fmt::Display,
    ) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            let text = format!("this {what}; without a terminal to ask at it needs --yes");
            return Err(Failure::Usage(text).into());
        }
        ask(output, what).await
    }
}

async fn ask(output: &mut Output, what: impl fmt::Display) -> anyhow::Result<()> {
    output.flush()?;
    output.note(format_args!("This {what}. Type yes to go ahead:"));
    let mut answer = String::new();
    let mut input = BufReader::new(tokio::io::AsyncReadExt::take(tokio::io::stdin(), 16));
    input.read_line(&mut answer).await.context("reading the answer")?;
    if matches!(answer.trim(), "yes" | "y") {
        return Ok(());
    }
    Err(Failure::Usage("not confirmed, nothing was changed".to_owned()).into())
}
