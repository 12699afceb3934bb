//! One block to bytes and back: what every block says about itself, and its checksum.

use crate::batch::column::Column;
use crate::batch::column_bytes;
use crate::codec::crc::crc32c;
use crate::codec::{self, integer, timestamp, varint};
use crate::model::value::FieldType;

/// The version that is written.
pub const VERSION: u8 = 1;
const KIND_KEYS: u8 = 16;
/// The kind of a block of series.
pub const KIND_SERIES: u8 = 17;
/// version, kind, rows
const HEAD_BYTES: usize = 1 + 1 + 4;
const CRC_BYTES: usize = 4;

/// Why bytes are not the expected block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too short, or its checksum is wrong.
    #[error("checksum mismatch")]
    Checksum,
    /// Written by a newer release.
    #[error("version {0} is newer than this release")]
    Version(u8),
    /// Another block than the index says.
    #[error("not the block that its index names")]
    Other,
    /// Its data contradict themselves.
    #[error("{0}")]
    Codec(#[from] codec::Error),
}

/// Appends a block of `rows` whose data `write` appends.
pub fn seal(kind: u8, rows: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(VERSION);
    out.push(kind);
    out.extend(rows.to_le_bytes());
    write(out);
    let crc = crc32c(out.get(start..).unwrap_or_default());
    out.extend(crc.to_le_bytes());
}

/// The data of the block that is all of `bytes`.
///
/// # Errors
/// All but [`Error::Codec`].
pub fn open(bytes: &[u8], kind: u8, rows: u32) -> Result<&[u8], Error> {
    let (covered, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(Error::Checksum)?;
    if crc32c(covered) != u32::from_le_bytes(*crc) {
        return Err(Error::Checksum);
    }
    let (&head, data) = covered.split_first_chunk::<HEAD_BYTES>().ok_or(Error::Checksum)?;
    let [version, found, r0, r1, r2, r3] = head;
    if version != VERSION {
        return Err(Error::Version(version));
    }
    if found != kind || u32::from_le_bytes([r0, r1, r2, r3]) != rows {
        return Err(Error::Other);
    }
    Ok(data)
}

/// Checks the checksum of a block of any kind.
///
/// # Errors
/// [`Error::Checksum`].
pub fn check(bytes: &[u8]) -> Result<(), Error> {
    let (covered, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(Error::Checksum)?;
    let sound = crc32c(covered) == u32::from_le_bytes(*crc);
    if sound { Ok(()) } else { Err(Error::Checksum) }
}

/// Appends the block of rows `rows` of a field column.
pub fn encode_field(column: &Column, rows: &[u32], out: &mut Vec<u8>) {
    let kind = column.values.field_type().code();
    seal(kind, rows.len() as u32, out, |out| column_bytes::encode(column, rows, out));
}

/// The column of a field block.
///
/// # Errors
/// Any [`Error`].
pub fn decode_field(bytes: &[u8], field_type: FieldType, rows: u32) -> Result<Column, Error> {
    let data = open(bytes, field_type.code(), rows)?;
    Ok(column_bytes::decode(data, field_type, rows as usize)?)
}

/// Series and times of a page's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// For each series of the page where its rows end; as many as the page has series.
    pub ends: Vec<u32>,
    /// Times, ascending within a series.
    pub times_ns: Vec<i64>,
}

/// Appends the keys block of a page: how many rows each series has, and the times.
pub fn encode_keys(rows_of_series: &[i64], times_ns: &[i64], out: &mut Vec<u8>) {
    seal(KIND_KEYS, times_ns.len() as u32, out, |out| {
        let mut counts = Vec::new();
        integer::encode(rows_of_series, &mut counts);
        varint::write(counts.len() as u64, out);
        out.append(&mut counts);
        timestamp::encode(times_ns, out);
    });
}

/// The keys of a page of `rows` rows and `series` series.
///
/// # Errors
/// Any [`Error`].
pub fn decode_keys(bytes: &[u8], rows: u32, series: u32) -> Result<Keys, Error> {
    let mut data = open(bytes, KIND_KEYS, rows)?;
    let most = data.len();
    let length = varint::read_length(&mut data, most)?;
    let (counts, times) = data.split_at_checked(length).ok_or(codec::Error::Truncated)?;
    let mut rows_of_series = Vec::new();
    integer::decode(counts, series as usize, &mut rows_of_series)?;
    let mut keys = Keys::default();
    timestamp::decode(times, rows as usize, &mut keys.times_ns)?;
    let mut end = 0_u32;
    for count in rows_of_series {
        let count = u32::try_from(count).map_err(|_| codec::Error::Corrupt)?;
        end = end.checked_add(count).filter(|&end| end <= rows).ok_or(codec::Error::Corrupt)?;
        keys.ends.push(end);
    }
    if end == rows { Ok(keys) } else { Err(codec::Error::Corrupt.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::column::Values;

    #[test]
    fn blocks_come_back_and_no_flipped_bit_passes() {
        let mut column = Column::full(Values::Float(vec![0.5, 1.5, 2.5]));
        column.push_null();
        let mut bytes = Vec::new();
        encode_field(&column, &[0, 1, 2, 3], &mut bytes);
        assert_eq!(decode_field(&bytes, FieldType::Float, 4), Ok(column));
        assert_eq!(decode_field(&bytes, FieldType::Float, 3), Err(Error::Other));
        assert_eq!(decode_field(&bytes, FieldType::Integer, 4), Err(Error::Other));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_field(&bad, FieldType::Float, 4), Err(Error::Checksum));
            assert_eq!(check(&bad), Err(Error::Checksum));
        }
        let mut keys = Vec::new();
        encode_keys(&[2, 1], &[5, 9, 1], &mut keys);
        let expected = Keys { ends: vec![2, 3], times_ns: vec![5, 9, 1] };
        assert_eq!(decode_keys(&keys, 3, 2), Ok(expected));
        assert_eq!(check(&keys), Ok(()));
        assert_eq!(open(&[], 0, 0), Err(Error::Checksum));
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = Vec::new();
        seal(0, 1, &mut bytes, |out| out.push(7));
        bytes[0] = 2;
        let covered = bytes.len() - CRC_BYTES;
        let crc = crc32c(&bytes[..covered]).to_le_bytes();
        bytes[covered..].copy_from_slice(&crc);
        assert_eq!(open(&bytes, 0, 1), Err(Error::Version(2)));
    }
}
