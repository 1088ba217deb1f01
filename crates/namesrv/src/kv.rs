//! The KV configuration (100, 101, 102, 219): namespace → key → value, kept in one JSON file.
//!
//! File: `{"configTable":{namespace:{key:value}}}`, as the reference writes it. Each change is on the
//! disk before it is answered: the old file is kept as `.bak`, the new one takes its name atomically.
//! One thread makes the changes, in the order in which they come; what is read is in memory, and waits
//! for no disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{Disk, Env, Stop};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;

use crate::limits;

/// Namespace of the order configuration that route answers and registrations carry.
pub const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

/// What the file holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Content {
    #[serde(rename = "configTable", default)]
    table: BTreeMap<String, BTreeMap<String, String>>,
    /// Bytes of all keys and values.
    #[serde(skip)]
    size: usize,
}

/// Why the KV configuration could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The file cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The file is not what [`KvConfig`] writes.
    #[error("{path} is not a KV configuration: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Where it deviates.
        source: serde_json::Error,
    },
    /// The change would exceed [`limits::KV_BYTES`].
    #[error("the KV configuration would have {size} bytes, the limit is {limit}")]
    Full {
        /// Bytes of all keys and values after the change.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many changes wait for the disk.
    #[error("{0} changes of the KV configuration wait for the disk, no more are accepted")]
    Busy(usize),
    /// The name server stops.
    #[error("the name server stops")]
    Stopped,
}

/// A change that waits for its turn; without a value, the key goes.
struct Change {
    namespace: String,
    key: String,
    value: Option<String>,
    done: oneshot::Sender<Result<(), KvError>>,
}

/// The table as it is on the disk, and the way to the thread that changes both.
pub struct KvConfig {
    table: Arc<RwLock<Content>>,
    changes: Sender<Change>,
}

impl KvConfig {
    /// Reads the file, or the `.bak` file where there is none; starts empty where there is neither. The
    /// thread that writes is one of `env`.
    ///
    /// # Errors
    /// [`KvError::Io`] and [`KvError::Format`].
    pub fn open(env: &Env, path: PathBuf) -> Result<KvConfig, KvError> {
        let content = read(&env.disk, &path)?;
        let table = Arc::new(RwLock::new(content.clone()));
        let writer = Writer { disk: env.disk.clone(), path, content, table: Arc::clone(&table) };
        let (changes, waiting) = mpsc::channel(limits::KV_CHANGES);
        env.tasks.thread("namesrv-kv", move |stop| writer.run(waiting, &stop));
        Ok(KvConfig { table, changes })
    }

    /// The value of a key.
    pub fn get(&self, namespace: &str, key: &str) -> Option<String> {
        self.table.read().get(namespace, key).map(str::to_owned)
    }

    /// All keys of a namespace.
    pub fn namespace(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        self.table.read().table.get(namespace).cloned()
    }

    /// Has a key set; resolves when the file has it and it can be read.
    ///
    /// # Errors
    /// All of [`KvError`] but [`KvError::Format`]; nothing is changed in memory then.
    pub fn put(
        &self,
        namespace: &str,
        key: &str,
        value: &str,
    ) -> impl Future<Output = Result<(), KvError>> + use<> {
        self.change(namespace, key, Some(value))
    }

    /// Has a key removed, as [`KvConfig::put`]; a missing key is fine.
    pub fn delete(
        &self,
        namespace: &str,
        key: &str,
    ) -> impl Future<Output = Result<(), KvError>> + use<> {
        self.change(namespace, key, None)
    }

    /// Queues a change at once, whenever the future is polled.
    fn change(
        &self,
        namespace: &str,
        key: &str,
        value: Option<&str>,
    ) -> impl Future<Output = Result<(), KvError>> + use<> {
        let (done, outcome) = oneshot::channel();
        let change = Change {
            namespace: namespace.to_owned(),
            key: key.to_owned(),
            value: value.map(str::to_owned),
            done,
        };
        let queued = self.changes.try_send(change).map_err(|error| match error {
            TrySendError::Full(_) => KvError::Busy(limits::KV_CHANGES),
            TrySendError::Closed(_) => KvError::Stopped,
        });
        async move {
            queued?;
            outcome.await.unwrap_or(Err(KvError::Stopped))
        }
    }
}

