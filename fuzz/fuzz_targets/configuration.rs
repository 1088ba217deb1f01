//! Arbitrary bytes as a settings file: no panic, no unbounded memory.

#![no_main]

#[path = "../configuration.rs"]
mod configuration;

libfuzzer_sys::fuzz_target!(|data: &[u8]| configuration::configuration(data));
