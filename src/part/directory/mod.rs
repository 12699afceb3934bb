//! The head of a value: which groups of which parts it holds, and where in its body their blocks
//! are.

mod encode;

use super::block::{self, Error};
use crate::codec;
use crate::codec::huffman::Stored;
use crate::merge::cursor::Columns;
use crate::merge::sequences::Sequences;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;

/// The version of parts that is written and read.
pub const VERSION: u8 = 2;

/// Its first series is the last one of the group before.
const CONTINUES: u8 = 1;
/// Its last series is the first one of the group behind.
const GOES_ON: u8 = 2;
/// It is of more columns of the only page of the group before, and has neither series nor keys.
const BESIDE: u8 = 4;
/// One behind it is of more columns of its only page.
const IS_WIDE: u8 = 8;

/// What a value holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Of which parts: those of which a group or the root is here, in order.
    pub parts: Vec<PartOf>,
    /// Of each part by key and time, as their blocks lie in the body.
    pub groups: Vec<Group>,
    /// Of parts that end here and have more than this value.
    pub roots: Vec<Root>,
}

/// A part of which a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// Its id.
    pub id: u64,
    /// Of its rows.
    pub sequences: Sequences,
    /// Values of it before this one.
    pub ordinal: u32,
}

/// Rows of one measurement, and of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Position in [`Directory::parts`].
    pub part: u32,
    /// Whose rows.
    pub measurement: MeasurementId,
    pub(in crate::part) flags: u8,
    /// Tags in the order of the keys.
    pub tag_ids: Vec<ColumnId>,
    /// Of the pages; and all that the series has which the group before or behind shares.
    pub columns: Columns,
    /// The table of the blocks of each column, and last that of the keys.
    pub(in crate::part) tables: Vec<Stored>,
    pub(in crate::part) series: Vec<SeriesBlock>,
    /// By key and time.
    pub pages: Vec<Page>,
    /// Page by page the bytes of each column's block; 0 where the page has no value.
    pub(in crate::part) column_bytes: Vec<u32>,
}

/// Some series of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::part) struct SeriesBlock {
    /// Series of the group before it.
    pub(in crate::part) first: u32,
    pub(in crate::part) series: u32,
    /// Behind the key of every series that begins before and not behind that of one that begins
    /// here: the shortest bytes that are.
    pub(in crate::part) from: Vec<u8>,
    pub(in crate::part) offset: u32,
    pub(in crate::part) bytes: u32,
}

/// About a thousand rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The series of the first row, counted in the group.
    pub first_series: u32,
    /// Series with rows in the page: consecutive ones from the first.
    pub series: u32,
    /// Rows.
    pub rows: u32,
    /// The earliest time.
    pub min_ns: i64,
    /// The latest time.
    pub max_ns: i64,
    /// Of its keys; the blocks of its columns follow.
    pub(in crate::part) offset: u32,
    pub(in crate::part) keys_bytes: u32,
}

/// What the values of a part hold that come before the one that the root is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// Position in [`Directory::parts`].
    pub part: u32,
    /// Each of the values.
    pub values: Vec<Reach>,
}

/// Which rows of a part a value may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// As that of the first block of series; where no series begins, the first key behind.
    pub(in crate::part) from: Vec<u8>,
    /// The earliest time.
    pub min_ns: i64,
    /// The latest time.
    pub max_ns: i64,
    /// Rows; 0 of a value that only has columns of a wide page.
    pub rows: u64,
}

impl Reach {
    /// The measurement of the first group in the value: `from` begins a key of it.
    pub(in crate::part) fn first_measurement(&self) -> Option<MeasurementId> {
        self.from.first_chunk().map(|id| MeasurementId(u32::from_be_bytes(*id)))
    }
}

impl Page {
    /// The series of the last row.
    pub fn last_series(&self) -> u32 {
        self.first_series.saturating_add(self.series.saturating_sub(1))
    }
}

impl Group {
    /// Whether its first series is the last one of the group before.
    pub fn continues(&self) -> bool {
        self.flags & CONTINUES != 0
    }

    /// Whether its last series is the first one of the group behind, if that one [continues]. What
    /// was left of the series may have been hidden before an interrupted writer went on.
    ///
    /// [continues]: Self::continues
    pub fn goes_on(&self) -> bool {
        self.flags & GOES_ON != 0
    }

    /// Whether it has but more columns of a page of the group before.
    pub fn is_beside(&self) -> bool {
        self.flags & BESIDE != 0
    }

    /// Whether groups with more columns of its page follow.
    pub fn is_wide(&self) -> bool {
        self.flags & IS_WIDE != 0
    }

    pub(in crate::part) fn flags(
        continues: bool,
        goes_on: bool,
        is_beside: bool,
        is_wide: bool,
    ) -> u8 {
        let bit = |is: bool, bit: u8| if is { bit } else { 0 };
        bit(continues, CONTINUES)
            | bit(goes_on, GOES_ON)
            | bit(is_beside, BESIDE)
            | bit(is_wide, IS_WIDE)
    }

    /// Series with rows in it.
    pub fn series(&self) -> u32 {
        self.series.last().map_or(0, |block| block.first.saturating_add(block.series))
    }

