//! The KV configuration (100, 101, 102, 219): namespace → key → value, kept in one JSON file.
//!
//! File: `{"configTable":{namespace:{key:value}}}`, as the reference writes it. Each change is on the
//! disk before it is answered: the old file is kept as `.bak`, the new one takes its name atomically.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use env::Disk;
use serde::{Deserialize, Serialize};

use crate::limits;

/// Namespace of the order configuration that route answers and registrations carry.
pub const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    #[serde(rename = "configTable", default)]
    table: Namespaces,
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
}

/// The table and its file.
#[derive(Debug)]
pub struct KvConfig {
    disk: Disk,
    path: PathBuf,
    content: Content,
    size: usize,
}

impl KvConfig {
    /// Reads the file, or the `.bak` file where there is none; starts empty where there is neither.
    ///
    /// # Errors
    /// [`KvError::Io`] and [`KvError::Format`].
    pub fn open(disk: Disk, path: PathBuf) -> Result<KvConfig, KvError> {
        let mut content = Content::default();
        for file in [path.clone(), with_suffix(&path, ".bak")] {
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
            let bytes = read().map_err(|source| KvError::Io {
                action: "read",
                path: file.clone(),
                source,
            })?;
            if let Some(bytes) = bytes {
                content = serde_json::from_slice(&bytes)
                    .map_err(|source| KvError::Format { path: file, source })?;
                break;
            }
        }
        let size = content.table.iter().map(|(ns, keys)| namespace_size(ns, keys)).sum();
        Ok(KvConfig { disk, path, content, size })
    }

    /// The value of a key.
    pub fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.content.table.get(namespace)?.get(key).map(String::as_str)
    }

    /// All keys of a namespace.
    pub fn namespace(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.content.table.get(namespace)
    }

    /// Sets a key and writes the file.
    ///
    /// # Errors
    /// [`KvError::Full`] and [`KvError::Io`]; nothing is changed in memory then.
    pub fn put(&mut self, namespace: &str, key: &str, value: &str) -> Result<(), KvError> {
        let old = self.get(namespace, key).map(str::to_owned);
        if old.as_deref() == Some(value) {
            return Ok(());
        }
        let added = namespace.len() + key.len() + value.len();
        if self.size + added > limits::KV_BYTES {
            return Err(KvError::Full { size: self.size + added, limit: limits::KV_BYTES });
        }
        self.set(namespace, key, Some(value.to_owned()));
        self.write().inspect_err(|_| self.set(namespace, key, old))
    }

    /// Removes a key and writes the file; a missing key is fine.
    ///
    /// # Errors
    /// [`KvError::Io`]; nothing is changed in memory then.
    pub fn delete(&mut self, namespace: &str, key: &str) -> Result<(), KvError> {
        let Some(old) = self.get(namespace, key).map(str::to_owned) else { return Ok(()) };
        self.set(namespace, key, None);
        self.write().inspect_err(|_| self.set(namespace, key, Some(old)))
    }

    fn set(&mut self, namespace: &str, key: &str, value: Option<String>) {
        let keys = self.content.table.entry(namespace.to_owned()).or_default();
        let before = if keys.is_empty() { 0 } else { namespace_size(namespace, keys) };
        match value {
            Some(value) => drop(keys.insert(key.to_owned(), value)),
            None => drop(keys.remove(key)),
        }
        let after = if keys.is_empty() { 0 } else { namespace_size(namespace, keys) };
        if keys.is_empty() {
            self.content.table.remove(namespace);
        }
        self.size = self.size + after - before;
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
    use super::*;

    fn open(dir: &Path) -> KvConfig {
        KvConfig::open(Disk::real(), dir.join("namesrv/kvConfig.json")).unwrap()
    }

    #[test]
    fn changes_survive_a_restart() {
        // Shows that what was put is read back, deleted keys stay away, and an empty namespace vanishes.
        let dir = tempfile::tempdir().unwrap();
        let mut kv = open(dir.path());
        kv.put("N", "a", "1").unwrap();
        kv.put("N", "b", "2").unwrap();
        kv.put("M", "c", "3").unwrap();
        kv.delete("M", "c").unwrap();
        kv.delete("M", "nothing").unwrap();
        kv.put("N", "a", "9").unwrap();
        for kv in [&kv, &open(dir.path())] {
            assert_eq!((kv.get("N", "a"), kv.get("N", "b")), (Some("9"), Some("2")));
            assert_eq!((kv.namespace("M"), kv.size), (None, 5));
        }
    }

    #[test]
    fn the_file_has_the_shape_of_the_reference() {
        // Shows the bytes of the file and that the previous version is kept beside it.
        let dir = tempfile::tempdir().unwrap();
        let mut kv = open(dir.path());
        kv.put("ORDER_TOPIC_CONFIG", "T", "broker-a:4").unwrap();
        kv.put("ORDER_TOPIC_CONFIG", "U", "broker-a:8").unwrap();
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
        assert_eq!(open(dir.path()).get("ORDER_TOPIC_CONFIG", "T"), Some("broker-a:4"));
    }

    #[test]
    fn broken_files_and_oversize_values_are_errors() {
        // Shows that a file that is not JSON stops the start, and that the size limit is enforced.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kv.json");
        let file = Disk::real().create(&path).unwrap();
        file.write_at(b"{oops", 0).unwrap();
        let error = KvConfig::open(Disk::real(), path).unwrap_err();
        assert!(matches!(error, KvError::Format { .. }), "{error}");
        let mut kv = open(dir.path());
        let error = kv.put("N", "k", &"v".repeat(limits::KV_BYTES)).unwrap_err();
        assert!(matches!(error, KvError::Full { .. }), "{error}");
        assert_eq!((kv.get("N", "k"), kv.size), (None, 0));
    }
}
