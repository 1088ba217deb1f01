//! The pages of the HTTP port: `/metrics`, and `/health` in two forms.
//!
//! It is open from the first moment on, so that a long recovery is seen to be one. A page of metrics is made once at a
//! time and once a second at most, whoever asks how often.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker::Broker;
use bytes::Bytes;
use env::Env;
use env::memory::Pool;
use metrics::{Kind, Page};
use net::Server;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};
use web::{Answer, Later, Pages};

use crate::{logging, process};

/// How long a page of metrics is given out again.
const FRESH: Duration = Duration::from_secs(1);
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const INDEX: &str = "/metrics       for Prometheus\n/health        whether the process does its work\n/health/ready  whether it can do all of it now\n";

/// What runs, as far as it has started.
pub(crate) struct Site {
    env: Env,
    namesrv: OnceLock<Arc<Server>>,
    broker: OnceLock<(Arc<Server>, Broker)>,
    /// The broker's second port.
    vip: OnceLock<Arc<Server>>,
    started: OnceLock<()>,
    rendering: Arc<Semaphore>,
    /// The last page, and when it was made.
    page: Mutex<Option<(Duration, Answer)>>,
}

impl Site {
    /// Nothing has started yet.
    pub(crate) fn new(env: Env) -> Site {
        Site {
            env,
            namesrv: OnceLock::new(),
            broker: OnceLock::new(),
            vip: OnceLock::new(),
            started: OnceLock::new(),
            rendering: Arc::new(Semaphore::new(1)),
            page: Mutex::default(),
        }
    }

    /// The name server has started.
    pub(crate) fn set_namesrv(&self, server: &Arc<Server>) {
        // It starts once.
        let _ = self.namesrv.set(Arc::clone(server));
    }

    /// The broker has started.
    pub(crate) fn set_broker(&self, server: &Arc<Server>, broker: &Broker) {
        let _ = self.broker.set((Arc::clone(server), broker.clone()));
    }

    /// The broker's second port is open.
    pub(crate) fn set_vip(&self, server: &Arc<Server>) {
        let _ = self.vip.set(Arc::clone(server));
    }

    /// Everything has started.
    pub(crate) fn set_started(&self) {
        let _ = self.started.set(());
    }

    async fn metrics(self: Arc<Site>) -> Answer {
        let stopping = || answer(503, TEXT, "the server stops\n");
        let Ok(turn) = Arc::clone(&self.rendering).acquire_owned().await else {
            return stopping();
        };
        let now = self.env.clock.mono();
        if let Some((at, page)) = &*self.page.lock()
            && now.saturating_sub(*at) < FRESH
        {
            return page.clone();
        }
        // In a task of its own: who asks and goes away again must not be able to start another.
        let (done, made) = oneshot::channel();
        let site = Arc::clone(&self);
        self.env.tasks.spawn("web-metrics", async move {
            let page = site.render().await;
            *site.page.lock() = Some((site.env.clock.mono(), page.clone()));
            drop(turn);
            // Nobody waits any more: the next one finds it.
            let _ = done.send(page);
        });
        made.await.unwrap_or_else(|_| stopping())
    }

    async fn render(&self) -> Answer {
        let mut page = Page::new();
        process::write(&mut page);
        let name = "apogee_log_lines_suppressed_total";
        let help = "Log lines left out because one place wrote too many.";
        page.one(name, Kind::Counter, help, logging::suppressed());
        self.write_listeners(&mut page);
        self.write_memory(&mut page);
        let page = match self.broker.get() {
            Some((_, broker)) => broker.metrics(page).await,
            None => Ok(page),
        };
        match page {
            Ok(page) => answer(200, Page::MEDIA_TYPE, page.into_text()),
            Err(error) => answer(503, TEXT, format!("the metrics cannot be found out: {error}\n")),
        }
    }

