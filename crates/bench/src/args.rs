//! The command line of `apogee bench`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use crate::admin::Endpoint;
use crate::error::BenchError;
use crate::limits;
use crate::ring::Shape;

/// Measure a RocketMQ broker with raw protocol frames.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// What to measure.
    #[command(subcommand)]
    pub command: Command,
    /// Also write the report as JSON to this file.
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Send messages.
    Send(SendArgs),
    /// Pull a backlog.
    Pull(PullArgs),
    /// End to end: send at a fixed rate to a waiting consumer.
    Deliver(DeliverArgs),
    /// Serve the protocol and store nothing: the ceiling for all other figures.
    NullServer(NullServerArgs),
    /// Measure the disk alone.
    Disk(DiskArgs),
    /// Wait until a broker accepts a message.
    Probe(ProbeArgs),
}

/// Whom to measure.
#[derive(Debug, Clone, ClapArgs)]
pub struct Target {
    /// Broker address; skips the name server.
    #[arg(long, value_name = "HOST:PORT")]
    pub broker: Option<String>,
    /// Name server address [default: 127.0.0.1:9876].
    #[arg(long, env = "APOGEE_NAMESRV", value_name = "HOST:PORT")]
    pub namesrv: Option<String>,
    /// Broker name to choose from the route; the first in order of names if absent.
    #[arg(long, value_name = "NAME")]
    pub broker_name: Option<String>,
    /// Topic.
    #[arg(long, default_value = "BenchTopic")]
    pub topic: String,
    /// Use the topic as it is; do not create it first.
    #[arg(long)]
    pub no_create: bool,
}

/// The path that messages take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Via {
    /// Frames encoded ahead: the figures are the broker's.
    Raw,
    /// The Rust SDK: the figures are an application's, the SDK's own cost included.
    Sdk,
}

/// How hard to push.
#[derive(Debug, Clone, ClapArgs)]
pub struct LoadArgs {
    /// Whom to measure.
    #[command(flatten)]
    pub target: Target,
    /// The path that messages take.
    #[arg(long = "client", value_enum, default_value_t = Via::Raw)]
    pub via: Via,
    /// Connections.
    #[arg(short, long, default_value_t = 4)]
    pub connections: usize,
    /// Requests without an answer per connection.
    ///
    /// The SDK's pull consumer has one for each of its queues instead.
    #[arg(short = 'f', long, default_value_t = 64)]
    pub in_flight: usize,
    /// Queues of the topic.
    #[arg(short, long, default_value_t = 16)]
    pub queues: u32,
    /// Body bytes of a message.
    #[arg(short, long, default_value_t = 1024)]
    pub size: usize,
    /// Threads of the generator; connections are spread over them.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Seconds before that which are not.
    #[arg(long, default_value_t = 2.0)]
    pub warmup: f64,
    /// Process ids of the server, to report its CPU and memory (its children are included).
    #[arg(long = "server-pid", value_name = "PID")]
    pub server_pids: Vec<u32>,
    /// No progress lines.
    #[arg(long)]
    pub quiet: bool,
}

/// Options of `bench send`.
#[derive(Debug, Clone, ClapArgs)]
pub struct SendArgs {
    /// How hard to push.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Messages per request (above 1: batch requests).
    #[arg(short, long, default_value_t = 1)]
    pub batch: usize,
    /// Messages per second whatever the server does; as many as are answered if absent.
    #[arg(short, long)]
    pub rate: Option<f64>,
    /// Wake up for every answer, instead of letting some gather when 64 or more are in flight.
    #[arg(long)]
    pub eager: bool,
    /// Send so many messages instead of for a time.
    #[arg(short, long)]
    pub messages: Option<u64>,
}

/// Options of `bench pull`.
#[derive(Debug, Clone, ClapArgs)]
pub struct PullArgs {
    /// How hard to push.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Messages per pull; brokers give 32 at most by default.
    #[arg(long, default_value_t = 32)]
    pub max_messages: u32,
    /// Read each queue once and end, instead of again and again for a time.
    #[arg(long)]
    pub once: bool,
}