    /// Every row lies inside.
    pub fn time(&self) -> TimeRange {
        let min_ns = self.pages.iter().map(|page| page.min_ns).min().unwrap_or(i64::MAX);
        let max_ns = self.pages.iter().map(|page| page.max_ns).max().unwrap_or(i64::MIN);
        TimeRange::new(min_ns, max_ns.saturating_add(1))
    }

    /// Its blocks of series: the number of the first series of each, and how many it has.
    pub fn blocks_of_series(&self) -> impl Iterator<Item = (u32, u32)> {
        self.series.iter().map(|block| (block.first, block.series))
    }

    /// The pages that hold rows of a series.
    pub fn pages_of(&self, series: u32) -> std::ops::Range<usize> {
        let start = self.pages.partition_point(|page| page.last_series() < series);
        let end = self.pages.partition_point(|page| page.first_series <= series);
        start..end.max(start)
    }

    /// Where the block of a column of a page is; empty if the page has no value.
    pub fn column_at(&self, page: usize, column: usize) -> std::ops::Range<u32> {
        let start = page * self.columns.len();
        let before = self.column_bytes.get(start..start + column).unwrap_or_default();
        let bytes = self.column_bytes.get(start + column).copied().unwrap_or_default();
        let Some(page) = self.pages.get(page) else { return 0..0 };
        let offset = before.iter().fold(page.offset + page.keys_bytes, |sum, bytes| sum + bytes);
        offset..offset + bytes
    }

    /// Where its blocks are, in order; empty ones among them.
    fn blocks(&self) -> impl Iterator<Item = std::ops::Range<u32>> {
        let series = self.series.iter().map(|block| block.offset..block.offset + block.bytes);
        let pages = self.pages.iter().enumerate().flat_map(move |(at, page)| {
            let keys = page.offset..page.offset + page.keys_bytes;
            let columns = (0..self.columns.len()).map(move |column| self.column_at(at, column));
            std::iter::once(keys).chain(columns)
        });
        series.chain(pages)
    }

    /// Rows that are the group's own, and what reading them decodes: a value, a time, a series.
    pub(in crate::part) fn rows_and_cells(&self) -> (u64, u64) {
        let is_own = u64::from(!self.is_beside());
        let columns = self.columns.len().max(1);
        let rows = self.pages.iter().map(|page| is_own * u64::from(page.rows));
        let blocks = self.column_bytes.chunks(columns);
        let cells = self.pages.iter().zip(blocks).map(|(page, blocks)| {
            u64::from(page.rows)
                * (2 * is_own + blocks.iter().filter(|&&bytes| bytes > 0).count() as u64)
        });
        (rows.sum(), cells.sum())
    }

    /// Bytes of its blocks.
    pub fn bytes(&self) -> u64 {
        let series: u64 = self.series.iter().map(|block| u64::from(block.bytes)).sum();
        let keys: u64 = self.pages.iter().map(|page| u64::from(page.keys_bytes)).sum();
        series + keys + self.column_bytes.iter().map(|&bytes| u64::from(bytes)).sum::<u64>()
    }
}

impl Root {
    /// Which of the values before the one that the root is in may have rows of a measurement.
    pub fn values_of(&self, measurement: MeasurementId) -> std::ops::Range<usize> {
        let first = measurement.0.to_be_bytes();
        let start = self.values.partition_point(|reach| *reach.from <= first[..]);
        let behind = measurement.0.checked_add(1).map(u32::to_be_bytes);
        let begins = |reach: &Reach| behind.is_none_or(|behind| *reach.from < behind[..]);
        start.saturating_sub(1)..self.values.partition_point(begins)
    }
}

impl Directory {
    /// Where the blocks are in the body, in order.
    pub fn blocks(&self) -> impl Iterator<Item = std::ops::Range<u32>> {
        self.groups.iter().flat_map(Group::blocks).filter(|bytes| !bytes.is_empty())
    }

    /// Reads every block of the value's body, which has nothing else.
    ///
    /// # Errors
    /// The first one of [`block::open`].
    pub fn check(&self, body: &[u8]) -> Result<(), Error> {
        let mut end = 0;
        for bytes in self.blocks() {
            end = bytes.end;
            let block = body.get(bytes.start as usize..bytes.end as usize);
            block::open(block.ok_or(codec::Error::Truncated)?)?;
        }
        if body.len() == end as usize { Ok(()) } else { Err(codec::Error::Trailing.into()) }
    }

    /// The groups of a part.
    pub fn groups_of_part(&self, id: u64) -> &[Group] {
        let groups = self.of_part(id).map_or(0..0, |(groups, _)| groups);
        self.groups.get(groups).unwrap_or_default()
    }

    /// Where the groups of a part are, and the root of the part if it is here.
    pub fn of_part(&self, id: u64) -> Option<(std::ops::Range<usize>, Option<&Root>)> {
        let part = self.parts.iter().position(|part| part.id == id)? as u32;
        let start = self.groups.partition_point(|group| group.part < part);
        let end = self.groups.partition_point(|group| group.part <= part);
        Some((start..end, self.roots.iter().find(|root| root.part == part)))
    }

    /// Memory held, bytes.
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
            + roots.map(|reach| size_of::<Reach>() + reach.from.len()).sum::<usize>()
    }
}
