//! Defines the pages that a shard returns: rows, partial states or summaries.

use super::read_stats::ReadStats;
use super::request::{Position, ResultPosition};
use crate::batch::column::{Column, StringColumn, gather};
use tidemark_model::ids::{ColumnId, MeasurementId};

/// The value of [`PageLimits::cells`] for the pages of a shard.
pub const CELLS_PER_PAGE_MAX: u64 = 2_000_000;
/// The maximum number of series that a page reads. Reading a series with one row takes about half a
/// microsecond.
pub(super) const SERIES_PER_PAGE_MAX: u64 = 50_000;
/// The number of created states after which a page ends. A group has one state for each call, and
/// dropped groups count. Creating and encoding a state takes about a microsecond.
pub(super) const STATES_PER_PAGE_MAX: u64 = 50_000;
/// The cost of seeking a series, in cells: as much as decoding this number of values.
pub(super) const SERIES_CELLS: u64 = 10;
/// The cost of a call for each series, in cells.
pub(super) const CALL_CELLS: u64 = 4;
/// The cost of a series that the condition excludes, in cells. A page can skip 66,000 such series.
pub(super) const SKIPPED_KEY_CELLS: u64 = 30;

/// The minimum contents of a tile. Smaller ranges are not divided into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileLimits {
    /// The minimum average number of rows per series. Seeking a series takes as long as reading
    /// some rows.
    pub rows: u64,
    /// The minimum number of windows, unless fewer windows contain [`Self::many_rows`] rows. A tile
    /// takes about 200 bytes per group in addition to its windows.
    pub windows: u32,
    /// The number of rows per series for which a tile may have fewer windows.
    pub many_rows: u64,
    /// A tile is cached at its first read if it has at least this number of cells per byte of
    /// states. Otherwise, the tile is cached at its second read.
    pub cells_per_byte: u64,
}

impl TileLimits {
    /// The limits in production.
    pub const DEFAULT: Self = Self { rows: 64, windows: 8, many_rows: 1_024, cells_per_byte: 64 };
    /// The smallest possible limits.
    pub const LEAST: Self = Self { rows: 1, windows: 1, many_rows: 1, cells_per_byte: 0 };
}

/// The limits of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// The maximum encoded size in bytes, except for a page with a single row or window.
    pub bytes: usize,
    /// The maximum number of encoded bytes that the reader decodes for one page ([`ReadStats`]).
    /// The scan stops at the first boundary of series or rows after this limit.
    pub decoded_bytes: u64,
    /// The maximum number of cells for one page. Each decoded or compared value is a cell, and
    /// other work counts as several cells. The values of a single page of a part may exceed this
    /// limit.
    pub cells: u64,
    /// The minimum contents of a tile.
    pub tile: TileLimits,
}

/// The limits of a summary page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryLimits {
    /// The maximum encoded size in bytes, except for a page with a single item.
    pub bytes: usize,
    /// The maximum number of encoded bytes that are decoded to find live fields. After this limit,
    /// the remaining fields count as live until parts are merged.
    pub decoded_bytes: u64,
    /// The approximate maximum number of series keys to visit, including excluded keys. If the list
    /// has the order of the keys, the page continues to the end of a combination of tag values.
    pub keys: u64,
}

/// One page of a slice. Several pages may contain states of one window or rows of one group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanPage {
    /// The groups in the scan's order.
    pub groups: Vec<Group>,
    /// The new end of the slice, if it is before the requested end. In all pages, the caller drops
    /// rows and states at or after this position.
    pub until: Option<ResultPosition>,
    /// The start of the slice's next page, or `None` after the last page.
    pub position: Option<Position>,
    /// The costs of this page.
    pub stats: ReadStats,
}

/// The rows or windows of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The values of the group tags. The value of a missing tag is ''.
    pub key: Vec<String>,
    /// The rows or states that the request's output specifies.
    pub data: GroupData,
}

impl Group {
    /// Returns the approximate memory use, in bytes.
    pub fn bytes(&self) -> usize {
        let key: usize = self.key.iter().map(|value| value.len() + 24).sum();
        let data = match &self.data {
            GroupData::Partials(states) => states.iter().map(PartialColumn::bytes).sum(),
            GroupData::Rows { times_ns, fields, tags } => {
                let fields: usize = fields.iter().map(Column::bytes).sum();
                let tags: usize = tags.iter().map(StringColumn::bytes).sum();
                8 * times_ns.len() + fields + tags
            }
        };
        key + data + 48
    }
}

/// The data of a group.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupData {
    /// The rows. Rows of the same series are in time order.
    Rows {
        /// The row times in nanoseconds.
        times_ns: Vec<i64>,
        /// The requested fields, in the order of the request.
        fields: Vec<Column>,
        /// The requested tags, in the order of the request, one string per row.
        tags: Vec<StringColumn>,
    },
    /// For each call, the windows that have a value, in time order.
    Partials(Vec<PartialColumn>),
}

/// The partial states of a call, one per window.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialColumn {
    /// The start of each window in nanoseconds, or the range's start if there are no windows.
    pub windows_ns: Vec<i64>,
    /// The state's columns. The function determines their meaning (`aggregates.rs`,
    /// `selectors.rs`).
    pub states: Vec<Column>,
    /// Selectors only: the columns taken from the selected points, in the order of the call.
    pub aux: Vec<AuxValues>,
}