/// What the thread works with.
struct Writer {
    disk: Disk,
    path: PathBuf,
    /// Its own copy, which is ahead of the table while it is written.
    content: Content,
    table: Arc<RwLock<Content>>,
}

impl Writer {
    /// Makes changes until there can be no more.
    fn run(mut self, mut waiting: Receiver<Change>, stop: &Stop) {
        while let Some(Some(change)) = stop.block_on(waiting.recv()) {
            let outcome = self.make(&change);
            // Whoever asked may be gone.
            let _ = change.done.send(outcome);
        }
    }

    fn make(&mut self, change: &Change) -> Result<(), KvError> {
        let Change { namespace, key, value, .. } = change;
        let old = self.content.get(namespace, key).map(str::to_owned);
        if old == *value {
            return Ok(());
        }
        if let Some(value) = value {
            let size = self.content.size + namespace.len() + key.len() + value.len();
            if size > limits::KV_BYTES {
                return Err(KvError::Full { size, limit: limits::KV_BYTES });
            }
        }
        self.content.set(namespace, key, value.clone());
        if let Err(error) = self.write() {
            self.content.set(namespace, key, old);
            return Err(error);
        }
        self.table.write().set(namespace, key, value.clone());
        Ok(())
    }

    fn write(&self) -> Result<(), KvError> {
        let write = || {
            let bytes = serde_json::to_vec(&self.content)?;
            let dir = self.path.parent().unwrap_or(Path::new("."));
            self.disk.create_dir_all(dir)?;
            let temporary = with_suffix(&self.path, ".tmp");
            let file = self.disk.create(&temporary)?;
            file.set_len(0)?;
            file.write_at(&bytes, 0)?;
            file.sync_data()?;
            if self.disk.exists(&self.path)? {
                self.disk.rename(&self.path, &with_suffix(&self.path, ".bak"))?;
            }
            self.disk.rename(&temporary, &self.path)?;
            self.disk.sync_dir(dir)
        };
        write().map_err(|source| KvError::Io { action: "write", path: self.path.clone(), source })
    }
}

impl Content {
    fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.table.get(namespace)?.get(key).map(String::as_str)
    }

    fn set(&mut self, namespace: &str, key: &str, value: Option<String>) {
        let keys = self.table.entry(namespace.to_owned()).or_default();
        let before = if keys.is_empty() { 0 } else { namespace_size(namespace, keys) };
        match value {
            Some(value) => drop(keys.insert(key.to_owned(), value)),
            None => drop(keys.remove(key)),
        }
        let after = if keys.is_empty() { 0 } else { namespace_size(namespace, keys) };
        if keys.is_empty() {
            self.table.remove(namespace);
        }
        self.size = self.size + after - before;
    }
}

/// Reads the file, or the one before.
fn read(disk: &Disk, path: &Path) -> Result<Content, KvError> {
    for file in [path.to_owned(), with_suffix(path, ".bak")] {
        let read = || {
            if !disk.exists(&file)? {
                return Ok(None);
            }
            let open = disk.open(&file)?;
            let len = usize::try_from(open.len()?).unwrap_or(usize::MAX);
            if len > 2 * limits::KV_BYTES {
                return Err(io::Error::other(format!("it has {len} bytes")));
            }
            let mut bytes = vec![0; len];
            open.read_exact_at(&mut bytes, 0)?;
            Ok(Some(bytes))
        };
        let bytes =
            read().map_err(|source| KvError::Io { action: "read", path: file.clone(), source })?;
        if let Some(bytes) = bytes {
            let mut content: Content = serde_json::from_slice(&bytes)
                .map_err(|source| KvError::Format { path: file, source })?;
            content.size = content.table.iter().map(|(ns, keys)| namespace_size(ns, keys)).sum();
            return Ok(content);
        }
    }
    Ok(Content::default())
}

