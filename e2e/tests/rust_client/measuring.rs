//! `apogee bench` through the SDK.

use anyhow::{Context as _, Result, ensure};
use bench::Report;
use clap::Parser;

use crate::Context;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: bench::Args,
}

/// Runs `bench` through the SDK with these options, outside of the case's runtime; its report.
async fn run(context: &Context, topic: &str, words: &str) -> Result<Report> {
    let report = tempfile::NamedTempFile::new()?.into_temp_path();
    let path = report.to_string_lossy();
    let namesrv = context.shared.cluster()?.namesrv();
    let line = format!(
        "bench {words} --client sdk --namesrv {namesrv} --topic {topic} -q 4 --json {path} --quiet"
    );
    let args = Line::try_parse_from(line.split_whitespace())?.args;
    let run = tokio::task::spawn_blocking(move || bench::run(&args, &mut std::io::sink()));
    run.await?.with_context(|| line.clone())?;
    let report: Report = serde_json::from_slice(&std::fs::read(&report)?)?;
    ensure!(report.client == "sdk", "{line}: {report:?}");
    ensure!((report.errors.len(), report.unanswered) == (0, 0), "{line}: {report:?}");
    Ok(report)
}

/// Shows that the generator's loads go through the SDK too, labelled so: sends and batches of a given
/// number are all counted and all there to be pulled, and what is sent at a rate arrives at waiting
/// consumers once.
pub(crate) async fn bench_through_the_sdk(context: &Context) -> Result<()> {
    let topic = context.name("topic");
    for options in ["-c 2 -f 8", "-c 1 -f 4 -b 10 --threads 1"] {
        let words = format!("send {options} -s 100 --warmup 0 --messages 1000");
        let report = run(context, &topic, &words).await?;
        ensure!(report.messages == 1000, "{options}: {report:?}");
    }
    let report = run(context, &topic, "pull -c 2 --once").await?;
    ensure!(report.messages == 2000, "{report:?}");
    let report = run(context, &topic, "deliver -c 2 --rate 200 --warmup 0 --seconds 1").await?;
    // How many of them came within the second is the machine's affair: all came, `run` has seen to that.
    ensure!((1..=250).contains(&report.messages), "{report:?}");
    ensure!(report.lateness_us.is_some(), "{report:?}");
    Ok(())
}
