//! Replays the fuzz corpus of settings files (`fuzz/corpus/configuration`) and of requests to both roles
//! (`fuzz/corpus/requests`).

#![allow(clippy::disallowed_methods, reason = "the corpus is read as files")]
#![allow(unreachable_pub, reason = "these are also modules of the fuzz target")]

#[path = "../../../fuzz/configuration.rs"]
mod configuration;
#[path = "../../../fuzz/replay.rs"]
mod replay;
#[path = "../../../fuzz/requests.rs"]
mod requests;

/// No seed, no prefix of one, and no seed with one byte changed makes the check fail.
#[test]
fn corpus_replays() {
    replay::replay("configuration", configuration::configuration, 200);
}

/// No request of the corpus, no prefix of one, and none with one byte changed ends a server or stays
/// without its answer.
#[test]
fn requests_replay() {
    replay::replay("requests", requests::requests, 4);
}
