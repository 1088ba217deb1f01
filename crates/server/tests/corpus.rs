//! Replays the fuzz corpus of settings files (`fuzz/corpus/configuration`).

#![allow(clippy::disallowed_methods, reason = "the corpus is read as files")]
#![allow(unreachable_pub, reason = "these are also modules of the fuzz target")]

#[path = "../../../fuzz/configuration.rs"]
mod configuration;
#[path = "../../../fuzz/replay.rs"]
mod replay;

/// No seed, no prefix of one, and no seed with one byte changed makes the check fail.
#[test]
fn corpus_replays() {
    replay::replay("configuration", configuration::configuration, 200);
}
