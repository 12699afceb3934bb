//! Encodes and decodes the head of a value.

use std::rc::Rc;

use super::{BESIDE, CONTINUES, GOES_ON, IS_WIDE};
use super::{Directory, Group, Page, PartOf, Root, RowExtent, SeriesBlock, VERSION};
use crate::codec::crc::append_crc;
use crate::codec::huffman::Stored;
use crate::codec::{self, varint};
use crate::merge::cursor::Columns;
use crate::merge::sequences::Sequences;
use crate::part::block::{self, CORRUPT, Error};
use crate::part::series_block::SERIES_MAX;
use crate::part::{PAGE_ROWS_MAX, VALUE_BYTES_MAX};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::value::FieldType;

impl Group {
    pub(in crate::part) fn encode(&self, out: &mut Vec<u8>) {
        varint::write(u64::from(self.part), out);
        varint::write(u64::from(self.measurement.0), out);
        out.push(self.flags);
        varint::write(self.tag_ids.len() as u64, out);
        self.tag_ids.iter().for_each(|id| varint::write(u64::from(id.0), out));
        varint::write(self.columns.len() as u64, out);
        let mut before = 0;
        for (id, field_type) in self.columns.iter() {
            varint::write(u64::from(id.0.wrapping_sub(before)), out);
            out.push(field_type.code());
            before = id.0;
        }
        for table in &self.tables {
            write_bytes(table.bytes(), out);
        }
        varint::write(self.series.len() as u64, out);
        for block in &self.series {
            varint::write(u64::from(block.series), out);
            varint::write(u64::from(block.bytes), out);
            write_bytes(&block.from, out);
        }
        varint::write(self.pages.len() as u64, out);
        let (mut last, mut before_ns) = (0, 0);
        let columns = self.columns.len();
        for (at, page) in self.pages.iter().enumerate() {
            let is_same = u64::from(at > 0 && page.first_series == last);
            varint::write(u64::from(page.series.saturating_sub(1)) << 1 | is_same, out);
            varint::write(u64::from(page.rows), out);
            varint::write_signed(page.min_ns.wrapping_sub(before_ns), out);
            varint::write(page.max_ns.wrapping_sub(page.min_ns) as u64, out);
            varint::write(u64::from(page.keys_bytes), out);
            for bytes in self.column_bytes.iter().skip(at * columns).take(columns) {
                varint::write(u64::from(*bytes), out);
            }
            (last, before_ns) = (page.last_series(), page.min_ns);
        }
    }

    /// The group's blocks begin at `offset`. `shared` are the columns of the previous group.
    fn decode(bytes: &mut &[u8], offset: &mut u32, shared: &Columns) -> Result<Self, Error> {
        let (part, measurement) = (number(bytes)?, MeasurementId(number(bytes)?));
        let flags = byte(bytes)?;
        let tag_ids = list(bytes, |bytes| Ok(ColumnId(number(bytes)?)))?;
        let columns = read_columns(bytes)?;
        let columns = if *columns == **shared { Rc::clone(shared) } else { columns.into() };
        let tables = (0..=columns.len())
            .map(|_| Ok(Stored::new(read_bytes(bytes)?.to_vec())))
            .collect::<Result<_, Error>>()?;
        let mut group =
            Self { part, measurement, flags, tag_ids, columns, tables, ..Self::default() };
        let mut first = 0_u32;
        group.series = list(bytes, |bytes| {
            let (series, length) = (number(bytes)?, number(bytes)?);
            let from = read_bytes(bytes)?.to_vec();
            let block = SeriesBlock { first, series, from, offset: *offset, bytes: length };
            first = first.checked_add(series).ok_or(CORRUPT)?;
            advance(offset, length)?;
            Ok(block)
        })?;
        let mut last = None;
        for _ in 0..count(bytes)? {
            let page = group.decode_page(bytes, offset, last)?;
            last = Some(page);
            group.pages.push(page);
        }
        group.check()?;
        Ok(group)
    }

    fn decode_page(
        &mut self,
        bytes: &mut &[u8],
        offset: &mut u32,
        before: Option<Page>,
    ) -> Result<Page, Error> {
        let head = varint::read(bytes)?;
        let series = u32::try_from((head >> 1) + 1).map_err(|_| CORRUPT)?;
        let next = before.map_or(0, |page| page.last_series().saturating_add(1));
        let first_series = next.checked_sub((head & 1) as u32).ok_or(CORRUPT)?;
        let rows = number(bytes)?;
        let before_ns = before.map_or(0, |page| page.min_ns);
        let min_ns = before_ns.wrapping_add(varint::read_signed(bytes)?);
        let max_ns = min_ns.wrapping_add(varint::read(bytes)? as i64);
        let keys_bytes = number(bytes)?;
        let page = Page { first_series, series, rows, min_ns, max_ns, offset: *offset, keys_bytes };
        advance(offset, keys_bytes)?;
        for _ in 0..self.columns.len() {
            let length = number(bytes)?;
            self.column_bytes.push(length);
            advance(offset, length)?;
        }
        Ok(page)
    }

    fn check(&self) -> Result<(), Error> {
        let is_sound = |page: &Page| {
            (1..=PAGE_ROWS_MAX as u32).contains(&page.rows)
                && page.series <= page.rows
                && page.min_ns <= page.max_ns
                && (page.keys_bytes > 0) != self.continues_columns()
        };
        let most = SERIES_MAX as u32;
        let blocks = self.series.iter().all(|block| (1..=most).contains(&block.series));
        let of_pages = self.pages.last().map_or(0, |page| page.last_series().saturating_add(1));
        let series = if self.continues_columns() {
            self.series.is_empty()
        } else {
            of_pages == self.series()
        };
        let flags = self.flags <= CONTINUES | GOES_ON | BESIDE | IS_WIDE;
        let is_one = self.pages.len() == 1 || !(self.continues_columns() || self.is_wide());
        let pages = !self.pages.is_empty() && self.pages.iter().all(is_sound);
        if pages && blocks && series && flags && is_one { Ok(()) } else { Err(CORRUPT) }
    }
}

