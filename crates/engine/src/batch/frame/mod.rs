#![doc = include_str!("FRAME.md")]

mod division;
mod encode;
#[cfg(test)]
mod tests;

pub(crate) use division::{COLUMN_BYTES, SERIES_BYTES, TABLE_BYTES};
pub use division::{FRAME_DECODED_BYTES_MAX, FrameRoom};
pub use encode::{Encoder, TableRef, encode};

use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::batch::{Block, FrameTable, column_bytes};
use crate::codec::crc::{CRC_BYTES, append_crc, verify_crc};
use crate::codec::{self, VALUES_MAX, integer, timestamp, varint};
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::limits::CELLS_PER_REQUEST_MAX;
use tidemark_model::value::FieldType;

/// The errors of decoding a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum FrameError {
    #[error("frame version {0} is not supported")]
    Version(u8),
    #[error("frame header ends early")]
    HeaderTruncated,
    #[error("frame header is damaged")]
    HeaderDamaged,
    #[error("frame payload is damaged")]
    PayloadDamaged,
    /// The frame has more cells than a request may have (`model::limits::CELLS_PER_REQUEST_MAX`).
    #[error("frame has too many cells")]
    TooMany,
    #[error("frame column is damaged: {0}")]
    Column(#[from] codec::Error),
}

/// The version that [`encode()`] writes and [`decode()`] reads.
pub const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 5;

/// The header of a frame: the tables without their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameHeader {
    /// The tables in the order of their payloads.
    pub tables: Vec<TableHeader>,
    pub(crate) payload_start: u32,
}

/// The measurement, columns, number of rows and times of a frame's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHeader {
    /// The measurement's id.
    pub measurement: MeasurementId,
    /// The number of rows, at least 1.
    pub rows: u32,
    /// The number of distinct series.
    pub series: u32,
    pub(crate) min_time_ns: i64,
    pub(crate) max_time_ns: i64,
    /// The ids of the tags with a value in at least one series.
    pub tag_ids: Vec<ColumnId>,
    /// The ids and types of the fields with a value in at least one row.
    pub fields: Vec<(ColumnId, FieldType)>,
    pub(crate) payload_bytes: u32,
}

impl FrameHeader {
    /// Reads the header of a frame at the start of `bytes`. The payload may be missing.
    pub fn read(bytes: &[u8]) -> Result<Self, FrameError> {
        let &version = bytes.first().ok_or(FrameError::HeaderTruncated)?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let length = bytes.get(1..).and_then(|rest| rest.first_chunk::<4>());
        let length = u32::from_le_bytes(*length.ok_or(FrameError::HeaderTruncated)?) as usize;
        let end = length.saturating_add(PREFIX_BYTES + CRC_BYTES);
        let header = bytes.get(..end).ok_or(FrameError::HeaderTruncated)?;
        let covered = verify_crc(header).map_err(|_| FrameError::HeaderDamaged)?;
        let mut rest = covered.get(PREFIX_BYTES..).or_bug();
        let tables = Self::read_tables(&mut rest).filter(|_| rest.is_empty());
        let tables = tables.ok_or(FrameError::HeaderDamaged)?;
        let cells = |table: &TableHeader| (table.rows as usize).saturating_mul(table.fields.len());
        if tables.iter().map(cells).fold(0, usize::saturating_add) > CELLS_PER_REQUEST_MAX {
            return Err(FrameError::TooMany);
        }
        let payload_start = u32::try_from(end).map_err(|_| FrameError::HeaderDamaged)?;
        Ok(Self { tables, payload_start })
    }

    fn read_tables(bytes: &mut &[u8]) -> Option<Vec<TableHeader>> {
        let count = read_count(bytes)?;
        (0..count).map(|_| TableHeader::read(bytes)).collect()
    }

    /// Ignores the field `payload_start`.
    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(VERSION);
        out.extend_from_slice(&[0; 4]);
        varint::write(self.tables.len() as u64, out);
        for table in &self.tables {
            table.write(out);
        }
        let length = (out.len() - start - PREFIX_BYTES) as u32;
        if let Some(slot) = out.get_mut(start + 1..start + PREFIX_BYTES) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
        append_crc(out, start);
    }

    /// Returns the number of rows in all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| u64::from(table.rows)).sum()
    }
}

impl TableHeader {
    fn write(&self, out: &mut Vec<u8>) {
        varint::write(u64::from(self.measurement.0), out);
        varint::write(u64::from(self.rows), out);
        varint::write(u64::from(self.series), out);
        out.extend_from_slice(&self.min_time_ns.to_le_bytes());
        out.extend_from_slice(&self.max_time_ns.to_le_bytes());
        varint::write(self.tag_ids.len() as u64, out);
        for id in &self.tag_ids {
            varint::write(u64::from(id.0), out);
        }
        varint::write(self.fields.len() as u64, out);
        for &(id, field_type) in &self.fields {
            varint::write(u64::from(id.0), out);
            out.push(field_type.code());
        }
        varint::write(u64::from(self.payload_bytes), out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let measurement = MeasurementId(read_u32(bytes)?);
        let (rows, series) = (read_u32(bytes)?, read_u32(bytes)?);
        let (min_time_ns, max_time_ns) = (read_i64(bytes)?, read_i64(bytes)?);
        let n_tags = read_count(bytes)?;
        let tag_ids = (0..n_tags).map(|_| read_u32(bytes).map(ColumnId)).collect::<Option<_>>()?;
        let n_fields = read_count(bytes)?;
        let fields = (0..n_fields).map(|_| read_field(bytes)).collect::<Option<_>>()?;
        let payload_bytes = read_u32(bytes)?;
        let sound = 0 < series && series <= rows && min_time_ns <= max_time_ns;
        sound.then_some(Self {
            measurement,
            rows,
            series,
            min_time_ns,
            max_time_ns,
            tag_ids,
            fields,
            payload_bytes,
        })
    }
}

fn read_u32(bytes: &mut &[u8]) -> Option<u32> {
    u32::try_from(varint::read(bytes).ok()?).ok()
}

fn read_count(bytes: &mut &[u8]) -> Option<usize> {
    varint::read_length(bytes, bytes.len()).ok()
}

fn read_i64(bytes: &mut &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(*bytes.split_off(..8)?.as_array()?))
}

