//! The broker itself: its tables, opened from the configuration files, and its workers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use bytes::Bytes;
use env::Env;
use env::settings::SettingsFile;
use parking_lot::Mutex;
use store::{Appended, Durability, FlushDiskType, Queue, Reader, SCHEDULE_TOPIC, Store};
use wire::flags::perm;
use wire::ids::UniqKeys;
use wire::{Frame, Replies};

use crate::clients::Clients;
use crate::group::Groups;
use crate::handle::{client, send::Pass};
use crate::live::LiveSettings;
use crate::locks::QueueLocks;
use crate::metrics::{self, Arriving, Metrics};
use crate::offset::Offsets;
use crate::persist::{self, Persister};
use crate::progress::Progress;
use crate::register::{self, Registrar};
use crate::reply::{self, Refusal};
use crate::schedule::{self, Delays};
use crate::settings::BrokerSettings;
use crate::stats::{self, Stats};
use crate::topic::{self, AutoCreate, OwnNames, Topic, Topics};

/// Passes kept for reuse: a few more than there are threads that serve connections.
const SPARE_PASSES: usize = 8;
/// How often silent clients are looked for.
const EXPIRY_SCAN: std::time::Duration = std::time::Duration::from_secs(10);

/// The broker role. A clone is another handle of the same broker.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

/// What the handlers work with.
pub struct Inner {
    pub(crate) env: Env,
    pub(crate) live: LiveSettings,
    pub(crate) store: Store,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) offsets: Arc<Offsets>,
    pub(crate) delays: Arc<Delays>,
    pub(crate) clients: Clients,
    pub(crate) locks: QueueLocks,
    pub(crate) progress: Progress,
    pub(crate) stats: Stats,
    pub(crate) metrics: Metrics,
    /// When the broker was opened, ms since 1970.
    pub(crate) opened_ms: i64,
    pub(crate) persister: Persister,
    pub(crate) registrar: Registrar,
    /// Address that clients and name servers are told, `host:port`.
    pub(crate) addr: String,
    /// Address that the replication port would have.
    pub(crate) ha_addr: String,
    /// Address that stored messages name.
    pub(crate) store_host: SocketAddr,
    /// Properties that every stored message carries.
    pub(crate) stamp: Bytes,
    pub(crate) unique_keys: UniqKeys,
    passes: Mutex<Vec<Pass>>,
}

impl Deref for Broker {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What a broker is given by the process that runs it.
pub struct Deps {
    /// The store that it serves.
    pub store: Store,
    /// Connections to the name servers.
    pub client: net::Client,
    /// Name servers to register with, separated by `;` or `,`.
    pub namesrv: String,
    /// Address that clients are told.
    pub advertised: SocketAddr,
    /// The file that the settings come from, to be changed along with them (25).
    pub settings_file: Option<SettingsFile>,
}

/// Why a broker cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A configuration file and its `.bak` are both unusable.
    #[error(transparent)]
    Config(#[from] store::ConfigError),
}

impl Broker {
    /// Opens the tables and starts the workers, which end with the tasks of `env`.
    ///
    /// # Errors
    /// When a configuration file is there but cannot be read.
    pub fn open(env: Env, settings: BrokerSettings, deps: Deps) -> Result<Broker, OpenError> {
        let own = OwnNames { cluster: settings.cluster.clone(), broker: settings.name.clone() };
        let auto_create =
            AutoCreate { enabled: settings.auto_create_topic, queues: settings.default_queues };
        let (persister, woken) = Persister::new();
        let advertised = deps.advertised;
        let ha_addr = SocketAddr::new(advertised.ip(), advertised.port().saturating_add(1));
        let salt = env.rng.u64();
        let broker = Broker(Arc::new(Inner {
            topics: Topics::new(
                own,
                auto_create,
                deps.store.delays().count(),
                settings.metrics_label_sets,
            ),
            groups: Groups::new(settings.auto_create_group),
            offsets: Arc::default(),
            delays: Arc::default(),
            clients: Clients::new(&env.memory.clients),
            locks: QueueLocks::default(),
            progress: Progress::new(settings.metrics_label_sets),
            stats: Stats::default(),
            metrics: Metrics::new(),
            opened_ms: env.clock.wall_ms(),
            persister,
            registrar: Registrar::new(deps.client, &deps.namesrv),
            addr: advertised.to_string(),
            ha_addr: ha_addr.to_string(),
            store_host: advertised,
            stamp: stamp(&settings),
            unique_keys: UniqKeys::new(advertised.ip(), salt as u16, (salt >> 16) as u32),
            passes: Mutex::default(),
            live: LiveSettings::new(settings, deps.settings_file),
            store: deps.store,
            env,
        }));
        metrics::check_labels(&broker.settings().metrics_label);
        if !broker.load()? || broker.store.was_crashed() {
            broker.adopt_queues();
        }
        if broker.store.may_have_lost() {
            broker.take_offsets_back();
        }
        broker.store.set_readers(readers(&broker));
        persist::start(&broker, woken);
        let tasks = broker.env.tasks.clone();
        let stop = tasks.stop_token();
        tasks.spawn("broker-schedule", schedule::run(broker.clone(), stop.clone()));
        tasks.spawn("broker-register", register::run(broker.clone(), stop.clone()));
        tasks.spawn("broker-clients", expire_clients(broker.clone(), stop.clone()));
        tasks.spawn("broker-stats", stats::run(broker.clone(), stop));
        Ok(broker)
    }

