//! Registration with the name servers (103, 104): this broker's address and its topics, every
//! `registerNameServerPeriod` and whenever the topics change. Each name server has a loop of its own, so that one which
//! is gone or silent delays neither the others nor whoever waits for a registration.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use env::Stop;
use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use wire::body::{RegisterBrokerBody, TopicConfigs};
use wire::header::{Header, RegisterBrokerHeader, UnregisterBrokerHeader};
use wire::{RequestCode, reply_codes as code};

use crate::{Broker, limits};

/// How long the farewell to a name server may take.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long others wait for the answer of one name server.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time to the next attempt with a name server that did not answer.
const RETRY: Duration = Duration::from_secs(5);

/// Handle of the registering task.
pub(crate) struct Registrar {
    client: net::Client,
    targets: Vec<Target>,
}

/// One name server.
struct Target {
    addr: String,
    wake: Notify,
    wanted: AtomicU64,
    done: watch::Sender<u64>,
    /// Whether it did not answer the last time: nobody waits for it then.
    silent: AtomicBool,
    /// Whether it took the last registration.
    accepted: AtomicBool,
}

/// How registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RegistrarState {
    /// Name servers.
    pub configured: usize,
    /// Those that took the last registration.
    pub accepted: usize,
}

impl Registrar {
    /// Registers with `namesrv`, a list separated by `;` or `,`, over `client`.
    pub(crate) fn new(client: net::Client, namesrv: &str) -> Registrar {
        let namesrv = namesrv.split([';', ',']).map(str::trim).filter(|addr| !addr.is_empty());
        Registrar { client, targets: namesrv.map(Target::new).collect() }
    }

    /// How registration stands.
    pub(crate) fn state(&self) -> RegistrarState {
        let accepted = |target: &&Target| target.accepted.load(Ordering::Relaxed);
        RegistrarState {
            configured: self.targets.len(),
            accepted: self.targets.iter().filter(accepted).count(),
        }
    }

    /// Resolves when a registration that started after this call has ended, successfully or not, with each name server
    /// that answers.
    pub(crate) fn round(&self) -> impl Future<Output = ()> + use<> {
        let rounds: Vec<_> = self.targets.iter().filter_map(Target::round).collect();
        async move {
            join_all(rounds).await;
        }
    }

    /// Asks for a registration soon, without waiting.
    pub(crate) fn poke(&self) {
        self.targets.iter().for_each(|target| target.wake.notify_one());
    }
}

impl Target {
    fn new(addr: &str) -> Target {
        Target {
            addr: addr.to_owned(),
            wake: Notify::new(),
            wanted: AtomicU64::new(0),
            done: watch::Sender::new(0),
            silent: AtomicBool::new(false),
            accepted: AtomicBool::new(false),
        }
    }

    fn round(&self) -> Option<impl Future<Output = ()> + use<>> {
        let wanted = self.wanted.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        let mut done = self.done.subscribe();
        if self.silent.load(Ordering::SeqCst) {
            return None;
        }
        Some(async move {
            // The sender lives as long as the broker; if it is gone there is nothing to wait for.
            let _ = done.wait_for(|done| *done >= wanted).await;
        })
    }

