//! What a shard answers: one page of rows, of partial states, or of summaries.

use super::reader::ReadStats;
use super::request::{Place, Position};
use crate::batch::column::{Column, StringColumn};
use crate::model::ids::{ColumnId, MeasurementId};

/// Values that one piece decodes at most, beside those of a page more.
pub(super) const CELLS_PER_PIECE_MAX: u64 = 2_000_000;
/// What it costs to reach a series, in values.
pub(super) const SERIES_CELLS: u64 = 10;

/// What a tile has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileLimits {
    /// Rows of a series, on average: reaching a series costs as much as some rows.
    pub rows: u64,
    /// Windows, unless fewer have [`Self::many_rows`]: each group of a tile takes some two hundred
    /// bytes beside them.
    pub windows: u32,
    /// Rows of a series that are worth a tile, however few windows they have.
    pub many_rows: u64,
    /// Cells that are read for each byte of its states from which on these take little: it is kept
    /// when it is first read, not when it is asked for a second time.
    pub cells_per_byte: u64,
    /// Cells that are read for each of its pieces by series.
    pub piece_cells: u64,
    /// The same for each byte of the states of a piece, which are kept beside those of the tile: to
    /// put pieces together must take much less than to read them.
    pub piece_cells_per_byte: u64,
}

impl TileLimits {
    /// What is worth keeping.
    pub const DEFAULT: Self = Self {
        rows: 64,
        windows: 8,
        many_rows: 1_024,
        cells_per_byte: 64,
        piece_cells: 1 << 15,
        piece_cells_per_byte: 8,
    };
    /// As small as can be.
    pub const LEAST: Self = Self {
        rows: 1,
        windows: 1,
        many_rows: 1,
        cells_per_byte: 0,
        piece_cells: 1,
        piece_cells_per_byte: 0,
    };
}

/// When a page is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Encoded bytes of the page. A single row or window may exceed it, nothing else.
    pub bytes: usize,
    /// Encoded bytes that the source may decode for one page ([`ReadStats`]); the scan stops at the
    /// first border of series or rows behind it.
    pub decoded_bytes: u64,
    /// What a kept stretch of time has at least.
    pub tile: TileLimits,
}

/// When a page of a summary is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryLimits {
    /// Encoded bytes of the page. A single item may exceed it, nothing else.
    pub bytes: usize,
    /// Encoded bytes that may be decoded to find out which fields are alive: past it those that are
    /// left count as alive until a merge of parts settles it.
    pub decoded_bytes: u64,
    /// Series keys that are looked at. A list whose order is not that of the keys looks at all of
    /// the measurement's: what comes first in it may stand last.
    pub keys: u64,
}

/// A piece of a slice of an answer. The pieces of a slice together are all of it: states of one
/// window, and rows of one group, may come in several of them, in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanPage {
    /// In the scan's order of groups.
    pub groups: Vec<Group>,
    /// Where the slice ends from now on, if that is before where the request says. What pieces have
    /// of places behind it is to be dropped.
    pub until: Option<Place>,
    /// Where the next piece of the slice starts; `None` when this was the last.
    pub position: Option<Position>,
    /// What this piece cost.
    pub stats: ReadStats,
}

/// Rows or windows of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Values of the group tags, '' where missing.
    pub key: Vec<String>,
    /// What the request's output asked for.
    pub data: GroupData,
}

impl Group {
    /// About how much memory it takes.
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

impl ScanPage {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.groups.iter().map(Group::bytes).sum()
    }
}

/// The two kinds of answer.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupData {
    /// Rows, those of a series in order of time.
    Rows {
        /// Times, nanoseconds.
        times_ns: Vec<i64>,
        /// The requested fields, in the order of the request.
        fields: Vec<Column>,
        /// The requested tags, in the order of the request, one string per row.
        tags: Vec<StringColumn>,
    },
    /// Per call the windows that have a value, in order of time.
    Partials(Vec<PartialColumn>),
}

/// Partial states of one call, one per window.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialColumn {
    /// Start of each window, nanoseconds (without windows: the one state has the range's start).
    pub windows_ns: Vec<i64>,
    /// The state's columns, which are the function's own business (`aggregates/`, `selectors/`).
    pub states: Vec<Column>,
    /// Selectors: the columns taken beside the selected point, in the order of the call.
    pub beside: Vec<BesideColumn>,
}

