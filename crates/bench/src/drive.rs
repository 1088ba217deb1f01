//! Runs the generator's threads, prints progress, and samples the server and the machine at the window's edges.

use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use crate::args::LoadArgs;
use crate::clock::Clock;
use crate::error::BenchError;
use crate::measure::{Live, Meter, Tally, Window};
use crate::process::{Usage, machine_busy, usage};

/// How to run the threads of one measurement.
#[derive(Debug)]
pub(crate) struct Drive<'a> {
    pub threads: usize,
    pub window: Window,
    pub server_pids: &'a [u32],
    /// Print a line per second to standard error.
    pub progress: bool,
}

/// What all threads measured together.
#[derive(Debug)]
pub(crate) struct Measured {
    pub tally: Tally,
    /// What was used at the window's begin and end, when it was long enough to have both.
    pub edges: Option<(Edge, Edge)>,
}

/// What was used so far, at one edge of the window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub server: Usage,
    pub machine: Duration,
}

const STEP: Duration = Duration::from_millis(100);

impl<'a> Drive<'a> {
    /// As `load` says: `length` seconds after `warmup` seconds, or until the work is done.
    pub(crate) fn of(load: &'a LoadArgs, warmup: f64, length: Option<f64>) -> Drive<'a> {
        let seconds = Duration::from_secs_f64;
        Drive {
            threads: load.threads,
            window: Window::new(seconds(warmup), length.map(seconds)),
            server_pids: &load.server_pids,
            progress: !load.quiet,
        }
    }

    /// Runs `work(thread index, meter)` on every thread until all have ended.
    pub(crate) fn run<W>(&self, work: W) -> Result<Measured, BenchError>
    where
        W: Fn(usize, Meter<'_>) -> Result<Tally, BenchError> + Sync,
    {
        let (clock, live) = (Clock::start(), Live::default());
        let (results, edges) = thread::scope(|scope| {
            let spawn = |index| {
                let (work, live, window) = (&work, &live, self.window);
                scope.spawn(move || {
                    let result = work(index, Meter::new(clock, window, live));
                    if result.is_err() {
                        live.stop.store(true, Relaxed);
                    }
                    result
                })
            };
            let workers: Vec<_> = (0..self.threads).map(spawn).collect();
            let all_ended = || workers.iter().all(|worker| worker.is_finished());
            let edges = self.watch(clock, &live, all_ended);
            let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            (results, edges)
        });
        let mut tally = Tally::new();
        for result in results {
            tally.add(result.map_err(|_| BenchError::Panicked)??);
        }
        Ok(Measured { tally, edges })
    }

    fn watch(
        &self,
        clock: Clock,
        live: &Live,
        all_ended: impl Fn() -> bool,
    ) -> Option<(Edge, Edge)> {
        let sample = || Some(Edge { server: usage(self.server_pids), machine: machine_busy() });
        let (mut before, mut after) = (None, None);
        let mut line = Line { at_ns: 0, messages: 0, requests: 0, latency_sum_ns: 0 };
        while !all_ended() {
            let now = clock.now_ns();
            if before.is_none() && now >= self.window.from_ns {
                before = sample();
            }
            if after.is_none() && now >= self.window.to_ns {
                after = sample();
            }
            if self.progress && now - line.at_ns >= 1_000_000_000 {
                line.print(now, live);
            }
            let edges = [self.window.from_ns, self.window.to_ns];
            let edge = edges.into_iter().filter(|&edge| edge > now).min().unwrap_or(u64::MAX);
            thread::sleep(STEP.min(Duration::from_nanos(edge - now)));
        }
        let after = after.or_else(sample);
        before.zip(after)
    }
}

/// The progress line: RocketMQ's own benchmark programs print these figures under these names.
struct Line {
    at_ns: u64,
    messages: u64,
    requests: u64,
    latency_sum_ns: u64,
}

impl Line {
    fn print(&mut self, now_ns: u64, live: &Live) {
        let seconds = (now_ns - self.at_ns) as f64 / 1e9;
        let (messages, requests) = (live.messages.load(Relaxed), live.requests.load(Relaxed));
        let sum = live.latency_sum_ns.load(Relaxed);
        let max = live.latency_max_ns.swap(0, Relaxed);
        let tps = (messages - self.messages) as f64 / seconds;
        let answers = (requests - self.requests).max(1) as f64;
        let average = (sum - self.latency_sum_ns) as f64 / answers / 1e6;
        // Standard error may be closed; progress is not worth failing for.
        let _ = writeln!(
            std::io::stderr(),
            "{:>4.0} s  TPS: {tps:>9.0}  Max RT(ms): {:>8.3}  Average RT(ms): {average:>7.3}  Failed: {}",
            now_ns as f64 / 1e9,
            max as f64 / 1e6,
            live.failed.load(Relaxed),
        );
        *self = Line { at_ns: now_ns, messages, requests, latency_sum_ns: sum };
    }
}
