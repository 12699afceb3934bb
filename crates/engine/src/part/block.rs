//! Encodes and decodes checksummed blocks, and the keys of pages.

use crate::codec::crc::{append_crc, verify_crc};
use crate::codec::draft::Draft;
use crate::codec::huffman::Decoder;
use crate::codec::{self, integer, timestamp, varint};

/// An error in a head or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are too short, or the checksum is wrong.
    #[error("checksum mismatch")]
    Checksum,
    /// The head was written by another release.
    #[error("version {0}, which this release cannot read")]
    Version(u8),
    /// The data is inconsistent.
    #[error("{0}")]
    Codec(#[from] codec::Error),
}

pub(super) const CORRUPT: Error = Error::Codec(codec::Error::Corrupt);

pub(super) fn seal(data: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(data);
    append_crc(out, start);
}

/// Returns the data of the block that fills `bytes`.
pub fn open(bytes: &[u8]) -> Result<&[u8], Error> {
    verify_crc(bytes).map_err(|_| Error::Checksum)
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) ends: Vec<u32>,
    /// The times, which ascend within a series.
    pub(super) times_ns: Vec<i64>,
}

pub(super) fn draft_keys(rows_of_series: &[i64], times_ns: &[i64]) -> Draft {
    let (mut counts, mut head) = (Vec::new(), Vec::new());
    integer::encode(rows_of_series, &mut counts);
    varint::write(counts.len() as u64, &mut head);
    head.append(&mut counts);
    timestamp::draft(times_ns, head)
}

pub(super) fn decode_keys(
    bytes: &[u8],
    rows: u32,
    series: u32,
    table: Option<&Decoder>,
) -> Result<Keys, Error> {
    let mut data = open(bytes)?;
    let most = data.len();
    let length = varint::read_length(&mut data, most)?;
    let (counts, times) = data.split_at_checked(length).ok_or(codec::Error::Truncated)?;
    let mut rows_of_series = Vec::new();
    integer::decode(counts, series as usize, &mut rows_of_series)?;
    let mut keys = Keys::default();
    timestamp::decode_with(times, rows as usize, table, &mut keys.times_ns)?;
    let mut end = 0_u32;
    for count in rows_of_series {
        let count = u32::try_from(count).map_err(|_| CORRUPT)?;
        end = end.checked_add(count).filter(|&end| end <= rows).ok_or(CORRUPT)?;
        keys.ends.push(end);
    }
    if end == rows { Ok(keys) } else { Err(CORRUPT) }
}
