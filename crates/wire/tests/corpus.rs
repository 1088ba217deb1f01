//! Replays the fuzz corpus (`fuzz/corpus`), and every seed cut and damaged, on the stable compiler.

#![allow(clippy::disallowed_methods, reason = "the corpus is read as files")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

#[path = "../../../fuzz/checks.rs"]
#[allow(unreachable_pub, reason = "also a module of each fuzz target")]
mod checks;

/// No seed, no prefix of one, and no seed with one byte changed makes a check fail.
#[test]
fn corpus_replays() {
    for (name, check) in checks::TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let mut seeds = 0;
        for entry in std::fs::read_dir(&directory).unwrap() {
            let seed = std::fs::read(entry.unwrap().path()).unwrap();
            seeds += 1;
            check(&seed);
            // Long seeds are sampled, so that the test stays under a second or so.
            let step = seed.len() / 200 + 1;
            for at in (0..seed.len()).step_by(step) {
                check(&seed[..at]);
                for change in [0x01, 0x7F, 0x80, 0xFF] {
                    let mut damaged = seed.clone();
                    damaged[at] ^= change;
                    check(&damaged);
                }
            }
        }
        assert!(seeds > 0, "no seeds for {name}");
    }
}
