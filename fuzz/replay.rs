//! Replays a corpus on the stable compiler, as the tests do.

use std::path::Path;

/// Runs a check over every seed of a target, every seed cut off, and every seed with one byte changed; at
/// `places` places of long ones.
pub fn replay(name: &str, check: impl Fn(&[u8]), places: usize) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut seeds = 0;
    for entry in std::fs::read_dir(&directory).expect("the corpus is part of the repository") {
        let path = entry.expect("it can be listed").path();
        let seed = std::fs::read(path).expect("a seed can be read");
        seeds += 1;
        check(&seed);
        let step = seed.len() / places + 1;
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