    /// Loads the tables. Returns whether there was one of topics.
    fn load(&self) -> Result<bool, OpenError> {
        let known = self.load_file(persist::TOPICS_FILE, |text| self.topics.load(text))?;
        self.load_file(persist::GROUPS_FILE, |text| self.groups.load(text))?;
        self.load_file(persist::OFFSETS_FILE, |text| self.offsets.load(text))?;
        self.load_file(persist::DELAY_FILE, |text| self.delays.load(text))?;
        Ok(known)
    }

    fn load_file(
        &self,
        file: &'static str,
        take: impl Fn(&[u8]) -> Result<(), wire::body::BodyError>,
    ) -> Result<bool, OpenError> {
        let take = |text: &[u8]| take(text).map_err(|error| error.to_string());
        Ok(self.store.config().read(file, take)?.is_some())
    }

    /// A topic is created in memory, used, and written to its file a moment later: after a crash in between, the
    /// store has messages of a topic that the file does not know. They prove that the topic existed; after a clean
    /// end, or one of the reference, which writes its file first, they are what a deleted topic left.
    fn adopt_queues(&self) {
        let now_ms = self.env.clock.wall_ms();
        let mut found: BTreeMap<String, i32> = BTreeMap::new();
        let has_messages = |queue: &Arc<Queue>| queue.min_offset() < queue.max_offset();
        for queue in self.store.queues().into_iter().filter(has_messages) {
            let count = found.entry(queue.topic().to_owned()).or_default();
            *count = (*count).max(queue.id() as i32 + 1);
        }
        for (topic, queues) in found {
            if self.topics.get(&topic).is_some() {
                continue;
            }
            let config = topic::config(&topic, queues, perm::READ | perm::WRITE);
            match self.topics.put(config, now_ms) {
                Ok(_) => tracing::info!(
                    topic,
                    queues,
                    "the store has messages of a topic that no file names: created it again"
                ),
                Err(error) => {
                    tracing::warn!(topic, %error, "the store has messages of a topic that cannot be created")
                }
            }
        }
    }

    /// The file of offsets is synced by itself and may know messages that the log has lost.
    fn take_offsets_back(&self) {
        let end = |topic: &str, queue: i32| {
            let queue = u32::try_from(queue).ok().and_then(|id| self.store.find_queue(topic, id));
            queue.map_or(0, |queue| queue.max_offset() as i64)
        };
        let lowered = self.offsets.take_back(end);
        if lowered > 0 {
            tracing::warn!(
                lowered,
                "groups had consumed messages that a power cut took: they go on where their queues end now"
            );
        }
    }

    /// The settings in effect now. Not to be kept over a wait.
    pub(crate) fn settings(&self) -> Guard<Arc<BrokerSettings>> {
        self.live.get()
    }

    /// Resolves when the log up to `end` is as durable as an answer to a send promises.
    pub(crate) async fn stored(&self, end: u64) -> Result<(), Refusal> {
        if !self.syncs() {
            return Ok(());
        }
        match self.store.durable(end).await {
            Durability::Durable => Ok(()),
            Durability::TimedOut | Durability::Stopped => Err(Refusal::NotDurable),
        }
    }

    /// Whether an answer waits for the device.
    pub(crate) fn syncs(&self) -> bool {
        self.store.settings().flush == FlushDiskType::Sync
    }

    /// The topic of delayed messages.
    pub(crate) fn schedule_topic(&self) -> Arc<Topic> {
        self.topics
            .get(SCHEDULE_TOPIC)
            .expect("system topics are created at open and never removed")
    }

