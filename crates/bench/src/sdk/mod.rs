//! The same loads through the Rust SDK: what an application gets, the SDK's own cost included.
//!
//! Each generator thread runs a tokio runtime of its own, on which everything of its clients runs: so
//! the thread's CPU is the SDK's, and [`Meter`](crate::measure::Meter) counts as it does for the raw
//! path. A connection is one [`Client`]. Reports say `sdk`, so that nobody takes their figures for
//! the broker's.

mod deliver;
mod pace;
mod pull;
mod send;

use std::future::Future;
use std::time::Duration;

use client::{Client, SendError};
use tokio::runtime::{Builder, Runtime};

pub(crate) use deliver::run as deliver;
pub(crate) use pull::run as pull;
pub(crate) use send::run as send;

use crate::args::Target;
use crate::error::BenchError;

/// How often the window's edges are looked at when nothing happens.
const TICK: Duration = Duration::from_millis(10);
/// Code under which failures without a response code are counted.
const NO_CODE: i32 = -1;
const CONSUMER_GROUP: &str = "bench_consumer";

fn runtime() -> Result<Runtime, BenchError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| BenchError::System { what: "a runtime", source })
}

/// Runs `work` on the calling thread, with everything that it starts.
fn on_this_thread<T>(work: impl Future<Output = Result<T, BenchError>>) -> Result<T, BenchError> {
    runtime()?.block_on(work)
}

/// So many clients of the target's name server. Must be called inside a runtime.
fn connect(target: &Target, count: usize) -> Result<Vec<Client>, BenchError> {
    (0..count).map(|_| Client::new(target.namesrv()).map_err(failed("start a client"))).collect()
}

async fn close(clients: &[Client]) {
    for client in clients {
        client.close().await;
    }
}

fn failed<E>(what: &'static str) -> impl Fn(E) -> BenchError
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |source| BenchError::Sdk { what, source: Box::new(source) }
}

fn code_of(error: &SendError) -> i32 {
    let code = match error {
        SendError::Failed { source, .. } => source.code(),
        _ => None,
    };
    code.unwrap_or(NO_CODE)
}
