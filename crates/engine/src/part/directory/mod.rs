//! The head of a value: its parts and groups, and the positions of the groups' blocks in the body.

mod encode;

use super::block::{self, Error};
use crate::codec;
use crate::codec::huffman::Stored;
use crate::merge::cursor::Columns;
use crate::merge::sequences::Sequences;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

/// The version of parts that this release writes and reads.
pub const VERSION: u8 = 2;

const CONTINUES: u8 = 1;
const GOES_ON: u8 = 2;
/// The group contains only further columns of the previous group's only page.
const BESIDE: u8 = 4;
/// A following group contains further columns of this group's only page.
const IS_WIDE: u8 = 8;

/// The directory of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// The parts that have a group or a root in this value, in order.
    pub parts: Vec<PartOf>,
    /// The groups by part, key and time, in the order of their blocks in the body.
    pub groups: Vec<Group>,
    /// The roots of the parts that end in this value and have several values.
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
pub struct Group {
    /// The position in [`Directory::parts`].
    pub part: u32,
    /// The measurement of the rows.
    pub measurement: MeasurementId,
    pub(in crate::part) flags: u8,
    /// The tags in the order of the keys.
    pub tag_ids: Vec<ColumnId>,
    /// The columns of the pages, and those of series that continue in a neighbouring group.
    pub columns: Columns,
    /// The shared table of each column's blocks, followed by the table of the keys.
    pub(in crate::part) tables: Vec<Stored>,
    pub(in crate::part) series: Vec<SeriesBlock>,
    /// The pages in the order of key and time.
    pub pages: Vec<Page>,
    /// The size of each column's block, page by page, in bytes, or 0 for a page of nulls.
    pub(in crate::part) column_bytes: Vec<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::part) struct SeriesBlock {
    pub(in crate::part) first: u32,
    pub(in crate::part) series: u32,
    /// The shortest byte string that is after the key of every series before this block, and not
    /// after the key of any series in this block.
    pub(in crate::part) from: Vec<u8>,
    pub(in crate::part) offset: u32,
    pub(in crate::part) bytes: u32,
}

/// A page of about 1,000 rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
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
    pub(in crate::part) offset: u32,
    pub(in crate::part) keys_bytes: u32,
}

/// The extents of a part's values, except the value that contains the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Root {
    /// The position in [`Directory::parts`].
    pub part: u32,
    /// The extents of the values, in order.
    pub values: Vec<RowExtent>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowExtent {
    /// `from` of the value's first series block, or else the first key after the value.
    pub(in crate::part) from: Vec<u8>,
    /// The earliest time, in nanoseconds.
    pub min_ns: i64,
    /// The latest time, in nanoseconds.
    pub max_ns: i64,
    /// The number of rows, or 0 for a value that contains only columns of a wide page.
    pub rows: u64,
}

impl RowExtent {
    /// Returns the measurement of the value's first group.
    pub(in crate::part) fn first_measurement(&self) -> Option<MeasurementId> {
        self.from.first_chunk().map(|id| MeasurementId(u32::from_be_bytes(*id)))
    }
}

impl Page {
    pub(crate) fn last_series(&self) -> u32 {
        self.first_series.saturating_add(self.series.saturating_sub(1))
    }
}

impl Group {
    /// Whether the group's first series is the last series of the previous group.
    pub fn continues(&self) -> bool {
        self.flags & CONTINUES != 0
    }

    /// Whether the group's last series is the first series of the next group, if that group
    /// [continues](Self::continues). The series may have no remaining rows.
    pub fn continues_group(&self) -> bool {
        self.flags & GOES_ON != 0
    }

    pub(crate) fn continues_columns(&self) -> bool {
        self.flags & BESIDE != 0
    }

    /// Whether following groups contain further columns of the group's page.
    pub fn is_wide(&self) -> bool {
        self.flags & IS_WIDE != 0
    }

