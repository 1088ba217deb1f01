//! Running one command and telling what it found: a table for people, JSON for programs.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::admin::{Admin, Endpoint, find, resolve};
use crate::args::{Args, Command, LoadArgs, Via};
use crate::drive::Measured;
use crate::error::BenchError;
use crate::null_server::NullServer;
use crate::{deliver, disk, probe, pull, sdk, send};

/// Latency percentiles in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub p9999: f64,
    pub max: f64,
    pub mean: f64,
}

impl Percentiles {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Percentiles {
        let us = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Percentiles {
            p50: us(0.5),
            p90: us(0.9),
            p99: us(0.99),
            p999: us(0.999),
            p9999: us(0.9999),
            max: histogram.max() as f64 / 1e3,
            mean: histogram.mean() / 1e3,
        }
    }
}

/// How often one failure code came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// Response code; -1 for failures of the SDK without one.
    pub code: i32,
    /// Failures with it, warm-up included.
    pub count: u64,
    /// Remark of the first one.
    pub remark: String,
}

/// What the generator itself cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Threads.
    pub threads: usize,
    /// CPU microseconds per message.
    pub cpu_us_per_message: f64,
    /// Cores in use on average.
    pub cores: f64,
}

/// What the server cost, from `/proc` of its processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// CPU microseconds per message.
    pub cpu_us_per_message: f64,
    /// Cores in use on average.
    pub cores: f64,
    /// Anonymous resident memory at the end of the window, in bytes.
    pub rss_anon_bytes: u64,
}

/// What one run of `bench send`, `pull` or `deliver` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `send`, `pull` or `deliver`.
    pub mode: String,
    /// The path the messages took: `raw` or `sdk`.
    pub client: String,
    /// Address of the broker.
    pub broker: String,
    /// Connections.
    pub connections: usize,
    /// Requests in flight per connection.
    pub in_flight: usize,
    /// Queues of the topic.
    pub queues: u32,
    /// Body bytes of a message.
    pub size: usize,
    /// Messages per request: of a batch (send) or at most (pull).
    pub batch: usize,
    /// Messages per second that were intended; none = as many as possible.
    pub rate: Option<f64>,
    /// Seconds measured.
    pub seconds: f64,
    /// Messages acknowledged or received in that time.
    pub messages: u64,
    /// The same per second.
    pub messages_per_s: f64,
    /// Answers per second.
    pub requests_per_s: f64,
    /// Bytes per second: bodies (send, deliver) or whole records (pull).
    pub bytes_per_s: f64,
    /// Latency of a request (send, pull) or from intended send to arrival (deliver).
    pub latency_us: Percentiles,
    /// How late requests left against their intended time; with a rate only.
    pub lateness_us: Option<Percentiles>,
    /// Failed answers.
    pub errors: Vec<ErrorCount>,
    /// Requests without an answer, or messages not delivered, some seconds after the end.
    pub unanswered: u64,
    /// Cost of the generator.
    pub generator: Generator,
    /// Cost of the server, when its process ids were given.
    pub server: Option<ServerUse>,
    /// Cores that everything but generator and server used meanwhile, kernel threads included: a
    /// figure measured beside much of that says little.
    pub others_cores: Option<f64>,
    /// Kernel and cores of this machine.
    pub machine: String,
}

/// Runs `args` and writes what it found to `out`, and to the JSON file if one is named.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), BenchError> {
    let printed = |source| BenchError::System { what: "writing the report", source };
    match &args.command {
        Command::NullServer(null) => {
            let server = NullServer::bind(null)?;
            writeln!(out, "listening on {}", server.addr()).map_err(printed)?;
            out.flush().map_err(printed)?;
            server.run()
        }
        Command::Disk(disk) => {
            let report = disk::run(disk)?;
            let sync = report.fdatasync_us;
            writeln!(out, "fdatasync after 4 KiB: {}", line(&sync)).map_err(printed)?;
            if report.buffered_bytes_per_s > 0.0 {
                let rate = report.buffered_bytes_per_s / 1e6;
                writeln!(out, "buffered writes: {rate:.0} MB/s").map_err(printed)?;
            }
            save(args.json.as_deref(), &report)
        }
        Command::Probe(p) => {
            let timeout = Duration::from_secs(p.seconds);
            let took = probe::first_accepted(resolve(&p.broker)?, &p.topic, timeout)?;
            writeln!(out, "accepted after {:.1} ms", took.as_secs_f64() * 1e3).map_err(printed)?;
            save(args.json.as_deref(), &took.as_secs_f64())
        }
        _ => {
            let report = measure(&args.command)?;
            report.print(out).map_err(printed)?;
            save(args.json.as_deref(), &report)
        }
    }
}

fn measure(command: &Command) -> Result<Report, BenchError> {
    match command {
        Command::Send(send) => {
            send.check()?;
            let endpoint = prepare(&send.load)?;
            let measured = match send.load.via {
                Via::Raw => send::run(send, &endpoint)?,
                Via::Sdk => sdk::send(send)?,
            };
            let mut report = Report::new("send", &send.load, &endpoint, measured);
            report.batch = send.batch;
            report.rate = send.rate;
            Ok(report)
        }
        Command::Pull(pull) => {
            pull.check()?;
            let endpoint = find(&pull.load.target)?;
            let measured = match pull.load.via {
                Via::Raw => pull::run(pull, &endpoint)?,
                Via::Sdk => sdk::pull(pull)?,
            };
            let mut report = Report::new("pull", &pull.load, &endpoint, measured);
            report.batch = pull.max_messages as usize;
            Ok(report)
        }
        Command::Deliver(deliver) => {
            deliver.load.check()?;
            let endpoint = prepare(&deliver.load)?;
            let measured = match deliver.load.via {
                Via::Raw => deliver::run(deliver, &endpoint)?,
                Via::Sdk => sdk::deliver(deliver)?,
            };
            let mut report = Report::new("deliver", &deliver.load, &endpoint, measured);
            report.rate = Some(deliver.rate);
            Ok(report)
        }
        Command::NullServer(_) | Command::Disk(_) | Command::Probe(_) => {
            unreachable!("`run` serves these itself")
        }
    }
}