fn read_field(bytes: &mut &[u8]) -> Option<(ColumnId, FieldType)> {
    let id = ColumnId(read_u32(bytes)?);
    Some((id, FieldType::from_code(*bytes.split_off_first()?)?))
}

/// Decodes a frame, which takes all of `bytes`. The rows of each table are grouped by series.
pub fn decode(bytes: &[u8]) -> Result<Vec<FrameTable>, FrameError> {
    let mut tables = Vec::new();
    decode_each(bytes, |table| tables.push(table))?;
    Ok(tables)
}

/// Decodes a frame table by table, so that only one table is in memory. After an error, the caller
/// must discard the tables that it received.
pub fn decode_each(bytes: &[u8], each: impl FnMut(FrameTable)) -> Result<(), FrameError> {
    decode_after(&FrameHeader::read(bytes)?, bytes, each)
}

/// Decodes a frame like [`decode_each`], after its header was read.
pub fn decode_after(
    header: &FrameHeader,
    bytes: &[u8],
    mut each: impl FnMut(FrameTable),
) -> Result<(), FrameError> {
    let mut rest = bytes.get(header.payload_start as usize..).or_bug();
    for table in &header.tables {
        let payload = rest.split_off(..table.payload_bytes as usize);
        each(decode_table(table, payload.ok_or(FrameError::PayloadDamaged)?)?);
    }
    if rest.is_empty() { Ok(()) } else { Err(FrameError::PayloadDamaged) }
}

fn decode_table(header: &TableHeader, mut bytes: &[u8]) -> Result<FrameTable, FrameError> {
    let (rows, n_series) = (header.rows as usize, header.series as usize);
    let mut rows_of_series = Vec::new();
    integer::decode(take_part(&mut bytes)?, n_series, &mut rows_of_series)?;
    let mut times_ns = Vec::new();
    timestamp::decode(take_part(&mut bytes)?, rows, &mut times_ns)?;
    let (mut tags, mut codes) = (Vec::with_capacity(header.tag_ids.len()), Vec::new());
    for _ in &header.tag_ids {
        tags.push(decode_tag(&mut bytes, n_series, &mut codes)?);
    }
    let mut fields = Vec::with_capacity(header.fields.len());
    for &(_, field_type) in &header.fields {
        fields.push(column_bytes::decode(take_part(&mut bytes)?, field_type, rows)?);
    }
    if !bytes.is_empty() {
        return Err(FrameError::PayloadDamaged);
    }
    Ok(FrameTable {
        measurement: header.measurement,
        tag_ids: header.tag_ids.clone(),
        field_ids: header.fields.iter().map(|&(id, _)| id).collect(),
        block: Block {
            series: SeriesTable { tags, len: header.series },
            row_series: expand(&rows_of_series, rows)?,
            times_ns,
            fields,
        },
    })
}

fn take_part<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], FrameError> {
    let length = varint::read_length(bytes, bytes.len())?;
    bytes.split_off(..length).ok_or(FrameError::PayloadDamaged)
}

/// `codes` is a buffer that each tag of a table reuses.
fn decode_tag(
    bytes: &mut &[u8],
    n_series: usize,
    codes: &mut Vec<i64>,
) -> Result<TagColumn, FrameError> {
    let mut part = take_part(bytes)?;
    let n_entries = varint::read_length(&mut part, VALUES_MAX.min(n_series))?;
    let dictionary = column_bytes::decode_strings(part, n_entries)?;
    integer::decode(take_part(bytes)?, n_series, codes)?;
    let codes = codes
        .iter()
        .map(|&code| u32::try_from(code).ok().filter(|&code| code as usize <= n_entries))
        .collect::<Option<Vec<u32>>>()
        .ok_or(codec::Error::Corrupt)?;
    Ok(TagColumn { dictionary, codes })
}

fn expand(rows_of_series: &[i64], rows: usize) -> Result<Vec<u32>, FrameError> {
    let mut row_series = Vec::with_capacity(rows);
    for (number, &count) in (0_u32..).zip(rows_of_series) {
        let count = usize::try_from(count).ok().filter(|&count| count <= rows - row_series.len());
        let count = count.ok_or(FrameError::PayloadDamaged)?;
        row_series.resize(row_series.len() + count, number);
    }
    if row_series.len() == rows { Ok(row_series) } else { Err(FrameError::PayloadDamaged) }
}