    pub(in crate::part) fn flags(
        continues: bool,
        goes_on: bool,
        continues_columns: bool,
        is_wide: bool,
    ) -> u8 {
        let bit = |is: bool, bit: u8| if is { bit } else { 0 };
        bit(continues, CONTINUES)
            | bit(goes_on, GOES_ON)
            | bit(continues_columns, BESIDE)
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

    pub(crate) fn blocks_of_series(&self) -> impl Iterator<Item = (u32, u32)> {
        self.series.iter().map(|block| (block.first, block.series))
    }

    pub(crate) fn pages_of(&self, series: u32) -> std::ops::Range<usize> {
        let start = self.pages.partition_point(|page| page.last_series() < series);
        let end = self.pages.partition_point(|page| page.first_series <= series);
        start..end.max(start)
    }

    pub(crate) fn column_at(&self, page: usize, column: usize) -> std::ops::Range<u32> {
        let start = page * self.columns.len();
        let before = self.column_bytes.get(start..start + column).or_bug();
        let bytes = self.column_bytes.get(start + column).copied().or_bug();
        let Some(page) = self.pages.get(page) else { return 0..0 };
        let offset = before.iter().fold(page.offset + page.keys_bytes, |sum, bytes| sum + bytes);
        offset..offset + bytes
    }

    fn blocks(&self) -> impl Iterator<Item = std::ops::Range<u32>> {
        let series = self.series.iter().map(|block| block.offset..block.offset + block.bytes);
        let pages = self.pages.iter().enumerate().flat_map(move |(at, page)| {
            let keys = page.offset..page.offset + page.keys_bytes;
            let columns = (0..self.columns.len()).map(move |column| self.column_at(at, column));
            std::iter::once(keys).chain(columns)
        });
        series.chain(pages)
    }

    /// Returns the group's rows (0 for further columns), and its decoded values, times and series.
    pub(in crate::part) fn rows_and_cells(&self) -> (u64, u64) {
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
    pub(crate) fn values_of(&self, measurement: MeasurementId) -> std::ops::Range<usize> {
        let first = measurement.0.to_be_bytes();
        let start = self.values.partition_point(|reach| *reach.from <= first[..]);
        let behind = measurement.0.checked_add(1).map(u32::to_be_bytes);
        let begins = |reach: &RowExtent| behind.is_none_or(|behind| *reach.from < behind[..]);
        start.saturating_sub(1)..self.values.partition_point(begins)
    }
}

impl Directory {
    /// Returns the positions of all blocks in the body, in order.
    pub fn blocks(&self) -> impl Iterator<Item = std::ops::Range<u32>> {
        self.groups.iter().flat_map(Group::blocks).filter(|bytes| !bytes.is_empty())
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

    pub(crate) fn groups_of_part(&self, id: u64) -> &[Group] {
        let groups = self.of_part(id).map_or(0..0, |(groups, _)| groups);
        self.groups.get(groups).or_bug()
    }

    pub(crate) fn of_part(&self, id: u64) -> Option<(std::ops::Range<usize>, Option<&Root>)> {
        let part = self.parts.iter().position(|part| part.id == id)? as u32;
        let start = self.groups.partition_point(|group| group.part < part);
        let end = self.groups.partition_point(|group| group.part <= part);
        Some((start..end, self.roots.iter().find(|root| root.part == part)))
    }

    /// Returns the memory size, in bytes.
    pub fn bytes(&self) -> usize {
        let of = |group: &Group| {
            let tables = group.tables.iter().map(|table| size_of::<Stored>() + table.bytes().len());
            let from: usize = group.series.iter().map(|block| block.from.len()).sum();
            group.pages.len() * (size_of::<Page>() + group.columns.len() * 4)
                + group.series.len() * size_of::<SeriesBlock>()
                + from
                + size_of::<Group>()
                + tables.sum::<usize>()
        };
        let roots = self.roots.iter().flat_map(|root| &root.values);
        self.groups.iter().map(of).sum::<usize>()
            + roots.map(|reach| size_of::<RowExtent>() + reach.from.len()).sum::<usize>()
    }
}
