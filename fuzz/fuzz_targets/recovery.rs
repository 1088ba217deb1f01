//! Arbitrary bytes as files of a store's directory: no panic, no unbounded memory.

#![no_main]

extern crate apogee_wire as wire;

#[path = "../recovery.rs"]
mod recovery;

libfuzzer_sys::fuzz_target!(|data: &[u8]| recovery::recovery(data));