/// Options of `bench deliver`.
#[derive(Debug, Clone, ClapArgs)]
pub struct DeliverArgs {
    /// How hard to push; connections are the consumer's.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Messages per second.
    #[arg(short, long, default_value_t = 3000.0)]
    pub rate: f64,
}

/// Options of `bench null-server`.
#[derive(Debug, Clone, ClapArgs)]
pub struct NullServerArgs {
    /// Address to listen on; port 0 takes a free one. Printed when bound.
    #[arg(long, default_value = "127.0.0.1:10911")]
    pub listen: String,
    /// Body bytes of the messages that pulls get.
    #[arg(short, long, default_value_t = 1024)]
    pub size: usize,
}

/// Options of `bench disk`.
#[derive(Debug, Clone, ClapArgs)]
pub struct DiskArgs {
    /// Directory on the disk to measure.
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Seconds of synced appends.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// MiB to write buffered afterwards; 0 = none.
    #[arg(long, default_value_t = 0)]
    pub write_mib: u64,
}

/// Options of `bench probe`.
#[derive(Debug, Clone, ClapArgs)]
pub struct ProbeArgs {
    /// Broker address.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:10911")]
    pub broker: String,
    /// Topic; created by the broker itself.
    #[arg(long, default_value = "BenchProbe")]
    pub topic: String,
    /// Longest wait in seconds.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
}

fn within<T: PartialOrd + std::fmt::Display>(
    name: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), BenchError> {
    if range.contains(&value) {
        return Ok(());
    }
    let allowed = format!("{} to {}", range.start(), range.end());
    Err(BenchError::Argument { name, value: value.to_string(), allowed })
}

const LONGEST_S: f64 = 86_400.0;
/// Messages that the SDK asks for with one pull.
const SDK_PULL: u32 = 32;

impl Target {
    pub(crate) fn namesrv(&self) -> &str {
        self.namesrv.as_deref().unwrap_or("127.0.0.1:9876")
    }
}

impl LoadArgs {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        within("--connections", self.connections, 1..=limits::CONNECTIONS)?;
        within("--in-flight", self.in_flight, 1..=limits::IN_FLIGHT_PER_CONNECTION)?;
        within("--queues", self.queues, 1..=limits::QUEUES)?;
        within("--size", self.size, 1..=limits::BODY_BYTES)?;
        within("--threads", self.threads, 1..=self.connections.min(limits::THREADS))?;
        within("--seconds", self.seconds, 0.001..=LONGEST_S)?;
        within("--warmup", self.warmup, 0.0..=LONGEST_S)?;
        match &self.target.broker {
            Some(broker) if self.via == Via::Sdk => Err(BenchError::Argument {
                name: "--broker",
                value: broker.clone(),
                allowed: "--namesrv with --client sdk".into(),
            }),
            _ => Ok(()),
        }
    }
}

impl SendArgs {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        self.load.check()?;
        within("--batch", self.batch, 1..=limits::BATCH)?;
        within("--size times --batch", self.batch * self.load.size, 1..=limits::BODY_BYTES)?;
        within("--rate", self.rate.unwrap_or(1.0), 0.001..=1e9)
    }

    pub(crate) fn shape(&self, endpoint: &Endpoint) -> Shape {
        Shape {
            topic: self.load.target.topic.clone(),
            broker: endpoint.name.clone(),
            queues: self.load.queues,
            body_bytes: self.load.size,
            batch: self.batch,
        }
    }
}

impl PullArgs {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        self.load.check()?;
        match self.load.via {
            Via::Sdk => within("--max-messages", self.max_messages, SDK_PULL..=SDK_PULL),
            Via::Raw => Ok(()),
        }
    }

    /// Seconds that are not measured, and seconds that are, if not all.
    pub(crate) fn window(&self) -> (f64, Option<f64>) {
        if self.once { (0.0, None) } else { (self.load.warmup, Some(self.load.seconds)) }
    }
}
