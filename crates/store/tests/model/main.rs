//! The store against a model, over a disk that loses what was not synced.
//!
//! A history is a random sequence of sends, reads, kills, power cuts and clean ends, with tiny files so
//! that every edge comes up all the time. After each the store must hold what [`oracle`] says: nothing
//! that was answered at its level is lost, queues are dense and keep their order, units agree with
//! records, and what is lost is an end of the log. Opening twice changes nothing.
//!
//! `APOGEE_HISTORIES` says how many (500), `APOGEE_SEED` the seed of the first (0). `APOGEE_FAILING=1` adds
//! disks whose writes, syncs and names fail now and then: after a failed sync the kernel forgets what it
//! did not write; `cargo xtask prove` runs both. Flusher and writers are real threads, so a seed fixes
//! what is asked of the store and what the disk loses of a given state, not how far those threads got.
#![allow(clippy::disallowed_methods, reason = "a test reads its environment and starts threads")]

mod history;
mod oracle;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name);
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

// Any history of sends, reads, kills and power cuts keeps the store's promises: many are tried, each
// from its seed.
#[test]
fn any_history_keeps_the_promises() {
    let (first, count) = (number("APOGEE_SEED", 0), number("APOGEE_HISTORIES", 500));
    let failing = number("APOGEE_FAILING", 0) == 1;
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let run = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| history::run(seed, failing))) {
                failed.store(true, Ordering::Relaxed);
                let switch = if failing { "APOGEE_FAILING=1 " } else { "" };
                eprintln!(
                    "replay: {switch}APOGEE_SEED={seed} APOGEE_HISTORIES=1 cargo test -p apogee-store --test model"
                );
                resume_unwind(panic);
            }
        }
    };
    // A history waits for its threads most of the time.
    let workers = 2 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(run))));
    let disks = if failing { ", failing disks among them" } else { "" };
    println!("counted: {count} histories, seeds {first} to {}{disks}", first + count.max(1) - 1);
}

// Histories that once broke a promise, whatever the threads do.
#[test]
fn remembered_histories_keep_the_promises() {
    // A failed sync, and an opening cut short that wrote its mark over the only durable one.
    history::run(6_302_814, true);
    // A first batch that fills several files of a new log.
    history::run(20_294, false);
}