impl PartialColumn {
    /// The states of the windows at these positions.
    #[must_use]
    pub fn pick(&self, rows: &[u32]) -> Self {
        let start = |&row: &u32| self.windows_ns.get(row as usize).copied();
        let beside = self.beside.iter().map(|beside| match beside {
            BesideColumn::Field(column) => BesideColumn::Field(column.gather(rows)),
            BesideColumn::Tag(tags) => BesideColumn::Tag(tags.gather(rows)),
        });
        Self {
            windows_ns: rows.iter().filter_map(start).collect(),
            states: self.states.iter().map(|column| column.gather(rows)).collect(),
            beside: beside.collect(),
        }
    }

    /// Adds states of windows that all lie behind these, in whichever direction they go. False
    /// where they do not, or have another shape: nothing has changed then.
    #[must_use]
    pub fn append(&mut self, behind: &Self) -> bool {
        if !self.is_followed_by(behind) || !self.has_shape_of(behind) {
            return false;
        }
        self.windows_ns.extend_from_slice(&behind.windows_ns);
        for (column, more) in self.states.iter_mut().zip(&behind.states) {
            column.extend_from(more);
        }
        for (column, more) in self.beside.iter_mut().zip(&behind.beside) {
            match (column, more) {
                (BesideColumn::Field(column), BesideColumn::Field(more)) => {
                    column.extend_from(more);
                }
                (BesideColumn::Tag(tags), BesideColumn::Tag(more)) => tags.extend_from(more),
                _ => {}
            }
        }
        true
    }

    fn is_followed_by(&self, behind: &Self) -> bool {
        let lists = [&self.windows_ns, &behind.windows_ns];
        let ends = |list: &[i64]| list.first().copied().zip(list.last().copied());
        let (Some((first, last)), Some((next, end))) = (ends(lists[0]), ends(lists[1])) else {
            return true;
        };
        (first <= last && last < next && next <= end)
            || (first >= last && last > next && next >= end)
    }

    fn has_shape_of(&self, other: &Self) -> bool {
        let type_of = |column: &Column| column.values.field_type();
        let beside = |beside: &BesideColumn| match beside {
            BesideColumn::Field(column) => Some(type_of(column)),
            BesideColumn::Tag(_) => None,
        };
        self.states.iter().map(type_of).eq(other.states.iter().map(type_of))
            && self.beside.iter().map(beside).eq(other.beside.iter().map(beside))
    }

    /// About how many bytes of memory the states take.
    pub fn bytes(&self) -> usize {
        let beside = self.beside.iter().map(|beside| match beside {
            BesideColumn::Field(column) => column.bytes(),
            BesideColumn::Tag(tags) => tags.bytes(),
        });
        let columns = self.states.iter().map(Column::bytes).chain(beside);
        let columns = columns.map(|bytes| size_of::<Column>() + bytes);
        size_of::<Self>() + self.windows_ns.len() * 8 + columns.sum::<usize>()
    }
}

/// A field or tag taken from the selected points.
#[derive(Clone, Debug, PartialEq)]
pub enum BesideColumn {
    /// Field values, null where the point lacks the field.
    Field(Column),
    /// Tag values, '' where the series lacks the tag.
    Tag(StringColumn),
}

/// One page of a summary.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SummaryPage {
    /// Live measurements in the order of the request; one may continue on the next page.
    pub measurements: Vec<MeasurementSummary>,
    /// Where the next page starts.
    pub resume: Option<(u32, Vec<String>)>,
    /// What this page cost.
    pub stats: ReadStats,
}

impl SummaryPage {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let item = |item: &Vec<String>| 24 + item.iter().map(|text| text.len() + 24).sum::<usize>();
        let measurement = |found: &MeasurementSummary| {
            let items: usize = found.items.iter().map(item).sum();
            96 + 4 * found.columns.len() + 8 * found.hashes.len() + items
        };
        self.measurements.iter().map(measurement).sum()
    }
}

/// What was asked about one live measurement.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MeasurementSummary {
    /// Which measurement.
    pub measurement: MeasurementId,
    /// Live columns, ascending by id (for `SummaryWant::Columns`).
    pub columns: Vec<ColumnId>,
    /// For tag values: `[position of the key in the request, value]`, the position as five decimal
    /// digits. For series: the tag values.
    /// Distinct; tag values ascend.
    pub items: Vec<Vec<String>>,
    /// For `SummaryWant::SeriesHashes`.
    #[serde(default)]
    pub hashes: Vec<u64>,
    /// As many series, whether hashes were asked for or not.
    #[serde(default)]
    pub count: u64,
}
