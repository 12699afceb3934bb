//! The directory of a value, which is the head of its row: the parts and groups in the value, and
//! the positions of the groups' blocks in the body.

use std::ops::Range;
use std::rc::Rc;

use super::block::{self, CORRUPT, Error};
use super::series_block::SERIES_MAX;
use super::{PAGE_ROWS_MAX, VALUE_BYTES_MAX};
use crate::codec::crc::append_crc;
use crate::codec::huffman::Stored;
use crate::codec::{self, varint};
use crate::merge::cursor::Columns;
use crate::merge::sequences::Sequences;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

/// The version of parts that this release writes and reads.
pub const VERSION: u8 = 2;

const CONTINUES: u8 = 1;
const IS_CONTINUED: u8 = 2;
/// The flag of a group that contains only further columns of the previous group's only page, which
/// is too wide for one value.
const CONTINUES_COLUMNS: u8 = 4;
/// The flag of a group whose only page has further columns in a following group.
const IS_WIDE: u8 = 8;

/// The directory of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// The parts that have a group or a root in this value, in order.
    pub parts: Vec<PartOf>,
    /// The groups by part, key and time, in the order of their blocks in the body.
    pub groups: Vec<PartGroup>,
    /// The roots of the parts that have several values, and whose last value is this value.
    pub(crate) roots: Vec<Root>,
}

/// A part that has rows or a root in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// The part's id.
    pub id: u64,
    /// The write sequences of the part's rows.
    pub sequences: Sequences,
    pub(crate) ordinal: u32,
}

/// A group of rows with the same measurement and part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartGroup {
    /// The position in [`Directory::parts`].
    pub part: u32,
    /// The measurement of the rows.
    pub measurement: MeasurementId,
    pub(super) flags: u8,
    /// The tags in the order of the keys.
    pub tag_ids: Vec<ColumnId>,
    /// The columns of the pages. If a series continues in a neighbouring group, the columns of its
    /// rows in that group are included.
    pub columns: Columns,
    /// The shared table of each column's blocks, followed by the table of the keys.
    pub(super) tables: Vec<Stored>,
    pub(super) series: Vec<SeriesBlock>,
    /// The pages in the order of key and time.
    pub pages: Vec<RowPage>,
    /// The size of each column's block, page by page, in bytes, or 0 for a page of nulls.
    pub(super) column_bytes: Vec<u32>,
}

/// The directory entry of a block of series keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeriesBlock {
    pub(super) first: u32,
    pub(super) series: u32,
    /// The shortest byte string that is after the key of every series before this block, and not
    /// after the key of any series in this block.
    pub(super) from: Vec<u8>,
    pub(super) offset: u32,
    pub(super) bytes: u32,
}

/// A page of a part: about 1,000 rows, with one block for each column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowPage {
    pub(crate) first_series: u32,
    /// The number of series in the page. The series are consecutive.
    pub series: u32,
    /// The number of rows.
    pub rows: u32,
    /// The earliest time, in nanoseconds.
    pub min_ns: i64,
    /// The latest time, in nanoseconds.
    pub max_ns: i64,
    /// The offset of the page's keys in the body. The blocks of its columns follow the keys.
    pub(super) offset: u32,
    pub(super) keys_bytes: u32,
}

/// The index of a part with several values, stored in the part's last value: the extents of all
/// other values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Root {
    /// The position in [`Directory::parts`].
    pub part: u32,
    /// The extents of the values, in order.
    pub values: Vec<RowExtent>,
}

/// The rows of a part in one value: their lowest key, their times and their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowExtent {
    /// The lower bound of the value's keys: `from` of the first series block. For a value without
    /// series, the first key after the value.
    pub(super) from: Vec<u8>,
    /// The earliest time, in nanoseconds.
    pub min_ns: i64,
    /// The latest time, in nanoseconds.
    pub max_ns: i64,
    /// The number of rows, or 0 for a value that contains only columns of a wide page.
    pub rows: u64,
}

impl RowExtent {
    /// Returns the measurement of the value's first group.
    pub(super) fn first_measurement(&self) -> Option<MeasurementId> {
        self.from.first_chunk().map(|id| MeasurementId(u32::from_be_bytes(*id)))
    }
}

impl RowPage {
    pub(crate) fn last_series(&self) -> u32 {
        self.first_series.saturating_add(self.series.saturating_sub(1))
    }
}

impl PartGroup {
    /// Whether the group's first series is the last series of the previous group.
    pub fn continues(&self) -> bool {
        self.flags & CONTINUES != 0
    }

    /// Whether the group's last series is the first series of the next group, if that group
    /// [continues](Self::continues). The series may have no remaining rows.
    pub fn is_continued(&self) -> bool {
        self.flags & IS_CONTINUED != 0
    }

    pub(crate) fn continues_columns(&self) -> bool {
        self.flags & CONTINUES_COLUMNS != 0
    }

    /// Whether following groups contain further columns of the group's page.
    pub fn is_wide(&self) -> bool {
        self.flags & IS_WIDE != 0
    }

