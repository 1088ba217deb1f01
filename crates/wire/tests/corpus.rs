//! Replays the fuzz corpus of the wire's targets (`fuzz/corpus`).

#![allow(clippy::disallowed_methods, reason = "the corpus is read as files")]
#![allow(unreachable_pub, reason = "these are also modules of the fuzz targets")]

#[path = "../../../fuzz/checks.rs"]
mod checks;
#[path = "../../../fuzz/replay.rs"]
mod replay;

/// No seed, no prefix of one, and no seed with one byte changed makes a check fail.
#[test]
fn corpus_replays() {
    for (name, check) in checks::TARGETS {
        replay::replay(name, check, 200);
    }
}
