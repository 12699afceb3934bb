//! Decodes a frame into tables.

use super::error::FrameError;
use super::header::{FrameHeader, TableHeader};
use crate::batch::column_bytes;
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::batch::{Block, FrameTable};
use crate::codec::{self, VALUES_MAX, integer, timestamp, varint};
use tidemark_model::bug::OrBug;

/// Decodes a frame, which takes all of `bytes`. The rows of each table are grouped by series.
pub fn decode(bytes: &[u8]) -> Result<Vec<FrameTable>, FrameError> {
    let mut tables = Vec::new();
    decode_each(bytes, |table| tables.push(table))?;
    Ok(tables)
}

/// Decodes a frame table by table, so that only one table is in memory. After an error, the caller
/// must discard the tables that it received.
pub fn decode_each(bytes: &[u8], mut each: impl FnMut(FrameTable)) -> Result<(), FrameError> {
    let header = FrameHeader::read(bytes)?;
    let mut rest = bytes.get(header.payload_start as usize..).or_bug();
    for table in &header.tables {
        let (payload, tail) = rest
            .split_at_checked(table.payload_bytes as usize)
            .ok_or(FrameError::PayloadDamaged)?;
        rest = tail;
        each(decode_table(table, payload)?);
    }
    if rest.is_empty() { Ok(()) } else { Err(FrameError::PayloadDamaged) }
}

fn decode_table(header: &TableHeader, mut bytes: &[u8]) -> Result<FrameTable, FrameError> {
    let (rows, n_series) = (header.rows as usize, header.series as usize);
    let mut rows_of_series = Vec::new();
    integer::decode(take_part(&mut bytes)?, n_series, &mut rows_of_series)?;
    let mut times_ns = Vec::new();
    timestamp::decode(take_part(&mut bytes)?, rows, &mut times_ns)?;
    let mut tags = Vec::with_capacity(header.tag_ids.len());
    for _ in &header.tag_ids {
        tags.push(decode_tag(&mut bytes, n_series)?);
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
    let (part, tail) = bytes.split_at_checked(length).ok_or(FrameError::PayloadDamaged)?;
    *bytes = tail;
    Ok(part)
}

fn decode_tag(bytes: &mut &[u8], n_series: usize) -> Result<TagColumn, FrameError> {
    let mut part = take_part(bytes)?;
    let n_entries = varint::read_length(&mut part, VALUES_MAX.min(n_series))?;
    let dictionary = column_bytes::decode_strings(part, n_entries)?;
    let mut codes = Vec::new();
    integer::decode(take_part(bytes)?, n_series, &mut codes)?;
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
