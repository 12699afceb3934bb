//! Decodes arbitrary bytes as messages of Prometheus remote write.

#![no_main]

#[path = "../../tests/it/metric_protocols/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    oracle::check_remote_write(bytes);
});