    fn write_listeners(&self, page: &mut Page) {
        let namesrv = self.namesrv.get().map(|server| ("namesrv", server));
        let broker = self.broker.get().map(|(server, _)| ("broker", server));
        let vip = self.vip.get().map(|server| ("broker-vip", server));
        let all: Vec<_> = namesrv.into_iter().chain(broker).chain(vip).collect();
        let mut write = |name, kind, help, value: fn(&net::Metrics) -> &net::Counter| {
            let mut family = page.family(name, kind, help);
            for (listener, server) in &all {
                family.sample(&[("listener", listener)], value(server.metrics()).get());
            }
        };
        let (gauge, counter) = (Kind::Gauge, Kind::Counter);
        write("apogee_net_connections", gauge, "Open connections.", |all| &all.connections);
        let help = "Connections closed at once for the limit on connections.";
        write("apogee_net_rejected_total", counter, help, |all| &all.rejected);
        let help = "Connections closed for what they sent, or for lack of memory.";
        write("apogee_net_faulted_total", counter, help, |all| &all.faulted);
        let help = "Connections closed for sending or reading too slowly.";
        write("apogee_net_slow_total", counter, help, |all| &all.slow);
        let help = "Requests refused before they were whole, for lack of memory.";
        write("apogee_net_refused_total", counter, help, |all| &all.refused);
        write("apogee_net_in_bytes_total", counter, "Bytes received.", |all| &all.bytes_in);
        write("apogee_net_out_bytes_total", counter, "Bytes sent.", |all| &all.bytes_out);
        let help = "Reads from sockets that returned bytes.";
        write("apogee_net_reads_total", counter, help, |all| &all.reads);
        write("apogee_net_writes_total", counter, "Writes to sockets.", |all| &all.writes);
    }

    fn write_memory(&self, page: &mut Page) {
        let mut write = |name, kind, help, value: fn(&Pool) -> u64| {
            let mut family = page.family(name, kind, help);
            for pool in self.env.memory.pools() {
                family.sample(&[("pool", pool.name())], value(pool));
            }
        };
        let help = "Memory that peers make the process hold.";
        write("apogee_memory_pool_bytes", Kind::Gauge, help, |pool| pool.used() as u64);
        let help = "Memory that peers may make the process hold.";
        write("apogee_memory_pool_limit_bytes", Kind::Gauge, help, |pool| pool.limit() as u64);
        let help = "What was refused for lack of room in a pool.";
        write("apogee_memory_pool_refused_total", Kind::Counter, help, Pool::refused);
    }

    /// What stands in the way, and whether it is for good.
    fn problems(&self) -> (Vec<Value>, bool) {
        let problem =
            |role, reason, detail| json!({ "role": role, "reason": reason, "detail": detail });
        let mut found = Vec::new();
        if self.started.get().is_none() {
            found.push(problem("server", "starting", "not everything has started yet".to_owned()));
        }
        let of_broker = self.broker.get().map(|(_, broker)| broker.problems()).unwrap_or_default();
        let is_fatal = of_broker.iter().any(|problem| problem.is_fatal);
        found.extend(of_broker.into_iter().map(|p| problem("broker", p.reason, p.detail)));
        (found, is_fatal)
    }

    /// Whether the process does its work: a restart would help if not.
    fn live(&self) -> Answer {
        let (problems, is_fatal) = self.problems();
        health(!is_fatal, problems)
    }

    /// Whether it can do all of its work now: clients should go elsewhere if not.
    fn ready(&self) -> Answer {
        let (problems, _) = self.problems();
        health(problems.is_empty(), problems)
    }
}

fn health(is_up: bool, problems: Vec<Value>) -> Answer {
    let (status, word) = if is_up { (200, "UP") } else { (503, "DOWN") };
    let body = json!({ "status": word, "problems": problems });
    answer(status, JSON, format!("{body}\n"))
}

fn answer(status: u16, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    Answer { status, media_type, body: body.into() }
}

fn now(answer: Answer) -> Option<Later> {
    Some(Box::pin(std::future::ready(answer)))
}

/// The pages of the HTTP port.
pub(crate) struct Main(pub(crate) Arc<Site>);

impl Pages for Main {
    fn get(&self, path: &str) -> Option<Later> {
        match path {
            "/" => now(answer(200, TEXT, INDEX)),
            "/metrics" => Some(Box::pin(Arc::clone(&self.0).metrics())),
            "/health" | "/health/live" => now(self.0.live()),
            "/health/ready" => now(self.0.ready()),
            _ => None,
        }
    }
}

/// The pages of the port that the reference has for Prometheus.
pub(crate) struct Prometheus(pub(crate) Arc<Site>);

impl Pages for Prometheus {
    fn get(&self, path: &str) -> Option<Later> {
        matches!(path, "/" | "/metrics").then(|| Box::pin(Arc::clone(&self.0).metrics()) as Later)
    }
}
