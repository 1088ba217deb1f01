//! Runs named cases with cargo's usual output, and says loudly what could not be run.
//!
//! Test files that use it have `harness = false`: their servers are shared by all cases, start
//! with the first that needs them and must end with the last, which the built-in harness has no
//! place for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Result, anyhow};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tempfile::TempDir;

use crate::java::Settings;
use crate::peer::{Cluster, Peer};

/// The cases of one test file.
#[derive(Default)]
pub struct Cases {
    /// How many run at a time, unless the command line says it.
    at_once: Option<usize>,
    trials: Vec<Trial>,
    skipped: Arc<Mutex<Vec<String>>>,
    watched: Vec<Arc<Shared>>,
}

impl Cases {
    /// Runs that many cases at a time; by default as many as there are processors.
    pub fn at_once(count: usize) -> Self {
        Self { at_once: Some(count), ..Self::default() }
    }

    /// Adds a case; with a reason in `missing` it is not run but counted as skipped.
    pub fn add(
        &mut self,
        name: String,
        missing: Option<String>,
        case: impl FnOnce() -> Result<()> + Send + 'static,
    ) {
        let skipped = Arc::clone(&self.skipped);
        self.trials.push(Trial::ignorable_test(name, move || {
            if let Some(reason) = missing {
                let mut skipped = skipped.lock().unwrap_or_else(PoisonError::into_inner);
                skipped.push(reason.clone());
                return Ok(Completion::ignored_with(reason));
            }
            case().map_err(|error| Failed::from(format!("{error:#}")))?;
            Ok(Completion::Completed)
        }));
    }

    /// Checks the log of this cluster after the last case.
    pub fn watch(&mut self, shared: &Arc<Shared>) {
        self.watched.push(Arc::clone(shared));
    }

    /// Runs the cases that the command line selects.
    #[expect(clippy::print_stdout, reason = "the report of a test program")]
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        arguments.test_threads = arguments.test_threads.or(self.at_once);
        let conclusion = libtest_mimic::run(&arguments, self.trials);
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        let reasons: BTreeSet<&String> = skipped.iter().collect();
        for reason in reasons {
            let count = skipped.iter().filter(|other| *other == reason).count();
            println!("SKIPPED {count} cases: {reason}");
        }
        let mut code = conclusion.exit_code();
        for shared in self.watched {
            if let Err(error) = shared.check_log() {
                println!("FAILED {} server: {error:#}", shared.peer);
                code = ExitCode::FAILURE;
            }
        }
        code
    }
}

/// Says what a case counted, for the report of `cargo xtask prove`.
#[expect(clippy::print_stdout, reason = "the report of a test program")]
pub fn counted(what: String) {
    println!("counted: {what}");
}

/// A cluster that starts with the first case that asks for it and ends when this is dropped.
pub struct Shared {
    peer: Peer,
    settings: Settings,
    started: OnceLock<Result<Mutex<Cluster>, String>>,
    alone: Mutex<()>,
    /// Last: the servers have ended when it is deleted.
    dir: TempDir,
}

impl Shared {
    /// Nothing runs yet.
    pub fn new(peer: Peer, settings: &[(&str, &str)]) -> Result<Self> {
        let settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        Ok(Self {
            peer,
            settings: settings.collect(),
            started: OnceLock::new(),
            alone: Mutex::new(()),
            dir: tempfile::tempdir()?,
        })
    }

    /// Who serves.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The cluster, for one case at a time. Cases that only need its addresses let go at once.
    pub fn cluster(&self) -> Result<MutexGuard<'_, Cluster>> {
        let started = self.started.get_or_init(|| {
            let dir = self.dir.path().join("cluster");
            Cluster::start(self.peer, &dir, &self.settings)
                .map(Mutex::new)
                .map_err(|error| format!("{error:#}"))
        });
        match started {
            Ok(cluster) => Ok(cluster.lock().unwrap_or_else(PoisonError::into_inner)),
            Err(error) => Err(anyhow!("the {} cluster did not start: {error}", self.peer)),
        }
    }

    fn check_log(&self) -> Result<()> {
        match self.started.get() {
            Some(Ok(cluster)) => cluster.lock().unwrap_or_else(PoisonError::into_inner).check_log(),
            _ => Ok(()),
        }
    }

    /// Held by a case that ends the servers, so that no other such case runs beside it.
    pub fn alone(&self) -> MutexGuard<'_, ()> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fresh directory of a case, inside this cluster's.
    pub fn case_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}
