//! Small metadata rows to bytes and back: version, content, CRC-32C.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::crc::crc32c;
use crate::codec::metadata;

const VERSION: u8 = 1;

/// The bytes of `value`: version byte, content, checksum of both.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend(metadata::encode(value));
    out.extend(crc32c(&out).to_le_bytes());
    out
}

/// What [`encode`] was given; otherwise why not.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, &'static str> {
    let (covered, crc) = bytes.split_last_chunk::<4>().ok_or("too short")?;
    if crc32c(covered) != u32::from_le_bytes(*crc) {
        return Err("checksum mismatch");
    }
    match covered.split_first() {
        Some((&VERSION, content)) => metadata::decode(content).map_err(|_| "unreadable content"),
        _ => Err("its version is newer than this release"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = encode(&(1_u8, "a"));
        assert_eq!(decode::<(u8, String)>(&bytes), Ok((1, "a".to_owned())));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode::<(u8, String)>(&bad), Err("checksum mismatch"));
        }
        assert_eq!(decode::<u8>(b""), Err("too short"));
    }
}
