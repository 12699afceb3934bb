//! Parses arbitrary bytes as a request body. The parser must neither panic nor hang. The parser
//! must also pass the checks that `npm test` runs on mutated lines.

#![no_main]

#[path = "../../tests/it/line_protocol/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    oracle::check(body);
});