    /// Writes what has changed since its workers ended: to be called once nothing else calls it. Waits for the device.
    pub fn save(&self) {
        persist::save_all(self);
    }

    /// Resolves when this broker has tried to register with every name server once.
    pub async fn registered(&self) {
        self.registrar.round().await;
    }

    /// The retry or dead-letter topic of a group, created if it is missing, with the mark of a client in unit mode.
    pub(crate) fn create_group_topic(
        &self,
        name: &str,
        queues: i32,
        unit_mode: bool,
    ) -> Result<Option<Arc<Topic>>, Refusal> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(Some(topic));
        }
        let mut config = topic::config(name, queues, perm::READ | perm::WRITE);
        config.topic_sys_flag = topic::unit_flag(name, unit_mode);
        let topic = self.topics.create_missing(config, self.env.clock.wall_ms())?;
        self.announce();
        Ok(topic)
    }

    /// Has the tables written and the name servers told, without waiting for either.
    pub(crate) fn announce(&self) {
        self.persister.poke();
        self.registrar.poke();
    }

    /// Resolves when the tables are written, or could not be, and the name servers know the topics, as far as they
    /// can be reached.
    pub(crate) fn announced(&self) -> impl Future<Output = Result<(), Refusal>> + use<> {
        let (written, registered) = (self.persister.round(), self.registrar.round());
        async move {
            let written = written.await;
            registered.await;
            written
        }
    }

    /// Answers success once the tables are written and registered.
    pub(crate) fn answer_when_announced(&self, frame: &Frame<'_>, out: &mut Replies) {
        answer_after(self.announced(), frame, out);
    }

    /// Answers success once the tables are written, whether name servers can be reached or not.
    pub(crate) fn answer_when_written(&self, frame: &Frame<'_>, out: &mut Replies) {
        answer_after(self.persister.round(), frame, out);
    }

    pub(crate) fn take_pass(&self) -> Pass {
        let mut pass = self.passes.lock().pop().unwrap_or_default();
        pass.max_body = self.settings().max_message_bytes;
        pass.started = self.env.clock.mono();
        pass.full = self.env.memory.waiting.check(0).err();
        pass
    }

    /// Counts what is stored now: since the start, for the page of metrics, and over time, for tools.
    pub(crate) fn count_stored(&self, appended: &Appended, arriving: &mut Arriving, now: Duration) {
        arriving.count();
        self.stats.stored(appended, now);
    }

    pub(crate) fn recycle(&self, pass: Pass) {
        let mut passes = self.passes.lock();
        if passes.len() < SPARE_PASSES {
            passes.push(pass);
        }
    }
}

/// Answers how something else ended.
pub(crate) fn answer_after(
    done: impl Future<Output = Result<(), Refusal>> + Send + 'static,
    frame: &Frame<'_>,
    out: &mut Replies,
) {
    let to = (!frame.is_oneway()).then(|| frame.reply_to());
    out.later(Box::pin(async move { reply::outcome(to, done.await.map(|()| Vec::new())) }));
}

/// Who consumes a queue, for the store: it says who loses what before it deletes messages. Delayed delivery
/// consumes too.
fn readers(broker: &Broker) -> Arc<store::Readers> {
    let (offsets, delays) = (Arc::clone(&broker.offsets), Arc::clone(&broker.delays));
    Arc::new(move |topic: &str, queue: u32| {
        let Ok(queue) = i32::try_from(queue) else { return Vec::new() };
        if topic == SCHEDULE_TOPIC {
            let next = delays.next(queue.saturating_add(1));
            return vec![Reader { name: "(delayed delivery)".to_owned(), next }];
        }
        offsets.of_queue(topic, queue)
    })
}

/// What every stored message says about this broker.
fn stamp(settings: &BrokerSettings) -> Bytes {
    let text = format!(
        "MSG_REGION\x01{}\x02TRACE_ON\x01{}\x02CLUSTER\x01{}\x02",
        settings.region, settings.trace_on, settings.cluster
    );
    Bytes::from(text.into_bytes())
}

/// The task that closes connections whose clients have been silent for too long.
async fn expire_clients(broker: Broker, stop: env::Stop) {
    while !stop.is_stopped() {
        tokio::select! {
            () = broker.env.clock.sleep(EXPIRY_SCAN) => {}
            () = stop.stopped() => return,
        }
        let (silent, groups) = broker.clients.expire(broker.env.clock.mono());
        for peer in silent {
            tracing::info!(peer = %peer.remote(), "a client sent no heartbeat for 120 s and is forgotten");
            peer.close();
        }
        client::notify(&broker, groups);
    }
}
