//! Decodes arbitrary bytes as an OTLP request, in JSON or protobuf.

#![no_main]

#[path = "../../tests/it/metric_protocols/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    oracle::check_otlp(bytes);
});