    pub(super) fn flags(
        continues: bool,
        is_continued: bool,
        continues_columns: bool,
        is_wide: bool,
    ) -> u8 {
        let bit = |is: bool, bit: u8| if is { bit } else { 0 };
        bit(continues, CONTINUES)
            | bit(is_continued, IS_CONTINUED)
            | bit(continues_columns, CONTINUES_COLUMNS)
            | bit(is_wide, IS_WIDE)
    }

    /// Returns the number of series with rows in the group.
    pub fn series(&self) -> u32 {
        self.series.last().map_or(0, |block| block.first.saturating_add(block.series))
    }

    /// Returns the time range of all rows.
    pub fn time(&self) -> TimeRange {
        let min_ns = self.pages.iter().map(|page| page.min_ns).min().unwrap_or(i64::MAX);
        let max_ns = self.pages.iter().map(|page| page.max_ns).max().unwrap_or(i64::MIN);
        TimeRange::new(min_ns, max_ns.saturating_add(1))
    }

    pub(crate) fn series_blocks(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn pages_of(&self, series: u32) -> Range<usize> {
        let start = self.pages.partition_point(|page| page.last_series() < series);
        let end = self.pages.partition_point(|page| page.first_series <= series);
        start..end.max(start)
    }

    pub(crate) fn column_at(&self, page: usize, column: usize) -> Range<u32> {
        let start = page * self.columns.len();
        let before = self.column_bytes.get(start..start + column).or_bug();
        let bytes = self.column_bytes.get(start + column).copied().or_bug();
        let Some(page) = self.pages.get(page) else { return 0..0 };
        let offset = before.iter().fold(page.offset + page.keys_bytes, |sum, bytes| sum + bytes);
        offset..offset + bytes
    }

    /// Returns the total size of a page's blocks with text, in bytes.
    pub(super) fn text_bytes(&self, page: usize) -> usize {
        let blocks = self.column_bytes.iter().skip(page * self.columns.len());
        let columns = self.columns.iter().zip(blocks);
        let texts = columns.filter(|((_, field_type), _)| *field_type == FieldType::String);
        texts.map(|(_, &bytes)| bytes as usize).sum()
    }

    fn blocks(&self) -> impl Iterator<Item = Range<u32>> {
        let series = self.series.iter().map(|block| block.offset..block.offset + block.bytes);
        let pages = self.pages.iter().enumerate().flat_map(move |(at, page)| {
            let keys = page.offset..page.offset + page.keys_bytes;
            let columns = (0..self.columns.len()).map(move |column| self.column_at(at, column));
            std::iter::once(keys).chain(columns)
        });
        series.chain(pages)
    }

    /// Returns the group's rows (0 for further columns), and its decoded values, times and series.
    pub(super) fn rows_and_cells(&self) -> (u64, u64) {
        let is_own = u64::from(!self.continues_columns());
        let columns = self.columns.len().max(1);
        let rows = self.pages.iter().map(|page| is_own * u64::from(page.rows));
        let blocks = self.column_bytes.chunks(columns);
        let cells = self.pages.iter().zip(blocks).map(|(page, blocks)| {
            u64::from(page.rows)
                * (2 * is_own + blocks.iter().filter(|&&bytes| bytes > 0).count() as u64)
        });
        (rows.sum(), cells.sum())
    }

    /// Returns the total size of the group's blocks, in bytes.
    pub fn bytes(&self) -> u64 {
        let series: u64 = self.series.iter().map(|block| u64::from(block.bytes)).sum();
        let keys: u64 = self.pages.iter().map(|page| u64::from(page.keys_bytes)).sum();
        series + keys + self.column_bytes.iter().map(|&bytes| u64::from(bytes)).sum::<u64>()
    }
}

impl Root {
    pub(crate) fn values_of(&self, measurement: MeasurementId) -> Range<usize> {
        let first = measurement.0.to_be_bytes();
        let start = self.values.partition_point(|extent| *extent.from <= first[..]);
        let behind = measurement.0.checked_add(1).map(u32::to_be_bytes);
        let begins = |extent: &RowExtent| behind.is_none_or(|behind| *extent.from < behind[..]);
        start.saturating_sub(1)..self.values.partition_point(begins)
    }
}

impl Directory {
    /// Returns the positions of all blocks in the body, in order.
    pub fn blocks(&self) -> impl Iterator<Item = Range<u32>> {
        self.groups.iter().flat_map(PartGroup::blocks).filter(|bytes| !bytes.is_empty())
    }

    /// Verifies every block of the value's body, and that the blocks fill the body.
    pub fn check(&self, body: &[u8]) -> Result<(), Error> {
        let mut end = 0;
        for bytes in self.blocks() {
            end = bytes.end;
            let block = body.get(bytes.start as usize..bytes.end as usize);
            block::open(block.ok_or(codec::Error::Truncated)?)?;
        }
        if body.len() == end as usize { Ok(()) } else { Err(codec::Error::Trailing.into()) }
    }

    pub(crate) fn groups_of_part(&self, id: u64) -> &[PartGroup] {
        self.groups.get(self.group_range(id).unwrap_or_default()).or_bug()
    }