    /// Notes how an attempt ended, and says so if it is news.
    fn note(&self, outcome: Result<(), String>) {
        let silent = outcome.is_err();
        self.accepted.store(!silent, Ordering::Relaxed);
        let was_silent = self.silent.swap(silent, Ordering::SeqCst);
        match outcome {
            Ok(()) if was_silent => tracing::info!(namesrv = self.addr, "registered again"),
            Err(error) if !was_silent => {
                tracing::warn!(namesrv = self.addr, %error, "registration failed; it is tried again every 5 s");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Lets those go on who wait for the round `wanted` or one before.
    fn release(&self, wanted: u64) {
        self.done.send_modify(|done| *done = wanted.max(*done));
    }

    /// Registers until told to stop, then says farewell.
    async fn keep(&self, broker: &Broker, stop: &Stop) {
        let clock = &broker.env.clock;
        while !stop.is_stopped() {
            let wanted = self.wanted.load(Ordering::Acquire);
            let mut attempt = pin!(register(broker, &self.addr));
            let outcome = tokio::select! {
                outcome = &mut attempt => Some(outcome),
                () = clock.sleep(PATIENCE) => None,
                () = stop.stopped() => break,
            };
            if outcome.is_none() {
                self.note(Err(format!("no answer for {PATIENCE:?}")));
                // Who has come since then waits for this attempt as well; who comes later sees that it is silent.
                self.release(self.wanted.load(Ordering::SeqCst));
            }
            let outcome = match outcome {
                Some(outcome) => outcome,
                None => tokio::select! {
                    outcome = attempt => outcome,
                    () = stop.stopped() => break,
                },
            };
            let period = match &outcome {
                Ok(()) => Duration::from_millis(broker.settings().register_ms),
                Err(_) => RETRY,
            };
            self.note(outcome);
            self.release(wanted);
            tokio::select! {
                () = self.wake.notified() => {}
                () = clock.sleep(period) => {}
                () = stop.stopped() => {}
            }
        }
        unregister(broker, &self.addr).await;
        self.done.send_replace(u64::MAX);
    }
}

/// The task.
pub(crate) async fn run(broker: Broker, stop: Stop) {
    join_all(broker.registrar.targets.iter().map(|target| target.keep(&broker, &stop))).await;
}

async fn register(broker: &Broker, addr: &str) -> Result<(), String> {
    let body = RegisterBrokerBody { topics: effective_topics(broker), ..Default::default() };
    let (body, compressed) = encode(&body);
    let settings = broker.live.owned();
    let header = RegisterBrokerHeader {
        broker_name: settings.name.as_str().into(),
        broker_addr: broker.addr.as_str().into(),
        cluster_name: settings.cluster.as_str().into(),
        ha_server_addr: broker.ha_addr.as_str().into(),
        broker_id: settings.id,
        heartbeat_timeout_millis: None,
        enable_acting_master: Some(false),
        compressed,
        body_crc32: wire::record::crc(&body),
    };
    let timeout = Duration::from_millis(settings.register_timeout_ms);
    let code = RequestCode::RegisterBroker.code();
    let fields = |writer: &mut wire::FrameWriter<'_>| header.encode(writer);
    let answer = broker.registrar.client.call(addr, code, fields, &body, timeout).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let frame = answer.frame();
    if frame.code == code::SUCCESS {
        return Ok(());
    }
    let remark = frame.remark.map(|remark| remark.to_str()).unwrap_or_default();
    Err(format!("refused with {}: {remark}", frame.code))
}

/// The body of a registration, and whether it is compressed. A large one is, for a frame has its limit; that it then
/// cannot tell of order marks and system flags is the format's loss.
fn encode(body: &RegisterBrokerBody) -> (Vec<u8>, bool) {
    let plain = body.encode();
    if plain.len() <= limits::PLAIN_REGISTRATION {
        return (plain, false);
    }
    (body.encode_compressed(), true)
}

/// The topics as they are registered: while the broker itself is not fully open, their permissions are narrowed.
fn effective_topics(broker: &Broker) -> TopicConfigs {
    let mut table = broker.topics.snapshot();
    let permission = broker.settings().permission;
    if permission & 6 != 6 {
        table.topic_config_table.values_mut().for_each(|config| config.perm &= permission);
    }
    table
}

async fn unregister(broker: &Broker, addr: &str) {
    let settings = broker.live.owned();
    let header = UnregisterBrokerHeader {
        broker_name: settings.name.as_str().into(),
        broker_addr: broker.addr.as_str().into(),
        cluster_name: settings.cluster.as_str().into(),
        broker_id: settings.id,
    };
    let fields = |writer: &mut wire::FrameWriter<'_>| header.encode(writer);
    let code = RequestCode::UnregisterBroker.code();
    let farewell = broker.registrar.client.call(addr, code, fields, &[], UNREGISTER_TIMEOUT).await;
    if let Err(error) = farewell {
        tracing::debug!(namesrv = addr, %error, "the name server was not told that this broker stops");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows that a table that would not fit a frame is registered compressed, and a small one as it is.
    #[test]
    fn a_large_table_is_compressed() {
        let body = |topics: usize| {
            let name = |i| format!("a_topic_of_a_broker_that_has_{topics}_topics_{i:06}");
            let topics = (0..topics).map(|i| (name(i), crate::topic::config(&name(i), 4, 6)));
            let topic_config_table = topics.collect();
            let topics = TopicConfigs { topic_config_table, ..TopicConfigs::default() };
            RegisterBrokerBody { topics, ..RegisterBrokerBody::default() }
        };
        let (small, compressed) = encode(&body(2));
        assert_eq!((small, compressed), (body(2).encode(), false));
        let large = body(20_000);
        let (bytes, compressed) = encode(&large);
        assert!(compressed && bytes.len() < large.encode().len() / 4, "{} bytes", bytes.len());
        assert_eq!(RegisterBrokerBody::decode(&bytes, wire::frame::VERSION), Ok(large));
    }
}