impl Directory {
    /// Encodes the head of the value with this number.
    pub fn encode(&self, number: u64) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(number.to_le_bytes());
        varint::write(self.parts.len() as u64, &mut out);
        for PartOf { id, sequences, ordinal } in &self.parts {
            let Sequences { lo, hi, applied } = *sequences;
            for value in [*id, lo, hi.wrapping_sub(lo), applied, u64::from(*ordinal)] {
                varint::write(value, &mut out);
            }
        }
        varint::write(self.groups.len() as u64, &mut out);
        self.groups.iter().for_each(|group| group.encode(&mut out));
        varint::write(self.roots.len() as u64, &mut out);
        for root in &self.roots {
            varint::write(u64::from(root.part), &mut out);
            varint::write(root.values.len() as u64, &mut out);
            for reach in &root.values {
                write_bytes(&reach.from, &mut out);
                out.extend(reach.min_ns.to_le_bytes());
                varint::write(reach.max_ns.wrapping_sub(reach.min_ns) as u64, &mut out);
                varint::write(reach.rows, &mut out);
            }
        }
        append_crc(&mut out, 0);
        out
    }

    /// Decodes the head that fills `bytes`. Returns the value's number and directory.
    pub fn decode(bytes: &[u8]) -> Result<(u64, Self), Error> {
        let covered = block::open(bytes)?;
        let (&version, mut rest) = covered.split_first().ok_or(Error::Checksum)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let bytes = &mut rest;
        let value_number = u64::from_le_bytes(array(bytes)?);
        let parts = list(bytes, read_part)?;
        let (mut offset, mut shared) = (0, Columns::default());
        let groups = list(bytes, |bytes| {
            let group = Group::decode(bytes, &mut offset, &shared)?;
            shared = Rc::clone(&group.columns);
            Ok(group)
        })?;
        let roots = list(bytes, |bytes| {
            let part = number(bytes)?;
            Ok(Root { part, values: list(bytes, read_extent)? })
        })?;
        let known = |part: u32| (part as usize) < parts.len();
        let in_order = groups.is_sorted_by_key(|group| group.part);
        let all_known = groups.iter().all(|group| known(group.part))
            && roots.iter().all(|root| known(root.part));
        match rest.is_empty() {
            true if in_order && all_known => Ok((value_number, Self { parts, groups, roots })),
            true => Err(CORRUPT),
            false => Err(codec::Error::Trailing.into()),
        }
    }
}

fn read_part(bytes: &mut &[u8]) -> Result<PartOf, Error> {
    let (id, lo, more) = (varint::read(bytes)?, varint::read(bytes)?, varint::read(bytes)?);
    let hi = lo.checked_add(more).ok_or(CORRUPT)?;
    let sequences = Sequences { lo, hi, applied: varint::read(bytes)? };
    Ok(PartOf { id, sequences, ordinal: number(bytes)? })
}

fn read_columns(bytes: &mut &[u8]) -> Result<Vec<(ColumnId, FieldType)>, Error> {
    let mut before: Option<u32> = None;
    list(bytes, |bytes| {
        let more = number(bytes)?;
        let id = before.map_or(Some(more), |id| id.checked_add(more)).ok_or(CORRUPT)?;
        if before.is_some_and(|before| before >= id) {
            return Err(CORRUPT);
        }
        before = Some(id);
        Ok((ColumnId(id), FieldType::from_code(byte(bytes)?).ok_or(CORRUPT)?))
    })
}

fn read_extent(bytes: &mut &[u8]) -> Result<RowExtent, Error> {
    let from = read_bytes(bytes)?.to_vec();
    let min_ns = i64::from_le_bytes(array(bytes)?);
    let max_ns = min_ns.wrapping_add(varint::read(bytes)? as i64);
    Ok(RowExtent { from, min_ns, max_ns, rows: varint::read(bytes)? })
}

/// Every item takes at least one byte, so the bytes limit the length.
fn list<T>(
    bytes: &mut &[u8],
    mut each: impl FnMut(&mut &[u8]) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    (0..count(bytes)?).map(|_| each(bytes)).collect()
}

fn count(bytes: &mut &[u8]) -> Result<usize, Error> {
    Ok(varint::read_length(bytes, bytes.len())?)
}

fn number(bytes: &mut &[u8]) -> Result<u32, Error> {
    u32::try_from(varint::read(bytes)?).map_err(|_| CORRUPT)
}

fn byte(bytes: &mut &[u8]) -> Result<u8, Error> {
    array(bytes).map(|[byte]| byte)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Error> {
    let (head, tail) = bytes.split_first_chunk::<N>().ok_or(codec::Error::Truncated)?;
    *bytes = tail;
    Ok(*head)
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    varint::write(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn read_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let length = count(bytes)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(codec::Error::Truncated)?;
    *bytes = rest;
    Ok(taken)
}

fn advance(offset: &mut u32, bytes: u32) -> Result<(), Error> {
    let end = offset.checked_add(bytes).filter(|&end| end as usize <= VALUE_BYTES_MAX);
    *offset = end.ok_or(CORRUPT)?;
    Ok(())
}
