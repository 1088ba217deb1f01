//! Replays the fuzz corpus of recovery (`fuzz/corpus/recovery`).

#![allow(clippy::disallowed_methods, reason = "the corpus is read as files")]
#![allow(unreachable_pub, reason = "these are also modules of the fuzz target")]

#[path = "../../../fuzz/recovery.rs"]
mod recovery;
#[path = "../../../fuzz/replay.rs"]
mod replay;

/// No seed, no prefix of one, and no seed with one byte changed makes the check fail.
#[test]
fn corpus_replays() {
    replay::replay("recovery", recovery::recovery, 20);
}
