//! Encodes and decodes the head of a WAL row. The head contains the body's checksum.

use crate::codec::crc::{CRC_BYTES, append_crc, crc32c, crc32c_append, verify_crc};

const VERSION: u8 = 2;
/// The fields are version, sequence, part, parts, decoded_bytes, schema_version, body_bytes and
/// body_crc.
const FIXED_BYTES: usize = 1 + 8 + 4 + 4 + 8 + 8 + 4 + 4;

/// An error in a row of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The head is too short, or its checksum is wrong.
    #[error("the head of the WAL row is damaged")]
    Head,
    /// A newer release wrote the row.
    #[error("the WAL row has version {0}, which this release cannot read")]
    Version(u8),
    /// The body's length or checksum is wrong.
    #[error("the body of the WAL row is damaged")]
    Body,
}

/// The head of a WAL row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The frame's write sequence.
    pub sequence: u64,
    /// The number of this part of the frame, counted from 0.
    pub part: u32,
    /// The number of parts of the frame.
    pub parts: u32,
    /// The memory size of the whole decoded frame, in bytes.
    pub decoded_bytes: u64,
    /// The schema version from which the frame's ids come.
    pub schema_version: u64,
    /// The length of the body, in bytes.
    pub body_bytes: u32,
    body_crc: u32,
    /// The rows, measurements and times that the frame affects. Only part 0 contains them.
    pub touch: Vec<u8>,
}

impl Head {
    /// Creates the head for `body`, which is one part of a frame.
    pub fn new(frame: &super::NewFrame<'_>, part: u32, parts: u32, body: &[u8]) -> Self {
        Self {
            sequence: frame.sequence,
            part,
            parts,
            decoded_bytes: frame.decoded_bytes,
            schema_version: frame.schema_version,
            // A row is smaller than 2 MB (Store::VALUE_BYTES_MAX).
            body_bytes: body.len() as u32,
            body_crc: body_crc(frame.sequence, part, parts, body),
            touch: if part == 0 { frame.touch.to_vec() } else { Vec::new() },
        }
    }

    pub(crate) const fn encoded_bytes(touch: &[u8]) -> usize {
        FIXED_BYTES + touch.len() + CRC_BYTES
    }

    /// Encodes the head.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::encoded_bytes(&self.touch));
        out.push(VERSION);
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.part.to_le_bytes());
        out.extend(self.parts.to_le_bytes());
        out.extend(self.decoded_bytes.to_le_bytes());
        out.extend(self.schema_version.to_le_bytes());
        out.extend(self.body_bytes.to_le_bytes());
        out.extend(self.body_crc.to_le_bytes());
        out.extend(&self.touch);
        append_crc(&mut out, 0);
        out
    }

    /// Decodes a head.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let covered = verify_crc(bytes).map_err(|_| Error::Head)?;
        let (&version, mut rest) = covered.split_first().ok_or(Error::Head)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        Ok(Self {
            sequence: u64::from_le_bytes(take(&mut rest)?),
            part: u32::from_le_bytes(take(&mut rest)?),
            parts: u32::from_le_bytes(take(&mut rest)?),
            decoded_bytes: u64::from_le_bytes(take(&mut rest)?),
            schema_version: u64::from_le_bytes(take(&mut rest)?),
            body_bytes: u32::from_le_bytes(take(&mut rest)?),
            body_crc: u32::from_le_bytes(take(&mut rest)?),
            touch: rest.to_vec(),
        })
    }

    /// Checks the length and checksum of `body` against this head.
    pub fn check(&self, body: &[u8]) -> Result<(), Error> {
        let sound = body.len() as u64 == u64::from(self.body_bytes)
            && body_crc(self.sequence, self.part, self.parts, body) == self.body_crc;
        if sound { Ok(()) } else { Err(Error::Body) }
    }
}

fn body_crc(sequence: u64, part: u32, parts: u32, body: &[u8]) -> u32 {
    let crc = crc32c(&sequence.to_le_bytes());
    let crc = crc32c_append(crc, &part.to_le_bytes());
    let crc = crc32c_append(crc, &parts.to_le_bytes());
    crc32c_append(crc, body)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Error> {
    bytes.split_off(..N).and_then(|taken| taken.as_array()).copied().ok_or(Error::Head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::NewFrame;

    fn head(body: &[u8]) -> Head {
        let frame = NewFrame {
            sequence: 7,
            frame: body,
            touch: b"touch",
            decoded_bytes: 1 << 40,
            schema_version: 9,
        };
        Head::new(&frame, 0, 2, body)
    }

    #[test]
    fn wal_head_round_trips_and_verifies() {
        let head = head(b"body");
        let bytes = head.encode();
        assert_eq!(bytes.len(), Head::encoded_bytes(b"touch"));
        assert_eq!(Head::decode(&bytes), Ok(head));
        for index in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[index / 8] ^= 1 << (index % 8);
            assert_eq!(Head::decode(&bad), Err(Error::Head), "bit {index}");
        }
        for length in 0..bytes.len() {
            assert_eq!(Head::decode(&bytes[..length]), Err(Error::Head));
        }
    }

    #[test]
    fn wal_body_checks_sequence_and_part() {
        let head = head(b"body");
        assert_eq!(head.check(b"body"), Ok(()));
        assert_eq!(head.check(b"bodY"), Err(Error::Body));
        let other = Head { part: 1, ..head.clone() };
        assert_eq!(other.check(b"body"), Err(Error::Body));
        let other = Head { sequence: 8, ..head };
        assert_eq!(other.check(b"body"), Err(Error::Body));
    }

    #[test]
    fn newer_wal_version_is_reported() {
        let mut bytes = head(b"").encode();
        bytes[0] = 3;
        bytes.truncate(bytes.len() - CRC_BYTES);
        append_crc(&mut bytes, 0);
        assert_eq!(Head::decode(&bytes), Err(Error::Version(3)));
    }
}
