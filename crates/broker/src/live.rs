//! The settings of a running broker: read at every use, changed by request (25), and written to the file that they
//! came from.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use env::settings::{Change, Problem, Row, Settings, SettingsFile};
use parking_lot::Mutex;
use store::{Store, StoreSettings};
use wire::body::DataVersion;

use crate::settings::BrokerSettings;
use crate::topic::bump;

/// Keys of the reference that name where its own files are: never to be changed from outside.
const PATHS: [&str; 3] = ["brokerConfigPath", "configBlackList", "rocketmqHome"];

/// The broker's settings and what becomes of their changes. Those of the store are the store's; they change here too.
pub(crate) struct LiveSettings {
    current: ArcSwap<BrokerSettings>,
    file: Option<SettingsFile>,
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    version: DataVersion,
    /// What the file does not have yet.
    unsaved: Vec<Change>,
}

/// Why settings are not changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChangeError {
    /// A key that no request may change.
    #[error("Can not update config in black list.")]
    Protected,
    /// A key of RocketMQ that has no meaning here.
    #[error("{0} has no effect here, so that it is not changed")]
    NoEffect(String),
    /// An unknown key, a bad value, or a key that cannot change while running.
    #[error("{0}")]
    Setting(#[from] Problem),
}

impl LiveSettings {
    pub(crate) fn new(settings: BrokerSettings, file: Option<SettingsFile>) -> LiveSettings {
        LiveSettings { current: ArcSwap::from_pointee(settings), file, changes: Mutex::default() }
    }

    pub(crate) fn get(&self) -> Guard<Arc<BrokerSettings>> {
        self.current.load()
    }

    /// The settings, to be kept over a wait.
    pub(crate) fn owned(&self) -> Arc<BrokerSettings> {
        self.current.load_full()
    }

    /// The settings of broker and store as `key=value` lines, and how often they were changed.
    pub(crate) fn text(&self, store: &Store) -> (String, DataVersion) {
        let version = self.changes.lock().version;
        let (broker, store) = (self.get(), store.live_settings());
        let lines = broker.entries().chain(store.entries());
        (lines.map(|(key, value)| format!("{key}={value}\n")).collect(), version)
    }

    /// Takes over `pairs`, all or none, and returns the settings before them.
    pub(crate) fn change(
        &self,
        store: &Store,
        pairs: &[(String, String)],
        now_ms: i64,
    ) -> Result<Arc<BrokerSettings>, ChangeError> {
        let mut changes = self.changes.lock();
        let before = self.current.load_full();
        let (mut broker, mut of_store) = ((*before).clone(), (*store.live_settings()).clone());
        let mut unsaved = Vec::new();
        for (key, value) in pairs {
            let listed = before.protected_keys.split(';').any(|listed| listed.trim() == key);
            if listed || PATHS.contains(&key.as_str()) {
                return Err(ChangeError::Protected);
            }
            if let Some(row) = BrokerSettings::row(key) {
                unsaved.extend(set(&mut broker, row, value)?);
            } else if let Some(row) = StoreSettings::row(key) {
                unsaved.extend(set(&mut of_store, row, value)?);
            } else {
                return Err(unknown(key));
            }
        }
        if !unsaved.is_empty() {
            bump(&mut changes.version, now_ms);
            self.current.store(Arc::new(broker));
            store.change_settings(of_store);
            changes.unsaved.extend(unsaved);
        }
        Ok(before)
    }

    /// Writes what changed to the settings file. What cannot be written is in effect until the next start only.
    pub(crate) fn save(&self) {
        let unsaved = std::mem::take(&mut self.changes.lock().unsaved);
        if unsaved.is_empty() {
            return;
        }
        let Some(file) = &self.file else {
            tracing::info!("there is no settings file: the change lasts until the next start");
            return;
        };
        if let Err(error) = file.set(&unsaved) {
            tracing::warn!(%error, "the settings file cannot be written: the change lasts until the next start");
        }
    }
}

/// Sets one setting; a change, if the value is another one. A value that is in effect may be any setting's.
fn set<S: Settings>(
    settings: &mut S,
    row: &'static Row<S>,
    value: &str,
) -> Result<Option<Change>, Problem> {
    let mut wanted = settings.clone();
    let is_set = (row.set)(&mut wanted, value).is_ok();
    if is_set && (row.get)(&wanted) == (row.get)(settings) {
        return Ok(None);
    }
    settings.update(row.key, value)?;
    let value = (row.get)(settings);
    Ok(Some(Change { section: S::SECTION, key: row.key, field: row.field, value }))
}

fn unknown(key: &str) -> ChangeError {
    if env::settings::java::all().any(|java| java.key == key) {
        return ChangeError::NoEffect(key.to_owned());
    }
    let ours = BrokerSettings::ROWS.iter().map(|row| row.key);
    Problem::unknown(key, ours.chain(StoreSettings::ROWS.iter().map(|row| row.key))).into()
}