    /// Returns the positions of a part's groups, or `None` if the part is not in the value.
    pub(super) fn group_range(&self, id: u64) -> Option<Range<usize>> {
        let part = self.position_of(id)?;
        let start = self.groups.partition_point(|group| group.part < part);
        let end = self.groups.partition_point(|group| group.part <= part);
        Some(start..end)
    }

    pub(crate) fn root_of(&self, id: u64) -> Option<&Root> {
        let part = self.position_of(id)?;
        self.roots.iter().find(|root| root.part == part)
    }

    fn position_of(&self, id: u64) -> Option<u32> {
        self.parts.iter().position(|part| part.id == id).map(|position| position as u32)
    }

    /// Returns the memory size, in bytes.
    pub fn bytes(&self) -> usize {
        let of = |group: &PartGroup| {
            let tables = group.tables.iter().map(|table| size_of::<Stored>() + table.bytes().len());
            let from: usize = group.series.iter().map(|block| block.from.len()).sum();
            group.pages.len() * (size_of::<RowPage>() + group.columns.len() * 4)
                + group.series.len() * size_of::<SeriesBlock>()
                + from
                + size_of::<PartGroup>()
                + tables.sum::<usize>()
        };
        let roots = self.roots.iter().flat_map(|root| &root.values);
        self.groups.iter().map(of).sum::<usize>()
            + roots.map(|extent| size_of::<RowExtent>() + extent.from.len()).sum::<usize>()
    }
}

impl PartGroup {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
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
            varint::write_bytes(table.bytes(), out);
        }
        varint::write(self.series.len() as u64, out);
        for block in &self.series {
            varint::write(u64::from(block.series), out);
            varint::write(u64::from(block.bytes), out);
            varint::write_bytes(&block.from, out);
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

    /// Decodes a group, whose blocks begin at `offset`, and moves `offset` to their end. If the
    /// group has the same columns as the previous group, both groups share the list `shared`.
    fn decode(bytes: &mut &[u8], offset: &mut u32, shared: &Columns) -> Result<Self, Error> {
        let (part, measurement) = (number(bytes)?, MeasurementId(number(bytes)?));
        let flags = byte(bytes)?;
        let tag_ids = list(bytes, |bytes| Ok(ColumnId(number(bytes)?)))?;
        let columns = read_columns(bytes)?;
        let columns = if *columns == **shared { Rc::clone(shared) } else { columns.into() };
        let tables = (0..=columns.len())
            .map(|_| Ok(Stored::new(varint::read_bytes(bytes)?.to_vec())))
            .collect::<Result<_, Error>>()?;
        let mut group =
            Self { part, measurement, flags, tag_ids, columns, tables, ..Self::default() };
        let mut first = 0_u32;
        group.series = list(bytes, |bytes| {
            let (series, length) = (number(bytes)?, number(bytes)?);
            let from = varint::read_bytes(bytes)?.to_vec();
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
        before: Option<RowPage>,
    ) -> Result<RowPage, Error> {
        let head = varint::read(bytes)?;
        let series = u32::try_from((head >> 1) + 1).map_err(|_| CORRUPT)?;
        let next = before.map_or(0, |page| page.last_series().saturating_add(1));
        let first_series = next.checked_sub((head & 1) as u32).ok_or(CORRUPT)?;
        let rows = number(bytes)?;
        let before_ns = before.map_or(0, |page| page.min_ns);
        let min_ns = before_ns.wrapping_add(varint::read_signed(bytes)?);
        let max_ns = min_ns.wrapping_add(varint::read(bytes)? as i64);
        let keys_bytes = number(bytes)?;
        let page =
            RowPage { first_series, series, rows, min_ns, max_ns, offset: *offset, keys_bytes };
        advance(offset, keys_bytes)?;
        for _ in 0..self.columns.len() {
            let length = number(bytes)?;
            self.column_bytes.push(length);
            advance(offset, length)?;
        }
        Ok(page)
    }

    fn check(&self) -> Result<(), Error> {
        let is_sound = |page: &RowPage| {
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
        let flags = self.flags <= CONTINUES | IS_CONTINUED | CONTINUES_COLUMNS | IS_WIDE;
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
            for extent in &root.values {
                varint::write_bytes(&extent.from, &mut out);
                out.extend(extent.min_ns.to_le_bytes());
                varint::write(extent.max_ns.wrapping_sub(extent.min_ns) as u64, &mut out);
                varint::write(extent.rows, &mut out);
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
            let group = PartGroup::decode(bytes, &mut offset, &shared)?;
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
    let from = varint::read_bytes(bytes)?.to_vec();
    let min_ns = i64::from_le_bytes(array(bytes)?);
    let max_ns = min_ns.wrapping_add(varint::read(bytes)? as i64);
    Ok(RowExtent { from, min_ns, max_ns, rows: varint::read(bytes)? })
}

/// Reads a list. Every item takes at least one byte, so a length above the number of remaining
/// bytes is an error.
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

fn advance(offset: &mut u32, bytes: u32) -> Result<(), Error> {
    let end = offset.checked_add(bytes).filter(|&end| end as usize <= VALUE_BYTES_MAX);
    *offset = end.ok_or(CORRUPT)?;
    Ok(())
}