impl PartialColumn {
    /// Returns the states of the windows at these positions.
    #[must_use]
    pub fn gather(&self, rows: &[u32]) -> Self {
        let aux = self.aux.iter().map(|aux| match aux {
            AuxValues::Field(column) => AuxValues::Field(column.gather(rows)),
            AuxValues::Tag(tags) => AuxValues::Tag(tags.gather(rows)),
        });
        Self {
            windows_ns: gather(&self.windows_ns, rows),
            states: self.states.iter().map(|column| column.gather(rows)).collect(),
            aux: aux.collect(),
        }
    }

    /// Returns the states of the windows whose starts `has` accepts.
    #[must_use]
    pub fn windows(&self, has: impl Fn(i64) -> bool) -> Self {
        // A state has fewer than 2^32 windows.
        let windows = (0..).zip(&self.windows_ns).filter(|(_, start_ns)| has(**start_ns));
        self.gather(&windows.map(|(row, _)| row).collect::<Vec<u32>>())
    }

    /// Appends the states of later windows, or of earlier windows if the states descend. If the
    /// windows overlap or the columns differ, returns false and changes nothing.
    #[must_use]
    pub fn append(&mut self, following: &Self) -> bool {
        if !self.is_followed_by(following) || !self.has_shape_of(following) {
            return false;
        }
        self.windows_ns.extend_from_slice(&following.windows_ns);
        for (column, more) in self.states.iter_mut().zip(&following.states) {
            column.extend_from(more);
        }
        for (column, more) in self.aux.iter_mut().zip(&following.aux) {
            match (column, more) {
                (AuxValues::Field(column), AuxValues::Field(more)) => {
                    column.extend_from(more);
                }
                (AuxValues::Tag(tags), AuxValues::Tag(more)) => tags.extend_from(more),
                _ => {}
            }
        }
        true
    }

    fn is_followed_by(&self, following: &Self) -> bool {
        let lists = [&self.windows_ns, &following.windows_ns];
        let ends = |list: &[i64]| list.first().copied().zip(list.last().copied());
        let (Some((first, last)), Some((next, end))) = (ends(lists[0]), ends(lists[1])) else {
            return true;
        };
        (first <= last && last < next && next <= end)
            || (first >= last && last > next && next >= end)
    }

    fn has_shape_of(&self, other: &Self) -> bool {
        let type_of = |column: &Column| column.values.field_type();
        let aux = |aux: &AuxValues| match aux {
            AuxValues::Field(column) => Some(type_of(column)),
            AuxValues::Tag(_) => None,
        };
        self.states.iter().map(type_of).eq(other.states.iter().map(type_of))
            && self.aux.iter().map(aux).eq(other.aux.iter().map(aux))
    }

    /// Returns the approximate memory use, in bytes.
    pub fn bytes(&self) -> usize {
        let aux = self.aux.iter().map(|aux| match aux {
            AuxValues::Field(column) => column.bytes(),
            AuxValues::Tag(tags) => tags.bytes(),
        });
        let columns = self.states.iter().map(Column::bytes).chain(aux);
        let columns = columns.map(|bytes| size_of::<Column>() + bytes);
        size_of::<Self>() + self.windows_ns.len() * 8 + columns.sum::<usize>()
    }
}

/// A field or tag taken from the selected points.
#[derive(Clone, Debug, PartialEq)]
pub enum AuxValues {
    /// Field values. The value is null if the point lacks the field.
    Field(Column),
    /// Tag values. The value is '' if the series lacks the tag.
    Tag(StringColumn),
}

/// One page of a summary.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SummaryPage {
    /// Live measurements in request order. The last measurement may continue on the next page.
    pub measurements: Vec<MeasurementSummary>,
    /// The start of the next page.
    pub resume: Option<(u32, Vec<String>)>,
    /// The costs of this page.
    pub stats: ReadStats,
}

impl SummaryPage {
    /// Returns the approximate memory use, in bytes.
    pub fn bytes(&self) -> usize {
        let item = |item: &Vec<String>| 24 + item.iter().map(|text| text.len() + 24).sum::<usize>();
        let measurement = |found: &MeasurementSummary| {
            let items: usize = found.items.iter().map(item).sum();
            96 + 4 * found.columns.len() + 8 * found.hashes.len() + items
        };
        self.measurements.iter().map(measurement).sum()
    }
}

/// The summary of a live measurement.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MeasurementSummary {
    /// The measurement.
    pub measurement: MeasurementId,
    /// Live columns, ascending by id (for `SummaryWant::Columns`).
    pub columns: Vec<ColumnId>,
    /// The items, without duplicates and ascending. An item of tag values is
    /// `[position of the key in the request, value]`, with the position as five decimal digits. An
    /// item of series contains the tag values. If the list's order differs from the key order,
    /// several pages may contain the same item, in any order.
    pub items: Vec<Vec<String>>,
    /// The hashes of the series (for `SummaryWant::SeriesHashes`), with the same repetitions as
    /// items. A list in another order contains hashes even if the request excludes them.
    #[serde(default)]
    pub hashes: Vec<u64>,
    /// The number of series on this page.
    #[serde(default)]
    pub count: u64,
}
