//! One block to bytes and back: what every block says about itself, and its checksum.

use crate::batch::column::Column;
use crate::batch::column_bytes;
use crate::codec::crc::crc32c;
use crate::codec::draft::Draft;
use crate::codec::huffman::Decoder;
use crate::codec::{self, integer, timestamp, varint};
use crate::model::value::FieldType;

/// The version that is written.
pub const VERSION: u8 = 1;
const KIND_KEYS: u8 = 16;
/// The kind of a block of series.
pub const KIND_SERIES: u8 = 17;
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
    varint::write(u64::from(rows), out);
    write(out);
    let crc = crc32c(out.get(start..).unwrap_or_default());
    out.extend(crc.to_le_bytes());
}

/// The data of the block that is all of `bytes`.
///
/// # Errors
/// Any [`Error`].
pub fn open(bytes: &[u8], kind: u8, rows: u32) -> Result<&[u8], Error> {
    let (covered, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(Error::Checksum)?;
    if crc32c(covered) != u32::from_le_bytes(*crc) {
        return Err(Error::Checksum);
    }
    let (&[version, found], mut data) = covered.split_first_chunk().ok_or(Error::Checksum)?;
    if version != VERSION {
        return Err(Error::Version(version));
    }
    let of_rows = varint::read(&mut data)?;
    if found == kind && of_rows == u64::from(rows) { Ok(data) } else { Err(Error::Other) }
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

/// What the block of rows `rows` of a field column says, to be finished.
pub fn draft_field(column: &Column, rows: &[u32]) -> Draft {
    column_bytes::draft(column, rows, Vec::new())
}

/// Appends the block of a field column whose data are `data`.
pub fn write_field(field_type: FieldType, rows: u32, data: &[u8], out: &mut Vec<u8>) {
    seal(field_type.code(), rows, out, |out| out.extend_from_slice(data));
}

/// The column of a field block, whose data may have been finished with `table`.
///
/// # Errors
/// Any [`Error`].
pub fn decode_field(
    bytes: &[u8],
    field_type: FieldType,
    rows: u32,
    table: Option<&Decoder>,
) -> Result<Column, Error> {
    let data = open(bytes, field_type.code(), rows)?;
    Ok(column_bytes::decode_with(data, field_type, rows as usize, table)?)
}

/// Series and times of a page's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// For each series of the page where its rows end; as many as the page has series.
    pub ends: Vec<u32>,
    /// Times, ascending within a series.
    pub times_ns: Vec<i64>,
}

/// What the keys block of a page says, to be finished: how many rows each series has, and times.
pub fn draft_keys(rows_of_series: &[i64], times_ns: &[i64]) -> Draft {
    let (mut counts, mut head) = (Vec::new(), Vec::new());
    integer::encode(rows_of_series, &mut counts);
    varint::write(counts.len() as u64, &mut head);
    head.append(&mut counts);
    timestamp::draft(times_ns, head)
}

/// Appends the keys block of a page whose data are `data`.
pub fn write_keys(rows: u32, data: &[u8], out: &mut Vec<u8>) {
    seal(KIND_KEYS, rows, out, |out| out.extend_from_slice(data));
}

/// The keys of a page of `rows` rows and `series` series, maybe finished with `table`.
///
/// # Errors
/// Any [`Error`].
pub fn decode_keys(
    bytes: &[u8],
    rows: u32,
    series: u32,
    table: Option<&Decoder>,
) -> Result<Keys, Error> {
    let mut data = open(bytes, KIND_KEYS, rows)?;
    let most = data.len();
    let length = varint::read_length(&mut data, most)?;
    let (counts, times) = data.split_at_checked(length).ok_or(codec::Error::Truncated)?;
    let mut rows_of_series = Vec::new();
    integer::decode(counts, series as usize, &mut rows_of_series)?;
    let mut keys = Keys::default();
    timestamp::decode_with(times, rows as usize, table, &mut keys.times_ns)?;
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
        let data = draft_field(&column, &[0, 1, 2, 3]).finish(None);
        write_field(FieldType::Float, 4, &data, &mut bytes);
        assert_eq!(decode_field(&bytes, FieldType::Float, 4, None), Ok(column));
        assert_eq!(decode_field(&bytes, FieldType::Float, 3, None), Err(Error::Other));
        assert_eq!(decode_field(&bytes, FieldType::Integer, 4, None), Err(Error::Other));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_field(&bad, FieldType::Float, 4, None), Err(Error::Checksum));
            assert_eq!(check(&bad), Err(Error::Checksum));
        }
        let mut keys = Vec::new();
        write_keys(3, &draft_keys(&[2, 1], &[5, 9, 1]).finish(None), &mut keys);
        let expected = Keys { ends: vec![2, 3], times_ns: vec![5, 9, 1] };
        assert_eq!(decode_keys(&keys, 3, 2, None), Ok(expected));
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
