//! Arbitrary bytes as registrations of brokers, compressed or not: no panic, no unbounded memory.

#![no_main]
#![allow(dead_code, reason = "the checks of the other targets")]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::register(data));
