//! Parses any bytes as a body. The parser must not panic or hang, and must pass the checks that
//! `npm test` runs on mutated lines.

#![no_main]

#[path = "../../tests/it/line_protocol/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    oracle::check(body);
});
