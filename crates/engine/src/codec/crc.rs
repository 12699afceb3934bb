//! CRC-32C (Castagnoli), the checksum at the end of every stored row and block.

use tidemark_model::bug::OrBug;

/// The size of a checksum, in bytes.
pub const CRC_BYTES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrcError {
    TooShort,
    Mismatch,
}

/// Returns the checksum of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// Extends the checksum `crc` of the preceding bytes by `bytes`.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    ::crc32c::crc32c_append(crc, bytes)
}

pub(crate) fn append_crc(out: &mut Vec<u8>, start: usize) {
    let crc = crc32c(out.get(start..).or_bug());
    out.extend(crc.to_le_bytes());
}

pub(crate) fn verify_crc(bytes: &[u8]) -> Result<&[u8], CrcError> {
    let (covered, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(CrcError::TooShort)?;
    if crc32c(covered) == u32::from_le_bytes(*crc) { Ok(covered) } else { Err(CrcError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_matches_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c_append(crc32c(b"1234"), b"56789"), 0xe306_9283);
    }

    #[test]
    fn crc_detects_every_flipped_bit() {
        let mut bytes = b"123456789".to_vec();
        append_crc(&mut bytes, 0);
        assert_eq!(bytes[9..], [0x83, 0x92, 0x06, 0xe3]);
        assert_eq!(verify_crc(&bytes), Ok(&b"123456789"[..]));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify_crc(&bad), Err(CrcError::Mismatch), "bit {bit}");
        }
        assert_eq!(verify_crc(&bytes[..3]), Err(CrcError::TooShort));
        assert_eq!(verify_crc(b"\0\0\0\0"), Ok(&b""[..]));
    }
}
