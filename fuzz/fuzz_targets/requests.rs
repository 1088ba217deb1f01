//! Arbitrary bytes as requests to a broker and a name server: no panic, no unbounded memory.

#![no_main]

extern crate apogee_wire as wire;

#[path = "../requests.rs"]
mod requests;

libfuzzer_sys::fuzz_target!(|data: &[u8]| requests::requests(data));