/// Finds the broker and creates the topic on it.
fn prepare(load: &LoadArgs) -> Result<Endpoint, BenchError> {
    let endpoint = find(&load.target)?;
    if !load.target.no_create {
        Admin::connect(endpoint.addr)?.create_topic(&load.target.topic, load.queues)?;
    }
    Ok(endpoint)
}

fn save(path: Option<&Path>, report: &impl Serialize) -> Result<(), BenchError> {
    let Some(path) = path else { return Ok(()) };
    let file = |source| BenchError::File { path: path.display().to_string(), source };
    let text = serde_json::to_vec_pretty(report).map_err(|e| file(e.into()))?;
    std::fs::write(path, text).map_err(file)
}

fn line(p: &Percentiles) -> String {
    format!(
        "p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  p99.99 {:.0}  max {:.0} µs",
        p.p50, p.p90, p.p99, p.p999, p.p9999, p.max
    )
}

impl Report {
    fn new(mode: &str, load: &LoadArgs, endpoint: &Endpoint, measured: Measured) -> Report {
        let Measured { tally, edges } = measured;
        let seconds = tally.window.as_secs_f64().max(1e-9);
        let messages = tally.messages.max(1) as f64;
        let per_message = |cpu: Duration| cpu.as_secs_f64() * 1e6 / messages;
        let cores = |cpu: Duration| cpu.as_secs_f64() / seconds;
        let spent = edges.map(|(before, after)| {
            let server = after.server.cpu.saturating_sub(before.server.cpu);
            (server, after.machine.saturating_sub(before.machine), after.server.rss_anon_bytes)
        });
        let server = spent.filter(|_| !load.server_pids.is_empty());
        let errors = tally.errors.into_iter();
        Report {
            mode: mode.into(),
            client: match load.via {
                Via::Raw => "raw".into(),
                Via::Sdk => "sdk".into(),
            },
            broker: endpoint.addr.to_string(),
            connections: load.connections,
            in_flight: load.in_flight,
            queues: load.queues,
            size: load.size,
            batch: 1,
            rate: None,
            seconds,
            messages: tally.messages,
            messages_per_s: tally.messages as f64 / seconds,
            requests_per_s: tally.requests as f64 / seconds,
            bytes_per_s: tally.bytes as f64 / seconds,
            latency_us: Percentiles::of(&tally.latency),
            lateness_us: (!tally.lateness.is_empty()).then(|| Percentiles::of(&tally.lateness)),
            errors: errors
                .map(|(code, (count, remark))| ErrorCount { code, count, remark })
                .collect(),
            unanswered: tally.unanswered,
            generator: Generator {
                threads: load.threads,
                cpu_us_per_message: per_message(tally.cpu),
                cores: cores(tally.cpu),
            },
            server: server.map(|(cpu, _, rss_anon_bytes)| ServerUse {
                cpu_us_per_message: per_message(cpu),
                cores: cores(cpu),
                rss_anon_bytes,
            }),
            others_cores: spent.map(|(cpu, machine, _)| {
                cores(machine.saturating_sub(cpu).saturating_sub(tally.cpu))
            }),
            machine: machine(),
        }
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let rate = self.rate.map_or("maximum".into(), |rate| format!("{rate:.0}/s"));
        writeln!(
            out,
            "{} {} ({} client): {} connections × {} in flight, {} B × {}, {} queues, rate {rate}",
            self.mode,
            self.broker,
            self.client,
            self.connections,
            self.in_flight,
            self.size,
            self.batch,
            self.queues,
        )?;
        writeln!(
            out,
            "{:.0} messages/s, {:.0} requests/s, {:.1} MB/s over {:.1} s ({} messages)",
            self.messages_per_s,
            self.requests_per_s,
            self.bytes_per_s / 1e6,
            self.seconds,
            self.messages,
        )?;
        writeln!(out, "latency   {}", line(&self.latency_us))?;
        if let Some(lateness) = &self.lateness_us {
            writeln!(out, "lateness  {}", line(lateness))?;
        }
        let Generator { threads, cpu_us_per_message, cores } = &self.generator;
        writeln!(
            out,
            "generator {cpu_us_per_message:.3} µs CPU per message, {cores:.2} cores, {threads} threads"
        )?;
        if let Some(server) = &self.server {
            writeln!(
                out,
                "server    {:.3} µs CPU per message, {:.2} cores, {:.1} MiB anonymous",
                server.cpu_us_per_message,
                server.cores,
                server.rss_anon_bytes as f64 / 1048576.0,
            )?;
        }
        for ErrorCount { code, count, remark } in &self.errors {
            writeln!(out, "failed    {count} × code {code}: {remark}")?;
        }
        if self.unanswered > 0 {
            writeln!(out, "missing   {} without an answer", self.unanswered)?;
        }
        let others = self.others_cores.map_or(String::new(), |cores| {
            format!("; {cores:.2} cores busy with other work meanwhile")
        });
        writeln!(out, "machine   {}{others}", self.machine)
    }
}

fn machine() -> String {
    let uname = rustix::system::uname();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("", |rest| rest.trim_start_matches(['\t', ':', ' ']));
    format!("Linux {}, {cores} cores, {model}", uname.release().to_string_lossy())
}
