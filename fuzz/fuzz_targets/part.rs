//! Reads arbitrary bytes as the encoded value of a part. The first two bytes are the length of the
//! head. The reader must neither panic nor hang. The reader must also pass the checks that `npm
//! test` runs on mutated values.

#![no_main]

#[path = "../../tests/it/part/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((length, value)) = bytes.split_first_chunk() {
        oracle::check(usize::from(u16::from_le_bytes(*length)), value);
    }
});
