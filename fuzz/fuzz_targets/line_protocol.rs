//! Any bytes as a body: no panic, no hang, and the oracle that `npm test` runs on mutated lines.

#![no_main]

#[path = "../../tests/it/line_protocol/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    oracle::check(body);
});