fn namespace_size(namespace: &str, keys: &BTreeMap<String, String>) -> usize {
    namespace.len() + keys.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn open(dir: &Path) -> KvConfig {
        KvConfig::open(&Env::real(), dir.join("namesrv/kvConfig.json")).unwrap()
    }

    #[tokio::test]
    async fn changes_survive_a_restart() {
        // Shows that what was put is read back, deleted keys stay away, and an empty namespace vanishes.
        let dir = tempfile::tempdir().unwrap();
        let kv = open(dir.path());
        kv.put("N", "a", "1").await.unwrap();
        kv.put("N", "b", "2").await.unwrap();
        kv.put("M", "c", "3").await.unwrap();
        kv.delete("M", "c").await.unwrap();
        kv.delete("M", "nothing").await.unwrap();
        kv.put("N", "a", "9").await.unwrap();
        for kv in [&kv, &open(dir.path())] {
            assert_eq!((kv.get("N", "a"), kv.get("N", "b")), (Some("9".into()), Some("2".into())));
            assert_eq!((kv.namespace("M"), kv.table.read().size), (None, 5));
        }
    }

    #[tokio::test]
    async fn the_file_has_the_shape_of_the_reference() {
        // Shows the bytes of the file and that the previous version is kept beside it.
        let dir = tempfile::tempdir().unwrap();
        let kv = open(dir.path());
        kv.put("ORDER_TOPIC_CONFIG", "T", "broker-a:4").await.unwrap();
        kv.put("ORDER_TOPIC_CONFIG", "U", "broker-a:8").await.unwrap();
        let read = |name: &str| {
            let file = Disk::real().open(&dir.path().join("namesrv").join(name)).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let one = r#"{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"broker-a:4"}}}"#;
        let two = r#"{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"broker-a:4","U":"broker-a:8"}}}"#;
        assert_eq!(read("kvConfig.json"), two);
        assert_eq!(read("kvConfig.json.bak"), one);
        Disk::real().remove(&dir.path().join("namesrv/kvConfig.json")).unwrap();
        assert_eq!(open(dir.path()).get("ORDER_TOPIC_CONFIG", "T").unwrap(), "broker-a:4");
    }

    #[tokio::test]
    async fn broken_files_and_oversize_values_are_errors() {
        // Shows that a file that is not JSON stops the start, and that the size limit is enforced.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kv.json");
        let file = Disk::real().create(&path).unwrap();
        file.write_at(b"{oops", 0).unwrap();
        let error = KvConfig::open(&Env::real(), path).err().unwrap();
        assert!(matches!(error, KvError::Format { .. }), "{error}");
        let kv = open(dir.path());
        let error = kv.put("N", "k", &"v".repeat(limits::KV_BYTES)).await.unwrap_err();
        assert!(matches!(error, KvError::Full { .. }), "{error}");
        assert_eq!((kv.get("N", "k"), kv.table.read().size), (None, 0));
    }

    #[tokio::test]
    async fn changes_keep_their_order_and_show_once_they_are_written() {
        // Shows that changes are made in the order of the calls, awaited or not, and that one which cannot be
        // written is not made, nor in the way of the next.
        let dir = tempfile::tempdir().unwrap();
        let kv = open(dir.path());
        let changes: Vec<_> = (0..9).map(|i| kv.put("N", "k", &i.to_string())).collect();
        drop(kv.delete("N", "k"));
        for change in changes {
            change.await.unwrap();
        }
        kv.put("N", "other", "1").await.unwrap();
        assert_eq!(kv.get("N", "k"), None);

        let place = dir.path().join("namesrv");
        let aside = dir.path().join("aside");
        let disk = Disk::real();
        disk.rename(&place, &aside).unwrap();
        disk.create(&place).unwrap();
        let error = kv.put("N", "other", "2").await.unwrap_err();
        assert!(matches!(error, KvError::Io { action: "write", .. }), "{error}");
        assert_eq!(kv.get("N", "other").unwrap(), "1");
        disk.remove(&place).unwrap();
        disk.rename(&aside, &place).unwrap();
        kv.put("N", "k", "3").await.unwrap();
        let again = open(dir.path());
        assert_eq!(
            (again.get("N", "other").unwrap(), again.get("N", "k").unwrap()),
            ("1".into(), "3".into())
        );
    }

    #[tokio::test]
    async fn what_waits_is_made_before_the_end() {
        // Shows that changes that wait when the process stops are still written, and that later ones are refused.
        let dir = tempfile::tempdir().unwrap();
        let env = Env::real();
        let kv = KvConfig::open(&env, dir.path().join("kv.json")).unwrap();
        let change = kv.put("N", "k", "1");
        assert_eq!(env.tasks.shutdown(Duration::from_secs(10)).await, Vec::<&str>::new());
        change.await.unwrap();
        assert!(matches!(kv.put("N", "k", "2").await, Err(KvError::Stopped)));
    }
}
