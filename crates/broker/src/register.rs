//! Registration with the name servers (103, 104): this broker's address and its topics, every
//! `registerNameServerPeriod` and whenever the topics change.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use env::Stop;
use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use wire::body::{RegisterBrokerBody, TopicConfigs};
use wire::header::{Header, RegisterBrokerHeader, UnregisterBrokerHeader};
use wire::{RequestCode, reply_codes as code};

use crate::Broker;

/// How long the farewell to a name server may take.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(1);

/// Handle of the registering task.
pub(crate) struct Registrar {
    client: net::Client,
    namesrv: Vec<String>,
    wake: Notify,
    wanted: AtomicU64,
    done: watch::Sender<u64>,
    /// Name servers that took the last registration.
    accepted: AtomicUsize,
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
        let namesrv = namesrv
            .split([';', ','])
            .map(str::trim)
            .filter(|addr| !addr.is_empty())
            .map(str::to_owned)
            .collect();
        let (wake, done) = (Notify::new(), watch::Sender::new(0));
        let accepted = AtomicUsize::new(0);
        Registrar { client, namesrv, wake, wanted: AtomicU64::new(0), done, accepted }
    }

    /// How registration stands.
    pub(crate) fn state(&self) -> RegistrarState {
        let accepted = self.accepted.load(Ordering::Relaxed);
        RegistrarState { configured: self.namesrv.len(), accepted }
    }

    /// Resolves when a registration that started after this call has ended, successfully or not.
    pub(crate) fn round(&self) -> impl Future<Output = ()> + use<> {
        let wanted = self.wanted.fetch_add(1, Ordering::AcqRel) + 1;
        self.wake.notify_one();
        let mut done = self.done.subscribe();
        async move {
            // The sender lives as long as the broker; if it is gone there is nothing to wait for.
            let _ = done.wait_for(|done| *done >= wanted).await;
        }
    }

    /// Asks for a registration soon, without waiting.
    pub(crate) fn poke(&self) {
        self.wake.notify_one();
    }
}

/// The task: registers until told to stop, then says farewell.
pub(crate) async fn run(broker: Broker, stop: Stop) {
    let registrar = &broker.registrar;
    while !stop.is_stopped() {
        let period = Duration::from_millis(broker.settings().register_ms);
        let wanted = registrar.wanted.load(Ordering::Acquire);
        let taken = join_all(registrar.namesrv.iter().map(|addr| register(&broker, addr))).await;
        let accepted = taken.into_iter().filter(|taken| *taken).count();
        registrar.accepted.store(accepted, Ordering::Relaxed);
        registrar.done.send_replace(wanted);
        tokio::select! {
            () = registrar.wake.notified() => {}
            () = broker.env.clock.sleep(period) => {}
            () = stop.stopped() => {}
        }
    }
    join_all(registrar.namesrv.iter().map(|addr| unregister(&broker, addr))).await;
    registrar.done.send_replace(u64::MAX);
}

/// Returns whether the name server took it.
async fn register(broker: &Broker, addr: &str) -> bool {
    let body = RegisterBrokerBody { topics: effective_topics(broker), ..Default::default() };
    let body = body.encode();
    let settings = broker.live.owned();
    let header = RegisterBrokerHeader {
        broker_name: settings.name.as_str().into(),
        broker_addr: broker.addr.as_str().into(),
        cluster_name: settings.cluster.as_str().into(),
        ha_server_addr: broker.ha_addr.as_str().into(),
        broker_id: settings.id,
        heartbeat_timeout_millis: None,
        enable_acting_master: Some(false),
        compressed: false,
        body_crc32: wire::record::crc(&body),
    };
    let timeout = Duration::from_millis(settings.register_timeout_ms);
    let code = RequestCode::RegisterBroker.code();
    let fields = |writer: &mut wire::FrameWriter<'_>| header.encode(writer);
    match broker.registrar.client.call(addr, code, fields, &body, timeout).await {
        Ok(answer) if answer.frame().code == code::SUCCESS => return true,
        Ok(answer) => {
            let frame = answer.frame();
            let remark = frame.remark.map(|remark| remark.to_str()).unwrap_or_default();
            tracing::warn!(namesrv = addr, code = frame.code, %remark, "registration refused");
        }
        Err(error) => tracing::warn!(namesrv = addr, %error, "registration failed"),
    }
    false
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
