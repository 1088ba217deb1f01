//! The name server as a [`Call`]: one request, one handler, one answer.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use env::Env;
use env::settings::Settings;
use parking_lot::RwLock;
use wire::call::{Call, Replies};
use wire::codes::NamesrvRequest as Request;
use wire::{Frame, FrameError, Frames, Peer};

use crate::expire;
use crate::handle::{broker, config, kv, route, topic};
use crate::here::{BrokerHere, View};
use crate::kv::{KvConfig, KvError};
use crate::limits;
use crate::reply::{Answer, Refused};
use crate::routes::{Gone, Routes, Rules};
use crate::settings::NamesrvSettings;

/// A name server. Clones are the same one.
#[derive(Clone)]
pub struct Namesrv(Arc<Inner>);

struct Inner {
    env: Env,
    started: Duration,
    settings: RwLock<Arc<NamesrvSettings>>,
    routes: RwLock<Routes>,
    kv: KvConfig,
    here: OnceLock<BrokerHere>,
}

impl Namesrv {
    /// Reads the KV configuration (in `home` unless the settings say where) and starts to watch for
    /// silent brokers, in a task of `env`.
    ///
    /// # Errors
    /// When the KV configuration cannot be read.
    pub fn start(env: Env, settings: NamesrvSettings, home: &Path) -> Result<Namesrv, KvError> {
        let path = match settings.kv_config_path.as_str() {
            "" => home.join("kvConfig.json"),
            path => path.into(),
        };
        let namesrv = Namesrv(Arc::new(Inner {
            started: env.clock.mono(),
            routes: RwLock::new(Routes::new(rules(&settings))),
            kv: KvConfig::open(&env, path)?,
            settings: RwLock::new(Arc::new(settings)),
            here: OnceLock::new(),
            env,
        }));
        let tasks = &namesrv.0.env.tasks;
        tasks.spawn("namesrv-expire", expire::run(namesrv.clone(), tasks.stop_token()));
        Ok(namesrv)
    }

    /// Tells of the broker in this process, whose address clients are told as it suits them. Only the first call
    /// counts: a process has one broker.
    pub fn set_broker_here(&self, broker: BrokerHere) {
        let _ = self.0.here.set(broker);
    }

    /// How answers to a client are changed; `None`: not at all.
    pub(crate) fn view(&self, peer: &Peer) -> Option<View> {
        self.0.here.get()?.view(peer)
    }

    pub(crate) fn env(&self) -> &Env {
        &self.0.env
    }

    pub(crate) fn settings(&self) -> Arc<NamesrvSettings> {
        self.0.settings.read().clone()
    }

    /// Changes settings: all of them, or none when one is refused.
    pub(crate) fn update_settings(&self, pairs: &[(String, String)]) -> Result<(), Refused> {
        let mut held = self.0.settings.write();
        let mut settings = NamesrvSettings::clone(&held);
        for (key, value) in pairs {
            settings.update(key, value)?;
        }
        self.0.routes.write().set_rules(rules(&settings));
        *held = Arc::new(settings);
        Ok(())
    }

    pub(crate) fn routes(&self) -> &RwLock<Routes> {
        &self.0.routes
    }

    pub(crate) fn kv(&self) -> &KvConfig {
        &self.0.kv
    }

    /// Time since the start.
    pub(crate) fn age(&self) -> Duration {
        self.0.env.clock.mono().saturating_sub(self.0.started)
    }

    /// Takes brokers that fell silent out of the routes.
    pub(crate) fn expire(&self) {
        let now = self.0.env.clock.mono();
        for gone in self.0.routes.write().expire(now) {
            let Gone { broker, id, addr, .. } = gone;
            tracing::warn!(%broker, id, %addr, "broker fell silent and is out of the routes");
        }
    }

    fn answer(&self, peer: &Arc<Peer>, frame: &Frame<'_>) -> Result<Answer, Refused> {
        match Request::decode(frame)? {
            Request::RegisterBroker(h) => broker::register(self, peer, frame, &h),
            Request::UnregisterBroker(h) => broker::unregister(self, &h),
            Request::QueryDataVersion(h) => broker::query_version(self, frame, &h),
            Request::BrokerHeartbeat(h) => broker::heartbeat(self, &h),
            Request::GetRouteinfoByTopic(h) => route::by_topic(self, peer, frame, &h),
            Request::GetBrokerClusterInfo(_) => route::cluster_info(self, peer),
            Request::GetBrokerMemberGroup(h) => route::member_group(self, peer, &h),
            Request::GetAllTopicListFromNameserver(_) => topic::list_all(self),
            Request::GetTopicsByCluster(h) => topic::list_by_cluster(self, &h),
            Request::GetSystemTopicListFromNs(_) => topic::list_system(self),
            Request::GetUnitTopicList(_) => topic::list_unit(self),
            Request::GetHasUnitSubTopicList(_) => topic::list_unit_subscribed(self),
            Request::GetHasUnitSubUnunitTopicList(_) => topic::list_unit_subscribed_only(self),
            Request::DeleteTopicInNamesrv(h) => topic::delete(self, &h),
            Request::RegisterTopicInNamesrv(h) => topic::register(self, frame, &h),
            Request::WipeWritePermOfBroker(h) => topic::wipe_write(self, &h),
            Request::AddWritePermOfBroker(h) => topic::add_write(self, &h),
            Request::PutKvConfig(h) => kv::put(self, &h),
            Request::GetKvConfig(h) => kv::get(self, &h),
            Request::DeleteKvConfig(h) => kv::delete(self, &h),
            Request::GetKvlistByNamespace(h) => kv::list(self, &h),
            Request::UpdateNamesrvConfig(_) => config::update(self, frame),
            Request::GetNamesrvConfig(_) => config::get(self),
        }
    }
}

impl Call for Namesrv {
    fn call_batch(
        &self,
        peer: &Arc<Peer>,
        frames: &mut Frames<'_>,
        out: &mut Replies,
    ) -> Result<(), FrameError> {
        while out.len() < limits::ANSWER_BYTES
            && let Some(frame) = frames.next()?
        {
            if peer.accept(&frame) {
                continue;
            }
            let answer = self.answer(peer, &frame);
            match answer {
                _ if frame.is_oneway() => {}
                Ok(answer) => answer.write(&frame, out),
                Err(refused) => refused.write(&frame, out),
            }
        }
        Ok(())
    }

    fn disconnected(&self, peer: &Arc<Peer>) {
        if !self.0.routes.read().knows_peer(peer.id()) {
            return;
        }
        for gone in self.0.routes.write().disconnected(peer.id()) {
            let Gone { broker, id, addr, .. } = gone;
            tracing::info!(%broker, id, %addr, "broker's connection ended, it is out of the routes");
        }
    }
}

fn rules(settings: &NamesrvSettings) -> Rules {
    Rules { acting_master: settings.acting_master, delete_missing: settings.delete_missing_topics }
}
