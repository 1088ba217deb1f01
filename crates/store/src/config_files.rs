//! The JSON files under `config/`, replaced atomically, with the previous version as `.bak`.
//!
//! At every moment the file or its `.bak` is whole: the new content is written and synced under
//! `apogee/`, the old file becomes the `.bak`, and the new one takes its name. The reference takes a
//! corrupt file without `.bak` for an empty one, which loses every topic and offset silently: here it is
//! an error (store format §16.0, §22).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use env::Disk;
use parking_lot::Mutex;

/// The directory `config/` of a store. Clones are the same.
#[derive(Debug, Clone)]
pub struct ConfigFiles {
    disk: Disk,
    dir: PathBuf,
    work: PathBuf,
    /// One write at a time.
    writing: Arc<Mutex<()>>,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The disk failed.
    #[error("cannot use {path}: {error}")]
    Io {
        /// File.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Neither the file nor its `.bak` can be read as what it should be.
    #[error(
        "{path} and its .bak are both corrupt or missing ({problem}): restore one of them, or remove both to start with nothing"
    )]
    Corrupt {
        /// File.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl ConfigFiles {
    pub(crate) fn new(disk: Disk, root: &std::path::Path) -> ConfigFiles {
        let (dir, work) = (root.join("config"), root.join("apogee"));
        ConfigFiles { disk, dir, work, writing: Arc::default() }
    }

    /// Reads `config/<name>` with `parse`, or its `.bak` where the file is missing, empty or cannot be
    /// parsed. `None` when there is neither.
    ///
    /// # Errors
    /// When there is a file, but none that `parse` takes.
    pub fn read<T>(
        &self,
        name: &str,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let path = self.dir.join(name);
        let mut problem = None;
        for candidate in [path.clone(), self.dir.join(format!("{name}.bak"))] {
            let content = match self.load(&candidate) {
                Ok(content) => content,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(ConfigError::Io { path: candidate, error }),
            };
            let parsed =
                if content.is_empty() { Err("it is empty".into()) } else { parse(&content) };
            match parsed {
                Ok(value) => {
                    if let Some(problem) = problem {
                        tracing::warn!(file = %path.display(), %problem, "using the .bak of a corrupt file");
                    }
                    return Ok(Some(value));
                }
                Err(wrong) => problem = problem.or(Some(wrong)),
            }
        }
        problem.map_or(Ok(None), |problem| Err(ConfigError::Corrupt { path, problem }))
    }

    /// Replaces `config/<name>`; durable when it returns.
    ///
    /// # Errors
    /// When the disk fails; the old content is then still there, in the file or its `.bak`.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), ConfigError> {
        let _one = self.writing.lock();
        let path = self.dir.join(name);
        self.replace(name, content).map_err(|error| ConfigError::Io { path, error })
    }

    fn load(&self, path: &std::path::Path) -> io::Result<Vec<u8>> {
        let file = self.disk.open(path)?;
        let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut content = vec![0; len];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.disk.create_dir_all(&self.dir)?;
        self.disk.create_dir_all(&self.work)?;
        let (path, new) = (self.dir.join(name), self.work.join(format!("{name}.new")));
        let file = self.disk.create(&new)?;
        file.set_len(content.len() as u64)?;
        file.write_at(content, 0)?;
        file.sync_data()?;
        match self.disk.rename(&path, &self.dir.join(format!("{name}.bak"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.disk.sync_dir(&self.dir)?;
        self.disk.rename(&new, &path)?;
        self.disk.sync_dir(&self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<String, String> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if text.starts_with('{') { Ok(text) } else { Err(format!("not an object: {text}")) }
    }

    /// Store-format check 15: writing twice leaves the former content as `.bak`; a corrupt file falls back to it; with both
    /// corrupt, reading fails; with neither, there is nothing.
    #[test]
    fn falls_back_and_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::real();
        let files = ConfigFiles::new(disk.clone(), dir.path());
        assert_eq!(files.read("topics.json", text).unwrap(), None);
        files.write("topics.json", b"{1}").unwrap();
        files.write("topics.json", b"{2}").unwrap();
        assert_eq!(files.read("topics.json", text).unwrap().as_deref(), Some("{2}"));
        let path = dir.path().join("config/topics.json");
        disk.open(&path).unwrap().set_len(0).unwrap();
        assert_eq!(files.read("topics.json", text).unwrap().as_deref(), Some("{1}"));
        disk.open(&path.with_extension("json.bak")).unwrap().write_at(b"x", 0).unwrap();
        assert!(matches!(files.read("topics.json", text), Err(ConfigError::Corrupt { .. })));
    }
}
